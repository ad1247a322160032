"""Ctrl-C that is not lost while a file is read."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["interrupts_kept"]


_seen: list[int] = []


def _note(number: int, frame: Any) -> None:
    _seen.append(number)
    raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if there was one, whatever became of it.

    Python drops one that is raised in a destructor, numpy some of those in its C code, and what
    they interrupt may go on to fail in another way. One in a hundred that hit the reading of a
    FITS file is lost like that.
    """
    ours = threading.current_thread() is threading.main_thread()
    # Ours is still there if an interrupt hit the very change of handlers.
    if not ours or signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, _note):
        yield
        return
    _seen.clear()
    try:
        signal.signal(signal.SIGINT, _note)
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if _seen:
            raise KeyboardInterrupt
