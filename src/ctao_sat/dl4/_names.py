"""Names and axes of datasets, where the caller leaves them open."""

from collections.abc import Iterable

from gammapy.data import Observations
from gammapy.maps import MapAxis

from ctao_sat.errors import ConfigError

__all__ = ["dataset_names", "default_true_axis"]


def dataset_names(observations: Observations, wanted: Iterable[str] | None) -> list[str]:
    """Return dataset names: those wanted, or the observation IDs, numbered where one recurs."""
    if wanted is not None:
        given = list(wanted)
        if len(set(given)) != len(given) or len(given) != len(observations):
            raise ConfigError(
                f"There are {len(set(given))} names for {len(observations)} observations.",
                remedy="Give each observation a name of its own.",
            )
        return given
    ids = [str(observation.obs_id) for observation in observations]
    seen: dict[str, int] = {}
    numbered = []
    for obs_id in ids:
        seen[obs_id] = seen.get(obs_id, 0) + 1
        numbered.append(obs_id if seen[obs_id] == 1 else f"{obs_id}-{seen[obs_id]}")
    return numbered


def default_true_axis(energy_axis: MapAxis) -> MapAxis:
    low, high = energy_axis.bounds
    return MapAxis.from_energy_bounds(
        low / 5, high * 5, nbin=20, per_decade=True, name="energy_true"
    )
