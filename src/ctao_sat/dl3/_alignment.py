"""Orientation of the field of view of a background, as GADF knows it."""

import numpy as np
from gammapy.irf import IRF, FoVAlignment
from gammapy.maps import MapAxis

from ctao_sat.dl3._cards import clean

__all__ = ["gadf_aligned"]

_REVERSED = FoVAlignment.REVERSE_LON_RADEC


def gadf_aligned(irf: IRF) -> IRF:
    """Return a response in one of the alignments of GADF, ``RADEC`` or ``ALTAZ``.

    Gammapy gives old data of H.E.S.S. the alignment ``REVERSE_LON_RADEC``, and evaluates them at
    the longitude of the opposite sign. The same background in ``RADEC`` is its mirror image.

    Parameters
    ----------
    irf : `~gammapy.irf.IRF`
        A response; not modified.

    Returns
    -------
    irf : `~gammapy.irf.IRF`
        The same one if its alignment is one of GADF.
    """
    if getattr(irf, "fov_alignment", None) != _REVERSED:
        return irf
    axes, data, meta = list(irf.axes), irf.data, clean(irf.meta or {})
    if "fov_lon" in irf.axes.names:
        place = irf.axes.names.index("fov_lon")
        axis = axes[place]
        axes[place] = MapAxis.from_edges(-axis.edges[::-1], name=axis.name, interp=axis.interp)
        data = np.flip(data, axis=place)
        line = "DETX mirrored: FOVALIGN was that of Gammapy, REVERSE_LON_RADEC"
        meta["HISTORY"] = [*meta.get("HISTORY", []), line]
    return type(irf)(
        axes,
        data,
        unit=irf.unit,
        is_pointlike=irf.is_pointlike,
        fov_alignment=FoVAlignment.RADEC,
        meta=meta,
    )
