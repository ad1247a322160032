"""H test over livetime: what cannot be livetimes."""

import astropy.units as u
import numpy as np
import pytest

from ctao_sat import pulsar
from ctao_sat.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("livetimes", "error", "message"),
    [
        ([1, np.nan] * u.h, DataError, "negative or not finite"),
        ([-1, 1] * u.h, DataError, "negative or not finite"),
        ([1, 2], ConfigError, "have the unit ''"),
        ([1] * u.h, ConfigError, "1 livetimes for 2 phases"),
    ],
)
def test_what_cannot_be_livetimes(livetimes, error, message):
    with pytest.raises(error, match=message):
        pulsar.h_test_growth([0.1, 0.2], livetimes)
