import astropy.units as u
import numpy as np
from gammapy.data import FixedPointingInfo, Observation
from gammapy.datasets import Datasets, MapDataset
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from regions import CircleSkyRegion

from ctao_sat import dl5, plotting, simulate

# Two hours with the demonstration array: a bright extended source, and a faint one.
energy = MapAxis.from_energy_bounds("0.3 TeV", "30 TeV", nbin=6)
true = MapAxis.from_energy_bounds("0.2 TeV", "60 TeV", nbin=15, name="energy_true")
geom = WcsGeom.create(skydir=(10, 0), frame="galactic", binsz=0.02, npix=120, axes=[energy])
pointing = FixedPointingInfo(fixed_icrs=geom.center_skydir.icrs)
observation = Observation.create(
    pointing=pointing, livetime=2 * u.h, irfs=simulate.demo_array("south")
)
maker = MapDatasetMaker(selection=["background", "exposure", "psf", "edisp"])
dataset = maker.run(MapDataset.create(geom, energy_axis_true=true, name="field"), observation)
background = FoVBackgroundModel(dataset_name="field")


def source(name, amplitude, shape):
    return SkyModel(PowerLawSpectralModel(index=2.3, amplitude=amplitude), shape, name=name)


truth = [
    source(
        "wide",
        "4e-12 cm-2 s-1 TeV-1",
        GaussianSpatialModel(
            lon_0="10.2 deg", lat_0="-0.4 deg", sigma="0.15 deg", frame="galactic"
        ),
    ),
    source(
        "faint",
        "5e-13 cm-2 s-1 TeV-1",
        PointSpatialModel(lon_0="9.6 deg", lat_0="0.4 deg", frame="galactic"),
    ),
]
dataset.models = [*truth, background]
dataset.counts = dataset.npred().copy(data=np.random.default_rng(4).poisson(dataset.npred().data))
dataset.models = [background]

# Where is something?
found = dl5.find_sources(Datasets([dataset]))
found.table["name", "lon", "lat", "r68", "significance", "sigma", "ts_ext", "flag"].pprint()
radius = 0.06 * u.deg
significance = dl5.significance_map(dataset, radius)
ax = plotting.plot_sky_map(
    significance, label=r"Significance [$\sigma$]", sources=found.table, beam=radius
)
plotting.save(ax, "sky-significance.png")

# Is the rest noise?
circles = [CircleSkyRegion(m.spatial_model.position, 0.5 * u.deg) for m in found.models]
exclusion = geom.to_image().region_mask(circles, inside=False)
ax = plotting.plot_significance_distribution(significance, exclusion, correlation_radius=radius)
plotting.save(ax, "sky-distribution.png")
dataset.models = [*found.models, background]
residuals = dl5.significance_map(dataset, radius)
ax = plotting.plot_sky_map(residuals, label=r"Residual significance [$\sigma$]", beam=radius)
plotting.save(ax, "sky-residuals.png")

# How wide is it?
dataset.models = [background]
profile = dl5.radial_profile(
    dataset,
    found.models[0].spatial_model.position,
    np.linspace(0, 0.5, 11) * u.deg,
    [0.3, 30] * u.TeV,
)
plotting.save(plotting.plot_flux_profile(profile), "sky-profile.png")
