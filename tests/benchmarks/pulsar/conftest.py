"""Options and summary of the benchmarks of pulsar timing; they run in one thread."""

import os

import pytest

# Before numpy is loaded: later, its libraries have started their threads.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

KEY = pytest.StashKey()


def pytest_addoption(parser):
    """Let the caller choose how long PINT may take."""
    parser.addoption(
        "--pint-events",
        type=int,
        default=20_000,
        help="events that PINT is given, half a millisecond each (default: 20000)",
    )


def pytest_terminal_summary(terminalreporter, config):
    """Print what was measured."""
    rows = config.stash.get(KEY, [])
    if rows:
        terminalreporter.section("pulsar timing, one thread")
        for row in rows:
            terminalreporter.write_line(row)


@pytest.fixture(scope="session")
def rows(pytestconfig) -> list[str]:
    """Return the lines that are printed in the end."""
    pytestconfig.stash[KEY] = []
    return pytestconfig.stash[KEY]
