"""The same results, warnings and errors from a loop, from processes, and from Dask."""

import importlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from ctao_sat.errors import ConfigError, CtaoSatWarning, FileFormatError, ParallelError
from ctao_sat.parallel import BACKENDS, available_cpus, pmap, progress_bar
from ctao_sat.parallel._worker import call

HERE = Path(__file__).parent
REAL_BACKENDS = [name for name in BACKENDS if name != "auto"]


@pytest.fixture
def work(monkeypatch):
    """Return the functions to send, from a module that workers can import."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("worker_functions")


@pytest.fixture(scope="module")
def client():
    """Give one Dask client to all tests that do not need to see it start."""
    distributed = pytest.importorskip("distributed")
    with (
        pytest.MonkeyPatch.context() as patch,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        patch.syspath_prepend(HERE)
        client.run(sys.path.insert, 0, str(HERE))
        yield client


@pytest.fixture(params=REAL_BACKENDS)
def run(request):
    """Return `pmap` on one of the backends, with two workers."""
    if request.param == "dask":
        return lambda *args, **options: pmap(
            *args, client=request.getfixturevalue("client"), **options
        )
    return lambda *args, **options: pmap(*args, n_jobs=2, backend=request.param, **options)


def same(one, two) -> bool:
    """Return whether two products are equal to the last bit, units included."""
    return all(
        (
            np.array_equal(one["energy"].value, two["energy"].value),
            one["energy"].unit == two["energy"].unit,
            np.array_equal(one["flux"].value, two["flux"].value),
            one["flux"].unit == two["flux"].unit,
            one["scalar"] == two["scalar"],
            one["model"].to_dict() == two["model"].to_dict(),
            np.array_equal(one["counts"].data, two["counts"].data),
            one["counts"].geom == two["counts"].geom,
            one["fit"] == two["fit"],
        )
    )


def test_results_are_the_same_everywhere(run, work):
    expected = [work.products(seed) for seed in range(5)]
    results = run(work.products, range(5))
    assert all(same(*pair) for pair in zip(results, expected, strict=True))
    assert str(results[0]["scalar"].unit) == "TeV"


def test_items_may_come_from_a_generator(run, work):
    assert run(work.double, (x for x in (3, 1, 2))) == [6, 2, 4]


def test_results_are_consumed_in_the_order_of_the_items(run, work):
    consumed = []
    assert run(abs, range(-7, 0), consume=consumed.append) == []
    assert consumed == [7, 6, 5, 4, 3, 2, 1]


def test_nothing_to_do(run, work):
    assert run(work.double, []) == []


@pytest.mark.filterwarnings("always::ctao_sat.errors.CtaoSatWarning")
def test_messages_come_in_the_order_of_the_items(run, work, caplog):
    logging.getLogger("ctao_sat").setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(record=True) as caught:
            assert run(work.speak, [0, 1, 2]) == [0, 1, 2]
    finally:
        logging.getLogger("ctao_sat").setLevel(logging.NOTSET)
    assert [str(one.message) for one in caught] == [f"warning of {x}" for x in range(3)]
    assert {one.category for one in caught} == {CtaoSatWarning}
    assert {Path(one.filename).name for one in caught} == {"worker_functions.py"}
    records = [r for r in caplog.records if r.name in ("gammapy.irf", "ctao_sat.dl4")]
    expected = [(f"record of {x}", f"detail of {x}") for x in range(3)]
    assert [record.getMessage() for record in records] == [text for two in expected for text in two]


def test_a_warning_can_be_an_error(run, work):
    with pytest.raises(CtaoSatWarning, match="warning of 0"):
        run(work.speak, [0, 1])


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_a_warning_that_cannot_travel_sends_its_text(request, backend, work):
    options = {"n_jobs": 2, "backend": backend}
    if backend == "dask":
        options = {"client": request.getfixturevalue("client")}
    with pytest.warns(CtaoSatWarning, match="Awkward: this and that"):
        assert pmap(work.warn_awkwardly, [1, 2], **options) == [1, 2]


def test_the_first_item_that_fails_raises_its_error(run, work):
    with pytest.raises(FileFormatError) as caught:
        run(work.fail, [0, 1, 2, 3, 5, 7])
    error = caught.value
    assert (error.message, error.remedy) == ("Item 1 is odd.", "Take an even one.")
    assert (error.where, error.exit_code) == ("items.yaml", 3)


def test_the_traceback_of_a_worker_is_kept(work):
    with pytest.raises(ZeroDivisionError) as caught:
        pmap(work.fail_plainly, [1, 0], n_jobs=2)
    assert "in fail_plainly" in str(caught.value.__cause__)


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_an_error_that_cannot_travel_sends_its_text(request, backend, work):
    options = {"n_jobs": 2, "backend": backend}
    if backend == "dask":
        options = {"client": request.getfixturevalue("client")}
    with pytest.raises(ParallelError, match=r"AwkwardError in a worker: this and that.*serial"):
        pmap(work.fail_awkwardly, [1, 2], **options)


def test_a_function_that_cannot_be_sent():
    with pytest.raises(ParallelError, match=r"cannot be sent.*top level of a module"):
        pmap(lambda x: x, [1, 2], n_jobs=2, backend="processes")


def test_an_item_that_cannot_be_sent(client, work):
    for options in ({"n_jobs": 2, "backend": "processes"}, {"client": client}):
        with pytest.raises(ParallelError, match="cannot be sent"):
            pmap(work.double, [threading.Lock(), 2], **options)


def test_many_items_of_which_some_cannot_be_sent(work):
    # A pool that pickles on its own has been seen to wait for ever.
    for _ in range(3):
        with pytest.raises(ParallelError, match="cannot be sent"):
            pmap(work.double, [1, 2, 3, 4, threading.Lock(), threading.Lock(), 7], n_jobs=2)


def test_more_items_than_are_sent_at_once(run, work):
    assert run(work.double, range(40)) == list(range(0, 80, 2))


def test_a_function_that_workers_cannot_import():
    script = (
        "from ctao_sat.parallel import pmap\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__': pmap(double, [1, 2], n_jobs=2)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be sent between processes" in done.stderr
    assert "top level of a module" in done.stderr


def test_a_result_that_cannot_be_sent(work):
    with pytest.raises(ParallelError, match="or its result, cannot be sent"):
        pmap(work.unpicklable, [1, 2], n_jobs=2, backend="processes")


def test_dask_sends_functions_without_a_name(client):
    factor = 3
    assert pmap(lambda x: factor * x, [1, 2], client=client) == [3, 6]


def test_a_worker_that_dies(work):
    with pytest.raises(ParallelError, match=r"A worker process died.*fewer jobs"):
        pmap(work.die, [1, 2], n_jobs=2, backend="processes")


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_workers_use_one_thread_and_the_environment_comes_back(backend, work, monkeypatch):
    if backend == "dask":
        pytest.importorskip("distributed")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    results = pmap(work.threads, [1, 2, 3], n_jobs=2, backend=backend)
    assert all(set(settings.values()) == {"1"} for _, settings in results)
    assert os.getpid() not in {pid for pid, _ in results}
    assert dict(os.environ) == before
    with pytest.raises(FileFormatError):
        pmap(work.fail, [1, 1], n_jobs=2, backend="processes")
    assert dict(os.environ) == before


def test_dask_that_is_not_installed(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParallelError, match=r"'distributed', which is not installed.*pip install"):
        pmap(work.double, [1, 2], backend="dask")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backend": "dusk"}, "Unknown parallel backend 'dusk'. Did you mean 'dask'?"),
        ({"n_jobs": 0}, "number of jobs is 0.*-1 for all cores"),
        ({"n_jobs": -2}, "number of jobs is -2"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(ConfigError, match=says):
        pmap(abs, [1], **options)


@pytest.mark.parametrize(
    ("options", "n_items"), [({"n_jobs": 1}, 3), ({"n_jobs": 4}, 1), ({"n_jobs": -1}, 1)]
)
def test_auto_is_serial_where_processes_would_not_help(options, n_items):
    # A lambda would not survive the way to a process.
    assert pmap(lambda x: x, range(n_items), **options) == list(range(n_items))


def test_a_progress_bar_changes_nothing(capsys):
    assert list(progress_bar(iter("abc"), total=3, description="Letters")) == ["a", "b", "c"]
    assert list(progress_bar("abc", progress=False)) == ["a", "b", "c"]
    # It took less than two seconds.
    assert capsys.readouterr() == ("", "")


def test_all_cores():
    assert 1 <= available_cpus() <= os.cpu_count()


def test_a_serial_run_raises_interrupts():
    def interrupt(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pmap(interrupt, [1])


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_workers_at_once(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from ctao_sat.parallel import pmap\n"
        "from worker_functions import sleep\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        pmap(sleep, [300, 300, 300], n_jobs=2)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "at work\n"
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - start < 30
    assert out.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert _gone(process.pid)


def _gone(group) -> bool:
    """Return whether all processes of a group end within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_pickled_outcomes_hold_log_records(work):
    # Arguments of a record may be anything: it has to be text before it travels.
    outcome = call(work.speak, 2, {"gammapy": logging.WARNING})
    again = pickle.loads(pickle.dumps(outcome))
    assert [record.getMessage() for record in again.records] == ["record of 2"]
    assert logging.getLogger("gammapy").level == logging.NOTSET
