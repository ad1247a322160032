"""Command that simulates observations."""

from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    out_option,
    overwrite_option,
    parallel_options,
    progress_wanted,
    show_json,
    table_rows,
)

__all__ = ["simulate"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat simulate --models crab.yaml --livetime '30 min' -o dl3\n"
    "  ctao-sat simulate --models crab.yaml --irfs Prod5-South-20deg.fits.gz --seed 3 -o dl3\n"
    "  ctao-sat simulate --models plane.yaml --pattern survey --target '0 deg, 0 deg, galactic'\n"
    "      --width '6 deg' --height '2 deg' --spacing '1.5 deg' -o survey\n"
    "  ctao-sat simulate --models crab.yaml --dialect ctao-gadf --metadata product.yaml -o dl3"
)
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Gammapy model YAML. Default: background alone.",
)
@click.option(
    "--irfs",
    default="demo-north",
    show_default=True,
    help="GADF file, 'demo-north' or 'demo-south'.",
)
@click.option("--target", help="Such as '83.63 deg, 22.01 deg'. Default: that of the first model.")
@click.option(
    "--pattern",
    type=click.Choice(["wobble", "survey"]),
    default="wobble",
    show_default=True,
    help="Pointings around the target, or in a grid over a field.",
)
@click.option("--n-runs", default=4, show_default=True, help="Wobble: number of pointings.")
@click.option("--offset", default="0.5 deg", show_default=True, help="Wobble: offset.")
@click.option("--width", default="4 deg", show_default=True, help="Survey: width.")
@click.option("--height", default="2 deg", show_default=True, help="Survey: height.")
@click.option(
    "--spacing", default="1 deg", show_default=True, help="Survey: distance of pointings."
)
@click.option("--livetime", default="30 min", show_default=True, help="Of each run.")
@click.option(
    "--deadtime-fraction", default=0.0, show_default=True, help="Part of the time that is dead."
)
@click.option(
    "--start", default="2028-01-01T00:00:00", show_default=True, help="Of the first run, UTC."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Same seed, same events.",
)
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
    help="Product metadata, as YAML: what the dialect 'ctao-gadf' asks for.",
)
@out_option("Folder to write.", required=True)
@json_option("Print the observations as JSON.")
@parallel_options
@overwrite_option
@common_options
def simulate(
    models, irfs, target, livetime, deadtime_fraction, start, seed, dialect, metadata, out, as_json,
    n_jobs, backend, overwrite, quiet, **pattern,
):  # fmt: skip
    """Simulate observations, and write event lists, responses and index tables."""
    import numpy as np

    import ctao_sat.pulsar
    import ctao_sat.transients  # noqa: F401  Gammapy then knows the temporal models of both.
    from ctao_sat import dl3
    from ctao_sat import simulate as sim
    from ctao_sat.config import read_models

    sky = read_models(models) if models is not None else None
    store = sim.observations(
        sky,
        _pointings(target, sky, pattern),
        livetime,
        irfs,
        np.random.default_rng(seed),
        path=out,
        deadtime_fraction=deadtime_fraction,
        start=start,
        n_jobs=n_jobs,
        backend=backend,
        overwrite=overwrite,
        dialect=dialect,
        metadata=metadata,
        progress=progress_wanted(quiet),
    )
    if as_json:
        show_json(table_rows(dl3.observation_index(store)))
    elif not quiet:
        click.echo(f"Wrote {len(store.obs_table)} observations to {out}. Next: ctao-sat info {out}")


def _pointings(target, models, pattern):
    from ctao_sat import simulate as sim
    from ctao_sat.config import parse_position
    from ctao_sat.errors import ConfigError

    if target is not None:
        center = parse_position(target)
    elif models and models[0].position is not None:
        center = models[0].position
    else:
        raise ConfigError(
            "There is neither a target nor a model with a position.", remedy="Give --target."
        )
    if pattern["pattern"] == "survey":
        return sim.survey_pointings(center, pattern["width"], pattern["height"], pattern["spacing"])
    return sim.wobble_pointings(center, offset=pattern["offset"], n=pattern["n_runs"])
