"""Find a parameter of datasets by its name."""

from gammapy.datasets import Datasets
from gammapy.modeling import Parameter

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import ConfigError, did_you_mean

__all__ = ["find_parameter"]


def find_parameter(datasets: Datasets, parameter: Parameter | str) -> Parameter:
    """Return a parameter of the models of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models.
    parameter : `~gammapy.modeling.Parameter` or str
        Itself, or its name: "crab.index", Gammapy's "crab.spectral.index", or "index" where only
        one model has such a parameter.

    Returns
    -------
    parameter : `~gammapy.modeling.Parameter`
        The live one.

    Raises
    ------
    ConfigError
        If there is none, or more than one.
    """
    names = [
        (model.name, name, own)
        for model in unique_models(datasets)
        for name, own in zip(model.parameters.names, model.parameters, strict=True)
    ]
    if isinstance(parameter, Parameter):
        if any(parameter is own for _, _, own in names):
            return parameter
        raise ConfigError(
            f"No model of the datasets has this parameter '{parameter.name}'.",
            remedy="Take it from datasets.models: a copy of a model has other parameters.",
        )
    found = _by_name(datasets, names, parameter)
    if len(found) == 1:
        return found[0]
    if found:
        several = [f"{model}.{name}" for model, name, own in names if own in found]
        raise ConfigError(
            f"Several parameters have the name '{parameter}'.",
            remedy=f"Name one of them, or pass it itself: {', '.join(several)}.",
        )
    known = [f"{model}.{name}" if "." in parameter else name for model, name, _ in names]
    raise ConfigError(f"Unknown parameter '{parameter}'.", remedy=did_you_mean(parameter, known))


def _by_name(
    datasets: Datasets, names: list[tuple[str, str, Parameter]], wanted: str
) -> list[Parameter]:
    """Return the distinct parameters of a name, in full, in Gammapy's form, or in short."""
    long = [(f"{model}.{name}", own) for model, name, own in names]
    unique = [
        (f"{model.name}.{name}", own)
        for model in unique_models(datasets)
        for name, own in zip(
            model.parameters_unique_names,
            model.parameters.unique_parameters,
            strict=False,
        )
    ]
    short = [(name, own) for _, name, own in names]
    for pairs in (long, unique, short):
        found = {id(own): own for name, own in pairs if name == wanted}
        if found:
            return list(found.values())
    return []
