"""A zoo of likelihoods: datasets, models and parameters in every combination, from a seed.

`build` returns the same case for the same seed, everywhere: response functions are analytic,
counts are drawn from the models with the generator of the case. Nothing is read from disk.

The kinds of datasets and of spectra go round, so that each is there; everything else is random.
One case in sixteen holds what cannot be compiled and must be left to Gammapy.

`plain` makes likelihoods without surprises, for other tests.
"""

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.maps import MapCoord
from gammapy.modeling.models import FoVBackgroundModel, Models, PiecewiseNormSpatialModel

from . import _data, _extras, _irfs, _sky, _spectra
from . import _parts as parts
from . import _plain as plain
from ._asserts import assert_as_gammapy, assert_gradient, assert_same, factors, gammapy
from ._counts import Counts
from ._differences import derivative, directional
from ._extras import perturb
from ._free import N_FREE_CASES, FreeCase, build_free

__all__ = [
    "N_CASES",
    "N_FREE_CASES",
    "Case",
    "Counts",
    "FreeCase",
    "assert_as_gammapy",
    "assert_gradient",
    "assert_same",
    "build",
    "build_free",
    "derivative",
    "directional",
    "factors",
    "gammapy",
    "parts",
    "perturb",
    "plain",
    "rebuild",
]

N_CASES = 528
ENTROPY = 20281106
LEFT_TO_GAMMAPY = (
    "free position",
    "free extension",
    "free pattern",
    "reconstructed psf",
    "custom spectrum",
)
FREE_SHAPES = {
    "free position": ("lon_0", "lat_0"),
    "free extension": ("sigma", "r_0"),
    "free pattern": tuple(f"norm_{k}" for k in range(5)),
}
TEMPLATES = {"image", "cube"}


@dataclass
class Case:
    """A likelihood and what it is made of.

    Attributes
    ----------
    seed : int
        The seed it was made from.
    datasets : `~gammapy.datasets.Datasets`
        The datasets with their models.
    features : set of str
        What it is made of.
    special : str or None
        What of it is to be left to Gammapy.
    rng : `~numpy.random.Generator`
        The generator, for what comes next.
    shape : list of `~gammapy.modeling.Parameter`
        Free parameters of shapes.
    """

    seed: int
    datasets: Datasets
    features: set = field(default_factory=set)
    special: str | None = None
    rng: np.random.Generator | None = None
    shape: list = field(default_factory=list)


def _special(seed):
    if seed % 16 != 5:
        return None
    return LEFT_TO_GAMMAPY[(seed // 16) % len(LEFT_TO_GAMMAPY)]


def _make_datasets(case, position):
    rng, special = case.rng, case.special
    kinds = [_data.KINDS[case.seed % len(_data.KINDS)]]
    if special and special != "custom spectrum":
        kinds = ["map cash"]
    more = rng.choice(_data.KINDS, rng.choice(4, p=[0.6, 0.25, 0.1, 0.05]))
    kinds += [str(kind) for kind in more]
    case.features.add(f"{len(kinds)} datasets")
    datasets = []
    for number, kind in enumerate(kinds):
        name = f"set-{number}"
        if kind in _data.POINTS:
            dataset, features = _data.flux_points_dataset(rng, kind, name)
        else:
            psf = "reconstructed" if special == "reconstructed psf" and number == 0 else None
            dataset, features = _data.counts_dataset(rng, kind, name, position, psf)
        datasets.append(dataset)
        case.features |= features
    return datasets


def _shapes(case, datasets):
    if case.special in {"free position", "reconstructed psf"}:
        return ("point",)
    if case.special == "free extension":
        return ("Gaussian", "disk")
    unwanted = set()
    if any(d.tag == "FluxPointsDataset" for d in datasets) and case.rng.uniform() < 0.9:
        # Gammapy evaluates a template on a fine grid at each call there: slow.
        unwanted |= TEMPLATES
    if any(d.tag != "FluxPointsDataset" and d.psf and d.counts.geom.is_region for d in datasets):
        # Gammapy cannot fold a source without an extent into a region.
        unwanted |= {"constant", "constant flux"}
    return tuple(shape for shape in _sky.SHAPES if shape not in unwanted)


def _make_sources(case, datasets, position):
    rng, special = case.rng, case.special
    counts = [d.name for d in datasets if d.tag != "FluxPointsDataset"]
    has_points = len(counts) < len(datasets)
    number = 1 if special else int(rng.choice([1, 2, 3, 4], p=[0.55, 0.3, 0.1, 0.05]))
    case.features.add(f"{number} sources")
    spectra = list(_spectra.SPECTRA)
    sources = []
    for index in range(number):
        # The first source is in every dataset: none of them is without a model.
        names = None
        if index and counts and rng.uniform() < 0.35:
            names = list(rng.choice(counts, int(rng.integers(1, len(counts) + 1)), replace=False))
            case.features.add("datasets_names")
        model, features = _sky.source(
            rng,
            f"source-{index}",
            position,
            shapes=_shapes(case, datasets),
            spectrum=spectra[case.seed % len(spectra)] if index == 0 else None,
            datasets_names=[str(name) for name in names] if names else None,
            irf=names is not None or not has_points,
        )
        sources.append(model)
        case.features |= features
    if special == "custom spectrum":
        sources[0].spectral_model = _spectra.wavy(rng)
    if not any(len(source.spectral_model.parameters) for source in sources):
        sources[0].spectral_model = _spectra.power_law(rng)
    return sources


def _make_backgrounds(case, datasets, position):
    rng, models = case.rng, []
    for dataset in datasets:
        if dataset.tag == "FluxPointsDataset":
            continue
        on_off = "OnOff" in dataset.tag
        if not on_off and dataset.background is not None and rng.uniform() < 0.7:
            model, features = _sky.field_of_view(rng, dataset, position)
        elif rng.uniform() < (0.1 if on_off else 0.4):
            model, features = _sky.template_counts(rng, dataset, f"template-{dataset.name}")
        else:
            continue
        models.append(model)
        case.features |= features
    return models


def _free_pattern(datasets, models, position):
    """Put a pattern with five free norms on the background of the first dataset."""
    first = datasets[0]
    if first.background is None:
        first.background = first.counts.copy(data=first.counts.data + 1)
    lon, lat = [0, 1, 1, -1, -1] * u.deg, [0, 1, -1, 1, -1] * u.deg
    nodes = position.spherical_offsets_by(lon, lat).data
    place = {"lon": nodes.lon.to("deg"), "lat": nodes.lat.to("deg")}
    # Gammapy evaluates the pattern of a background in the frame of the map.
    coords = MapCoord.create(place, frame=position.frame.name)
    pattern = PiecewiseNormSpatialModel(coords=coords, frame=position.frame.name)
    kept = [m for m in models if not (_is_norm(m) and m.datasets_names == [first.name])]
    return [*kept, FoVBackgroundModel(dataset_name=first.name, spatial_model=pattern)]


def _is_norm(model):
    return isinstance(model, FoVBackgroundModel)


def _link_and_penalise(case, models):
    """Return the models as a container of Gammapy, with what joins their parameters."""
    rng = case.rng
    if len(models) > 1 and rng.uniform() < 0.35:
        case.features |= _extras.link(rng, models)
    case.shape = _extras.free_shape(models, FREE_SHAPES.get(case.special, ()))
    parameters = Models(models).parameters.unique_parameters
    if len(parameters.free_parameters) == 0:
        spectra = [p for model in models for p in model.spectral_model.parameters]
        spectra[0].frozen = False
    penalties = None
    if rng.uniform() < 0.2:
        penalties, features = _extras.penalties(rng, parameters)
        case.features |= features
    return Models(models, penalties=penalties)


def _finish_parameters(case, parameters):
    """Freeze, bound and transform parameters, once the counts are there."""
    rng = case.rng
    most = 3 if case.special else 8
    case.features |= _extras.freeze_some(rng, parameters, most, case.shape)
    perturb(rng, parameters)
    if rng.uniform() < 0.3:
        case.features |= _extras.limits(rng, parameters)
    if rng.uniform() < 0.25:
        case.features |= _extras.priors(rng, parameters)
    transformed = _extras.transforms(rng, parameters) if rng.uniform() < 0.3 else set()
    case.features |= transformed
    # Without it a transformed parameter has no valid factor.
    if transformed or rng.uniform() < 0.5:
        parameters.autoscale()
        case.features.add("autoscaled")


def build(seed):
    """Return the case of that seed.

    Parameters
    ----------
    seed : int
        Below `N_CASES` for the cases that are always tested; any other works, too.

    Returns
    -------
    case : `Case`
        The case.
    """
    case = Case(
        seed, Datasets(), special=_special(seed), rng=np.random.default_rng([ENTROPY, seed])
    )
    position = _irfs.center(str(case.rng.choice(list(_irfs.CENTERS))))
    datasets = _make_datasets(case, position)
    models = _make_sources(case, datasets, position)
    models += _make_backgrounds(case, datasets, position)
    if case.special == "free pattern":
        models = _free_pattern(datasets, models, position)
    case.datasets = Datasets(datasets)
    case.datasets.models = _link_and_penalise(case, models)
    for dataset in datasets:
        if dataset.tag != "FluxPointsDataset":
            _data.draw_counts(case.rng, dataset)
    _finish_parameters(case, case.datasets.parameters)
    if case.special:
        case.features.add(case.special)
    return case


def rebuild(datasets):
    """Give the models to the datasets anew, and let Gammapy forget the background it has kept."""
    models = datasets.models
    datasets.models = Models(list(models), penalties=models._penalties)
    for dataset in datasets:
        model = getattr(dataset, "background_model", None)
        if model is not None and dataset.background is not None:
            parameter = model.parameters[0]
            value, factor = parameter.value, parameter.factor
            parameter.value = value + 1
            dataset.npred_background()
            parameter.factor = factor
            if parameter.value != value:
                parameter.value = value
