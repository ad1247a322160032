"""Responses as tables: the numbers of Gammapy's ``evaluate``, in and out of their bins."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import DataStore
from gammapy.irf import (
    PSF3D,
    Background2D,
    Background3D,
    EffectiveAreaTable2D,
    EnergyDispersion2D,
    load_irf_dict_from_file,
)
from gammapy.maps import MapAxis

from ctao_sat.dl4._irf_tables import irf_table, unhandled, without_gaps
from ctao_sat.kernels import interpolation as kernels

ENERGY = MapAxis.from_energy_bounds("0.1 TeV", "50 TeV", nbin=7, name="energy_true")
RECO = MapAxis.from_energy_bounds("0.1 TeV", "50 TeV", nbin=7)
OFFSET = MapAxis.from_edges([0, 0.5, 1, 2, 4], unit="deg", name="offset")
RAD = MapAxis.from_edges(np.linspace(0, 0.6, 9), unit="deg", name="rad")
MIGRA = MapAxis.from_edges(np.linspace(0.2, 3, 12), name="migra")
LON = MapAxis.from_edges(np.linspace(-3, 3, 7), unit="deg", name="fov_lon")
LAT = MapAxis.from_edges(np.linspace(-2, 3, 5), unit="deg", name="fov_lat")
KINDS = {
    "aeff": (EffectiveAreaTable2D, [ENERGY, OFFSET], "m2"),
    "edisp": (EnergyDispersion2D, [ENERGY, MIGRA, OFFSET], ""),
    "psf": (PSF3D, [ENERGY, OFFSET, RAD], "sr-1"),
    "bkg_2d": (Background2D, [RECO, OFFSET], "s-1 MeV-1 sr-1"),
    "bkg_3d": (Background3D, [RECO, LON, LAT], "s-1 MeV-1 sr-1"),
}


def make(kind: str, dtype="f4", **interpolation):
    """Return a response with random values, a few of them zero."""
    cls, axes, unit = KINDS[kind]
    rng = np.random.default_rng(20280815)
    shape = [axis.nbin for axis in axes]
    data = (rng.lognormal(size=shape) * (rng.random(shape) > 0.1)).astype(dtype)
    options = {**cls.default_interp_kwargs, **interpolation}
    return cls(axes=axes, data=data, unit=unit, interp_kwargs=options)


def compare(irf):
    """Check that a table has the values of a response at edges, centres and places beyond."""
    table = irf_table(irf)
    coordinates = {}
    for axis in irf.axes:
        beyond = [axis.edges[0] - 0.1 * axis.bin_width[0], axis.edges[-1] * 1.1]
        between = 0.3 * axis.edges[:-1] + 0.7 * axis.center
        coordinates[axis.name] = u.Quantity([*axis.edges, *axis.center, *between, *beyond])
    rows, usable = table.at({name: coordinates[name] for name in table.names})
    places = [coordinates[name].to_value(irf.axes[name].unit) for name in table.spatial]
    places = [grid.ravel() for grid in np.meshgrid(*places, indexing="ij")]
    nodes = [table.nodes(name) for name in table.spatial]
    locate = kernels.linear if len(places) == 1 else kernels.bilinear
    taps = locate(*(x for node, x in zip(nodes, places, strict=True) for x in (*node, x)))
    found = kernels.spread(
        rows.reshape(-1, rows.shape[-1]), usable.ravel(), *taps, table.logarithmic, table.fill
    )
    names = (*table.names, *table.spatial)
    grids = np.meshgrid(*(coordinates[name].value for name in names), indexing="ij")
    with np.errstate(all="ignore"):
        expected = irf.evaluate(
            **{name: grid * coordinates[name].unit for name, grid in zip(names, grids, strict=True)}
        ).to_value(irf.unit)
    np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-10, atol=0)
    return found


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_gammapy(kind, dtype):
    values = compare(make(kind, dtype))
    assert (values == 0).any()
    assert (values > 0).any()


@pytest.mark.parametrize("fill", [None, 3.0])
@pytest.mark.parametrize("scale", ["lin", "log"])
def test_other_interpolation(fill, scale):
    # Gammapy fills in numbers without a unit.
    values = compare(make("edisp", fill_value=fill, values_scale=scale))
    assert (values == 3).any() == (fill == 3)


def test_nan_in_the_data():
    irf = make("aeff")
    irf.data[2, 1] = np.nan
    compare(irf)
    assert np.isnan(irf_table(irf).values).sum() == 1


def test_axis_of_one_bin():
    one = MapAxis.from_edges([0, 4], unit="deg", name="offset")
    data = np.arange(1.0, 8)[:, None]
    compare(EffectiveAreaTable2D(axes=[ENERGY, one], data=data, unit="m2"))


@pytest.mark.realdata
def test_real_responses(gammapy_data):
    prod5 = "cta-caldb/Prod5-South-20deg-AverageAz-14MSTs37SSTs.180000s-v0.1.fits.gz"
    irfs = load_irf_dict_from_file(gammapy_data / prod5)
    hess = DataStore.from_dir(gammapy_data / "hess-dl3-dr1").obs(33787)
    for irf in (irfs["aeff"], irfs["bkg"], hess.aeff, hess.bkg):
        compare(irf)


@pytest.mark.parametrize("kind", ["bkg_2d", "bkg_3d"])
def test_gaps_are_filled_as_gammapy_does(kind):
    bkg, plain = make(kind), make(kind)
    before = bkg.data.copy()
    filled = without_gaps(bkg)
    plain.interp_missing_data("energy")
    assert np.array_equal(bkg.data, before)
    assert not np.array_equal(filled.data, before)
    np.testing.assert_allclose(filled.data, plain.data, rtol=3e-7)
    assert (filled.unit, filled.fov_alignment) == (plain.unit, plain.fov_alignment)


def test_what_is_no_table():
    logarithmic = MapAxis.from_edges([0.1, 1, 4], unit="deg", name="offset", interp="log")
    data = np.ones((7, 2))
    assert unhandled(None) == "NoneType is not compiled"
    assert unhandled(make("aeff")) == ""
    assert "interpolated with 'method'" in unhandled(make("aeff", method="nearest"))
    assert "in 'sqrt'" in unhandled(make("aeff", values_scale="sqrt"))
    other = EffectiveAreaTable2D(axes=[ENERGY, logarithmic], data=data, unit="m2")
    assert "'log' of offset" in unhandled(other)
    flat = [axis.squash() for axis in (ENERGY, OFFSET)]
    assert "a single value" in unhandled(EffectiveAreaTable2D(axes=flat, data=[[1.0]], unit="m2"))
