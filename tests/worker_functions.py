"""Functions that tests send to worker processes: those have to be importable there."""

import logging
import os
import time
import warnings

from ctao_sat.errors import CtaoSatWarning, FileFormatError


def double(x):
    return 2 * x


def products(seed):
    """Return what travels in real work: quantities, Gammapy objects, nested."""
    # Here, because most tests do without them, and each worker would import them anew.
    import astropy.units as u
    import numpy as np
    from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    from gammapy.modeling.models import PowerLawSpectralModel, SkyModel

    rng = np.random.default_rng(seed)
    energy = rng.uniform(1, 2, 5) * u.TeV
    model = SkyModel(PowerLawSpectralModel(index=2 + rng.uniform()), name=f"source-{seed}")
    axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)
    counts = RegionNDMap.from_geom(RegionGeom.create("icrs;circle(83.6, 22, 0.1)", axes=[axis]))
    counts.data = rng.poisson(5, counts.data.shape).astype(float)
    return {
        "energy": energy,
        "flux": model.spectral_model(energy),
        "scalar": 3 * u.TeV,
        "model": model,
        "counts": counts,
        "fit": float(np.linalg.eigvalsh(rng.normal(size=(20, 20)))[0]),
    }


def speak(x):
    """Warn and log, more of it and later for lower numbers."""
    time.sleep(0.05 * (3 - x))
    warnings.warn(f"warning of {x}", CtaoSatWarning, stacklevel=1)
    logging.getLogger("gammapy.irf").warning("record of %d", x)
    logging.getLogger("ctao_sat.dl4").info("detail of %d", x)
    logging.getLogger("ctao_sat.dl4").debug("noise of %d", x)
    return x


class Awkward(UserWarning):
    """A warning that does not survive pickling."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class AwkwardError(Exception):
    """An error that does not survive pickling."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def warn_awkwardly(x):
    warnings.warn(Awkward("this", "that"), stacklevel=1)
    return x


def fail(x):
    """Fail for odd numbers, sooner for higher ones."""
    if x % 2:
        time.sleep(0.2 / x)
        raise FileFormatError(f"Item {x} is odd.", remedy="Take an even one.", where="items.yaml")
    return x


def fail_awkwardly(x):
    raise AwkwardError("this", "that")


def fail_plainly(x):
    return 1 / x


def die(x):
    os._exit(13)


def unpicklable(x):
    return lambda: x


def threads(x):
    """Return the settings of the libraries that use threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return os.getpid(), {name: os.environ.get(name) for name in names}


def sleep(seconds):
    os.write(1, b"at work\n")  # print writes twice where output is unbuffered
    time.sleep(seconds)
