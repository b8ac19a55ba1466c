"""Cells with closed-form Jacobians. `cell(state, x)` is one step of the recurrence.

Every cell starts from `cell.initial_state()`, sees the input through `cell.project(x)` and the
state in `cell.recurrent`, which offers the closed forms.
"""

from ._continuous import LEMCell as LEMCell
from ._continuous import LiquidCell as LiquidCell
from ._elman import ElmanCell as ElmanCell
from ._equinox import from_equinox as from_equinox
from ._gru import GRUCell as GRUCell
from ._gru import MinimalGatedUnit as MinimalGatedUnit
from ._lstm import LSTMCell as LSTMCell
from ._lstm import SLSTMCell as SLSTMCell
