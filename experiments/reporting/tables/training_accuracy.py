"""Accuracy, iterations and time of the trained classifiers beside the baselines (Figure 3).

    python -m experiments.reporting.tables.training_accuracy --results results/fresh/cpu \\
        --output figures/out/fresh/cpu/training_accuracy.csv
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.reporting.labels import TRAININGS
from experiments.reporting.results import Results
from experiments.reporting.tables.layout import MISSING, Made, run

NOTE = (
    "Test accuracy at the epoch that the validation part chose: mean over the splits, with the "
    "lowest and the highest. Iterations: mean over series, layers and updates. Time: median over "
    "the updates. The linear probe sees mean and deviation of the channels only."
)


def tabulate(updates: pd.DataFrame, epochs: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """The numbers, one row for each baseline and variant."""
    best = epochs.sort_values(["validation_accuracy", "epoch"]).groupby(["variant", "split"]).last()
    layers = updates.filter(like="num_steps_layer_").mean(axis=1)
    rows = [
        {"trained": name, **_accuracy(own["test_accuracy"])}
        for name, own in baselines.groupby("baseline", sort=False)
    ]
    for variant, own in updates.groupby("variant", sort=False):
        sequential = variant == "sequential"
        rows.append(
            {
                "trained": variant,
                **_accuracy(best["test_accuracy"].loc[variant]),
                "num_steps_mean": None if sequential else layers[own.index].mean(),
                "failed_solves": own["failed_solves"].sum(),
                "update_time_s": own["time_s"].median(),
            }
        )
    return pd.DataFrame(rows)


def _accuracy(values: Any) -> dict[str, float]:
    return {
        "test_accuracy_mean": values.mean(),
        "test_accuracy_min": values.min(),
        "test_accuracy_max": values.max(),
    }


def for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The table as readers see it: times in milliseconds, names in words."""
    rows = [
        {
            "trained with": TRAININGS[row["trained"]],
            "test accuracy": "{:.2f} ({:.2f} to {:.2f})".format(
                *(row[f"test_accuracy_{name}"] for name in ("mean", "min", "max"))
            ),
            "iterations": _number(row["num_steps_mean"], "{:.1f}"),
            "ms per update": _number(1e3 * row["update_time_s"], "{:.3g}"),
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _number(value: float, form: str) -> str:
    return MISSING if pd.isna(value) else form.format(value)


def make(results: Results, _: str) -> Made:
    """The numbers of the results of training and baselines."""
    names = ("training", "training_epochs", "baselines")
    table = tabulate(*(results.needed(name) for name in names))
    return Made(table, for_readers(table), NOTE)


def main(arguments: Sequence[str] | None = None) -> None:
    run("training_accuracy", make, arguments)


if __name__ == "__main__":
    main()
