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
in the calling process, in the order of the items. The first item that fails, in that order, raises
its error.
"""

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tqdm.auto import tqdm

from ctao_sat.errors import ConfigError, CtaoSatWarning, ParallelError, did_you_mean

__all__ = ["BACKENDS", "available_cpus", "pmap"]

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

# What pickle and cloudpickle raise on what they cannot handle.
_PICKLE_ERRORS = (pickle.PickleError, TypeError, AttributeError, ValueError, RecursionError)

# A bar that flashes by is noise: it appears once the work has taken this long.
_DELAY = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Outcome:
    """What a worker sends home: a result or an error, with all that was said on the way."""

    result: Any = None
    error: Exception | None = None
    traceback: str = ""
    warnings: list[tuple[Warning, str, int]] = field(default_factory=list)
    records: list[logging.LogRecord] = field(default_factory=list)


class _InWorkerError(Exception):
    """The cause of an error that came home from a worker: its traceback there, as text."""


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
        If function, items or results do not survive pickling, a worker died, or Dask is asked for
        and not installed.

    Notes
    -----
    An error of the function is raised as it is; its cause is the traceback from the worker.

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
    return _replay(outcomes)


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
        items, total=total, desc=description, delay=_DELAY, leave=False, disable=not progress
    )


def _replay(outcomes: Iterable[_Outcome]) -> list:
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


def _log_levels() -> dict[str, int]:
    """Return from which level on the caller wants log records."""
    return {name: logging.getLogger(name).getEffectiveLevel() for name in _LOGGERS}


def _call(function: Callable, item: Any, levels: dict[str, int]) -> _Outcome:
    """Run in a worker: apply the function and collect its messages."""
    outcome = _Outcome()
    with _collected_records(outcome.records, levels), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            outcome.result = function(item)
        except Exception as error:  # whatever it is: it is sent home, and raised there
            outcome.error = _portable(error)
            outcome.traceback = traceback.format_exc()
    outcome.warnings = [(_portable_warning(one.message), one.filename, one.lineno) for one in said]
    return outcome


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


@contextlib.contextmanager
def _process_pool(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of processes, which are ended at once if the work is interrupted."""
    # A forked child of a process with threads (BLAS, numba, a notebook) can deadlock.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_ignore_interrupts)
    try:
        yield pool
    except KeyboardInterrupt:
        # Waiting for the items at work could take hours.
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _unpicklable(error: BaseException) -> ParallelError:
    return ParallelError(
        f"The work, or its result, cannot be sent between processes: {error}.",
        remedy="Define the function at the top level of a module, or use backend='serial'.",
    )


def _died() -> ParallelError:
    return ParallelError(
        "A worker process died.",
        remedy="If memory ran out, use fewer jobs. In a script, call from under "
        "`if __name__ == '__main__':`; in a notebook, define the function in a module.",
    )


def _run_processes(
    function: Callable, work: list, n_workers: int, description: str, progress: bool
) -> list[_Outcome]:
    levels = _log_levels()
    with _single_threaded_children(), _process_pool(n_workers) as pool:
        futures = [pool.submit(_call, function, item, levels) for item in work]
        try:
            _wait(futures, description, progress)
            return [future.result() for future in futures if not future.cancelled()]
        except BrokenProcessPool as error:
            raise _died() from error
        except _PICKLE_ERRORS as error:
            raise _unpicklable(error) from error


def _wait(futures: list[Future], description: str, progress: bool) -> None:
    """Wait for all futures; once one has failed, only for those before it."""
    for future in _bar(as_completed(futures), len(futures), description, progress):
        if not future.cancelled() and future.result().error is not None:
            # Earlier items may fail too: a loop would raise the error of the first.
            for later in futures[futures.index(future) + 1 :]:
                later.cancel()


def _call_pickled(payload: bytes) -> bytes:
    import cloudpickle

    outcome = _call(*pickle.loads(payload))
    try:
        return cloudpickle.dumps(outcome)
    except _PICKLE_ERRORS as error:
        outcome.result, outcome.error = None, _unpicklable(error)
        return cloudpickle.dumps(outcome)


def _run_dask(
    function: Callable, work: list, n_workers: int, client: Any, description: str, progress: bool
) -> list[_Outcome]:
    try:
        import cloudpickle
        import distributed
    except ImportError as error:
        raise ParallelError(
            f"The Dask backend needs '{error.name}', which is not installed.",
            remedy="From a checkout: pip install '.[distributed]'",
        ) from error
    levels = _log_levels()
    try:
        # Bytes, because Dask's own serialiser strips the units of Quantity objects.
        payloads = [cloudpickle.dumps((function, item, levels)) for item in work]
    except _PICKLE_ERRORS as error:
        raise _unpicklable(error) from error
    with contextlib.ExitStack() as stack:
        if client is None:
            stack.enter_context(_single_threaded_children())
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    # Any free port: another cluster may hold the default one.
                    dashboard_address=":0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(distributed.Client(cluster))
        futures = client.map(_call_pickled, payloads, pure=False)
        stack.callback(_cancel, futures)
        try:
            return _gather(futures, distributed.as_completed(futures), description, progress)
        except distributed.KilledWorker as error:
            raise _died() from error


def _cancel(futures: list) -> None:
    """Stop what an error, or an interrupt, has made useless."""
    for future in futures:
        if not future.done():
            future.cancel()


def _gather(futures: list, done: Iterable, description: str, progress: bool) -> list[_Outcome]:
    """Return the outcomes in the order of the futures, up to the first one that failed."""
    order = {future.key: number for number, future in enumerate(futures)}
    outcomes: dict[int, _Outcome] = {}
    last = len(futures)
    for future in _bar(done, len(futures), description, progress):
        number = order[future.key]
        outcomes[number] = pickle.loads(future.result())
        if outcomes[number].error is not None:
            last = min(last, number + 1)
        if all(earlier in outcomes for earlier in range(last)):
            break
    return [outcomes[number] for number in range(last)]
