"""What do the products look like? Products in, matplotlib axes out.

================================  ==========================================================
`plot_theta_squared`              is there a source: on and off counts around a position
`plot_significance`               does it grow as a source should: over the livetime
`plot_regions`                    where were on and off counts taken: regions on the sky
`plot_counts`                     does the model describe the counts: counts and residuals
`plot_sed`                        the spectrum: flux points, limits, model with its error
`plot_light_curve`                the flux over time, in dates
`plot_temporal`                   how does a source fade: a temporal model over time after T0
`plot_phaseogram`                 does a pulsar keep its phase: events over phase and time
`plot_profile`                    what does its pulse look like: events over phase, regions, fit
`plot_h_test`                     do pulsations grow as they should: H test over livetime
`plot_scan`                       at which frequency are they: a statistic over all trials
`plot_stat_profile`               how far may a parameter be off: the statistic along it
`plot_contours`                   and two together: contours of the statistic
`plot_pulls`                      are errors right: toys in units of their errors
`plot_coverage`                   do intervals hold what they claim: over the expected counts
`plot_sky_map`                    where is it: counts, significance, TS, found sources
`plot_significance_distribution`  is what is left noise: a map's significances, with a fit
`plot_flux_profile`               how wide is it: flux over distance or radius
`plot_irf_performance`            how good are IRFs: area, resolutions, sensitivity
`save`                            an image of any of them on disk
================================  ==========================================================

Every function draws on the axes it is given, or on those of a new figure, and returns the axes.
The new figures are plain `matplotlib.figure.Figure` objects unknown to ``pyplot``: nothing has to
be closed, and no global setting is read back or changed. In a notebook, ``ax.figure`` as the last
line of a cell shows the plot. Legends stand above the axes, where they cannot cover data.
"""

from ctao_sat.plotting.counts import plot_counts
from ctao_sat.plotting.irf import plot_irf_performance
from ctao_sat.plotting.light_curve import plot_light_curve
from ctao_sat.plotting.output import save
from ctao_sat.plotting.periodicity import plot_h_test, plot_scan
from ctao_sat.plotting.pulsar import plot_phaseogram, plot_profile
from ctao_sat.plotting.regions import plot_regions
from ctao_sat.plotting.scans import plot_contours, plot_stat_profile
from ctao_sat.plotting.sed import plot_sed
from ctao_sat.plotting.significance import plot_significance
from ctao_sat.plotting.sky_maps import (
    plot_flux_profile,
    plot_significance_distribution,
    plot_sky_map,
)
from ctao_sat.plotting.temporal import plot_temporal
from ctao_sat.plotting.theta_squared import plot_theta_squared
from ctao_sat.plotting.toys import plot_coverage, plot_pulls

__all__ = [
    "plot_contours",
    "plot_counts",
    "plot_coverage",
    "plot_flux_profile",
    "plot_h_test",
    "plot_irf_performance",
    "plot_light_curve",
    "plot_phaseogram",
    "plot_profile",
    "plot_pulls",
    "plot_regions",
    "plot_scan",
    "plot_sed",
    "plot_significance",
    "plot_significance_distribution",
    "plot_sky_map",
    "plot_stat_profile",
    "plot_temporal",
    "plot_theta_squared",
    "save",
]
