"""Datasets of all types: exposures, responses, backgrounds and masks; counts come later."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import (
    FluxPointsDataset,
    MapDataset,
    MapDatasetOnOff,
    SpectrumDataset,
    SpectrumDatasetOnOff,
)
from gammapy.estimators import FluxPoints
from gammapy.maps import Map
from gammapy.modeling.models import PowerLawSpectralModel

from . import _irfs
from ._sky import gti

MAPS = ("map cash", "map weighted cash", "map on-off")
REGIONS = ("spectrum cash", "spectrum on-off", "region map")
POINTS = ("points chi2", "points distrib", "points profile")
KINDS = MAPS + REGIONS + POINTS
CLASSES = {
    "map cash": MapDataset,
    "map weighted cash": MapDataset,
    "region map": MapDataset,
    "map on-off": MapDatasetOnOff,
    "spectrum cash": SpectrumDataset,
    "spectrum on-off": SpectrumDatasetOnOff,
}
MASKS = ("no mask", "mask_safe", "mask_fit", "mask_safe and mask_fit")


def _responses(rng, position, reco, true, *, with_psf, psf_kind):
    psf, edisp, edisp_kind = None, None, "no edisp"
    if with_psf:
        psf_kind = psf_kind or str(rng.choice(["constant", "constant", "varying"]))
        psf = _irfs.psf(rng, psf_kind, position, reco, true)
        psf_kind = f"psf {psf_kind}"
    else:
        psf_kind = "no psf"
    if rng.uniform() < 0.9:
        edisp_kind = str(rng.choice(["kernel", "kernel", "diagonal", "migration", "varying"]))
        edisp = _irfs.edisp(rng, edisp_kind, position, reco, true)
        edisp_kind = f"edisp {edisp_kind}"
    return {"psf": psf, "edisp": edisp}, {psf_kind, edisp_kind}


def _mask(rng, geom):
    """Return a mask that depends on energy and pixel but keeps most bins."""
    mask = Map.from_geom(geom, dtype=bool)
    mask.data[...] = rng.uniform(size=mask.data.shape) < 0.8
    if geom.is_region:
        mask.data[0] = False
        mask.data[1] = True
    else:
        mask.data[0, :, : int(rng.integers(1, 5))] = False
    return mask


def _masks(rng, geom, *, weighted):
    kind = str(rng.choice(MASKS))
    masks = {name: _mask(rng, geom) for name in ("mask_safe", "mask_fit") if name in kind}
    if weighted and "mask_fit" in masks:
        weights = Map.from_geom(geom, dtype=float)
        weights.data[...] = masks["mask_fit"].data * rng.uniform(0.2, 1, weights.data.shape)
        masks["mask_fit"] = weights
        kind += ", weights"
    return masks, {kind}


def _background(rng, geom, *, level):
    """Return a background map and the name of its kind."""
    kind = str(rng.choice(["background"] * 7 + ["zero background", "no background", "holes"]))
    if kind == "no background":
        return None, kind
    background = Map.from_geom(geom, dtype=rng.choice(["float32", "float64"]))
    if kind != "zero background":
        fall = np.geomspace(3, 0.2, geom.data_shape[0])[:, np.newaxis, np.newaxis]
        background.data[...] = level * fall * rng.uniform(0.6, 1.4, geom.data_shape)
    if kind == "holes":
        background.data[rng.uniform(size=geom.data_shape) < 0.3] = 0
    return background, kind


def _off(rng, geom, *, level):
    """Return counts and acceptances of the off regions."""
    acceptance = Map.from_geom(geom, dtype=float)
    acceptance.data += 1
    off = acceptance * float(rng.choice([0.5, 3, 10]))
    off.data *= rng.uniform(0.7, 1.3, geom.data_shape)
    counts = Map.from_geom(geom, dtype=rng.choice(["float32", "float64", "int32"]))
    counts.data[...] = rng.poisson(level * off.data)
    return {"counts_off": counts, "acceptance": acceptance, "acceptance_off": off}


def counts_dataset(rng, kind, name, position, psf_kind=None):
    """Return a dataset of counts without counts, and the names of its features."""
    reco, true = _irfs.energy_axes(rng)
    with_psf = psf_kind is not None or rng.uniform() < (0.3 if kind in REGIONS else 0.6)
    if kind in MAPS:
        square = with_psf or rng.uniform() < 0.7
        geom, features = _irfs.wcs_geom(rng, position, reco, square=square)
    else:
        shape = "circle" if with_psf and rng.uniform() < 0.6 else None
        geom, features = _irfs.region_geom(rng, position, reco, shape=shape)
        with_psf = with_psf and geom.region is not None
    irfs, more = _responses(rng, position, reco, true, with_psf=with_psf, psf_kind=psf_kind)
    masks, masked = _masks(rng, geom, weighted=kind == "map weighted cash")
    level = rng.choice([0.05, 0.5]) if kind in MAPS else rng.choice([2, 20])
    content = {**irfs, **masks, "counts": Map.from_geom(geom, dtype=rng.choice(["f4", "f8"]))}
    if "on-off" in kind:
        content |= _off(rng, geom, level=level)
    else:
        content["background"], what = _background(rng, geom, level=level)
        more = more | {what}
    if kind == "map weighted cash":
        content["stat_type"] = "cash_weighted"
    dataset = CLASSES[kind](
        name=name, exposure=_irfs.exposure(rng, geom, true), gti=gti(rng), **content
    )
    return dataset, features | more | masked | {kind}


def draw_counts(rng, dataset):
    """Fill in counts drawn from what the models of the dataset predict."""
    with np.errstate(all="ignore"):
        npred = np.nan_to_num(dataset.npred_signal().data)
        if "OnOff" in dataset.tag:
            npred = npred + (dataset.alpha * dataset.counts_off).data
        elif dataset.background is not None:
            npred = npred + dataset.npred_background().data
    dataset.counts.data = rng.poisson(np.clip(npred, 0, 1e6)).astype(dataset.counts.data.dtype)


def _flux_table(rng, model):
    edges = np.geomspace(0.5, 20, int(rng.integers(6, 10)))
    energy = np.sqrt(edges[1:] * edges[:-1])
    truth = model(energy * u.TeV).to_value("cm-2 s-1 TeV-1")
    error = truth * rng.uniform(0.1, 0.3, energy.size)
    table = Table()
    table["e_ref"], table["e_min"], table["e_max"] = energy, edges[:-1], edges[1:]
    for column in ("e_ref", "e_min", "e_max"):
        table[column].unit = "TeV"
    table["dnde"] = np.abs(rng.normal(truth, error))
    table["dnde_err"] = error
    table["dnde_errp"], table["dnde_errn"] = 1.1 * error, 0.9 * error
    table["dnde_ul"] = table["dnde"] + 2 * error
    for column in ("dnde", "dnde_err", "dnde_errp", "dnde_errn", "dnde_ul"):
        table[column].unit = "cm-2 s-1 TeV-1"
    table["is_ul"] = rng.uniform(size=energy.size) < 0.2
    table["is_ul"][:2] = False
    table["dnde"][table["is_ul"]] = np.nan
    table.meta["SED_TYPE"] = "dnde"
    return table


def _profile_table(rng, table, model):
    """Return the table with a likelihood profile for each point."""
    reference = model(table["e_ref"].quantity).to_value("cm-2 s-1 TeV-1")
    norm = np.nan_to_num(table["dnde"].data / reference, nan=0.2)
    error = table["dnde_err"].data / reference
    scan = np.linspace(-1, 4, 41)
    pull = (scan - norm[:, np.newaxis]) / error[:, np.newaxis]
    profile = Table()
    for column in ("e_ref", "e_min", "e_max"):
        profile[column] = table[column]
    profile["ref_dnde"] = reference * u.Unit("cm-2 s-1 TeV-1")
    width = table["e_max"].quantity - table["e_min"].quantity
    profile["ref_flux"] = profile["ref_dnde"].quantity * width
    profile["ref_eflux"] = profile["ref_flux"].quantity * table["e_ref"].quantity
    profile["norm"], profile["norm_err"] = norm, error
    profile["norm_scan"] = np.tile(scan, (norm.size, 1))
    profile["stat"] = rng.uniform(1, 5, norm.size)
    profile["stat_scan"] = profile["stat"].data[:, np.newaxis] + pull**2 * (1 + 0.01 * pull)
    profile["is_ul"] = table["is_ul"]
    profile.meta["SED_TYPE"] = "likelihood"
    return profile


def flux_points_dataset(rng, kind, name):
    """Return a dataset of flux points near a power law, and the names of its features."""
    model = PowerLawSpectralModel(amplitude=5e-12 * u.Unit("cm-2 s-1 TeV-1"))
    table, stat_type, features = _flux_table(rng, model), kind.split()[1], {kind}
    kwargs = {}
    if stat_type == "profile":
        table = _profile_table(rng, table, model)
        interp_scale = str(rng.choice(["sqrt", "lin"]))
        kwargs["stat_kwargs"] = {"interp_scale": interp_scale, "extrapolate": True}
        features.add(f"profile {interp_scale}")
    data = FluxPoints.from_table(table, reference_model=model, gti=gti(rng))
    mask = None
    if rng.uniform() < 0.5:
        mask = (rng.uniform(size=len(table)) < 0.8).reshape(-1, 1, 1)
        mask[0] = True
        features.add("points masked")
    dataset = FluxPointsDataset(data=data, mask_fit=mask, name=name, stat_type=stat_type, **kwargs)
    return dataset, features
