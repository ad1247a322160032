"""PSF and energy dispersion are extracted once for each position and content."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets
from gammapy.irf import EDispKernelMap, EDispMap, PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import Models

from ctao_sat.likelihood import KernelCache, _kernels, compile_likelihood


@pytest.fixture
def compiled(monkeypatch):
    """Return a function that compiles; it returns what Gammapy has extracted meanwhile, too."""
    found = []

    def count(kind, name):
        plain = getattr(kind, name)

        def extract(self, *args, **kwargs):
            found.append(name.split("_")[1])
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, extract)

    plain_psf = _kernels.psf_kernel
    monkeypatch.setattr(
        _kernels, "psf_kernel", lambda *args: found.append("psf") or plain_psf(*args)
    )
    count(EDispKernelMap, "get_edisp_kernel")

    def compile_and_count(datasets, kernels):
        found.clear()
        likelihood = compile_likelihood(datasets, kernels=kernels)
        return likelihood, sorted(found)

    return compile_and_count


def new_cube(small, *models, name="cube", geom=None):
    """Return a cube that Gammapy has not evaluated."""
    dataset = small.cube(name, geom=geom)
    dataset.counts.data[...] = 1
    dataset.models = list(models) or [small.point()]
    return dataset


def test_one_extraction_for_several_models_at_one_position(small, compiled):
    cache = KernelCache()
    models = [small.point(name) for name in ("one", "two", "three")]
    likelihood, extracted = compiled([new_cube(small, *models)], cache)
    assert extracted == ["edisp", "psf"]
    assert len(cache) == 2
    assert likelihood.report.is_complete


def test_one_extraction_for_each_position(small, compiled):
    cache = KernelCache()
    models = [small.point("one"), small.point("two", offset=0.2)]
    _, extracted = compiled([new_cube(small, *models)], cache)
    assert extracted == ["edisp", "edisp", "psf", "psf"]
    assert len(cache) == 4


def test_copies_of_a_dataset_share_kernels(small, compiled):
    cache = KernelCache()
    dataset = new_cube(small)
    compiled([dataset], cache)
    seconds = cache.seconds
    assert seconds > 0
    for number in range(3):
        other = dataset.copy(name=f"copy {number}")
        other.models = dataset.models
        _, extracted = compiled([other], cache)
        assert extracted == []
    assert cache.seconds == seconds


def test_the_report_counts_only_its_own_kernels(small):
    cache = KernelCache()
    first = compile_likelihood([new_cube(small)], kernels=cache)
    second = compile_likelihood([new_cube(small)], kernels=cache)
    assert first.report.timings["kernels"] > 0
    assert second.report.timings["kernels"] == 0


def test_a_likelihood_alone_has_a_cache_of_its_own(small, compiled):
    for _ in range(2):
        _, extracted = compiled([new_cube(small)], None)
        assert extracted == ["edisp", "psf"]


def change_psf(small, dataset):
    dataset.psf = small.psf(scale=1.5)


def change_psf_in_place(_, dataset):
    dataset.psf.psf_map.data[:, 3] *= 1.5


def change_edisp_in_place(_, dataset):
    dataset.edisp.edisp_map.data[:, 2, 0] *= 0.5


@pytest.mark.parametrize(
    ("change", "name"),
    [(change_psf, "psf"), (change_psf_in_place, "psf"), (change_edisp_in_place, "edisp")],
)
def test_other_content_gives_other_kernels(small, compiled, change, name):
    cache = KernelCache()
    first, _ = compiled([new_cube(small)], cache)
    before = first.stat_sum()
    other = new_cube(small)
    change(small, other)
    likelihood, extracted = compiled([other], cache)
    assert extracted == [name]
    assert len(cache) == 3
    assert abs(likelihood.stat_sum() - before) > 1e-3
    assert likelihood.stat_sum() == pytest.approx(Datasets([other]).stat_sum(), rel=1e-12)


def test_another_pixel_size_gives_another_kernel(small, compiled):
    cache = KernelCache()
    compiled([new_cube(small)], cache)
    coarse = new_cube(small).downsample(2)
    coarse.models = [small.point()]
    likelihood, extracted = compiled([coarse], cache)
    assert "psf" in extracted
    assert likelihood.stat_sum() == pytest.approx(Datasets([coarse]).stat_sum(), rel=1e-12)


def test_another_projection_gives_another_kernel(small):
    """Gammapy makes a kernel in the projection of the map."""
    made = []
    for projection in ("TAN", "CAR"):
        geom = WcsGeom.create(
            skydir=small.CENTER, npix=12, binsz=0.1, proj=projection, axes=[small.ENERGY]
        )
        made.append(new_cube(small, name=projection, geom=geom))
    datasets = Datasets(made)
    datasets.models = Models([small.point()])
    likelihood = compile_likelihood(datasets)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_maps_of_other_places_may_share_kernels(small):
    made = []
    for latitude in (22.0, 21.5):
        center = SkyCoord(small.CENTER.ra, latitude * u.deg)
        geom = WcsGeom.create(skydir=center, npix=16, binsz=0.1, proj="CAR", axes=[small.ENERGY])
        made.append(new_cube(small, name=f"at {latitude}", geom=geom))
    datasets = Datasets(made)
    datasets.models = Models([small.point()])
    likelihood = compile_likelihood(datasets)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_equal_numbers_on_other_axes_give_another_kernel(small):
    """A constant energy resolution has the same numbers for each range of energies."""
    made = []
    for low, high in ((0.7, 30.0), (0.9, 40.0)):
        true = MapAxis.from_energy_bounds(low, high, nbin=6, unit="TeV", name="energy_true")
        ratio = MapAxis.from_bounds(0.2, 2.2, nbin=40, name="migra", node_type="edges")
        edisp = EDispMap.from_diagonal_response(true, ratio)
        pull = (ratio.center.value - 1) / 0.2
        edisp.edisp_map.data[...] = np.exp(-0.5 * pull[:, np.newaxis, np.newaxis] ** 2)
        edisp.normalize()
        dataset = small.spectrum(f"from {low}")
        geom = dataset.counts.geom.to_image().to_cube([true])
        dataset.exposure, dataset.edisp = Map.from_geom(geom, unit="m2 s"), edisp
        dataset.exposure.data += 1e10
        made.append(dataset)
    np.testing.assert_array_equal(made[0].edisp.edisp_map.data, made[1].edisp.edisp_map.data)
    datasets = Datasets(made)
    datasets.models = Models([small.power_law()])
    likelihood = compile_likelihood(datasets)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_likelihoods_with_shared_kernels_are_gammapys(small):
    cache = KernelCache()
    for number in range(2):
        models = [small.point("one", index=2.0 + number), small.point("two", offset=0.3)]
        dataset = new_cube(small, *models)
        likelihood = compile_likelihood([dataset], kernels=cache)
        expected = Datasets([dataset]).stat_sum()
        assert likelihood.stat_sum() == pytest.approx(expected, rel=1e-12)


def test_spectra_share_kernels_of_the_energy_dispersion(small, compiled):
    cache = KernelCache()
    datasets = Datasets([small.spectrum(f"run {i}") for i in range(3)])
    datasets.models = Models([small.power_law()])
    _, extracted = compiled(datasets, cache)
    assert extracted == ["edisp"]
    assert len(cache) == 1


def test_kernels_that_gammapy_has_are_taken(small, compiled):
    datasets = small.datasets("cube")
    likelihood, extracted = compiled(datasets, None)
    assert extracted == []
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_models_that_gammapy_evaluates_take_kernels_from_the_cache(small, compiled):
    cache = KernelCache()
    models = [small.point("one"), small.point("two", offset=0.2)]
    models[1].spatial_model = small.own_point(models[1])
    models[1].spatial_model.lat_0.frozen = False
    likelihood, extracted = compiled([new_cube(small, *models)], cache)
    assert extracted == ["edisp", "edisp", "psf", "psf"]
    assert len(likelihood.report.fallbacks) == 1


def test_the_containment_in_a_region_is_computed_once(small, monkeypatch):
    calls = []
    plain = PSFMap.containment
    monkeypatch.setattr(
        PSFMap, "containment", lambda self, *a, **k: calls.append(1) or plain(self, *a, **k)
    )
    cache = KernelCache()
    for number in range(2):
        dataset = small.spectrum(f"run {number}")
        dataset.psf = small.psf()
        dataset.models = [small.point()]
        likelihood = compile_likelihood([dataset], kernels=cache)
        assert likelihood.report.is_complete
    assert len(calls) == 1
    assert likelihood.stat_sum() == pytest.approx(Datasets([dataset]).stat_sum(), rel=1e-12)


def test_get_calls_once_for_each_key():
    cache, calls = KernelCache(), []
    for key in (("a",), ("a",), ("b",)):
        assert cache.get(key, lambda key=key: calls.append(key) or key) == key
    assert calls == [("a",), ("b",)]
    assert len(cache) == 2


def test_no_response_stays_none():
    cache = KernelCache()
    assert cache.psf(None) is None
    assert cache.edisp(None) is None
    assert len(cache) == 0


def test_what_stands_for_a_response_gives_the_same_kernels(small):
    dataset = small.cube()
    cache = KernelCache()
    psf, edisp = cache.psf(dataset.psf), cache.edisp(dataset.edisp)
    assert psf.has_single_spatial_bin is dataset.psf.has_single_spatial_bin
    assert psf.energy_name == dataset.psf.energy_name
    options = {"geom": dataset.exposure.geom, "containment": 0.99, "max_radius": 0.3 * u.deg}
    ours = psf.get_psf_kernel(position=small.CENTER, **options)
    theirs = dataset.psf.get_psf_kernel(position=small.CENTER, **options)
    np.testing.assert_array_equal(ours.psf_kernel_map.data, theirs.psf_kernel_map.data)
    assert psf.get_psf_kernel(position=small.CENTER, **options) is ours
    wide = psf.get_psf_kernel(position=small.CENTER, **{**options, "max_radius": 0.1 * u.deg})
    assert wide is not ours
    axis = dataset.counts.geom.axes["energy"]
    kernel = edisp.get_edisp_kernel(position=small.CENTER, energy_axis=axis)
    expected = dataset.edisp.get_edisp_kernel(position=small.CENTER, energy_axis=axis)
    np.testing.assert_array_equal(kernel.pdf_matrix, expected.pdf_matrix)
