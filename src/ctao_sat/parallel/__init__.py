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
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm.auto import tqdm

from ctao_sat.errors import ConfigError, ParallelError, did_you_mean
from ctao_sat.parallel._worker import (
    Outcome,
    call_packed,
    log_levels,
    pack,
    replay,
    unpack,
)

__all__ = ["BACKENDS", "available_cpus", "pmap", "progress_bar"]

BACKENDS = ("auto", "serial", "processes", "dask")

_THREAD_VARIABLES = (
    *(f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")),
    "VECLIB_MAXIMUM_THREADS",
)
# A bar that flashes by is noise: it appears once the work has taken this long.
_DELAY = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def progress_bar(
    items: Iterable[Item], *, total: int | None = None, description: str = "", progress: bool = True
) -> Iterable[Item]:
    """Show a progress bar over an iteration that takes more than two seconds.

    Parameters
    ----------
    items : iterable
        What is iterated over.
    total : int, optional
        How many there are, if they do not say so themselves.
    description : str
        Text before the bar.
    progress : bool
        False shows nothing.

    Returns
    -------
    items : iterable
        The same items.
    """
    return tqdm(
        items, total=total, desc=description, delay=_DELAY, leave=False, disable=not progress
    )


def pmap(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    n_jobs: int = 1,
    backend: str = "auto",
    client: Any = None,
    description: str = "",
    progress: bool = False,
    consume: Callable[[Result], object] | None = None,
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
    consume : callable, optional
        What to do with each result, in the order of the items, while later ones are computed: a
        sum of many large results need not hold them all.

    Returns
    -------
    results : list
        One result per item; none if they are consumed.

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
    results: list[Result] = []
    consume = consume or results.append
    if backend == "serial":
        for item in progress_bar(work, description=description, progress=progress):
            consume(function(item))
    elif backend == "processes":
        _run_processes(function, work, n_workers, description, progress, consume)
    else:
        _run_dask(function, work, n_workers, client, description, progress, consume)
    return results


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


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes started meanwhile never hear of Ctrl-C, which reaches the whole group.

    The parent alone decides what happens then. Its own interrupt waits until the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
    pool = ProcessPoolExecutor(n_workers, mp_context=context)
    try:
        yield pool
    except KeyboardInterrupt:
        # Waiting for the items at work could take hours.
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _died() -> ParallelError:
    return ParallelError(
        "A worker process died.",
        remedy="If memory ran out, use fewer jobs. In a script, call from under "
        "`if __name__ == '__main__':`; in a notebook, define the function in a module.",
    )


def _run_processes(
    function: Callable,
    work: list,
    n_workers: int,
    description: str,
    progress: bool,
    consume: Callable[[Any], object],
) -> None:
    levels = log_levels()
    with _single_threaded_children(), _process_pool(n_workers) as pool:

        def done() -> Iterator[tuple[int, Outcome]]:
            pending: dict[Future, int] = {}
            for number, item in enumerate(work):
                # Pickled here: a pool that meets what it cannot pickle may wait for ever.
                payload = pack((function, item, levels))
                if len(pending) > 2 * n_workers:
                    yield from _first_done(pending)
                with _deaf_children():
                    pending[pool.submit(call_packed, payload)] = number
            while pending:
                yield from _first_done(pending)

        try:
            _collect(done(), len(work), description, progress, consume)
        except BrokenProcessPool as error:
            raise _died() from error


def _first_done(pending: dict[Future, int]) -> Iterator[tuple[int, Outcome]]:
    """Wait for any of the items at work, and take those that are done."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), unpack(future.result())


def _run_dask(
    function: Callable,
    work: list,
    n_workers: int,
    client: Any,
    description: str,
    progress: bool,
    consume: Callable[[Any], object],
) -> None:
    try:
        import cloudpickle
        import distributed
    except ImportError as error:
        raise ParallelError(
            f"The Dask backend needs '{error.name}', which is not installed.",
            remedy="From a checkout: pip install '.[distributed]'",
        ) from error
    levels = log_levels()
    # Bytes, because Dask's own serialiser strips the units of Quantity objects.
    payloads = [pack((function, item, levels), cloudpickle.dumps) for item in work]
    with contextlib.ExitStack() as stack:
        if client is None:
            stack.enter_context(_single_threaded_children())
            cluster = distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                # Any free port: another cluster may hold the default one.
                dashboard_address=":0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.ERROR,
            )
            client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        futures = client.map(call_packed, payloads, dumps=cloudpickle.dumps, pure=False)
        stack.callback(_cancel, futures)
        number = {future.key: n for n, future in enumerate(futures)}
        done = (
            (number[future.key], unpack(future.result()))
            for future in distributed.as_completed(futures)
        )
        try:
            _collect(done, len(futures), description, progress, consume)
        except distributed.KilledWorker as error:
            raise _died() from error


def _cancel(futures: list) -> None:
    """Stop what an error, or an interrupt, has made useless."""
    for future in futures:
        if not future.done():
            future.cancel()


def _collect(
    done: Iterable[tuple[int, Outcome]],
    total: int,
    description: str,
    progress: bool,
    consume: Callable[[Any], object],
) -> None:
    """Take the outcomes in the order of their numbers, up to the first one that failed."""
    outcomes: dict[int, Outcome] = {}
    following = 0
    for number, outcome in progress_bar(
        done, total=total, description=description, progress=progress
    ):
        outcomes[number] = outcome
        while following in outcomes:
            # Earlier items may fail too: a loop would raise the error of the first.
            for result in replay([outcomes.pop(following)]):
                consume(result)
            following += 1
