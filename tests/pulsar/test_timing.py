"""Solar-system ephemerides, validity and the error budget; nothing of it opens a socket."""

import socket
import subprocess
import sys
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import get_body_barycentric
from astropy.time import Time

from ctao_sat.errors import (
    ConfigError,
    CtaoSatWarning,
    FileFormatError,
    MissingDataError,
    PhaseError,
)
from ctao_sat.pulsar import PulsarEphemeris, phases
from ctao_sat.pulsar._budget import phase_budget
from ctao_sat.pulsar._solar_system import solar_system


def changed(pars, name="crab", **lines):
    """Return an ephemeris with some lines of a par file replaced or added."""
    kept = [line for line in pars[name].splitlines() if line.split()[0] not in lines]
    added = [f"{key} {value}" for key, value in lines.items() if value is not None]
    return PulsarEphemeris.from_text("\n".join([*kept, *added]) + "\n")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.parametrize("name", ["crab", "binary"])
@pytest.mark.parametrize("when", ["2017-09-04", "2035-01-01"])
def test_offline(name, when, pars, north, no_network):
    ephemeris = changed(pars, name, EPHEM="DE421", CLK="TT(BIPM2019)")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The par file of", CtaoSatWarning)
        found = phases(Time(when, scale="tt"), ephemeris, north, max_phase_error=0.01)
    assert 0 <= found[0] < 1


def test_nothing_at_import_opens_a_socket():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import ctao_sat.pulsar, sys\n"
        "assert 'pint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_kernel_that_is_not_at_hand(pars, north, start):
    ephemeris = changed(pars, EPHEM="DE421")
    with pytest.warns(CtaoSatWarning, match=r"asks for DE421; 'builtin' is used.* 90 .*0.0027 tu"):
        found = phases(start, ephemeris, north)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = phases(start, ephemeris, north, solar_ephem="builtin")
    assert found == same
    with pytest.raises(MissingDataError, match="'de421' is not at hand"):
        phases(start, ephemeris, north, solar_ephem="de421")
    with pytest.warns(CtaoSatWarning, match="names no EPHEM"):
        phases(start, changed(pars, EPHEM=None), north)


def test_a_millisecond_pulsar_stops(pars, north, start):
    ephemeris = changed(pars, EPHEM="DE421", F0="641.928")
    # Phase zero is at the centre of the Earth: both may be off by 45 microseconds.
    with (
        pytest.warns(CtaoSatWarning, match="0.058 turns"),
        pytest.raises(PhaseError, match=r"wrong by 0\.0\d+ turns \(ephemeris 0.058") as error,
    ):
        phases(start, ephemeris, north)
    assert "kernel file" in error.value.remedy
    with pytest.warns(CtaoSatWarning):
        phases(start, ephemeris, north, max_phase_error=0.1)


@pytest.mark.parametrize(
    ("wanted", "of_solution", "used", "error"),
    [
        ("par", "BUILTIN", "builtin", 0),
        ("builtin", "", "builtin", 45e-6),
        ("builtin", "DE421", "builtin", 45e-6),
        ("builtin", "DE440", "builtin", 450e-6),
        ("builtin", "DE200", "builtin", 2e-3),
        ("{folder}/de440s.bsp", "DE440", "de440s", 0),
        ("{folder}", "DE440s", "de440s", 0),
        ("{folder}/de440s.bsp", "DE421", "de440s", 420e-6),
        ("{folder}/de440s.bsp", "INPOP21a", "de440s", 10e-6),
    ],
)
def test_which_ephemeris_is_used(wanted, of_solution, used, error, tmp_path):
    (tmp_path / "de440s.bsp").write_bytes(b"")
    found = solar_system(wanted.format(folder=tmp_path), of_solution, offline=True)
    assert (found.used, found.error) == (used, error)
    assert found.kernel == ("builtin" if used == "builtin" else str(tmp_path / "de440s.bsp"))


# Of the Earth in km at MJD (TDB) 53372, 57023.5 and 61405, as jplephem reads the file of JPL.
IN_DE440 = [
    [-28992057.04, 132160380.37, 57279625.67],
    [-26467469.00, 132579776.17, 57453203.94],
    [-22931620.22, 132663534.79, 57520798.83],
]


def test_the_barycentre_of_de440_is_elsewhere():
    times = Time([53372, 57023.5, 61405], format="mjd", scale="tdb")
    earth = get_body_barycentric("earth", times, ephemeris="builtin").xyz.to_value("km").T
    off = (earth - IN_DE440) / 299792.458
    total, changes = (
        solar_system("par", "DE440", offline=True, relative=relative).error
        for relative in (False, True)
    )
    assert 370e-6 < np.linalg.norm(off, axis=1).max() <= total
    assert 40e-6 < np.linalg.norm(off[0] - off[2]) <= changes
    # Other kernels have the barycentre of ERFA's.
    assert solar_system("par", "DE421", offline=True, relative=True).error == 90e-6


def test_kernel_files_that_are_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="no kernel file"):
        solar_system(tmp_path / "de440.bsp", "DE440", offline=True)
    with pytest.raises(MissingDataError, match="no kernel file"):
        solar_system(tmp_path, "DE440", offline=True)
    with pytest.raises(ConfigError, match="is empty"):
        solar_system("", "DE440", offline=True)


def test_validity(pars, north):
    ephemeris = changed(
        pars,
        START="57500",
        FINISH="57600",
        F0="29.7028547123456789 1 1e-10",
        F1="-3.714e-10 1 1e-17",
    )
    inside = Time([57500.0, 57600.5], format="mjd", scale="tt")
    assert len(phases(inside, ephemeris, north)) == 2
    late = Time(57700.0, format="mjd", scale="tt")
    # 144.9 days after PEPOCH: 1e-10 dt and 1e-17 dt^2 / 2.
    size = np.hypot(1e-10 * 144.877 * 86400, 1e-17 * (144.877 * 86400) ** 2 / 2)
    assert size == pytest.approx(1.478e-3, rel=1e-3)
    with pytest.raises(PhaseError, match=r"100\.0 days off .* come to 0\.0015 turns there"):
        phases(late, ephemeris, north)
    with pytest.warns(CtaoSatWarning, match="come to 0.0015 turns there, timing noise aside"):
        phases(late, ephemeris, north, extrapolate=True)
    early = Time(57400.0, format="mjd", scale="tt")
    with pytest.raises(PhaseError, match=r"100\.0 days off MJD 5"):
        phases(early, ephemeris, north)
    with pytest.raises(PhaseError, match="states no uncertainties"):
        phases(early, changed(pars, START="57500"), north)


def test_the_budget_part_by_part(pars, start):
    solution = changed(
        pars,
        "glitch",
        CLK="TT(BIPM2019)",
        TRES="100",
        RAJ="17:09:42.728 1 0.001",
        DECJ="-44:29:08.24 1 0.1",
        PX="0.4 1 0.5",
        PMRA="13 1 2",
        GLF0_1="2.7e-5 1 1e-8",
        GLPH_1="0.01 1 0.002",
    ).solutions[0]
    solar = solar_system("par", "DE421", offline=True)
    later = start + 10 * u.d
    found = phase_budget(solution, start, later, solar, 1e-9, 6e-8)
    f = 9.756088
    assert found.ephemeris == pytest.approx(45e-6 * f)
    assert found.clock == pytest.approx(27.7e-6 * f)
    assert (found.interpolation, found.rotation) == (1e-9, 0)
    assert found.time_precision == pytest.approx(6e-8 * f)
    arcsec = np.pi / 180 / 3600 * 499.005
    years = (58010.1 - 54710) / 365.25
    delays = [1e-4, 0.015 * np.cos(np.radians(44.486)) * arcsec, 0.1 * arcsec]
    delays += [0.5e-3 * arcsec / 2, 2e-3 * years * arcsec]
    after = (10 + 0.1 - 0.1069) * 86400
    turns = [*(f * np.array(delays)), 1e-8 * after, 0.002]
    assert found.parameters == pytest.approx(np.sqrt(np.sum(np.square(turns))), rel=1e-3)
    assert found.total == pytest.approx(
        found.ephemeris + found.clock + 1e-9 + found.time_precision + found.parameters
    )
    plain = phase_budget(solution, start, later, None, 0, 0)
    assert (plain.ephemeris, plain.clock) == (0, 0)
    # Beyond the tables of the Earth's rotation, UT1 is known to 0.9 s: 1.4 microseconds of light.
    far = Time("2050-01-01", scale="tt")
    assert phase_budget(solution, far, far, solar, 0, 0).rotation == pytest.approx(
        1.4e-6 * f, rel=0.01
    )
    assert "parameters" in str(found)


@pytest.mark.parametrize(
    ("change", "delay"),
    [
        ({"A1": "0.343343 1 1e-4"}, 1e-4),
        # 0.01 s late in an orbit of 0.198 d, and what the period gains in 3005.1 d.
        ({"TASC": "54995.0 1 1.1574074e-7"}, 2 * np.pi * 0.343343 * 0.01 / 17115.5),
        ({"PB": "0.19809620412 1 1e-10"}, 2 * np.pi * 0.343343 * 3005.1 / 0.198096204**2 * 1e-10),
        ({"RAJ": None, "DECJ": None, "ELONG": "150 1 1e-6", "ELAT": "-9 1 0"}, 8.709e-6),
    ],
)
def test_what_pint_computes_is_in_the_budget(change, delay, pars, start):
    solution = changed(pars, "binary", **change).solutions[0]
    found = phase_budget(solution, start, start, None, 0, 0).parameters
    assert found == pytest.approx(delay * 59.242145906986, rel=1e-3)


@pytest.mark.parametrize("backend", ["native", "pint"])
def test_a_kernel_file(backend, pars, north, start, kernel_file, no_network):
    from astropy.coordinates import solar_system_ephemeris

    ephemeris = changed(pars, EPHEM="DE999", TZRMJD="58001.5")
    before = solar_system_ephemeris.get()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = phases(start, ephemeris, north, solar_ephem=kernel_file, backend=backend)
        folder = phases(start, ephemeris, north, solar_ephem=kernel_file.parent, backend=backend)
    assert found == folder
    assert solar_system_ephemeris.get() == before
    # The kernel was made of the built-in ephemeris.
    builtin = phases(start, changed(pars, TZRMJD="58001.5"), north)
    assert abs(found[0] - builtin[0]) < 1e-7
    with pytest.raises(PhaseError, match="not in the kernel"):
        phases(start + 1 * u.yr, ephemeris, north, solar_ephem=kernel_file, backend=backend)


def test_a_kernel_file_that_is_none(pars, north, start, tmp_path):
    broken = tmp_path / "de440.bsp"
    broken.write_bytes(b"no kernel")
    with pytest.raises(FileFormatError, match="cannot be read"):
        phases(start, changed(pars, EPHEM="DE440"), north, solar_ephem=broken)


def test_another_ephemeris_stays_within_its_error(pars, north, start, moved_kernel_file):
    ephemeris = changed(pars, EPHEM="DE998", TZRMJD=None)
    times = start + np.linspace(0, 5, 20) * u.d
    true = phases(times, ephemeris, north, solar_ephem=moved_kernel_file)
    with pytest.warns(CtaoSatWarning, match="'builtin' is used"):
        found = phases(times, ephemeris, north)
    off = np.abs((found - true + 0.5) % 1 - 0.5)
    error = solar_system("par", "DE998", offline=True).error * 29.7028547
    assert np.all(off <= error)
    # Nearly all of the 13.4 km is along the line of sight.
    assert np.min(off) > 0.95 * error
