"""The recipe ``spectrum-1d`` with event types of the same runs, fitted jointly."""

import json
import shutil

import numpy as np
import pytest
import yaml
from gammapy.datasets import Datasets

from ctao_sat import dl5, recipes
from ctao_sat.config import parse
from ctao_sat.errors import AmbiguousDataError, ConfigError, SelectionError
from ctao_sat.recipes.spectrum_1d import Spectrum1DConfig
from ctao_sat.workflow import Plan


@pytest.fixture(scope="module")
def config(demo_config, typed_dl3):
    """Return a function that makes a configuration for the data of two event types."""

    def make(**data):
        values = yaml.safe_load(demo_config.read_text())
        values["data"] = {"path": str(typed_dl3), **data}
        # Few bins: it is not about the numbers of the spectrum.
        values["reduction"] = {
            "energy": {"min": "0.2 TeV", "max": "20 TeV", "per_decade": 4},
            "energy_true": {"min": "0.1 TeV", "max": "50 TeV", "per_decade": 8},
        }
        values["flux_points"] = {"energy": {"min": "0.2 TeV", "max": "2 TeV", "per_decade": 1}}
        return values

    return make


@pytest.fixture(scope="module")
def joint(config, tmp_path_factory):
    """Return the run of both event types, written to a folder."""
    path = tmp_path_factory.mktemp("joint") / "crab.yaml"
    path.write_text(yaml.safe_dump(config(event_types="all")))
    return recipes.run(path, out=path.with_name("run"))


@pytest.fixture(scope="module")
def single(joint):
    """Return the spectrum fitted to each event type alone."""
    spectra = {}
    for name in ("hires", "lores"):
        datasets = Datasets([d.copy(name=d.name) for d in joint.datasets if name in d.name])
        datasets.models = [joint.models[0].copy(name="alone")]
        assert dl5.fit(datasets).success
        spectra[name] = datasets.models["alone"].spectral_model
    return spectra


def test_error_of_the_joint_fit_is_at_most_the_better_one(joint, single):
    assert joint.status == "detection"
    for name in ("amplitude", "index"):
        error = joint.summary["fit"]["parameters"][name]["error"]
        best = min(spectrum.parameters[name].error for spectrum in single.values())
        assert 0 < error <= best
        # Of event types alike, the error shrinks by the root of two.
        assert error == pytest.approx(best / np.sqrt(2), rel=0.15)


def test_counts_add_up_and_time_does_not(joint):
    counts = sum(dataset.counts.data[dataset.mask.data].sum() for dataset in joint.datasets)
    assert joint.summary["n_on"] == counts > 500
    assert joint.summary["n_observations"] == 2
    assert joint.summary["livetime_h"] == pytest.approx(2 * 5 / 60)
    assert "0.17 h of livetime (2 observations)" in joint.statements[0]


def test_datasets_have_unique_names(joint):
    assert joint.datasets.names == ["1-hires", "1-lores", "2-hires", "2-lores"]
    written = sorted(path.name for path in (joint.path / "datasets").iterdir())
    for name in joint.datasets.names:
        assert any(name in file for file in written)


def test_tables_tell_runs_from_types(joint):
    table = joint.tables["observations"]
    assert list(table["obs_id"]) == [1, 1, 2, 2]
    assert list(table["event_type"]) == ["hires", "lores"] * 2
    growth = joint.tables["significance"]
    assert len(growth) == 2
    livetime = joint.summary["livetime_h"] * 3600
    np.testing.assert_allclose(growth["livetime"].quantity.to_value("s"), [livetime / 2, livetime])
    assert growth["counts"][1] == joint.summary["n_on"]
    rate = growth["counts"] / growth["livetime"]
    np.testing.assert_allclose(growth["counts_rate"].quantity.value, rate)


def test_light_curve_has_a_point_a_run(joint):
    assert joint.light_curve.geom.axes["time"].nbin == 2
    flux = joint.light_curve.flux.quantity.squeeze().to_value("cm-2 s-1")
    error = joint.light_curve.flux_err.quantity.squeeze().to_value("cm-2 s-1")
    # Both types count in each point: the mean is the flux of the whole, which has them all.
    mean = np.sum(flux / error**2) / np.sum(error**-2)
    assert mean == pytest.approx(joint.summary["flux"]["value"], rel=0.05)


def test_all_files_are_in_the_record(joint, typed_dl3):
    inputs = json.loads((joint.path / "provenance.json").read_text())["inputs"]
    names = {str(typed_dl3 / name) for name in (
        "hires/obs_000001.fits", "hires/obs_000002.fits", "lores/obs_000001.fits.gz",
        "lores/obs_000002.fits.gz", "irfs/lores.fits",
    )}  # fmt: skip
    assert {entry["path"] for entry in inputs} == names


def test_stacked_types_and_a_light_curve_in_intervals(config, joint):
    values = config(event_types=["hires", "lores"]) | {"light_curve": {"by": "3 min"}}
    values["fit"] = values["fit"] | {"stack": True}
    run = recipes.run(parse(Spectrum1DConfig, values))
    one, other = (r.summary["fit"]["parameters"]["amplitude"] for r in (run, joint))
    assert one["value"] == pytest.approx(other["value"], abs=other["error"] / 2)
    assert run.summary["livetime_h"] == pytest.approx(joint.summary["livetime_h"])
    assert run.light_curve.geom.axes["time"].nbin == 4


def test_plan_counts_runs(config):
    plan = recipes.plan(parse(Spectrum1DConfig, config(event_types="all")))
    assert isinstance(plan, Plan)
    assert plan.sentence().startswith("2 observations, 0.17 h of livetime.")
    assert len(plan.observations) == 4


def test_types_must_be_chosen(config):
    with pytest.raises(AmbiguousDataError, match=r"'hires', 'lores'.*`data.event_types: all`"):
        recipes.plan(parse(Spectrum1DConfig, config()))
    with pytest.raises(SelectionError, match="no event type 'hires2'"):
        recipes.plan(parse(Spectrum1DConfig, config(event_types=["hires2"])))


def test_files_that_belong_together(config, typed_dl3, joint, tmp_path):
    """Events and responses named one by one, relative to the configuration."""
    shutil.copytree(typed_dl3, tmp_path / "data")
    names = ["data/lores/obs_000001.fits.gz", "data/lores/obs_000002.fits.gz", "data/irfs"]
    values = config(path=names) | {"light_curve": None}
    (tmp_path / "crab.yaml").write_text(yaml.safe_dump(values))
    read = recipes.read_config(tmp_path / "crab.yaml")
    assert read.data.path == tuple(str(tmp_path / name) for name in names)
    run = recipes.run(read)
    assert run.datasets.names == ["1", "2"]
    for name in ("1", "2"):
        counts, expected = run.datasets[name].counts, joint.datasets[f"{name}-lores"].counts
        assert np.array_equal(counts.data, expected.data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"path": []}, "data.path"),
        ({"event_types": []}, "data.event_types"),
        ({"event_types": "hires"}, "data.event_types"),
        ({"index": "file"}, "data.index"),
    ],
)
def test_configurations_that_are_refused(config, data, says):
    with pytest.raises(ConfigError, match=says):
        parse(Spectrum1DConfig, config(**data))
