"""Nonlinear recurrences evaluated in parallel over time, in JAX and Equinox."""

import importlib.metadata
from typing import Any

from . import cells as cells
from ._adjoint import AbstractAdjoint as AbstractAdjoint
from ._adjoint import DiagonalAdjoint as DiagonalAdjoint
from ._adjoint import ImplicitAdjoint as ImplicitAdjoint
from ._adjoint import IteratedAdjoint as IteratedAdjoint
from ._adjoint import UnrolledAdjoint as UnrolledAdjoint
from ._advice import Advice as Advice
from ._advise import advise as advise
from ._batch import solve_batch as solve_batch
from ._damping import AbstractDamping as AbstractDamping
from ._damping import AdaptiveDamping as AdaptiveDamping
from ._iterate import Iterate as Iterate
from ._iterate import Loop as Loop
from ._iterate import Point as Point
from ._linear_scan import AbstractLinearScan as AbstractLinearScan
from ._linear_scan import AssociativeScan as AssociativeScan
from ._linear_scan import SequentialScan as SequentialScan
from ._methods import DEER as DEER
from ._methods import ELK as ELK
from ._methods import ClipELK as ClipELK
from ._methods import Jacobi as Jacobi
from ._methods import Picard as Picard
from ._methods import QuasiDEER as QuasiDEER
from ._methods import QuasiELK as QuasiELK
from ._methods import ScaleELK as ScaleELK
from ._renamed import warn_renamed
from ._scan import scan as scan
from ._solution import ENDINGS as ENDINGS
from ._solution import RESULTS as RESULTS
from ._solution import Solution as Solution
from ._solution import SolveError as SolveError
from ._solve import solve as solve
from ._solver import AbstractIterative as AbstractIterative
from ._solver import AbstractSolver as AbstractSolver
from ._solver import Sequential as Sequential
from ._solver import Window as Window
from ._transition import AbstractTransition as AbstractTransition
from ._transition import BlockDiagonal as BlockDiagonal
from ._transition import Clipped as Clipped
from ._transition import Dense as Dense
from ._transition import Diagonal as Diagonal
from ._transition import Identity as Identity
from ._transition import Scaled as Scaled
from ._transition import StochasticDiagonal as StochasticDiagonal
from ._transition import Zero as Zero
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
