"""Checksum of an array, fast enough to tell at every call whether data have changed."""

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = ["checksum"]

_PRIME = np.uint64(0x9E3779B97F4A7C15)


def checksum(array: np.ndarray) -> int:
    """Return a 64-bit checksum of the bytes of an array.

    It is no protection against intent: it tells edited data from untouched ones.

    Parameters
    ----------
    array : array
        Of any type and shape, contiguous or not.

    Returns
    -------
    checksum : int
        Equal for equal bytes; the shape and the type do not enter.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat.kernels.checksum import checksum
    >>> counts = np.zeros(5)
    >>> before = checksum(counts)
    >>> counts[3] = 1
    >>> checksum(counts) == before
    False
    """
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = data.size - data.size % 8
    words = data[:whole].view(np.uint64)
    rest = int.from_bytes(data[whole:].tobytes(), "little")
    return int(_mix(words, np.uint64(rest), np.uint64(data.size)))


@kernel
def _mix(words, rest, size):
    # Each step is a bijection of its lane for given words: one changed word changes the result.
    a, b, c, d = _PRIME, _PRIME << np.uint64(1), _PRIME << np.uint64(2), _PRIME << np.uint64(3)
    whole = words.size - words.size % 4
    for i in range(0, whole, 4):
        a = (a ^ words[i]) * _PRIME
        b = (b ^ words[i + 1]) * _PRIME
        c = (c ^ words[i + 2]) * _PRIME
        d = (d ^ words[i + 3]) * _PRIME
        a ^= a >> np.uint64(29)
        b ^= b >> np.uint64(29)
        c ^= c >> np.uint64(29)
        d ^= d >> np.uint64(29)
    for i in range(whole, words.size):
        a = (a ^ words[i]) * _PRIME
        a ^= a >> np.uint64(29)
    a = (a ^ rest) * _PRIME
    a ^= a >> np.uint64(31)
    for lane in (b, c, d, size):
        a = (a ^ lane) * _PRIME
        a ^= a >> np.uint64(31)
    return a
