"""Configuration of the documentation; it is built without network access."""

import io
import runpy
import tempfile
from contextlib import chdir, redirect_stdout
from importlib.metadata import version as installed_version
from pathlib import Path

project = "ctao_sat"
author = "The ctao_sat developers"
copyright = author
version = release = installed_version("ctao-sat")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
]
exclude_patterns = ["_build", "_figures", "changes"]
# A single pair of backquotes names an object, as in the docstrings.
default_role = "py:obj"
highlight_language = "none"

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "ctao"
html_title = "ctao_sat"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "ctao_sat"},
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
}
# Pages without pages below them have nothing to show there.
html_sidebars = {
    page: []
    for page in (
        "benchmarks",
        "changes",
        "command-line",
        "data-levels",
        "fast-fits",
        "first-minutes",
        "index",
        "install",
        "irf-performance",
        "light-curves",
        "likelihood",
        "pulsar-errors",
        "pulsar-phases",
        "pulsar-statistics",
        "pulsars",
        "recipe-pulsar",
        "recipe-spectrum-1d",
        "reduction-maps",
        "simulation",
        "sky-maps",
        "spectral-kernels",
        "toys-and-limits",
        "temporal-models",
        "ts-maps",
        "tutorial-vela",
    )
}


# Examples whose images their pages show.
FIGURES = {
    "irf_performance.py": ["irf-performance.png"],
    "temporal_models.py": ["temporal-models.png", "temporal-gti.png"],
    "reduce_maps.py": ["reduction-maps.png"],
    "ts_map.py": ["ts-map.png"],
    "light_curves.py": ["light-curve.png"],
    "flux_points.py": ["flux-points.png"],
    "pulsar.py": ["pulsar-profile.png", "pulsar-phaseogram.png"],
    "toys.py": ["toys-profile.png", "toys-contours.png", "toys-pulls.png", "toys-coverage.png"],
    "sky_maps.py": [
        "sky-significance.png",
        "sky-residuals.png",
        "sky-distribution.png",
        "sky-profile.png",
    ],
}


def make_figures(app):
    """Run the examples whose images their pages show."""
    here = Path(app.srcdir)
    (here / "_figures").mkdir(exist_ok=True)
    for example, names in FIGURES.items():
        # What it prints is for readers who run it.
        with tempfile.TemporaryDirectory() as folder, chdir(folder), redirect_stdout(io.StringIO()):
            runpy.run_path(str(here / "examples" / example))
            for name in names:
                (here / "_figures" / name).write_bytes(Path(name).read_bytes())


def setup(app):
    """Make the figures before the pages are read."""
    app.connect("builder-inited", make_figures)
