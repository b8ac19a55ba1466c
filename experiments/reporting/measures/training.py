"""Measures of the trained classifiers (Figure 3) and of their gradients."""

from experiments.reporting.measures.measurement import Measurement, listed, measured, number
from experiments.reporting.results import Column, Results

EXPERIMENT, STEP, GRADIENTS = "training", "training_step", "gradients"


def training_iterations_ratio(
    source: Results, more: str = "quasi_deer", fewer: str = "deer"
) -> Measurement:
    """Mean iterations over layers and updates: of one variant over another's."""
    table = source.needed(EXPERIMENT, variant=[more, fewer])
    layers = table.filter(like="num_steps_layer_").mean(axis=1)
    means = layers.groupby(table["variant"]).mean().reindex([more, fewer])
    text = f"{number(means[more])} against {number(means[fewer])} iterations"
    return measured({more: float(means[more] / means[fewer])}, text, EXPERIMENT)


def accuracy_difference(source: Results, variants: list[str]) -> Measurement:
    """The spread of the best validation accuracies of variants, each a mean over splits."""
    table = source.needed("training_epochs", variant=variants)
    best = table.groupby(["variant", "split"])["validation_accuracy"].max()
    means = best.groupby("variant").mean().reindex(variants)
    values = {str(name): float(value) for name, value in means.items()}
    difference = means.max(skipna=False) - means.min(skipna=False)
    return measured({"difference": difference}, _listed(values), EXPERIMENT)


def update_time_ratio(source: Results) -> Measurement:
    """Median time of an update at the paper's size: DEER's over quasi-DEER's."""
    times = update_times(source, ["deer", "quasi_deer"])
    ratio = float(times["deer"] / times["quasi_deer"])
    text = f"{number(ratio)} times: {listed(times.to_dict())} s"
    return measured({"quasi_deer": ratio}, text, STEP)


def update_times(source: Results, variants: list[str]) -> Column:
    """Median seconds of an update at the paper's size, for each variant; NaN if not measured."""
    table = source.needed(STEP, variant=variants)
    return table.groupby("variant")["time_s"].median().reindex(variants)


def gradient_difference(source: Results) -> Measurement:
    """Angle and ratio of norms between the approximate and the exact gradient, over epochs."""
    table = source.needed(GRADIENTS)
    angle, ratio = table["angle_deg_all"], table["norm_ratio_all"]
    text = (
        f"angle {number(angle.median())} degrees ({number(angle.min())} to {number(angle.max())}), "
        f"norm {number(ratio.median())} times the exact one"
    )
    return measured({"angle": float(angle.median())}, text, GRADIENTS)


def _listed(accuracies: dict[str, float]) -> str:
    return listed(accuracies, lambda value: f"{value:.2f}")
