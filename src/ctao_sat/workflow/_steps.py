"""Time the steps of a run, and keep what was warned of on the way."""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Step", "StepLog"]

_LOGGERS = ("ctao_sat", "gammapy")


@dataclass
class Step:
    """One step of a run: its name, duration in seconds, and messages."""

    name: str
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)


class _Collector(logging.Handler):
    """Keep the text of each warning that is logged."""

    def __init__(self, messages: list[str]):
        super().__init__(logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.name}: {record.getMessage()}")


class StepLog:
    """The steps of a run, in their order.

    Parameters
    ----------
    clock : callable
        Returns seconds; only differences matter.
    report : callable, optional
        Called with the name of each step when it begins.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        report: Callable[[str], None] | None = None,
    ):
        self.steps: list[Step] = []
        self._clock = clock
        self._report = report

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a block as a step; its warnings are kept and shown as usual.

        Parameters
        ----------
        name : str
            What the step does.

        Yields
        ------
        step : Step
            The record, complete after the block.
        """
        step = Step(name)
        self.steps.append(step)
        if self._report is not None:
            self._report(name)
        start = self._clock()
        handler = _Collector(step.messages)
        loggers = [logging.getLogger(logger) for logger in _LOGGERS]
        for logger in loggers:
            logger.addHandler(handler)
        try:
            with _kept_warnings(step.messages):
                yield step
        finally:
            step.seconds = self._clock() - start
            for logger in loggers:
                logger.removeHandler(handler)

    @property
    def messages(self) -> list[str]:
        """All messages, each one once."""
        return list(dict.fromkeys(text for step in self.steps for text in step.messages))


@contextlib.contextmanager
def _kept_warnings(messages: list[str]) -> Iterator[None]:
    """Append the warnings to a list; whether they are shown stays the caller's choice."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message, category, *args, **kwargs):
            messages.append(f"{category.__name__}: {message}")
            show(message, category, *args, **kwargs)

        warnings.showwarning = keep
        yield
