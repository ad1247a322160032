"""Images of plots on disk."""

import io
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from ctao_sat.errors import OutputError

__all__ = ["save"]

DPI = 150


def save(figure_or_axes, path) -> Path:
    """Write a figure as a PNG image of 150 dots per inch.

    The same figure gives the same bytes: the image carries neither a date nor a version.

    Parameters
    ----------
    figure_or_axes : Figure, Axes or sequence of Axes
        What to write; of axes, the whole figure they are part of.
    path : str or Path
        Where to; the folder has to exist.

    Returns
    -------
    path : Path
        The file written.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> from ctao_sat.plotting import save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(save(Figure(), f"{folder}/empty.png").name)
    empty.png
    """
    figure = _figure(figure_or_axes)
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=DPI,
        bbox_inches="tight",
        pad_inches=0.08,
        facecolor=figure.get_facecolor(),
        metadata={"Software": None},
    )
    path = Path(path)
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise OutputError(
            f"Cannot write the plot: {error.strerror}.",
            remedy="Choose a folder that exists and that you may write to.",
            where=str(path),
        ) from error
    return path


def _figure(figure_or_axes) -> Figure:
    first = figure_or_axes
    while isinstance(first, Iterable):
        first = next(iter(first))
    return first if isinstance(first, Figure) else first.get_figure(root=True)
