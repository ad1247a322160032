"""Commands about pulsars."""

from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    out_option,
    overwrite_option,
    progress_wanted,
    show_json,
)
from ctao_sat.cli.pulsar_tests import test

__all__ = ["pulsar"]


@click.group(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat pulsar phase dl3 --par crab.par -o phased   add the phase of each event\n"
    "  ctao-sat pulsar test phased                          are there pulses?"
)
def pulsar() -> None:
    """Work on pulsars."""


@pulsar.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat pulsar phase dl3 --par crab.par -o phased\n"
    "  ctao-sat pulsar phase run1.fits run2.fits --par vela.par --site south -o phased\n"
    "  ctao-sat pulsar phase dl3 --par msp.par --ephem de440s.bsp --json -o phased\n"
    "  ctao-sat pulsar phase 1dc --par vela.par --no-barycentre --replace-phases -o phased\n\n"
    "The input is never touched. The cards PH* of the new event lists say what the phases were "
    "made of, and how wrong they may be."
)
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--par", required=True, type=click.Path(path_type=Path), help="Par file of TEMPO2 or PINT."
)
@out_option("Folder to write to.", required=True)
@click.option(
    "--site",
    default="header",
    show_default=True,
    help="Where the telescopes stand: 'header', 'north', 'south', or longitude, latitude and "
    "height such as '16.5002 deg, -23.2718 deg, 1835 m'.",
)
@click.option(
    "--ephem",
    default="par",
    show_default=True,
    help="Solar-system ephemeris: 'par' for that of the par file, 'builtin', a name, or a file.",
)
@click.option("--no-barycentre", is_flag=True, help="Take times for those at the barycentre.")
@click.option("--online", is_flag=True, help="Permit the download of the ephemeris.")
@click.option(
    "--max-phase-error",
    default=0.005,
    show_default=True,
    help="Largest permitted error of phases, in turns.",
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "native", "pint"]),
    default="auto",
    show_default=True,
    help="PINT computes orbits, and what else the native code does not know.",
)
@click.option("--extrapolate", is_flag=True, help="Permit times outside of START and FINISH.")
@click.option("--time-offset", default="0 s", show_default=True, help="Added to all times.")
@click.option("--pulse-numbers", is_flag=True, help="Add the column PULSE_N.")
@click.option("--orbit", is_flag=True, help="Add the column ORBPHASE, for the orbit of a binary.")
@click.option("--replace-phases", is_flag=True, help="Replace phases that events have already.")
@click.option(
    "--dialect",
    type=click.Choice(["gadf", "ctao-gadf"]),
    default="gadf",
    show_default=True,
    help="Of the files.",
)
@click.option(
    "--metadata",
    type=click.Path(path_type=Path),
    help="YAML file with product metadata, for ctao-gadf.",
)
@click.option("--rounding", is_flag=True, help="Permit to round columns, for ctao-gadf.")
@json_option("Print what the phases were made of as JSON.")
@overwrite_option
@common_options
def phase(paths, par, out, as_json, overwrite, quiet, dialect, metadata, rounding, **options):
    """Add the phases of a pulsar to event lists, and write them as new DL3 files."""
    from ctao_sat import dl3

    progress = progress_wanted(quiet)
    stores = dl3.open_event_types(paths, progress=progress)
    observations = dl3.read_event_types(stores, required_irf="none", progress=progress)
    phased = _phased(list(observations.values()), par, progress=progress, **options)
    form = {"dialect": dialect, "metadata": metadata, "rounding": rounding}
    path = dl3.write(phased, out, **form, overwrite=overwrite, progress=progress)
    rows = [_row(observation) for observation in phased]
    if as_json:
        show_json({"path": str(path), "observations": rows})
    elif not quiet:
        total = sum(row["events"] for row in rows)
        worst = max(row["PHERR"] for row in rows)
        click.echo(
            f"Wrote {total} events of {len(rows)} observations with phases to '{path}'; the phases "
            f"may be wrong by {worst:.2g} turns."
        )


def _phased(observations, par, *, ephem, no_barycentre, online, orbit, replace_phases, **options):
    """Return observations with phases."""
    from ctao_sat.pulsar import Orbit, PulsarEphemeris, assign_phases

    ephemeris = PulsarEphemeris.read(par)
    return assign_phases(
        observations,
        ephemeris,
        solar_ephem=ephem,
        barycentre=not no_barycentre,
        offline=not online,
        orbit=Orbit.from_ephemeris(ephemeris) if orbit else None,
        overwrite=replace_phases,
        **options,
    )


def _row(observation):
    """Return what is said of an observation."""
    table = observation.events.table
    cards = {key: value for key, value in table.meta.items() if key.startswith(("PH", "ORB"))}
    return {"obs_id": observation.obs_id, "events": len(table), **cards}


pulsar.add_command(test)
