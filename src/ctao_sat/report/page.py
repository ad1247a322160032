"""One self-contained HTML page from products that are ready to be shown."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from astropy.table import Table

from ctao_sat.errors import ConfigError, FileFormatError, MissingDataError, did_you_mean
from ctao_sat.report.tables import columns
from ctao_sat.report.terms import DataTerms

__all__ = ["Section", "render"]

STATUS = {
    "detection": "Detection",
    "no detection": "No detection",
    "not converged": "Not converged",
    "partial": "Partial result",
}
PNG = b"\x89PNG\r\n\x1a\n"
# Plots have 150 dots per inch, and pages 96.
SCREEN = 96 / 150


@dataclass(frozen=True)
class Section:
    """A titled part of the page.

    Parameters
    ----------
    title : str
        Its heading.
    text : str, optional
        Plain text; empty lines separate paragraphs.
    table : Table, optional
        A table; see `ctao_sat.report.tables.columns` for how it is shown.
    figure : Path, optional
        A PNG image, which becomes a part of the page.
    caption : str, optional
        What the figure or the table shows.
    """

    title: str
    text: str = ""
    table: Table | None = None
    figure: Path | None = None
    caption: str = ""


def render(
    *,
    title: str,
    status: str,
    statements: Sequence[str],
    cards: Sequence[tuple[str, object]],
    sections: Sequence[Section],
    terms: Sequence[DataTerms],
    provenance: Mapping,
) -> str:
    """Return a report as one HTML page that loads nothing.

    Parameters
    ----------
    title : str
        The heading.
    status : str
        ``"detection"``, ``"no detection"``, ``"not converged"`` or ``"partial"``.
    statements : sequence of str
        The findings in plain language, a sentence or two each.
    cards : sequence of (str, object)
        The numbers to see first: label and value.
    sections : sequence of Section
        The parts, in their order.
    terms : sequence of DataTerms
        Of the data used. One that forbids publication puts a banner on top of the page.
    provenance : mapping
        Nested mappings, sequences and values; shown folded.

    Returns
    -------
    page : str
        HTML; write it as UTF-8.

    Raises
    ------
    ConfigError
        If the status is none of these.
    MissingDataError
        If a figure is not there.
    FileFormatError
        If a figure is not a PNG image.

    Examples
    --------
    >>> from ctao_sat.report import render
    >>> page = render(
    ...     title="Crab <run>", status="detection", statements=["A source is detected."],
    ...     cards=[("Significance", "41 σ")], sections=[], terms=[], provenance={},
    ... )
    >>> "<h1>Crab &lt;run&gt;</h1>" in page
    True
    """
    if status not in STATUS:
        raise ConfigError(f"Unknown status '{status}'.", remedy=did_you_mean(status, STATUS))
    return _template().render(
        title=title,
        status=STATUS[status],
        status_class=status.replace(" ", "-"),
        statements=list(statements),
        cards=[(label, str(value)) for label, value in cards],
        sections=[_prepared(section) for section in sections],
        terms=list(terms),
        forbidden=[each.name for each in terms if not each.publishable],
        provenance=_plain(provenance),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = resources.files("ctao_sat.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(text)


def _prepared(section: Section) -> dict:
    paragraphs = [" ".join(part.split()) for part in section.text.split("\n\n")]
    table = None if section.table is None else columns(section.table)
    return {
        "title": section.title,
        "paragraphs": [paragraph for paragraph in paragraphs if paragraph],
        "columns": table,
        "rows": list(zip(*(column.cells for column in table), strict=True)) if table else [],
        "image": None if section.figure is None else _image(Path(section.figure)),
        "caption": section.caption,
    }


def _image(path: Path) -> dict:
    """Return a PNG image as a data URI, and its width on the page."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingDataError(
            f"Cannot read the figure: {error.strerror}.",
            remedy="Write it with plotting.save before the report.",
            where=str(path),
        ) from error
    if not content.startswith(PNG) or len(content) < 24:
        raise FileFormatError(
            "A figure of a report has to be a PNG image.",
            remedy="Write it with plotting.save.",
            where=str(path),
        )
    (width,) = struct.unpack(">I", content[16:20])
    encoded = base64.b64encode(content).decode("ascii")
    return {"uri": f"data:image/png;base64,{encoded}", "width": round(width * SCREEN)}


def _plain(value):
    """Return nested provenance made of dict, list and str only, for the template."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return "–" if value is None else str(value)
