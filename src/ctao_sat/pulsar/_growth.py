"""How the H test grows with the observing time."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError, DataError
from ctao_sat.pulsar._periodicity import checked_phases, checked_weights, h_test

__all__ = ["h_test_growth"]


def h_test_growth(
    phases: ArrayLike,
    livetimes: u.Quantity,
    *,
    weights: ArrayLike | None = None,
    max_harmonics: int = 20,
    n_points: int = 25,
) -> Table:
    """Return the H test of the events so far, at equal steps of livetime.

    A steady pulsar grows in proportion to the livetime. One that stops growing has a wrong
    frequency, or is none.

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns.
    livetimes : Quantity[time], shape (n,)
        The livetime that had passed at each event, in any order.
    weights : array-like of float, shape (n,), optional
        Weight of each event.
    max_harmonics : int
        See `h_test`.
    n_points : int
        Number of steps.

    Returns
    -------
    growth : `~astropy.table.Table`
        Columns ``livetime``, ``n_events``, ``h`` and ``p_value``. Steps before the first event,
        or before the first one with a weight, are left out. The rows are not independent.

    Raises
    ------
    SelectionError, DataError, ConfigError
        As in `h_test`; also if there is not one livetime for each phase, or one cannot
        be.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> growth = pulsar.h_test_growth(np.full(40, 0.3), np.arange(40) * u.min, n_points=2)
    >>> growth["n_events"].tolist(), growth["h"].round(6).tolist()
    ([20, 40], [724.0, 1524.0])
    """
    x = checked_phases(phases)
    w = None if weights is None else checked_weights(weights, len(x))
    passed = u.Quantity(livetimes)
    if passed.shape != x.shape:
        raise ConfigError(
            f"There are {passed.size} livetimes for {len(x)} phases.", remedy="Give one for each."
        )
    if not passed.unit.is_equivalent("s"):
        raise ConfigError(
            f"The livetimes have the unit '{passed.unit}'.", remedy="Give times: livetimes * u.h."
        )
    # Written so that a NaN is refused.
    if not (passed.value >= 0).all() or not np.isfinite(passed.value).all():
        raise DataError(
            "A livetime is negative or not finite.", remedy="Count from the begin of the first run."
        )
    if n_points < 1:
        raise ConfigError(f"There are {n_points} points.", remedy="Take at least 1.")
    order = np.argsort(passed.value, kind="stable")
    x, passed = x[order], passed[order]
    w = None if w is None else w[order]
    steps = passed[-1] * np.arange(1, n_points + 1) / n_points
    rows = []
    for step, n in zip(steps, np.searchsorted(passed, steps, side="right"), strict=True):
        so_far = None if w is None else w[:n]
        if n and (so_far is None or so_far.any()):
            rows.append((step.value, int(n), *h_test(x[:n], so_far, max_harmonics)))
    table = Table(rows=rows, names=["livetime", "n_events", "h", "p_value"])
    table["livetime"].unit = passed.unit
    return table
