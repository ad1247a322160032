"""A table of sources as a catalogue has them."""

from collections.abc import Iterable, Mapping
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.modeling.models import SkyModel

__all__ = ["source_table"]

# Radius that holds 68.27 % of a normal distribution in two dimensions, in units of its width.
_R68 = 1.5152
_FLUX = u.Unit("cm-2 s-1")
_FORMATS = dict.fromkeys(("ts", "ts_ext"), ".1f") | dict.fromkeys(("flux", "flux_err"), ".3g")
_FORMATS |= dict.fromkeys(("sqrt_ts", "significance"), ".2f")


def source_table(
    models: Iterable[SkyModel], facts: Mapping[str, Mapping], energies: u.Quantity, frame: str
) -> QTable:
    """Return a row for each source.

    Parameters
    ----------
    models : iterable of `~gammapy.modeling.models.SkyModel`
        Fitted, with their errors.
    facts : mapping of str to mapping of str to float
        What the search knows of each: ts, sqrt_ts, significance, ts_ext, flags.
    energies : Quantity[energy], shape (2,)
        In which to give the flux.
    frame : str
        Of the positions.

    Returns
    -------
    table : `~astropy.table.QTable`
        Empty, but with its columns, if there are no models.
    """
    rows = [_row(model, facts[model.name], energies) for model in models]
    names: tuple[str, ...] = (
        "name",
        "lon",
        "lat",
        "lon_err",
        "lat_err",
        "r68",
        "ts",
        "sqrt_ts",
        "significance",
    )
    names += ("flux", "flux_err", "sigma", "sigma_err", "ts_ext", "flag")
    units = dict.fromkeys(("lon", "lat", "lon_err", "lat_err", "r68", "sigma", "sigma_err"), u.deg)
    units |= {"flux": _FLUX, "flux_err": _FLUX}
    columns: dict = {}
    for name in names:
        values = [row[name] for row in rows]
        if name in ("name", "flag"):
            columns[name] = np.array(values, dtype=str)
        else:
            columns[name] = np.array(values, dtype=float) * units.get(name, u.one)
    table = QTable(columns)
    low, high = energies
    for name in names[1:-1]:
        table[name].info.format = _FORMATS.get(name, ".5f")
    table.meta["frame"] = frame
    table.meta["energies"] = f"{low:.4g} to {high:.4g}"
    return table


def _row(model: SkyModel, facts: Mapping[str, Any], energies: u.Quantity) -> dict:
    shape = model.spatial_model
    lon, lat = shape.lon_0.quantity.to_value("deg"), shape.lat_0.quantity.to_value("deg")
    lat_err = (shape.lat_0.error * shape.lat_0.unit).to_value("deg")
    lon_err = (shape.lon_0.error * shape.lon_0.unit).to_value("deg") * np.cos(np.radians(lat))
    flux, flux_err = (value.to_value(_FLUX) for value in _flux(model, energies))
    sigma = getattr(shape, "sigma", None)
    return {
        "name": model.name,
        "lon": lon % 360,
        "lat": lat,
        "lon_err": lon_err,
        "lat_err": lat_err,
        "r68": _R68 * np.sqrt((lon_err**2 + lat_err**2) / 2),
        "ts": facts["ts"],
        "sqrt_ts": facts["sqrt_ts"],
        "significance": facts["significance"],
        "flux": flux,
        "flux_err": flux_err,
        "sigma": np.nan if sigma is None else sigma.quantity.to_value("deg"),
        "sigma_err": np.nan if sigma is None else (sigma.error * sigma.unit).to_value("deg"),
        "ts_ext": facts["ts_ext"],
        "flag": "; ".join(facts["flags"]),
    }


def _flux(model: SkyModel, energies: u.Quantity) -> tuple[u.Quantity, u.Quantity]:
    # A fit that did not converge may leave any index.
    with np.errstate(all="ignore"):
        value, error, *_ = model.spectral_model.integral_error(*energies)
    return value, error
