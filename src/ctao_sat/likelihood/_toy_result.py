"""Fits of many sets of counts, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from astropy.table import Table

__all__ = ["Toys"]


@dataclass(frozen=True)
class Toys:
    """Fits of sets of counts drawn from a model.

    Attributes
    ----------
    names, units : list of str
        Of the free parameters, with the name of their model.
    truth : array, shape (n_free,)
        Values from which the counts were drawn.
    values : array, shape (n, n_free)
        Fitted values.
    covariance : array, shape (n, n_free, n_free)
        Of the values; NaN where there is none, infinite variances for what is not determined.
    stat, stat_truth : array, shape (n,)
        Statistic at the minimum and at the truth.
    stat_saturated : array, shape (n,)
        Statistic of a model that predicts just the counts, see `deviance`.
    success : array of bool, shape (n,)
        Whether a fit converged.
    by_minuit : array of bool, shape (n,)
        Whether Newton steps did not, and Minuit has fitted.
    observed : float
        Deviance of the data that the datasets had, at the truth.
    fallbacks : list of str
        What Gammapy evaluates of each set, with the reasons.
    stat_null : array or None, shape (n,)
        Statistic with the parameters of the null hypothesis at the truth; None without one.
    """

    names: list[str]
    units: list[str]
    truth: np.ndarray
    values: np.ndarray
    covariance: np.ndarray
    stat: np.ndarray
    stat_truth: np.ndarray
    stat_saturated: np.ndarray
    success: np.ndarray
    by_minuit: np.ndarray
    observed: float = np.nan
    fallbacks: list[str] = field(default_factory=list)
    stat_null: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence["Toys"]) -> "Toys":
        """Return the fits of several runs of the same model, one after the other."""
        first = parts[0]
        shared = ("names", "units", "truth", "observed", "fallbacks")
        same: dict[str, Any] = {name: getattr(first, name) for name in shared}
        columns: dict[str, Any] = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(cls)
            if one.name not in shared and getattr(first, one.name) is not None
        }
        return cls(**same, **columns)

    def __len__(self) -> int:
        return len(self.stat)

    @property
    def n_failed(self) -> int:
        """Number of fits that did not converge."""
        return int(np.count_nonzero(~self.success))

    @property
    def n_by_minuit(self) -> int:
        """Number of fits that were left to Minuit."""
        return int(np.count_nonzero(self.by_minuit))

    @property
    def errors(self) -> np.ndarray:
        """The errors of values, shape (n, n_free): 0 at a limit, infinite if undetermined."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def deviance(self) -> np.ndarray:
        """Statistic above that of a model that predicts just the counts, shape (n,).

        Gammapy's ``cash`` leaves out the terms that depend on the counts alone, and is no measure
        of the goodness of a fit; this is. For many counts in each bin it follows a chi-squared
        distribution.
        """
        return self.stat - self.stat_saturated

    @property
    def ts(self) -> np.ndarray:
        """By how much the best fit is better than the null hypothesis, shape (n,).

        NaN without a null hypothesis, and where one of the two fits did not converge.
        """
        if self.stat_null is None:
            return np.full(len(self), np.nan)
        return self.stat_null - self.stat

    def pulls(self) -> np.ndarray:
        """Return (fitted - true) / error.

        Returns
        -------
        pulls : array, shape (n, n_free)
            NaN where a fit did not converge or there is no error.
        """
        errors = np.where(self.success[:, None] & (self.errors > 0), self.errors, np.nan)
        return (self.values - self.truth) / np.where(np.isfinite(errors), errors, np.nan)

    def p_value(self, deviance: float | None = None) -> float:
        """Return how often sets of the model fit worse than the data: the goodness of fit.

        Parameters
        ----------
        deviance : float, optional
            Of the data; that of the datasets that the toys were made of by default.

        Returns
        -------
        p_value : float
            ``(k + 1) / (n + 1)`` with k of n sets at least as bad, which never is 0.
        """
        observed = self.observed if deviance is None else deviance
        found = self.deviance[self.success]
        return float((np.count_nonzero(found >= observed) + 1) / (len(found) + 1))

    def table(self) -> Table:
        """Return one row a set: values, errors and statistics.

        Returns
        -------
        table : `~astropy.table.Table`
            Columns as "crab.index", "crab.index_err", "stat", "success", …
        """
        table = Table()
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            table[name], table[f"{name}_err"] = self.values[:, i], self.errors[:, i]
            table[name].unit = table[f"{name}_err"].unit = unit
        for name in ("stat", "stat_truth", "deviance", "ts", "success", "by_minuit"):
            table[name] = getattr(self, name)
        return table
