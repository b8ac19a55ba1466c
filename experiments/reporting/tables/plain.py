"""A table of results as they are, for an experiment that needs no other: numbers in three digits.

    python -m experiments.reporting.tables.plain --results results/fresh/cpu \\
        --output figures/out/fresh/cpu/NAME.csv

NAME is that of a table in the catalogue, which says whose results it shows.
"""

from collections.abc import Sequence
from typing import Any

from experiments.catalogue import TABLES
from experiments.reporting.format import quantity
from experiments.reporting.labels import label
from experiments.reporting.results import NotMeasured, Results
from experiments.reporting.tables.layout import Made, run


def make(results: Results, name: str) -> Made:
    """The results of the experiment that the catalogue names for a table."""
    entry = next((one for one in TABLES if one.name == name), None)
    if entry is None:
        raise NotMeasured(f"there is no table {name} in experiments/catalogue.py")
    numbers = results.needed(entry.experiment)
    shown = numbers.map(_written).rename(columns=lambda column: str(column).replace("_", " "))
    return Made(numbers, shown, entry.about)


def _written(value: Any) -> str:
    return label(value) if isinstance(value, str) else quantity(value)


def main(arguments: Sequence[str] | None = None) -> None:
    run("plain", make, arguments)


if __name__ == "__main__":
    main()
