"""Map a function over work items: serially, in processes, or with Dask.

The question answered here: *how do I do the same thing for each observation, bin or toy, on all
cores, and get the same answer as in a plain loop?* The entry point is `pmap`.

What to use when:

- ``"serial"``: a few items, or a debugger;
- ``"processes"``: one machine (this is what ``"auto"`` takes for more than one job);
- ``"dask"``: a cluster, with a `distributed.Client` passed as ``client``; without one a local
  cluster is started and closed again. Needs the extra ``ctao-sat[distributed]``.

All three give identical results, in the order of the items. Each worker uses one thread, so that
``n_jobs`` workers load ``n_jobs`` cores. Warnings and log records of workers are issued again
in the calling process, in the order of the items.
"""

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tqdm.auto import tqdm

from ctao_sat.errors import ConfigError, ParallelError, did_you_mean

__all__ = ["BACKENDS", "available_cpus", "pmap", "progress_bar"]

BACKENDS = ("auto", "serial", "processes", "dask")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LOGGERS = ("ctao_sat", "gammapy")

# A bar that flashes by is noise: it appears once the work has taken this long.
_PROGRESS_DELAY = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Outcome:
    """What a worker sends home: a result or an error, with all that was said on the way."""

    result: Any = None
    error: BaseException | None = None
    warnings: list[tuple[str, type[Warning]]] = field(default_factory=list)
    records: list[logging.LogRecord] = field(default_factory=list)


def available_cpus() -> int:
    """Return the number of processor cores this process may use.

    Returns
    -------
    n : int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def progress_bar(items: Iterable[Item], *, description: str, progress: bool) -> Iterable[Item]:
    """Show a progress bar over an iteration that takes more than two seconds.

    Parameters
    ----------
    items : iterable
        What is iterated over.
    description : str
        Text before the bar.
    progress : bool
        False returns the items as they are.

    Returns
    -------
    items : iterable
        The same items.
    """
    if not progress:
        return items
    return tqdm(items, desc=description, delay=_PROGRESS_DELAY, leave=False)


def pmap(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    n_jobs: int = 1,
    backend: str = "auto",
    client: Any = None,
    description: str = "",
    progress: bool = False,
) -> list[Result]:
    """Apply a function to each item, and return the results in the order of the items.

    Parameters
    ----------
    function : callable
        Takes one item. For ``"processes"`` it must be importable, thus defined at the top level of
        a module.
    items : iterable
        The work items. They must survive pickling, except in a serial run.
    n_jobs : int
        Number of workers; -1 takes all available cores.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute. ``"auto"`` is serial for one job, and processes for more.
    client : `distributed.Client`, optional
        A running Dask client, for example of a `dask_jobqueue.HTCondorCluster`. Implies ``"dask"``;
        ``n_jobs`` is then the cluster's business.
    description : str
        Text before the progress bar.
    progress : bool
        Show a progress bar when the work takes more than two seconds.

    Returns
    -------
    results : list
        One result per item.

    Raises
    ------
    ConfigError
        If the backend is unknown or ``n_jobs`` is not -1 or positive.
    ParallelError
        If a worker died, or Dask is asked for and not installed.

    Examples
    --------
    >>> from ctao_sat.parallel import pmap
    >>> pmap(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    work = list(items)
    backend, n_workers = _resolve(backend, n_jobs, len(work), client)
    if backend == "serial":
        return [function(item) for item in _bar(work, len(work), description, progress)]
    if backend == "processes":
        outcomes = _run_processes(function, work, n_workers, description, progress)
    else:
        outcomes = _run_dask(function, work, n_workers, client, description, progress)
    return [_open(outcome) for outcome in outcomes]


def _resolve(backend: str, n_jobs: int, n_items: int, client: Any) -> tuple[str, int]:
    """Return the backend to use and the number of workers."""
    if backend not in BACKENDS:
        raise ConfigError(
            f"Unknown parallel backend '{backend}'.", remedy=did_you_mean(backend, BACKENDS)
        )
    if n_jobs != -1 and n_jobs < 1:
        raise ConfigError(
            f"The number of jobs is {n_jobs}.",
            remedy="Give a positive number, or -1 for all cores.",
        )
    if client is not None:
        return "dask", n_jobs
    n_workers = max(1, min(available_cpus() if n_jobs == -1 else n_jobs, n_items))
    if backend == "auto":
        backend = "serial" if n_workers == 1 else "processes"
    if n_items == 0:
        backend = "serial"
    return backend, n_workers


def _bar(items: Iterable, total: int, description: str, progress: bool) -> Iterable:
    return tqdm(
        items,
        total=total,
        desc=description,
        delay=_PROGRESS_DELAY,
        leave=False,
        disable=not progress,
    )


def _open(outcome: _Outcome) -> Any:
    """Say again what a worker said, then return its result or raise its error."""
    for record in outcome.records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    for text, category in outcome.warnings:
        warnings.warn(text, category, stacklevel=3)
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


def _call(function: Callable, item: Any) -> _Outcome:
    """Run in a worker: apply the function and collect its messages."""
    records: queue.SimpleQueue = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    outcome = _Outcome()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome.result = function(item)
    except Exception as error:  # sent home and raised there
        outcome.error = _portable(error)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    outcome.warnings = [(str(message.message), message.category) for message in caught]
    while not records.empty():
        outcome.records.append(records.get())
    return outcome


def _portable(error: Exception) -> Exception:
    """Return the error, or a plain one with its text if it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except (pickle.PickleError, TypeError, AttributeError):
        return ParallelError(f"{type(error).__name__} in a worker: {error}")
    return error


def _ignore_interrupts() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let processes started meanwhile use one thread each."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run_processes(
    function: Callable, work: list, n_workers: int, description: str, progress: bool
) -> list[_Outcome]:
    # A forked child of a process with threads (BLAS, numba, a notebook) can deadlock.
    context = multiprocessing.get_context("spawn")
    with _single_threaded_children():
        pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_ignore_interrupts)
        try:
            futures = [pool.submit(_call, function, item) for item in work]
            _wait_for_success(futures, description, progress)
            return [future.result() for future in futures if not future.cancelled()]
        except BrokenProcessPool as error:
            raise ParallelError(
                "A worker process died.",
                remedy="In a script, call from under `if __name__ == '__main__':`; "
                "if memory ran out, use fewer jobs.",
            ) from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ParallelError(
                f"The work cannot be sent to a worker process: {error}.",
                remedy="Define the function at the top level of a module, "
                "or use backend='serial' or 'dask'.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _wait_for_success(futures: list[Future], description: str, progress: bool) -> None:
    """Wait for all futures, or cancel the waiting ones once one has failed."""
    for future in _bar(as_completed(futures), len(futures), description, progress):
        if future.result().error is not None:
            for other in futures:
                other.cancel()
            return


def _call_pickled(payload: bytes) -> bytes:
    import cloudpickle

    function, item = pickle.loads(payload)
    return cloudpickle.dumps(_call(function, item))


def _run_dask(
    function: Callable,
    work: list,
    n_workers: int,
    client: Any,
    description: str,
    progress: bool,
) -> list[_Outcome]:
    try:
        import cloudpickle
        import distributed
    except ImportError as error:
        raise ParallelError(
            f"The Dask backend needs '{error.name}', which is not installed.",
            remedy="From a checkout: pip install '.[distributed]'",
        ) from error
    # Bytes, because Dask's own serialiser strips the units of Quantity objects.
    payloads = [cloudpickle.dumps((function, item)) for item in work]
    with contextlib.ExitStack() as stack:
        if client is None:
            stack.enter_context(_single_threaded_children())
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(distributed.Client(cluster))
        futures = client.map(_call_pickled, payloads, pure=False)
        done = distributed.as_completed(futures)
        for _ in _bar(done, len(futures), description, progress):
            pass
        return [pickle.loads(payload) for payload in client.gather(futures)]
