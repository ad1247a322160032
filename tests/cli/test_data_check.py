"""The command ``ctao-sat data check``: what it prints, and its exit codes."""

import contextlib
import json
import shutil
import signal

import pytest
from astropy.io import fits

from ctao_sat.cli import main
from ctao_sat.dl3._checks import _run

OK, USAGE, DATA, INTERRUPTED = 0, 2, 3, 130


@pytest.fixture
def folder(small_dl3, tmp_path):
    return shutil.copytree(small_dl3, tmp_path / "dl3")


def set_key(folder, **keys):
    with fits.open(folder / "obs_000001.fits", mode="update") as hdus:
        hdus["EVENTS"].header.update(keys)


def test_clean_data(folder, capsys):
    assert main(["data", "check", str(folder), "--strict"]) == OK
    out = capsys.readouterr().out
    assert out.endswith("4 files, 37 checks: 0 errors, 0 warnings, 0 remarks.\n")


def test_an_error_fails(folder, capsys):
    set_key(folder, DEADC=0.5)
    assert main(["data", "check", str(folder)]) == DATA
    assert "ERROR deadc: obs_000001.fits [EVENTS]" in capsys.readouterr().out
    assert main(["data", "check", str(folder), "--quiet"]) == DATA


def test_a_warning_fails_if_asked_to(folder, capsys):
    set_key(folder, ALT_PNT=10.0)
    assert main(["data", "check", str(folder)]) == OK
    assert "WARNING altaz" in capsys.readouterr().out
    assert main(["data", "check", str(folder), "--strict"]) == DATA


def test_quiet_says_nothing_of_good_data(folder, capsys):
    set_key(folder, ALT_PNT=10.0)
    assert main(["data", "check", str(folder), "--quiet"]) == OK
    assert capsys.readouterr().out == ""


def test_json(folder, capsys):
    set_key(folder, DEADC=0.5)
    assert main(["data", "check", str(folder), "--json", "-j", "2"]) == DATA
    content = json.loads(capsys.readouterr().out)
    (finding,) = content["findings"]
    assert finding["check"] == "deadc"
    assert finding["file"] == str(folder / "obs_000001.fits")
    assert set(finding) == {"severity", "file", "hdu", "check", "what", "remedy"}
    assert content["ok"] is False


def test_a_damaged_file_is_a_finding(folder, capsys):
    (folder / "obs_000001.fits").write_bytes(b"")
    assert main(["data", "check", str(folder)]) == DATA
    captured = capsys.readouterr()
    assert "ERROR readable: obs_000001.fits" in captured.out
    assert captured.err == ""


def test_a_path_that_is_not_there(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "nothing")]) == DATA
    assert "There is no file or folder" in capsys.readouterr().err
    assert main(["data", "check"]) == USAGE


def swallowed():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def turned_into_another_error():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ValueError("truncated") from None


def plain():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interrupt", [plain, swallowed, turned_into_another_error])
def test_an_interrupt_is_not_lost(folder, monkeypatch, capsys, interruptible, interrupt):
    """Destructors and C code swallow some, after which reading may fail."""
    read = _run.read_content

    def interrupted(path):
        content = read(path)
        interrupt()
        return content

    monkeypatch.setattr(_run, "read_content", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main(["data", "check", str(folder)]) == INTERRUPTED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Interrupted" in captured.err
    assert signal.getsignal(signal.SIGINT) is before
