"""Command that tests events for pulses."""

from pathlib import Path
from typing import Any

import click

from ctao_sat.cli._common import common_options, json_option, progress_wanted, show_json

__all__ = ["test"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat pulsar test phased --position '83.633 deg, 22.014 deg' --radius '0.15 deg'\n"
    "  ctao-sat pulsar test phased --energy-max '0.1 TeV' --z2 2 --z2 10 --json\n"
    "  ctao-sat pulsar test phased --on 0.983,1.026 --on 0.377,0.422 --off 0.52,0.87\n\n"
    "Events need phases: ctao-sat pulsar phase. P-values are those of one test: a search over\n"
    "energies, radii or regions makes them too small."
)
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--position", help="Of the pulsar, as '83.633 deg, 22.014 deg'.")
@click.option("--radius", help="Largest angle to the position.")
@click.option("--energy-min", help="Lowest energy.")
@click.option("--energy-max", help="Highest energy, not included.")
@click.option(
    "--on", multiple=True, metavar="START,STOP", help="Phases with the pulse; repeatable."
)
@click.option("--off", multiple=True, metavar="START,STOP", help="Phases without; repeatable.")
@click.option(
    "--harmonics", default=20, show_default=True, metavar="M", help="Largest number of the H test."
)
@click.option("--z2", multiple=True, type=int, metavar="M", help="Z² of M harmonics; repeatable.")
@click.option("--obs-id", "obs_ids", type=int, multiple=True, help="Take this run; repeatable.")
@click.option("--phase-column", default="PHASE", show_default=True, help="Where the phases are.")
@json_option("Print JSON.")
@common_options
def test(paths, as_json, quiet, on, off, harmonics, z2, phase_column, **selection):
    """Test events with phases for pulses: H, Z² and, with --on and --off, Li & Ma.

    All observations are taken together.
    """
    regions = _regions(on, off)
    observations = _selected(paths, quiet, **selection)
    phases = _phases(observations, phase_column)
    content = {
        "n_observations": len(observations),
        "n_events": len(phases),
        **_tests(phases, harmonics, z2 or (2,), regions),
    }
    if as_json:
        show_json(content)
    elif not quiet:
        _show(content)


def _regions(on: tuple[str, ...], off: tuple[str, ...]) -> Any:
    """Return phase regions, or None if there are none."""
    from ctao_sat.errors import ConfigError
    from ctao_sat.pulsar import PhaseRegions

    if not on and not off:
        return None
    if not (on and off):
        raise ConfigError("--on and --off go together.", remedy="Give both, or none.")
    return PhaseRegions(on=tuple(_intervals(on)), off=tuple(_intervals(off)))


def _intervals(texts: tuple[str, ...]) -> list[tuple[float, float]]:
    from ctao_sat.errors import ConfigError

    intervals = []
    for text in texts:
        try:
            start, stop = map(float, text.split(","))
        except ValueError as error:
            raise ConfigError(
                f"'{text}' is no interval of phase.", remedy="Write START,STOP, such as 0.98,1.03."
            ) from error
        intervals.append((start, stop))
    return intervals


def _selected(paths, quiet, position, radius, energy_min, energy_max, obs_ids) -> Any:
    """Return the observations, with the events that are wanted."""
    from ctao_sat import config, dl3, pulsar
    from ctao_sat.errors import SelectionError

    progress = progress_wanted(quiet)
    stores = dl3.open_event_types(paths, progress=progress)
    found = dl3.read_event_types(stores, required_irf="none", progress=progress)
    observations = [one for one in found.values() if not obs_ids or int(one.obs_id) in obs_ids]
    missing = sorted(set(obs_ids) - {int(one.obs_id) for one in observations})
    if missing:
        ids = sorted({int(one.obs_id) for one in found.values()})
        raise SelectionError(
            f"There is no observation {missing[0]}.",
            remedy=f"There are: {', '.join(map(str, ids[:10]))}{' …' if len(ids) > 10 else ''}",
        )
    return pulsar.select_events(
        observations,
        config.parse_position(position) if position else None,
        _quantity(radius, "deg"),
        energy_range=(_quantity(energy_min, "TeV"), _quantity(energy_max, "TeV")),
    )


def _quantity(text: str | None, unit: str) -> Any:
    import astropy.units as u

    from ctao_sat.errors import ConfigError

    if text is None:
        return None
    try:
        return u.Quantity(text).to(unit)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"'{text}' cannot be given in {unit}.",
            remedy=f"Write a number with a unit: '0.1 {unit}'.",
        ) from error


def _phases(observations: Any, column: str) -> Any:
    import numpy as np

    from ctao_sat.pulsar import event_phases

    return np.concatenate([event_phases(one, column) for one in observations])


def _tests(phases: Any, harmonics: int, z2: tuple[int, ...], regions: Any) -> dict[str, Any]:
    """Return the results of all tests."""
    from ctao_sat import pulsar

    def values(found: Any) -> dict[str, float]:
        return found._asdict() | {"significance": found.significance}

    content: dict[str, Any] = {
        "h": values(pulsar.h_test(phases, max_harmonics=harmonics)) | {"max_harmonics": harmonics},
        "z2": [values(pulsar.z2_test(phases, m)) | {"n_harmonics": m} for m in z2],
    }
    if regions is not None:
        counts = regions.statistic(phases)
        content["regions"] = {
            "on": regions.on,
            "off": regions.off,
            "alpha": regions.alpha,
            "n_on": int(counts.n_on),
            "n_off": int(counts.n_off),
            "excess": float(counts.n_sig),
            "excess_error": float(counts.error),
            "significance": float(counts.sqrt_ts),
        }
    return content


def _show(content: dict[str, Any]) -> None:
    plural = "" if content["n_observations"] == 1 else "s"
    click.echo(f"{content['n_events']} events of {content['n_observations']} observation{plural}")
    named = [(f"H, up to {content['h']['max_harmonics']} harmonics", content["h"])]
    named += [(f"Z² of {one['n_harmonics']} harmonics", one) for one in content["z2"]]
    for name, one in named:
        # A smaller p-value is no number of 64 bits.
        worth = "p < 1e-300   above 37 sigma"
        if one["p_value"] > 1e-300:
            worth = f"p = {one['p_value']:.3g}   {one['significance']:.2f} sigma"
        click.echo(f"{name:<28} {one['statistic']:10.4f}   {worth}")
    if "regions" in content:
        one = content["regions"]
        click.echo(
            f"{'Li & Ma':<28} {one['n_on']} on, {one['n_off']} off, alpha {one['alpha']:.4f}: "
            f"excess {one['excess']:.1f} ± {one['excess_error']:.1f}"
            f"   {one['significance']:.3f} sigma"
        )
