"""What holds for every plot: same image each time, inputs as they were, labels with units."""

import copy
import io
import struct

import astropy.units as u
import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from gammapy.maps import WcsNDMap
from matplotlib.figure import Figure

from ctao_sat import dl5, plotting
from ctao_sat.errors import OutputError
from ctao_sat.likelihood import Toys
from ctao_sat.pulsar import FrequencyScan, PhaseRegions, h_test_growth
from ctao_sat.transients import BrokenPowerLawTemporalModel, TransientModel

PULSE = PhaseRegions(on=[(0.1, 0.2)], off=[(0.6, 1.05)])

TAKES = {
    "plot_theta_squared": "theta_squared_table",
    "plot_significance": "info_table",
    "plot_counts": "on_off_dataset",
    "plot_sed": "flux_points",
    "plot_light_curve": "light_curve",
    "plot_regions": "on_off_dataset",
    "plot_irf_performance": "performance",
    "plot_profile": "phases",
    "plot_phaseogram": "phases",
    "plot_h_test": "growth",
    "plot_scan": "scan",
    "plot_sky_map": "sky_map",
    "plot_significance_distribution": "sky_map",
    "plot_flux_profile": "flux_profile",
    "plot_stat_profile": "stat_profile",
    "plot_contours": "contours",
    "plot_pulls": "toys",
    "plot_coverage": "coverage",
    "plot_temporal": "decay",
}


@pytest.fixture
def flux_points(make_flux_points):
    return make_flux_points(
        norm=[1.0, 0.2], norm_err=[0.1, 0.2], norm_ul=[1.2, 0.6], ts=[100.0, 1.0]
    )


@pytest.fixture
def light_curve(make_light_curve):
    return make_light_curve([0, 1], norm=[1.0, 0.2], norm_ul=[1.2, 0.6], ts=[100.0, 1.0])


@pytest.fixture(scope="module")
def performance():
    from ctao_sat import dl3, simulate

    return dl3.irf_performance(simulate.demo_array("north"))


@pytest.fixture
def phases():
    return np.random.default_rng(4).random(400)


@pytest.fixture
def growth(phases):
    return h_test_growth(phases, np.arange(len(phases)) * u.s, n_points=4)


@pytest.fixture
def scan():
    trials = np.arange(6.0)
    return FrequencyScan(
        f0=(11 + 1e-4 * trials) * u.Hz,
        f1=1e-12 * trials * u.Hz / u.s,
        values=np.outer(trials, trials[::-1]),
        epoch=Time("2028-01-10", scale="tdb"),
        statistic="h",
        n_harmonics=20,
        n_events=400,
    )


@pytest.fixture
def stat_profile():
    return {"crab.spectral.index_scan": np.arange(5.0), "stat_scan": np.array([9.0, 6, 5, 6, 9])}


@pytest.fixture
def contours():
    angle = np.linspace(0, 2 * np.pi, 20)
    return {"crab.spectral.index": np.cos(angle), "crab.spectral.amplitude": np.sin(angle),
            "success": True}  # fmt: skip


@pytest.fixture
def toys():
    rng = np.random.default_rng(5)
    n = 100
    covariance = np.tile(np.eye(2), (n, 1, 1))
    numbers = rng.normal(size=n)
    return Toys(["crab.index", "crab.amplitude"], ["", "cm-2 s-1 TeV-1"], np.zeros(2),
                rng.normal(size=(n, 2)), covariance, numbers, numbers, numbers,
                np.ones(n, dtype=bool), np.zeros(n, dtype=bool))  # fmt: skip


@pytest.fixture
def coverage():
    table = Table({"signal": [1.0, 10, 100], "upper limit": [0.9, 0.95, 0.97]})
    table.meta["nominal"] = {"upper limit": 0.977}
    return table


@pytest.fixture
def decay():
    return BrokenPowerLawTemporalModel(Time("2028-01-10", scale="utc"), t_break=500 * u.s)


@pytest.fixture
def sky_map():
    image = WcsNDMap.create(npix=20, binsz=0.1)
    image.data = np.random.default_rng(1).normal(size=image.data.shape)
    return image


@pytest.fixture(scope="module")
def flux_profile(sky):
    datasets = sky.field([(0, 0, 20)], npix=21)
    centre = datasets[0].counts.geom.center_skydir
    radii = [0, 0.1, 0.2, 0.25] * u.deg
    return dl5.radial_profile(datasets, centre, radii, [0.5, 2, 10] * u.TeV)


def draw(name, product):
    if name == "plot_temporal":
        return plotting.plot_temporal(product, [10, 1e4] * u.s)
    if name == "plot_sky_map":
        return plotting.plot_sky_map(product, beam="0.1 deg")
    if name == "plot_sed":
        return plotting.plot_sed(
            product, product.reference_model, reference=product.reference_model
        )
    if name == "plot_regions":
        return plotting.plot_regions([product])
    if name == "plot_theta_squared":
        return plotting.plot_theta_squared(product, radius="0.1 deg")
    if name == "plot_irf_performance":
        return plotting.plot_irf_performance([product])
    if name == "plot_profile":
        return plotting.plot_profile(product, regions=PULSE, model=np.ones_like)
    if name == "plot_phaseogram":
        times = Time("2028-01-10") + np.arange(len(product)) * u.s
        return plotting.plot_phaseogram(product, times, regions=PULSE)
    return getattr(plotting, name)(product)


def state(product):
    """Return all numbers of a product."""
    if hasattr(product, "colnames"):
        return [np.array(product[name]) for name in product.colnames]
    if hasattr(product, "available_quantities"):
        return [getattr(product, name).data.copy() for name in product.available_quantities]
    if isinstance(product, np.ndarray):
        return [product.copy()]
    if isinstance(product, dict):
        return [np.array(value) for value in product.values()]
    if isinstance(product, Toys):
        return [product.values.copy(), product.covariance.copy()]
    if isinstance(product, TransientModel):
        return [product.parameters.value.copy()]
    if isinstance(product, FrequencyScan):
        return [product.values.copy(), product.f0.value.copy(), product.f1.value.copy()]
    if isinstance(product, WcsNDMap):
        return [product.data.copy()]
    maps = (product.counts, product.counts_off, product.mask_safe)
    return [each.data.copy() for each in maps]


def test_every_public_plot_is_tried_here():
    assert {name for name in plotting.__all__ if name.startswith("plot_")} == set(TAKES)


@pytest.mark.parametrize("name", TAKES)
def test_same_bytes_and_untouched_input(name, request, tmp_path):
    product = request.getfixturevalue(TAKES[name])
    before, meta = state(product), copy.deepcopy(getattr(product, "meta", None))
    images = [plotting.save(draw(name, product), tmp_path / f"{k}.png") for k in range(2)]
    assert images[0].read_bytes() == images[1].read_bytes()
    for old, new in zip(before, state(product), strict=True):
        np.testing.assert_array_equal(old, new)
    assert getattr(product, "meta", None) == meta


@pytest.mark.parametrize("name", TAKES)
def test_settings_of_the_user_do_not_break_a_plot(name, request, tmp_path):
    product = request.getfixturevalue(TAKES[name])
    with mpl.rc_context({"figure.autolayout": True, "axes.facecolor": "k", "savefig.bbox": None}):
        path = plotting.save(draw(name, product), tmp_path / "dark.png")
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("name", TAKES)
def test_axes_are_labelled(name, request):
    figure = np.ravel(draw(name, request.getfixturevalue(TAKES[name])))[0].figure
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    axes = [ax for ax in figure.axes if ax not in bars]
    assert axes[-1].get_xlabel()
    assert all(ax.get_ylabel() for ax in [*axes, *bars])


@pytest.mark.parametrize("name", TAKES)
def test_legend_stands_outside_of_the_data(name, request):
    ax = np.ravel(draw(name, request.getfixturevalue(TAKES[name])))[0]
    ax.figure.draw_without_rendering()
    # That of several panels is of the figure.
    legend = ax.get_legend() or ax.figure.legends[0]
    assert legend.get_window_extent().y0 >= ax.get_window_extent().y1 - 1


def test_image_has_150_dots_per_inch_and_nothing_that_varies(tmp_path):
    figure = Figure(figsize=(4, 2))
    figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[])
    content = plotting.save(figure, tmp_path / "a.png").read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    # Cut to its content, with a margin of 0.08 inches.
    assert abs(width - 624) <= 2
    assert abs(height - 324) <= 2
    assert b"Software" not in content
    assert b"tIME" not in content


def test_axes_of_any_nesting_stand_for_their_figure(tmp_path):
    figure = Figure()
    grid = figure.subplots(2, 2)
    paths = [
        plotting.save(each, tmp_path / f"{index}.png")
        for index, each in enumerate([figure, grid, grid[0, 0], list(grid[0]), tuple(grid)])
    ]
    assert len({path.read_bytes() for path in paths}) == 1


def test_subfigures_are_saved_with_their_figure(tmp_path):
    figure = Figure()
    ax = figure.subfigures(1, 2)[0].add_subplot()
    whole = plotting.save(figure, tmp_path / "a.png").read_bytes()
    assert plotting.save(ax, tmp_path / "b.png").read_bytes() == whole


def test_unwritable_path(tmp_path):
    with pytest.raises(OutputError, match=r"absent.*plot\.png") as caught:
        plotting.save(Figure(), tmp_path / "absent" / "plot.png")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "absent").exists()


def test_figures_can_be_shown_in_a_notebook(theta_squared_table):
    figure = plotting.plot_theta_squared(theta_squared_table).figure
    buffer = io.BytesIO()
    figure.canvas.print_png(buffer)
    assert buffer.getvalue().startswith(b"\x89PNG")
