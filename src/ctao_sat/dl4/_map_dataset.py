"""Make the map dataset of one observation, compiled where possible.

Gammapy spends its time on three things: it interpolates each response at each bin of the map anew,
computes the exposure once more for PSF and energy dispersion, and reads a response from its file
each time it is asked for. Here the same maps come from tables, see `ctao_sat.dl4._irf_tables`;
a response that is none goes to Gammapy's maker, which is logged and noted in the dataset.
"""

import copy
import logging

import numpy as np
from gammapy.data import FixedPointingInfo, Observation, PointingMode
from gammapy.datasets import MapDataset
from gammapy.irf import EnergyDependentMultiGaussPSF
from gammapy.makers import MapDatasetMaker

from ctao_sat.dl3._sites import bundled_earth_rotation
from ctao_sat.dl4 import _map_responses as responses
from ctao_sat.dl4._irf_tables import unhandled
from ctao_sat.dl4._pixels import RIGID_FRAMES, map_pixels

__all__ = ["make_map_dataset", "read_once"]

log = logging.getLogger(__name__)

_CONTENTS = ("events", "aeff", "edisp", "psf", "bkg")


def read_once(observation: Observation, contents: tuple[str, ...] = _CONTENTS) -> Observation:
    """Return an observation that keeps what Gammapy reads anew each time it is asked for.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        It is not changed, and shares what it holds.
    contents : tuple of str
        What to read, where it is there.

    Returns
    -------
    observation : `~gammapy.data.Observation`
        The same, in memory.
    """
    other = copy.copy(observation)
    for name in contents:
        if name in observation.available_hdus:
            value = getattr(observation, name)
            if value is not None:
                setattr(other, name, value)
    return other


def make_map_dataset(
    empty: MapDataset, observation: Observation, *, integration: str = "irf"
) -> MapDataset:
    """Return the map dataset of one observation.

    Parameters
    ----------
    empty : `~gammapy.datasets.MapDataset`
        Its name and geometries are taken; it is not changed.
    observation : `~gammapy.data.Observation`
        Held in memory, see `read_once`.
    integration : {"irf", "bin-edges"}
        How the background is integrated over energy, see `ctao_sat.dl4.reduce`.

    Returns
    -------
    dataset : `~gammapy.datasets.MapDataset`
        With counts, exposure, PSF, energy dispersion and background, as far as the observation has
        them. Its ``meta_table`` says in ``BKG_INTEGRATION`` how the background was integrated, and
        in ``FALLBACKS`` what was left to Gammapy, and why.
    """
    present = _present(observation)
    left = _left_to_gammapy(empty, observation, present)
    ours = set(present) - set(left)
    maker = MapDatasetMaker(selection=["counts", *left])
    # The maker fills gaps of the background in place.
    plain = copy.copy(observation)
    if "background" in left:
        plain.bkg = copy.deepcopy(observation.bkg)
    # Where the horizon is needed, offline too.
    with bundled_earth_rotation():
        dataset = maker.run(empty, plain)
    pixels = map_pixels(empty.counts.geom)
    if "exposure" in ours:
        dataset.exposure = responses.exposure_map(observation, empty.exposure.geom, pixels)
    if "background" in ours:
        with bundled_earth_rotation():
            dataset.background = responses.background_map(
                observation, empty.counts.geom, pixels, nodes=integration == "irf"
            )
    if "psf" in ours:
        geom = empty.psf.psf_map.geom
        dataset.psf = responses.psf_map(observation, geom, map_pixels(geom))
    if "edisp" in ours:
        geom = empty.edisp.edisp_map.geom
        make = responses.edisp_map if "migra" in geom.axes.names else responses.edisp_kernel_map
        dataset.edisp = make(observation, geom, map_pixels(geom))
    _note(dataset, observation, left, integration)
    return dataset


def _present(observation: Observation) -> list[str]:
    """Return what can be made of an observation."""
    if observation.aeff is None:
        return []
    hdus = {"exposure": "aeff", "psf": "psf", "edisp": "edisp", "background": "bkg"}
    return [name for name, hdu in hdus.items() if getattr(observation, hdu) is not None]


def _left_to_gammapy(
    empty: MapDataset, observation: Observation, present: list[str]
) -> dict[str, str]:
    """Return why parts of the dataset are not compiled."""
    geom = empty.counts.geom
    if geom.frame not in RIGID_FRAMES:
        return dict.fromkeys(present, f"the frame '{geom.frame}' is not compiled")
    if not geom.is_regular:
        return dict.fromkeys(present, "pixels that change with energy are not compiled")
    reasons = {
        "exposure": unhandled(observation.aeff),
        "psf": unhandled(observation.aeff) or _no_psf(empty, observation),
        "edisp": unhandled(observation.aeff) or _no_redistribution(observation),
        "background": _no_background(observation),
    }
    return {name: reasons[name] for name in present if reasons[name]}


def _no_psf(empty: MapDataset, observation: Observation) -> str:
    reason = unhandled(observation.psf)
    steps = np.diff(empty.psf.psf_map.geom.axes["rad"].center.value)
    parameters = isinstance(observation.psf, EnergyDependentMultiGaussPSF)
    if not reason and parameters and not np.allclose(steps, steps[:1], rtol=1e-9, atol=0):
        reason = "the radii of the map are not in equal steps"
    return reason


def _no_redistribution(observation: Observation) -> str:
    reason = unhandled(observation.edisp)
    if not reason and observation.edisp.axes["migra"].interp != "lin":
        reason = "the ratio of energies is binned in its logarithm"
    return reason


def _no_background(observation: Observation) -> str:
    bkg = observation.bkg
    reason = unhandled(bkg)
    if reason:
        return reason
    if bkg.interp_kwargs.get("values_scale") != "log" or bkg.interp_kwargs["fill_value"] != 0:
        return "the background is not interpolated in its logarithm, or extrapolated"
    pointing = observation.pointing
    fixed = isinstance(pointing, FixedPointingInfo) and pointing.mode == PointingMode.POINTING
    return "" if fixed else "the pointing is not fixed"


def _note(
    dataset: MapDataset, observation: Observation, left: dict[str, str], integration: str
) -> None:
    """Write into a new dataset, and the log, how it came about."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in left.items())
    if left:
        log.info("Observation %s, left to Gammapy: %s.", observation.obs_id, reasons)
    integrated = "bin-edges" if "background" in left else integration
    dataset.meta_table["BKG_INTEGRATION"] = ["" if observation.bkg is None else integrated]
    dataset.meta_table["FALLBACKS"] = [reasons]
