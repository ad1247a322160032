"""Where to point: wobble positions around a target, and grids of pointings over a field."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, SkyOffsetFrame

from ctao_sat.errors import ConfigError

__all__ = ["survey_pointings", "wobble_pointings"]


def _angle(value: u.Quantity | str, name: str, minimum: float) -> u.Quantity:
    try:
        angle = u.Quantity(value).to("deg")
    except (u.UnitsError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{name}' is {value!r}, not an angle.", remedy="Give it with a unit, as in '0.5 deg'."
        ) from error
    if not (angle.isscalar and np.isfinite(angle) and angle.value >= minimum):
        raise ConfigError(
            f"'{name}' is {value}.", remedy=f"Give one angle of at least {minimum} deg."
        )
    return angle


def _n_steps(length: float, step: float) -> int:
    """Return how many steps lead to within half a step of a length."""
    return max(0, int(np.ceil(length / step - 0.5 - 1e-9)))


def wobble_pointings(
    target: SkyCoord,
    offset: u.Quantity | str = "0.5 deg",
    n: int = 4,
    start_angle: u.Quantity | str = "0 deg",
) -> list[SkyCoord]:
    """Return positions on a circle around a target, at equal steps of position angle.

    Successive positions lie on opposite sides of the target where the number is even, so that any
    even number of runs balances gradients over the field of view.

    Parameters
    ----------
    target : `astropy.coordinates.SkyCoord`
        The source, a single position.
    offset : `astropy.units.Quantity` or str
        Angular distance of the pointings from the target.
    n : int
        Number of positions.
    start_angle : `astropy.units.Quantity` or str
        Position angle of the first one, from North towards East.

    Returns
    -------
    pointings : list of `astropy.coordinates.SkyCoord`
        ICRS positions, n of them.

    Raises
    ------
    ConfigError
        If an argument is not an angle, negative, or n is less than 1.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from ctao_sat.simulate import wobble_pointings
    >>> crab = SkyCoord("83.633d 22.014d")
    >>> for pointing in wobble_pointings(crab, "0.5 deg", n=4):
    ...     print(pointing.to_string(precision=3))
    83.633 22.514
    83.633 21.514
    84.172 22.013
    83.094 22.013
    """
    separation = _angle(offset, "offset", 0.0)
    angle = _angle(start_angle, "start_angle", -np.inf)
    if int(n) != n or n < 1:
        raise ConfigError(f"The number of wobble positions is {n}.", remedy="Give 1 or more.")
    step = 360.0 / n
    n_pairs = int(n) // 2 if n % 2 == 0 else 0
    order = [k for i in range(n_pairs) for k in (i, i + n_pairs)] or list(range(int(n)))
    return [
        target.icrs.directional_offset_by(angle + k * step * u.deg, separation).icrs for k in order
    ]


def survey_pointings(
    center: SkyCoord,
    width: u.Quantity | str,
    height: u.Quantity | str,
    spacing: u.Quantity | str,
) -> list[SkyCoord]:
    """Return a grid of pointings over a field: a triangular one, every second row shifted.

    The grid is laid out in offsets from the centre, aligned with the frame of ``center``: pass a
    Galactic position to survey along the Galactic plane. Longitudes are scaled by the cosine of
    the latitude of each row, so that neighbours are one spacing apart on the sphere. The outermost
    pointings are at most half a step inside or outside of the rim of the field.

    Parameters
    ----------
    center : `astropy.coordinates.SkyCoord`
        Centre of the field, a single position.
    width, height : `astropy.units.Quantity` or str
        Extent of the field in longitude and latitude.
    spacing : `astropy.units.Quantity` or str
        Distance between neighbours.

    Returns
    -------
    pointings : list of `astropy.coordinates.SkyCoord`
        ICRS positions, row by row; at least the centre.

    Raises
    ------
    ConfigError
        If an argument is not an angle, or the spacing is not positive.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from ctao_sat.simulate import survey_pointings
    >>> plane = SkyCoord("0d 0d", frame="galactic")
    >>> len(survey_pointings(plane, "10 deg", "4 deg", "2 deg"))
    17
    """
    step = _angle(spacing, "spacing", 1e-6).to_value("deg")
    half_width = 0.5 * _angle(width, "width", 0.0).to_value("deg")
    half_height = 0.5 * _angle(height, "height", 0.0).to_value("deg")
    if half_height > 80 or half_width > 180:
        raise ConfigError(
            f"A field of {width} by {height} is too large for one grid.",
            remedy="Give at most 360 deg by 160 deg.",
        )
    row_step = step * np.sqrt(3) / 2
    n_rows = _n_steps(half_height, row_step)
    positions: list[tuple[float, float]] = []
    for row in range(-n_rows, n_rows + 1):
        lat = row * row_step
        first = 0.5 * step * (row % 2)
        n_left = _n_steps(half_width + first, step)
        n_right = _n_steps(half_width - first, step)
        lons = first + step * np.arange(-n_left, n_right + 1)
        positions += [(lon / np.cos(np.radians(lat)), lat) for lon in lons]
    frame = SkyOffsetFrame(origin=center)
    return [SkyCoord(lon * u.deg, lat * u.deg, frame=frame).icrs for lon, lat in positions]
