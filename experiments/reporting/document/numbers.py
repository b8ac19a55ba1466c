"""Every number in the text of the report, by name.

    python -m experiments.reporting.document.numbers --results results/archived/LABEL \\
        --beside results/archived/OTHER --output figures/out/archived/LABEL/numbers.json

All names are always there: what a source has no results of is "not measured". Only the abstract
speaks of the archives beside it too.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.catalogue import FIGURES
from experiments.harness.records import write_atomically
from experiments.reporting.document import beyond, classifiers, cost, stability
from experiments.reporting.document.abstract import abstract
from experiments.reporting.format import NOT_MEASURED, listed
from experiments.reporting.results import Results, name_commit

PARTS = (
    cost.gru_scaling,
    cost.gpu_memory,
    cost.gru_accuracy,
    classifiers.training,
    classifiers.training_step,
    classifiers.gradients,
    stability.argru,
    stability.argru_sweep,
    stability.lorenz96,
    stability.damping,
    stability.windows,
    beyond.chaos,
    beyond.chunks,
    beyond.wide,
    beyond.architectures,
)
# What the paper says about ratios; of its iterations only second-hand reports were found.
REPORTED = {
    "paper.memory_ratio": "about 10",
    "paper.speed_up": "up to 20",
    "paper.iterations_ratio": "about 2 (unconfirmed)",
}
# cuDNN's GRU in a batch of 16, by a script apart from this workflow; longer pieces are refused.
SEPARATE = {
    "cudnn.device": "NVIDIA H200",
    "cudnn.step": "0.48 to 0.66\N{NO-BREAK SPACE}µs",
    "cudnn.dims": "8 to 64",
    "cudnn.piece": "25,600",
}


def run(source: Results) -> dict[str, str]:
    """Where the results come from: device, versions, commits, dates."""
    runs = source.runs
    days = sorted({record["started_utc"][:10] for record in runs})
    versions = [record["versions"] for record in runs]
    return {
        "run.source": source.name,
        "run.device": _each(_device(record["device"]) for record in runs),
        "run.python": _each(one["python"] for one in versions),
        "run.jax": _each(one["jax"] for one in versions),
        "run.package": _each(one["parallel_rnn"] for one in versions),
        "run.commit": _each(name_commit(record["commit"]) for record in runs),
        "run.date": " to ".join(dict.fromkeys([*days[:1], *days[-1:]])) or NOT_MEASURED,
        "run.last_day": days[-1] if days else NOT_MEASURED,
    }


def _each(values: Iterable[str]) -> str:
    return listed(dict.fromkeys(values))


def _device(device: dict[str, Any]) -> str:
    processor = f"{device['processor']} ({device['cores']} cores)"
    return processor if device["platform"] == "cpu" else f"{device['kind']} beside {processor}"


def machines(source: Results) -> dict[str, str]:
    """What the results behind each figure were measured on, for its caption."""
    return {
        f"machine.{one.name}": _each(
            _device(record["device"]) for record in source.records(one.experiment)
        )
        for one in FIGURES
    }


def collect(source: Results, beside: Sequence[Results] = ()) -> dict[str, str]:
    """All numbers of a source."""
    newest_first = sorted(beside, key=lambda one: one.name, reverse=True)
    numbers = run(source) | abstract([source, *newest_first]) | machines(source)
    numbers |= REPORTED | SEPARATE
    for part in PARTS:
        numbers |= part(source)
    return numbers


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.document.numbers")
    parser.add_argument("--results", type=Path, required=True, help="folder of a source's results")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="folders of archives")
    parser.add_argument("--output", type=Path, required=True, help="numbers.json")
    options = parser.parse_args(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    numbers = collect(Results(options.results), [Results(one) for one in options.beside])
    text = json.dumps(numbers, indent=1, ensure_ascii=False)
    write_atomically(options.output, text + "\n")


if __name__ == "__main__":
    main()
