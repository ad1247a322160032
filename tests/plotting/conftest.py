"""Small products made by hand, and the promise that plots leave matplotlib as it was."""

import matplotlib as mpl
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.datasets import SpectrumDatasetOnOff
from gammapy.estimators import FluxPoints
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap, TimeMapAxis
from gammapy.modeling.models import PowerLawSpectralModel
from gammapy.utils.regions import regions_to_compound_region
from matplotlib import pyplot
from regions import CircleSkyRegion


@pytest.fixture(autouse=True)
def matplotlib_untouched():
    """Fail a test that leaves a figure to pyplot, or another setting."""
    settings, figures = dict(mpl.rcParams), pyplot.get_fignums()
    yield
    assert dict(mpl.rcParams) == settings
    assert pyplot.get_fignums() == figures


@pytest.fixture(scope="session")
def make_flux_points():
    """Return a function: quantities, one value a bin of energy -> flux points."""

    def make(edges=None, meta=None, **quantities):
        number = len(quantities["norm"])
        edges = np.geomspace(1.0, 10.0, number + 1) if edges is None else edges
        axis = MapAxis.from_energy_edges(edges * u.TeV)
        geom = RegionGeom.create(None, axes=[axis])
        maps = {
            name: RegionNDMap.from_geom(geom, data=np.reshape(values, (number, 1, 1)))
            for name, values in quantities.items()
        }
        meta = {"sed_type_init": "likelihood", "n_sigma_ul": 2} | (meta or {})
        return FluxPoints(maps, PowerLawSpectralModel(index=2), meta=meta)

    return make


@pytest.fixture(scope="session")
def make_light_curve():
    """Return a function: starts, duration in hours and quantities -> light curve."""

    def make(starts, hours=0.5, *, reference="2024-03-01", edges=(1.0, 10.0), **quantities):
        starts = np.asarray(starts, dtype=float)
        energy = MapAxis.from_energy_edges(np.asarray(edges) * u.TeV)
        time = TimeMapAxis(
            starts * u.h, (starts + hours) * u.h, Time(reference, scale="utc", format="iso").tt
        )
        geom = RegionGeom.create(None, axes=[energy, time])
        shape = (len(starts), len(edges) - 1, 1, 1)
        maps = {
            name: RegionNDMap.from_geom(geom, data=np.reshape(values, shape))
            for name, values in quantities.items()
        }
        meta = {"sed_type_init": "likelihood", "n_sigma_ul": 2}
        return FluxPoints(maps, PowerLawSpectralModel(index=2), meta=meta)

    return make


@pytest.fixture
def theta_squared_table():
    """Return a table of five bins of 0.01 deg2, with a source in the first one."""
    edges = np.linspace(0.0, 0.05, 6)
    return Table(
        {
            "theta2_min": edges[:-1] * u.deg**2,
            "theta2_max": edges[1:] * u.deg**2,
            "counts": [60, 12, 8, 0, 9],
            "counts_off": [18.0, 20.0, 0.0, 22.0, 19.0],
            "alpha": np.full(5, 0.5),
        }
    )


@pytest.fixture
def info_table():
    """Return a cumulative table of three runs."""
    return Table(
        {
            "livetime": [1800.0, 3600.0, 7200.0] * u.s,
            "sqrt_ts": [4.0, 5.5, 8.0],
            "excess": [20.0, 41.0, 80.0],
            "counts": [30, 60, 120],
            "counts_off": [40.0, 76.0, 160.0],
            "alpha": [0.25, 0.25, 0.25],
        }
    )


@pytest.fixture
def on_off_dataset():
    """Return counts of four bins, the last one outside of the safe range; no models."""
    energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=4)
    centre = SkyCoord(83.63, 22.01, unit="deg")
    off = [
        CircleSkyRegion(centre.directional_offset_by(angle * u.deg, 1 * u.deg), 0.1 * u.deg)
        for angle in (60, 120, 180)
    ]
    on = RegionGeom.create(CircleSkyRegion(centre, 0.1 * u.deg), axes=[energy])
    away = RegionGeom.create(regions_to_compound_region(off), axes=[energy])

    def column(values, geom=on, dtype=float):
        return RegionNDMap.from_geom(geom, data=np.reshape(values, (4, 1, 1)).astype(dtype))

    return SpectrumDatasetOnOff(
        counts=column([50, 12, 0, 3]),
        counts_off=column([30, 9, 3, 0], away),
        acceptance=column([1, 1, 1, 1]),
        acceptance_off=column([3, 3, 3, 3], away),
        mask_safe=column([True, True, True, False], dtype=bool),
        name="by hand",
    )


@pytest.fixture(scope="session")
def bars():
    """Return a function: error bar container -> lengths of its bars in x or y, as segments."""

    def lengths(container, which):
        index = {"x": 0, "y": 1}[which]
        for collection in container[2]:
            segments = np.array(collection.get_segments())
            if np.ptp(segments[:, :, 1 - index], axis=1).max(initial=0.0) == 0.0:
                return segments[:, :, index]
        raise AssertionError(f"no bars along {which}")

    return lengths
