"""The arrays of the kernels: how bins and blocks are collected."""

import numpy as np
import pytest

from ctao_sat.kernels import reference
from ctao_sat.kernels.counts import CountsArrays, predict, stat_sum
from ctao_sat.kernels.statistics import CASH, CHI2, WSTAT
from ctao_sat.likelihood._plan import Columns, PlanBuilder


def rows(*counts) -> np.ndarray:
    """Return bins of Cash data with weight one."""
    out = np.zeros((len(counts), 6))
    out[:, 0], out[:, 1] = counts, 1
    return out


@pytest.fixture
def builder():
    return PlanBuilder(5, np.zeros(0))


@pytest.mark.parametrize("n_f", [0, 1, 5])
def test_an_empty_plan(n_f):
    plan = PlanBuilder(n_f, np.zeros(0)).finish()
    assert plan.constant == 0
    assert plan.bins == plan.positions == []
    arrays = plan.arrays
    assert isinstance(arrays, CountsArrays)
    shapes = {name: getattr(arrays, name).shape for name in arrays._fields}
    assert shapes == {
        "segments": (0, 3), "rows": (0, 6), "tables": (0,), "offset": (0,), "blocks": (0, 6),
        "row_bin": (0,), "values": (0,), "groups": (0, 4), "implicit": (n_f,), "least": (n_f,),
        "most": (n_f,), "few": (0,),
    }  # fmt: skip
    mu = np.empty(0)
    predict(arrays, np.ones(n_f), mu)
    assert stat_sum(arrays, np.ones(n_f), mu) == 0


def test_kinds_of_arrays(builder):
    builder.add_bins(CASH, rows(1, 2), np.zeros(2))
    builder.add_block(0, 0, np.array([0, 1]), np.ones((2, 2)))
    builder.close_group(0, 0)
    arrays = builder.finish().arrays
    integers = {"segments", "blocks", "row_bin", "groups"}
    for name in arrays._fields:
        array = getattr(arrays, name)
        assert array.dtype == (np.int64 if name in integers else np.float64), name
        assert array.flags.c_contiguous, name


def test_bins_of_one_kind_are_one_segment(builder):
    assert builder.add_bins(CASH, rows(1, 2), np.zeros(2)) == 0
    assert builder.add_bins(CASH, rows(3), np.zeros(1)) == 2
    assert builder.add_bins(WSTAT, rows(4), np.zeros(1)) == 3
    assert builder.add_bins(CHI2, rows(5), np.ones(1)) == 4
    assert builder.add_bins(CASH, rows(6, 7), np.zeros(2)) == 5
    arrays = builder.finish().arrays
    expected = [[0, 3, CASH], [3, 4, WSTAT], [4, 5, CHI2], [5, 7, CASH]]
    np.testing.assert_array_equal(arrays.segments, expected)
    np.testing.assert_array_equal(arrays.rows[:, 0], [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(arrays.offset, [0, 0, 0, 0, 1, 0, 0])


def test_tables_follow_each_other(builder):
    assert builder.add_table(np.array([1.0, 2.0])) == 0
    assert builder.add_table(np.array([3.0])) == 2
    assert builder.add_table(np.zeros(0)) == 3
    np.testing.assert_array_equal(builder.finish().arrays.tables, [1, 2, 3])


def test_blocks_make_up_the_matrix(builder):
    first = builder.add_bins(CASH, rows(1, 0, 2), np.array([0.5, 0.0, 0.0]))
    builder.add_block(0, 0, first + np.array([0, 2]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    builder.add_block(3, 1, first + np.arange(3), np.array([[10.0, 20.0, 30.0]]))
    builder.close_group(0, first)
    arrays = builder.finish().arrays
    matrix = [[1, 3, 0, 10, 0], [0, 0, 0, 20, 0], [2, 4, 0, 30, 0]]
    np.testing.assert_array_equal(reference.response_matrix(arrays), matrix)
    np.testing.assert_array_equal(arrays.blocks, [[0, 2, 0, 2, 0, 0], [3, 1, 2, 3, 4, 1]])
    np.testing.assert_array_equal(arrays.groups, [[0, 2, 0, 3]])
    mu, f = np.empty(3), np.array([1.0, 0.5, 7.0, 0.1, 7.0])
    predict(arrays, f, mu)
    np.testing.assert_allclose(mu, np.array([0.5, 0, 0]) + np.array(matrix) @ f)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_empty_blocks_are_left_out(builder, shape):
    builder.add_bins(CASH, rows(1, 2, 3), np.zeros(3))
    builder.add_block(0, 0, np.arange(shape[1]), np.zeros(shape))
    builder.close_group(0, 0)
    arrays = builder.finish().arrays
    assert arrays.blocks.shape == (0, 6)
    assert arrays.groups.shape == (0, 4)


def test_a_block_does_not_share_its_values(builder):
    values = np.ones((1, 2))
    builder.add_bins(CASH, rows(1, 2), np.zeros(2))
    builder.add_block(0, 0, np.arange(2), values)
    plan = builder.finish()
    values[:] = 7
    np.testing.assert_array_equal(plan.arrays.values, [1, 1])


def test_builders_share_nothing():
    one, other = PlanBuilder(2, np.zeros(0)), PlanBuilder(2, np.zeros(0))
    one.add_bins(CASH, rows(1), np.zeros(1))
    one.implicit[0] = 1
    assert other.n_bins == 0
    assert other.implicit[0] == 0


def test_columns_without_a_background():
    assert Columns([(0, 0, 1.0)]).background is None
