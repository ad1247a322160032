"""The recipe ``pulsar`` on a simulated pulsar."""

import json
import re

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from matplotlib.patches import StepPatch
from numpy.testing import assert_allclose

from ctao_sat import pulsar, recipes, result, workflow
from ctao_sat.config import dump, parse
from ctao_sat.errors import ConfigError, SelectionError
from ctao_sat.pulsar._scan import count_trials
from ctao_sat.recipes.pulsar import PulsarConfig, _steps

MODEL = {
    "type": "PowerLawSpectralModel",
    "parameters": [
        {"name": "index", "value": 2.5},
        {"name": "amplitude", "value": 1.0e-12, "unit": "cm-2 s-1 TeV-1"},
        {"name": "reference", "value": 1, "unit": "TeV", "frozen": True},
    ],
}
CONFIG = {
    "recipe": "pulsar",
    "schema_version": 1,
    "data": {"path": "dl3"},
    "target": {"name": "Crab pulsar", "position": "83.6332 deg, 22.0145 deg"},
    "ephemeris": {"file": "crab.par"},
    "events": {"radius": "0.12 deg", "energy_max": "1 TeV"},
    "tests": {"z2_harmonics": [2, 10]},
    "regions": {"on": [[0.07, 0.13], [0.44, 0.56]], "off": [[0.65, 1.0]]},
    "profile": {
        "peaks": [
            {"location": 0.11, "width": 0.02, "fraction": 0.1},
            {"location": 0.48, "width": 0.02, "fraction": 0.1},
        ]
    },
    "scan": {"f0": ["29.55 Hz", "29.56 Hz"], "n_harmonics": 10, "oversampling": 20},
    "spectrum": {
        "reduction": {
            "energy": {"min": "0.06 TeV", "max": "3 TeV", "per_decade": 5},
            "energy_true": {"min": "0.03 TeV", "max": "10 TeV", "per_decade": 10},
        },
        "fit": {"model": MODEL},
        "flux_points": {"energy": {"min": "0.1 TeV", "max": "1 TeV", "per_decade": 2}},
    },
}


@pytest.fixture(scope="module")
def config(pulsar_dl3, crab):
    """Return the file of a configuration that searches around the true frequency."""
    f0 = crab.f[0] + crab.f[1] * (61780.9 - crab.pepoch.mjd) * 86400
    values = CONFIG | {"scan": CONFIG["scan"] | {"f0": [f"{f0 - 3e-3} Hz", f"{f0 + 3e-3} Hz"]}}
    path = pulsar_dl3 / "crab.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def run(config):
    return recipes.run(config)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return workflow.write_run(run, tmp_path_factory.mktemp("runs") / "crab")


def changed(path, **changes):
    """Return the configuration of a file with some sections replaced."""
    whole = recipes.read_config(path).model_dump(mode="json")
    return parse(PulsarConfig, {**whole, **changes})


class TestRun:
    """The whole recipe."""

    def test_finds_the_pulsations(self, run):
        assert run.status == "detection"
        assert run.exit_code == 0
        assert run.statements[0].startswith("Pulsations of Crab pulsar are detected: ")
        assert run.summary["h"]["sigma"] > 20
        assert run.summary["n_observations"] == 2
        assert run.summary["livetime_h"] == pytest.approx(1 / 6)

    def test_events_are_those_of_the_selection(self, run, pulsar_dl3):
        events = run.events
        assert len(events) == run.summary["n_events"]
        assert (events["ENERGY"].quantity < 1 * u.TeV).all()
        h, p = pulsar.h_test(events["PHASE"])
        assert run.summary["h"]["statistic"] == h
        assert run.tables["tests"]["p_value"][0] == p

    def test_trials_are_counted_beforehand(self, run):
        span = (run.events["TIME"].max() - run.events["TIME"].min()).to("s")
        f0 = u.Quantity([run.scan.f0[0], run.scan.f0[-1]])
        n = count_trials(span, f0, None, CONFIG["scan"]["oversampling"])
        assert n == pytest.approx(run.scan.n_trials, abs=1)

    def test_profile_table_has_the_bins_of_the_plot(self, run):
        (steps,) = [patch for patch in run.plot_profile().patches if isinstance(patch, StepPatch)]
        values = steps.get_data().values
        assert values.tolist() == run.tables["profile"]["counts"].tolist() * 2

    def test_excess_of_the_regions(self, run):
        regions = pulsar.PhaseRegions(**CONFIG["regions"])
        counts = regions.statistic(run.events["PHASE"])
        assert run.summary["regions"]["n_on"] == counts.n_on
        assert run.summary["regions"]["sigma"] == pytest.approx(float(counts.sqrt_ts))
        assert run.tables["regions"]["excess"][0] == pytest.approx(float(counts.n_sig))

    def test_profile_is_what_was_simulated(self, run):
        numbers = run.summary["profile"]["parameters"]
        for name, truth in {
            "location_1": 0.1, "width_1": 0.01, "location_2": 0.5, "width_2": 0.02,
        }.items():  # fmt: skip
            found = numbers[name]
            # Four standard deviations: a false alarm in 1 of 4,000 seeds; this one is fixed.
            assert abs(found["value"] - truth) < 4 * found["error"], name

    def test_scan_finds_the_frequency(self, run, crab):
        epoch = run.scan.epoch
        truth = crab.f[0] + crab.f[1] * (epoch.tdb - crab.pepoch).to_value("s")
        found = run.summary["scan"]
        # An independent frequency of ten minutes is 1.7 mHz, and there are twenty trials for each.
        assert abs(found["f0_hz"] - truth) < 1e-4
        assert found["p_value"] < 1e-20
        assert found["n_trials"] == run.scan.values.size

    def test_spectrum_is_what_was_simulated(self, run):
        """The flux is the mean of the period; on phases hold 99.7 % of the events."""
        parameters = run.summary["spectrum"]["fit"]["parameters"]
        for name, truth in {"index": 3.0, "amplitude": 4e-12}.items():
            found = parameters[name]
            assert abs(found["value"] - truth) < 4 * found["error"], name
        assert run.spectrum.flux_points.geom.axes["energy"].nbin == 2

    def test_error_budget_is_stated(self, run):
        table = run.tables["phases"]
        assert table["obs_id"].tolist() == [1, 2]
        assert (table["solar_ephem"] == "builtin").all()
        assert (table["site"] == "CTAO-North").all()
        assert run.summary["phase_error"] == table["phase_error"].max()
        assert 0 < run.summary["phase_error"] < 1e-3
        assert "Phases may be wrong by" in run.statements[-1]

    def test_h_grows_with_the_livetime_of_both_runs(self, run):
        growth = run.tables["h_test"]
        assert growth["h"][-1] == run.summary["h"]["statistic"]
        assert growth["livetime"].unit == "h"
        assert growth["livetime"][-1] == pytest.approx(1 / 6, rel=0.01)
        half = growth["n_events"][growth["livetime"] < 1 / 12]
        first = np.count_nonzero(run.events["OBS_ID"] == 1)
        assert half.max() <= first
        assert half.max() > 0.9 * first

    def test_plots_of_the_run_in_hand(self, run):
        assert list(run.figures()) == ["profile", "phaseogram", "h_test", "scan", "counts", "sed"]
        assert run.plot_profile().get_xlabel() == "Phase [turns]"


class TestFolder:
    """What is on disk."""

    def test_holds_every_product(self, folder):
        names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        expected = {
            "config.yaml", "datasets/datasets.yaml", "ephemeris.par", "events.fits",
            "fit_result.yaml", "flux_points.ecsv", "flux_points.fits", "h_test.ecsv",
            "models.yaml", "observations.ecsv", "parameters.ecsv", "peaks.ecsv", "phases.ecsv",
            "plots/counts.png", "plots/h_test.png", "plots/phaseogram.png", "plots/profile.png",
            "plots/scan.png", "plots/sed.png", "profile.ecsv", "provenance.json", "regions.ecsv",
            "report.html", "scan.ecsv", "scan.fits", "selection.ecsv", "summary.json",
            "tests.ecsv",
        }  # fmt: skip
        assert expected <= names

    def test_events_keep_times_and_phases(self, folder, run):
        table = Table.read(folder / "events.fits")
        assert_allclose(table["PHASE"], run.events["PHASE"], rtol=0, atol=0)
        assert table.meta["TIMESYS"] == "TT"
        zero = Time(table.meta["MJDREFI"], table.meta["MJDREFF"], format="mjd", scale="tt")
        apart = zero + table["TIME"].quantity - run.events["TIME"]
        assert np.abs(apart.to_value("us")).max() < 0.2

    def test_search_as_image(self, folder, run):
        with fits.open(folder / "scan.fits") as hdus:
            header, values = hdus[0].header, hdus[0].data
            assert_allclose(values, run.scan.values, rtol=1e-6)
            f0 = header["CRVAL1"] + header["CDELT1"] * np.arange(header["NAXIS1"])
        assert_allclose(f0, run.scan.f0.to_value("Hz"), rtol=1e-14)

    def test_gammapy_reads_the_spectrum(self, folder, run):
        datasets = Datasets.read(folder / "datasets" / "datasets.yaml", folder / "models.yaml")
        assert datasets.stat_sum() == pytest.approx(run.spectrum.fit_result.total_stat, rel=1e-6)
        assert FluxPoints.read(folder / "flux_points.fits").geom.axes["energy"].nbin == 2

    def test_provenance_names_the_par_file(self, folder, pulsar_dl3, crab):
        record = json.loads((folder / "provenance.json").read_text())
        files = {entry["path"]: entry["sha256"] for entry in record["inputs"]}
        assert files[str(pulsar_dl3 / "crab.par")] == crab.sha256
        assert len(files) >= 3
        assert result.sha256(folder / "ephemeris.par") == crab.sha256

    def test_config_in_the_folder_runs_again(self, folder, run):
        again = recipes.read_config(folder / "config.yaml")
        assert again.model_dump(mode="json") == run.config.model_dump(mode="json")

    def test_report_shows_what_was_found(self, folder):
        page = (folder / "report.html").read_text()
        for text in ("Pulse profile", "Phaseogram", "H test over livetime", "Regions of phase"):
            assert text in page
        assert "demonstration array" in page


class TestOtherWays:
    """What is left out, and what cannot be."""

    def test_least_configuration(self, config):
        small = changed(
            config, regions=None, scan=None, spectrum=None, profile={"peaks": []},
            events={"radius": "0.12 deg"},
        )  # fmt: skip
        run = recipes.run(small)
        assert list(run.figures()) == ["profile", "phaseogram", "h_test"]
        assert run.status == "detection"
        assert set(run.tables) == {
            "observations", "selection", "phases", "tests", "h_test", "profile",
        }  # fmt: skip

    def test_wrong_frequency_is_no_detection(self, config, pulsar_dl3, crab, tmp_path):
        other = tmp_path / "other.par"
        other.write_text(crab.text.replace("29.5664", "29.5764"))
        run = recipes.run(
            changed(
                config,
                ephemeris={"file": str(other)},
                scan=None,
                profile={"peaks": []},
                detect_by="regions",
            )
        )
        assert run.status == "no detection"
        assert run.exit_code == 0
        assert "not detected" in run.statements[0]
        assert any("No spectrum is fitted" in text for text in run.statements)
        assert run.spectrum is None

    def test_plan(self, config):
        plan = recipes.plan(recipes.read_config(config))
        assert plan.observations["obs_id"].tolist() == [1, 2]
        assert plan.seconds > 0

    def test_plan_counts_the_search(self, config):
        scan = {"f0": ["1 Hz", "20 kHz"], "n_harmonics": 100, "oversampling": 1}
        plan = recipes.plan(changed(config, scan=scan))
        # 2.4e7 trials of more than 100 events, and 100 harmonics.
        assert plan.seconds > 20
        with pytest.raises(ConfigError, match="more than 1e"):
            recipes.plan(changed(config, scan=scan | {"f0": ["1 Hz", "20 GHz"]}))

    def test_target_elsewhere_is_warned_of(self, config, caplog):
        far = recipes.read_config(config).model_dump(mode="json")
        far["target"]["position"] = "84.1 deg, 22.0 deg"
        _steps.read_ephemeris(parse(PulsarConfig, far))
        assert "0.433 deg from B0531+21" in caplog.text

    def test_no_event_is_an_error(self, config):
        empty = changed(config, events={"radius": "0.12 deg", "energy_min": "9.9 TeV"})
        with pytest.raises(SelectionError, match="No event is within"):
            recipes.run(empty)


class TestConfig:
    """The configuration."""

    def test_on_and_off_are_no_booleans(self, tmp_path):
        text = yaml.safe_dump({**CONFIG, "regions": None}).replace(
            "regions: null", "regions:\n  on: [[0.1, 0.2]]\n  off: [[0.3, 0.9]]"
        )
        (tmp_path / "a.yaml").write_text(text)
        config = recipes.read_config(tmp_path / "a.yaml")
        assert config.regions.on == ((0.1, 0.2),)
        assert config.ephemeris.file == str(tmp_path / "crab.par")
        (tmp_path / "b.yaml").write_text(dump(config))
        assert recipes.read_config(tmp_path / "b.yaml").regions == config.regions

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"regions": {"on": [[0.1, 0.3]], "off": [[0.2, 0.5]]}}, "overlap"),
            ({"regions": {"on": [[0.3, 0.1]], "off": [[0.6, 0.9]]}}, "empty or longer"),
            ({"regions": None}, "a spectrum needs"),
            ({"regions": None, "spectrum": None, "detect_by": "regions"}, "needs `regions`"),
            ({"events": {"radius": "9 deg"}}, "at most 5 deg"),
            (
                {"events": {"radius": "1 deg", "energy_min": "2 TeV", "energy_max": "1 TeV"}},
                "below",
            ),
            ({"scan": {"f0": ["2 Hz", "1 Hz"]}}, "lower value"),
            ({"scan": {"f0": [1, 2]}}, "has no unit"),
            ({"ephemeris": {"file": "a.par", "site": "nort"}}, "'north'"),
            ({"profile": {"peaks": [{"location": 0, "fraction": 0.99}] * 2}}, "less than 1"),
            ({"test": {}}, "'tests'"),
        ],
    )
    def test_mistakes_are_named(self, changes, match):
        with pytest.raises(ConfigError, match=match):
            parse(PulsarConfig, {**CONFIG, **changes})

    def test_template(self, tmp_path):
        text = recipes.configuration_text(
            "pulsar", name="Vela", position="128.84 deg, -45.18 deg", data="dl3"
        )
        (tmp_path / "vela.yaml").write_text(text)
        config = recipes.read_config(tmp_path / "vela.yaml")
        assert config.target.name == "Vela"
        # What is commented out is valid, too.
        (tmp_path / "all.yaml").write_text(_uncommented(text))
        whole = recipes.read_config(tmp_path / "all.yaml")
        assert whole.regions is not None
        assert whole.spectrum is not None
        assert whole.scan is not None
        assert len(whole.profile.peaks) == 1


def _uncommented(text: str) -> str:
    """Return a template in which what is commented out is not."""
    lines = []
    for line in text.splitlines():
        comment, marked = line.lstrip().removeprefix("# "), line.lstrip().startswith("# ")
        is_code = re.match(r" *- |[a-z0-9_ ]+:( |$)", comment) and "chosen" not in line
        lines.append(line.replace("# ", "", 1) if marked and is_code else line)
    return "\n".join(lines)
