"""Par files of known pulsars, places, and PINT as an oracle."""

import contextlib
import io
import warnings

import numpy as np
import pytest
from astropy.time import Time

from ctao_sat.dl3._sites import bundled_earth_rotation, site_location

_MADE_WITH = "EPHEM builtin\nCLK TT(TAI)\nUNITS TDB\n"
START = Time("2017-09-04T02:24", scale="tt")

# Close to the published solutions, with phase zero referred in three ways.
PARS = {
    "crab": """\
PSR J0534+2200
RAJ 05:34:31.97232
DECJ 22:00:52.0690
PX 0.5
F0 29.7028547123456789
F1 -3.714e-10
F2 1.0e-20
PEPOCH 57555.123
TZRMJD 57555.5
TZRSITE coe
TZRFRQ 0
""",
    "vela": """\
PSR J0835-4510
RAJ 08:35:20.61149
DECJ -45:10:34.8751
F0 11.1838252035
F1 -1.5596e-11
PEPOCH 57555.123
TZRMJD 57555.501234567890123
TZRSITE @
TZRFRQ 1369.0
DM 67.99
DM1 0.01
DMEPOCH 55555
""",
    "geminga": """\
PSR J0633+1746
RAJ 06:33:54.1530
DECJ 17:46:12.909
PMRA 138
PMDEC 97
PX 4
POSEPOCH 55555
F0 4.21756706493
F1 -1.95250D-13
PEPOCH 50000
PLANET_SHAPIRO Y
""",
    # Of B1706-44, with a glitch ten minutes after START, which recovers in part within a day.
    "glitch": """\
PSR J1709-4429
RAJ 17:09:42.728
DECJ -44:29:08.24
PMRA 13
PMDEC 1
POSEPOCH 54710
F0 9.756088
F1 -8.85e-12
PEPOCH 57900
GLEP_1 58000.1069
GLPH_1 0.01
GLF0_1 2.7e-5
GLF1_1 -1e-13
GLF0D_1 1e-6
GLTD_1 0.5
""",
    # A black widow: an orbit of 4.75 hours.
    "binary": """\
PSR J1023+0038
RAJ 10:23:47.687198
DECJ 00:38:40.84551
F0 59.242145906986
F1 -2.432e-15
PEPOCH 54995
BINARY ELL1
PB 0.19809620412
A1 0.343343
TASC 54995.0
EPS1 0
EPS2 0
TZRMJD 58000
TZRSITE @
TZRFRQ 1400
DM 14.3
WAVE_OM 0.1
WAVEEPOCH 55000
WAVE1 0.001 0.002
""",
}
PARS = {name: text + _MADE_WITH for name, text in PARS.items()}


@pytest.fixture(scope="session")
def pars() -> dict[str, str]:
    """Return par files by name."""
    return PARS


@pytest.fixture(scope="session")
def start() -> Time:
    """Return when runs start."""
    return START


@pytest.fixture(scope="session")
def north():
    """Return the place of CTAO-North."""
    return site_location("north")


@pytest.fixture(scope="session")
def south():
    """Return the place of CTAO-South."""
    return site_location("south")


@contextlib.contextmanager
def quiet_pint():
    """Silence PINT, whose messages and warnings are no part of what it computes."""
    import loguru

    loguru.logger.disable("pint")
    # As the code under test does: without the network, from the tables of astropy.
    with bundled_earth_rotation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def pint_turns():
    """Return a function that gives full phases of times, as PINT alone computes them.

    It returns 80-bit numbers of turns since phase zero.
    """

    def turns(par, times, location):
        with quiet_pint():
            import pint.models
            import pint.toa
            from pint.observatory.topo_obs import TopoObs

            model = pint.models.get_model(io.StringIO(par))
            TopoObs("oracle", location=location, apply_gps2utc=False, overwrite=True)
            toas = pint.toa.get_TOAs_array(
                times.utc,
                "oracle",
                ephem="builtin",
                include_bipm=False,
                planets=True,
            )
            phase = model.phase(toas, abs_phase="TZRMJD" in par)
        return np.asarray(phase.int.value, dtype=np.longdouble) + np.asarray(
            phase.frac.value, dtype=np.longdouble
        )

    return turns


@pytest.fixture(scope="session")
def written_by_pint():
    """Return a function that has PINT read a par file, and write it in one of its forms."""

    def written(par, form):
        with quiet_pint():
            from pint.models import get_model

            return get_model(io.StringIO(par)).as_parfile(format=form)

    return written


@pytest.fixture(scope="session")
def kernel_file(tmp_path_factory):
    """Return a kernel file for the days around START, made of ERFA's ephemeris."""
    return write_kernel(tmp_path_factory.mktemp("kernels") / "de999.bsp")


@pytest.fixture(scope="session")
def moved_kernel_file(tmp_path_factory):
    """Return the same with the Earth as far off as ERFA's is at most from JPL's."""
    direction = np.array([0.1, 0.9, 0.4])  # About that of the Crab.
    shift = 13.4 * direction / np.linalg.norm(direction)
    return write_kernel(tmp_path_factory.mktemp("kernels") / "de998.bsp", shift)


def write_kernel(path, shift=(0.0, 0.0, 0.0)):
    """Write a kernel file, with the Earth moved by some km."""
    from jplephem.daf import DAF, FTPSTR

    with path.open("w+b") as file:
        header = b"DAF/SPK " + np.array([2, 6], "<i4").tobytes() + b"made for a test".ljust(60)
        header += np.array([2, 2, 513 - 128], "<i4").tobytes() + b"LTL-IEEE"
        file.write(header.ljust(699, b"\0") + FTPSTR.ljust(325, b"\0"))
        file.write(np.zeros(256))
        daf = DAF(file)
        for center, target, body in ((0, 3, "earth"), (3, 399, None), (0, 10, "sun")):
            first, last, values = segment(body, shift if body == "earth" else (0.0, 0.0, 0.0))
            daf.add_array(b"test", (first, last, target, center, 1, 2, 0, 0), values)
    return path


def segment(body, shift):
    """Return begin, end and the numbers of a segment of type 2: positions in km."""
    from astropy.coordinates import get_body_barycentric
    from numpy.polynomial import chebyshev

    day, n, order = 86400.0, 20, 13
    first = np.floor((START.tdb.jd - 2451545.0) - n / 2) * day
    x = np.cos(np.pi * (np.arange(order) + 0.5) / order)
    records = []
    for i in range(n):
        middle, half = first + (i + 0.5) * day, 0.5 * day
        places = np.zeros((3, order))
        if body:
            times = Time(2451545.0, (middle + half * x) / day, format="jd", scale="tdb")
            places = get_body_barycentric(body, times, ephemeris="builtin").xyz.to_value("km")
        terms = chebyshev.chebfit(x, places.T + shift, order - 1)
        records.append(np.concatenate([[middle, half], terms.T.ravel()]))
    size = 2 + 3 * order
    return first, first + n * day, np.concatenate([*records, [first, day, size, n]])
