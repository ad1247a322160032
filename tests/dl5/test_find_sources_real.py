"""The search for sources in H.E.S.S. runs, against published positions."""

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset
from gammapy.makers import MapDatasetMaker, SafeMaskMaker
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import FoVBackgroundModel

from ctao_sat import dl3, dl5

pytestmark = pytest.mark.realdata
# Systematic error of a H.E.S.S. position (H.E.S.S. Collaboration 2006, A&A 457, 899: 20 arcsec).
POINTING = 20 * u.arcsec


@pytest.fixture
def datasets(gammapy_data):
    store = dl3.open_dl3(gammapy_data / "hess-dl3-dr1")
    crab = SkyCoord(83.633, 22.014, unit="deg")
    energy = MapAxis.from_energy_bounds("0.8 TeV", "20 TeV", nbin=3)
    geom = WcsGeom.create(skydir=crab, binsz=0.03, npix=61, axes=[energy])
    true = MapAxis.from_energy_bounds("0.5 TeV", "30 TeV", nbin=8, name="energy_true")
    stacked = MapDataset.create(geom, energy_axis_true=true, name="crab")
    maker = MapDatasetMaker()
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=2 * u.deg)
    for observation in dl3.read_observations(store, [23523, 23526]):
        empty = stacked.copy(name=str(observation.obs_id))
        stacked.stack(safe.run(maker.run(empty, observation), observation))
    stacked.models = [FoVBackgroundModel(dataset_name="crab")]
    return Datasets([stacked])


def test_crab_alone_is_found(datasets):
    found = dl5.find_sources(datasets)
    assert found.models.names[0].startswith("J0534+22")
    # Of the pulsar wind nebula (H.E.S.S. Collaboration 2020, Nature Astronomy 4, 167).
    nebula = SkyCoord(83.62875, 22.01236, unit="deg")
    separation = found.models[0].spatial_model.position.separation(nebula)
    assert separation < 3.3 * (found.table["r68"][0] ** 2 + POINTING**2) ** 0.5
    assert len(found.models) == 1
