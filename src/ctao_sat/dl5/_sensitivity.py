r"""Differential sensitivity of instrument response functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.data import Observation
from gammapy.datasets import SpectrumDataset
from gammapy.estimators import SensitivityEstimator
from gammapy.irf import IRF, EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import PowerLawSpectralModel
from gammapy.stats import WStatCountsStatistic
from numpy.typing import NDArray

from ctao_sat.dl3 import irf_performance, irf_set
from ctao_sat.dl3._irf_sets import IRFSet
from ctao_sat.errors import ConfigError, MissingHDUError

__all__ = ["sensitivity"]

# Fine enough that a finer axis changes no flux by more than 1e-3.
_TRUE_PER_DECADE = 40
_BISECTIONS = 60
_COLUMNS = ("e_ref", "e_min", "e_max")
_NEEDED = ("aeff", "edisp", "bkg")


def sensitivity(
    irfs: Mapping[str, IRF] | Observation | IRFSet,
    livetime: u.Quantity | str = "50 h",
    offset: u.Quantity | str | None = None,
    energy_edges: u.Quantity | None = None,
    *,
    alpha: float = 0.2,
    index: float = 2.0,
    n_sigma: float = 5.0,
    gamma_min: float = 10.0,
    bkg_syst_fraction: float = 0.05,
    containment: float | Sequence[float] = 0.68,
) -> QTable:
    r"""Return the faintest flux of a point source that can be detected in each bin of energy.

    It is the flux at which, in that bin alone, all of three conditions hold for the expected counts
    (CTAO's definition, with five bins a decade): the significance of Li & Ma (1983), equation 17,
    is ``n_sigma``; there are ``gamma_min`` gamma rays; they are ``bkg_syst_fraction`` of the
    background. With the flux :math:`\phi = \phi_0 (E / E_0)^{-\Gamma}`, the counts in the on
    region are

    .. math::

        s = \epsilon\, t \int_\mathrm{bin} dE \int dE'\, \phi(E')\, A(E')\, D(E | E'), \qquad
        b = t\, 2\pi (1 - \cos r) \int_\mathrm{bin} B\, dE,

    where the on region has the radius :math:`r` that holds :math:`\epsilon` of the events at the
    centre of the bin; for point-like responses, :math:`r` is ``RAD_MAX``, and :math:`\epsilon` is
    in the effective area already. The off region counts :math:`b / \alpha`. The numbers are those
    of `gammapy.estimators.SensitivityEstimator`, whose search for the significance fails for some
    numbers of counts; here it is bracketed.

    By default the containment is the same in all bins, so that sets of IRFs are compared by what
    they are, and not by fluctuations of their tables that an optimum follows. Of several values
    the best is taken in each bin, as for CTAO's public curves: where ten gamma rays are the limit,
    that gains more than a quarter.

    Parameters
    ----------
    irfs : mapping, `~gammapy.data.Observation` or IRFSet
        As for `ctao_sat.dl3.irf_performance`, with ``aeff``, ``edisp``, ``bkg``, and ``psf`` or
        ``rad_max``.
    livetime : Quantity[time] or str
        Time of observation.
    offset : Quantity[angle] or str, optional
        Angle to the axis. Default: 0.5 deg, or the only one of tables for a single offset.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of the bins of reconstructed energy. Default: five a decade, centred on powers of ten,
        as far as the effective area goes.
    alpha : float
        Ratio of the exposures of the on and the off region.
    index : float
        Spectral index :math:`\Gamma` of the source.
    n_sigma : float
        Significance.
    gamma_min : float
        Least number of gamma rays in a bin.
    bkg_syst_fraction : float
        Least ratio of gamma rays to background; 0.05 is 1/20.
    containment : float or sequence of float
        Part :math:`\epsilon` of the events of the source within the on region; of several, the best
        in each bin.

    Returns
    -------
    table : `~astropy.table.QTable`
        A row a bin: ``e_ref``, ``e_min``, ``e_max``, ``e2dnde`` (:math:`E^2 \phi` at ``e_ref``),
        ``excess``, ``background``, ``containment``, ``on_radius`` and ``criterion``, which says
        which condition is the hardest: "significance", "gamma" or "bkg". NaN and an empty criterion
        where the responses do not cover the bin. ``table.meta`` holds the parameters, and what
        `ctao_sat.dl3.irf_performance` says of the responses.

    Raises
    ------
    MissingHDUError
        If a response is missing.
    SelectionError
        If a table does not reach to the offset.
    ConfigError
        If a parameter is not usable.

    Examples
    --------
    >>> import astropy.units as u
    >>> from ctao_sat import dl5, simulate
    >>> table = dl5.sensitivity(simulate.demo_array("south"), "50 h")
    >>> row = table[table["e_ref"] == 1 * u.TeV][0]
    >>> print(f"{row['e2dnde']:.1e}, limited by {row['criterion']}")
    1.5e-13 erg / (s cm2), limited by significance
    """
    settings = _checked(
        livetime=livetime,
        alpha=alpha,
        index=index,
        n_sigma=n_sigma,
        gamma_min=gamma_min,
        bkg_syst_fraction=bkg_syst_fraction,
    )
    fractions = np.ravel(containment).tolist()
    which = irf_set(irfs)
    _need(which)
    performance = irf_performance(which, offset, energy_edges, containment=fractions)
    table = _best([_sensitivity(which, performance, settings, one) for one in fractions])
    kept = ("label", "telescope", "site", "zenith", "event_type", "source", "inputs", "offset")
    table.meta.update({name: performance.meta[name] for name in kept} | settings)
    return table


def _best(tables: Sequence[QTable]) -> QTable:
    """Return the rows with the least flux."""
    best = tables[0]
    for table in tables[1:]:
        better = table["e2dnde"] < best["e2dnde"]
        for name in table.colnames:
            best[name][better] = table[name][better]
    return best


def _checked(livetime: u.Quantity | str, **numbers: float) -> dict[str, Any]:
    try:
        time = u.Quantity(livetime).to("h")
        good = time.isscalar and time > 0 * u.h and np.isfinite(time)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ConfigError(
            f"The livetime '{livetime}' is not a positive time.", remedy="For example: '50 h'."
        )
    for name, value in numbers.items():
        low = value > 0 if name in ("alpha", "n_sigma") else value >= 0
        if not np.isfinite(value) or not (low or name == "index"):
            raise ConfigError(f"{name} is {value}.", remedy="Give a positive number.")
    return {"livetime": time, **numbers}


def _need(which: IRFSet) -> None:
    absent = [name for name in _NEEDED if name not in which.irfs]
    if "psf" not in which.irfs and "rad_max" not in which.irfs:
        absent.append("psf or rad_max")
    if absent:
        raise MissingHDUError(
            f"The IRFs of {which.label} have no {', no '.join(absent)}.",
            remedy="A sensitivity needs aeff, edisp, bkg, and psf or rad_max.",
            where=which.source,
        )


def _sensitivity(
    which: IRFSet, performance: QTable, settings: Mapping[str, Any], containment: float
) -> QTable:
    """Return the table for one containment."""
    radius = _on_radius(performance, containment)
    solid_angle = 2 * np.pi * (1 - np.cos(radius)) * u.sr
    rate = performance["background_rate"] * solid_angle
    counts = (rate * settings["livetime"]).to_value("")
    dataset = _dataset(which.irfs, performance, settings, containment, counts)
    conditions = _conditions(np.nan_to_num(counts), settings)
    excess = np.max(list(conditions.values()), axis=0)
    estimator = SensitivityEstimator(PowerLawSpectralModel(index=settings["index"]))
    with np.errstate(all="ignore"):
        # Bins without exposure are divided by zero on the way to NaN.
        flux = estimator.estimate_min_e2dnde(
            RegionNDMap.from_geom(dataset.counts.geom, data=excess[:, None, None]), dataset
        )
    # Without its row of the energy dispersion, what is in a bin came from others alone.
    good = np.isfinite(performance["energy_resolution"].value) & np.isfinite(counts)
    good &= (dataset.npred_signal().data.ravel() > 0) & np.isfinite(flux)
    table = QTable({name: performance[name] for name in _COLUMNS})
    table["e2dnde"] = np.where(good, flux, np.nan)
    table["excess"] = np.where(good, excess, np.nan)
    table["background"] = np.where(good, counts, np.nan)
    table["containment"] = np.full(len(table), containment)
    table["on_radius"] = radius
    for name in table.colnames:
        table[name].info.format = ".4g"
    hardest = np.array(list(conditions))[np.argmax(list(conditions.values()), axis=0)]
    table["criterion"] = np.where(good, hardest, "")
    return table


def _on_radius(performance: QTable, containment: float) -> u.Quantity:
    """Return the radius of the on region: the cut of point-like responses comes first."""
    point_like = "rad_max" in performance.colnames
    return performance["rad_max" if point_like else f"r{100 * containment:g}"]


def _conditions(background: NDArray, settings: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return the excess that each condition asks for, shape (n,)."""
    return {
        "significance": _significant(background, settings["alpha"], settings["n_sigma"]),
        "gamma": np.full(background.shape, settings["gamma_min"]),
        "bkg": settings["bkg_syst_fraction"] * background,
    }


def _significant(background: NDArray, alpha: float, n_sigma: float) -> NDArray:
    """Return the excess of a given significance, by bisection: it rises with the excess."""
    off = background / alpha

    def too_few(excess: NDArray) -> NDArray:
        return WStatCountsStatistic(background + excess, off, alpha).sqrt_ts < n_sigma

    low, high = np.zeros_like(background), np.ones_like(background)
    while np.any(few := too_few(high)):
        high = np.where(few, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        few = too_few(middle)
        low, high = np.where(few, middle, low), np.where(few, high, middle)
    return high


def _dataset(
    tables: Mapping[str, IRF],
    performance: QTable,
    settings: Mapping[str, Any],
    containment: float,
    background: NDArray,
) -> SpectrumDataset:
    """Return expected counts of background, and the response to a source."""
    offset, livetime = performance.meta["offset"], settings["livetime"]
    edges = u.Quantity([*performance["e_min"], performance["e_max"][-1]])
    energy = MapAxis.from_energy_edges(edges)
    limits = tables["aeff"].axes["energy_true"].edges[[0, -1]]
    true = MapAxis.from_energy_bounds(
        *limits, nbin=_TRUE_PER_DECADE, per_decade=True, name="energy_true"
    )
    area = tables["aeff"].evaluate(energy_true=true.center, offset=offset)
    inside = 1.0 if tables["aeff"].is_pointlike else containment
    exposure = (area * livetime * inside).to("m2 s")
    kernel = tables["edisp"].to_edisp_kernel(offset, energy_axis_true=true, energy_axis=energy)
    # A region that nothing but the energies is read of.
    geom = RegionGeom.create("icrs;circle(0, 0, 0.1)", axes=[energy])
    true_geom = geom.to_image().to_cube([true])
    return SpectrumDataset(
        counts=RegionNDMap.from_geom(geom),
        background=RegionNDMap.from_geom(geom, data=np.nan_to_num(background)[:, None, None]),
        exposure=RegionNDMap.from_geom(
            true_geom, data=exposure.value[:, None, None], unit=exposure.unit
        ),
        edisp=EDispKernelMap.from_edisp_kernel(kernel, geom=geom.to_image()),
    )
