"""The form of simulated files: dialect, product metadata, identifiers."""

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctao_sat.dl3._write import Form, form
from ctao_sat.simulate._irfs import BUILTIN

__all__ = ["identifiers", "simulation_form"]

DISCLAIMER = (
    "Simulated with the built-in demonstration array of ctao_sat. It is not CTAO's instrument "
    "response, and nothing about CTAO's performance follows from it."
)


def simulation_form(
    dialect: str, metadata: Mapping[str, Any] | str | os.PathLike | None, irfs: object
) -> Form:
    """Check dialect and metadata of a simulation.

    Parameters
    ----------
    dialect : {"gadf", "ctao-gadf"}
        The dialect.
    metadata : mapping or path-like, optional
        Product metadata.
    irfs : object
        As for `ctao_sat.simulate.observations`.

    Returns
    -------
    form : Form
        With a disclaimer if the array is the built-in one and the caller gives none.

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    """
    made = form(dialect, metadata)
    if made.metadata.disclaimer is None and isinstance(irfs, str) and irfs in BUILTIN:
        said = made.metadata.model_copy(update={"disclaimer": DISCLAIMER})
        made = Form(made.dialect, said, made.rounding)
    return made


def identifiers(rng: np.random.Generator) -> Callable[[], uuid.UUID]:
    """Return a function that makes random identifiers from a stream of its own.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Not advanced: the stream is one of its children.

    Returns
    -------
    new_id : callable
        Returns identifiers of version 4.
    """
    (stream,) = rng.spawn(1)
    return lambda: uuid.UUID(bytes=stream.bytes(16), version=4)
