"""Configurations: what is read is what was written, and what is wrong is named with its line."""

import datetime

import astropy.units as u
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ctao_sat.config import (
    Angle,
    Config,
    Duration,
    Energy,
    Flux,
    Instant,
    RecipeConfig,
    SkyPosition,
    dump,
    expand_path,
    load,
    parse,
    parse_position,
    read_models,
    read_yaml,
)
from ctao_sat.errors import ConfigError, MissingDataError


class Inner(Config):
    """A section."""

    radius: Angle
    kind: str = "circle"


class Outer(RecipeConfig):
    """All field types."""

    inner: Inner | None = None
    parts: tuple[Inner, ...] = ()
    energy: Energy | None = None
    length: Duration | None = None
    flux: Flux | None = None
    when: Instant | None = None
    position: SkyPosition | None = None
    number: float | None = None
    text: str | None = None


BASE = {"recipe": "none", "schema_version": 1}


def outer(**values):
    return parse(Outer, {**BASE, **values})


def message(**values) -> str:
    with pytest.raises(ConfigError) as caught:
        outer(**values)
    return str(caught.value)


def test_values_become_astropy_objects():
    config = outer(
        energy="0.5 TeV",
        length="30 min",
        flux="1e-12 cm-2 s-1 TeV-1",
        when="2024-03-01 22:15:00 tt",
        position="184.56 deg, -5.78 deg, galactic",
    )
    assert config.energy == 500 * u.GeV
    assert config.length == 1800 * u.s
    assert config.flux.unit.is_equivalent("m-2 s-1 erg-1")
    assert config.when == Time("2024-03-01 22:15:00", scale="tt")
    assert config.position.frame.name == "galactic"
    assert config.position.b.deg == -5.78


def test_configurations_are_frozen():
    config = outer(inner={"radius": "1 deg"})
    with pytest.raises(ValidationError, match="frozen"):
        config.inner.radius = 2 * u.deg


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    radius=st.floats(1e-300, 1e300),
    lon=st.floats(0, 359.999),
    lat=st.floats(-90, 90),
    frame=st.sampled_from(["icrs", "galactic", "fk5"]),
    seconds=st.integers(0, 10**8),
    scale=st.sampled_from(["utc", "tt", "tai", "tdb"]),
    number=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
    | st.sampled_from(["1e5", "1e-11", "yes", "null", "2024-01-01", "12:30:00", "0x10", "# no"]),
)
def test_what_is_written_is_read_again(
    tmp_path_factory, radius, lon, lat, frame, seconds, scale, number, text
):
    start = Time("2020-01-01", scale=scale)
    config = outer(
        inner=Inner(radius=radius * u.deg),
        position=SkyCoord(lon, lat, unit="deg", frame=frame),
        when=start + seconds * u.s,
        number=number,
        text=text,
    )
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(dump(config), encoding="utf-8")
    again = load(Outer, path)
    assert again.inner.radius == config.inner.radius
    assert again.position.frame.name == frame
    assert again.position.separation(config.position) < 1e-9 * u.arcsec
    # The text has milliseconds.
    assert abs(again.when - config.when) < 1 * u.ms
    assert again.when.scale == scale
    assert again.number == number
    assert again.text == text
    assert dump(again) == dump(config)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("energy", 1.0, "1.0 has no unit; write it like '1 TeV'"),
        ("energy", True, "True has no unit"),
        ("energy", "1 deg", "'1 deg' has deg; write it like '1 TeV'"),
        ("energy", "1", "'1' has no unit"),
        ("energy", "one TeV", "is no quantity"),
        ("energy", "nan TeV", "is not one finite number"),
        ("energy", "1e999 TeV", "is not one finite number"),
        ("energy", [1, 2] * u.TeV, "is not one finite number"),
        ("position", "83.6, 22.0", "write it like"),
        ("position", "83.6 deg", "write it like"),
        ("position", "83.6 deg, 91 deg", "write it like"),
        ("position", "nan deg, 22 deg", "write it like"),
        ("position", [83.6, 22.0], "is no sky position"),
        ("position", "1 deg, 2 deg, galactical", "Did you mean 'galactic'?"),
        ("when", "soon", "write it like"),
        ("when", 58000, "is no time"),
        ("number", "many", "number"),
        ("number", float("nan"), "finite"),
        ("text", 5, "string"),
        ("inner", "0.1 deg", "inner is a section; write its keys on lines of their own"),
        ("inner", {"radius": "1 deg", "knd": "x"}, "unknown key 'inner.knd'. Did you mean 'kind'?"),
        ("inner", {}, "the key 'inner.radius' is missing. Add it"),
        ("parts", [{"radios": "1 deg"}], "unknown key 'parts.0.radios'. Did you mean 'radius'?"),
        ("inne", {}, "unknown key 'inne'. Did you mean 'inner'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(key, value, says):
    assert says in message(**{key: value})


def test_all_problems_are_named_with_their_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("recipe: none\nschema_version: 1\ninner:\n  radius: 5\nenergy: 3 s\n")
    with pytest.raises(ConfigError) as caught:
        load(Outer, path)
    text = str(caught.value)
    assert "has 2 problems" in text
    assert "inner.radius: 5 has no unit; write it like '0.5 deg'. (line 4)" in text
    assert "energy: '3 s' has s; write it like '1 TeV'. (line 5)" in text
    assert text.endswith("(bad.yaml)")


def test_line_of_a_missing_key_is_that_of_its_section(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("recipe: none\nschema_version: 1\ninner:\n  kind: x\n")
    with pytest.raises(ConfigError, match=r"'inner.radius' is missing.*\(line 3\)"):
        load(Outer, path)


def test_scientific_notation_without_a_point_is_a_number(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('a: 1e-11\nb: -2E5\nc: 1.e3\nd: "1e-11"\ne: 1e\n')
    values, _ = read_yaml(path)
    assert values == {"a": 1e-11, "b": -2e5, "c": 1e3, "d": "1e-11", "e": "1e"}


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2024-03-01 22:15:00", "2024-03-01 22:15:00"),
        ("2024-03-01", "2024-03-01 00:00:00"),
        ("2024-03-01T22:15:00", "2024-03-01 22:15:00"),
        ("2024-03-01T22:15:00Z", "2024-03-01 22:15:00"),
        ("2024-03-01T22:15:00+02:00", "2024-03-01 20:15:00"),
    ],
)
def test_times_as_yaml_reads_them(tmp_path, text, when):
    path = tmp_path / "a.yaml"
    path.write_text(f"recipe: none\nschema_version: 1\nwhen: {text}\n")
    assert load(Outer, path).when == Time(when, scale="utc")


def test_a_date_of_python_is_a_time():
    assert outer(when=datetime.date(2024, 3, 1)).when == Time("2024-03-01", scale="utc")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: {x: 1, x: 2}\n", "the key 'x' stands twice"),
        ("a: 1\n[1, 2]: 3\n", "a key must be a plain word"),
        ("a: [1, 2\n", "no valid YAML"),
        ("a: !!python/object:os.system {}\n", "no valid YAML"),
        ("a: 2024-13-01\n", "no valid YAML"),
        ("", "holds no configuration"),
        ("# nothing but a comment\n", "holds no configuration"),
        ("just a text", "holds no configuration"),
        ("a: 1\n---\nb: 2\n", "no valid YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, says):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_yaml(path)
    assert caught.value.remedy


def test_an_alias_to_itself_does_not_hang(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a\n  b: *a\n")
    values, lines = read_yaml(path)
    assert values["a"]["b"] is values["a"]
    assert lines[("a", "b")] == 2


def test_nested_aliases_do_not_explode(tmp_path):
    path = tmp_path / "a.yaml"
    lines = ["a0: &a0 [1, 2, 3]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines))
    values, numbers = read_yaml(path)
    assert numbers[("a11",)] == 12
    assert len(numbers) < 200
    assert values["a1"][0] == [1, 2, 3]


def test_dump_keeps_the_order_of_the_fields():
    config = outer(text="x", inner={"radius": "1 deg"})
    assert list(yaml.safe_load(dump(config))) == list(Outer.model_fields)


def test_dump_keeps_what_is_switched_off():
    class Optional(Config):
        inner: Inner | None = Inner(radius=1 * u.deg)

    assert yaml.safe_load(dump(Optional(inner=None))) == {"inner": None}


def test_parse_position():
    assert parse_position("5h34m32s, +22d00m52s").ra.hourangle == pytest.approx(5.5756, abs=1e-4)
    with pytest.raises(ConfigError, match="write it like"):
        parse_position("here")


def test_expand_path(monkeypatch):
    monkeypatch.setenv("MY_DATA", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("EMPTY_DATA", "")
    monkeypatch.delenv("NO_DATA", raising=False)
    assert str(expand_path("$MY_DATA/dl3")) == "/data/dl3"
    assert str(expand_path("${MY_DATA}/dl3")) == "/data/dl3"
    assert str(expand_path("~/dl3")) == "/home/me/dl3"
    assert str(expand_path("price in $")) == "price in $"
    for name in ("NO_DATA", "EMPTY_DATA"):
        with pytest.raises(
            MissingDataError, match=f"{name}, used in .* is not set.*export {name}="
        ):
            expand_path(f"${name}/dl3")


MODEL = """\
components:
- name: crab
  type: SkyModel
  spectral:
    type: PowerLawSpectralModel
    parameters:
    - {name: index, value: 2.6}
    - {name: amplitude, value: 3.0e-11, unit: cm-2 s-1 TeV-1}
    - {name: reference, value: 1.0, unit: TeV}
"""


def test_read_models(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(MODEL)
    models = read_models(path)
    assert models.names == ["crab"]
    assert models[0].spectral_model.index.value == 2.6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "components: []",
        "components: 5",
        "other: 1",
        MODEL.replace("PowerLaw", "PowerLow"),
        MODEL.replace("crab", "[crab"),
        MODEL.replace("cm-2 s-1 TeV-1", "deg"),
        MODEL.replace("- {name: index, value: 2.6}", "- {name: index, value: steep}"),
        "\x00\x01",
    ],
)
def test_files_that_hold_no_models(tmp_path, text):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"models.yaml.*Models\.write"):
        read_models(path)


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="no model file"):
        read_models(tmp_path / "models.yaml")
