"""Benchmarks are no tests: they run only where their folder is named on the command line."""

collect_ignore = ["likelihood", "products", "pulsar"]
