"""Priors and penalties: the terms of a statistic that depend on parameters alone."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling import Parameter, Parameters
from gammapy.modeling.models import (
    DatasetModels,
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogUniformPrior,
    Prior,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat._gammapy import penalties, penalty_precision, unique_models
from ctao_sat.likelihood._differences import differentiate

__all__ = ["Priors", "build_priors", "prior_signature"]

Owner: TypeAlias = Datasets | DatasetModels


@dataclass(frozen=True)
class _Term:
    """One term of the statistic.

    Attributes
    ----------
    index : array, shape (k,)
        The parameters it depends on, each of them once.
    value : callable
        From their values, shape (k,), to a number.
    derivatives : callable
        From their values, and whether the second ones are needed, to the first derivatives,
        shape (k,), and the second ones, shape (k, k).
    """

    index: np.ndarray
    value: Callable[[np.ndarray], float]
    derivatives: Callable[[np.ndarray, bool], tuple[np.ndarray, np.ndarray]]


class Priors:
    """What priors and penalties add to the statistic of datasets.

    Parameters
    ----------
    terms : sequence of `_Term`
        The terms.
    free : array of bool, shape (n,)
        Which parameters are free. Derivatives with respect to others are 0.
    owner : `~gammapy.datasets.Datasets` or `~gammapy.modeling.models.DatasetModels`
        What has the priors.
    """

    def __init__(self, terms: Sequence[_Term], free: np.ndarray, owner: Owner):
        self._terms = tuple(terms)
        self._n = len(free)
        self._owner = owner
        # Where the derivatives of each term are and go, those by free parameters.
        self._places = []
        for term in self._terms:
            kept = np.flatnonzero(np.asarray(free, dtype=bool)[term.index])
            to = term.index[kept]
            self._places.append((kept, np.ix_(kept, kept), to, np.ix_(to, to)))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to add."""
        return not self._terms

    def value(self, p: np.ndarray) -> float:
        """Return the sum of the terms.

        Parameters
        ----------
        p : array, shape (n,)
            Values of all parameters, in their units.

        Returns
        -------
        value : float
            Infinite where a prior excludes a value.
        """
        return float(sum(term.value(p[term.index]) for term in self._terms))

    def value_grad_hess(
        self, p: np.ndarray, *, second: bool = True
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the sum of the terms and its derivatives.

        Where they are not finite, derivatives are 0: outside of what a prior allows, and at the
        peak of a prior that is not smooth there.

        Parameters
        ----------
        p : array, shape (n,)
            Values of all parameters, in their units.
        second : bool
            Whether the second derivatives are needed; if not, they may be 0.

        Returns
        -------
        value : float
            As `value` returns it.
        gradient : array, shape (n,)
            First derivatives; 0 for parameters that are not free.
        hessian : array, shape (n, n)
            Second derivatives; 0 for parameters that are not free.
        """
        gradient, hessian = np.zeros(self._n), np.zeros((self._n, self._n))
        for term, (kept, kept_block, to, to_block) in zip(self._terms, self._places, strict=True):
            if len(kept) > 0:
                first, curvature = term.derivatives(p[term.index], second)
                gradient[to] += first[kept]
                hessian[to_block] += curvature[kept_block]
        return self.value(p), gradient, hessian

    def signature(self) -> tuple[float, ...]:
        """Return what `prior_signature` returns now."""
        return prior_signature(self._owner)


def build_priors(
    owner: Owner, parameters: Sequence[Parameter], free: Sequence[bool] | np.ndarray
) -> Priors:
    """Return the priors and penalties of models as functions of parameters.

    A prior on a parameter that several models share counts once for each of them, as in
    `~gammapy.datasets.Datasets.stat_sum`. The numbers of known priors are read now; of unknown
    kinds of priors and penalties the derivatives are numerical.

    Parameters
    ----------
    owner : `~gammapy.datasets.Datasets` or `~gammapy.modeling.models.DatasetModels`
        What has the priors and penalties.
    parameters : sequence of `~gammapy.modeling.Parameter`, shape (n,)
        All unique parameters, in the order of the values that the result takes.
    free : sequence of bool, shape (n,)
        Which of them are free.

    Returns
    -------
    priors : `Priors`
        Their sum, and its derivatives.
    """
    position = {id(parameter): i for i, parameter in enumerate(parameters)}
    appearances = Counter(position[id(parameter)] for parameter in _parameters(owner))
    gaussians: list[tuple[int, float, float, float]] = []
    terms = []
    for index, number in appearances.items():
        prior = parameters[index].prior
        if prior is None:
            continue
        numbers = _prior_numbers(prior)
        if type(prior) is GaussianPrior and numbers["sigma"] > 0:
            gaussians.append((index, numbers["mu"], numbers["sigma"], number * prior.weight))
        else:
            terms.append(_prior_term(parameters[index], index, number, numbers))
    if gaussians:
        terms.insert(0, _gaussian_term(gaussians))
    terms.extend(_penalty_term(penalty, position) for penalty in penalties(owner))
    return Priors(terms, np.asarray(free, dtype=bool), owner)


def _parameters(owner: Owner) -> list[Parameter]:
    """Return the parameters of all models; one that models share is there for each of them."""
    if isinstance(owner, Datasets):
        return [parameter for model in unique_models(owner) for parameter in model.parameters]
    return list(owner.parameters)


def prior_signature(owner: Owner) -> tuple[float, ...]:
    """Return numbers that change when priors or penalties of models change.

    Parameters
    ----------
    owner : `~gammapy.datasets.Datasets` or `~gammapy.modeling.models.DatasetModels`
        Models with priors and penalties.

    Returns
    -------
    signature : tuple of float
        Empty without priors and penalties. Within unknown kinds, only the parameters of a prior
        and the strength of a penalty are looked at; but those are called whenever they are used.
    """
    numbers: list[float] = []
    parameters = _parameters(owner)
    for i, parameter in enumerate(parameters):
        prior = parameter.prior
        if prior is not None:
            numbers += [i, id(type(prior)), prior.weight, *_prior_numbers(prior).values()]
    known = {id(parameter) for parameter in parameters}
    for penalty in penalties(owner):
        numbers += [id(penalty), penalty.lambda_]
        # A penalty may hold parameters that no model has: they are constants of it.
        for parameter in penalty.parameters:
            numbers += [id(parameter)] if id(parameter) in known else [parameter.value]
        if type(penalty) is GaussianPriorPenalty:
            numbers += [*np.ravel(penalty.mean), *np.ravel(penalty_precision(penalty))]
    return tuple(float(number) for number in numbers)


def _prior_numbers(prior: Prior) -> dict[str, float]:
    return {parameter.name: float(parameter.value) for parameter in prior.parameters}


def _gaussian_term(gaussians: Sequence[tuple[int, float, float, float]]) -> _Term:
    """Return the sum of all Gaussian priors, -2 w ln N(x; mu, sigma)."""
    index = np.array([gaussian[0] for gaussian in gaussians])
    mu, sigma, weight = np.array([gaussian[1:] for gaussian in gaussians], dtype=float).T
    constant = float(np.sum(weight * (2 * np.log(sigma) + math.log(2 * math.pi))))
    curvature = np.diag(2 * weight / sigma**2)

    def value(x: np.ndarray) -> float:
        return constant + float(np.sum(weight * ((x - mu) / sigma) ** 2))

    def derivatives(x: np.ndarray, second: bool) -> tuple[np.ndarray, np.ndarray]:
        return 2 * weight * (x - mu) / sigma**2, curvature

    return _Term(index, value, derivatives)


def _prior_term(parameter: Parameter, index: int, number: int, numbers: dict[str, float]) -> _Term:
    """Return a prior that counts ``number`` times."""
    prior = parameter.prior
    where = np.array([index])
    function: Callable[[float], tuple[float, float, float]]
    if type(prior) is UniformPrior and numbers["min"] < numbers["max"]:
        function = _uniform(numbers["min"], numbers["max"])
    elif type(prior) is LogUniformPrior and 0 < numbers["min"] < numbers["max"]:
        function = _log_uniform(numbers["min"], numbers["max"])
    elif type(prior) is GeneralizedGaussianPrior and min(numbers["sigma"], numbers["eta"]) > 0:
        function = _generalized_gaussian(numbers["mu"], numbers["sigma"], numbers["eta"])
    else:
        # The prior reads a parameter: give it one that no model has.
        probe = parameter.copy()

        def call(x: np.ndarray) -> float:
            probe.value = x[0]
            return number * float(prior(probe))

        return _numerical_term(where, call, _limits([parameter]))
    weight = number * float(prior.weight)

    def value(x: np.ndarray) -> float:
        return weight * function(float(x[0]))[0]

    def derivatives(x: np.ndarray, second: bool) -> tuple[np.ndarray, np.ndarray]:
        _, first, curvature = function(float(x[0]))
        return np.array([weight * first]), np.array([[weight * curvature]])

    return _Term(where, value, derivatives)


def _uniform(low: float, high: float) -> Callable[[float], tuple[float, float, float]]:
    """Return -2 ln of the uniform density, with its derivatives."""
    inside = 2 * math.log(high - low)

    def function(x: float) -> tuple[float, float, float]:
        if math.isnan(x):
            return math.nan, 0.0, 0.0
        return (inside if 0 <= (x - low) / (high - low) <= 1 else math.inf), 0.0, 0.0

    return function


def _log_uniform(low: float, high: float) -> Callable[[float], tuple[float, float, float]]:
    """Return -2 ln of the density 1 / (x ln(high / low)), with its derivatives."""
    constant = 2 * math.log(math.log(high) - math.log(low))

    def function(x: float) -> tuple[float, float, float]:
        if math.isnan(x):
            return math.nan, 0.0, 0.0
        if not low <= x <= high:
            return math.inf, 0.0, 0.0
        return constant + 2 * math.log(x), 2 / x, -2 / x**2

    return function


def _generalized_gaussian(
    mu: float, sigma: float, eta: float
) -> Callable[[float], tuple[float, float, float]]:
    """Return -2 ln of the density of |(x - mu) / scale|^(1 / eta), with its derivatives."""
    beta, scale = 1 / eta, math.sqrt(2) * sigma
    constant = 2 * (math.log(scale) - math.log(beta / 2) + math.lgamma(1 / beta))

    def function(x: float) -> tuple[float, float, float]:
        z = (x - mu) / scale
        size = abs(z)
        if size == 0 and beta != 2:
            # The derivatives are 0 or not finite there.
            return constant, 0.0, 0.0
        first = 2 * beta * math.copysign(size ** (beta - 1), z) / scale
        second = 2 * beta * (beta - 1) * size ** (beta - 2) / scale**2
        return constant + 2 * size**beta, first, second

    return function


def _penalty_term(penalty, position: dict[int, int]) -> _Term:
    """Return a penalty; parameters that no model has stay at their values."""
    live = list(penalty.parameters)
    # A penalty can hold a parameter several times.
    unique = {id(parameter): parameter for parameter in live}.values()
    chosen = [parameter for parameter in unique if id(parameter) in position]
    index = np.array([position[id(parameter)] for parameter in chosen], dtype=int)
    if type(penalty) is GaussianPriorPenalty:
        select = np.array([[parameter is other for other in chosen] for parameter in live])
        return _gaussian_penalty_term(penalty, index, select.reshape(len(live), -1))
    parameters = Parameters(chosen)

    def call(x: np.ndarray) -> float:
        # A penalty takes no arguments: it reads its parameters, which are those of the models.
        with parameters.restore_status():
            for parameter, value in zip(chosen, x, strict=True):
                parameter.value = value
            return float(penalty.stat_sum())

    return _numerical_term(index, call, _limits(chosen))


def _gaussian_penalty_term(
    penalty: GaussianPriorPenalty, index: np.ndarray, select: np.ndarray
) -> _Term:
    """Return ``lambda (x - mean)^T C^-1 (x - mean)``; ``select`` tells which x a row takes."""
    values = np.array([parameter.value for parameter in penalty.parameters], dtype=float)
    # Parameters of no model are constants.
    start = np.where(select.any(axis=1), 0.0, values) - np.asarray(penalty.mean, dtype=float)
    matrix = penalty.lambda_ * penalty_precision(penalty)
    # Gammapy does not ask for a symmetric matrix.
    symmetric = matrix + matrix.T
    curvature = select.T @ symmetric @ select

    def value(x: np.ndarray) -> float:
        delta = start + select @ x
        return float(delta @ matrix @ delta)

    def derivatives(x: np.ndarray, second: bool) -> tuple[np.ndarray, np.ndarray]:
        return select.T @ (symmetric @ (start + select @ x)), curvature

    return _Term(index, value, derivatives)


def _limits(parameters: Sequence[Parameter]) -> np.ndarray:
    """Return lower and upper limits, shape (k, 2), infinite if there are none."""
    limits = np.array([(parameter.min, parameter.max) for parameter in parameters], dtype=float)
    return np.where(np.isnan(limits), [-np.inf, np.inf], limits.reshape(-1, 2))


def _numerical_term(
    index: np.ndarray, call: Callable[[np.ndarray], float], limits: np.ndarray
) -> _Term:
    def function(x: np.ndarray) -> np.ndarray:
        return np.array([call(x)])

    def derivatives(x: np.ndarray, second: bool) -> tuple[np.ndarray, np.ndarray]:
        order = 2 if second else 1
        # Infinite values, where a prior excludes something, give derivatives that are NaN.
        with np.errstate(invalid="ignore"):
            _, first, curvature = differentiate(function, x, np.arange(len(x)), limits, order)
        if curvature is None:
            curvature = np.zeros((1, len(x), len(x)))
        return np.where(np.isfinite(first[0]), first[0], 0.0), np.where(
            np.isfinite(curvature[0]), curvature[0], 0.0
        )

    return _Term(index, call, derivatives)
