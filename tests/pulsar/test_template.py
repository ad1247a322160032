"""The shape of a pulse as a table."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from ctao_sat.errors import ConfigError
from ctao_sat.pulsar import PulseTemplate

nodes = st.lists(
    st.tuples(st.integers(0, 999), st.floats(0, 50)),
    min_size=2,
    max_size=12,
    unique_by=lambda n: n[0],
)


@given(nodes)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mean_is_one_and_integral_is_that_of_the_values(drawn):
    phase, norm = np.array(sorted(drawn)).T
    phase = phase / 1000
    assume(norm.max() > 1e-3)
    template = PulseTemplate(phase, norm)
    # The nodes are multiples of 1/1000: the trapezoidal rule on these is exact.
    x = np.arange(1001) / 1000
    values = template(x)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1])) / 1000])
    assert_allclose(template.cumulative(x), integral, atol=1e-9 * template.maximum)
    assert integral[-1] == pytest.approx(1.0)
    assert values.max() <= template.maximum * (1 + 1e-12)


def test_joins_the_last_node_to_the_first():
    template = PulseTemplate([0.1, 0.9], [2.0, 4.0])
    assert_allclose(template([0.0, 1.0, -0.1, 2.9]), template([1.0, 0.0, 0.9, 0.9]))
    assert template(0.0) == pytest.approx(template(0.1) * 1.5)


def test_inputs_are_not_changed():
    phase, norm = np.array([0.1, 0.2]), np.array([3.0, 1.0])
    PulseTemplate(phase, norm)
    assert norm.tolist() == [3.0, 1.0]


def test_function_of_phase():
    template = PulseTemplate.from_function(lambda x: 7 + 7 * np.sin(2 * np.pi * x), 4000)
    assert template.maximum == pytest.approx(2.0, abs=1e-6)
    assert template.cumulative(0.5) == pytest.approx(0.5 + 1 / np.pi, abs=1e-6)


@pytest.mark.parametrize(
    ("phase", "norm", "match"),
    [
        ([0.1], [1.0], "shape"),
        ([0.1, 0.2], [1.0], "shape"),
        ([0.2, 0.1], [1.0, 1.0], "do not increase"),
        ([0.1, 1.0], [1.0, 1.0], "do not increase"),
        ([0.1, np.nan], [1.0, 1.0], "do not increase"),
        ([0.1, 0.2], [1.0, -1.0], "negative"),
        ([0.1, 0.2], [1.0, np.nan], "not finite"),
        ([0.1, 0.2], [0.0, 0.0], "zero"),
    ],
)
def test_what_is_no_pulse_is_refused(phase, norm, match):
    with pytest.raises(ConfigError, match=match):
        PulseTemplate(phase, norm)
