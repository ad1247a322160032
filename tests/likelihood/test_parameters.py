"""Factors and values: between what optimisers see and what models see."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import Parameter

from ctao_sat.likelihood._parameters import ParameterMap


def parameters() -> list:
    """Return four parameters, the third of them frozen, on two scales."""
    made = [
        Parameter("index", 2.2),
        Parameter("amplitude", 3e-12, unit="cm-2 s-1 TeV-1", scale_method="scale10"),
        Parameter("reference", 1.5, unit="TeV", frozen=True),
        Parameter("tilt", -0.5, scale_method="factor1"),
    ]
    for parameter in made:
        parameter.autoscale()
    return made


@pytest.fixture
def made():
    return parameters()


@pytest.fixture
def values_of(made):
    return ParameterMap(made)


def test_which_are_free(made, values_of):
    assert len(values_of) == 4
    np.testing.assert_array_equal(values_of.free_index, [0, 1, 3])
    assert values_of.free_parameters == [made[0], made[1], made[3]]
    assert [values_of.index(parameter) for parameter in made] == [0, 1, 2, 3]


def test_factors_and_values_are_those_of_gammapy(made, values_of):
    factors = values_of.factors()
    np.testing.assert_array_equal(factors, [made[i].factor for i in (0, 1, 3)])
    np.testing.assert_array_equal(values_of.values(), [p.value for p in made])
    np.testing.assert_allclose(values_of.values(factors), [p.value for p in made], rtol=1e-15)


def set_and_read(made, x):
    """Return what Gammapy makes of factors."""
    for parameter, factor in zip((made[0], made[1], made[3]), x, strict=True):
        parameter.factor = factor
    return [parameter.value for parameter in made]


@pytest.mark.parametrize("transform", ["lin", "log", "sqrt"])
def test_values_of_other_factors_are_those_of_gammapy(transform):
    made, other = parameters(), parameters()
    for group in (made, other):
        group[1].scale_transform = transform
        group[1].autoscale()
    values_of = ParameterMap(made)
    before = values_of.values()
    x = values_of.factors() * [1.1, 0.9, 2.0]
    np.testing.assert_allclose(values_of.values(x), set_and_read(other, x), rtol=1e-13)
    # The parameters themselves did not change.
    np.testing.assert_array_equal(values_of.values(), before)
    many = values_of.many_values(np.array([x, 2 * x]))
    np.testing.assert_allclose(many[0], values_of.values(x), rtol=1e-14)
    np.testing.assert_allclose(many[1], values_of.values(2 * x), rtol=1e-14)


@pytest.mark.parametrize("transform", ["lin", "log", "sqrt"])
def test_slopes_are_those_of_differences(transform):
    made = parameters()
    made[1].scale_transform = transform
    made[1].autoscale()
    values_of = ParameterMap(made)
    x = values_of.factors()
    first, second = values_of.slopes(x, values_of.values(x))
    for k, i in enumerate(values_of.free_index):
        h = 1e-3 * abs(x[k])
        low, mid, high = (values_of.values(x + d * np.eye(3)[k])[i] for d in (-h, 0, h))
        assert first[k] == pytest.approx((high - low) / (2 * h), rel=2e-3)
        expected = (high - 2 * mid + low) / h**2
        assert second[k] == pytest.approx(expected, rel=2e-3, abs=1e-6 * abs(first[k]))
        assert (second[k] != 0) == (k == 1 and transform != "lin")


def test_frozen_parameters_are_live(made, values_of):
    made[2].value = 4.0
    assert values_of.values(values_of.factors())[2] == 4.0
    assert values_of.many_values(np.ones((2, 3)))[1, 2] == 4.0


def test_a_new_scale_is_followed(made, values_of):
    made[1].value = 7e-11
    made[1].autoscale()
    assert values_of.values(values_of.factors())[1] == pytest.approx(7e-11, rel=1e-14)


def change_frozen(made):
    made[2].frozen = False


def change_unit(made):
    made[1].unit = u.Unit("m-2 s-1 TeV-1")


def change_transform(made):
    made[3].scale_transform = "sqrt"


@pytest.mark.parametrize("change", [change_frozen, change_unit, change_transform])
def test_what_is_free_and_units_and_transforms_are_watched(made, values_of, change):
    assert values_of.is_current()
    change(made)
    assert not values_of.is_current()


def test_values_may_change(made, values_of):
    made[0].value, made[2].value, made[1].error = 3.0, 2.0, 1.0
    made[1].autoscale()
    assert values_of.is_current()


@pytest.mark.parametrize("x", [[1.0, 2.0], [1.0] * 4, 1.0, [[1.0, 2.0, 3.0]], []])
def test_a_wrong_number_of_factors(values_of, x):
    with pytest.raises(ValueError, match="Expected 3 factors, one for each free parameter"):
        values_of.values(x)


@pytest.mark.parametrize("samples", [[1.0, 2.0, 3.0], np.ones((2, 3, 1)), np.ones((2, 2))])
def test_samples_of_a_wrong_shape(values_of, samples):
    with pytest.raises(ValueError, match=r"two dimensions|Expected 3 factors"):
        values_of.many_values(samples)


def test_no_samples(values_of):
    assert values_of.many_values(np.empty((0, 3))).shape == (0, 4)


def test_lists_and_integers_are_factors_too(values_of):
    np.testing.assert_array_equal(values_of.check([1, 2, 3]), [1.0, 2.0, 3.0])
    assert values_of.check([1, 2, 3]).dtype == float


def test_all_frozen(made):
    for parameter in made:
        parameter.frozen = True
    values_of = ParameterMap(made)
    assert values_of.factors().shape == (0,)
    np.testing.assert_array_equal(values_of.values([]), [p.value for p in made])
