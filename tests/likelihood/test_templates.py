"""Templates of free shapes: samples are Gammapy's, coarse ones the fine ones, all transposes."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import WcsGeom
from gammapy.modeling.models import GaussianSpatialModel, TemplateSpatialModel

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.kernels.templates import FIRST_VALUE, FIRST_WEIGHT
from ctao_sat.likelihood._coarse_grid import coarse_grid
from ctao_sat.likelihood._grid_template import GridTemplate
from ctao_sat.likelihood._point_template import PointTemplate
from ctao_sat.likelihood._shape import integrates_as_usual
from ctao_sat.likelihood._templates import make_template

KINDS = ("point", "Gaussian", "elongated", "disk", "generalised Gaussian", "shell")
# Degrees from the centre of a map that ends at 0.75 and 0.85: within, at the edge, beyond.
PLACES = {"within": (0.1, -0.05), "at the edge": (0.74, 0.0), "corner": (-0.7, 0.8), "off": (3, 0)}


def _samples_on_map(template, shape, n):
    """Return samples on all pixels of a map of this size."""
    value, image = template.samples(shape, 0).value, np.zeros(n)
    if isinstance(template, PointTemplate):
        y, x = (corner + np.arange(4) for corner in template._corner)
    else:
        ((y,), (x,)) = ((axis.pixels for axis in axes) for axes in template._grid.axes)
    for (i, j), sample in np.ndenumerate(value.reshape(len(y), len(x))):
        if 0 <= y[i] < n[0] and 0 <= x[j] < n[1]:
            image[y[i], x[j]] = sample
        else:
            assert sample == 0
    return image


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_gammapys_integrals(zoo, kind, place):
    model = zoo.parts.model(kind, *PLACES[place])
    source, shape = zoo.parts.source(model)
    template = make_template(source, shape)
    ours = _samples_on_map(template, shape, source.pixels.shape)
    theirs = model.integrate_geom(zoo.parts.geom()).quantity.to_value("")
    inside = ours != 0
    # Without division of pixels samples end with the cutout; Gammapy's have all of the map here.
    np.testing.assert_allclose(ours[inside], theirs[inside], rtol=1e-6, atol=1e-12)
    assert np.all(np.abs(theirs[~inside]) <= 1e-5 * max(theirs.max(), 1e-30))
    if place == "within":
        assert ours.sum() == pytest.approx(1, abs=0.02)
    if place == "off":
        assert ours.sum() < 1e-6


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_those_of_a_plain_convolution(zoo, kind, place):
    source, shape = zoo.parts.source(zoo.parts.model(kind, *PLACES[place]))
    template, (part, n_values, _) = make_template(source, shape), zoo.parts.part(source, shape)
    samples = _samples_on_map(template, shape, source.pixels.shape)
    templates = reference.convolve(source.psf, samples, (0, 0), source.pixels.shape)
    ours, plain = np.zeros(n_values), np.zeros(n_values)
    template.gather(template.samples(shape, 0).value, part, FIRST_VALUE, ours)
    reference.gather(part.table, part.pixels, part.weights, templates, FIRST_VALUE, plain)
    np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("size", [0.12, 0.52])
@pytest.mark.parametrize("kind", KINDS)
def test_scattering_is_the_transpose(zoo, kind, size):
    """Also on a coarse grid: the template of a wide Gaussian has one."""
    source, shape = zoo.parts.source(zoo.parts.model(kind, size=size), zoo.parts.geom((120, 124)))
    template, (part, n_values, row_bin) = (
        make_template(source, shape),
        zoo.parts.part(source, shape),
    )
    is_coarse = getattr(template, "step", 1) > 1
    assert is_coarse == (size > 0.4 and kind in ("Gaussian", "elongated"))
    rng = np.random.default_rng(2)
    samples, bins = template.samples(shape, 0).value, rng.normal(size=len(row_bin))
    f, values, mu = rng.uniform(1, 2, zoo.parts.N_K), np.zeros(n_values), np.zeros(len(row_bin))
    template.gather(samples, part, FIRST_WEIGHT, values, -np.inf)
    reference.add_columns(part.table, values, f, row_bin, mu)
    say = np.tensordot(f, template.scatter(part, row_bin, bins), axes=1)
    assert np.sum(say * samples) == pytest.approx(mu @ bins, rel=1e-9)
    # The sums over other bins: as if all pixels of the window were rows.
    y0, y1, x0, x1 = part.window
    part.table = np.array([[k, 1, (y1 - y0) * (x1 - x0), 0, 0, 0, 0] for k in range(3)])
    part.pixels = np.mgrid[y0:y1, x0:x1].reshape(2, -1).T.copy()
    part.weights = np.ones(len(part.pixels))
    expected = 0.0
    for k in range(3):
        table, part.table = part.table, part.table[k : k + 1]
        image = np.zeros(len(part.pixels))
        template.gather(samples, part, FIRST_WEIGHT, image, -np.inf)
        expected += f[k] * image @ part.implicit[k].reshape(-1)
        part.table = table
    total = np.sum(np.tensordot(f, template.sums(part), axes=1) * samples)
    assert total == pytest.approx(expected, rel=1e-9)


# Degrees from the centre of a map that ends at 4.5 and 4.6: there, at an edge, at a corner, beyond.
BEYOND = {"within": (0.1, -0.05), "edge": (4.2, 0.3), "corner": (4.3, -4.1), "off": (0.2, 5.5)}


@pytest.mark.parametrize("place", BEYOND)
@pytest.mark.parametrize("kind", ["Gaussian", "elongated"])
@pytest.mark.parametrize("size", [0.52, 0.65, 0.8, 4.0])
def test_coarse_templates_are_fine_ones(zoo, kind, size, place):
    """As good as single precision, which Gammapy has; they end with the map as fine ones do."""
    model, geom = zoo.parts.model(kind, *BEYOND[place], size=size), zoo.parts.geom((180, 184))
    source, shape = zoo.parts.source(model, geom)
    coarse, (part, n_values, row_bin) = make_template(source, shape), zoo.parts.part(source, shape)
    assert coarse.step > 1
    bins = np.random.default_rng(5).normal(size=len(row_bin))
    source.is_smooth = False
    fine = GridTemplate(source, shape)
    assert fine.step == 1
    values, say, sums = np.zeros((2, n_values)), [], []
    for template, out in zip((coarse, fine), values, strict=True):
        samples = template._sample(shape)
        template.gather(samples, part, FIRST_VALUE, out)
        say.append(template.scatter(part, row_bin, bins) @ samples)
        sums.append(template.sums(part) @ samples)
    # Where Gammapy's cutout ends, and the fine samples with it, there are 3e-6 of the maximum.
    centre = source.evaluate(shape, *(model.position.data.lon, model.position.data.lat))
    maximum = centre * source.pixels.solid_angles.max()
    assert np.abs(values[0] - values[1]).max() < 3e-6 * maximum
    np.testing.assert_allclose(*say, rtol=0, atol=1e-5 * maximum * np.sqrt(len(row_bin)))
    np.testing.assert_allclose(*sums, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("lon", "lat", "is_coarse"), [(0, 0, True), (0, 60, False), (170, 0, False), (0, 27, False)]
)
def test_coarse_grids_need_sky_around_the_source(zoo, lon, lat, is_coarse):
    """Near a pole of the map, or where its sky ends, all pixels have a sample."""
    geom = WcsGeom.create(skydir=(0, 0), npix=(360, 180), binsz=1, proj="CAR")
    place = {"lon_0": lon * u.deg, "lat_0": lat * u.deg, "frame": "icrs"}
    source, shape = zoo.parts.source(GaussianSpatialModel(sigma=10 * u.deg, **place), geom)
    assert (coarse_grid(source, shape) is not None) == is_coarse


def test_point_holds_within_its_pixel(zoo):
    source, shape = zoo.parts.source(zoo.parts.model("point"))
    template, cell = make_template(source, shape), np.floor(source.center(shape))
    assert isinstance(template, PointTemplate)
    rng, kept = np.random.default_rng(3), 0
    for _ in range(100):
        other = shape + rng.uniform(-0.05, 0.05, 2)
        same = bool(np.all(np.floor(source.center(other)) == cell))
        assert template.holds(other) == same
        kept += same
    assert 0 < kept < 100


def test_coarse_grid_holds_while_it_is_good(zoo):
    source, shape = zoo.parts.source(
        zoo.parts.model("Gaussian", size=0.65), zoo.parts.geom((200, 204))
    )
    template = make_template(source, shape)
    assert template.step == 3
    assert template.holds(shape + [0.3, 0.3, 0, 0, 0])
    assert not template.holds(shape + [2.0, 0, 0, 0, 0])
    assert not template.holds(shape * [1, 1, 0.9, 1, 1])
    assert not template.holds(shape * [1, 1, 3.5, 1, 1])


def test_position_that_is_no_number_leaves_nothing(zoo):
    source, shape = zoo.parts.source(zoo.parts.model("point"))
    part, n_values, _ = zoo.parts.part(source, shape)
    behind = shape + [180, 0]
    template = make_template(source, behind)
    values = np.full(n_values, 7.0)
    template.gather(template.samples(shape, 0).value, part, FIRST_VALUE, values)
    np.testing.assert_array_equal(values, 0)


def test_which_shapes_are_integrated_as_usual(zoo):
    class Own(TemplateSpatialModel):
        """A shape that evaluates in its own way."""

        def evaluate_geom(self, geom):
            return 1 / u.sr

    assert all(integrates_as_usual(zoo.parts.model(kind)) for kind in KINDS)
    assert not integrates_as_usual(Own.__new__(Own))
