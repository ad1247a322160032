"""Sensitivity against its definition, a slow twin and known limits."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import SpectrumDatasetOnOff
from gammapy.estimators import SensitivityEstimator
from gammapy.irf import Background2D, EffectiveAreaTable2D, RadMax2D
from gammapy.maps import MapAxis
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import brentq

from ctao_sat import dl3, dl5
from ctao_sat.dl5 import _sensitivity
from ctao_sat.errors import ConfigError, MissingHDUError, SelectionError
from ctao_sat.simulate import demo_array


@pytest.fixture(scope="module")
def demo():
    return demo_array("south")


@pytest.fixture(scope="module")
def table(demo):
    return dl5.sensitivity(demo)


def li_ma(n_on, n_off, alpha):
    """Significance of Li & Ma (1983), equation 17."""
    total = n_on + n_off
    first = n_on * np.log((1 + alpha) / alpha * n_on / total)
    second = n_off * np.log((1 + alpha) * n_off / total) if n_off > 0 else 0.0
    return np.sqrt(2 * max(first + second, 0.0)) * np.sign(n_on - alpha * n_off)


def slow_excess(background, alpha, n_sigma=5.0, gamma_min=10.0, fraction=0.05):
    """Return the least excess and the condition that asks for it."""
    off = background / alpha
    needed = brentq(
        lambda excess: li_ma(background + excess, off, alpha) - n_sigma, 1e-9, 1e7, xtol=1e-10
    )
    conditions = {"significance": needed, "gamma": gamma_min, "bkg": fraction * background}
    hardest = max(conditions, key=conditions.get)
    return conditions[hardest], hardest


def slow_counts(irfs, low, high, livetime, offset, containment):
    """Return the counts in a bin for E^-2 per cm2 s TeV at 1 TeV: one sum, in plain numpy."""
    limits = irfs["aeff"].axes["energy_true"].edges.to_value("TeV")
    edges = np.geomspace(limits[0], limits[-1], 2001)
    true = np.sqrt(edges[1:] * edges[:-1])
    flux = 1 / edges[:-1] - 1 / edges[1:]
    area = irfs["aeff"].evaluate(energy_true=true * u.TeV, offset=offset).to_value("cm2")
    migra = irfs["edisp"].axes["migra"]
    density = irfs["edisp"].evaluate(
        energy_true=true[:, None] * u.TeV, migra=migra.center[None], offset=offset
    )
    mass = density.to_value("") * migra.bin_width.value
    total = 0.0
    for energy, weight, line in zip(true, flux * area, mass, strict=True):
        below = np.concatenate([[0], np.cumsum(line)]) / line.sum()
        inside = np.diff(np.interp([low / energy, high / energy], migra.edges.value, below))[0]
        total += weight * inside
    return total * livetime.to_value("s") * containment


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_excess_is_the_least_that_meets_all_conditions(demo, alpha):
    table = dl5.sensitivity(demo, "50 h", alpha=alpha)
    assert set(table["criterion"]) >= ({"significance", "gamma", "bkg"} if alpha < 1 else set())
    for line in table:
        expected, criterion = slow_excess(line["background"], alpha)
        assert line["excess"] == pytest.approx(expected, rel=1e-3)
        assert line["criterion"] == criterion


def test_each_condition_holds_and_the_named_one_just_so(table):
    for line in table:
        excess, background = line["excess"], line["background"]
        ratios = {
            "significance": li_ma(background + excess, background / 0.2, 0.2) / 5,
            "gamma": excess / 10,
            "bkg": excess / background / 0.05,
        }
        assert min(ratios.values()) > 1 - 1e-3
        assert ratios[line["criterion"]] == pytest.approx(1, abs=1e-3)


def test_flux_gives_the_excess(demo, table):
    for line in table[3::4]:
        low, high = line["e_min"].to_value("TeV"), line["e_max"].to_value("TeV")
        counts = slow_counts(demo, low, high, 50 * u.h, 0.5 * u.deg, 0.68)
        norm = line["e2dnde"].to_value("TeV cm-2 s-1")
        # Bins of true energy, 40 a decade, against 2000 in all.
        assert norm * counts == pytest.approx(line["excess"], rel=5e-3)


def test_background_is_that_of_the_performance(demo, table):
    performance = dl3.irf_performance(demo)
    expected = performance["background_rate_in_r68"] * (50 * u.h)
    assert_allclose(table["background"], expected.to_value(""))
    assert_allclose(table["on_radius"], performance["r68"])


def test_axis_of_true_energy_is_fine_enough(demo, table, monkeypatch):
    monkeypatch.setattr(_sensitivity, "_TRUE_PER_DECADE", 160)
    finer = dl5.sensitivity(demo)
    above = table["e_ref"] > 0.06 * u.TeV
    assert_allclose(table["e2dnde"][above], finer["e2dnde"][above], rtol=2e-3)
    # At the threshold the area rises by a factor within a bin of true energy.
    assert_allclose(table["e2dnde"], finer["e2dnde"], rtol=0.02)


def test_scaling_with_time(demo, table):
    longer = dl5.sensitivity(demo, "200 h")
    ratio = (table["e2dnde"] / longer["e2dnde"]).to_value("")
    both = table["criterion"] == longer["criterion"]
    # Few counts: with the time; many: with its root; part of the background: not at all.
    assert_allclose(ratio[both & (table["criterion"] == "gamma")], 4)
    assert_allclose(ratio[both & (table["criterion"] == "bkg")], 1)
    roots = ratio[both & (table["criterion"] == "significance")]
    assert ((roots > 1.9) & (roots < 4)).all()
    assert len(roots) > 3


def test_index_and_containment_are_used(demo, table):
    softer = dl5.sensitivity(demo, index=3.5)
    assert not np.allclose(softer["e2dnde"] / table["e2dnde"], 1, rtol=0.02)
    assert_allclose(softer["excess"], table["excess"])
    wider = dl5.sensitivity(demo, containment=0.8)
    assert (wider["on_radius"] > table["on_radius"]).all()
    area = 1 - np.cos(wider["on_radius"]), 1 - np.cos(table["on_radius"])
    assert_allclose(wider["background"] / table["background"], area[0] / area[1])
    gamma = (table["criterion"] == "gamma") & (wider["criterion"] == "gamma")
    assert_allclose(wider["e2dnde"][gamma] / table["e2dnde"][gamma], 0.68 / 0.8)
    assert_allclose(wider["containment"], 0.8)


def test_best_of_several_containments(demo):
    fractions = (0.5, 0.68, 0.9)
    best = dl5.sensitivity(demo, containment=fractions)
    single = [dl5.sensitivity(demo, containment=one) for one in fractions]
    fluxes = np.array([one["e2dnde"].value for one in single])
    assert_allclose(best["e2dnde"].value, fluxes.min(axis=0))
    which = fluxes.argmin(axis=0)
    assert len(set(which)) > 1
    for line, number, index in zip(best, which, range(len(best)), strict=True):
        assert line["containment"] == fractions[number]
        assert line["criterion"] == single[number]["criterion"][index]
        assert line["on_radius"] == single[number]["on_radius"][index]


def test_gammapys_estimator(demo, table):
    """The same numbers, of the dataset that is made here."""
    performance = dl3.irf_performance(demo)
    options = {"livetime": 50 * u.h}
    counts = np.array(table["background"])
    dataset = _sensitivity._dataset(demo, performance, options, 0.68, counts)
    on_off = SpectrumDatasetOnOff.from_spectrum_dataset(
        dataset=dataset, acceptance=1, acceptance_off=5
    )
    found = SensitivityEstimator().run(on_off)
    assert np.isfinite(found["e2dnde"]).all()
    assert_allclose(table["e2dnde"].value, u.Quantity(found["e2dnde"]).value, rtol=1e-4)
    assert_allclose(table["excess"], found["excess"], rtol=1e-4)
    assert list(table["criterion"]) == list(found["criterion"])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(-6, 7), st.floats(0.01, 2), st.floats(1, 8))
def test_significance_for_any_background(log_background, alpha, n_sigma):
    background = np.array([10**log_background])
    excess = _sensitivity._significant(background, alpha, n_sigma)
    assert li_ma(background[0] + excess[0], background[0] / alpha, alpha) == pytest.approx(
        n_sigma, rel=1e-3
    )


def test_point_like_responses_give_the_same(demo, table):
    """With the cut that the full-enclosure ones get, in both area and background."""
    performance = dl3.irf_performance(demo)
    energy = MapAxis.from_energy_edges(
        u.Quantity([*performance["e_min"], performance["e_max"][-1]]), name="energy"
    )
    offset = MapAxis.from_edges([0.4, 0.6], unit="deg", name="offset")
    cut = RadMax2D(
        axes=[energy, offset], data=performance["r68"].to_value("deg")[:, None], unit="deg"
    )
    area = EffectiveAreaTable2D(
        axes=demo["aeff"].axes,
        data=0.68 * demo["aeff"].data,
        unit=demo["aeff"].unit,
        is_pointlike=True,
    )
    irfs = {"aeff": area, "edisp": demo["edisp"], "bkg": demo["bkg"], "rad_max": cut}
    found = dl5.sensitivity(irfs)
    assert_allclose(found["on_radius"], performance["r68"])
    assert_allclose(found["e2dnde"], table["e2dnde"], rtol=1e-6)


def test_no_background_is_limited_by_gammas(demo):
    energy = MapAxis.from_energy_bounds("0.01 TeV", "200 TeV", nbin=20, name="energy")
    offset = MapAxis.from_edges([0, 6], unit="deg", name="offset")
    none = Background2D(axes=[energy, offset], data=0, unit="s-1 TeV-1 sr-1")
    table = dl5.sensitivity(demo | {"bkg": none}, energy_edges=[1, 3, 10] * u.TeV)
    assert_allclose(table["excess"], 10)
    assert list(table["criterion"]) == ["gamma", "gamma"]
    assert_allclose(table["background"], 0, atol=1e-100)


def test_bins_that_are_not_covered(demo):
    table = dl5.sensitivity(demo, energy_edges=[1e-4, 1e-3, 1, 2, 900, 1000] * u.TeV)
    assert list(table["criterion"][[0, 2, 4]]) == ["", "significance", ""]
    for name in ("e2dnde", "excess", "background"):
        assert_allclose(np.isfinite(table[name].value)[[0, 2, 4]], [False, True, False])


@pytest.mark.parametrize("name", ["aeff", "edisp", "bkg", "psf"])
def test_missing_part(demo, name):
    with pytest.raises(MissingHDUError, match=f"have no {name}"):
        dl5.sensitivity({key: irf for key, irf in demo.items() if key != name})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"livetime": "5 TeV"}, "livetime '5 TeV'"),
        ({"livetime": "long"}, "livetime 'long'"),
        ({"livetime": 0 * u.h}, "livetime"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"n_sigma": -1.0}, "n_sigma is -1"),
        ({"gamma_min": np.nan}, "gamma_min is nan"),
        ({"containment": 1.0}, "Containment"),
        ({"containment": ()}, "Containment"),
        ({"index": np.inf}, "index is inf"),
    ],
)
def test_parameters_that_are_none(demo, options, message):
    with pytest.raises(ConfigError, match=message):
        dl5.sensitivity(demo, **options)


def test_offset_outside(demo):
    with pytest.raises(SelectionError, match="0–6 deg"):
        dl5.sensitivity(demo, offset="7 deg")


def test_metadata(table):
    assert table.meta["livetime"] == 50 * u.h
    assert table.meta["label"] == "CTAO-SAT-DEMO south"
    assert table.meta["alpha"] == 0.2
    assert table["e2dnde"].unit.is_equivalent("erg cm-2 s-1")


@pytest.mark.realdata
@pytest.mark.parametrize("site", ["North", "South"])
def test_prod5(gammapy_data, site):
    (path,) = (gammapy_data / "cta-caldb").glob(f"Prod5-{site}-*")
    (irfs,) = dl3.read_irfs(path)
    table = dl5.sensitivity(irfs)
    middle = table[(table["e_ref"] > 0.06 * u.TeV) & (table["e_ref"] < 101 * u.TeV)]
    for line in middle:
        expected, criterion = slow_excess(line["background"], 0.2)
        assert line["excess"] == pytest.approx(expected, rel=1e-3)
        assert line["criterion"] == criterion
    best = middle[np.argmin(middle["e2dnde"])]
    # Of the size of CTAO's public curves; ours has neither their cuts nor their binning in angle.
    assert 5e-14 < best["e2dnde"].to_value("erg cm-2 s-1") < 5e-13
    assert 1 * u.TeV < best["e_ref"] < 10 * u.TeV
