"""Numbers and tables as text."""

import re

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from gammapy.modeling.models import Models, PowerLawSpectralModel, SkyModel
from hypothesis import given
from hypothesis import strategies as st

from ctao_sat.report.numbers import number, with_error
from ctao_sat.report.tables import columns

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def value_of(text):
    """Return the number that a text shows."""
    plain = text.replace("−", "-")
    match = re.fullmatch(r"(\S+) × 10(\S+)", plain)
    return float(plain) if match is None else float(
        f"{match[1]}e{match[2].translate(SUPERSCRIPTS)}"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-1.5, "−1.5"),
        (4.0, "4"),
        (123456.0, "123456"),
        (1234567.0, "1.235 × 10⁶"),
        (0.001234, "0.001234"),
        (0.0001234, "1.234 × 10⁻⁴"),
        (9.99996e-5, "1 × 10⁻⁴"),
        (99999.7, "1 × 10⁵"),
        (12345.6, "12346"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
        (float("nan"), "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@given(st.floats(1e-300, 1e300), st.integers(1, 8), st.booleans())
def test_number_is_right_to_its_digits(value, digits, keep_zeros):
    shown = value_of(number(value, digits, keep_zeros=keep_zeros))
    assert shown == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((2.38, 0.12), "2.38 ± 0.12"),
        ((554.4, 24.9), "554 ± 25"),
        ((4.393e-11, 2.2e-12), "(4.39 ± 0.22) × 10⁻¹¹"),
        ((1e-13, 5e-12), "(0.1 ± 5.0) × 10⁻¹²"),
        ((-0.7e-12, 0.33e-12, 1.5e-12), "(−0.70 +1.50 −0.33) × 10⁻¹²"),
        ((1.0, float("nan")), "1"),
        ((1.0, 0.0), "1"),
        ((float("nan"), 0.1), "–"),
        ((1.0, 1e-20), "1"),
        ((1.58e-20, 1.2e-16), "(0.0 ± 1.2) × 10⁻¹⁶"),
    ],
)
def test_with_error(arguments, text):
    assert with_error(*arguments) == text


def test_errors_are_taken_into_their_columns():
    table = Table(
        {
            "flux": [1.0, 2.0, 3.0] * u.TeV,
            "flux_err": [100.0, 200.0, np.nan] * u.GeV,
            "flux_errn": [0.1, np.nan, np.nan] * u.TeV,
            "flux_errp": [0.3, 0.1, np.nan] * u.TeV,
            "err": [1, 2, 3],
        }
    )
    flux, err = columns(table)
    assert flux.cells == ["1.00 +0.30 −0.10", "2.00 ± 0.20", "3"]
    assert flux.unit == "TeV"
    assert flux.numeric
    assert err.cells == ["1", "2", "3"]


def test_one_sided_errors_are_not_lost():
    names = [each.name for each in columns(Table({"x": [1.0], "x_errn": [0.1]}))]
    assert names == ["x", "x_errn"]


def test_digits_of_a_column_are_the_same_and_as_few_as_needed():
    by_name = {
        each.name: each.cells
        for each in columns(
            Table(
                {
                    "edges": [0.5, 1.25, 10.0],
                    "whole": [1.0, 20.0, np.nan],
                    "small": [4e-11, 1.234e-11, np.nan],
                    "third": [1 / 3, 4.0, 1.0],
                }
            )
        )
    }
    assert by_name["edges"] == ["0.500", "1.25", "10.0"]
    assert by_name["whole"] == ["1", "20", "–"]
    assert by_name["small"] == ["4.000 × 10⁻¹¹", "1.234 × 10⁻¹¹", "–"]
    assert by_name["third"] == ["0.3333", "4.000", "1.000"]


def test_kinds_of_columns():
    table = Table(
        {
            "id": [20136, -7],
            "used": [True, False],
            "name": ["a", ""],
            "bytes": np.array([b"x", b"y"]),
            "masked": MaskedColumn([1.5, 2.5], mask=[False, True]),
            "counts": MaskedColumn([3, 4], mask=[True, False]),
            "several": [[1.0, 2.5], [3.0, np.nan]],
            "many": np.zeros((2, 9)),
            "empty": ["", ""],
        }
    )
    shown = {each.name: each for each in columns(table)}
    assert shown["id"].cells == ["20136", "−7"]
    assert shown["used"].cells == ["yes", "no"]
    assert shown["name"].cells == ["a", ""]
    assert shown["bytes"].cells == ["x", "y"]
    assert shown["masked"].cells == ["1.5", "–"]
    assert shown["counts"].cells == ["–", "4"]
    assert shown["several"].cells == ["1.0, 2.5", "3.0, –"]
    assert shown["many"].cells == ["9 values", "9 values"]
    assert "empty" not in shown
    assert [each.numeric for each in shown.values()] == [
        True, False, False, False, True, True, True, True,
    ]  # fmt: skip


def test_quantities_and_units():
    (flux,) = columns(QTable({"flux": [1.5, 2.0] * u.Unit("TeV-1 cm-2 s-1")}))
    assert flux.cells == ["1.5", "2.0"]
    assert {"TeV⁻¹", "cm⁻²", "s⁻¹"} == set(flux.unit.split())


def test_times_are_dates_in_utc():
    table = Table({"start": Time(["2024-03-01T00:01:09.184"], scale="tt")})
    (start,) = columns(table)
    assert start.cells == ["2024-03-01 00:00:00"]
    assert start.unit == "UTC"


def test_masked_times_and_times_to_come():
    times = Time(["2060-03-01", "2061-03-01"], scale="tt")
    times[1] = np.ma.masked
    (start,) = columns(Table({"start": times}))
    assert start.cells[0].startswith("2060-02-29 23:5")
    assert start.cells[1] == "–"


def test_times_of_light_curves_are_dates():
    table = Table({"time_min": [[53343.92234009259]], "e_ref": [[2.249]]})
    table.meta.update({"MJDREFI": 0, "MJDREFF": 0.0, "TIMESYS": "tt", "TIMEUNIT": "d"})
    start, energy = columns(table)
    assert start.cells == ["2004-12-04 22:07:06"]
    assert energy.cells == ["2.249"]


def test_parameters_of_models():
    model = PowerLawSpectralModel(index=2.38, amplitude="4.393e-11 cm-2 s-1 TeV-1")
    model.index.error, model.amplitude.error = 0.12, 2.2e-12
    table = Models([SkyModel(model, name="crab")]).to_parameters_table()
    before = table.colnames
    shown = {each.name: each.cells for each in columns(table)}
    assert shown["value"] == ["2.38 ± 0.12", "(4.39 ± 0.22) × 10⁻¹¹", "1"]
    assert "error" not in shown
    assert shown["frozen"] == ["no", "no", "yes"]
    assert set(shown["unit"][1].split()) == {"TeV⁻¹", "cm⁻²", "s⁻¹"}
    assert table.colnames == before
