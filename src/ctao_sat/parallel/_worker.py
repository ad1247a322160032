"""What happens in a worker, and how it comes home: results, errors, warnings and log records."""

import contextlib
import logging
import logging.handlers
import pickle
import queue
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ctao_sat.errors import CtaoSatWarning, ParallelError

__all__ = ["Outcome", "call", "call_packed", "log_levels", "pack", "replay", "unpack"]

_LOGGERS = ("ctao_sat", "gammapy")

# What pickle and cloudpickle raise on what they cannot handle.
_PICKLE_ERRORS = (pickle.PickleError, TypeError, AttributeError, ValueError, RecursionError)


@dataclass
class Outcome:
    """What a worker sends home: a result or an error, with all that was said on the way."""

    result: Any = None
    error: Exception | None = None
    traceback: str = ""
    warnings: list[tuple[Warning, str, int]] = field(default_factory=list)
    records: list[logging.LogRecord] = field(default_factory=list)


class _InWorkerError(Exception):
    """The cause of an error that came home from a worker: its traceback there, as text."""


def log_levels() -> dict[str, int]:
    return {name: logging.getLogger(name).getEffectiveLevel() for name in _LOGGERS}


def call(function: Callable, item: Any, levels: dict[str, int]) -> Outcome:
    """Run in a worker: apply the function and collect its messages."""
    outcome = Outcome()
    with _collected_records(outcome.records, levels), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            outcome.result = function(item)
        except Exception as error:  # whatever it is: it is sent home, and raised there
            outcome.error = _portable(error)
            outcome.traceback = traceback.format_exc()
    outcome.warnings = [(_portable_warning(one.message), one.filename, one.lineno) for one in said]
    return outcome


def pack(content: Any, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Return content as bytes, or raise a ParallelError if that cannot be."""
    try:
        return dumps(content)
    except _PICKLE_ERRORS as error:
        raise _unpicklable(error) from error


def unpack(payload: bytes) -> Any:
    """Return what was packed."""
    try:
        return pickle.loads(payload)
    except (*_PICKLE_ERRORS, ImportError) as error:
        raise _unpicklable(error) from error


def _unpicklable(error: Exception) -> ParallelError:
    return ParallelError(
        f"The work, or its result, cannot be sent between processes: {error}.",
        remedy="Define the function at the top level of a module, or use backend='serial'.",
    )


def call_packed(payload: bytes, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Run in a worker: unpack the work, do it, and pack the outcome."""
    try:
        outcome = call(*unpack(payload))
        return pack(outcome, dumps)
    except ParallelError as error:
        return pickle.dumps(Outcome(error=error))


@contextlib.contextmanager
def _collected_records(records: list[logging.LogRecord], levels: dict[str, int]) -> Iterator[None]:
    """Append what is logged meanwhile to a list, in a form that can be pickled."""
    collected: queue.SimpleQueue = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(collected)
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        while not collected.empty():
            records.append(collected.get())


def _survives_pickling(content: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(content))
    except _PICKLE_ERRORS:
        return False
    return True


def _portable(error: Exception) -> Exception:
    """Return the error, or one with its text if it does not survive pickling."""
    if _survives_pickling(error):
        return error
    return ParallelError(
        f"{type(error).__name__} in a worker: {error}.",
        remedy="Run again with backend='serial' to see the error itself.",
    )


def _portable_warning(warning: Warning | str) -> Warning:
    """Return the warning, or one with its text if it does not survive pickling."""
    if isinstance(warning, Warning) and _survives_pickling(warning):
        return warning
    return CtaoSatWarning(f"{type(warning).__name__}: {warning}")


def replay(outcomes: Iterable[Outcome]) -> list:
    """Say again what the workers said, then return their results or raise the first error."""
    results = []
    registry: dict = {}
    for outcome in outcomes:
        for record in outcome.records:
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        for warning, filename, line in outcome.warnings:
            warnings.warn_explicit(warning, type(warning), filename, line, registry=registry)
        if outcome.error is not None:
            raise outcome.error from _InWorkerError("\n" + outcome.traceback)
        results.append(outcome.result)
    return results
