"""Iterations on AR GRUs trained from several seeds, and for which the paper's order does not hold.

    python -m experiments.reporting.tables.argru_seeds --results results/fresh/cpu \\
        --output figures/out/fresh/cpu/argru_seeds.csv
"""

from collections.abc import Sequence

import pandas as pd

from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import count
from experiments.reporting.quantities import iterations
from experiments.reporting.results import Results
from experiments.reporting.tables.layout import Made, run

EXPERIMENT = "argru_seeds"
# The paper's, from the fewest iterations on.
ORDER = ("elk", "quasi_elk", "deer", "quasi_deer")
NOTE = (
    "The autoregressive GRU, trained anew from each seed: iterations until the mean absolute "
    "deviation of the output from the sequential one is below 0.1, medians over draws of noise, "
    f"with the same dampings for all seeds. The paper's order: {', '.join(map(label, ORDER))}."
)


def tabulate(solves: pd.DataFrame) -> pd.DataFrame:
    """Median iterations, one row a seed and one column a method, and whether the order holds."""
    counted = solves.assign(iterations=iterations(solves))
    table = counted.pivot_table(
        index="training_seed", columns="method", values="iterations", aggfunc="median"
    )
    table = table.reindex(columns=list(ORDER))
    in_order = (table.diff(axis=1).iloc[:, 1:] > 0).all(axis=1)
    return table.assign(in_order=in_order).reset_index()


def for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The table as readers see it."""
    counts = {label(name): [count(value) for value in table[name]] for name in ORDER}
    order = ["holds" if one else "does not hold" for one in table["in_order"]]
    seeds = table["training_seed"].astype(str)
    return pd.DataFrame({"seed of the training": seeds, **counts, "the paper's order": order})


def make(results: Results, _: str) -> Made:
    """The numbers of argru_seeds' results."""
    table = tabulate(results.needed(EXPERIMENT))
    return Made(table, for_readers(table), NOTE)


def main(arguments: Sequence[str] | None = None) -> None:
    run(EXPERIMENT, make, arguments)


if __name__ == "__main__":
    main()
