"""A small image, and a page made of everything a page can hold."""

import struct
import zlib

import pytest
from astropy import units as u
from astropy.table import Table

from ctao_sat.report import Section, data_terms, render


@pytest.fixture
def image(tmp_path):
    """Return the path of a grey PNG image of 300 by 10 pixels, made without matplotlib."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 300, 10, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * 300) * 10)
    path = tmp_path / "plot.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


@pytest.fixture
def content(image):
    """Return arguments of a full page."""
    table = Table({"name": ["a"], "flux": [4.39e-11] / u.cm**2 / u.s, "flux_err": [2.2e-12]})
    return {
        "title": "Crab: spectrum",
        "status": "detection",
        "statements": ["A source is detected.", "Its spectrum curves."],
        "cards": [("Significance", "41 σ"), ("Runs", 4)],
        "sections": [
            Section("Fit", "One.\n\nTwo\nlines.", table, caption="Errors are 1 σ."),
            Section("Plot", figure=image, caption="A plot."),
        ],
        "terms": data_terms([{"TELESCOP": "HESS"}, {"ORIGIN": "CTAO-SAT-DEMO"}]),
        "provenance": {
            "versions": {"gammapy": "2.1"},
            "inputs": [{"path": "a.fits"}],
            "url": None,
        },
    }


@pytest.fixture
def page(content):
    """Return the full page."""
    return render(**content)
