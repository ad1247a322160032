"""Write the data and the configuration of the demonstration."""

import importlib.resources
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import LogParabolaSpectralModel, Models, PointSpatialModel, SkyModel

from ctao_sat import simulate
from ctao_sat.errors import OutputError
from ctao_sat.result import check_free

__all__ = ["crab_like_model", "write_demo"]

_N_RUNS = 4
_LIVETIME = 15 * u.min


def crab_like_model() -> SkyModel:
    """Return a point source as bright as the Crab Nebula.

    The spectrum is the log-parabola of Aleksić et al. 2015 (JHEAp 5, 30), rounded; its curvature
    there is per decade, here per e-fold.

    Returns
    -------
    model : `~gammapy.modeling.models.SkyModel`
        Named "Crab-like".

    Examples
    --------
    >>> from ctao_sat.recipes import crab_like_model
    >>> crab_like_model().spectral_model.alpha.value
    2.47
    """
    return SkyModel(
        spectral_model=LogParabolaSpectralModel(
            amplitude="3.23e-11 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.47, beta=0.104
        ),
        spatial_model=PointSpatialModel(lon_0="83.633 deg", lat_0="22.014 deg", frame="icrs"),
        name="Crab-like",
    )


def write_demo(
    path: Path,
    *,
    site: str = "north",
    seed: int = 42,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Simulate wobble observations of a Crab-like source with the demonstration array.

    Parameters
    ----------
    path : Path
        Folder to write; the data go to ``dl3/``, the configuration to ``demo.yaml``.
    site : {"north", "south"}
        Which demonstration array. It is not CTAO's.
    seed : int
        Seed of the events.
    n_jobs : int
        Number of workers.
    overwrite : bool
        Replace the data of an earlier demonstration.
    progress : bool
        Show a progress bar.
    report : callable, optional
        Called with the name of the step.

    Returns
    -------
    config : Path
        The configuration, ready for `ctao_sat.run`.

    Raises
    ------
    OutputError
        If the folder holds something already.
    """
    path = Path(path)
    check_free(path / "run", overwrite)
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"The folder '{path}' is there already.",
            remedy="Choose another name with --out, or replace it with --overwrite.",
        )
    if report is not None:
        report(f"Simulate {_N_RUNS} observations with the demonstration array")
    source = crab_like_model()
    target = SkyCoord(83.633, 22.014, unit="deg")
    simulate.observations(
        Models([source]),
        simulate.wobble_pointings(target, offset=0.5 * u.deg, n=_N_RUNS),
        _LIVETIME,
        f"demo-{site}",
        np.random.default_rng(seed),
        path=path / "dl3",
        n_jobs=n_jobs,
        overwrite=overwrite,
        progress=progress,
    )
    text = importlib.resources.files("ctao_sat.recipes").joinpath("demo.yaml")
    config = path / "demo.yaml"
    config.write_text(text.read_text(encoding="utf-8"), encoding="utf-8")
    return config
