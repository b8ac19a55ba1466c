"""Numbers of the report about training: Figure 3 and the approximate gradient."""

import numpy as np

from experiments.reporting.format import count, quantity, seconds, span
from experiments.reporting.quantities import with_best_scan
from experiments.reporting.results import Results, median, pick, rows
from experiments.reporting.tables import training_accuracy

VARIANTS = ("sequential", "deer", "quasi_deer", "quasi_deer_diagonal", "quasi_deer_warm")
BASELINES = ("majority", "linear_probe")
STEP_VARIANTS = ("sequential", "best_scan", "deer", "quasi_deer", "chunks")


def training(source: Results) -> dict[str, str]:
    """Accuracy, iterations and time of an update of every variant, beside the baselines."""
    names = ("training", "training_epochs", "baselines")
    updates, epochs, baselines = (source.table(name) for name in names)
    complete = not (updates.empty or epochs.empty or baselines.empty)
    table = training_accuracy.tabulate(updates, epochs, baselines) if complete else updates.iloc[:0]
    numbers = {
        f"training.{name}": span(source.settings("training", name), count)
        for name in ("length", "splits", "units", "layers", "batch_size", "epochs")
    }
    for name in (*BASELINES, *VARIANTS):
        own = rows(table, trained=name)
        numbers[f"training.{name}.accuracy"] = _accuracy(pick(own, "test_accuracy_mean"))
    for name in VARIANTS:
        own = rows(table, trained=name)
        numbers[f"training.{name}.time"] = seconds(median(pick(own, "update_time_s")))
        if name != "sequential":
            numbers[f"training.{name}.steps"] = quantity(median(pick(own, "num_steps_mean")))
    return numbers


def _accuracy(values: np.ndarray) -> str:
    return quantity(round(median(values), 2) if len(values) else np.nan)


def training_step(source: Results) -> dict[str, str]:
    """Time and iterations of an update at EigenWorms' shape."""
    table = source.table("training_step")
    compared = with_best_scan(table, [], column="variant") if len(table) else table
    numbers = {
        f"training_step.{name}": span(source.settings("training_step", name), count)
        for name in ("length", "units", "layers", "batch_size", "channels", "classes")
    }
    for name in STEP_VARIANTS:
        own = rows(compared, variant=name)
        numbers[f"training_step.{name}.time"] = seconds(median(pick(own, "time_s")))
        if name not in ("sequential", "best_scan"):
            layers = own.filter(like="num_steps_layer_").to_numpy(float).ravel()
            numbers[f"training_step.{name}.steps"] = span(layers, count)
    return numbers


def gradients(source: Results) -> dict[str, str]:
    """Angle and norm of the approximate gradient beside the exact one."""
    table = source.table("gradients")
    angles, norms = pick(table, "angle_deg_all"), pick(table, "norm_ratio_all")
    recurrence = pick(table, "angle_deg_recurrence_1")
    return {
        "gradients.angle": span(np.round(angles)),
        "gradients.angle_recurrence": span(np.round(recurrence)),
        "gradients.norm_first": quantity(norms[0] if len(norms) else np.nan),
        "gradients.norm_last": quantity(norms[-1] if len(norms) else np.nan),
        "gradients.epochs": count(len(table) or np.nan),
    }
