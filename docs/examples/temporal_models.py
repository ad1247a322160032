import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.data import GTI
from matplotlib.figure import Figure

from ctao_sat import plotting, transients

t0 = Time("2025-01-01T00:00:00", scale="utc")
minutes = [0.2, 100] * u.min
panels = [
    ("afterglow", minutes, True, {
        "OnsetPowerLaw": transients.OnsetPowerLawTemporalModel(t0, 1.6, 1 * u.min, 1 * u.min),
        "BrokenPowerLaw": transients.BrokenPowerLawTemporalModel(t0, 0.8, 2.2, 10 * u.min),
    }),
    ("afterglow with a rise", minutes, True, {
        "SmoothBrokenPowerLaw": transients.SmoothBrokenPowerLawTemporalModel(
            t0, -2, 1.2, 3 * u.min, 1.5
        ),
        "MultiBrokenPowerLaw": transients.MultiBrokenPowerLawTemporalModel(
            t0, [-3, 0, 1.2, 2.5], [0.7, 2, 20] * u.min
        ),
    }),
    ("decay", [1, 1000] * u.d, True, {
        "OnsetExpDecay": transients.OnsetExpDecayTemporalModel(t0, 60 * u.d, 3 * u.d),
        "TidalDisruption": transients.TidalDisruptionTemporalModel(t0, 30 * u.d),
        "DelayedNova": transients.DelayedNovaTemporalModel(t0, 1.43, 4 * u.d, 4 * u.d, 2 * u.d),
    }),
    ("pulse", [-2, 10] * u.min, False, {
        "FRED": transients.FREDTemporalModel(t0, 1 * u.min, 2 * u.min),
        "FREDXi": transients.FREDXiTemporalModel(t0, 4 * u.min, 5),
        "DoubleExpFlare": transients.DoubleExpFlareTemporalModel(t0, "20 s", "40 s"),
    }),
    ("source that returns", [-30, 60] * u.d, False, {
        "Periodic": transients.PeriodicTemporalModel(t0, 0.4, 20 * u.d),
        "Orbital": transients.OrbitalTemporalModel(
            t0, 26.5 * u.d, [0.25, 0.45, 0.6, 0.75, 0.9], [0.1, 0.3, 1.8, 1.4, 0.2]
        ),
    }),
    ("table", [-2, 12] * u.h, False, {
        "Table": transients.TableTemporalModel(t0, [0, 1, 2, 5, 9] * u.h, [0.2, 1.4, 0.9, 1.1, 0]),
    }),
]  # fmt: skip

figure = Figure(figsize=(11, 11), layout="constrained")
for ax, (title, time_range, log, models) in zip(figure.subplots(3, 2).flat, panels, strict=True):
    for name, model in models.items():
        plotting.plot_temporal(model, time_range, log=log, label=name, ax=ax)
    ax.set_xlabel(f"{title}: time after T0 [{time_range.unit}]")
plotting.save(figure, "temporal-models.png")

# What datasets see of an afterglow: the mean over their good time intervals.
decay = transients.OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=100 * u.s, t_on=60 * u.s)
gti = GTI.create([90, 300, 1200] * u.s, [200, 900, 3600] * u.s, reference_time=t0)
print(decay.integral(gti.time_start, gti.time_stop).sum())
plotting.save(plotting.plot_temporal(decay, [30, 5000] * u.s, gti=gti), "temporal-gti.png")
times = decay.sample_time(10_000, t0, t0 + 1 * u.h, random_state=1)
print("half of the photons of an hour arrive within", np.median(times - t0).to("s"))
