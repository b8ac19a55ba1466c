"""What a classifier of recordings has to beat: the majority, and a linear probe.

The probe sees the mean and the deviation of every channel and nothing of the order of the steps.
The splits are those of `experiments.training`.

    python -m experiments.baselines --output results/fresh/cpu/baselines.csv

writes one row for each baseline and split.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from experiments.datasets.dataset import DatasetError
from experiments.datasets.parts import Part, Parts, load, splits
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.records import RunRecord, write_results

EXPERIMENT, SECTION = "baselines", "training"
# Holds the weights of the probe where few series would let them grow.
RIDGE = 1e-2


@dataclass(frozen=True)
class Settings:
    """What the baselines depend on; config/README.md explains each value."""

    dataset: str
    folder: str | None
    length: int
    validation: int
    test: int
    splits: int
    seed: int


def majority(parts: Parts) -> float:
    """The accuracy of always naming the class that most training series have."""
    most = np.argmax(np.bincount(parts.training.labels))
    return float(np.mean(parts.test.labels == most))


def linear_probe(parts: Parts) -> float:
    """The accuracy of logistic regression on the mean and the deviation of the channels."""
    classes = 1 + max(int(part.labels.max()) for part in parts)
    x, wanted = _features(parts.training), np.eye(classes)[parts.training.labels]

    # The mean cross entropy with a ridge, and its gradient X' (p - y) / N + ridge W.
    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(x.shape[1], classes)
        logits = x @ weights
        entropy = -np.mean(np.sum(wanted * log_softmax(logits, axis=1), axis=1))
        gradient = x.T @ (softmax(logits, axis=1) - wanted) / len(x) + RIDGE * weights
        return entropy + RIDGE / 2 * np.sum(weights**2), gradient.ravel()

    found = minimize(cost, np.zeros(x.shape[1] * classes), jac=True, method="L-BFGS-B")
    logits = _features(parts.test) @ found.x.reshape(x.shape[1], classes)
    return float(np.mean(np.argmax(logits, axis=1) == parts.test.labels))


def _features(part: Part) -> Float[np.ndarray, "N features"]:
    series = part.series.astype(np.float64)
    return np.hstack([series.mean(axis=1), series.std(axis=1), np.ones((len(series), 1))])


BASELINES = {"majority": majority, "linear_probe": linear_probe}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    rows = []
    try:
        dataset = load(settings.dataset, settings.folder, settings.length)
        for split, parts in enumerate(splits(dataset, settings)):
            rows += [
                {"baseline": name, "split": split, "test_accuracy": accuracy(parts)}
                for name, accuracy in BASELINES.items()
            ]
    except DatasetError as error:
        sys.exit(str(error))
    write_results(options.output, pd.DataFrame(rows), record.complete())


if __name__ == "__main__":
    main()
