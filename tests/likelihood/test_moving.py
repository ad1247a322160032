"""Blocks that follow a source within their window: derivatives, sums over other bins."""

import numpy as np
import pytest

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.kernels.templates import FIRST_VALUE
from ctao_sat.likelihood._templates import make_template

KINDS = ("point", "Gaussian", "elongated", "disk", "shell")


@pytest.fixture(params=KINDS)
def moving(request, zoo):
    """Return a source, its shape, its blocks with the number of values, and the bins of rows.

    Pixels are small: Gammapy does not divide any, and all sizes are smooth.
    """
    size = 0.21 if "disk" in request.param or "shell" in request.param else 0.12
    model = zoo.parts.model(request.param, size=size)
    source, shape = zoo.parts.source(model, zoo.parts.geom((80, 84)))
    return source, shape, *zoo.parts.part(source, shape)


def _update(part, shape, n_values):
    assert part.holds(shape)
    values, sums = np.zeros(n_values), np.ones(3)
    part.update(shape, values, sums)
    return values, sums - 1


def test_blocks_follow_the_parameters(zoo, moving):
    source, shape, part, n_values, _ = moving
    there = shape.copy()
    there[0] += 0.11
    _update(part, shape, n_values)
    values, sums = _update(part, there, n_values)
    fresh, _, _ = zoo.parts.part(source, shape)
    expected, expected_sums = _update(fresh, there, n_values)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-12)
    # And back: what is kept is of here, not of there.
    values, _ = _update(part, shape, n_values)
    np.testing.assert_allclose(values, _update(fresh, shape, n_values)[0], rtol=1e-12, atol=1e-16)


def test_sums_are_those_of_all_pixels(moving):
    source, shape, part, n_values, _ = moving
    _, sums = _update(part, shape, n_values)
    y0, y1, x0, x1 = part.window
    pixels = np.mgrid[y0:y1, x0:x1].reshape(2, -1).T.copy()
    n = len(pixels)
    part.table = np.array([[k, 1, n, k * n, 0, 0, 0] for k in range(3)])
    part.pixels, part.weights = pixels, np.ones(n)
    values = np.zeros(3 * n)
    template = make_template(source, shape)
    template.gather(template.samples(shape, 0).value, part, FIRST_VALUE, values)
    np.testing.assert_allclose(sums, np.sum(values.reshape(3, n) * part.implicit.reshape(3, n), 1))
    assert source.center(shape)[0] > y0


def test_source_that_leaves_its_window(moving):
    source, shape, part, _, _ = moving
    n_y, _ = source.pixels.shape
    held = []
    for shift in np.linspace(0, 1.8, 37):
        away = shape.copy()
        away[1] -= shift
        y0, y1, _, _ = make_template(source, away).reach()
        inside = part.window[0] <= max(y0, 0) and min(y1, n_y) <= part.window[1]
        held.append(part.holds(away))
        assert held[-1] == inside
    assert held[0]
    assert not all(held)


def test_source_off_the_map_leaves_nothing(zoo, moving):
    source, shape, *_ = moving
    away = shape.copy()
    away[1] += 20
    part, n_values, _ = zoo.parts.part(source, away)
    values, sums = _update(part, away, n_values)
    np.testing.assert_allclose(values, 0, atol=1e-15)
    np.testing.assert_allclose(sums, 0, atol=1e-12)


def test_room_grows(zoo, moving):
    source, shape, part, _, _ = moving
    wide, _, _ = zoo.parts.part(source, shape, room=2)
    a, b, c, d = part.window
    e, f, g, h = wide.window
    assert e <= a <= b <= f
    assert g <= c <= d <= h
    assert (f - e) * (h - g) > (b - a) * (d - c) or (b - a, d - c) == source.pixels.shape


def test_derivatives_are_changes(zoo, moving):
    """Of sum_j b_j mu_j, linear in the counts: by shape and spectrum, with and without sums."""
    source, shape, part, n_values, row_bin = moving
    rng = np.random.default_rng(4)
    slopes, f = rng.normal(size=len(row_bin)), rng.uniform(1, 2, 3)

    def total(at, by=None):
        values, sums = _update(part, at, n_values)
        mu = np.zeros(len(row_bin))
        table = part.table.copy()
        table[:, 6] = table[:, FIRST_VALUE]
        shares = f if by is None else np.eye(3)[by]
        reference.add_columns(table, values, shares, row_bin, mu)
        return mu @ slopes + sums @ shares

    assert part.holds(shape)
    found = part.derivatives(shape, f, row_bin, slopes, 2)
    steps = source.steps(shape) / (4 if source.is_round else 1)
    for number, (i, step) in enumerate(zip(source.free, steps, strict=True)):
        move = np.eye(len(shape))[i] * step
        for k in range(3):
            change = (total(shape + move, k) - total(shape - move, k)) / (2 * step)
            assert found.by_f[number, k] == pytest.approx(change, rel=1e-4, abs=1e-5)
        bend = (total(shape + move) - 2 * total(shape) + total(shape - move)) / step**2
        assert found.second[number, number] == pytest.approx(bend, rel=1e-3, abs=1e-3)
    np.testing.assert_array_equal(found.second, found.second.T)
    # Derivatives of the counts themselves, without the sums.
    assert part.holds(shape)
    out = {i: np.zeros(len(row_bin)) for i in source.free}
    part.add_slopes(shape, f, row_bin, out)
    plain, *_ = zoo.parts.part(source, shape)
    plain.implicit[...] = 0
    assert plain.holds(shape)
    alone = plain.derivatives(shape, f, row_bin, slopes, 1)
    for by_f, i in zip(alone.by_f, source.free, strict=True):
        assert out[i] @ slopes == pytest.approx(by_f @ f, rel=1e-8, abs=1e-8)
    np.testing.assert_array_equal(alone.second, 0)
