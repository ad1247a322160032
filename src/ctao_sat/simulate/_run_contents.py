"""What the file of a simulated observation holds: events, good time intervals, header cards."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, SkyOffsetFrame
from astropy.table import Table
from numpy.typing import NDArray

from ctao_sat.dl3._contents import Contents
from ctao_sat.dl3._sites import altaz
from ctao_sat.simulate._irfs import Instrument
from ctao_sat.simulate._times import Windows

__all__ = ["MJD_REFERENCE", "NO_EVENTS", "RunInfo", "run_contents"]

# J2000.0 as an MJD in TT: integer and fractional part.
MJD_REFERENCE = (51544, 0.5)

NO_EVENTS = {name: np.zeros(0) for name in ("TIME", "RA", "DEC", "ENERGY", "MC_ID")}

_TIME = {
    "MJDREFI": MJD_REFERENCE[0],
    "MJDREFF": MJD_REFERENCE[1],
    "TIMEUNIT": "s",
    "TIMESYS": "TT",
    "TIMEREF": "LOCAL",
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


def run_contents(columns: dict[str, NDArray], info: RunInfo, instrument: Instrument) -> Contents:
    """Return what the file of an observation holds.

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
    contents : Contents
        Events sorted by time, good time intervals and responses.
    """
    gti = Table({"START": info.windows.start * u.s, "STOP": info.windows.stop * u.s})
    return Contents(
        cards=_events_header(info, instrument),
        events=_events(columns, info),
        gti=gti,
        gti_cards=dict(_TIME),
        irfs=instrument.irfs,
        location=instrument.location,
        irf_cards={name: text for name, text in _array(instrument).items() if text},
        simulated=True,
    )


def _events(columns: dict[str, NDArray], info: RunInfo) -> Table:
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
    return table


def _events_header(info: RunInfo, instrument: Instrument) -> dict:
    ra, dec = info.pointing.ra.deg, info.pointing.dec.deg
    low, high = info.energy_range
    return {
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
