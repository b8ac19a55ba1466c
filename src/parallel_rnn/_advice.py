"""The outcome of `parallel_rnn.advise`, and how it prints."""

import dataclasses
import math
from typing import Any

from ._methods import AbstractDamped
from ._solver import AbstractIterative, AbstractSolver, Sequential
from ._transition import BlockDiagonal, StochasticDiagonal


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One solver with one window, as it did on the pilot.

    - `num_steps`: iterations of a window, their mean; the bound on them where it failed. NaN
      where it was not tried.
    - `contraction`: the mean factor of the residual in an iteration.
    - `seconds`: for the pilot. NaN where it failed.
    - `speedup`: how many times faster than `Sequential` the whole sequence is expected to be; 0
      where it failed.
    - `note`: why it failed.
    """

    solver: AbstractIterative
    window: int
    num_steps: float = math.nan
    contraction: float = math.nan
    seconds: float = math.nan
    speedup: float = 0.0
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        failed = self.speedup == 0
        numbers = (
            "-" if failed else f"{self.num_steps:.1f}",
            "-" if math.isnan(self.contraction) else f"{self.contraction:.2g}",
            "-" if failed else duration(self.seconds),
            "-" if failed else f"{self.speedup:.2g}",
        )
        return (name(self.solver), str(self.window), *numbers, self.note)


HEADER = ("method", "window", "iterations", "contraction", "time", "speed", "")


@dataclasses.dataclass(frozen=True)
class Advice:
    """What `parallel_rnn.advise` would use. `print` shows a table of all that was tried.

    - `solver`, `window`: to pass on to `solve`. `Sequential()` and `None` where no method is at
      least a tenth faster.
    - `num_steps`: iterations to expect for the whole sequence, summed over the windows, as in
      `Solution.stats`.
    - `speedup`: how many times faster than `Sequential` the whole sequence is expected to be.
    - `lyapunov_exponent`: the largest, of the natural logarithm, for a step. Negative: a small
      change dies away. Positive: it grows, and the recurrence is chaotic. NaN if not measured.
    - `costs`: seconds for a step of the parts that methods consist of.
    - `candidates`: what was tried.
    - `pilot`, `length`: steps of the pilot, and of the whole sequence.
    """

    solver: AbstractSolver
    window: int | None
    num_steps: int
    speedup: float
    lyapunov_exponent: float
    costs: dict[str, float]
    candidates: tuple[Candidate, ...]
    pilot: int
    length: int

    @property
    def damping(self) -> Any:
        """λ of the solver, `None` for one without."""
        return self.solver.damping if isinstance(self.solver, AbstractDamped) else None

    def __str__(self) -> str:
        if not self.candidates:
            return f"Stay sequential: {self.length} steps are too few to measure."
        costs = ", ".join(f"{part} {duration(cost)}" for part, cost in self.costs.items())
        rows = [HEADER, *(candidate.cells for candidate in self.candidates)]
        return "\n".join(
            [
                f"The first {self.pilot} of {self.length} steps were looked at.",
                f"Largest Lyapunov exponent {self._exponent_meaning()}",
                f"A step costs: {costs}.",
                "",
                *_aligned(rows),
                "",
                "iterations: of a window; contraction: mean factor of the residual in an "
                "iteration; time: of the pilot; speed: against Sequential().",
                self._recommendation(),
            ]
        )

    def _exponent_meaning(self) -> str:
        exponent = self.lyapunov_exponent
        if exponent == -math.inf:
            return "-inf: the influence of a state ends within the pilot."
        if abs(exponent) * self.pilot < 1:
            return f"{exponent:.2g}: small changes neither grow nor die away within the pilot."
        steps = 1 / abs(exponent)
        if exponent < 0:
            return f"{exponent:.3g}: contracting, a change falls to 1/e in about {steps:.2g} steps."
        return f"{exponent:.3g}: chaotic, a change grows to e times in about {steps:.2g} steps."

    def _recommendation(self) -> str:
        if isinstance(self.solver, Sequential):
            return f"Stay sequential: {self._why_sequential()}"
        text = (
            f"Use `solve(f, s0, xs, {name(self.solver)}, window={self.window})`: about "
            f"{self.num_steps} iterations in all, {self.speedup:.1f} times as fast as Sequential()."
        )
        if self.window == self.pilot < self.length:
            text += " Longer windows than the pilot were not tried; `pilot=` sets its length."
        return text

    def _why_sequential(self) -> str:
        best = max(self.candidates, key=lambda candidate: candidate.speedup)
        if best.speedup > 0:
            return (
                f"the fastest method, {name(best.solver)} in windows of {best.window} steps, is "
                f"{best.speedup:.2g} times as fast."
            )
        if not any(map(was_tried, self.candidates)):
            return "nothing else was tried in the time. `seconds=` sets it."
        chaotic = self.lyapunov_exponent * self.pilot >= 1
        return "no method got there" + (", as is usual under chaos." if chaotic else ".")


def was_tried(candidate: Candidate) -> bool:
    """Whether there was time for it."""
    return not math.isnan(candidate.num_steps)


def too_short(length: int) -> Advice:
    """For a sequence that cannot be timed."""
    return Advice(
        solver=Sequential(),
        window=None,
        num_steps=0,
        speedup=1.0,
        lyapunov_exponent=math.nan,
        costs={},
        candidates=(),
        pilot=0,
        length=length,
    )


def name(solver: AbstractSolver) -> str:
    """The solver as a user writes it, defaults left out."""
    arguments = []
    if isinstance(solver, AbstractDamped):
        arguments.append(f"damping={solver.damping:g}")
    if isinstance(solver, AbstractIterative):
        if isinstance(solver.transition, BlockDiagonal):
            arguments.append(f"transition=BlockDiagonal({solver.transition.size})")
        if isinstance(solver.transition, StochasticDiagonal):
            arguments.append("transition=StochasticDiagonal()")
    return f"{type(solver).__name__}({', '.join(arguments)})"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the first column to the left and the others, but for notes, to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    lines = []
    for method, *numbers, note in rows:
        right = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([method.ljust(widths[0]), *right, note]).rstrip())
    return lines
