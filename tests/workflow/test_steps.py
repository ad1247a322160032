"""Steps with their times and messages."""

import logging
import warnings

import pytest

from ctao_sat.workflow import StepLog


def test_times_come_from_the_clock():
    ticks = iter([10.0, 12.5, 20.0, 20.25])
    log = StepLog(clock=lambda: next(ticks))
    with log.step("one"):
        pass
    with log.step("two"):
        pass
    assert [(step.name, step.seconds) for step in log.steps] == [("one", 2.5), ("two", 0.25)]


def test_keeps_warnings_and_log_records():
    log = StepLog()

    def work():
        with log.step("one"):
            warnings.warn("careful", UserWarning, stacklevel=1)
            logging.getLogger("gammapy.maps").warning("few %s", "counts")
            logging.getLogger("gammapy.maps").info("not this")
            logging.getLogger("elsewhere").warning("nor this")

    with pytest.warns(UserWarning, match="careful"):
        work()
    assert log.messages == ["UserWarning: careful", "gammapy.maps: few counts"]


def test_says_each_message_once():
    log = StepLog()
    for name in ("one", "two"):
        with log.step(name):
            logging.getLogger("ctao_sat").warning("again")
    assert log.messages == ["ctao_sat: again"]


def test_leaves_handlers_as_they_were():
    before = list(logging.getLogger("gammapy").handlers)
    log = StepLog()
    with pytest.raises(ZeroDivisionError), log.step("bad"):
        1 / 0  # noqa: B018
    assert logging.getLogger("gammapy").handlers == before
    assert log.steps[0].name == "bad"


def test_reports_names():
    names = []
    log = StepLog(report=names.append)
    with log.step("one"):
        assert names == ["one"]
