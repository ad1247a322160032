import tempfile

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib import pyplot
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl4, plotting, recipes, simulate

# Two runs of ten minutes on a source like the Crab nebula, of the demonstration array.
target = SkyCoord(83.63, 22.01, unit="deg")
with tempfile.TemporaryDirectory() as folder:
    store = simulate.observations(
        recipes.crab_like_model(),
        simulate.wobble_pointings(target, offset=0.7 * u.deg, n=2),
        "10 min",
        "demo-north",
        np.random.default_rng(8),
        path=f"{folder}/dl3",
    )
    observations = store.get_observations()

    # A cube: counts, background, exposure, PSF and energy dispersion.
    energy = sat.MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=10)
    geometry = sat.WcsGeom.create(skydir=target, binsz=0.04, width=4, axes=[energy])
    options = {
        "offset_max": 2 * u.deg,
        "exclusion": [CircleSkyRegion(target, 0.3 * u.deg)],
    }
    datasets = dl4.reduce(observations, geometry, **options)
    for dataset in datasets:
        norm = dataset.background_model.spectral_model.norm
        table = dataset.meta_table
        print(
            f"run {dataset.name}: background norm {norm.value:.3f} +- {norm.error:.3f}, "
            f"integrated by '{table['BKG_INTEGRATION'][0]}', left to Gammapy: "
            f"{table['FALLBACKS'][0] or 'nothing'}"
        )

    # All in one, run by run: only the sum and one run are in memory.
    (stacked,) = dl4.reduce(observations, geometry, **options, stack=True)

figure = pyplot.figure(figsize=(10.5, 3.4))
maps = {
    "counts": stacked.counts.sum_over_axes(),
    "background": stacked.background.sum_over_axes(),
    "excess": (stacked.counts - stacked.background).sum_over_axes().smooth("0.08 deg"),
}
for i, (name, image) in enumerate(maps.items(), start=1):
    ax = figure.add_subplot(1, 3, i, projection=image.geom.wcs)
    image.plot(ax=ax, add_cbar=True, stretch="sqrt" if name == "counts" else "linear")
    ax.set_title(f"{name}: {maps[name].data.sum():.0f}")
figure.subplots_adjust(wspace=0.6)
plotting.save(figure, "reduction-maps.png")
