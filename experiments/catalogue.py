"""What there is: every experiment, and every figure and table made from its results.

A new experiment is an entry here, and so is a new figure or table; rules, targets, archives, the
report and the tests follow. The entries say nothing about methods: `experiments.harness.methods`
lists those.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.harness.entries import PAPER, Experiment, Figure, Table

# What several scripts in figures/ import; none of them draws a figure.
SHARED_SCRIPTS = {"results", "style", "variants"}


class Members(NamedTuple):
    """What belongs to a target."""

    experiments: list[Experiment]
    figures: list[Figure]
    tables: list[Table]


class CatalogueError(ValueError):
    """Entries and files that do not fit; the message is one sentence for the user."""


EXPERIMENTS = (
    Experiment(
        "gru_scaling",
        "Time, iterations and memory of an untrained GRU (Figures 2 and 6).",
        timed=True,
        own_rule=True,
    ),
    Experiment(
        "gpu_memory",
        "Memory on GPUs that need not be there (memory of Figures 2 and 6).",
        own_rule=True,
    ),
    Experiment("gru_accuracy", "The states of the parallel methods beside the sequential ones."),
    Experiment(
        "argru",
        "Convergence, times and the damping's sweep on the AR GRU (Figures 4 and 7, Table 2).",
        section="argru.convergence",
        tables=("mad", "iterates", "times"),
        timed=True,
        weights=True,
        own_rule=True,
    ),
    Experiment(
        "argru_sweep",
        "MAD and iterations of ELK and quasi-ELK on the trained AR GRU against the damping.",
        section="argru.sweep",
        weights=True,
        target="argru",
    ),
    Experiment(
        "argru_seeds",
        "Iterations of all methods on AR GRUs that were trained from several seeds.",
        section="argru.seeds",
        own_rule=True,
        target="argru",
    ),
    Experiment(
        "lorenz96",
        "Lorenz96, the damping of ELK and quasi-ELK swept, convergence and iterates.",
        tables=("convergence", "iterates"),
        timed=True,
    ),
    Experiment(
        "chaos",
        "Iterations and time against the largest Lyapunov exponent.",
        tables=("exponents",),
        timed=True,
        weights=True,
    ),
    Experiment(
        "damping",
        "What damping does (docs/damping.md explains it).",
        tables=("radius",),
        timed=True,
        weights=True,
    ),
    Experiment(
        "windows",
        "Iterations, work and time against the length of the window.",
        timed=True,
        weights=True,
    ),
    Experiment(
        "chunks",
        "Sweeps, depth, work and time against the length of the chunks (docs/chunks.md).",
        timed=True,
        weights=True,
    ),
    Experiment(
        "wide",
        "Where a parallel method pays on a CPU: time of wide GRUs against D.",
        timed=True,
    ),
    Experiment(
        "architectures",
        "Every cell with every method, untrained and trained.",
        timed=True,
    ),
    Experiment(
        "training",
        "A classifier trained by every method, baselines, and the time of an update (Figure 3).",
        tables=("epochs",),
        timed=True,
        own_rule=True,
    ),
    Experiment(
        "training_step",
        "Time of an update at the size of EigenWorms, on random numbers.",
        timed=True,
        target="training",
    ),
    Experiment(
        "baselines",
        "The accuracy of the majority and of a linear probe on the recordings.",
        section="training",
        left_out=("variants",),
        target="training",
    ),
    Experiment(
        "gradients",
        "The approximate gradient of the paper beside the exact one, along a training.",
        section="training",
        left_out=("variants",),
    ),
)

FIGURES = (
    Figure(
        "gru_scaling_batch16",
        "gru_scaling",
        "Figure 2: GRU, batch 16",
        "Figure 2: time and memory of an untrained GRU at batch size 16.",
        PAPER,
        script="gru_scaling",
        batch=16,
        target="figure_2",
    ),
    Figure(
        "gru_scaling_batch1",
        "gru_scaling",
        "Figure 6: GRU, batch 1",
        "Figure 6: time, memory and iterations of an untrained GRU at batch size 1.",
        PAPER,
        script="gru_scaling",
        batch=1,
        target="figure_6",
    ),
    Figure(
        "gpu_memory_batch16",
        "gpu_memory",
        "Figure 2: memory on a GPU, batch 16",
        "Memory on GPUs at batch size 16 (memory of Figure 2).",
        PAPER,
        script="gpu_memory",
        batch=16,
    ),
    Figure(
        "gpu_memory_batch1",
        "gpu_memory",
        "Figure 6: memory on a GPU, batch 1",
        "Memory on GPUs at batch size 1 (memory of Figure 6).",
        PAPER,
        script="gpu_memory",
        batch=1,
    ),
    Figure(
        "gru_accuracy",
        "gru_accuracy",
        "Figure 5: accuracy",
        "Figure 5: outputs of DEER and quasi-DEER against sequential evaluation.",
        PAPER,
        target="figure_5",
    ),
    Figure(
        "argru_convergence",
        "argru",
        "Figure 4: AR GRU",
        "Figure 4: convergence on the AR GRU, untrained and trained, and iterates.",
        PAPER,
        further=("argru_mad", "argru_iterates"),
        target="figure_4",
    ),
    Figure(
        "argru_sweep",
        "argru_sweep",
        "Figure 7: AR GRU, damping",
        "Figure 7: the damping of ELK and quasi-ELK swept on the trained AR GRU.",
        PAPER,
        further=("argru", "argru_times"),
        target="figure_7",
    ),
    Figure(
        "lorenz96",
        "lorenz96",
        "Figure 8: Lorenz96",
        "Figure 8: Lorenz96, the damping of ELK and quasi-ELK swept, convergence and iterates.",
        PAPER,
        further=("lorenz96_convergence", "lorenz96_iterates"),
        target="figure_8",
    ),
    Figure(
        "damping",
        "damping",
        "Damping",
        "What damping does: iterations against it, filter and smoother, spectral radii.",
        further=("damping_radius",),
    ),
    Figure(
        "windows",
        "windows",
        "Windows",
        "Iterations, work and time against the length of the window.",
    ),
    Figure(
        "chunks",
        "chunks",
        "Chunks",
        "Sweeps, depth, work and time against the length of the chunks.",
    ),
    Figure(
        "wide",
        "wide",
        "Wide states",
        "Time of wide GRUs against D, beside sequential evaluation.",
    ),
    Figure(
        "architectures",
        "architectures",
        "Architectures",
        "Iterations and time of every cell with every method, untrained and trained.",
    ),
    Figure(
        "chaos",
        "chaos",
        "Chaos",
        "Iterations and time against the largest Lyapunov exponent.",
    ),
    Figure(
        "training_step",
        "training_step",
        "Figure 3: time of an update",
        "Time and iterations of an update at the shape of EigenWorms (bottom of Figure 3).",
        PAPER,
        target="figure_3",
    ),
    Figure(
        "training",
        "training",
        "Figure 3: training",
        "Figure 3: a classifier trained with sequential evaluation, DEER and quasi-DEER.",
        PAPER,
        further=("training_epochs", "baselines"),
        target="figure_3",
    ),
    Figure(
        "gradients",
        "gradients",
        "Approximate gradient",
        "Angle and norm of the approximate gradient beside the exact one.",
    ),
)

TABLES = (
    Table(
        "scaling_exponents",
        "gru_scaling",
        "Table 1: scaling exponents",
        "Exponents of time and memory in T and D, beside the paper's Table 1.",
    ),
    Table(
        "table_2",
        "argru",
        "Table 2: AR GRU, times",
        "Table 2: time of an iteration, iterations and time in all on the AR GRU.",
        further=("argru_times",),
    ),
    Table(
        "argru_seeds",
        "argru_seeds",
        "AR GRU, seeds of the training",
        "Iterations on AR GRUs trained from several seeds, and whether the paper's order holds.",
    ),
    Table(
        "training_accuracy",
        "training",
        "Trained classifiers",
        "Accuracy, iterations and time of the trained classifiers beside baselines.",
        further=("training_epochs", "baselines"),
    ),
    Table(
        "claims",
        "",
        "Claims of the paper",
        "The paper's claims beside what was measured here.",
        own_rule=True,
    ),
    Table(
        "findings",
        "",
        "Findings beyond the paper",
        "What was found beyond the paper.",
        own_rule=True,
    ),
)


def targets() -> dict[str, str]:
    """The targets that follow from the entries, each with what it makes."""
    experiments = {one.name: one.about for one in EXPERIMENTS if not one.target}
    figures = {one.target: one.about for one in FIGURES if one.target}
    return experiments | figures | {one.name: one.about for one in TABLES}


def members(target: str) -> Members:
    """The experiments, figures and tables that a target makes."""
    experiments = [one for one in EXPERIMENTS if (one.target or one.name) == target]
    names = {one.name for one in experiments}
    figures = [one for one in FIGURES if one.target == target or one.experiment in names]
    return Members(experiments, figures, [one for one in TABLES if one.name == target])


def check(root: Path) -> None:
    """Refuses entries without their files and files without an entry, in one sentence."""
    fault = next(_faults(root), None)
    if fault is not None:
        raise CatalogueError(f"Catalogue: {fault}.")


def refuse_unknown(names: Iterable[str], error: type[Exception], place: str = "") -> None:
    """Raise the error, with a sentence, for a name that no experiment has.

    **Arguments:**

    - `place`: what holds the names, and ends with a colon.
    """
    known = [one.name for one in EXPERIMENTS]
    for name in names:
        if name not in known:
            raise error(
                f"{place} '{name}' is no experiment: use some of {', '.join(known)}.".strip()
            )


def remaining(without: Collection[str]) -> list[Experiment]:
    """The experiments but for some; refuses a name that none has, in one sentence."""
    refuse_unknown(without, CatalogueError, "Configuration: without:")
    return [one for one in EXPERIMENTS if one.name not in without]


def _faults(root: Path) -> Iterator[str]:
    named = {one.name for one in EXPERIMENTS}
    here = "experiments/catalogue.py"
    for name in _files(root, "experiments/*.py") - named - {"__init__", "catalogue"}:
        yield f"experiments/{name}.py is in no entry: add an Experiment to EXPERIMENTS in {here}"
    for name in named - _files(root, "experiments/*.py"):
        yield f"the experiment {name} has no module experiments/{name}.py"
    drawn = {one.script or one.name for one in FIGURES}
    for name in _files(root, "figures/*.py") - drawn - SHARED_SCRIPTS:
        yield f"figures/{name}.py is in no entry: add a Figure to FIGURES in {here}"
    for name in drawn - _files(root, "figures/*.py"):
        yield f"a figure has no script figures/{name}.py"
    made = {one.module or one.name for one in TABLES if not one.own_rule}
    for name in made - _files(root, "experiments/reporting/tables/*.py"):
        yield f"a table has no module experiments/reporting/tables/{name}.py"
    captioned = drawn | {one.name for one in TABLES}
    for name in captioned - _files(root, "figures/captions/*.rst"):
        yield f"{name} has no caption: write figures/captions/{name}.rst"
    for one in (*FIGURES, *TABLES):
        if one.experiment and one.experiment not in named:
            yield f"{one.name} shows results of {one.experiment}, which is no experiment in {here}"
        for name in set(one.further) - {stem for known in EXPERIMENTS for stem in known.stems}:
            yield f"{one.name} reads {name}, which no experiment in {here} writes"


def _files(root: Path, pattern: str) -> set[str]:
    return {path.stem for path in root.glob(pattern)}
