"""Trains the paper's classifier on recordings, its recurrences evaluated by one method (Figure 3).

Every split of the data is trained once. Each update is timed; its loss, accuracy, gradient norm and
Newton iterations are kept. An epoch ends with the accuracy on the validation part, and with that on
the test part where the former is the best so far. Then the run is kept in a checkpoint: killed and
started again, it goes on from there and ends with the same numbers.

    python -m experiments.training --variant quasi_deer \\
        --output results/fresh/cpu/training/quasi_deer.csv

writes one row an update, and beside it one row an epoch, `quasi_deer_epochs.csv`. Only `time_s`
differs between two runs with the same settings.
"""

from collections.abc import Sequence
from dataclasses import asdict

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.records import RunRecord, write_beside, write_results
from experiments.problems.classifier import VARIANTS
from experiments.problems.trainer import Settings
from experiments.problems.training import checkpoints, tabulate, train

EXPERIMENT = "training"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    parser.add_argument("--variant", choices=VARIANTS, required=True, help="how it is trained")
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [settings.seed])
    with checkpoints(options.output) as kept:
        found, about = train(settings, EXPERIMENT, kept)
        epochs = tabulate(settings, [rows.epochs for rows in found])
        updates = tabulate(settings, [rows.updates for rows in found])
        write_beside(options.output, "epochs", epochs)
        write_results(options.output, updates, record.complete(**about))


if __name__ == "__main__":
    main()
