"""What of a likelihood is compiled, what is not and why."""

from dataclasses import dataclass, field

__all__ = ["Fallback", "Report"]


@dataclass(frozen=True)
class Fallback:
    """One part that Gammapy evaluates.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    model : str
        Name of the model; empty if it is the whole dataset.
    reason : str
        Why.
    """

    dataset: str
    model: str
    reason: str

    def __str__(self) -> str:
        what = f"model {self.model!r} in dataset" if self.model else "dataset"
        return f"{what} {self.dataset!r}: {self.reason}"


@dataclass
class Report:
    """What is compiled, what falls back to Gammapy, and what it costs.

    Attributes
    ----------
    compiled : list of str
        Names of the datasets that are compiled, at least in part.
    fallbacks : list of `Fallback`
        What Gammapy evaluates.
    spectra : list of str
        Spectra whose values Gammapy computes, each with its reason. What follows from them is
        compiled.
    scaled : list of str
        Compiled spectra that a temporal model with free parameters scales, by its exact mean.
    shapes : list of str
        What happened to free shapes in a fit: other starts, refits with responses from where a
        source has gone, and sources that have outgrown the cutouts that Gammapy's fit keeps.
    guard : list of str
        What the comparison with Gammapy found; filled by `ctao_sat.dl5.fit`.
    refused : bool
        Whether the guard found a difference, and Gammapy has fitted instead.
    n_parameters : int
        Free parameters.
    n_bins : int
        Bins in the fit range.
    n_evaluated : int
        Bins that are evaluated one by one; the others are summed beforehand.
    memory : int
        Bytes of the compiled arrays.
    timings : dict
        Seconds of ``kernels`` (extraction of PSF and energy dispersion) and ``compile`` (the rest).
    """

    compiled: list[str] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    spectra: list[str] = field(default_factory=list)
    scaled: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    guard: list[str] = field(default_factory=list)
    refused: bool = False
    n_parameters: int = 0
    n_bins: int = 0
    n_evaluated: int = 0
    memory: int = 0
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether nothing falls back."""
        return not self.fallbacks

    def reasons(self) -> str:
        """Return all fallbacks in one line; empty if there are none."""
        return "; ".join(str(fallback) for fallback in self.fallbacks)

    def __str__(self) -> str:
        lines = [
            f"Compiled likelihood: {len(self.compiled)} datasets, "
            f"{self.n_parameters} free parameters",
            f"  bins        : {self.n_bins}, of which {self.n_evaluated} one by one",
            f"  memory      : {self.memory / 1e6:.1f} MB",
            f"  compilation : {self.timings.get('compile', 0.0):.3f} s, "
            f"kernels {self.timings.get('kernels', 0.0):.3f} s",
        ]
        for title, items in (
            ("by Gammapy", self.fallbacks),
            ("spectrum by Gammapy", self.spectra),
            ("spectrum that varies", self.scaled),
            ("free shapes", self.shapes),
            ("guard", self.guard),
        ):
            lines.extend(f"  {title}: {item}" for item in items)
        return "\n".join(lines)
