"""The order of worth: what runs first where a machine may be gone before everything has run."""

from collections.abc import Sequence


def rank(order: Sequence[str], name: str) -> int:
    """The place of a result in the order of worth; behind all others if it is not named there.

    **Arguments:**

    - `order`: experiments, and curves by the beginning of their names: `gru_scaling/batch16` stands
      for all its state sizes.
    - `name`: of a result, such as `windows` or `gru_scaling/batch16_dim8`.
    """
    places = (place for place, entry in enumerate(order) if _names(entry, name))
    return next(places, len(order))


def _names(entry: str, name: str) -> bool:
    experiment, _, curve = name.partition("/")
    named, _, beginning = entry.partition("/")
    return experiment == named and f"{curve}_".startswith(beginning and f"{beginning}_")
