"""Nothing appears before it is complete, and nothing that is there is replaced unasked."""

import json
import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

from ctao_sat import result
from ctao_sat.errors import OutputError
from ctao_sat.result import (
    MARKER,
    check_free,
    describe_inputs,
    json_text,
    sha256,
    staged_file,
    staged_folder,
    versions,
    write_json,
    write_table,
)


class Broken(Exception):
    """What goes wrong in a block that writes."""


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_run(path: Path, text: str, **options) -> None:
    with staged_folder(path, **options) as folder:
        (folder / "product.txt").write_text(text)
        (folder / MARKER).write_text("{}")


def fail_in_file(path: Path) -> None:
    with staged_file(path) as temporary:
        temporary.write_text("half")
        raise Broken


def fail_in_folder(path: Path, text: str, error: type[BaseException], **options) -> None:
    with staged_folder(path, **options) as folder:
        (folder / "product.txt").write_text(text)
        raise error


# Files


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    with staged_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
    assert tree(tmp_path) == {"a.txt": b"new"}


def test_after_an_error_the_old_file_is_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Broken):
        fail_in_file(path)
    assert tree(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize("place", ["/proc/a.txt", "file/a.txt", "missing/a.txt", "folder"])
def test_a_file_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    path = tmp_path / place
    with pytest.raises(OutputError, match="cannot be written") as caught, staged_file(path) as temp:
        temp.write_text("new")
    assert caught.value.remedy
    assert tree(tmp_path) == before


def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match=r"No space left on device.*Free some space"),
        staged_file(tmp_path / "a.txt"),
    ):
        Path("/dev/full").write_text("x")


# Folders


def test_a_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "run"
    with staged_folder(path) as folder:
        (folder / "product.txt").write_text("x")
        assert not path.exists()
        assert folder.parent == path.parent
        # Others may read it, as if it had been made by mkdir.
        assert folder.stat().st_mode & 0o777 == 0o755
    assert tree(tmp_path / "new") == {"run": None, "run/product.txt": b"x"}


def test_an_empty_folder_is_free(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    write_run(path, "x")
    assert set(tree(tmp_path)) == {"run", "run/product.txt", f"run/{MARKER}"}


def test_an_error_before_any_product_leaves_nothing(tmp_path):
    with pytest.raises(Broken), staged_folder(tmp_path / "run"):
        raise Broken
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_an_error_after_a_product_keeps_it(tmp_path, error):
    with pytest.raises(error):
        fail_in_folder(tmp_path / "run", "hours of work", error)
    assert tree(tmp_path) == {
        "run.incomplete": None,
        "run.incomplete/product.txt": b"hours of work",
    }


def test_what_was_kept_is_never_replaced(tmp_path):
    for number in range(3):
        with pytest.raises(Broken):
            fail_in_folder(tmp_path / "run", str(number), Broken)
    assert {name: text for name, text in tree(tmp_path).items() if text} == {
        "run.incomplete/product.txt": b"0",
        "run.incomplete-2/product.txt": b"1",
        "run.incomplete-3/product.txt": b"2",
    }


def test_a_run_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "run"
    write_run(path, "first")
    with pytest.raises(OutputError, match=r"is there already.*--overwrite"):
        write_run(path, "second")
    assert (path / "product.txt").read_text() == "first"
    write_run(path, "third", overwrite=True)
    assert tree(tmp_path) == {"run": None, "run/product.txt": b"third", f"run/{MARKER}": b"{}"}


def test_after_an_error_the_old_run_is_as_it_was(tmp_path):
    path = tmp_path / "run"
    write_run(path, "first")
    with pytest.raises(Broken):
        fail_in_folder(path, "second", Broken, overwrite=True)
    assert (path / "product.txt").read_text() == "first"
    assert (path / MARKER).is_file()


def test_if_the_new_run_cannot_take_its_place_the_old_one_comes_back(tmp_path, monkeypatch):
    path = tmp_path / "run"
    write_run(path, "first")
    replace = os.replace

    def fail_for_the_new_one(source, target):
        if Path(target) == path and (Path(source) / "second.txt").exists():
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(result.os, "replace", fail_for_the_new_one)
    with (
        pytest.raises(OutputError, match="No space left"),
        staged_folder(path, overwrite=True) as f,
    ):
        (f / "second.txt").write_text("second")
    assert (path / "product.txt").read_text() == "first"
    assert (tmp_path / "run.incomplete" / "second.txt").read_text() == "second"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_never_replaced(tmp_path, overwrite):
    path = tmp_path / "thesis"
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="other things than a run"):
        write_run(path, "x", overwrite=overwrite)
    assert tree(tmp_path) == before


def test_a_folder_that_became_foreign_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "run"

    def write_while_others_do():
        with staged_folder(path) as folder:
            (folder / "product.txt").write_text("x")
            path.mkdir()
            (path / "theirs.txt").write_text("y")

    with pytest.raises(OutputError, match="other things"):
        write_while_others_do()
    assert (path / "theirs.txt").read_text() == "y"
    assert (tmp_path / "run.incomplete" / "product.txt").read_text() == "x"


def test_a_link_stays_one(tmp_path):
    target, link = tmp_path / "disk" / "run", tmp_path / "run"
    write_run(target, "first")
    link.symlink_to(target)
    write_run(link, "second", overwrite=True)
    assert link.is_symlink()
    assert (target / "product.txt").read_text() == "second"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("file", "is a file"),
        ("file/run", "cannot be written"),
        ("/proc/run", "cannot be written"),
        ("/proc/deep/run", "cannot be written"),
        ("x" * 300, "too long"),
        ("loop/run", "cannot be written"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, place, says):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = tree(tmp_path)
    path = tmp_path / place
    # Before the work, not after hours of it.
    with pytest.raises(OutputError, match=says) as caught:
        check_free(path, overwrite=True)
    assert "--out" in caught.value.remedy
    with pytest.raises(OutputError, match=says), staged_folder(path, overwrite=True):
        raise AssertionError("the block must not run")
    assert tree(tmp_path) == before


def test_checking_leaves_no_trace(tmp_path):
    check_free(tmp_path / "a" / "b" / "run", overwrite=False)
    assert tree(tmp_path) == {}


# Content


def test_json_has_no_nan():
    content = {
        "nan": np.nan,
        "inf": [np.float32("inf"), -np.inf],
        "array": np.array([[1.5, np.nan]]),
        "integer": np.int64(3),
        "flag": np.bool_(True),
        "text": np.str_("é"),
        "path": Path("a/b"),
        "none": None,
        1: (1, 2),
    }
    text = json_text(content)
    assert "é" in text

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "nan": None,
        "inf": [None, None],
        "array": [[1.5, None]],
        "integer": 3,
        "flag": True,
        "text": "é",
        "path": "a/b",
        "none": None,
        "1": [1, 2],
    }


def test_json_refuses_to_lose_a_unit():
    with pytest.raises((TypeError, NotImplementedError)):
        json_text({"energy": [1, 2] * u.TeV})


def test_write_json(tmp_path):
    path = tmp_path / "a.json"
    write_json({"x": 1}, path)
    write_json({"x": 2}, path)
    assert tree(tmp_path) == {"a.json": b'{\n  "x": 2\n}\n'}


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_tables_keep_their_units(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    table = QTable({"energy": [1, 2] * u.TeV, "n": [3, 4]})
    write_table(table, path)
    again = QTable.read(path)
    assert again["energy"].unit == u.TeV
    assert np.array_equal(again["energy"].value, [1, 2])
    write_table(Table({"n": [1]}), path)
    assert len(Table.read(path)) == 1
    assert list(tree(tmp_path)) == [path.name]


def test_sha256_is_that_of_the_standard(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(path) == digest
    assert describe_inputs([path]) == [{"path": str(path), "bytes": 3, "sha256": digest}]


def test_versions_name_what_makes_the_numbers(monkeypatch):
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"python", "gammapy", "astropy"} <= set(found)
    monkeypatch.setattr(result, "_PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"
