"""Check the arguments of a simulation, and turn them into runs."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from gammapy.data import GTI
from gammapy.irf import IRF
from gammapy.modeling.models import Models, SkyModel

from ctao_sat.dl3._sites import NEAR
from ctao_sat.errors import ConfigError
from ctao_sat.simulate._run_contents import MJD_REFERENCE
from ctao_sat.simulate._times import Windows

__all__ = ["Run", "check_energy_range", "check_models", "check_places", "check_schedule"]

_PROBES = [0.1, 1, 10] * u.TeV


@dataclass(frozen=True)
class Run:
    """When and where one observation is."""

    obs_id: int
    pointing: SkyCoord
    windows: Windows


def check_models(models: Models | Sequence[SkyModel] | SkyModel | None) -> Models:
    """Return a copy of the models, all of a kind that can be simulated.

    Parameters
    ----------
    models : `gammapy.modeling.models.Models`, list, `~gammapy.modeling.models.SkyModel` or None
        The sky.

    Returns
    -------
    models : `gammapy.modeling.models.Models`
        A copy.

    Raises
    ------
    ConfigError
        If a model cannot be simulated.
    """
    if models is None:
        return Models()
    items = list(models) if isinstance(models, Iterable) else [models]
    for item in items:
        if not isinstance(item, SkyModel):
            raise ConfigError(
                f"A model of type '{type(item).__name__}' cannot be simulated.",
                remedy="Pass SkyModel objects; the background comes from the IRFs.",
            )
        if item.spatial_model is None:
            raise ConfigError(
                f"The model '{item.name}' has no spatial model.",
                remedy="Give it one, such as PointSpatialModel.",
            )
        if not item.apply_irf["exposure"]:
            raise ConfigError(
                f"The model '{item.name}' is not to be multiplied with the exposure.",
                remedy="Set its apply_irf['exposure'] to True, and give it a flux.",
            )
        with np.errstate(all="ignore"):
            flux = item.spectral_model(_PROBES).value
        if np.any(flux < 0):
            raise ConfigError(
                f"The model '{item.name}' has a negative flux.",
                remedy="Give it an amplitude above zero.",
            )
    names = [item.name for item in items]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ConfigError(
            f"Two models have the name '{twins[0]}'.", remedy="Give each model its own name."
        )
    return Models(deepcopy(items))


def check_places(models: Models, location: EarthLocation) -> None:
    """Make sure that models whose light curve depends on the place are for this one.

    Parameters
    ----------
    models : `gammapy.modeling.models.Models`
        The sky.
    location : `astropy.coordinates.EarthLocation`
        Where the telescopes stand.

    Raises
    ------
    ConfigError
        If a model is for telescopes elsewhere.
    """
    for model in models:
        place = getattr(model.temporal_model, "location", None)
        if place is None:
            continue
        apart = u.Quantity(place.geocentric) - u.Quantity(location.geocentric)
        kilometres = np.linalg.norm(apart.to_value("km"))
        if kilometres > NEAR.to_value("km"):
            raise ConfigError(
                f"The model '{model.name}' is for telescopes {kilometres:.0f} km away from the "
                "array.",
                remedy="Give its temporal model the location of the array, or simulate another "
                "array (`irfs`, `location`).",
            )


def _duration(value: u.Quantity | str, name: str) -> u.Quantity:
    try:
        duration = u.Quantity(value).to("s")
    except (u.UnitsError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{name}' is {value!r}, not a time.", remedy="Give it with a unit, as in '30 min'."
        ) from error
    if not np.all(np.isfinite(duration)):
        raise ConfigError(f"'{name}' is not finite.", remedy="Give it as in '30 min'.")
    return duration


def _reference() -> Time:
    return Time(*MJD_REFERENCE, format="mjd", scale="tt")


def _pointing_list(pointings: SkyCoord | Sequence[SkyCoord]) -> list[SkyCoord]:
    if isinstance(pointings, SkyCoord):
        pointings = [pointings] if pointings.isscalar else list(pointings)
    pointings = list(pointings)
    if not pointings:
        raise ConfigError("There are no pointings.", remedy="Give at least one direction.")
    for pointing in pointings:
        if not isinstance(pointing, SkyCoord) or not pointing.isscalar:
            raise ConfigError(
                f"A pointing is {pointing!r}.", remedy="Give a list of single SkyCoord objects."
            )
        if not (np.isfinite(pointing.icrs.ra) and np.isfinite(pointing.icrs.dec)):
            raise ConfigError("A pointing is not finite.", remedy="Check the list of pointings.")
    # Rebuilt from bare angles, so that frames and attributes do not travel along.
    return [SkyCoord(p.icrs.ra.deg, p.icrs.dec.deg, unit="deg", frame="icrs") for p in pointings]


def _start_time(start: Time | str) -> Time:
    try:
        time = start if isinstance(start, Time) else Time(start, scale="utc")
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"'start' is {start!r}, not a time.",
            remedy="Give an astropy Time, or UTC as in '2028-01-01T00:00:00'.",
        ) from error
    if not time.isscalar:
        raise ConfigError("'start' holds several times.", remedy="Give one; see also `gti`.")
    return time


def check_schedule(
    pointings: SkyCoord | Sequence[SkyCoord],
    livetime: u.Quantity | str | None,
    deadtime_fraction: float,
    start: Time | str,
    gap: u.Quantity | str,
    gti: Sequence[GTI] | None,
    obs_id_start: int,
    rng: np.random.Generator,
) -> list[Run]:
    """Return the runs that the arguments describe; they are those of `observations`.

    Parameters
    ----------
    pointings : `astropy.coordinates.SkyCoord` or list of `~astropy.coordinates.SkyCoord`
        Directions.
    livetime : `astropy.units.Quantity`, str or None
        Live times.
    deadtime_fraction : float
        Dead part of the time on.
    start : `astropy.time.Time` or str
        Start of the first run.
    gap : `astropy.units.Quantity` or str
        Time between runs.
    gti : list of `gammapy.data.GTI` or None
        Intervals of each run.
    obs_id_start : int
        First identifier.
    rng : `numpy.random.Generator`
        Checked to be one.

    Returns
    -------
    runs : list of Run
        One per pointing.

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    """
    if not isinstance(rng, np.random.Generator):
        raise ConfigError(
            f"'rng' is a {type(rng).__name__}.", remedy="Pass numpy.random.default_rng(seed)."
        )
    if not 0 <= deadtime_fraction < 1:
        raise ConfigError(
            f"'deadtime_fraction' is {deadtime_fraction}.", remedy="Give a number in [0, 1)."
        )
    if isinstance(obs_id_start, bool) or int(obs_id_start) != obs_id_start or obs_id_start < 0:
        raise ConfigError(f"'obs_id_start' is {obs_id_start}.", remedy="Give 0 or more.")
    directions = _pointing_list(pointings)
    if gti is not None:
        windows = _given_windows(gti, livetime, len(directions))
    else:
        windows = _regular_windows(livetime, deadtime_fraction, start, gap, len(directions))
    return [
        Run(int(obs_id_start) + i, direction, window)
        for i, (direction, window) in enumerate(zip(directions, windows, strict=True))
    ]


def _regular_windows(
    livetime: u.Quantity | str | None,
    deadtime_fraction: float,
    start: Time | str,
    gap: u.Quantity | str,
    n: int,
) -> list[Windows]:
    if livetime is None:
        raise ConfigError("There is no live time.", remedy="Give `livetime` or `gti`.")
    live = _duration(livetime, "livetime").to_value("s")
    if live.ndim > 1 or (live.ndim == 1 and len(live) != n):
        raise ConfigError(
            f"There are {live.size} live times for {n} pointings.",
            remedy="Give one for all, or one for each.",
        )
    if np.any(live <= 0):
        raise ConfigError("A live time is not positive.", remedy="Give it as in '30 min'.")
    between = _duration(gap, "gap")
    if not between.isscalar or between < 0:
        raise ConfigError(f"'gap' is {gap}.", remedy="Give one time of 0 s or more.")
    ontime = np.broadcast_to(live, n) / (1 - deadtime_fraction)
    reference = _reference()
    first = (_start_time(start).tt - reference).to_value("s")
    starts = first + np.concatenate([[0.0], np.cumsum(ontime + between.to_value("s"))[:-1]])
    return [
        Windows(reference, np.array([begin]), np.array([begin + length]))
        for begin, length in zip(starts, ontime, strict=True)
    ]


def _given_windows(gti: Sequence[GTI], livetime: u.Quantity | str | None, n: int) -> list[Windows]:
    if livetime is not None:
        raise ConfigError(
            "Both `livetime` and `gti` are given.", remedy="Set livetime=None: the GTIs say it."
        )
    if len(gti) != n:
        raise ConfigError(
            f"There are {len(gti)} GTIs for {n} pointings.", remedy="Give one for each."
        )
    reference = _reference()
    windows = []
    for item in gti:
        if len(item.table) == 0:
            raise ConfigError("A GTI is empty.", remedy="Leave its pointing out.")
        begin = np.atleast_1d((item.time_start.tt - reference).to_value("s"))
        end = np.atleast_1d((item.time_stop.tt - reference).to_value("s"))
        if np.any(end <= begin) or np.any(begin[1:] < end[:-1]):
            raise ConfigError(
                "The intervals of a GTI are empty, overlap or are not in order.",
                remedy="Sort them, and merge those that overlap (GTI.union).",
            )
        windows.append(Windows(reference, begin, end))
    return windows


def check_energy_range(energy_range: u.Quantity | None, bkg: IRF) -> tuple[float, float]:
    """Return the limits of reconstructed energy in TeV.

    Parameters
    ----------
    energy_range : `astropy.units.Quantity`, shape (2,), or None
        What was asked for.
    bkg : `gammapy.irf.IRF`
        Background response, whose energies are the widest that can be simulated.

    Returns
    -------
    limits : tuple of float
        Lowest and highest energy.

    Raises
    ------
    ConfigError
        If the range cannot be used.
    """
    edges = bkg.axes["energy"].edges.to_value("TeV")
    if energy_range is None:
        return float(edges[0]), float(edges[-1])
    try:
        low, high = u.Quantity(energy_range).to_value("TeV")
    except (u.UnitsError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'energy_range' is {energy_range!r}.",
            remedy="Give two energies, as in [0.05, 50] * u.TeV.",
        ) from error
    if not low < high or high <= edges[0] or low >= edges[-1]:
        raise ConfigError(
            f"'energy_range' is {low}–{high} TeV.",
            remedy=f"Give a range within {edges[0]:.3g}–{edges[-1]:.3g} TeV, lower limit first.",
        )
    return float(max(low, edges[0])), float(min(high, edges[-1]))
