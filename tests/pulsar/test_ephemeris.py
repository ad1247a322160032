"""Par files are read strictly, kept to the last byte, and chosen by time."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from ctao_sat.errors import ConfigError, EphemerisError, MissingDataError, OutputError, PhaseError
from ctao_sat.pulsar import PulsarEphemeris, phases, timing_polynomials

MINIMAL = "PSR J0000+0000\nF0 10\nPEPOCH 58000\nEPHEM builtin\nCLK TT(TAI)\n"


def read(text):
    return PulsarEphemeris.from_text(text, "x.par")


def test_a_file_is_kept_to_the_last_byte(tmp_path, pars):
    text = "# by hand\r\n" + pars["crab"].replace("\n", "\r\n") + "\n\nDM 56.77 1 0.0001\t# noisy"
    path = tmp_path / "crab.par"
    path.write_bytes(text.encode())
    ephemeris = PulsarEphemeris.read(path)
    copy = ephemeris.write(tmp_path / "new" / "copy.par")
    assert copy.read_bytes() == path.read_bytes()
    assert ephemeris.sha256 == PulsarEphemeris.read(copy).sha256
    assert ephemeris.source == "crab.par"
    with pytest.raises(OutputError, match="there already"):
        ephemeris.write(copy)


def test_numbers_keep_more_digits_than_a_float():
    ephemeris = read("PSRJ J0000\nF0 29.946923123456789012345\nPEPOCH 58000.12345678901234567\n")
    (high, low), (day, fraction) = ephemeris.solutions[0].spin[0], ephemeris.solutions[0].pepoch
    assert high == 29.946923123456789
    assert low == pytest.approx(29.946923123456789012345 - high, abs=4e-15)
    assert low != 0
    assert (day, fraction) == (58000, 0.12345678901234567)
    assert ephemeris.name == "J0000"
    assert ephemeris.f == (29.946923123456789,)
    assert ephemeris.pepoch.mjd == pytest.approx(58000.12345678901)


def test_missing_terms_are_zero_and_fortran_is_understood():
    solution = read(MINIMAL + "F2 1.5D-20 1 2D-22\n").solutions[0]
    assert [high for high, _ in solution.spin] == [10, 0, 1.5e-20]
    assert solution.uncertainties["F2"] == 2e-22


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no timing solution"),
        ("PSR X\nPEPOCH 58000\n", "has no F0"),
        ("PSR X\nF0 1\n", "has no PEPOCH"),
        ("PSR X\nF0 abc\nPEPOCH 58000\n", "F0 is 'abc', which is no number"),
        ("PSR X\nF0 nan\nPEPOCH 58000\n", "no number"),
        ("PSR X\nF0\nPEPOCH 58000\n", "F0 has no value"),
        (MINIMAL + "F0 11\n", "F0 appears twice"),
        (MINIMAL + "RAJ 25:99:xx\nDECJ 1:0:0\n", "cannot be read"),
        (MINIMAL + "GLF0_1 1e-6\n", "has no GLEP_1"),
        (MINIMAL + "GLEP_1 58001\nGLF0D_1 1e-6\n", "has no GLTD_1"),
        (MINIMAL + "UNITS TCB\n", "are TCB, not TDB"),
        (MINIMAL + "EPHVER 5\n", "are TCB, not TDB"),
        (MINIMAL + MINIMAL, "not all with START and FINISH"),
        (f"{MINIMAL}START 1\nFINISH 3\n{MINIMAL}START 2\nFINISH 4\n", "valid from MJD 2"),
        (MINIMAL + MINIMAL.replace("J0000", "J1111"), "several pulsars"),
    ],
)
def test_faults_are_named(text, message):
    with pytest.raises(EphemerisError, match=message) as error:
        read(text)
    assert "x.par" in error.value.where


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(MissingDataError, match="no par file"):
        PulsarEphemeris.read(tmp_path / "none.par")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(EphemerisError, match="no text"):
        PulsarEphemeris.read(tmp_path / "image.png")


@pytest.mark.parametrize(
    "line",
    [
        "BINARY BT",
        "WAVE1 0.1 0.2",
        "JUMP MJD 57000 58000 0.1",
        "JUMP 0.001",
        "JUMP -.5",
        "TIMEEPH XYZ",
        "PHASER 1",
        "ELONG 12.5",
        "F0X 3",
        "P0 0.1",
    ],
)
def test_an_unsupported_key_is_never_ignored(line, start, north):
    ephemeris = read(MINIMAL + "RAJ 5:0:0\nDECJ 20:0:0\n" + line + "\n")
    assert [found.key for found in ephemeris.solutions[0].unsupported] == [line.split()[0]]
    with pytest.raises(
        EphemerisError, match=rf"native backend does not know the key {line.split()[0]}"
    ):
        timing_polynomials(start, start, ephemeris, north, backend="native")


@pytest.mark.parametrize(
    "lines",
    [
        "DMX_0001 1e-3\nDMXR1_0001 57000\nNE_SW 4\nFD1 1e-5\nCORRECT_TROPOSPHERE Y",
        "JUMP -fe L-wide 1e-4\nJUMP TEL gbt 1e-5\nT2EFAC -be ASP 1.1\nT2EFAC -be GASP 1.2",
        "EPHVER 2\nNTOA 100\nTRES 12.5\nTNRedAmp -13\nINFO -f\nMODE 1",
        "BINARY NONE\nTIMEEPH FB90\nT2CMETHOD IAU2000B\nPLANET_SHAPIRO N",
    ],
)
def test_what_does_not_move_gamma_rays_is_no_obstacle(lines):
    assert read(f"{MINIMAL}{lines}\n").solutions[0].unsupported == ()


def test_an_unknown_key_is_not_known_to_pint_either(start, north):
    with pytest.raises(EphemerisError, match="key PHASER of the par file is not known"):
        timing_polynomials(start, start, read(MINIMAL + "RAJ 5:0:0\nDECJ 2:0:0\nPHASER 1\n"), north)


def test_what_pint_cannot_read_is_said(start, north):
    text = MINIMAL + "RAJ 5:0:0\nDECJ 20:0:0\nBINARY ELL1\nPB 1\n"
    with pytest.raises(EphemerisError, match="PINT cannot read the ephemeris"):
        timing_polynomials(start, start, read(text), north)


def test_without_pint(monkeypatch, start, north, pars):
    import ctao_sat.pulsar._pint as backend

    monkeypatch.setattr(backend, "pint_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"needs PINT for BINARY.*ctao-sat\[pulsar\]"):
        timing_polynomials(start, start, read(pars["binary"]), north)
    # What the native code does, it does without.
    timing_polynomials(start, start, read(pars["crab"]), north)


def test_several_ranges_of_validity(north):
    parts = [
        f"PSR J0000+0000\nF0 {10 + i}\nPEPOCH {58000 + 30 * i}\nSTART {58000 + 30 * i}\n"
        f"FINISH {58030 + 30 * i}\nEPHEM builtin\nCLK TT(TAI)\nRAJ 5:0:0\nDECJ 20:0:0\n"
        for i in range(3)
    ]
    ephemeris = read("".join(parts))
    assert [one.start for one in ephemeris.solutions] == [58000, 58030, 58060]
    when = Time([58015.0, 58040.0, 58089.0], format="mjd", scale="tt")
    assert [ephemeris.at(time).spin[0][0] for time in when] == [10, 11, 12]
    with pytest.raises(ConfigError, match="has 3 timing solutions"):
        _ = ephemeris.f
    late = Time(58100.0, format="mjd", scale="tt")
    with pytest.raises(PhaseError, match=r"valid from MJD 58060.0 to 58090.0, 10.0 days off"):
        timing_polynomials(late, late, ephemeris, north)


def test_delays_of_radio_waves_move_phase_zero_alone(pars, start, south):
    lines = "DMX_0001 1e-3\nDMXR1_0001 58000\nDMXR2_0001 58001\nCORRECT_TROPOSPHERE Y\nFD1 1e-5\n"
    for name in ("crab", "binary"):
        text = pars[name].replace("TZRFRQ 1400", "TZRFRQ 0")
        plain, more = (
            timing_polynomials(start, start, read(one), south) for one in (text, text + lines)
        )
        np.testing.assert_array_equal(more.phases(np.zeros(1)), plain.phases(np.zeros(1)))
        text = text.replace("TZRFRQ 0", "TZRFRQ 1400") + lines
        with pytest.raises(EphemerisError, match="Phase zero is at 1400 MHz, where DMX_0001"):
            timing_polynomials(start, start, read(text), south)


def test_phase_zero_on_earth_needs_a_direction(start):
    text = MINIMAL + "TZRMJD 58000\nTZRSITE coe\n"
    with pytest.raises(EphemerisError, match="has no RAJ and DECJ"):
        timing_polynomials(start, start, read(text), None, barycentre=False)
    with pytest.raises(EphemerisError, match="TZRSITE = 'moon' of phase zero is not known"):
        timing_polynomials(start, start, read(text.replace("coe", "moon")), None, barycentre=False)


@pytest.mark.parametrize("form", ["pint", "tempo2"])
@pytest.mark.parametrize("name", ["crab", "vela", "glitch"])
def test_par_files_that_pint_writes(name, form, pars, start, south, written_by_pint):
    again = read(written_by_pint(pars[name], form))
    assert again.solutions[0].unsupported == ()
    found, expected = (
        timing_polynomials(start, start, one, south, solar_ephem="builtin").phases(np.zeros(1))
        for one in (again, read(pars[name]))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Hours, degrees or neither: each would be taken for something else.
        (MINIMAL + "RAJ 83.633\nDECJ 22:00:52\n", "position 83.633 22:00:52 cannot be read"),
        (MINIMAL + "RAJ 053431.97\nDECJ 220052.1\n", "cannot be read"),
        (MINIMAL + "RAJ 05 34 31.97\nDECJ 22 00 52.1\n", "cannot be read"),
        (MINIMAL + "RAJ 05:34:31.97\nDECJ 99:00:52.1\n", "cannot be read"),
        (MINIMAL + "RAJ -05:34:31.97\nDECJ 22:00:52.1\n", "cannot be read"),
        (MINIMAL.replace("58000", "2458000.5"), "PEPOCH is '2458000.5', which is no MJD"),
        (MINIMAL + "GLEP_1 525830400\n", "GLEP_1 is '525830400', which is no MJD"),
        (MINIMAL.replace("F0 10", "F0 0"), "F0 is '0', which is no frequency"),
        (MINIMAL.replace("F0 10", "F0 -10"), "F0 is '-10', which is no frequency"),
        (MINIMAL + "GLEP_1 58001\nGLF0D_1 1e-6\nGLTD_1 -3\n", "GLTD_1 is '-3', which is no time"),
        (MINIMAL + "START 58010\nFINISH 57990\n", "FINISH is '57990', which is before START"),
    ],
)
def test_values_that_cannot_be_true(text, message):
    with pytest.raises(EphemerisError, match=message) as error:
        read(text)
    assert "x.par" in error.value.where


@pytest.mark.parametrize("key", ["F01", "F00", "DM0"])
def test_numbers_of_keys_have_no_leading_zero(key):
    # It would be read by nobody, and F1 taken for zero.
    assert [one.key for one in read(f"{MINIMAL}{key} 1e-10\n").solutions[0].unsupported] == [key]


def test_two_names_of_one_pulsar():
    for first, second in (("PSRJ", "PSRB"), ("PSR", "PSRJ")):
        text = f"{first} J0000+0000\n{second} B0000+00\n{MINIMAL.partition(chr(10))[2]}"
        ephemeris = read(text)
        assert len(ephemeris.solutions) == 1
        assert (ephemeris.name, ephemeris.text) == ("J0000+0000", text)


def test_files_of_windows(tmp_path):
    path = tmp_path / "windows.par"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    ephemeris = PulsarEphemeris.read(path)
    assert (ephemeris.name, ephemeris.solutions[0].unsupported) == ("J0000+0000", ())
    assert ephemeris.write(tmp_path / "copy.par").read_bytes() == path.read_bytes()


def test_an_interval_that_ends_before_it_starts(start, north, pars):
    with pytest.raises(ConfigError, match="ends before it starts"):
        timing_polynomials(start, Time(57000, format="mjd"), read(pars["crab"]), north)


def test_times_of_years_without_a_gap(pars, start, north):
    """Each day has its own polynomials, and its own solution."""
    times = start + np.arange(0, 40, 0.9) * u.d
    first = pars["crab"] + "START 57900\nFINISH 58018\n"
    second = pars["crab"] + "START 58018\nFINISH 58100\n"
    found = phases(times, read(first + second.replace("29.7028547", "29.7028548")), north)
    late = times.mjd > 58018
    each = np.array([phases(time, read(pars["crab"]), north)[0] for time in times[~late]])
    np.testing.assert_array_less(np.abs(found[~late] - each), 1e-7)
    assert np.ptp(found[late] - phases(times[late], read(pars["crab"]), north)) > 0.01


def test_times_and_places_that_are_none(pars, start, north):
    with pytest.raises(ConfigError, match="no list of times"):
        phases(np.array([58000.0]), read(pars["crab"]), north)
    with pytest.raises(ConfigError, match="no list of times"):
        phases(start + np.zeros((2, 2)) * u.s, read(pars["crab"]), north)
    with pytest.raises(ConfigError, match="`location` is of the type str"):
        phases(start, read(pars["crab"]), "north")
