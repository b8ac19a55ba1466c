"""How far the order of the methods depends on the seed that the autoregressive GRU is trained with.

Models trained from several seeds, each found in parallel with DEER, quasi-DEER, ELK and quasi-ELK
with the dampings of Figure 4, from a guess of zeros. What counts is as in `experiments.argru`: the
iterations until the mean absolute deviation (MAD) of the output is below 0.1.

    python -m experiments.argru_seeds --seeds 0 6 --weights seed0.npz seed6.npz \\
        --output results/fresh/cpu/argru_seeds.csv
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.progress import Progress
from experiments.harness.records import RunRecord, write_results
from experiments.problems import systems
from experiments.problems.argru import ARGRU, describe_weights
from experiments.problems.search import COMPARED, deviations, search, summarise
from experiments.problems.systems import System

EXPERIMENT, SECTION = "argru_seeds", "argru.seeds"


@dataclass(frozen=True)
class Settings:
    """What the counts depend on; config/README.md explains each value."""

    seeds: tuple[int, ...]
    length: int
    draws: int
    max_steps: int
    tolerance: float
    elk_damping: float
    quasi_elk_damping: float

    def damping(self, method: str) -> float:
        """The λ of a method; 0 for a method that has no damping."""
        return {"elk": self.elk_damping, "quasi_elk": self.quasi_elk_damping}.get(method, 0.0)


def converge(settings: Settings, models: Mapping[int, ARGRU], progress: Progress) -> pd.DataFrame:
    """One row for each method, seed of the training and draw of noise."""
    rows = []
    for method in COMPARED:
        run = search(method, settings.tolerance, settings.max_steps, System.mad)
        damping = settings.damping(method)
        for seed, model in models.items():
            for draw in range(settings.draws):
                mad = deviations(run, systems.argru(model, settings.length, draw), damping)
                keys = {"training_seed": seed, "method": method, "damping": damping, "draw": draw}
                rows.append({**keys, **summarise(mad)})
            progress.advance(f"{method}, seed {seed}: {rows[-1]['num_steps']} iterations")
    return pd.DataFrame(rows).astype({"num_steps": "Int64"})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, SECTION)
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="of the models, one for each seed"
    )
    settings, options = read_settings(Settings, parser, SECTION, arguments)
    if len(settings.seeds) != len(options.weights):
        parser.error(
            f"there are {len(settings.seeds)} seeds and {len(options.weights)} files of weights: "
            "name one file for each seed, in the same order"
        )
    record = RunRecord(EXPERIMENT, asdict(settings), range(settings.draws))
    models = {
        seed: ARGRU.load(path) for seed, path in zip(settings.seeds, options.weights, strict=True)
    }
    with Progress(len(COMPARED) * len(models), "AR GRU, seeds") as progress:
        table = converge(settings, models, progress)
    about = [describe_weights(path) for path in options.weights]
    write_results(options.output, table, record.complete(weights=about))


if __name__ == "__main__":
    main()
