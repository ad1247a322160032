"""Commands that configure and run recipes."""

import os
from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    new_text_file,
    out_option,
    overwrite_option,
    parallel_options,
    progress_wanted,
    show_json,
    show_table,
    step_reporter,
)

__all__ = ["demo", "init", "run", "validate"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat demo\n"
    "  ctao-sat demo --site south --seed 7 --out south-demo"
)
@click.option(
    "--site",
    type=click.Choice(["north", "south"]),
    default="north",
    show_default=True,
    help="Which demonstration array.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=42,
    show_default=True,
    help="Seed of the simulation; the same seed gives the same events.",
)
@out_option("Folder for data and run.", default=Path("ctao-sat-demo"), show_default=True)
@json_option("Print the findings as JSON.")
@parallel_options
@overwrite_option
@common_options
def demo(site, seed, out, as_json, n_jobs, backend, overwrite, quiet):
    """Simulate a Crab-like source, analyse it, and compare with the truth; no download.

    The events come from a built-in demonstration array: its responses are not CTAO's IRFs.
    """
    from ctao_sat import recipes

    report, progress = step_reporter(quiet), progress_wanted(quiet)
    config = recipes.write_demo(
        out,
        site=site,
        seed=seed,
        n_jobs=n_jobs,
        overwrite=overwrite,
        progress=progress,
        report=report,
    )
    done = recipes.run(
        config,
        out=out / "run",
        overwrite=overwrite,
        n_jobs=n_jobs,
        backend=backend,
        progress=progress,
        report=report,
    )
    _print_run(done, quiet, as_json)
    if not quiet and not as_json:
        click.echo("\nFitted parameters, and the simulated truth:")
        show_table(done.tables["parameters"])
    return done.exit_code


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat init --source Crab -o crab.yaml\n"
    "  ctao-sat init --source 'Mine' --position '83.63 deg, 22.01 deg' --data dl3/ -o my.yaml\n"
    "  ctao-sat init --recipe pulsar --source Vela --position '128.84 deg, -45.18 deg' -o vela.yaml"
)
@click.option("--recipe", default="spectrum-1d", show_default=True, help="Which kind of analysis.")
@click.option("--source", required=True, help="Name of the source.")
@click.option(
    "--position",
    help="Such as '83.63 deg, 22.01 deg'. Default: from Gammapy's catalogues, by name.",
)
@click.option(
    "--data",
    default="$GAMMAPY_DATA/hess-dl3-dr1",
    show_default=True,
    help="Folder with the DL3 files and their index tables.",
)
@out_option("File to write.", required=True)
@overwrite_option
@common_options
def init(recipe, source, position, data, out, overwrite, quiet):
    """Write a commented configuration for a recipe."""
    from ctao_sat import recipes

    if not data.startswith(("$", "~")) and not os.path.isabs(data):
        # Given from here, but read from where the file is.
        data = os.path.relpath(data, out.parent)
    text = recipes.configuration_text(recipe, name=source, position=position, data=data)
    new_text_file(out, text, overwrite)
    if not quiet:
        click.echo(f"Wrote {out}. Next: ctao-sat run {out} --dry-run")


@click.command(epilog="Example:\n\n\b\n  ctao-sat validate crab.yaml")
@click.argument("config", type=click.Path(path_type=Path))
@json_option("Print the complete configuration, defaults included, as JSON.")
@common_options
def validate(config, as_json, quiet):
    """Check a configuration without touching any data."""
    from ctao_sat import recipes

    checked = recipes.read_config(config)
    if as_json:
        show_json(checked.model_dump(mode="json"))
    elif not quiet:
        click.echo(f"{config} is a valid configuration of {checked.recipe}.")


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat run crab.yaml --dry-run\n"
    "  ctao-sat run crab.yaml -j 4 --out crab-run"
)
@click.argument("config", type=click.Path(path_type=Path))
@out_option("Run folder. Default: CONFIG-run, in the present folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be analysed, and write nothing.")
@json_option("Print the findings, or the plan of a dry run, as JSON.")
@parallel_options
@overwrite_option
@common_options
def run(config, out, dry_run, as_json, n_jobs, backend, overwrite, quiet):
    """Run the recipe of a configuration, and write a run folder."""
    from ctao_sat import recipes

    checked = recipes.read_config(config)
    if dry_run:
        _print_plan(recipes.plan(checked, n_jobs=n_jobs), quiet, as_json)
        return 0
    done = recipes.run(
        checked,
        out=out or Path(f"{config.stem}-run"),
        overwrite=overwrite,
        n_jobs=n_jobs,
        backend=backend,
        progress=progress_wanted(quiet),
        report=step_reporter(quiet),
    )
    _print_run(done, quiet, as_json)
    return done.exit_code


def _print_run(done, quiet: bool, as_json: bool) -> None:
    if as_json:
        show_json({**done.summary, "statements": done.statements, "path": done.path})
    if quiet or as_json:
        return
    click.echo()
    for statement in done.statements:
        click.echo(f"- {statement}")
    click.echo(f"\nRun folder: {done.path}\nReport:     {done.path / 'report.html'}")


def _print_plan(plan, quiet: bool, as_json: bool) -> None:
    if as_json:
        show_json(plan.to_dict())
    if quiet or as_json:
        return
    click.echo("Selection:")
    show_table(plan.cuts)
    click.echo("\nObservations:")
    show_table(plan.observations)
    click.echo(f"\n{plan.sentence()}")
