"""What is done to parameters: links, priors, penalties, limits, transforms, freezing."""

import numpy as np
from gammapy.modeling import Parameter
from gammapy.modeling.models import (
    CompoundSpectralModel,
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogUniformPrior,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty

LEVELS = {"amplitude", "norm", "const"}


def _leaves(model):
    """Return the spectral models that a compound one is made of."""
    if isinstance(model, CompoundSpectralModel):
        return _leaves(model.model1) + _leaves(model.model2)
    return [model]


def link(rng, models):
    """Let two models share a parameter; return the names of the features."""
    slots = {}
    for model in models:
        for leaf in _leaves(model.spectral_model):
            for parameter in leaf.parameters:
                if isinstance(getattr(type(leaf), parameter.name, None), Parameter):
                    key = parameter.name, str(parameter.unit)
                    slots.setdefault(key, []).append(leaf)
    pairs = [key for key, leaves in slots.items() if len(leaves) > 1]
    if not pairs:
        return set()
    name, unit = pairs[int(rng.integers(len(pairs)))]
    first, *others = slots[name, unit]
    shared = getattr(first, name)
    shared.frozen = False if name in {"index", "tilt", "amplitude"} else shared.frozen
    for leaf in others:
        setattr(leaf, name, shared)
    return {"link"}


def freeze_some(rng, parameters, most, kept=()):
    """Freeze a random part of the free parameters, leaving one to ``most``, and those kept."""
    free = [p for p in parameters.free_parameters if not any(p is one for one in kept)]
    if not free:
        return set()
    keep = max(1, min(most, int(np.sum(rng.uniform(size=len(free)) < 0.85))))
    for index in rng.permutation(len(free))[keep:]:
        free[index].frozen = True
    return {"frozen subset"} if keep < len(free) else set()


def _prior(rng, parameter):
    value = parameter.value
    width = abs(value) * rng.uniform(0.1, 0.5) + (0.2 if value == 0 else 0)
    kinds = ["Gaussian", "generalised Gaussian", "uniform"] + ["log uniform"] * (value > 0)
    kind = str(rng.choice(kinds))
    makers = {
        "Gaussian": lambda: GaussianPrior(mu=value + 0.5 * width, sigma=width),
        "generalised Gaussian": lambda: GeneralizedGaussianPrior(
            mu=value - 2 * width, sigma=width, eta=rng.choice([0.5, 0.4])
        ),
        "uniform": lambda: UniformPrior(min=value - 20 * width, max=value + 20 * width),
        "log uniform": lambda: LogUniformPrior(min=value / 50, max=value * 50),
    }
    parameter.prior = makers[kind]()
    parameter.prior.weight = float(rng.choice([1, 1, 2.5]))
    return f"prior {kind}"


def priors(rng, parameters):
    """Set priors on one or two free parameters; return the names of the features."""
    free = list(parameters.free_parameters)
    count = min(len(free), int(rng.integers(1, 3)))
    return {_prior(rng, free[index]) for index in rng.permutation(len(free))[:count]}


def penalties(rng, parameters):
    """Return one or two penalties on free parameters of the order of one."""
    free = [p for p in parameters.free_parameters if p.name not in LEVELS or abs(p.value) > 1e-3]
    if len(free) < 2:
        return None, set()
    free = free[:3]
    mean = [p.value * rng.uniform(0.8, 1.2) for p in free]
    kind = str(rng.choice(["correlated", "smooth", "L2"]))
    if kind == "correlated":
        root = rng.normal(size=(len(free), len(free))) + 2 * np.eye(len(free))
        penalty = GaussianPriorPenalty(free, mean, root @ root.T, lambda_=1.5)
    elif kind == "smooth":
        penalty = GaussianPriorPenalty.SmoothnessPenalty(free, mean=mean, lambda_=3)
    else:
        penalty = GaussianPriorPenalty.L2_penalty(free, lambda_=0.5)
    return [penalty], {f"penalty {kind}"}


def limits(rng, parameters):
    """Set limits that hold the present values, sometimes just."""
    features = set()
    for parameter in parameters.free_parameters:
        width = abs(parameter.value) + (1 if parameter.value == 0 else 0)
        if rng.uniform() < 0.4:
            at_limit = rng.uniform() < 0.15
            parameter.min = parameter.value - (0 if at_limit else 0.9 * width)
            features.add("at a limit" if at_limit else "limits")
        if rng.uniform() < 0.4:
            parameter.max = parameter.value + 2 * width
    return features


def transforms(rng, parameters):
    """Let the optimiser see the logarithm or the square root of some levels."""
    features = set()
    for parameter in parameters.free_parameters:
        if parameter.name in LEVELS and parameter.value > 0 and rng.uniform() < 0.7:
            parameter.scale_transform = str(rng.choice(["log", "sqrt"]))
            features.add(f"transform {parameter.scale_transform}")
    return features


def perturbed(rng, parameter, size):
    """Return a value near that of the parameter, within its limits."""
    value, step = parameter.value, size * rng.normal()
    small = 0 < abs(value) < 0.05
    if parameter.name in LEVELS or parameter.unit != "" or small:
        value = value * np.exp(2 * step)
    else:
        value = value + step
    low = -np.inf if np.isnan(parameter.min) else parameter.min
    high = np.inf if np.isnan(parameter.max) else parameter.max
    return float(np.clip(value, low, high))


def perturb(rng, parameters, size=0.05):
    """Move the free parameters a little."""
    for parameter in parameters.free_parameters:
        parameter.value = perturbed(rng, parameter, size)


def free_shape(models, names):
    """Free the parameters of these names of the first shape that has them, and return them."""
    for model in models:
        spatial_model = getattr(model, "spatial_model", None)
        found = [] if spatial_model is None else spatial_model.parameters
        found = [parameter for parameter in found if parameter.name in names]
        for parameter in found:
            parameter.frozen = False
        if found:
            return found
    return []
