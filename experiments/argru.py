"""How the parallel methods converge on the autoregressive GRU (Figure 4, Table 2).

The untrained and the trained model are rolled out on several draws of noise. DEER, quasi-DEER,
ELK and quasi-ELK look for all states at once, from a guess of zeros. For every iterate the mean
absolute deviation (MAD) of the output x from that of `jax.lax.scan` is kept, as the paper takes
it; the answer counts as found where it first falls below 0.1.

    python -m experiments.argru --weights results/fresh/cpu/argru_weights.npz \\
        --output results/fresh/cpu/argru.csv

writes one row a solve. Beside it are `argru_mad.csv`, the MAD against iterations;
`argru_iterates.csv`, some iterates themselves; and `argru_times.csv`, times of a fixed number of
iterations, the methods taking turns. Only the last differs between two runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.harness.timing import Plan, interleaved, timed
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.argru_training import untrained
from experiments.problems.systems import PAPER_THRESHOLD, System, answered, output_deviation
from parallel_rnn import DEER, ELK, AbstractSolver, QuasiDEER, QuasiELK, Sequential

EXPERIMENT, SECTION = "argru", "argru.convergence"
# (λ, tolerance) -> method. The tolerance is absolute and relative.
SOLVERS: dict[str, Callable[[Any, float], AbstractSolver]] = {
    "deer": lambda damping, tolerance: DEER(rtol=tolerance, atol=tolerance),
    "quasi_deer": lambda damping, tolerance: QuasiDEER(rtol=tolerance, atol=tolerance),
    "elk": lambda damping, tolerance: ELK(damping, rtol=tolerance, atol=tolerance),
    "quasi_elk": lambda damping, tolerance: QuasiELK(damping, rtol=tolerance, atol=tolerance),
}
# The MAD is kept of all iterates up to this one, then of so many for each factor of 10.
KEPT_WHOLE = 100
KEPT_PER_DECADE = 100


@dataclass(frozen=True)
class Settings:
    """What the comparison depends on; config/README.md explains each value."""

    untrained_seed: int
    length: int
    seeds: int
    max_steps: int
    tolerance: float
    elk_damping: float
    quasi_elk_damping: float
    iterates: tuple[int, ...]
    iterates_stride: int
    timed_steps: int
    repetitions: int

    def damping(self, method: str) -> float:
        """The λ of a method; 0, which is none, for the undamped ones."""
        return {"elk": self.elk_damping, "quasi_elk": self.quasi_elk_damping}.get(method, 0.0)


def rolled_out(model: ARGRU, length: int, seed: int) -> System:
    """The model on noise that the seed draws, and its output as `jax.lax.scan` finds it."""
    start = model.initial_state()
    noise = jax.random.normal(jax.random.key(seed), (length,), start.dtype)
    return answered(model, start, noise, length, output_deviation, PAPER_THRESHOLD)


Search = Callable[[System, Float[Array, ""]], tuple[Array, Int[Array, ""]]]


def search(
    method: str,
    tolerance: float,
    max_steps: int,
    trace: Callable[[System, Array], Any] | None,
) -> Search:
    """(system, damping) -> (trace of all iterates, number of iterations).

    Compiled once for all models, draws and dampings.

    **Arguments:**

    - `tolerance`: the search ends when no residual is above it, absolute and relative. Where
      errors grow from step to step, a small residual everywhere is not yet a small MAD.
    - `trace`: (system, states) -> what to keep of an iterate.
    """

    @eqx.filter_jit
    def run(system: System, damping: Array) -> tuple[Array, Array]:
        keep = None if trace is None else _on_states(trace, system)
        solver = SOLVERS[method](damping, tolerance)
        solution = system.solve(solver, window=None, guess="zeros", max_steps=max_steps, trace=keep)
        return solution.trace, solution.stats["num_steps"]

    return run


def _on_states(trace: Callable[[System, Array], Any], system: System) -> Callable:
    """The trace as `solve` calls it."""
    return lambda step, states, residual: trace(system, states)


def deviations(run: Search, system: System, damping: float) -> np.ndarray:
    """The MAD of the iterates 0, 1, ..., by a search that traces `System.mad`."""
    mad, num_steps = run(system, _like(system, damping))
    return np.asarray(mad)[: int(num_steps) + 1]


def first_below(mad: np.ndarray, threshold: float) -> int | None:
    """The first iteration whose MAD is below the threshold."""
    below = np.flatnonzero(mad < threshold)
    return None if len(below) == 0 else int(below[0])


def summarise(mad: np.ndarray) -> dict[str, Any]:
    """The iterations that it took to the answer and in all, and the last MAD."""
    return {
        "num_steps": first_below(mad, PAPER_THRESHOLD),
        "run_steps": len(mad) - 1,
        "last_mad": mad[-1],
    }


def kept_iterations(mad: np.ndarray) -> np.ndarray:
    """The iterations whose MAD goes into the table, the first below the threshold among them."""
    last = len(mad) - 1
    decades = np.log10(max(1, last / KEPT_WHOLE))
    points = np.arange(1 + int(KEPT_PER_DECADE * decades))
    later = KEPT_WHOLE * 10 ** (points / KEPT_PER_DECADE)
    found = first_below(mad, PAPER_THRESHOLD)
    marked = [last] if found is None else [found, last]
    kept = np.unique([*range(KEPT_WHOLE), *later.astype(int), *marked])
    return kept[kept <= last]


def converge(
    settings: Settings, models: dict[str, ARGRU], progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a solve, and the MAD against iterations."""
    rows, curves = [], []
    for method in SOLVERS:
        run = search(method, settings.tolerance, settings.max_steps, System.mad)
        damping = settings.damping(method)
        for kind, model in models.items():
            for seed in range(settings.seeds):
                mad = deviations(run, rolled_out(model, settings.length, seed), damping)
                keys = {"model": kind, "method": method, "damping": damping, "seed": seed}
                rows.append({**keys, **summarise(mad)})
                kept = kept_iterations(mad)
                curves.append(pd.DataFrame({**keys, "iteration": kept, "mad": mad[kept]}))
        progress.advance(f"{method}: {rows[-1]['num_steps']} iterations in the last solve")
    table = pd.DataFrame(rows).astype({"num_steps": "Int64"})
    return table, pd.concat(curves, ignore_index=True)


def pictures(settings: Settings, model: ARGRU) -> pd.DataFrame:
    """The output x of some iterates on the first draw, thinned along time.

    The sequential output is iteration 0 of the method "sequential". After its last iteration a
    method's output stays as it is.
    """
    stride = settings.iterates_stride
    system = rolled_out(model, settings.length, seed=0)

    def output(_: System, states: Array) -> Array:
        return states[::stride, 0]

    shown = [_picture("sequential", 0, output(system, system.answer), stride)]
    for method in SOLVERS:
        run = search(method, settings.tolerance, max(settings.iterates), output)
        kept, num_steps = run(system, _like(system, settings.damping(method)))
        for iteration in settings.iterates:
            values = kept[min(iteration, int(num_steps))]
            shown.append(_picture(method, iteration, values, stride))
    return pd.concat(shown, ignore_index=True)


def _picture(method: str, iteration: int, values: Array, stride: int) -> pd.DataFrame:
    steps = 1 + stride * np.arange(len(values))
    return pd.DataFrame(
        {"method": method, "iteration": iteration, "step": steps, "output": np.asarray(values)}
    )


def measure_times(settings: Settings, model: ARGRU) -> pd.DataFrame:
    """Seconds of a fixed number of iterations, and of sequential evaluation, in turns."""
    system = rolled_out(model, settings.length, seed=0)
    sequential = eqx.filter_jit(lambda system: system.solve(Sequential()).value)
    calls: dict[str, Callable[[], Any]] = {"sequential": partial(sequential, system)}
    for method in SOLVERS:
        run = search(method, settings.tolerance, settings.timed_steps, trace=None)
        calls[method] = partial(run, system, _like(system, settings.damping(method)))
    # The first call compiles. A method that is done before has made fewer iterations.
    taken = {name: timed(call)[1] for name, call in calls.items()}
    steps = {name: int(found[1]) for name, found in taken.items() if name != "sequential"}
    plans = dict.fromkeys(calls, Plan(seeds=1, warmups=2, repetitions=settings.repetitions))
    rows = [
        {"method": name, "repetition": repetition, "run_steps": steps.get(name), "time_s": seconds}
        for name, repetition, seconds in interleaved(calls, plans)
    ]
    return pd.DataFrame(rows).astype({"run_steps": "Int64"})


def _like(system: System, damping: float) -> Array:
    """λ as an array of the states' type, so that another one compiles nothing."""
    return jnp.asarray(damping, system.s0.dtype)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    parser.add_argument("--weights", type=Path, required=True, help="of the trained model")
    parser.add_argument(
        "--untrained-seed", type=int, required=True, help="draws the untrained model"
    )
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    output, weights = options.output, options.weights
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.seeds))
    trained = ARGRU.load(weights)
    models = {"untrained": untrained(settings.untrained_seed), "trained": trained}
    with Progress(len(SOLVERS) + 2, "AR GRU") as progress:
        table, curves = converge(settings, models, progress)
        write_beside(output, "mad", curves)
        write_beside(output, "iterates", pictures(settings, trained))
        progress.advance(f"the iterates {settings.iterates}")
        write_beside(output, "times", measure_times(settings, trained))
        progress.advance("times")
    write_results(output, table, record.complete(weights=describe_weights(weights)))


if __name__ == "__main__":
    main()
