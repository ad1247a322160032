"""The page: complete, escaped, loading nothing, the same each time."""

import base64
import copy
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from astropy.table import Table

from ctao_sat.errors import ConfigError, FileFormatError, MissingDataError
from ctao_sat.report import DataTerms, Section, render

VOID = {"meta", "img", "br", "hr", "link", "input"}
NASTY = "<script>alert('x')</script> & \"quoted\" <img src=http://example.org/x.png>"


class Reader(HTMLParser):
    """Collect elements, with their text, and insist on balanced tags."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.loads = [], [], []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": ""}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                self.loads.append(value)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, css=None):
        """Return the elements of a tag, and of a class."""
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and (css is None or css in (element["attrs"].get("class") or "").split())
        ]

    def texts(self, tag, css=None):
        return [" ".join(element["text"].split()) for element in self.all(tag, css)]


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def test_everything_is_on_the_page(page):
    reader = read(page)
    assert reader.texts("h1") == ["Crab: spectrum"]
    assert reader.texts("title") == ["Crab: spectrum: Detection"]
    assert reader.texts("span", "badge") == ["Detection"]
    assert reader.texts("li")[:2] == ["A source is detected.", "Its spectrum curves."]
    (cards,) = reader.texts("dl", "cards")
    assert cards == "Significance41 σ Runs4"
    assert reader.texts("h2") == ["Fit", "Plot", "Data and their terms", "Provenance"]
    paragraphs = reader.texts("p")
    assert {"One.", "Two lines.", "Errors are 1 σ."} <= set(paragraphs)
    assert reader.texts("figcaption") == ["A plot."]
    name, flux = reader.texts("th")
    assert name == "name"
    assert sorted(flux.removeprefix("flux").split()) == ["cm⁻²", "s⁻¹"]
    assert reader.texts("td") == ["a", "(4.39 ± 0.22) × 10⁻¹¹"]


def test_provenance_is_folded_and_nested(page):
    reader = read(page)
    (folded,) = reader.all("details")
    assert "open" not in folded["attrs"]
    assert re.sub(r"\s+", "", folded["text"]).endswith("versionsgammapy2.1inputspatha.fitsurl–")
    assert reader.texts("dt")[-4:] == ["gammapy", "inputs", "path", "url"]


def test_figure_is_part_of_the_page_at_its_size_on_screen(page, image):
    (element,) = read(page).all("img")
    kind, encoded = element["attrs"]["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded) == image.read_bytes()
    assert element["attrs"]["width"] == "192"
    assert element["attrs"]["alt"] == "A plot."


def test_page_loads_nothing(page):
    reader = read(page)
    assert reader.loads
    assert all(load.startswith("data:") for load in reader.loads)
    assert not reader.all("script")
    assert not reader.all("link")
    assert "@import" not in page
    assert "url(" not in page
    (policy,) = [meta for meta in reader.all("meta") if "http-equiv" in meta["attrs"]]
    assert policy["attrs"]["content"].startswith("default-src 'none'")


def test_page_is_made_for_small_screens_and_for_paper(page):
    reader = read(page)
    names = [meta["attrs"].get("name") for meta in reader.all("meta")]
    assert "viewport" in names
    assert "@media print" in page
    assert "@media (max-width" in page


@pytest.mark.parametrize(
    "part", ["title", "statements", "cards", "section", "table", "terms", "provenance"]
)
def test_markup_shows_as_text(content, part):
    table = Table({NASTY: [NASTY]})
    terms = DataTerms(NASTY, NASTY, NASTY, False)
    nasty = {
        "title": NASTY,
        "statements": [NASTY],
        "cards": [(NASTY, NASTY)],
        "terms": [terms],
        "provenance": {NASTY: {NASTY: [NASTY]}},
    }
    if part == "section":
        section = content["sections"][1]
        content["sections"] = [replace(section, title=NASTY, text=NASTY, caption=NASTY)]
    elif part == "table":
        content["sections"] = [Section("Table", table=table)]
    else:
        content[part] = nasty[part]
    page = render(**content)
    reader = read(page)
    assert not reader.all("script")
    assert all(load.startswith("data:") for load in reader.loads)
    # The first element is the root: its text is all text.
    assert NASTY in reader.elements[0]["text"]


def test_same_input_same_page(content):
    assert render(**content) == render(**copy.deepcopy(content))


def test_input_is_left_as_it_was(content):
    before = content["sections"][0].table.copy()
    render(**content)
    after = content["sections"][0].table
    assert after.colnames == before.colnames
    assert (after["flux"] == before["flux"]).all()


@pytest.mark.parametrize(
    ("status", "badge"),
    [
        ("detection", "Detection"),
        ("no detection", "No detection"),
        ("not converged", "Not converged"),
        ("partial", "Partial result"),
    ],
)
def test_status(content, status, badge):
    reader = read(render(**content | {"status": status}))
    (element,) = reader.all("span", "badge")
    assert element["text"] == badge
    assert status.replace(" ", "-") in element["attrs"]["class"]


def test_unknown_status_is_refused(content):
    with pytest.raises(ConfigError, match="Did you mean 'detection'"):
        render(**content | {"status": "detected"})


def test_banner_only_where_a_term_forbids_publication(content):
    (banner,) = read(render(**content)).texts("div", "banner")
    assert banner.startswith("Not for publication.")
    assert "H.E.S.S." in banner
    assert "Demonstration" not in banner
    allowed = [each for each in content["terms"] if each.publishable]
    assert not read(render(**content | {"terms": allowed})).all("div", "banner")


def test_terms_are_printed_each(content):
    texts = read(render(**content)).texts("div", "terms")
    assert len(texts) == 2
    for text, term in zip(texts, content["terms"], strict=True):
        assert term.name in text
        assert term.acknowledgement in text
        assert term.licence in text
        assert ("Not for publication." in text) == (not term.publishable)


def test_empty_page(content):
    nothing = {"statements": [], "cards": [], "sections": [], "terms": [], "provenance": {}}
    reader = read(render(**content | nothing))
    assert reader.texts("h2") == []
    assert not reader.all("details")


def test_empty_table_has_its_header_only(content):
    table = Table({"energy": [1.0], "name": ["x"]})[:0]
    reader = read(render(**content | {"sections": [Section("Nothing", table=table)]}))
    assert reader.texts("th") == ["energy", "name"]
    assert not reader.all("td")


def test_missing_and_wrong_figures(content, tmp_path):
    absent = [Section("Plot", figure=tmp_path / "absent.png")]
    with pytest.raises(MissingDataError, match=r"absent\.png"):
        render(**content | {"sections": absent})
    (tmp_path / "plot.jpg").write_bytes(b"\xff\xd8\xff" * 20)
    with pytest.raises(FileFormatError, match=r"plot\.jpg"):
        render(**content | {"sections": [Section("Plot", figure=tmp_path / "plot.jpg")]})
    (tmp_path / "short.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(FileFormatError):
        render(**content | {"sections": [Section("Plot", figure=tmp_path / "short.png")]})


def test_size_of_a_long_report(content):
    # 7 plots of a few hundred kB, and 200 rows of ten columns: below 5 MB.
    rows = Table({f"column{k}": [1.23456e-11 * (k + 1)] * 200 for k in range(10)})
    sections = [*content["sections"], Section("Runs", table=rows)]
    assert len(render(**content | {"sections": sections}).encode()) < 200_000
