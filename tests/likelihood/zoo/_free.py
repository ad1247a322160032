"""Likelihoods with free shapes: one or two sources that move on small cubes, from a seed."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, MapDataset, MapDatasetOnOff
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    DiskSpatialModel,
    FoVBackgroundModel,
    GaussianSpatialModel,
    GeneralizedGaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    Shell2SpatialModel,
    ShellSpatialModel,
    SkyModel,
    TemplateSpatialModel,
)

from . import _irfs
from ._data import counts_dataset, draw_counts
from ._sky import gti
from ._spectra import without_exposure

__all__ = ["N_FREE_CASES", "FreeCase", "build_free"]

N_FREE_CASES = 320
ENTROPY = 20281207
FLUX = u.Unit("cm-2 s-1 TeV-1")
PROJECTIONS = ("CAR", "TAN", "TAN", "AIT")
KINDS = ("map cash", "map cash", "map weighted cash", "map on-off")
# What is left to Gammapy, one case in sixteen.
LEFT_TO_GAMMAPY = ("cube template", "reconstructed psf", "region")


@dataclass
class FreeCase:
    """A likelihood with free shapes.

    Attributes
    ----------
    seed : int
        The seed it was made from.
    datasets : `~gammapy.datasets.Datasets`
        The datasets with their models.
    features : set of str
        What it is made of.
    rng : `~numpy.random.Generator`
        The generator, for what comes next.
    special : str or None
        What of it is to be left to Gammapy.
    varies : bool
        Whether a response depends on the position.
    """

    seed: int
    datasets: Datasets
    features: set
    rng: np.random.Generator
    special: str | None = None
    varies: bool = False


def _template(rng, position, *, cube=False):
    geom = WcsGeom.create(skydir=position, npix=(9, 11), binsz=0.06, frame=position.frame.name)
    if cube:
        geom = geom.to_cube([_irfs.energy_axes(rng)[1]])
    data = rng.uniform(0.2, 1, geom.data_shape)
    template = Map.from_geom(geom, data=data, unit="sr-1")
    model = TemplateSpatialModel(template, filename="template.fits", normalize=True)
    model.lon_0.frozen = model.lat_0.frozen = False
    return model


def _shape(rng, kind, place, position):
    """Return a spatial model of that kind."""
    size, angle = rng.uniform(0.06, 0.25) * u.deg, rng.uniform(-90, 90) * u.deg
    makers = {
        "point": lambda: PointSpatialModel(**place),
        "Gaussian": lambda: GaussianSpatialModel(sigma=size, **place),
        "wide": lambda: GaussianSpatialModel(sigma=rng.uniform(0.4, 0.6) * u.deg, **place),
        "elongated": lambda: GaussianSpatialModel(
            sigma=size, e=rng.uniform(0.3, 0.9), phi=angle, **place
        ),
        "disk": lambda: DiskSpatialModel(r_0=1.2 * size, edge_width=0.1, **place),
        "elongated disk": lambda: DiskSpatialModel(r_0=1.5 * size, e=0.6, phi=angle, **place),
        "generalised Gaussian": lambda: GeneralizedGaussianSpatialModel(
            r_0=size, eta=rng.uniform(0.3, 0.9), **place
        ),
        "shell": lambda: ShellSpatialModel(radius=size, width=0.4 * size, **place),
        "shell 2": lambda: Shell2SpatialModel(r_0=1.3 * size, eta=0.4, **place),
        "constant": lambda: ConstantSpatialModel(value=rng.uniform(300, 900) / u.sr),
        "template": lambda: _template(rng, position),
        "cube template": lambda: _template(rng, position, cube=True),
    }
    model = makers[kind]()
    if kind == "constant":
        model.value.frozen = False
    if kind.startswith("elongated"):
        model.e.frozen = model.phi.frozen = False
    if "generalised" in kind:
        model.eta.frozen = rng.uniform() < 0.5
    if kind == "disk":
        model.edge_width.frozen = True
    return model


SHAPES = (
    "point", "Gaussian", "elongated", "disk", "point", "Gaussian", "generalised Gaussian", "shell",
    "point", "wide", "elongated", "shell 2", "elongated disk", "constant", "template", "Gaussian",
)  # fmt: skip
# Where sources are: degrees from the centre of a map whose edges are 0.8 degrees away. Just beyond
# the edge Gammapy lets go of a source without a PSF, all at once.
PLACES = {"inside": 0.25, "inside, far": 0.5, "at the edge": 0.77, "beyond the edge": 0.9}


def _place(rng, position, features):
    name = str(rng.choice(list(PLACES), p=[0.5, 0.2, 0.2, 0.1]))
    features.add(f"place {name}")
    far = PLACES[name] * rng.choice([-1, 1])
    near = rng.uniform(-0.2, 0.2)
    lon, lat = (far, near) if rng.uniform() < 0.5 else (near, far)
    frame = str(rng.choice(["icrs", "galactic"]))
    here = position.spherical_offsets_by(lon * u.deg, lat * u.deg).transform_to(frame)
    if frame != position.frame.name:
        features.add("other frame than the map")
    return {"lon_0": here.data.lon.to("deg"), "lat_0": here.data.lat.to("deg"), "frame": frame}


def _source(case, name, kind, position):
    rng, features = case.rng, case.features
    features.add(f"shape {kind}")
    apply_irf = {"exposure": True, "psf": True, "edisp": True}
    spectral = PowerLawSpectralModel(
        index=rng.uniform(1.8, 2.8), amplitude=10 ** rng.uniform(-11.3, -10.5) * FLUX
    )
    if rng.uniform() < 0.12:
        off = str(rng.choice(["exposure", "psf", "edisp"]))
        features.add(f"without {off}")
        apply_irf[off] = False
        if off == "exposure":
            spectral = without_exposure(rng)
    place = _place(rng, position, features)
    spatial = _shape(rng, kind, place, position)
    model = SkyModel(spectral, spatial, name=name, apply_irf=apply_irf)
    _freeze_some(rng, spatial, features)
    return model


def _freeze_some(rng, spatial, features):
    """Freeze the position or the size of some shapes."""
    free = list(spatial.parameters.free_parameters)
    if len(free) < 3 or rng.uniform() < 0.6:
        return
    features.add("part of the shape frozen")
    place = [p for p in free if p.name in ("lon_0", "lat_0")]
    rest = [p for p in free if p.name not in ("lon_0", "lat_0")]
    for parameter in rest if rng.uniform() < 0.5 else place[: int(rng.integers(1, 3))]:
        parameter.frozen = True


def _geom(rng, position, axis, kind, features):
    projection = str(rng.choice(PROJECTIONS))
    oblong = kind == "oblong"
    geom = WcsGeom.create(
        skydir=position, npix=(16, 17), binsz=(0.1, 0.13) if oblong else 0.1, proj=projection,
        frame=position.frame.name, axes=[axis],
    )  # fmt: skip
    features |= {f"projection {projection}", f"frame {position.frame.name}"}
    features |= {"oblong pixels"} if oblong else set()
    return geom


def _masks(rng, geom, weighted, features):
    masks = {}
    for name in ("mask_safe", "mask_fit"):
        if rng.uniform() < 0.4 or (weighted and name == "mask_fit"):
            features.add(name)
            mask = Map.from_geom(geom, dtype=bool)
            mask.data[...] = rng.uniform(size=mask.data.shape) < 0.9
            mask.data[0, :, :3] = False
            masks[name] = mask
    if weighted:
        weights = Map.from_geom(geom, dtype=float)
        weights.data[...] = masks["mask_fit"].data * rng.uniform(0.3, 1, weights.data.shape)
        masks["mask_fit"] = weights
    return masks


def _axes(rng):
    """Return few energies: to extract a PSF for each takes most of the time of a case."""
    low, high = rng.uniform(0.4, 0.8), rng.uniform(10, 30)
    reco = MapAxis.from_energy_bounds(low, high, nbin=int(rng.integers(2, 4)), unit="TeV")
    n_true = int(rng.integers(3, 5))
    true = MapAxis.from_energy_bounds(0.3, 40, nbin=n_true, unit="TeV", name="energy_true")
    return reco, true


def _dataset(case, name, kind, position):
    rng, features = case.rng, case.features
    if case.special == "region" and name == "set-0":
        features.add("spectrum cash")
        return counts_dataset(rng, "spectrum cash", name, position, "constant")[0]
    features.add(kind)
    reco, true = _axes(rng)
    psf, with_psf = None, rng.uniform() < 0.8 or case.special == "reconstructed psf"
    geom_kind = "oblong" if not with_psf and rng.uniform() < 0.3 else "square"
    geom = _geom(rng, position, reco, geom_kind, features)
    content = {"counts": Map.from_geom(geom, dtype=float)}
    if with_psf:
        psf = str(rng.choice(["constant"] * 3 + ["varying"]))
        if case.special == "reconstructed psf":
            psf = "reconstructed"
        content["psf"] = _irfs.psf(rng, psf, position, reco, true)
    features.add(f"psf {psf}" if psf else "no psf")
    edisp = str(rng.choice(["kernel", "kernel", "diagonal", "migration", "varying", "none"]))
    features.add(f"edisp {edisp}")
    if edisp != "none":
        content["edisp"] = _irfs.edisp(rng, edisp, position, reco, true)
    case.varies |= "varying" in (psf, edisp)
    content |= _masks(rng, geom, kind == "map weighted cash", features)
    one = Map.from_geom(geom, dtype=float)
    one.data += rng.uniform(0.6, 1.4, geom.data_shape)
    if kind == "map on-off":
        off = one * 3
        off.data = rng.poisson(2 * off.data).astype(float)
        acceptance = one.copy(data=np.ones(geom.data_shape))
        content |= {"counts_off": off, "acceptance": acceptance, "acceptance_off": acceptance * 4}
    elif rng.uniform() < 0.9:
        content["background"] = one * float(rng.choice([0.05, 0.5, 3]))
    else:
        features.add("no background")
    if kind == "map weighted cash":
        content["stat_type"] = "cash_weighted"
    cls = MapDatasetOnOff if kind == "map on-off" else MapDataset
    return cls(name=name, exposure=_irfs.exposure(rng, geom, true), gti=gti(rng), **content)


def _link(case, sources):
    """Let two sources share a centre, or an index."""
    first, second = (source.spatial_model for source in sources)
    both = "lon_0" in first.parameters.names and "lon_0" in second.parameters.names
    if both and first.frame == second.frame and case.rng.uniform() < 0.5:
        second.lon_0, second.lat_0 = first.lon_0, first.lat_0
        case.features.add("link of positions")
    else:
        sources[1].spectral_model.index = sources[0].spectral_model.index
        case.features.add("link")


def _transform(case, parameters):
    for parameter in parameters.free_parameters:
        if parameter.name in ("amplitude", "sigma", "r_0") and case.rng.uniform() < 0.7:
            parameter.scale_transform = str(case.rng.choice(["log", "sqrt"]))
            case.features.add(f"transform {parameter.scale_transform}")


def build_free(seed):
    """Return the case with free shapes of that seed.

    Parameters
    ----------
    seed : int
        Below `N_FREE_CASES` for the cases that are always tested; any other works, too.

    Returns
    -------
    case : `FreeCase`
        The case.
    """
    rng = np.random.default_rng([ENTROPY, seed])
    special = LEFT_TO_GAMMAPY[seed // 16 % 3] if seed % 16 == 7 else None
    case = FreeCase(seed, Datasets(), set(), rng, special)
    position = _irfs.center(str(rng.choice(list(_irfs.CENTERS))))
    n_datasets = int(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05]))
    case.features.add(f"{n_datasets} datasets")
    kinds = [KINDS[seed % len(KINDS)], *rng.choice(KINDS, n_datasets - 1)]
    datasets = [_dataset(case, f"set-{i}", str(k), position) for i, k in enumerate(kinds)]
    shapes = [SHAPES[seed % len(SHAPES)]]
    if case.special == "cube template":
        shapes = ["cube template"]
    elif rng.uniform() < 0.35:
        shapes.append(str(rng.choice(SHAPES)))
    case.features.add(f"{len(shapes)} sources")
    sources = [_source(case, f"source-{i}", k, position) for i, k in enumerate(shapes)]
    models = list(sources)
    if len(sources) > 1 and rng.uniform() < 0.4:
        _link(case, sources)
    for dataset in datasets:
        if type(dataset) is MapDataset and dataset.background is not None and rng.uniform() < 0.7:
            models.append(FoVBackgroundModel(dataset_name=dataset.name))
            models[-1].spectral_model.tilt.frozen = bool(rng.uniform() < 0.5)
    case.datasets = Datasets(datasets)
    case.datasets.models = Models(models)
    for dataset in datasets:
        draw_counts(rng, dataset)
    if rng.uniform() < 0.25:
        _transform(case, case.datasets.parameters)
    case.datasets.parameters.autoscale()
    if special:
        case.features.add(f"special {special}")
    return case
