"""The background of a bin is the integral of the response as it is interpolated."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.data import GTI, DataStore, FixedPointingInfo, Observation
from gammapy.irf import load_irf_dict_from_file
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, WcsGeom

from ctao_sat import dl3, dl4, simulate
from ctao_sat.dl4._map_responses import background_map
from ctao_sat.dl4._pixels import map_pixels

CENTER = SkyCoord(83.63, 22.01, unit="deg")
PROD5 = "cta-caldb/Prod5-{}.180000s-v0.1.fits.gz"
RESPONSES = {
    "CTA-1DC": "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits",
    "Prod5 North": PROD5.format("North-20deg-AverageAz-4LSTs09MSTs"),
    "Prod5 South": PROD5.format("South-20deg-AverageAz-14MSTs37SSTs"),
    "H.E.S.S.": "hess-dl3-dr1/data/hess_dl3_dr1_obs_id_033787.fits.gz",
}
LOW, HIGH = 0.05, 20.0


def background(path, name):
    if name == "H.E.S.S.":
        return DataStore.from_dir(path / "hess-dl3-dr1").obs(33787).bkg
    return load_irf_dict_from_file(path / RESPONSES[name])["bkg"]


def observation(bkg) -> Observation:
    """Return an hour with a background and nothing else."""
    return Observation(
        gti=GTI.create(0 * u.h, 1 * u.h, reference_time=Time("2028-01-01")),
        bkg=bkg,
        pointing=FixedPointingInfo(fixed_icrs=CENTER),
    )


def geometry(n_bins, low=LOW, high=HIGH):
    axis = MapAxis.from_energy_bounds(low * u.TeV, high * u.TeV, nbin=n_bins)
    return WcsGeom.create(skydir=CENTER, binsz=0.5, width=2, axes=[axis])


def in_bins(bkg, n_bins, nodes):
    """Return the counts in each energy bin of a map."""
    geom = geometry(n_bins)
    return background_map(observation(bkg), geom, map_pixels(geom), nodes=nodes).data.sum((1, 2))


def by_gammapy(bkg, n_bins):
    made = MapDatasetMaker().make_background(geometry(n_bins), observation(bkg))
    return made.data.sum((1, 2))


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:'BKG'", "ignore::astropy.units.UnitsWarning")
@pytest.mark.parametrize("name", RESPONSES)
def test_real_responses(gammapy_data, name):
    wide = in_bins(background(gammapy_data, name), 10, nodes=True)
    # Gammapy's sums over narrow bins tend to it.
    narrow = by_gammapy(background(gammapy_data, name), 4000).reshape(10, -1).sum(axis=1)
    used = narrow > 1e-6 * narrow.max()
    assert used.sum() >= 7
    np.testing.assert_allclose(wide[used], narrow[used], rtol=2e-4)
    # In wide bins it is off by per cents.
    gammapy = by_gammapy(background(gammapy_data, name), 10)
    assert np.abs(gammapy[used] / narrow[used] - 1).max() > 0.03
    same = in_bins(background(gammapy_data, name), 10, nodes=False)
    np.testing.assert_allclose(same, gammapy, rtol=1e-9)


def test_bins_may_be_split(demo_dl3):
    store = dl3.open_dl3(demo_dl3)
    bkg = store.obs(store.obs_ids[0]).bkg
    wide, narrow = in_bins(bkg, 3, nodes=True), in_bins(bkg, 21, nodes=True)
    np.testing.assert_allclose(wide, narrow.reshape(3, 7).sum(axis=1), rtol=1e-12)
    edges = in_bins(bkg, 3, nodes=False)
    assert np.abs(edges / wide - 1).max() > 0.01


def test_bins_that_reach_beyond_the_response_hold_what_it_covers(demo_dl3):
    store = dl3.open_dl3(demo_dl3)
    bkg = store.obs(store.obs_ids[0]).bkg
    end = bkg.axes["energy"].edges[-1].to_value("TeV")

    def counts(high, nodes):
        geom = geometry(1, low=end / 2, high=high)
        return background_map(observation(bkg), geom, map_pixels(geom), nodes=nodes).data.sum()

    inside = counts(end, nodes=True)
    assert inside > 0
    assert counts(2 * end, nodes=True) == pytest.approx(inside, rel=1e-9)
    # Gammapy has none, as the background at the upper edge of the bin is zero.
    assert counts(2 * end, nodes=False) == 0


@pytest.mark.realdata
def test_norm_of_a_simulated_background(gammapy_data, tmp_path):
    """About 10^5 events: the norm is 1 within 3.3 of its errors (false alarms: 1 in 1,000)."""
    store = simulate.observations(
        None,
        CENTER,
        20 * u.min,
        gammapy_data / RESPONSES["Prod5 North"],
        np.random.default_rng(20280816),
        path=tmp_path / "dl3",
        energy_range=[LOW, HIGH] * u.TeV,
    )
    axis = MapAxis.from_energy_bounds(LOW * u.TeV, HIGH * u.TeV, nbin=10)
    geom = WcsGeom.create(skydir=CENTER, binsz=0.1, width=6, axes=[axis])
    norms = {}
    for integration in ("irf", "bin-edges"):
        (dataset,) = dl4.reduce(
            store.get_observations(),
            geom,
            energy_axis_true=MapAxis.from_energy_bounds(
                "0.02 TeV", "50 TeV", nbin=5, name="energy_true"
            ),
            safe_mask=dl4.SafeMaskMaker(methods=["offset-max"], offset_max=3 * u.deg),
            background_integration=integration,
        )
        norms[integration] = dataset.background_model.spectral_model.norm
    assert norms["irf"].error < 0.005
    assert abs(norms["irf"].value - 1) < 3.3 * norms["irf"].error
    assert abs(norms["bin-edges"].value - 1) > 6 * norms["bin-edges"].error
