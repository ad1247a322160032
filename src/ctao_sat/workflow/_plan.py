"""What a run would analyse, and roughly how long it would take."""

from dataclasses import dataclass
from typing import Any

from astropy.table import Table

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """The outcome of a dry run.

    Attributes
    ----------
    observations : `~astropy.table.Table`
        One row an observation and event type.
    cuts : `~astropy.table.Table`
        How many observations pass each criterion.
    seconds : float
        Estimated duration, extrapolated from one observation; good to a factor of about three.
    megabytes : float
        Estimated memory of what is made of the events.
    """

    observations: Table
    cuts: Table
    seconds: float
    megabytes: float

    def sentence(self) -> str:
        """Return the estimate in words."""
        # Event types of the same observation share its livetime.
        livetimes = dict(self.observations["obs_id", "livetime"].iterrows())
        livetime = float(sum(livetimes.values())) / 60
        time = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        return (
            f"{len(livetimes)} observations, {livetime:.2f} h of livetime. "
            f"Extrapolated from the first one: about {time} (good to a factor of three), "
            f"{self.megabytes:.1f} MB of memory."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain Python objects, ready for JSON."""
        return {
            "observations": _rows(self.observations),
            "cuts": _rows(self.cuts),
            "estimated_seconds": self.seconds,
            "estimated_megabytes": self.megabytes,
        }


def _rows(table: Table) -> list[dict[str, Any]]:
    return [{name: row[name].item() for name in table.colnames} for row in table]
