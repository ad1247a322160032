import astropy.units as u
import numpy as np
from gammapy.datasets import MapDataset
from gammapy.irf import PSFMap
from gammapy.maps import MapAxis, WcsGeom

from ctao_sat import dl5, plotting

# A small field in memory, with two sources. A reduced dataset of yours will do as well.
energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)
energy_true = MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=6, name="energy_true")
geom = WcsGeom.create(npix=(120, 80), binsz=0.02, frame="galactic", axes=[energy])
dataset = MapDataset.create(geom, energy_axis_true=energy_true, name="field")
dataset.psf = PSFMap.from_gauss(energy_true, sigma="0.05 deg")
dataset.mask_safe.data[...] = True
dataset.background.data[...] = np.array([1.0, 0.3, 0.1])[:, None, None]
dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 1e14) * u.Unit("cm2 s")


def source(spatial, name):
    spectrum = dl5.PowerLawSpectralModel(amplitude="1e-12 cm-2s-1TeV-1", index=2.2)
    return dl5.SkyModel(spectrum, spatial, name=name)


def at(lon, kind=dl5.PointSpatialModel, **shape):
    return kind(lon_0=lon * u.deg, lat_0=0 * u.deg, frame="galactic", **shape)


dataset.models = [
    source(at(0.5), "point"),
    source(at(-0.5, dl5.GaussianSpatialModel, sigma=0.1 * u.deg), "extended"),
]
dataset.fake(random_state=np.random.RandomState(7))
dataset.models = None  # the null hypothesis: background alone

# Point sources at each pixel; errors and upper limits of their flux.
point = source(dl5.PointSpatialModel(), "search")
maps = dl5.ts_map(dataset, point, selection_optional=["errn-errp", "ul"])
row, column = np.unravel_index(np.nanargmax(maps.sqrt_ts.data[0]), maps.geom.data_shape[1:])
where = maps.geom.to_image().pix_to_coord((column, row))
print(
    f"highest at l = {where[0]:.2f}, b = {where[1]:.2f}: {np.nanmax(maps.sqrt_ts.data):.1f} sigma"
)
print(f"flux there {maps.flux.quantity[0, row, column]:.2e}")
print(f"median upper limit {np.nanmedian(maps.flux_ul.quantity):.1e}")

# Extended sources: any spatial model.
disk = source(dl5.DiskSpatialModel(r_0=0.15 * u.deg), "search")
wide = dl5.ts_map(dataset, disk)

# A norm for each band of energy.
bands = dl5.ts_map(dataset, point, energy_edges=energy.edges)

ax = maps.sqrt_ts.sum_over_axes(keepdims=False).plot(add_cbar=True, cmap="magma", vmin=0)
ax.contour(wide.sqrt_ts.data[0], levels=[5, 8], colors="white", linewidths=1)
ax.set_title("sqrt(TS) of a point source; contours of a disk of 0.15 deg")
plotting.save(ax, "ts-map.png")
