"""Run folders: complete, readable by Gammapy, never overwritten unasked."""

import json

import numpy as np
import pytest
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.modeling.models import Models

from ctao_sat import recipes, result, workflow
from ctao_sat.errors import FileFormatError, MissingDataError, OutputError


@pytest.fixture(scope="module")
def folder(demo_run, tmp_path_factory):
    return workflow.write_run(demo_run, tmp_path_factory.mktemp("runs") / "crab")


def test_holds_every_product(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {
        "config.yaml", "datasets/datasets.yaml", "fit_result.yaml", "flux_points.ecsv",
        "flux_points.fits", "light_curve.ecsv", "light_curve.fits", "models.yaml",
        "models_covariance.dat", "observations.ecsv", "parameters.ecsv", "plots/counts.png",
        "plots/light_curve.png", "plots/regions.png", "plots/sed.png", "plots/significance.png",
        "plots/theta_squared.png", "provenance.json", "report.html", "selection.ecsv",
        "significance.ecsv", "summary.json", "theta_squared.ecsv",
    }  # fmt: skip
    assert expected <= names
    assert not [name for name in names if "partial" in name]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_gammapy_reads_datasets_and_models(folder, demo_run):
    datasets = Datasets.read(folder / "datasets" / "datasets.yaml", folder / "models.yaml")
    for ours, theirs in zip(demo_run.datasets, datasets, strict=True):
        np.testing.assert_array_equal(ours.counts.data, theirs.counts.data)
        np.testing.assert_allclose(ours.exposure.data, theirs.exposure.data, rtol=1e-6)
    assert datasets.stat_sum() == pytest.approx(demo_run.fit_result.total_stat, rel=1e-6)
    models = Models.read(folder / "models.yaml")
    np.testing.assert_allclose(
        models[0].spectral_model.covariance.data,
        demo_run.models[0].spectral_model.covariance.data,
        rtol=1e-6,
    )
    assert models[0].spectral_model.covariance.data[0, 1] != 0


@pytest.mark.parametrize("ending", ["fits", "ecsv"])
@pytest.mark.parametrize("name", ["flux_points", "light_curve"])
def test_gammapy_reads_flux_points(folder, demo_run, name, ending):
    points = FluxPoints.read(
        folder / f"{name}.{ending}", reference_model=demo_run.models[0].spectral_model
    )
    ours = getattr(demo_run, name)
    np.testing.assert_allclose(
        points.dnde.quantity.to_value("cm-2 s-1 TeV-1"),
        ours.dnde.quantity.to_value("cm-2 s-1 TeV-1"),
        rtol=1e-6,
    )


def test_provenance_names_inputs_with_checksums(folder, demo_dl3):
    record = json.loads((folder / "provenance.json").read_text())
    files = {entry["path"]: entry["sha256"] for entry in record["inputs"]}
    events = sorted(demo_dl3.glob("obs_*.fits*"))
    assert len(events) == 2
    for path in events:
        assert files[str(path)] == result.sha256(path)
    assert record["versions"]["gammapy"].startswith("2.1")
    assert record["status"] == "detection"
    assert [step["name"] for step in record["steps"]][:2] == [
        "Select observations",
        "Reduce observations",
    ]
    assert all(step["seconds"] >= 0 for step in record["steps"])


def test_provenance_names_the_reference_model(demo_config, demo_dl3):
    config = recipes.read_config(demo_config)
    models = demo_dl3 / "models.yaml"
    run = recipes.run(
        config.model_copy(update={"reference_model": str(models), "light_curve": None})
    )
    files = {entry["path"]: entry["sha256"] for entry in run.provenance["inputs"]}
    assert files[str(models)] == result.sha256(models)


def test_config_in_the_folder_runs_again(folder, demo_run):
    again = recipes.read_config(folder / "config.yaml")
    assert again.model_dump(mode="json") == demo_run.config.model_dump(mode="json")


def test_report_is_one_page_without_requests(folder):
    page = (folder / "report.html").read_text()
    assert "Crab-like" in page
    assert "demonstration array" in page
    assert 'src="http' not in page
    assert len(page) < 5e6


def test_summary_reads_back(folder, demo_run):
    summary = workflow.read_summary(folder)
    assert summary["statements"] == demo_run.statements
    assert summary["n_on"] == demo_run.summary["n_on"]


def test_no_run_folder(tmp_path):
    with pytest.raises(MissingDataError, match="is no run folder"):
        workflow.read_summary(tmp_path)


def test_later_schema(folder, tmp_path):
    record = json.loads((folder / "provenance.json").read_text())
    record["schema_version"] = 99
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(FileFormatError, match="schema version 99"):
        workflow.read_summary(tmp_path)


def test_is_not_overwritten_unasked(folder, demo_run):
    before = result.sha256(folder / "summary.json"), (folder / "summary.json").stat().st_mtime_ns
    with pytest.raises(OutputError, match="is there already"):
        workflow.write_run(demo_run, folder)
    assert before == (
        result.sha256(folder / "summary.json"),
        (folder / "summary.json").stat().st_mtime_ns,
    )


def test_is_replaced_on_demand(demo_run, tmp_path):
    path = workflow.write_run(demo_run, tmp_path / "run")
    (path / "mine.txt").write_text("from the first run")
    workflow.write_run(demo_run, path, overwrite=True)
    assert not (path / "mine.txt").exists()
    assert (path / "summary.json").is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_foreign_folder_is_never_replaced(demo_run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(OutputError, match="holds other things"):
        workflow.write_run(demo_run, tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "cat"


def test_same_run_same_numbers(folder, demo_run, tmp_path):
    other = workflow.write_run(demo_run, tmp_path / "again")
    for name in ("summary.json", "flux_points.ecsv", "observations.ecsv", "plots/sed.png"):
        assert result.sha256(other / name) == result.sha256(folder / name), name


def test_tables_keep_their_units(folder):
    table = Table.read(folder / "observations.ecsv")
    assert table["livetime"].unit == "min"
    assert table["offset"].unit == "deg"
