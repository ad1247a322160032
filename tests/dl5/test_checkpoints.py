"""Work that was interrupted goes on where it was, and never with what is not its own."""

import pickle
import signal
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import Parameter

from ctao_sat import dl5
from ctao_sat.dl5._checkpoints import Checkpoints, fingerprint
from ctao_sat.errors import OutputError

EDGES = [1, 5, 20] * u.TeV
# It is killed while the third file is about to get its final name.
KILLED = """
import os, pickle, signal, sys
import ctao_sat.result
from ctao_sat import dl5
import ctao_sat.dl5._light_curve as module

def replace(*paths, files=[], real=os.replace):
    files.append(paths)
    if len(files) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)

ctao_sat.result.os.replace = replace
module._BINS_AT_ONCE = 1
with open(sys.argv[1], "rb") as file:
    datasets, edges = pickle.load(file)
dl5.light_curve(datasets, edges, checkpoints=sys.argv[2])
"""


def times_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("interval-*.npz")}


def test_a_killed_light_curve_goes_on(nights, tmp_path, assert_equal):
    datasets, folder = nights("on-off", 4), tmp_path / "kept"
    inputs = tmp_path / "inputs.pickle"
    inputs.write_bytes(pickle.dumps((datasets, EDGES)))
    command = [sys.executable, "-c", KILLED, str(inputs), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = times_of(folder)
    assert len(before) == 2
    assert len(list(folder.iterdir())) == 3
    curve = dl5.light_curve(datasets, EDGES, checkpoints=folder)
    after = times_of(folder)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert_equal(curve, dl5.light_curve(datasets, EDGES))


@pytest.mark.parametrize("spectrum", ["fixed", "free"])
def test_what_is_kept_is_what_was_found(nights, tmp_path, assert_equal, monkeypatch, spectrum):
    datasets = nights("on-off", 2)
    datasets[1].counts.data[:] = 0
    options = {"spectrum": spectrum, "selection_optional": "all", "checkpoints": tmp_path}
    first = dl5.light_curve(datasets, EDGES, **options)
    monkeypatch.setattr("ctao_sat.dl5._light_curve.estimate", None)
    again = dl5.light_curve(datasets, EDGES, **options)
    assert_equal(again, first)
    assert again.meta["fallbacks"] == first.meta["fallbacks"]
    if spectrum == "free":
        one, other = again.meta["parameters"], first.meta["parameters"]
        for name in other.colnames[2:]:
            np.testing.assert_array_equal(one[name], other[name])


def changed_counts(datasets):
    datasets[0].counts.data[0] += 1


def changed_exposure(datasets):
    datasets[0].exposure.data[0] *= 1.001


def changed_response(datasets):
    datasets[0].edisp.edisp_map.data *= 1.001


def changed_mask(datasets):
    datasets[0].mask_fit = datasets[0].counts.geom.energy_mask(energy_min=2 * u.TeV)


def changed_model(datasets):
    datasets.parameters["index"].value += 1e-12


def changed_freedom(datasets):
    datasets.parameters["index"].frozen = True


def changed_name(datasets):
    datasets[0]._name = "other"


@pytest.mark.parametrize("kind", ["linked", "scan"])
def test_links_and_scans_have_other_names(nights, tmp_path, kind):
    datasets = nights("on-off", 1)
    for i in (1, 2):
        options = {}
        if kind == "scan":
            norm = Parameter("norm", 1, interp="log", scan_values=np.array([0.5, i + 1]))
            options = {"norm": norm, "selection_optional": ["scan"]}
        else:
            source = nights("on-off", 1).models[0]
            other = source.copy(name="other")
            if i == 2:
                other.spectral_model.index = source.spectral_model.index
            datasets.models = [source, other]
        dl5.light_curve(datasets, EDGES, checkpoints=tmp_path, **options)
        assert len(times_of(tmp_path)) == i


@pytest.mark.parametrize(
    "change",
    [
        changed_counts, changed_exposure, changed_response, changed_mask, changed_model,
        changed_freedom, changed_name,
    ],
)  # fmt: skip
def test_other_inputs_have_other_names(nights, change):
    before = fingerprint(nights("on-off", 1), {"n_sigma": 1})
    datasets = nights("on-off", 1)
    assert fingerprint(datasets, {"n_sigma": 1}) == before
    change(datasets)
    assert fingerprint(datasets, {"n_sigma": 1}) != before


def test_other_options_have_other_names(nights, tmp_path):
    datasets = nights("on-off", 1)
    calls = [{}, {"n_sigma": 2}, {"norm": {"scan_values": np.ones(2)}}, {"spectrum": "free"}]
    for i, options in enumerate(calls, 1):
        dl5.light_curve(datasets, EDGES, checkpoints=tmp_path, **options)
        assert len(times_of(tmp_path)) == i
    dl5.light_curve(datasets, EDGES[[0, -1]], checkpoints=tmp_path)
    assert len(times_of(tmp_path)) == 5


def test_files_of_others_are_neither_used_nor_overwritten(nights, tmp_path):
    datasets = nights("on-off", 1)
    dl5.light_curve(datasets, EDGES, checkpoints=tmp_path)
    (path,) = tmp_path.glob("*.npz")
    for content in (b"something else", path.read_bytes()[:200], b""):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="is no checkpoint of this work"):
            dl5.light_curve(datasets, EDGES, checkpoints=tmp_path)
        assert path.read_bytes() == content


def test_a_checkpoint_of_another_key_under_this_name(tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save("a" * 64, {"x": np.arange(3)})
    assert kept.load("a" * 64)["x"].tolist() == [0, 1, 2]
    assert kept.load("b" * 64) is None
    with pytest.raises(OutputError, match="no checkpoint of this work"):
        kept.load("a" * 63 + "b")


def test_a_folder_that_cannot_be_made(nights, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        dl5.light_curve(nights("on-off", 1), EDGES, checkpoints=tmp_path / "file" / "below")
