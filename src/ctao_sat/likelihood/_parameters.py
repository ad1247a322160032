"""Live Gammapy parameters as arrays: factors of the free ones, values of all."""

import operator
from collections.abc import Sequence

import numpy as np
from gammapy.modeling import Parameter

__all__ = ["ParameterMap"]


class ParameterMap:
    """The unique parameters of a likelihood.

    Optimisers see factors x; models see values p. For a linear scale p = x * scale.

    Parameters
    ----------
    parameters : sequence of `~gammapy.modeling.Parameter`, shape (n,)
        Unique, in Gammapy's order.
    """

    def __init__(self, parameters: Sequence[Parameter]):
        self.all = list(parameters)
        self._frozen = [parameter.frozen for parameter in self.all]
        self.free = np.array([not parameter.frozen for parameter in self.all], dtype=bool)
        self.free_index = np.flatnonzero(self.free)
        self.free_parameters = [self.all[i] for i in self.free_index]
        self._units = [parameter.unit for parameter in self.all]
        self._transforms = [parameter.scale_transform for parameter in self.all]
        self._free_transforms = [self._transforms[i] for i in self.free_index]
        self._is_linear = all(self._transforms[i] == "lin" for i in self.free_index)
        self._index = {id(parameter): i for i, parameter in enumerate(self.all)}

    def __len__(self) -> int:
        return len(self.all)

    def index(self, parameter: Parameter) -> int:
        """Return the position of a parameter among all."""
        return self._index[id(parameter)]

    def is_current(self) -> bool:
        """Return whether freedom, units and transforms are those at the time of compilation."""
        return (
            [parameter.frozen for parameter in self.all] == self._frozen
            and all(map(operator.is_, [parameter.unit for parameter in self.all], self._units))
            and [parameter.scale_transform for parameter in self.free_parameters]
            == self._free_transforms
        )

    def factors(self) -> np.ndarray:
        """Return the present factors of the free parameters, shape (n_free,)."""
        return np.array([parameter.factor for parameter in self.free_parameters], dtype=float)

    def values(self, x: np.ndarray | None = None) -> np.ndarray:
        """Return the values of all parameters, shape (n,); the free ones from factors ``x``."""
        p = np.array([parameter.value for parameter in self.all], dtype=float)
        if x is None:
            return p
        x = self.check(x)
        if self._is_linear:
            p[self.free_index] = x * self._scales()
        else:
            for i, factor in zip(self.free_index, x, strict=True):
                p[i] = self.all[i].inverse_transform(factor)
        return p

    def many_values(self, samples: np.ndarray) -> np.ndarray:
        """Return the values of all parameters, shape (m, n), of samples, shape (m, n_free)."""
        samples = np.asarray(samples, dtype=float)
        if samples.ndim != 2:
            raise ValueError(f"Samples must have two dimensions, not {samples.ndim}.")
        p = np.tile(self.values(), (len(samples), 1))
        if len(samples) == 0:
            return p
        self.check(samples[0])
        for column, i in enumerate(self.free_index):
            p[:, i] = self.all[i].inverse_transform(samples[:, column])
        return p

    def check(self, x: np.ndarray) -> np.ndarray:
        """Return factors as an array; raise ValueError if their number is wrong."""
        x = np.asarray(x, dtype=float)
        if x.shape != self.free_index.shape:
            raise ValueError(
                f"Expected {len(self.free_index)} factors, one for each free parameter; "
                f"got an array of shape {x.shape}."
            )
        return x

    def _scales(self) -> np.ndarray:
        return np.array([parameter.scale for parameter in self.free_parameters], dtype=float)

    def slopes(self, x: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return dp/dx and d2p/dx2 of the free parameters, each of shape (n_free,)."""
        first, second = self._scales(), np.zeros(len(self.free_index))
        if self._is_linear:
            return first, second
        for k, i in enumerate(self.free_index):
            scale = first[k]
            if self._transforms[i] == "log":
                first[k], second[k] = p[i] * scale, p[i] * scale**2
            elif self._transforms[i] == "sqrt":
                first[k], second[k] = 2 * scale**2 * x[k], 2 * scale**2
        return first, second
