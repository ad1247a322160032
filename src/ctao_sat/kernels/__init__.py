"""Compiled numerics: functions of numbers and arrays, without Gammapy or astropy."""
