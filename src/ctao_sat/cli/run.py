"""Commands that configure and run recipes."""

import json
from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    new_text_file,
    overwrite_option,
    parallel_options,
    progress_wanted,
    show_table,
    step_reporter,
)

__all__ = ["demo", "init", "run", "validate"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat demo\n"
    "  ctao-sat demo --site south --seed 7 --out south-demo"
)
@click.option("--site", type=click.Choice(["north", "south"]), default="north", show_default=True)
@click.option("--seed", default=42, show_default=True, help="Seed of the simulation.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("ctao-sat-demo"),
    show_default=True,
    help="Folder for data and run.",
)
@parallel_options
@overwrite_option
@common_options
def demo(site, seed, out, n_jobs, backend, overwrite, quiet):
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
    _print_run(done, quiet)
    if not quiet:
        click.echo("\nFitted parameters, and the simulated truth:")
        show_table(done.tables["parameters"])
    return done.exit_code


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat init --source Crab -o crab.yaml\n"
    "  ctao-sat init --source 'My source' --position '83.63 deg, 22.01 deg' --data dl3/ -o my.yaml"
)
@click.option("--recipe", default="spectrum-1d", show_default=True, help="Which recipe.")
@click.option("--source", required=True, help="Name of the source.")
@click.option(
    "--position",
    help="Such as '83.63 deg, 22.01 deg'. Default: from Gammapy's catalogues, by name.",
)
@click.option(
    "--data", default="$GAMMAPY_DATA/hess-dl3-dr1", show_default=True, help="Folder of the data."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@overwrite_option
@common_options
def init(recipe, source, position, data, out, overwrite, quiet):
    """Write a commented configuration for a recipe."""
    from ctao_sat import recipes

    text = recipes.configuration_text(recipe, name=source, position=position, data=data)
    new_text_file(out, text, overwrite)
    if not quiet:
        click.echo(f"Wrote {out}. Next: ctao-sat run {out} --dry-run")


@click.command(epilog="Example:\n\n\b\n  ctao-sat validate crab.yaml")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the complete configuration as JSON.")
@common_options
def validate(config, as_json, quiet):
    """Check a configuration without touching any data."""
    from ctao_sat import recipes

    checked = recipes.read_config(config)
    if as_json:
        click.echo(json.dumps(checked.model_dump(mode="json"), indent=2))
    elif not quiet:
        click.echo(f"{config} is a valid configuration of {checked.recipe}.")


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat run crab.yaml --dry-run\n"
    "  ctao-sat run crab.yaml -j 4 --out crab-run"
)
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder. Default: beside the working directory, named like the configuration.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be analysed, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@parallel_options
@overwrite_option
@common_options
def run(config, out, dry_run, as_json, n_jobs, backend, overwrite, quiet):
    """Run the recipe of a configuration, and write a run folder."""
    from ctao_sat import recipes

    checked = recipes.read_config(config)
    if dry_run:
        _print_plan(recipes.plan(checked, n_jobs=n_jobs), as_json)
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
    if as_json:
        click.echo((done.path / "summary.json").read_text(encoding="utf-8"))
    else:
        _print_run(done, quiet)
    return done.exit_code


def _print_run(done, quiet: bool) -> None:
    if quiet:
        return
    click.echo()
    for statement in done.statements:
        click.echo(f"- {statement}")
    click.echo(f"\nRun folder: {done.path}\nReport:     {done.path / 'report.html'}")


def _print_plan(plan, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(plan.to_dict(), indent=2))
        return
    click.echo("Selection:")
    show_table(plan.cuts)
    click.echo("\nObservations:")
    show_table(plan.observations)
    click.echo(f"\n{plan.sentence()}")
