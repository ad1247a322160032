"""Write simulated events as GADF DL3: one file per observation, and the two index tables."""

import gzip
import io
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from ctao_sat.simulate._irfs import Instrument
from ctao_sat.simulate._times import Windows

__all__ = [
    "MJD_REFERENCE",
    "RunInfo",
    "altaz",
    "events_hdu",
    "gti_hdu",
    "observation_file_name",
    "write_indices",
    "write_observation",
]

# J2000.0 as an MJD in TT: integer and fractional part.
MJD_REFERENCE = (51544, 0.5)

_GADF = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
    "HDUVERS": "0.3",
}
_TIME = {
    "MJDREFI": MJD_REFERENCE[0],
    "MJDREFF": MJD_REFERENCE[1],
    "TIMEUNIT": "s",
    "TIMESYS": "TT",
    "TIMEREF": "LOCAL",
}
_HDU_NAMES = {
    "events": "EVENTS",
    "gti": "GTI",
    "aeff": "EFFECTIVE AREA",
    "edisp": "ENERGY DISPERSION",
    "psf": "POINT SPREAD FUNCTION",
    "bkg": "BACKGROUND",
}


@dataclass(frozen=True)
class RunInfo:
    """What the headers of one observation say."""

    obs_id: int
    pointing: SkyCoord
    windows: Windows
    deadtime_fraction: float
    model_names: tuple[str, ...]
    target: tuple[str, float, float]
    energy_range: tuple[float, float]
    field_radius: float

    @property
    def header(self) -> dict:
        """Identity, times and pointing, as headers and index tables share them."""
        start, stop = float(self.windows.start[0]), float(self.windows.stop[-1])
        begin, end = (self.windows.at(t).utc for t in (start, stop))
        ontime = self.windows.ontime
        name, ra, dec = self.target
        return {
            "OBS_ID": self.obs_id,
            "TSTART": start,
            "TSTOP": stop,
            "ONTIME": ontime,
            "LIVETIME": ontime * (1 - self.deadtime_fraction),
            "DEADC": 1 - self.deadtime_fraction,
            "TELAPSE": stop - start,
            "DATE-OBS": begin.isot[:10],
            "TIME-OBS": begin.isot[11:],
            "DATE-END": end.isot[:10],
            "TIME-END": end.isot[11:],
            "OBJECT": name,
            "RA_OBJ": ra,
            "DEC_OBJ": dec,
            "RA_PNT": float(self.pointing.ra.deg),
            "DEC_PNT": float(self.pointing.dec.deg),
        }


def altaz(pointing: SkyCoord, time: Time, location: EarthLocation) -> AltAz:
    """Return horizontal coordinates without asking the network for the rotation of the Earth.

    Parameters
    ----------
    pointing : `astropy.coordinates.SkyCoord`
        Direction.
    time : `astropy.time.Time`
        When; beyond the tables that come with astropy the result is good to an arc minute.
    location : `astropy.coordinates.EarthLocation`
        Where.

    Returns
    -------
    altaz : `astropy.coordinates.SkyCoord`
        Altitude and azimuth.
    """
    with (
        iers.conf.set_temp("auto_download", False),
        # Without it, tables older than 30 days make astropy raise an error.
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Tried to get polar motions", AstropyWarning)
        return pointing.transform_to(AltAz(obstime=time, location=location))


def _place(info: RunInfo, instrument: Instrument) -> dict:
    location = instrument.location
    middle = info.windows.at(0.5 * (info.windows.start[0] + info.windows.stop[-1]))
    horizontal = altaz(info.pointing, middle, location)
    return {
        "ALT_PNT": float(horizontal.alt.deg),
        "AZ_PNT": float(horizontal.az.deg),
        "GEOLON": float(location.lon.deg),
        "GEOLAT": float(location.lat.deg),
        "ALTITUDE": float(location.height.to_value("m")),
    }


def _array(instrument: Instrument) -> dict:
    return {
        "TELESCOP": instrument.telescope,
        "INSTRUME": instrument.name,
        "ORIGIN": instrument.origin,
    }


def events_hdu(
    columns: dict[str, NDArray], info: RunInfo, instrument: Instrument
) -> fits.BinTableHDU:
    """Build the event list.

    Parameters
    ----------
    columns : dict of array, shape (n,) each
        TIME (s after the reference), RA, DEC (deg), ENERGY (TeV) and MC_ID.
    info : RunInfo
        The run.
    instrument : Instrument
        The array.

    Returns
    -------
    hdu : `astropy.io.fits.BinTableHDU`
        Events sorted by time.
    """
    order = np.argsort(columns["TIME"], kind="stable")
    table = Table()
    table["EVENT_ID"] = np.arange(1, len(order) + 1, dtype=np.int64)
    table["TIME"] = columns["TIME"][order] * u.s
    sky = SkyCoord(columns["RA"][order], columns["DEC"][order], unit="deg")
    table["RA"] = sky.ra.deg.astype(np.float32) * u.deg
    table["DEC"] = sky.dec.deg.astype(np.float32) * u.deg
    table["ENERGY"] = columns["ENERGY"][order].astype(np.float32) * u.TeV
    local = sky.transform_to(SkyOffsetFrame(origin=info.pointing))
    table["DETX"] = local.lon.deg.astype(np.float32) * u.deg
    table["DETY"] = local.lat.deg.astype(np.float32) * u.deg
    table["MC_ID"] = columns["MC_ID"][order].astype(np.int32)
    table.meta = _events_header(info, instrument)
    return fits.BinTableHDU(table, name="EVENTS")


def _events_header(info: RunInfo, instrument: Instrument) -> dict:
    ra, dec = info.pointing.ra.deg, info.pointing.dec.deg
    low, high = info.energy_range
    return {
        **_GADF,
        "HDUCLAS1": "EVENTS",
        **info.header,
        **_TIME,
        **_place(info, instrument),
        **_array(instrument),
        "OBS_MODE": "POINTING",
        "RADECSYS": "ICRS",
        "RADESYS": "ICRS",
        "EQUINOX": 2000.0,
        "EUNIT": "TeV",
        "EV_CLASS": "STANDARD",
        "N_TELS": 0,
        "TELLIST": "",
        "OBSERVER": "Simulation",
        "CREATOR": "ctao_sat",
        "IRFFILE": instrument.source,
        "DSTYP1": "TIME",
        "DSUNI1": "s",
        "DSVAL1": "TABLE",
        "DSREF1": ":GTI",
        "DSTYP2": "ENERGY",
        "DSUNI2": "TeV",
        "DSVAL2": f"{low:.6g}:{high:.6g}",
        "DSTYP3": "POS(RA,DEC)",
        "DSUNI3": "deg",
        "DSVAL3": f"CIRCLE({ra:.6f},{dec:.6f},{info.field_radius:.6g})",
        "NDSKEYS": 3,
        **_mc_ids(info.model_names),
    }


def _mc_ids(names: tuple[str, ...]) -> dict:
    """Name the models: identifier 0 is the background, i the i-th model, in every run."""
    meta: dict[str, int | str] = {"NMCIDS": len(names) + 1}
    for i, name in enumerate(("background", *names)):
        meta[f"MID{i:05d}"] = i
        meta[f"MMN{i:05d}"] = name
    return meta


def gti_hdu(windows: Windows) -> fits.BinTableHDU:
    """Build the table of good time intervals.

    Parameters
    ----------
    windows : Windows
        The intervals.

    Returns
    -------
    hdu : `astropy.io.fits.BinTableHDU`
        START and STOP in s after the reference.
    """
    table = Table({"START": windows.start * u.s, "STOP": windows.stop * u.s})
    table.meta = {**_GADF, "HDUCLAS1": "GTI", **_TIME}
    return fits.BinTableHDU(table, name="GTI")


def _irf_hdu(key: str, instrument: Instrument) -> fits.BinTableHDU:
    hdu = instrument.irfs[key].to_table_hdu(format="gadf-dl3")
    hdu.name = _HDU_NAMES[key]
    hdu.header.update({name: text for name, text in _array(instrument).items() if text})
    if "HDUCLASS" not in hdu.header:
        hdu.header.update(_GADF)
    return hdu


def observation_file_name(obs_id: int) -> str:
    """Return the file name of an observation.

    Parameters
    ----------
    obs_id : int
        Its number.

    Returns
    -------
    name : str
        For example ``obs_000001.fits``.
    """
    return f"obs_{obs_id:06d}.fits"


def write_observation(
    folder: Path, columns: dict[str, NDArray], info: RunInfo, instrument: Instrument
) -> dict:
    """Write one observation.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where to.
    columns : dict of array
        See `events_hdu`.
    info : RunInfo
        The run.
    instrument : Instrument
        The array.

    Returns
    -------
    row : dict
        Its row of the observation index.
    """
    primary = fits.PrimaryHDU()
    primary.header["CREATOR"] = "ctao_sat"
    primary.header["CREATED"] = datetime.now(UTC).isoformat(timespec="seconds")
    hdus = [primary, events_hdu(columns, info, instrument), gti_hdu(info.windows)]
    hdus += [_irf_hdu(key, instrument) for key in instrument.irfs]
    fits.HDUList(hdus).writeto(folder / observation_file_name(info.obs_id))
    place = _place(info, instrument)
    galactic = info.pointing.galactic
    return {
        **info.header,
        **place,
        "ZEN_PNT": 90 - place["ALT_PNT"],
        "GLON_PNT": float(galactic.l.deg),
        "GLAT_PNT": float(galactic.b.deg),
        "TELESCOP": instrument.telescope,
        "INSTRUME": instrument.name,
        "N_TELS": 0,
        "TELLIST": "",
        "EVENT_COUNT": len(columns["TIME"]),
    }


def write_indices(folder: Path, rows: list[dict], instrument: Instrument) -> None:
    """Write ``obs-index.fits.gz`` and ``hdu-index.fits.gz``.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where the observations are.
    rows : list of dict
        What `write_observation` returned.
    instrument : Instrument
        The array.
    """
    table = Table(rows=rows)
    degrees = [name for name in table.colnames if name.endswith(("_PNT", "_OBJ"))]
    for name in [*degrees, "GEOLON", "GEOLAT"]:
        table[name].unit = "deg"
    for name in ("TSTART", "TSTOP", "ONTIME", "LIVETIME", "TELAPSE"):
        table[name].unit = "s"
    table["ALTITUDE"].unit = "m"
    place = {key: rows[0][key] for key in ("GEOLON", "GEOLAT", "ALTITUDE")}
    table.meta = {**_GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "OBS", **_TIME, **place}
    _write_gzip(fits.BinTableHDU(table, name="OBS_INDEX"), folder / "obs-index.fits.gz")

    classes = {"events": "events", "gti": "gti"}
    classes |= {key: irf.tag for key, irf in instrument.irfs.items()}
    hdus = [
        {
            "OBS_ID": row["OBS_ID"],
            "HDU_TYPE": key,
            "HDU_CLASS": tag,
            "FILE_DIR": "./",
            "FILE_NAME": observation_file_name(row["OBS_ID"]),
            "HDU_NAME": _HDU_NAMES[key],
        }
        for row in rows
        for key, tag in classes.items()
    ]
    index = Table(rows=hdus)
    index.meta = {**_GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "HDU"}
    _write_gzip(fits.BinTableHDU(index, name="HDU_INDEX"), folder / "hdu-index.fits.gz")


def _write_gzip(hdu: fits.BinTableHDU, path: Path) -> None:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    # astropy's own writer puts the time of writing into the gzip header.
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
