"""Ctrl-C that is not lost while a file is read."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["interrupts_kept"]


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if there was one, whatever became of it.

    Python drops one that is raised in a destructor, numpy some of those in its C code, and what
    they interrupt may go on to fail in another way. One in a hundred that hit the reading of a
    FITS file is lost like that.
    """
    seen = False

    def note(number: int, frame: Any) -> None:
        nonlocal seen
        seen = True
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    # The handler of a caller who has one of his own stays.
    if not in_main or before is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, note)
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            raise KeyboardInterrupt
