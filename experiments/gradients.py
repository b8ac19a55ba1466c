"""The paper's approximate gradient beside the exact one, along a training.

The classifier is trained on the first split with quasi-DEER and exact gradients. After every epoch
both gradients are taken on the epoch's last batch: that of `ImplicitAdjoint`, and that of
`DiagonalAdjoint`, which goes back through the sequence with the Jacobian's diagonal.

    python -m experiments.gradients --output results/fresh/cpu/gradients.csv

writes one row an epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.datasets.parts import Part
from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.records import RunRecord, write_results
from experiments.problems.classifier import Classifier, evaluation, loss
from experiments.problems.trainer import Settings, Watch
from experiments.problems.training import checkpoints, train

EXPERIMENT, SECTION = "gradients", "training"
EXACT, DIAGONAL = "quasi_deer", "quasi_deer_diagonal"


def gradient_of(settings: Settings, variant: str) -> Callable[[Classifier, Part], Any]:
    """(model, batch) -> the gradient as a variant takes it."""
    evaluate = evaluation(variant, settings)

    @eqx.filter_jit
    def gradient(model: Classifier, batch: Part) -> Any:
        series, labels = map(jnp.asarray, batch)
        return eqx.filter_grad(lambda model: loss(model, series, labels, evaluate)[0])(model)

    return gradient


def parts_of(gradient: Classifier) -> dict[str, Any]:
    """The whole gradient, and those of the encoder and of every recurrence.

    What comes behind the last recurrence has the same gradient either way.
    """
    cells = {f"recurrence_{1 + i}": layer.cell for i, layer in enumerate(gradient.layers)}
    return {"all": gradient, "encoder": gradient.encoder, **cells}


def compare(exact: Any, other: Any) -> dict[str, float]:
    """The angle between two gradients in degrees, and the second's norm over the first's."""
    a, b = _flat(exact), _flat(other)
    sizes = np.linalg.norm(a), np.linalg.norm(b)
    cosine = np.clip(a @ b / (sizes[0] * sizes[1]), -1, 1)
    return {"angle_deg": float(np.degrees(np.arccos(cosine))), "norm_ratio": sizes[1] / sizes[0]}


def _flat(tree: Any) -> np.ndarray:
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])


def watch(settings: Settings) -> Watch:
    """(model, batch) -> how the gradients differ there, for every part of the model."""
    exact, diagonal = gradient_of(settings, EXACT), gradient_of(settings, DIAGONAL)

    def compare_both(model: Classifier, batch: Part) -> dict[str, float]:
        wanted, other = parts_of(exact(model, batch)), parts_of(diagonal(model, batch))
        return {
            f"{measure}_{part}": value
            for part in wanted
            for measure, value in compare(wanted[part], other[part]).items()
        }

    return compare_both


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    parser.set_defaults(variant=EXACT)
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    settings = replace(settings, splits=1)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    with checkpoints(options.output) as kept:
        (rows,), _ = train(settings, EXPERIMENT, kept, watch(settings))
        write_results(options.output, pd.DataFrame(rows.epochs), record.complete())


if __name__ == "__main__":
    main()
