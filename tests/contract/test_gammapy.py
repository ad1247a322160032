"""What ``_gammapy`` holds behaves as assumed, and is the only door to Gammapy's private side."""

import ast
import inspect
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.catalog import CATALOG_REGISTRY, SourceCatalog
from gammapy.data import GTI, EventList, FixedPointingInfo, Observation, Observations
from gammapy.maps import MapAxis, WcsNDMap
from gammapy.modeling.models import (
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)
from regions import CircleSkyRegion

import ctao_sat
from ctao_sat import _gammapy
from ctao_sat._gammapy import (
    ThetaSquaredTable,
    compound_region_to_regions,
    get_random_state,
    reference_spectrum,
    source_names,
)

SOURCES = Path(ctao_sat.__file__).parent
TARGET = SkyCoord(83.63, 22.0, unit="deg")
POINTING = TARGET.directional_offset_by(0 * u.deg, 0.5 * u.deg)
OPPOSITE = TARGET.directional_offset_by(0 * u.deg, 1.0 * u.deg)
EDGES = [0, 0.01, 0.04] * u.deg**2
COUNTS_ON = np.array([30, 9])
COUNTS_OFF = np.array([4, 6])


def observation(obs_id: int = 1) -> Observation:
    """Return ten minutes with the counts above, at 2 TeV, and one event far away at 20 TeV."""
    theta = [0.05, 0.15] * u.deg
    on = TARGET.directional_offset_by(90 * u.deg, np.repeat(theta, COUNTS_ON))
    off = OPPOSITE.directional_offset_by(90 * u.deg, np.repeat(theta, COUNTS_OFF))
    far = TARGET.directional_offset_by(90 * u.deg, [1.0] * u.deg)
    table = Table()
    table["RA"] = np.concatenate([c.ra.deg for c in (on, off, far)]) * u.deg
    table["DEC"] = np.concatenate([c.dec.deg for c in (on, off, far)]) * u.deg
    table["ENERGY"] = np.append(np.full(len(table) - 1, 2.0), 20.0) * u.TeV
    start = Time("2030-01-01", scale="tt")
    table["TIME"] = start + np.linspace(1, 599, len(table)) * u.s
    gti = GTI.create(0 * u.s, 600 * u.s, reference_time=start)
    return Observation(
        obs_id=obs_id,
        gti=gti,
        events=EventList(table),
        pointing=FixedPointingInfo(fixed_icrs=POINTING),
    )


def theta_squared(observations=None, **kwargs) -> Table:
    axis = MapAxis.from_edges(EDGES, name="theta_squared")
    if observations is None:
        observations = Observations([observation()])
    return ThetaSquaredTable(observations, axis, TARGET, **kwargs).run()


def test_all_is_what_is_tested():
    # What likelihoods, fits and maps need is tested in `test_gammapy_likelihood`,
    # `test_gammapy_fit` and `test_gammapy_maps`.
    assert _gammapy.__all__ == [
        "CUTOUT_MARGIN",
        "MAX_OVERSAMPLING",
        "FoVICRSFrame",
        "ThetaSquaredTable",
        "bound_datasets",
        "compound_region_to_regions",
        "current_evaluator",
        "fit_task",
        "fresh_copy",
        "get_random_state",
        "interpolation_scale",
        "new_evaluator",
        "penalties",
        "penalty_precision",
        "plain_stat_sum",
        "psf_kernel_sizes",
        "reference_spectrum",
        "register_fit_tasks",
        "renew_evaluators",
        "rotating_field_of_view",
        "set_covariance",
        "share_state",
        "source_names",
        "unique_models",
        "with_evaluators",
    ]


def test_reference_spectrum_of_a_template_is_its_mean_over_the_sky_times_its_norm():
    energy = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", nbin=12, name="energy_true")
    template = WcsNDMap.create(npix=3, binsz=0.1, axes=[energy], unit="cm-2 s-1 TeV-1 sr-1")
    template.data += energy.center.to_value("TeV")[:, None, None] ** -2.5
    shape = TemplateSpatialModel(template, normalize=False)
    model = SkyModel(PowerLawNormSpectralModel(norm=2), shape, name="template")
    spectrum = reference_spectrum(model, [1, 10] * u.TeV)
    area = template.geom.to_image().solid_angle().sum()
    expected = 2 * area.to_value("sr") * 3**-2.5
    assert spectrum(3 * u.TeV).to_value("cm-2 s-1 TeV-1") == pytest.approx(expected, rel=1e-3)


def test_reference_spectrum_of_any_other_model_is_its_own():
    model = SkyModel(PowerLawSpectralModel(), name="point")
    assert reference_spectrum(model, [1, 10] * u.TeV) is model.spectral_model


def test_theta_squared_signature():
    parameters = inspect.signature(ThetaSquaredTable).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults == {
        "observations": inspect.Parameter.empty,
        "theta_squared_axis": inspect.Parameter.empty,
        "position": inspect.Parameter.empty,
        "position_off": None,
        "energy_edges": None,
        "off_regions_number": 1,
    }


def test_theta_squared_counts():
    table = theta_squared()
    assert np.all(table["theta2_min"].quantity == EDGES[:-1])
    assert np.all(table["theta2_max"].quantity == EDGES[1:])
    np.testing.assert_array_equal(table["counts"], COUNTS_ON)
    np.testing.assert_array_equal(table["counts_off"], COUNTS_OFF)
    np.testing.assert_array_equal(table["acceptance"], [1, 1])
    np.testing.assert_array_equal(table["acceptance_off"], [1, 1])
    np.testing.assert_array_equal(table["alpha"], [1, 1])
    np.testing.assert_array_equal(table["excess"], COUNTS_ON - COUNTS_OFF)


def test_theta_squared_significance_is_li_and_ma():
    """Li & Ma (1983), equation 17, with alpha = 1."""
    on, off = COUNTS_ON, COUNTS_OFF
    total = on + off
    expected = np.sqrt(2 * (on * np.log(2 * on / total) + off * np.log(2 * off / total)))
    np.testing.assert_allclose(theta_squared()["sqrt_ts"], expected, rtol=1e-10)


def test_theta_squared_errors_bracket_the_excess():
    table = theta_squared()
    assert np.all(table["excess_errn"] > 0)
    assert np.all(table["excess_errp"] > table["excess_errn"])


def test_theta_squared_sums_over_observations():
    table = theta_squared(Observations([observation(1), observation(2)]))
    np.testing.assert_array_equal(table["counts"], 2 * COUNTS_ON)
    np.testing.assert_array_equal(table["acceptance_off"], [2, 2])
    np.testing.assert_allclose(table["alpha"], [1, 1], rtol=1e-12)


def test_theta_squared_energy_edges():
    np.testing.assert_array_equal(theta_squared(energy_edges=[3, 30] * u.TeV)["counts"], [0, 0])
    np.testing.assert_array_equal(theta_squared(energy_edges=[1, 3] * u.TeV)["counts"], COUNTS_ON)


def test_theta_squared_off_regions():
    table = theta_squared(off_regions_number=3)
    np.testing.assert_array_equal(table["acceptance_off"], [3, 3])
    np.testing.assert_allclose(table["alpha"], [1 / 3, 1 / 3], rtol=1e-12)
    np.testing.assert_array_equal(table["counts_off"], COUNTS_OFF)


def test_theta_squared_refuses_a_source_at_the_pointing():
    axis = MapAxis.from_edges(EDGES, name="theta_squared")
    maker = ThetaSquaredTable(Observations([observation()]), axis, POINTING)
    with pytest.raises(ValueError, match="larger than its separation"):
        maker.run()


class Catalog(SourceCatalog):
    """Two sources, of which the first has aliases in two columns."""

    tag = "test"
    description = "test"

    def __init__(self):
        table = Table()
        table["name"] = ["J0534+220 ", "J0835-455"]
        table["others"] = ["Crab, M 1", ""]
        table["number"] = [17, 18]
        super().__init__(table, "name", ("others", "number"))


def test_source_names():
    assert source_names(Catalog(), 0) == ["J0534+220", "Crab", "M 1", "17"]
    assert source_names(Catalog(), 1) == ["J0835-455", "18"]


def test_source_names_are_those_that_gammapy_finds():
    catalog = Catalog()
    for row in range(2):
        assert catalog.source_name(row) == source_names(catalog, row)[0]
        assert {catalog.row_index(name) for name in source_names(catalog, row)} == {row}


@pytest.mark.realdata
def test_source_names_of_a_catalogue():
    catalog = CATALOG_REGISTRY.get_cls("gamma-cat")()
    assert "Crab nebula" in source_names(catalog, catalog.row_index("Crab nebula"))


def circle(lon: float) -> CircleSkyRegion:
    return CircleSkyRegion(SkyCoord(lon, 0, unit="deg"), 0.1 * u.deg)


def test_compound_region_to_regions():
    assert list(inspect.signature(compound_region_to_regions).parameters) == ["region"]
    circles = [circle(lon) for lon in (1, 2, 3)]
    found = compound_region_to_regions((circles[0] | circles[1]) | circles[2])
    assert list(found) == circles
    assert list(compound_region_to_regions(circles[0])) == circles[:1]


def test_get_random_state():
    assert list(inspect.signature(get_random_state).parameters) == ["init"]
    first, second = get_random_state(5), get_random_state(5)
    assert isinstance(first, np.random.RandomState)
    assert first.uniform() == second.uniform()
    assert get_random_state(first) is first


def test_compound_region_to_regions_refuses_an_intersection():
    with pytest.raises(ValueError, match="Only union"):
        compound_region_to_regions(circle(1) & circle(2))


# Public in spite of their underscore: the methods of named tuples.
PUBLIC_UNDERSCORE = {"_asdict", "_fields", "_make", "_replace"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC_UNDERSCORE


def root_of(node: ast.expr) -> str:
    """Return the first name of a dotted expression, or nothing."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def bound_names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Return the names that the imports of a file bind to Gammapy, and to our own package."""
    gammapys, own = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            origins = [(node.module or "", alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            origins = [(a.name, a.asname or a.name.split(".")[0]) for a in node.names]
        else:
            continue
        for origin, name in origins:
            package = origin.split(".")[0]
            if package == "gammapy":
                gammapys.add(name)
            elif package == "ctao_sat":
                own.add(name)
    return gammapys, own


def forbidden_imports(node: ast.AST) -> list[str]:
    """Return the imports of private modules and names of Gammapy, and of its utilities."""
    if isinstance(node, ast.Import):
        dotted = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        dotted = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    parts = {name: name.split(".") for name in dotted}
    return [
        name
        for name, part in parts.items()
        if part[0] == "gammapy" and ("utils" in part[1:2] or any(map(is_private, part)))
    ]


def own_members(tree: ast.AST) -> set[str]:
    """Return the names of the methods and fields that the classes of a file define."""
    body = [item for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body]
    methods = {item.name for item in body if isinstance(item, ast.FunctionDef)}
    return methods | {ast.unparse(item.target) for item in body if isinstance(item, ast.AnnAssign)}


def private_uses(source: str) -> list[str]:
    """Return what a file takes from Gammapy's private side, or changes in Gammapy.

    An attribute with an underscore counts unless it is of ``self``, ``cls`` or our own modules, or
    a class of the file defines it: which class an object has cannot be told from the source.
    """
    tree = ast.parse(source)
    gammapys, own = bound_names(tree)
    members = own_members(tree)
    trusted = {"self", "cls", *own}
    found = []
    for node in ast.walk(tree):
        found += forbidden_imports(node)
        if isinstance(node, ast.Attribute):
            root = root_of(node)
            if is_private(node.attr) and root not in trusted and node.attr not in members:
                found.append(ast.unparse(node))
            elif root == "gammapy" and ast.unparse(node) == "gammapy.utils":
                found.append("gammapy.utils")
            elif isinstance(node.ctx, ast.Store | ast.Del) and root in gammapys:
                found.append(f"{ast.unparse(node)} = ...")
        if isinstance(node, ast.Call) and root_of(node.func) in {"getattr", "setattr", "delattr"}:
            target, name = node.args[:2]
            private = isinstance(name, ast.Constant) and is_private(name.value)
            changed = root_of(node.func) != "getattr" and root_of(target) in gammapys
            if private or changed:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import gammapy.utils.fits",
        "from gammapy import utils",
        "from gammapy.utils.scripts import make_path",
        "from gammapy.data import _private",
        "from gammapy._private import name",
        "import gammapy\ngammapy.utils.fits",
        "dataset._geom",
        "run()._geom",
        "getattr(dataset, '_geom')",
        "from gammapy.data import DataStore\nDataStore.from_dir = None",
        "from gammapy.data import DataStore\nsetattr(DataStore, name, None)",
        "import gammapy.data\ngammapy.data.DataStore.from_dir = None",
    ],
)
def test_scan_finds(source):
    assert private_uses(source)


@pytest.mark.parametrize(
    "source",
    [
        "from gammapy.makers.utils import make_edisp_map",
        "from gammapy.data import DataStore\nstore = DataStore.from_dir('.')\nstore.name = None",
        "class A:\n    def b(self):\n        return self._c",
        "class A:\n    def _b(self): ...\nA()._b()",
        "from ctao_sat.dl3 import _open\n_open._first_line",
        "point._replace(x=1)",
        "x.__class__.__name__",
    ],
)
def test_scan_lets_pass(source):
    assert private_uses(source) == []


@pytest.mark.parametrize(
    "path",
    sorted(path for path in SOURCES.rglob("*.py") if path != SOURCES / "_gammapy.py"),
    ids=lambda path: path.relative_to(SOURCES).as_posix(),
)
def test_gammapys_private_side_is_reached_through_one_door(path):
    assert private_uses(path.read_text(encoding="utf-8")) == []
