"""The recipe ``spectrum-1d`` on simulated data, and its steps on made-up numbers."""

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel

from ctao_sat import dl3, dl5, recipes
from ctao_sat.config import dump, parse
from ctao_sat.errors import ConfigError
from ctao_sat.recipes.spectrum_1d import Spectrum1DConfig, _steps
from ctao_sat.recipes.spectrum_1d._statements import with_error
from ctao_sat.workflow import _spectra

TARGET = SkyCoord(83.633, 22.014, unit="deg")


def changed(path, **changes):
    """Return the configuration of a file with some sections replaced."""
    return parse(Spectrum1DConfig, {**yaml.safe_load(path.read_text()), **changes})


def on_off(name, n_on, n_off, alpha, start="2028-01-01T00:00:00", minutes=30):
    """Return a dataset of one energy bin with given counts."""
    axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    geom = RegionGeom.create("icrs;circle(83.63, 22.01, 0.1)", axes=[axis])
    start = Time(start)
    return SpectrumDatasetOnOff(
        name=name,
        counts=RegionNDMap.from_geom(geom, data=n_on),
        counts_off=RegionNDMap.from_geom(geom, data=n_off),
        acceptance=RegionNDMap.from_geom(geom, data=1),
        acceptance_off=RegionNDMap.from_geom(geom, data=1 / alpha),
        mask_safe=RegionNDMap.from_geom(geom, data=True, dtype=bool),
        gti=GTI.create(start, start + minutes * u.min),
    )


class TestRun:
    """The whole recipe."""

    def test_finds_the_simulated_source(self, demo_run):
        assert demo_run.status == "detection"
        assert demo_run.exit_code == 0
        assert demo_run.summary["significance"] > 20
        assert demo_run.fit_result.success

    def test_flux_is_that_of_the_truth(self, demo_run):
        # The integral flux hardly depends on the shape, so a power law does for a log-parabola.
        flux = demo_run.summary["flux"]
        limits = [flux["energy_min_tev"], flux["energy_max_tev"]] * u.TeV
        truth = recipes.crab_like_model().spectral_model.integral(*limits).to_value("cm-2 s-1")
        # False alarm 0.3 % for one fixed seed.
        assert abs(flux["value"] - truth) < 3 * flux["error"]

    def test_statements_name_the_numbers(self, demo_run):
        text = " ".join(demo_run.statements)
        assert "Crab-like is detected" in text
        assert f"{demo_run.summary['n_on']:.0f} on" in text
        assert "PowerLawSpectralModel" in text
        assert "2 observations" in text

    def test_flux_points_cover_the_fit_range(self, demo_config):
        values = yaml.safe_load(demo_config.read_text())
        values.pop("flux_points")
        config = parse(Spectrum1DConfig, values)
        axis = MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=6, per_decade=True)
        for n_bins in (1, 2, 7):
            limits = axis.edges[[3, 3 + n_bins]]
            geom = RegionGeom.create("icrs;circle(83.63, 22.01, 0.1)", axes=[axis])
            dataset = SpectrumDatasetOnOff(counts=RegionNDMap.from_geom(geom), name="a")
            edges = _spectra.flux_edges(Datasets([dataset]), config, limits)
            assert u.isclose(edges[0], limits[0])
            assert u.isclose(edges[-1], limits[1])
            assert np.all(np.diff(edges) > 0)

    def test_every_plot_can_be_made(self, demo_run):
        names = set(demo_run.figures())
        assert names == {"counts", "regions", "theta_squared", "significance", "sed", "light_curve"}
        for plot in demo_run.figures().values():
            assert plot() is not None

    def test_theta_squared_counts_on_events(self, demo_run):
        table = demo_run.tables["theta_squared"]
        inside = table["theta2_max"] <= (0.11 * u.deg) ** 2 * (1 + 1e-9)
        edge = np.max(table["theta2_max"][inside].quantity)
        assert edge.to_value("deg2") == pytest.approx(0.11**2)
        # The same events as in the fit: no bin is lost at its ends.
        assert table["counts"][inside].sum() == pytest.approx(demo_run.summary["n_on"], abs=2)

    def test_html_card_escapes_names(self, demo_config):
        name = "<script>alert(1)</script>"
        config = changed(demo_config, light_curve=None)
        config = config.model_copy(
            update={"target": config.target.model_copy(update={"name": name})}
        )
        run = recipes.run(config)
        assert "<script>" not in run._repr_html_()
        assert "&lt;script&gt;" in run._repr_html_()
        assert run.light_curve is None
        with pytest.raises(ConfigError, match="This run has no light_curve"):
            run.plot_light_curve()

    def test_parallel_equals_serial(self, demo_config, demo_run):
        other = recipes.run(demo_config, n_jobs=2, backend="processes")
        assert other.summary == demo_run.summary
        assert other.statements == demo_run.statements
        one = demo_run.flux_points.norm_ul.data
        np.testing.assert_array_equal(other.flux_points.norm_ul.data, one)

    def test_light_curve_in_parts_of_a_run(self, demo_config):
        run = recipes.run(changed(demo_config, light_curve={"by": "2 min"}))
        times = run.light_curve.geom.axes["time"]
        # Two runs of five minutes: three pieces each, of 100 s.
        assert times.nbin == 6
        np.testing.assert_allclose((times.time_max - times.time_min).to_value("s"), 100)
        assert "by 2 min" in run.statements[-1]

    def test_stacked_fit_agrees_with_the_joint_one(self, demo_config, demo_run):
        values = yaml.safe_load(demo_config.read_text())["fit"]
        stacked = recipes.run(changed(demo_config, fit={**values, "stack": True}))
        for name in ("index", "amplitude"):
            one = demo_run.models[0].parameters[name]
            other = stacked.models[0].parameters[name]
            # The same events: the difference is small against the error.
            assert abs(one.value - other.value) < 0.3 * one.error

    def test_no_detection_below_the_threshold(self, demo_config):
        position = TARGET.directional_offset_by(45 * u.deg, 0.5 * u.deg)
        config = changed(
            demo_config,
            target={
                "name": "Nothing",
                "position": f"{position.ra.deg} deg, {position.dec.deg} deg",
            },
            background={"exclusion": {"circles": [["83.633 deg, 22.014 deg", "0.3 deg"]]}},
        )
        run = recipes.run(config)
        assert run.status == "no detection"
        assert run.fit_result is None
        assert 0 < run.summary["flux"]["upper_limit"] < 1e-10
        assert "is not detected" in run.statements[0]

    def test_run_without_off_region_makes_a_partial_result(self, demo_config, demo_dl3):
        store = dl3.open_dl3(demo_dl3)
        first = store.obs(store.obs_ids[0])
        pointing = first.get_pointing_icrs(first.tmid)
        circles = []
        for angle in range(0, 360, 20):
            position = pointing.directional_offset_by(angle * u.deg, 0.5 * u.deg)
            if position.separation(TARGET).deg > 0.2:
                circles.append([f"{position.ra.deg} deg, {position.dec.deg} deg", "0.05 deg"])
        config = changed(demo_config, background={"exclusion": {"circles": circles}})
        with pytest.warns(UserWarning, match="No off region was found"):
            run = recipes.run(config)
        assert run.status == "partial"
        assert run.exit_code == 5
        assert run.summary["left_out"] == [str(store.obs_ids[0])]
        assert any("No off region" in message for message in run.provenance["messages"])


class TestLimits:
    """Upper limits of the flux, which are never below zero."""

    @pytest.fixture
    def dataset(self):
        dataset = on_off("a", 0, 40, 0.1)
        axis = MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=4, name="energy_true")
        geom = dataset.counts.geom.to_image().to_cube([axis])
        dataset.exposure = RegionNDMap.from_geom(geom, data=1e12, unit="cm2 s")
        dataset.models = [SkyModel(PowerLawSpectralModel(index=2.5), name="source")]
        return dataset

    def limit(self, dataset, **changes):
        options = {"norm": 0.0, "n_sigma": 2.0, **changes}
        return _steps.flux_limit(Datasets([dataset]), "source", [1, 10] * u.TeV, **options)

    def test_without_on_events_it_is_the_analytic_one(self, dataset):
        # Without on events wstat grows by twice the signal: two sigma are two events.
        predicted = dataset.npred_signal().data.sum()
        flux = dataset.models[0].spectral_model.integral(1 * u.TeV, 10 * u.TeV)
        expected = (2.0 / predicted * flux).to_value("cm-2 s-1")
        assert self.limit(dataset).to_value("cm-2 s-1") == pytest.approx(expected, rel=1e-6)

    def test_counts_from_zero_after_a_downward_fluctuation(self, dataset):
        assert self.limit(dataset, norm=-3.0) == self.limit(dataset, norm=0.0)

    @pytest.mark.parametrize("n_on", [0, 1, 4, 30])
    def test_is_positive_and_grows_with_its_confidence(self, dataset, n_on):
        dataset.counts.data[...] = n_on
        low, high = self.limit(dataset, n_sigma=1.0), self.limit(dataset, n_sigma=3.0)
        assert 0 < low.value < high.value

    def test_does_not_change_the_datasets(self, dataset):
        before = dataset.stat_sum(), dataset.models[0].parameters["amplitude"].value
        self.limit(dataset)
        assert before == (dataset.stat_sum(), dataset.models[0].parameters["amplitude"].value)


class TestDoubts:
    """What a run says when its fit is not to be trusted."""

    def test_failed_fit_gives_no_flux(self, demo_config, monkeypatch):
        fit = dl5.fit

        def fail(datasets):
            result = fit(datasets)
            result.optimize_result._success = False
            return result

        monkeypatch.setattr(dl5, "fit", fail)
        run = recipes.run(demo_config)
        assert run.status == "not converged"
        assert run.exit_code == 4
        assert (run.flux_points, run.light_curve) == (None, None)
        assert "flux" not in run.summary
        assert any("did NOT converge" in statement for statement in run.statements)

    def test_more_parameters_than_bins(self, demo_config):
        values = yaml.safe_load(demo_config.read_text())
        values["fit"] |= {"energy_min": "1 TeV", "energy_max": "2.3 TeV", "stack": True}
        values["light_curve"] = None
        values.pop("flux_points")
        run = recipes.run(parse(Spectrum1DConfig, values))
        assert any("Do not trust the fit" in statement for statement in run.statements)

    def test_model_that_gammapy_cannot_use_leaves_the_fit(self, demo_config):
        names = [("index1", 2, ""), ("index2", 3, ""), ("amplitude", 1e-11, "cm-2 s-1 TeV-1")]
        names.append(("ebreak", 2, "TeV"))
        parameters = [{"name": n, "value": v, "unit": unit} for n, v, unit in names]
        model = {"type": "BrokenPowerLawSpectralModel", "parameters": parameters}
        run = recipes.run(changed(demo_config, fit={"model": model}, light_curve=None))
        assert run.fit_result is not None
        assert run.flux_points is None
        assert run.exit_code == 5
        assert "Gammapy could not estimate the flux points" in run.statements[-1]


class TestCounts:
    """On and off counts as one measurement."""

    def test_li_ma_of_one_dataset(self):
        # Li & Ma (1983), eq. 17, by hand.
        n_on, n_off, alpha = 120, 160, 0.5
        total = n_on + n_off
        expected = np.sqrt(2) * np.sqrt(
            n_on * np.log((1 + alpha) / alpha * n_on / total)
            + n_off * np.log((1 + alpha) * n_off / total)
        )
        statistic = _spectra.counts_statistic([on_off("a", n_on, n_off, alpha)])
        assert float(statistic.sqrt_ts) == pytest.approx(expected, rel=1e-9)

    def test_background_is_the_sum_of_backgrounds(self):
        statistic = _spectra.counts_statistic([on_off("a", 10, 20, 0.5), on_off("b", 30, 90, 0.1)])
        assert float(statistic.n_on) == 40
        assert float(statistic.n_bkg) == pytest.approx(10 + 9)

    @pytest.mark.parametrize(("n_on", "n_off"), [(0, 0), (5, 0), (0, 7)])
    def test_no_counts(self, n_on, n_off):
        statistic = _spectra.counts_statistic([on_off("a", n_on, n_off, 0.25)])
        assert np.isfinite(statistic.sqrt_ts)
        assert float(statistic.alpha) == pytest.approx(0.25)


class TestTimes:
    """Groups of runs, and parts of them."""

    def test_runs(self):
        datasets = Datasets([on_off("a", 1, 1, 1), on_off("b", 1, 1, 1, "2028-01-01T01:00:00")])
        assert len(_steps.group_times(datasets, "run")) == 2

    def test_night_lasts_over_midnight(self):
        starts = ["2028-01-01T22:00:00", "2028-01-02T03:00:00", "2028-01-02T22:00:00"]
        datasets = Datasets([on_off(str(i), 1, 1, 1, start) for i, start in enumerate(starts)])
        groups = _steps.group_times(datasets, "night")
        assert len(groups) == 2
        assert (groups[0][1] - groups[0][0]).to_value("h") == pytest.approx(5.5)

    def test_interval_holds_whole_runs(self):
        starts = ["2028-01-01T00:00:00", "2028-01-01T00:30:00", "2028-01-01T01:00:00"]
        datasets = Datasets([on_off(str(i), 1, 1, 1, start) for i, start in enumerate(starts)])
        groups = _steps.group_times(datasets, "1 h")
        assert [round((b - a).to_value("min")) for a, b in groups] == [60, 30]

    def test_order_does_not_matter(self):
        datasets = [on_off("b", 1, 1, 1, "2028-01-01T01:00:00"), on_off("a", 1, 1, 1)]
        one = _steps.group_times(Datasets(datasets), "run")
        other = _steps.group_times(Datasets(datasets[::-1]), "run")
        assert [group.mjd.tolist() for group in one] == [group.mjd.tolist() for group in other]

    def test_split_keeps_all_events_once(self, demo_dl3):
        store = dl3.open_dl3(demo_dl3)
        observations = dl3.read_observations(store, store.obs_ids)
        pieces = _steps.split(observations, 70 * u.s)
        assert len(pieces) == 2 * 5
        whole = sum(len(observation.events.table) for observation in observations)
        assert sum(len(piece.events.table) for piece in pieces) == whole
        livetime = sum(piece.observation_live_time_duration.to_value("s") for piece in pieces)
        assert livetime == pytest.approx(600, rel=1e-6)


class TestParameters:
    """The table of parameters, and numbers as text."""

    def test_pull_against_a_reference(self):
        model = SkyModel(PowerLawSpectralModel(index=2.2, amplitude="1e-11 cm-2 s-1 TeV-1"))
        model.spectral_model.index.error = 0.1
        reference = SkyModel(PowerLawSpectralModel(index=2, amplitude="1e-7 m-2 s-1 TeV-1"))
        table = _spectra.parameter_table(model, reference)
        rows = {row["name"]: row for row in table}
        assert rows["index"]["pull"] == pytest.approx(2)
        assert rows["amplitude"]["reference"] == pytest.approx(1e-11)
        assert np.isnan(rows["amplitude"]["pull"])

    def test_other_model_has_no_pull(self):
        model = SkyModel(PowerLawSpectralModel())
        table = _spectra.parameter_table(model, recipes.crab_like_model())
        assert "pull" not in table.colnames

    @pytest.mark.parametrize(
        ("value", "error", "text"),
        [
            (4.369e-11, 2.33e-12, "(4.37 ± 0.23)e-11 TeV"),
            (2.3077, 0.1405, "2.31 ± 0.14 TeV"),
            (0.0, 0.5, "0.00 ± 0.50 TeV"),
            (-1.5e-12, 3e-12, "(-1.5 ± 3.0)e-12 TeV"),
            (5e6, 2e5, "(5.00 ± 0.20)e+06 TeV"),
            (1.5, 0.0, "1.5 TeV"),
            (1.5, np.nan, "1.5 TeV"),
            (99.96, 12.0, "100 ± 12 TeV"),
        ],
    )
    def test_value_with_error(self, value, error, text):
        assert with_error(value, error, "TeV") == text


class TestConfig:
    """The configuration of the recipe."""

    def test_dump_reads_back_equal(self, demo_config):
        config = recipes.read_config(demo_config)
        again = parse(Spectrum1DConfig, yaml.safe_load(dump(config)))
        assert dump(again) == dump(config)

    def test_relative_paths_are_relative_to_the_file(self, tmp_path, demo_config):
        values = yaml.safe_load(demo_config.read_text())
        values["data"]["path"] = "dl3"
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
        assert recipes.read_config(tmp_path / "c.yaml").data.path == str(tmp_path / "dl3")

    def test_is_frozen(self, demo_config):
        config = recipes.read_config(demo_config)
        with pytest.raises(ValueError, match="frozen"):
            config.target = None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"on_region": {}}, "a circle needs a radius"),
            ({"on_region": {"method": "rad_max", "radius": "1 deg"}}, "leave it out"),
            ({"on_region": {"radius": "-1 deg"}}, "above 0"),
            ({"light_curve": {"by": "month"}}, "'month' is no interval"),
            ({"light_curve": {"by": "-5 min"}}, "is no interval"),
            ({"fit": {"model": {"type": "pwl"}}}, "no spectral model 'pwl'"),
            ({"fit": {"model": {}}}, "no spectral model 'None'"),
            ({"fit": {"model": {"type": "pl", "parameters": [{"name": "indx"}]}}}, "Did you mean"),
            ({"fit": {"model": {"type": "pl", "parameters": [{"name": "index", "value": "x"}]}}}, "cannot be built"),  # noqa: E501
            ({"fit": {"model": {"type": "pl", "parameters": {"index": 2}}}}, "must be a list"),
            ({"fit": {"model": {"type": "NaimaSpectralModel"}}}, "cannot be built"),
            ({"flux_points": {"energy": {"min": "1 TeV", "max": "9 TeV", "per_decade": 30}}}, "must not exceed"),  # noqa: E501
            ({"detection_threshold": -1}, "greater than or equal to 0"),
        ],
    )  # fmt: skip
    def test_bad_values(self, demo_config, changes, message):
        with pytest.raises(ConfigError, match=message):
            changed(demo_config, **changes)
