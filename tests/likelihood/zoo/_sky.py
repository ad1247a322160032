"""Spatial and temporal models, sources and backgrounds made of them."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    ConstantFluxSpatialModel,
    ConstantSpatialModel,
    ConstantTemporalModel,
    DiskSpatialModel,
    ExpCutoffPowerLawNormSpectralModel,
    ExpDecayTemporalModel,
    FoVBackgroundModel,
    GaussianSpatialModel,
    GaussianTemporalModel,
    GeneralizedGaussianSpatialModel,
    GeneralizedGaussianTemporalModel,
    LightCurveTemplateTemporalModel,
    LinearTemporalModel,
    LogParabolaNormSpectralModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawTemporalModel,
    Shell2SpatialModel,
    ShellSpatialModel,
    SineTemporalModel,
    SkyModel,
    TemplateNPredModel,
    TemplateSpatialModel,
)

from ._spectra import SPECTRA, piecewise, without_exposure

REFERENCE_TIME = Time("2010-12-25", scale="tt")
START = REFERENCE_TIME.mjd * u.d


def _template(rng, position, *, cube):
    geom = WcsGeom.create(skydir=position, npix=(12, 14), binsz=0.06, frame=position.frame.name)
    if cube:
        axis = MapAxis.from_energy_bounds(0.1, 100, nbin=3, unit="TeV", name="energy_true")
        geom = geom.to_cube([axis])
    data = rng.uniform(0.2, 1, geom.data_shape)
    template = Map.from_geom(geom, data=data, unit="sr-1")
    return TemplateSpatialModel(template, filename="template.fits", normalize=True)


def spatial(rng, kind, position):
    """Return a spatial model near that position, free where Gammapy leaves it free."""
    lon, lat = rng.uniform(-0.25, 0.25, 2) * u.deg
    if kind == "outside":
        kind, lon = "point", 0.75 * u.deg
    here = position.spherical_offsets_by(lon, lat).transform_to(rng.choice(["icrs", "galactic"]))
    place = {
        "lon_0": here.data.lon.to("deg"),
        "lat_0": here.data.lat.to("deg"),
        "frame": here.frame.name,
    }
    angle = rng.uniform(0.1, 0.2) * u.deg
    makers = {
        "no spatial": lambda: None,
        "point": lambda: PointSpatialModel(**place),
        "Gaussian": lambda: GaussianSpatialModel(sigma=angle, **place),
        "elongated": lambda: GaussianSpatialModel(sigma=angle, e=0.7, phi=30 * u.deg, **place),
        "generalised Gaussian": lambda: GeneralizedGaussianSpatialModel(
            r_0=angle, eta=0.3, **place
        ),
        "disk": lambda: DiskSpatialModel(r_0=1.2 * angle, **place),
        "shell": lambda: ShellSpatialModel(radius=angle, width=0.06 * u.deg, **place),
        "shell 2": lambda: Shell2SpatialModel(r_0=1.3 * angle, eta=0.3, **place),
        "image": lambda: _template(rng, position, cube=False),
        "cube": lambda: _template(rng, position, cube=True),
        "constant": lambda: ConstantSpatialModel(value=rng.uniform(500, 3000) / u.sr),
        "constant flux": ConstantFluxSpatialModel,
    }
    return makers[kind]()


SHAPES = (
    ("point",) * 4
    + ("no spatial", "Gaussian", "Gaussian", "elongated", "generalised Gaussian", "disk")
    + ("shell", "shell 2", "image", "cube", "constant", "constant flux", "outside")
)


def temporal(rng, kind):
    """Return a temporal model, free where Gammapy leaves it free."""
    table = Table({"TIME": [0.0, 0.3, 0.6, 2.0], "NORM": rng.uniform(0.5, 1.5, 4)})
    table.meta = {"MJDREFI": 55555, "MJDREFF": 0, "TIMEUNIT": "d", "TIMESYS": "tt"}
    makers = {
        "steady": ConstantTemporalModel,
        "linear": lambda: LinearTemporalModel(alpha=1, beta=0.3 / u.d, t_ref=START),
        "decay": lambda: ExpDecayTemporalModel(t0=rng.uniform(0.5, 2) * u.d, t_ref=START),
        "flare": lambda: GaussianTemporalModel(t_ref=START + 0.2 * u.d, sigma=0.4 * u.d),
        "pulse": lambda: GeneralizedGaussianTemporalModel(
            t_ref=START, t_rise=0.3 * u.d, t_decay=0.6 * u.d, eta=0.5
        ),
        "power law": lambda: PowerLawTemporalModel(t_ref=START - 1 * u.d, alpha=0.5),
        "sine": lambda: SineTemporalModel(amp=0.3, omega=3 * u.rad / u.d, t_ref=START),
        "light curve": lambda: LightCurveTemplateTemporalModel.from_table(table),
    }
    return makers[kind]()


TEMPORAL = ("steady", "linear", "decay", "flare", "pulse", "power law", "sine", "light curve")


def gti(rng):
    """Return one to three good time intervals within a day."""
    start = np.sort(rng.uniform(0, 80000, int(rng.integers(1, 4))))
    return GTI.create(start * u.s, (start + rng.uniform(600, 1800)) * u.s, REFERENCE_TIME)


def _time_term(rng, features):
    kind = str(rng.choice(TEMPORAL))
    model = temporal(rng, kind)
    free = rng.uniform() < 0.3 and kind in {"linear", "decay", "flare", "power law"}
    for parameter in model.parameters:
        parameter.frozen = parameter.frozen or not free or parameter.name == "t_ref"
    features |= {f"temporal {kind}", "free in time"} if free else {f"temporal {kind}"}
    return model


def source(rng, name, position, *, shapes=SHAPES, spectrum=None, datasets_names=None, irf=True):
    """Return a source with a fixed shape, and the names of its features."""
    features = set()
    shape = str(rng.choice(shapes))
    spectrum = spectrum or str(rng.choice(list(SPECTRA)))
    apply_irf = {"exposure": True, "psf": True, "edisp": True}
    spectral_model = None
    if irf and rng.uniform() < 0.15:
        off = str(rng.choice(["exposure", "psf", "edisp"]))
        apply_irf[off] = False
        features.add(f"without {off}")
        if off == "exposure":
            spectrum, spectral_model = "power law", without_exposure(rng)
    spatial_model = spatial(rng, shape, position)
    if spatial_model is not None:
        spatial_model.parameters.freeze_all()
    model = SkyModel(
        spectral_model or SPECTRA[spectrum](rng),
        spatial_model,
        _time_term(rng, features) if rng.uniform() < 0.2 else None,
        name=name,
        apply_irf=apply_irf,
        datasets_names=datasets_names,
    )
    return model, features | {f"shape {shape}", f"spectrum {spectrum}"}


def norm_spectrum(rng, kind):
    """Return a spectral norm for a background."""
    makers = {
        "norm": PowerLawNormSpectralModel,
        "tilt": lambda: PowerLawNormSpectralModel(tilt=rng.uniform(-0.1, 0.1)),
        "piecewise log": lambda: piecewise(rng, "log"),
        "piecewise lin": lambda: piecewise(rng, "lin"),
        "log parabola norm": lambda: LogParabolaNormSpectralModel(reference=1 * u.TeV),
        "cut-off norm": lambda: ExpCutoffPowerLawNormSpectralModel(lambda_=0.03 / u.TeV),
    }
    model = makers[kind]()
    if kind == "tilt":
        model.tilt.frozen = False
    return model


NORMS = ("norm", "tilt", "tilt", "piecewise log", "piecewise lin")
NORMS += ("log parabola norm", "cut-off norm")


def _fixed_pattern(rng, position):
    """Return a fixed spatial pattern for a background, mostly none."""
    if rng.uniform() > 0.15:
        return None
    model = _template(rng, position, cube=False)
    model.parameters.freeze_all()
    return model


def field_of_view(rng, dataset, position):
    """Return a norm of the background of that dataset, and the names of its features."""
    kind = str(rng.choice(NORMS))
    pattern = None if dataset.background.geom.is_region else _fixed_pattern(rng, position)
    model = FoVBackgroundModel(
        dataset_name=dataset.name,
        spectral_model=norm_spectrum(rng, kind),
        spatial_model=pattern,
    )
    return model, {f"field of view {kind}"} | ({"pattern"} if pattern else set())


def template_counts(rng, dataset, name):
    """Return predicted counts as a template for that dataset, and the names of its features."""
    template = Map.from_geom(dataset.counts.geom, dtype=float)
    template.data += rng.uniform(0.1, 1, template.data.shape)
    kind = str(rng.choice(NORMS))
    model = TemplateNPredModel(
        template, norm_spectrum(rng, kind), name=name, datasets_names=[dataset.name]
    )
    return model, {"template counts"}
