"""Options, data and summary of the benchmarks of science products; they run in one thread."""

import os
import sys
from pathlib import Path

import pytest

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# Once numpy is loaded, which plugins of pytest may do, its libraries have started their threads.
if "numpy" in sys.modules and any(os.environ.get(name) != "1" for name in _THREADS[:2]):
    raise pytest.UsageError(
        f"Benchmarks run in one thread: start them with {'=1 '.join(_THREADS[:2])}=1."
    )
for _name in _THREADS:
    os.environ[_name] = "1"
# Data, clocks and records are those of the benchmarks of the likelihood.
sys.path.append(str(Path(__file__).parents[1] / "likelihood"))
sys.path.append(str(Path(__file__).parent))
ROOT = Path(__file__).parents[3]
KEY = pytest.StashKey()


def pytest_addoption(parser):
    """Let the caller choose where the numbers go."""
    parser.addoption(
        "--products-output",
        metavar="FOLDER",
        default=os.environ.get("CTAO_SAT_BENCHMARKS", str(ROOT / "build" / "benchmarks")),
        help="where the benchmarks of products write their .json and .csv "
        "(default: $CTAO_SAT_BENCHMARKS, or build/benchmarks)",
    )


def pytest_terminal_summary(terminalreporter, config):
    """Print the tables, and write them."""
    from bench_measure import table

    for record in config.stash.get(KEY, []):
        if not record.rows:
            continue
        terminalreporter.section(f"{record.name}, one thread")
        for line in table(record.rows):
            terminalreporter.write_line(line)
        for path in record.write():
            terminalreporter.write_line(f"written: {path}")


@pytest.fixture(scope="module")
def record(pytestconfig, request):
    """Return what keeps the numbers of a module, in files of its name."""
    from bench_measure import Record

    folder = Path(pytestconfig.getoption("--products-output"))
    folder.mkdir(parents=True, exist_ok=True)
    topic = request.path.stem.removeprefix("test_").replace("_", "-")
    made = Record(folder, f"products-{topic}")
    pytestconfig.stash.setdefault(KEY, []).append(made)
    return made


@pytest.fixture(scope="session")
def crab(gammapy_data):
    """Return four runs on the Crab nebula; tests reset the parameters that they change."""
    import bench_jobs

    return bench_jobs.crab(gammapy_data)


@pytest.fixture(scope="session")
def centre(gammapy_data):
    """Return the cube of the Galactic centre."""
    import bench_jobs

    return bench_jobs.galactic_centre(gammapy_data)
