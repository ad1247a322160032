"""Command that shows the performance of instrument response functions."""

from pathlib import Path
from typing import Any

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    out_option,
    overwrite_option,
    show_json,
    show_table,
    table_rows,
)

__all__ = ["irf"]

# More cannot be told apart in a plot.
MOST = 12
DEMOS = {"demo-north": "north", "demo-south": "south"}


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat irf demo-north demo-south              the demonstration arrays, compared\n"
    "  ctao-sat irf Prod5-South-20deg.fits.gz --offset '2 deg' --livetime '5 h'\n"
    "  ctao-sat irf dl3 --obs-id 20282 -o run-20282    one run; writes run-20282.ecsv and .png"
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--offset", help="Angle to the axis.  [default: 0.5 deg, or that of the tables]")
@click.option("--livetime", default="50 h", show_default=True, help="Of the sensitivity.")
@click.option("--energy-min", help="Show no bin that is centred below.")
@click.option("--energy-max", help="Show no bin that is centred above.")
@click.option("--event-type", help="Show one event type.  [default: each]")
@click.option("--obs-id", "obs_ids", type=int, multiple=True, help="Show this run; repeatable.")
@click.option(
    "--hdu",
    "hdus",
    multiple=True,
    metavar="KIND=NAME",
    help="Which HDU, where a file has several of a kind: aeff='EFFECTIVE AREA'; repeatable.",
)
@out_option("Write the table to OUT.ecsv, and a plot to OUT.png.")
@json_option("Print JSON.")
@overwrite_option
@common_options
def irf(paths, offset, livetime, out, as_json, overwrite, quiet, **choice):
    """Show effective area, resolutions, background and sensitivity of IRFs, per bin of energy.

    PATH is a file with IRFs, a DL3 folder, or one of demo-north and demo-south; several are
    compared. Sensitivity: 5 sigma, 10 gammas, 1/20 of the background, five bins a decade.
    """
    files = _new_files(out, overwrite)
    sets = _distinct([one for path in paths for one in _sets(path, choice)])
    tables = [_tables(one, offset, livetime, choice) for one in sets]
    terms = _terms(sets)
    if files:
        _write(tables, terms, *files)
    if as_json:
        show_json({"irfs": [_content(*both) for both in tables], "terms": terms})
    elif not quiet:
        _show(tables, terms, files)


def _new_files(out: Path | None, overwrite: bool) -> tuple[Path, ...]:
    from ctao_sat.errors import OutputError

    if out is None:
        return ()
    stem = out.with_suffix("") if out.suffix in (".ecsv", ".png") else out
    files = tuple(stem.with_name(f"{stem.name}{suffix}") for suffix in (".ecsv", ".png"))
    for path in files:
        if path.is_dir() or (path.exists() and not overwrite):
            raise OutputError(
                f"'{path}' is there already.",
                remedy="Choose another name with -o, or replace it with --overwrite.",
            )
    return files


def _sets(path: str, choice: dict[str, Any]) -> list:
    from ctao_sat import dl3, simulate
    from ctao_sat.errors import ConfigError

    hdus = dict(item.partition("=")[::2] for item in choice["hdus"])
    if not all(hdus.values()):
        raise ConfigError(
            f"'{choice['hdus'][0]}' names no HDU.",
            remedy="Write --hdu KIND=NAME, such as aeff=AEFF.",
        )
    if path in DEMOS:
        return [dl3.irf_set(simulate.demo_array(DEMOS[path]))]
    return dl3.read_irfs(
        path,
        event_type=choice["event_type"],
        obs_ids=choice["obs_ids"] or None,
        hdus=hdus,
    )


def _distinct(sets: list) -> list:
    """Return sets with labels that differ."""
    from dataclasses import replace

    from ctao_sat.errors import SelectionError

    if len(sets) > MOST:
        raise SelectionError(
            f"There are {len(sets)} sets of IRFs, and at most {MOST} can be compared.",
            remedy="Choose runs with --obs-id, or give single files.",
        )
    labels = [one.label for one in sets]
    return [
        replace(one, label=f"{one.label} ({one.source})") if labels.count(one.label) > 1 else one
        for one in sets
    ]


def _tables(one: Any, offset, livetime, choice: dict[str, Any]) -> tuple:
    """Return performance and, where the responses allow it, sensitivity."""
    from ctao_sat import dl3, dl5
    from ctao_sat.errors import MissingHDUError

    performance = dl3.irf_performance(one, offset)
    try:
        sensitivity = dl5.sensitivity(one, livetime, offset)
    except MissingHDUError as error:
        performance.meta["notes"].append(f"sensitivity: {error}")
        sensitivity = None
    kept = _kept(performance, choice)
    return performance[kept], None if sensitivity is None else sensitivity[kept]


def _kept(table: Any, choice: dict[str, Any]) -> Any:
    import astropy.units as u
    import numpy as np

    from ctao_sat.errors import ConfigError, SelectionError

    kept = np.ones(len(table), dtype=bool)
    for name, sign in (("energy_min", 1), ("energy_max", -1)):
        if choice[name] is None:
            continue
        try:
            kept &= sign * (table["e_ref"] - u.Quantity(choice[name], "TeV")) >= 0 * u.TeV
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"'{choice[name]}' is no energy.", remedy="For example: '0.1 TeV'."
            ) from error
    if not kept.any():
        low, high = table["e_ref"][[0, -1]].value
        raise SelectionError(
            "No bin of energy is left.", remedy=f"The IRFs go from {low:.3g} to {high:.3g} TeV."
        )
    return kept


def _terms(sets: list) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from ctao_sat.report import data_terms

    return [asdict(terms) for terms in data_terms(one.header for one in sets)]


def _statements(terms: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['name']}: {one['acknowledgement']} Licence: {one['licence']}"
        + ("" if one["publishable"] else " Not for publication.")
        for one in terms
    ]


def _joined(performance: Any, sensitivity: Any) -> Any:
    table = performance.copy()
    if sensitivity is not None:
        for name in ("e2dnde", "excess", "background", "criterion"):
            table[name] = sensitivity[name]
            table[name].info.format = sensitivity[name].info.format
    return table


def _content(performance: Any, sensitivity: Any) -> dict[str, Any]:
    import astropy.units as u

    table = _joined(performance, sensitivity)
    meta = {
        name: {"value": value.value, "unit": str(value.unit)}
        if isinstance(value, u.Quantity)
        else value
        for name, value in performance.meta.items()
    }
    units = {name: str(table[name].unit or "") for name in table.colnames if name != "criterion"}
    for name in units:
        table[name] = u.Quantity(table[name]).value
    return meta | {"units": units, "rows": table_rows(table)}


def _show(tables: list[tuple], terms: list[dict[str, Any]], files: tuple[Path, ...]) -> None:
    for performance, sensitivity in tables:
        table = _joined(performance, sensitivity)
        table.remove_columns(["e_min", "e_max"])
        meta = performance.meta
        click.echo(f"{meta['label']}, offset {meta['offset']:.3g}")
        show_table(table)
        rate = meta["background_rate_fov"]
        if rate > 0 * rate.unit:
            click.echo(f"Background over the field of view: {rate.to_value('s-1'):.4g} Hz")
        for note in meta["notes"]:
            click.echo(f"- {note}")
        click.echo()
    for statement in _statements(terms):
        click.echo(statement)
    for path in files:
        click.echo(f"Wrote {path}")


def _write(tables: list[tuple], terms: list[dict[str, Any]], data: Path, image: Path) -> None:
    """Write all tables as one, and a plot of them."""
    from astropy.table import vstack

    from ctao_sat import plotting
    from ctao_sat.result import staged_file, versions, write_table

    joined = []
    for performance, sensitivity in tables:
        table = _joined(performance, sensitivity)
        table.add_column([table.meta["label"]] * len(table), name="irfs", index=0)
        joined.append(table)
    whole = vstack(joined, metadata_conflicts="silent")
    whole.meta.clear()
    whole.meta.update(irfs=[dict(table.meta) for table in joined], terms=terms, versions=versions())
    axes = plotting.plot_irf_performance(
        [performance for performance, _ in tables],
        [sensitivity for _, sensitivity in tables if sensitivity is not None],
        note="\n".join(_statements(terms)),
    )
    data.parent.mkdir(parents=True, exist_ok=True)
    with staged_file(image) as temporary:
        plotting.save(axes, temporary)
    write_table(whole, data)
