"""Damaged files end in an error of ours, or in data: never in another exception, never in a hang.

The damage is random with fixed seeds: bytes, lengths, header cards, types, shapes and values. Files
are small, so that a mutant takes milliseconds.
"""

import collections
import gzip
import io
import itertools
import resource
import signal
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from gammapy.irf import (
    Background2D,
    Background3D,
    EffectiveAreaTable2D,
    EnergyDependentMultiGaussPSF,
    EnergyDispersion2D,
)
from gammapy.maps import MapAxis

from ctao_sat import dl3, simulate
from ctao_sat.errors import CtaoSatError

N_MUTANTS = 2000
N_BATCHES = 8
TOO_LONG = 10  # s
MORE_MEMORY = 2 * 2**30  # bytes
CARD = 80

VALUES = [
    "-1", "0", "1", "3", "2147483648", "99999999999999999999", "1E300", "-1E-300", "1.5", "T", "F",
    "", "''", "'text'", "'1'", "'NaN'", "'EFF_AREA'", "'POINT-LIKE'", "'PSF_KING'", "'BKG_2D'",
    "'deg'", "'TeV'", "'GADF'", "'UTC'", "(1.0, 2.0)", "'unclosed", "not a value",
]  # fmt: skip
FORMATS = [
    "E",
    "D",
    "J",
    "I",
    "K",
    "B",
    "L",
    "A",
    "X",
    "C",
    "M",
    "P",
    "Q",
    "PE(9)",
    "0E",
    "-1E",
    "Z",
]
NUMBERS = [0.0, -1.0, np.nan, np.inf, -np.inf, 1e38, 1e-38]
STRUCTURE = (
    "NAXIS",
    "BITPIX",
    "PCOUNT",
    "GCOUNT",
    "TFIELDS",
    "TDIM",
    "TFORM",
    "XTENSION",
    "EXTEND",
)


def coarse_irfs():
    """Return responses of few bins."""
    meta = {
        "TELESCOP": "CTAO-SAT-DEMO",
        "INSTRUME": "Northern coarse array",
        "HDUCLAS1": "RESPONSE",
    }
    energy = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", nbin=6, name="energy_true")
    reco = energy.copy(name="energy")
    offset = MapAxis.from_edges([0, 1, 3], unit="deg", name="offset")
    migra = MapAxis.from_edges(np.linspace(0.2, 3, 8), name="migra")
    lon, lat = (
        MapAxis.from_edges([-3, -1, 0, 1, 3], unit="deg", name=f"fov_{n}") for n in ("lon", "lat")
    )
    names = EnergyDependentMultiGaussPSF.required_parameters
    psf = np.zeros((6, 2), dtype=[(name, np.float32) for name in names])
    for name in ("sigma_1", "sigma_2", "sigma_3"):
        psf[name] = 0.1
    psf["scale"] = 1 / (2 * np.pi * np.radians(0.1) ** 2)
    units = dict.fromkeys(names, u.one) | {f"sigma_{k}": u.deg for k in (1, 2, 3)}
    units["scale"] = u.Unit("sr-1")
    rate = np.full((6, 4, 4), 1e-6) * reco.center.value[:, None, None] ** -2.7
    edisp = EnergyDispersion2D.from_gauss(energy, migra, offset, 0.0, 0.3)
    return {
        "aeff": EffectiveAreaTable2D(axes=[energy, offset], data=1e5, unit="m2", meta=meta),
        "psf": EnergyDependentMultiGaussPSF(axes=[energy, offset], data=psf, unit=units, meta=meta),
        "edisp": EnergyDispersion2D(axes=edisp.axes, data=edisp.data, meta=meta),
        "bkg": Background3D(axes=[reco, lon, lat], data=rate, unit="s-1 MeV-1 sr-1", meta=meta),
    }


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return the bytes of a run with its responses, and of responses alone."""
    folder = tmp_path_factory.mktemp("originals")
    irfs = coarse_irfs()
    simulate.observations(
        None,
        simulate.wobble_pointings(SkyCoord(83.6, 22.0, unit="deg"), n=1),
        20 * u.s,
        irfs,
        np.random.default_rng(1),
        path=folder / "dl3",
        location="north",
    )
    flat = Background2D(
        axes=[irfs["bkg"].axes["energy"], irfs["aeff"].axes["offset"]],
        data=1e-6,
        unit="s-1 MeV-1 sr-1",
    )
    tables = [irfs["aeff"].to_table_hdu(), irfs["edisp"].to_table_hdu(), flat.to_table_hdu()]
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(buffer)
    (run,) = (folder / "dl3").glob("obs_*.fits")
    return [run.read_bytes(), buffer.getvalue()]


class Original:
    """Bytes of a FITS file, and where its cards and its data are."""

    def __init__(self, content: bytes):
        self.content = content
        self.cards: list[int] = []
        self.data: list[tuple[int, int]] = []
        with fits.open(io.BytesIO(content)) as hdus:
            self.hdus = [(hdu.fileinfo()["hdrLoc"], hdu.fileinfo()) for hdu in hdus]
            for start, place in self.hdus:
                self.cards += range(start, place["datLoc"], CARD)
                self.data.append((place["datLoc"], place["datLoc"] + place["datSpan"]))
        self.cards = [at for at in self.cards if content[at : at + CARD].strip()]

    def named(self, *beginnings: str) -> list[int]:
        return [
            at for at in self.cards if self.content[at : at + 8].decode().startswith(beginnings)
        ]


# Each takes a file and a generator of random numbers, and returns bytes.


def flip(original, rng):
    content = bytearray(original.content)
    for at in rng.integers(len(content), size=rng.integers(1, 20)):
        content[at] = rng.integers(256)
    return bytes(content)


def flip_header(original, rng):
    content = bytearray(original.content)
    for card in rng.choice(original.cards, size=rng.integers(1, 4)):
        content[card + rng.integers(CARD)] = rng.integers(32, 127)
    return bytes(content)


def cut(original, rng):
    return original.content[: rng.integers(len(original.content))]


def cut_block(original, rng):
    return original.content[: 2880 * rng.integers(len(original.content) // 2880)]


def zipped(original, rng):
    content = bytearray(gzip.compress(original.content))
    if rng.random() < 0.5:
        return bytes(content[: rng.integers(len(content))])
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def with_card(original, at, text):
    card = text.encode("ascii", "replace")[:CARD].ljust(CARD)
    return original.content[:at] + card + original.content[at + CARD :]


def edit_card(original, rng):
    at = int(rng.choice(original.cards))
    key = original.content[at : at + 8].decode()
    return with_card(original, at, f"{key}= {rng.choice(VALUES):>20}")


def rename_card(original, rng):
    at = int(rng.choice(original.cards))
    key = str(rng.choice(["OBS_ID", "TTYPE1", "TUNIT1", "NAXIS2", "MJDREFI", "HDUCLAS4", "X"]))
    return with_card(original, at, f"{key:<8}{original.content[at + 8 : at + CARD].decode()}")


def drop_card(original, rng):
    return with_card(original, int(rng.choice(original.cards)), "COMMENT dropped")


def drop_structure(original, rng):
    return with_card(original, int(rng.choice(original.named(*STRUCTURE))), "COMMENT dropped")


def reshape(original, rng):
    at = int(rng.choice(original.named("NAXIS", "TFIELDS", "PCOUNT", "GCOUNT", "BITPIX", "TDIM")))
    key = original.content[at : at + 8].decode()
    shapes = [
        "'(2,2)'",
        "'(0,3)'",
        "'(-1,4)'",
        "'(7)'",
        "'(9999999,9999999)'",
        "'2,3'",
        *VALUES[:8],
    ]
    return with_card(original, at, f"{key}= {rng.choice(shapes):>20}")


def retype(original, rng):
    at = int(rng.choice(original.named("TFORM")))
    key = original.content[at : at + 8].decode()
    count = original.content[at + 10 : at + 30].decode().strip("' ").rstrip("ABDEIJKLMX")
    return with_card(original, at, f"{key}= '{count}{rng.choice(FORMATS)}'")


def rename_column(original, rng):
    at = int(rng.choice(original.named("TTYPE", "TUNIT", "EXTNAME", "HDUCLAS")))
    key = original.content[at : at + 8].decode()
    words = [
        "ENERG_LO",
        "THETA_HI",
        "ENERGY",
        "TIME",
        "MATRIX",
        "EVENTS",
        "GTI",
        "RPSF",
        "m",
        "XX",
        "s",
    ]
    return with_card(original, at, f"{key}= '{rng.choice(words):<8}'")


def fill(original, rng):
    """Write a number over a stretch of data."""
    start, stop = original.data[rng.integers(1, len(original.data))]
    if stop <= start:
        return original.content
    kind = str(rng.choice([">f4", ">f8"]))
    width = np.dtype(kind).itemsize
    first = start + width * rng.integers((stop - start) // width)
    number = min(int(rng.integers(1, 40)), (stop - first) // width)
    value = np.full(number, rng.choice(NUMBERS)).astype(kind).tobytes()
    return original.content[:first] + value + original.content[first + len(value) :]


def shuffle_hdus(original, rng):
    """Drop, double or reorder HDUs behind the first."""
    starts = [start for start, _ in original.hdus] + [len(original.content)]
    parts = [original.content[a:b] for a, b in itertools.pairwise(starts)]
    chosen = rng.integers(1, len(parts), size=rng.integers(0, len(parts) + 2))
    return parts[0] + b"".join(parts[index] for index in chosen)


def twice(original, rng):
    """Damage two things, one after the other."""
    once = edit_card(original, rng)
    try:
        return Original(once).content and edit_card(Original(once), rng)
    except Exception:
        return once


MUTATIONS = [
    flip, flip_header, cut, cut_block, zipped, edit_card, edit_card, rename_card, drop_card,
    drop_structure, reshape, retype, rename_column, fill, fill, shuffle_hdus, twice,
]  # fmt: skip


def read(path):
    """Open a run without index tables, and read it."""
    store = dl3.open_dl3(path)
    dl3.read_observations(store, store.obs_ids)


def performance(path):
    for irfs in dl3.read_irfs(path):
        dl3.irf_performance(irfs)


READERS = [read, performance]
if hasattr(dl3, "check"):
    READERS.append(dl3.check)


class Hang(BaseException):
    """What no handler of a reader catches."""


@pytest.fixture
def guard():
    """Turn a hang, and an appetite for memory, into an exception."""

    def give_up(*args):
        raise Hang(f"more than {TOO_LONG} s")

    handler = signal.signal(signal.SIGALRM, give_up)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, limits[1])
    )
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)


def test_originals_are_sound(originals, tmp_path):
    for content in originals:
        (tmp_path / "file.fits").write_bytes(content)
        performance(tmp_path / "file.fits")
    (tmp_path / "file.fits").write_bytes(originals[0])
    read(tmp_path / "file.fits")
    assert sum(map(len, originals)) < 200_000


@pytest.mark.parametrize("batch", range(N_BATCHES))
def test_mutants(originals, tmp_path, batch, guard):
    rng = np.random.default_rng(20261125 + batch)
    files = [Original(content) for content in originals]
    outcomes: collections.Counter = collections.Counter()
    faults = []
    slowest = 0.0
    for number in range(N_MUTANTS // N_BATCHES):
        # Each reader in turn: together they would take too long.
        reader = READERS[number % len(READERS)]
        mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
        # The second file has no events to read.
        content = mutate(files[0 if reader is read else rng.integers(len(files))], rng)
        path = tmp_path / "mutant.fits"
        path.write_bytes(content)
        start = time.perf_counter()
        signal.alarm(TOO_LONG)
        try:
            with warnings.catch_warnings():
                # What astropy only warns of, users see as a message.
                warnings.simplefilter("ignore")
                reader(path)
            outcomes["no error"] += 1
        except CtaoSatError as error:
            outcomes[type(error).__name__] += 1
            if not error.message.strip():
                faults.append(f"{number} {mutate.__name__} {reader.__name__}: no message")
        except (Exception, Hang) as error:
            outcomes[f"! {type(error).__name__}"] += 1
            faults.append(f"{number} {mutate.__name__} {reader.__name__}: {error!r}")
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - start)
    print(f"slowest {slowest:.2f} s;", dict(outcomes))
    assert faults == []
    assert slowest < TOO_LONG
    # Most damage is found, and some does no harm: else the mutants would test nothing.
    assert outcomes["no error"] < 0.7 * outcomes.total()
    assert outcomes["FileFormatError"] > 0.1 * outcomes.total()
