"""Nonlinear recurrences evaluated in parallel over time, in JAX and Equinox."""

import importlib.metadata
from typing import Any

from . import cells as cells
from ._advise.advice import Advice as Advice
from ._advise.advise import advise as advise
from ._calls.batch import solve_batch as solve_batch
from ._calls.scan import scan as scan
from ._calls.solve import solve as solve
from ._gradients.adjoint import AbstractAdjoint as AbstractAdjoint
from ._gradients.adjoint import DiagonalAdjoint as DiagonalAdjoint
from ._gradients.adjoint import ImplicitAdjoint as ImplicitAdjoint
from ._gradients.adjoint import IteratedAdjoint as IteratedAdjoint
from ._gradients.adjoint import UnrolledAdjoint as UnrolledAdjoint
from ._linear.linear_scan import AbstractLinearScan as AbstractLinearScan
from ._linear.linear_scan import AssociativeScan as AssociativeScan
from ._linear.linear_scan import SequentialScan as SequentialScan
from ._recurrence.transition import AbstractTransition as AbstractTransition
from ._recurrence.transition import BlockDiagonal as BlockDiagonal
from ._recurrence.transition import Clipped as Clipped
from ._recurrence.transition import Dense as Dense
from ._recurrence.transition import Diagonal as Diagonal
from ._recurrence.transition import Identity as Identity
from ._recurrence.transition import Scaled as Scaled
from ._recurrence.transition import StochasticDiagonal as StochasticDiagonal
from ._recurrence.transition import Zero as Zero
from ._renamed import warn_renamed
from ._solvers.damping import AbstractDamping as AbstractDamping
from ._solvers.damping import AdaptiveDamping as AdaptiveDamping
from ._solvers.iterate import Iterate as Iterate
from ._solvers.iterate import Loop as Loop
from ._solvers.iterate import Point as Point
from ._solvers.methods import DEER as DEER
from ._solvers.methods import ELK as ELK
from ._solvers.methods import ClipELK as ClipELK
from ._solvers.methods import Jacobi as Jacobi
from ._solvers.methods import Picard as Picard
from ._solvers.methods import QuasiDEER as QuasiDEER
from ._solvers.methods import QuasiELK as QuasiELK
from ._solvers.methods import ScaleELK as ScaleELK
from ._solvers.solution import ENDINGS as ENDINGS
from ._solvers.solution import RESULTS as RESULTS
from ._solvers.solution import Solution as Solution
from ._solvers.solution import SolveError as SolveError
from ._solvers.solver import AbstractIterative as AbstractIterative
from ._solvers.solver import AbstractSolver as AbstractSolver
from ._solvers.solver import Sequential as Sequential
from ._solvers.solver import Window as Window
from ._types import HasBlocks as HasBlocks
from ._types import HasDiagonal as HasDiagonal
from ._types import HasJacobian as HasJacobian
from ._types import HasProjection as HasProjection

__version__ = importlib.metadata.version("parallel_rnn")


def __getattr__(name: str) -> Any:
    if name == "AbstractRecurrence":
        warn_renamed(name, "AbstractLinearScan", stacklevel=2)
        return AbstractLinearScan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
