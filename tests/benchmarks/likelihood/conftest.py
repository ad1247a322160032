"""Options, data and summary of the benchmarks; they run in one thread."""

import os
import pickle
import sys
from pathlib import Path

import pytest

# Before numpy is loaded: later, its libraries have started their threads.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
# With import-mode "importlib", modules beside the tests are not found otherwise.
sys.path.append(str(Path(__file__).parent))

# Minutes of Gammapy's fits: run only where it is named on the command line.
collect_ignore = ["test_free_shapes.py"]
ROOT = Path(__file__).parents[3]
KEY = pytest.StashKey()


def pytest_addoption(parser):
    """Let the caller choose where the numbers go."""
    parser.addoption(
        "--likelihood-output",
        metavar="FOLDER",
        default=os.environ.get("CTAO_SAT_BENCHMARKS", str(ROOT / "build" / "benchmarks")),
        help="where the likelihood benchmarks write their .json, .csv and plots "
        "(default: $CTAO_SAT_BENCHMARKS, or build/benchmarks)",
    )


def pytest_terminal_summary(terminalreporter, config):
    """Print the tables, and write them."""
    from bench_measure import table

    for record in config.stash.get(KEY, []):
        if not record.rows:
            continue
        terminalreporter.section(f"compiled {record.name}, one thread")
        for line in table(record.rows):
            terminalreporter.write_line(line)
        for path in record.write():
            terminalreporter.write_line(f"written: {path}")


@pytest.fixture(scope="session")
def new_record(pytestconfig):
    """Return a function that makes what keeps numbers, for files of a name."""
    from bench_measure import Record

    folder = Path(pytestconfig.getoption("--likelihood-output"))
    folder.mkdir(parents=True, exist_ok=True)

    def make(name: str) -> Record:
        record = Record(folder, name)
        pytestconfig.stash.setdefault(KEY, []).append(record)
        return record

    return make


@pytest.fixture(scope="session")
def record(new_record):
    """Return what keeps the numbers of the session."""
    return new_record("likelihood")


@pytest.fixture(scope="session")
def crab(gammapy_data):
    """Return the four runs on the Crab nebula; tests reset the parameters that they change."""
    import bench_jobs

    return bench_jobs.crab(gammapy_data)


@pytest.fixture(scope="session")
def centre(gammapy_data):
    """Return the cube of the Galactic centre."""
    import bench_jobs

    return bench_jobs.galactic_centre(gammapy_data)


@pytest.fixture(scope="session")
def survey():
    """Return the field with 50 sources."""
    import bench_jobs

    return bench_jobs.survey()


@pytest.fixture(scope="session")
def pickled(tmp_path_factory):
    """Return a function that writes datasets to a file that another process can load."""
    folder = tmp_path_factory.mktemp("datasets")

    def write(datasets, name: str) -> Path:
        path = folder / f"{name}.pickle"
        if not path.exists():
            # Without what Gammapy has evaluated.
            datasets.models = datasets.models
            with path.open("wb") as file:
                pickle.dump(datasets, file, protocol=pickle.HIGHEST_PROTOCOL)
        return path

    return write


@pytest.fixture(scope="session")
def numba_cache(tmp_path_factory):
    """Return an empty folder for compiled code, filled by the first process that uses it."""
    return tmp_path_factory.mktemp("numba")
