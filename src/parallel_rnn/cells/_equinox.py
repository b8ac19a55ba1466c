"""Cells of other libraries as recurrences."""

from collections.abc import Callable
from typing import Any

import equinox as eqx

from ._gru import GRUCell
from ._lstm import LSTMCell


def from_equinox(cell: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Turn `cell(input, hidden) -> hidden` into a recurrence `f(state, x) -> state`.

    **Arguments:**

    - `cell`: an `equinox.nn.GRUCell`, an `equinox.nn.LSTMCell`, or any other callable.

    **Returns:**

    A `GRUCell` or an `LSTMCell` with the same weights; the state of the LSTM is (c, h), where
    Equinox has (h, c). Any other callable is called with its arguments swapped; a solver takes
    its derivatives by automatic differentiation.

    **Raises:** `ValueError` for an Equinox cell without bias.
    """
    if isinstance(cell, eqx.nn.GRUCell):
        return GRUCell.from_equinox(cell)
    if isinstance(cell, eqx.nn.LSTMCell):
        return LSTMCell.from_equinox(cell)
    return _Swapped(cell)


class _Swapped(eqx.Module):
    cell: Callable[[Any, Any], Any]

    def __call__(self, state: Any, x: Any) -> Any:
        return self.cell(x, state)
