"""One side of a comparison in a process of its own; prints what it cost as JSON.

    python bench_process.py {cold,memory} {gammapy,ours,ours-guarded} DATASETS

DATASETS is a pickled `~gammapy.datasets.Datasets` with models.
"""

import json
import os
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> None:
    """Ask the libraries that are loaded later for one thread."""
    for name in THREADS:
        os.environ[name] = "1"


def run(what: str, side: str, path: Path, cache: Path | None = None) -> dict[str, float]:
    """Start a process for one side and return what it measured."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, what, side, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def peak() -> float:
    """Return the largest memory that this process has held so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a new process inherits that of the one which started it.
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def cold(side: str, path: Path) -> dict[str, float]:
    """Return the times in s from a loaded dataset to the first and the second value."""
    from gammapy.datasets import Datasets

    datasets = pickle.loads(path.read_bytes())
    assert isinstance(datasets, Datasets)
    start = time.perf_counter()
    if side == "gammapy":
        value = datasets.stat_sum
        imported = start
    else:
        from ctao_sat.likelihood import compile_likelihood

        imported = time.perf_counter()
        value = compile_likelihood(datasets).stat_sum
    value()
    first = time.perf_counter()
    value()
    return {
        "import": imported - start,
        "first": first - imported,
        "second": time.perf_counter() - first,
    }


def memory(side: str, path: Path) -> dict[str, float]:
    """Return the peak memory in MB after loading and after a value and a fit."""
    from gammapy.modeling import Fit

    from ctao_sat import dl5
    from ctao_sat.likelihood import compile_likelihood

    with path.open("rb") as file:
        datasets = pickle.load(file)
    loaded = peak()
    if side == "gammapy":
        datasets.stat_sum()
        result = Fit().run(datasets)
    else:
        # As a user does: value first, then the fit, which compiles anew.
        compile_likelihood(datasets).stat_sum()
        result = dl5.fit(datasets, compiled=True, guard=side == "ours-guarded")
    return {"loaded": loaded, "peak": peak(), "total_stat": float(result.total_stat)}


def main() -> None:
    """Measure one side."""
    what, side, path = sys.argv[1:]
    one_thread()
    measured = {"cold": cold, "memory": memory}[what](side, Path(path))
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
