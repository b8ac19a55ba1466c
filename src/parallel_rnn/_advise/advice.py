"""The outcome of `parallel_rnn.advise`, and how it prints."""

import dataclasses
import math
from typing import Any

from .._recurrence.transition import BlockDiagonal, StochasticDiagonal
from .._solvers.methods import AbstractDamped
from .._solvers.solver import AbstractIterative, AbstractSolver, Sequential


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One solver with one window, or with chunks of one length, as it did.

    - `window`, `chunk`: the steps of a window, or of a chunk; the other of the two is `None`.
    - `num_steps`: iterations of a window, their mean; of chunks, sweeps over all of them. The bound
      on them where it failed, NaN where it was not tried.
    - `contraction`: the mean factor of the residual in an iteration.
    - `measured_steps`, `seconds`: how many steps were timed, and how long they took. Windows are
      timed on the pilot, chunks on as many steps as there is time for. NaN where it failed.
    - `whole_seconds`: for the whole sequence. Inferred, if not all steps were timed: that much for
      every step, or for every window.
    - `sequential_seconds`: the same of `Sequential()`, which was timed in turn with it.
    - `note`: why it failed.
    """

    solver: AbstractIterative
    window: int | None
    chunk: int | None = None
    num_steps: float = math.nan
    contraction: float = math.nan
    measured_steps: int = 0
    seconds: float = math.nan
    whole_seconds: float = math.nan
    sequential_seconds: float = math.nan
    note: str = ""

    @property
    def speedup(self) -> float:
        """How many times as fast as `Sequential` the whole sequence should be; 0 if it failed."""
        failed = math.isnan(self.whole_seconds)
        return 0.0 if failed else self.sequential_seconds / self.whole_seconds

    @property
    def call(self) -> str:
        """What to write to use it."""
        cut = f"window={self.window}" if self.chunk is None else f"chunk={self.chunk}"
        return f"solve(f, s0, xs, {name(self.solver)}, {cut})"

    @property
    def iterations(self) -> str:
        """What its `num_steps` are."""
        return "iterations" if self.chunk is None else "sweeps"

    def cells(self, length: int, pilot: int) -> tuple[str, ...]:
        """The row of the table, for a sequence and a pilot of these lengths."""
        contraction = "-" if math.isnan(self.contraction) else f"{self.contraction:.2g}"
        numbers = ("-",) * 6
        if self.speedup > 0:
            numbers = (
                f"{self.num_steps:.1f}",
                str(self.measured_steps),
                duration(self.seconds),
                inferred(self.whole_seconds, self.measured_steps, length),
                inferred(self.sequential_seconds, pilot, length),
                f"{self.speedup:.2g}",
            )
        cuts = ("-" if cut is None else str(cut) for cut in (self.window, self.chunk))
        return (name(self.solver), *cuts, numbers[0], contraction, *numbers[1:], self.note)


HEADER = (
    "method",
    "window",
    "chunk",
    "iterations",
    "contraction",
    "steps",
    "time",
    "of all",
    "sequential",
    "speed",
    "",
)
LEGEND = (
    "iterations: of a window, or sweeps over all chunks; contraction: mean factor of the residual "
    "in one.",
    "time: measured, for so many steps; of all: for the whole sequence; sequential: the same of "
    "Sequential(), measured in turn with it. ~: inferred from the steps that were measured.",
    "speed: sequential / of all.",
)


@dataclasses.dataclass(frozen=True)
class Advice:
    """What `parallel_rnn.advise` would use. `print` shows a table of all that was tried.

    - `solver`, `window`, `chunk`: to pass on to `solve`, the last two as `**options`, of which one
      is `None`. `Sequential()` and `None` twice where no method is at least a tenth faster.
    - `num_steps`: iterations to expect for the whole sequence, summed over the windows, as in
      `Solution.stats`; sweeps where there are chunks.
    - `speedup`: how many times faster than `Sequential` the whole sequence is expected to be.
    - `lyapunov_exponent`: the largest, of the natural logarithm, for a step. Negative: a small
      change dies away. Positive: it grows, and the recurrence is chaotic. NaN if not measured.
    - `costs`: seconds for a step of the parts that methods consist of.
    - `candidates`: what was tried, each with its `solver`, `window` and `chunk`, the `speedup` and
      `num_steps` to expect, and a `note` where it was not measured to the end.
    - `pilot`, `length`: steps of the pilot, and of the whole sequence.
    - `took`, `seconds`: how long it took to find out, and how long it was allowed to.
    """

    solver: AbstractSolver
    window: int | None
    chunk: int | None
    num_steps: int
    speedup: float
    lyapunov_exponent: float
    costs: dict[str, float]
    candidates: tuple[Candidate, ...]
    pilot: int
    length: int
    took: float
    seconds: float

    @property
    def options(self) -> dict[str, Any]:
        """How to cut the sequence: `solve(f, s0, xs, advice.solver, **advice.options)`."""
        return {"window": self.window, "chunk": self.chunk}

    @property
    def damping(self) -> Any:
        """λ of the solver, `None` for one without."""
        return self.solver.damping if isinstance(self.solver, AbstractDamped) else None

    def __str__(self) -> str:
        if not self.candidates:
            return f"Stay sequential: {self.length} steps are too few to measure."
        costs = ", ".join(f"{part} {duration(cost)}" for part, cost in self.costs.items())
        rows = [HEADER, *(one.cells(self.length, self.pilot) for one in self.candidates)]
        return "\n".join(
            [
                f"Looked at the first {self.pilot} of {self.length} steps, for {self.took:.1f} s "
                f"of {self.seconds:g}.",
                f"Largest Lyapunov exponent {self._exponent_meaning()}",
                f"A step costs: {costs}.",
                "",
                *_aligned(rows),
                "",
                *LEGEND,
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
        best = self._best()
        unit = best.iterations.removesuffix("s" if self.num_steps == 1 else "")
        text = (
            f"Use `{best.call}`: about {self.num_steps} {unit} in all, "
            f"{self.speedup:.1f} times as fast as Sequential()."
        )
        if self.window == self.pilot < self.length:
            text += " Longer windows than the pilot were not tried; `pilot=` sets its length."
        return text

    def _best(self) -> Candidate:
        return max(self.candidates, key=lambda candidate: candidate.speedup)

    def _why_sequential(self) -> str:
        best = self._best()
        if best.speedup > 0:
            return f"the fastest method, `{best.call}`, is {best.speedup:.2g} times as fast."
        if not any(map(was_tried, self.candidates)):
            return "nothing else was tried in the time. `seconds=` sets it."
        chaotic = self.lyapunov_exponent * self.pilot >= 1
        return "no method got there" + (", as is usual under chaos." if chaotic else ".")


def was_tried(candidate: Candidate) -> bool:
    """Whether there was time for it."""
    return not math.isnan(candidate.num_steps)


def too_short(length: int, seconds: float) -> Advice:
    """For a sequence that cannot be timed."""
    return Advice(
        solver=Sequential(),
        window=None,
        chunk=None,
        num_steps=0,
        speedup=1.0,
        lyapunov_exponent=math.nan,
        costs={},
        candidates=(),
        pilot=0,
        length=length,
        took=0.0,
        seconds=seconds,
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


def inferred(seconds: float, measured_steps: int, length: int) -> str:
    """Seconds for the whole sequence, marked where fewer steps were measured."""
    return ("~" if measured_steps < length else "") + duration(seconds)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the first column to the left and the others, but for notes, to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    lines = []
    for method, *numbers, note in rows:
        right = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([method.ljust(widths[0]), *right, note]).rstrip())
    return lines
