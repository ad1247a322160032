"""The PINT backend: delays and phases of what the native backend does not know, such as orbits."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.coordinates import EarthLocation, solar_system_ephemeris
from astropy.time import Time

from ctao_sat.dl3._sites import bundled_earth_rotation
from ctao_sat.errors import ConfigError, EphemerisError
from ctao_sat.pulsar._keys import of_radio_or_fit
from ctao_sat.pulsar._native import arrival_tdb
from ctao_sat.pulsar._solution import TimingSolution

__all__ = ["PintDelays", "pint_delays", "pint_installed"]

# What the native code computes in two floats, where PINT's 80-bit times round at 0.3 ns.
_OWN_PHASES = ("Spindown", "Glitch", "AbsPhase")


@dataclass(frozen=True)
class PintDelays:
    """Delays as PINT computes them; with the methods of `Barycentre`.

    ``location`` is None for the barycentre; ``frequency`` is in MHz.
    """

    location: EarthLocation | None
    model: Any
    kernel: str
    planets: bool
    frequency: float = np.inf

    def tdb(self, time: Time) -> Time:
        """Return times in TDB, with the terms that depend on the place."""
        return arrival_tdb(time, self.location)

    def delay(self, tdb: Time) -> np.ndarray:
        """Return by how many seconds arrivals are later than emission."""
        with _quiet_pint():
            return np.asarray(self.model.delay(self._toas(tdb)).to_value("s"), dtype=float)

    def phase(self, tdb: Time, delay: np.ndarray) -> np.ndarray:
        """Return what components other than spin and glitches add to the phase, in turns."""
        parts = [
            part
            for name, component in self.model.components.items()
            if name not in _OWN_PHASES
            for part in getattr(component, "phase_funcs_component", [])
        ]
        total = np.zeros(len(tdb))
        if parts:
            with _quiet_pint():
                toas = self._toas(tdb)
                lag = np.asarray(delay) * self.model.delay(toas[:1]).unit
                for part in parts:
                    total += np.asarray(part(toas, lag).to_value(""), dtype=float)
        return total

    def _toas(self, tdb: Time) -> Any:
        import pint.toa
        from pint.observatory.topo_obs import TopoObs

        if self.location is None:
            site, times = "barycenter", tdb
        else:
            place = [float(value.to_value("m")) for value in self.location.geocentric]
            site = "ctao_sat " + " ".join(f"{value:.4f}" for value in place)
            TopoObs(site, itrf_xyz=place, apply_gps2utc=False, overwrite=True)
            times = tdb.utc
        return pint.toa.get_TOAs_array(
            Time(times.jd1, times.jd2, format="jd", scale=times.scale),
            site,
            freqs=self.frequency,
            ephem=self._ephem(),
            include_bipm=False,
            planets=self.planets,
        )

    def _ephem(self) -> str:
        """Return the name that PINT knows a kernel by; one from a file is made known first."""
        if self.kernel == "builtin":
            return self.kernel
        from pint import solar_system_ephemerides

        solar_system_ephemeris.set(self.kernel)
        solar_system_ephemerides.loaded_ephems[self.kernel.lower()] = self.kernel
        return self.kernel


def pint_installed() -> bool:
    """Return whether PINT can be imported; another package, of units, has the same name."""
    if importlib.util.find_spec("pint") is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.util.find_spec("pint.toa") is not None


def pint_delays(
    solution: TimingSolution, location: EarthLocation | None, kernel: str
) -> PintDelays:
    """Make a PINT model of a timing solution.

    Parameters
    ----------
    solution : TimingSolution
        The solution.
    location : `~astropy.coordinates.EarthLocation` or None
        Where times are taken; None for the barycentre.
    kernel : str
        Solar-system ephemeris, see `SolarSystem`.

    Returns
    -------
    delays : PintDelays
        What computes delays.

    Raises
    ------
    ConfigError
        If PINT is not installed.
    EphemerisError
        If PINT does not know a key, or cannot read the solution.
    """
    if not pint_installed():
        keys = ", ".join(dict.fromkeys(line.key for line in solution.unsupported))
        raise ConfigError(
            f"The ephemeris of {solution.name} needs PINT{f' for {keys}' if keys else ''}, which "
            "is not installed.",
            remedy="Install it: pip install 'ctao-sat[pulsar]'.",
        )
    return PintDelays(location, _model(solution), kernel, solution.planets)


def _model(solution: TimingSolution) -> Any:
    with _quiet_pint():
        from pint.exceptions import UnknownParameter
        from pint.models import get_model
        from pint.models.timing_model import AllComponents

        # What radio waves alone feel would be no delay, but may be an obstacle.
        kept = [line for line in solution.lines if not of_radio_or_fit(line)]
        text = "".join(f"{' '.join((line.key, *line.words))}\n" for line in kept)
        known = AllComponents()
        for line in solution.unsupported:
            try:
                # The values of BINARY are names of models, which PINT looks up itself.
                known.alias_to_pint_param(line.key if line.key != "BINARY" else "PB")
            except UnknownParameter:
                raise EphemerisError(
                    f"The key {line.key} of the par file is not known, to PINT neither.",
                    remedy="Correct or remove the line; what is not known is never ignored.",
                    where=f"line {line.line}",
                ) from None
        try:
            return get_model(io.StringIO(text))
        except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
            raise EphemerisError(
                f"PINT cannot read the ephemeris of {solution.name}: {error}",
                remedy="Correct the par file.",
            ) from error


@contextlib.contextmanager
def _quiet_pint() -> Iterator[None]:
    """Let PINT compute without network, messages, or a trace in astropy's state."""
    from loguru import logger

    logger.disable("pint")
    before = solar_system_ephemeris.get()
    try:
        with bundled_earth_rotation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        solar_system_ephemeris.set(before)
        logger.enable("pint")
