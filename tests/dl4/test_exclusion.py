"""Exclusion masks, and sources by name."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom, WcsNDMap
from regions import CircleSkyRegion, Regions

from ctao_sat import dl4
from ctao_sat.errors import (
    ConfigError,
    FileFormatError,
    MissingDataError,
    SourceNotFoundError,
)

CENTER = SkyCoord(83.633, 22.014, unit="deg")
CIRCLE = CircleSkyRegion(CENTER.directional_offset_by(90 * u.deg, 1 * u.deg), 0.4 * u.deg)


def test_mask_excludes_the_area_of_the_circle():
    mask = dl4.exclusion_mask([CIRCLE], CENTER)
    excluded = mask.geom.solid_angle()[~mask.data].sum()
    assert excluded.to_value("deg2") == pytest.approx(np.pi * 0.4**2, rel=0.01)
    assert not mask.get_by_coord(CIRCLE.center)[0]
    assert mask.get_by_coord(CENTER)[0]


def test_nothing_to_exclude():
    assert dl4.exclusion_mask([], CENTER) is None


def test_region_file_equals_regions(tmp_path):
    path = tmp_path / "sources.reg"
    Regions([CIRCLE]).write(path, format="ds9")
    mask = dl4.exclusion_mask(path, CENTER)
    assert np.array_equal(mask.data, dl4.exclusion_mask([CIRCLE], CENTER).data)


def test_mask_file_comes_back(tmp_path):
    geom = WcsGeom.create(skydir=CENTER, width=2, binsz=0.1)
    mask = ~geom.region_mask([CIRCLE])
    mask.write(tmp_path / "mask.fits")
    assert np.array_equal(dl4.exclusion_mask(tmp_path / "mask.fits", CENTER).data, mask.data)
    assert dl4.exclusion_mask(mask, CENTER) is mask


def test_missing_file(tmp_path):
    with pytest.raises(MissingDataError, match="no exclusion file"):
        dl4.exclusion_mask(tmp_path / "none.reg", CENTER)


@pytest.mark.parametrize("name", ["garbage.reg", "garbage.fits"])
def test_garbage_file(tmp_path, name):
    (tmp_path / name).write_text("no regions here\n")
    with pytest.raises(FileFormatError, match="neither a mask nor sky regions"):
        dl4.exclusion_mask(tmp_path / name, CENTER)


def test_unknown_catalogue():
    with pytest.raises(ConfigError, match="Did you mean 'gamma-cat'"):
        dl4.catalog_regions(["gammacat"], CENTER, 3 * u.deg)


def test_catalogues_need_the_data(monkeypatch):
    monkeypatch.delenv("GAMMAPY_DATA", raising=False)
    with pytest.raises(MissingDataError, match="GAMMAPY_DATA is not set"):
        dl4.catalog_regions(["gamma-cat"], CENTER, 3 * u.deg)


def test_catalogue_is_not_in_the_data(monkeypatch, tmp_path):
    monkeypatch.setenv("GAMMAPY_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="is not in GAMMAPY_DATA"):
        dl4.catalog_regions(["gamma-cat"], CENTER, 3 * u.deg)


@pytest.mark.realdata
@pytest.mark.usefixtures("gammapy_data")
class TestCatalogues:
    """What Gammapy's catalogues say."""

    @pytest.mark.parametrize(
        ("name", "ra", "dec"),
        [("Crab", 83.63, 22.01), ("crab NEBULA", 83.63, 22.01), ("PKS 2155-304", 329.72, -30.22)],
    )
    def test_positions_by_name(self, name, ra, dec):
        position = dl4.find_source(name)
        assert position.separation(SkyCoord(ra, dec, unit="deg")) < 0.05 * u.deg

    def test_unknown_name_names_the_nearest(self):
        with pytest.raises(SourceNotFoundError, match="Did you mean 'Crab nebula'"):
            dl4.find_source("Crab nebla")

    def test_regions_around_the_crab(self):
        regions = dl4.catalog_regions(["gamma-cat"], CENTER, 3 * u.deg)
        nearest = min(region.center.separation(CENTER) for region in regions)
        assert nearest < 0.05 * u.deg
        assert all(region.center.separation(CENTER) < 3 * u.deg for region in regions)

    def test_extended_sources_get_larger_circles(self):
        vela = SkyCoord(133.0, -46.4, unit="deg")
        regions = dl4.catalog_regions(["gamma-cat"], vela, 1 * u.deg, margin=0.2 * u.deg)
        # Vela Junior is a shell of one degree radius.
        assert max(region.radius for region in regions) > 0.9 * u.deg

    @pytest.mark.parametrize("catalog", ["hgps", "3hwc", "2hwc", "3fhl", "gamma-cat"])
    def test_every_catalogue_there_is(self, catalog):
        center = SkyCoord(18, 0, unit="deg", frame="galactic")
        regions = dl4.catalog_regions([catalog], center, 8 * u.deg)
        assert len(regions) > 3
        assert all(0.1 < region.radius.to_value("deg") < 5 for region in regions)
        assert isinstance(dl4.exclusion_mask(regions, center), WcsNDMap)
