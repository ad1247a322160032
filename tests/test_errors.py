"""Errors carry message, remedy, place and exit code, wherever they go."""

import copy
import inspect
import pickle

import pytest

from ctao_sat import errors
from ctao_sat.errors import CtaoSatError, did_you_mean

CLASSES = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, CtaoSatError)
]
EXIT_CODES = {
    "CtaoSatError": 1,
    "OutputError": 1,
    "ParallelError": 1,
    "ConfigError": 2,
    "AmbiguousDataError": 3,
    "DataError": 3,
    "EphemerisError": 3,
    "FileFormatError": 3,
    "MissingColumnError": 3,
    "MissingDataError": 3,
    "MissingHDUError": 3,
    "NotCompilable": 2,
    "PhaseError": 3,
    "SelectionError": 3,
    "SourceNotFoundError": 3,
    "ConvergenceError": 4,
}


def test_exit_codes_are_those_of_the_command_line():
    assert {cls.__name__: cls.exit_code for cls in CLASSES} == EXIT_CODES


def test_all_is_exported():
    public = {cls.__name__ for cls in CLASSES} | {"CtaoSatWarning", "did_you_mean"}
    assert set(errors.__all__) == public


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("travel", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_error_survives_the_way_home(cls, travel):
    error = travel(cls("It broke.", remedy="Mend it.", where="a.yaml, line 3"))
    assert type(error) is cls
    assert (error.message, error.remedy, error.where) == ("It broke.", "Mend it.", "a.yaml, line 3")
    assert str(error) == "It broke. Mend it. (a.yaml, line 3)"


@pytest.mark.parametrize(
    ("remedy", "where", "text"),
    [
        ("", "", "It broke."),
        ("Mend it.", "", "It broke. Mend it."),
        ("", "a.yaml", "It broke. (a.yaml)"),
    ],
)
def test_text_has_no_gaps(remedy, where, text):
    assert str(CtaoSatError("It broke.", remedy=remedy, where=where)) == text


@pytest.mark.parametrize(
    ("name", "candidates", "remedy"),
    [
        ("Crab", ["crab", "vela"], "Did you mean 'crab'?"),
        ("radios", ["radius", "method"], "Did you mean 'radius'?"),
        # The shortest of those that begin alike.
        ("log", ["logparabolaspectral", "logparabola", "power"], "Did you mean 'logparabola'?"),
        # Too short to begin anything.
        ("lo", ["logparabola", "power"], "Choose from: 'logparabola', 'power'."),
        ("x", [], ""),
        ("x", ["a", "a", "b"], "Choose from: 'a', 'b'."),
    ],
)
def test_did_you_mean(name, candidates, remedy):
    assert did_you_mean(name, iter(candidates)) == remedy


def test_did_you_mean_shows_at_most_ten_names():
    remedy = did_you_mean("x", [f"source-{number}" for number in range(200)])
    assert "'source-9' … (200 in all)" in remedy
    assert "source-10" not in remedy
