# The functions of the workflow. Nothing else defines one.

import fcntl
import os
import sys
from pathlib import Path

from experiments.reporting.archive import EXPERIMENTS
from experiments.harness.command_line import to_words
from experiments.harness.configuration import ConfigurationError, complete, results_folder
from experiments.harness.sources import sources


def complete_configuration(given):
    """The checked configuration, or one sentence that says what is wrong with it."""
    try:
        return complete(Path(workflow.basedir), given)
    except ConfigurationError as error:
        sys.exit(str(error))


def experiment_sources(name):
    """The source files that the results of an experiment depend on."""
    return sources(Path(workflow.basedir), f"experiments.{name}")


def scaling_curves(suffix):
    """The files of all curves of the grid, one for each batch size and state size."""
    return [
        f"results/fresh/{SCALE}/gru_scaling/batch{batch}_dim{dim}{suffix}"
        for batch in (1, 16)
        for dim in config["gru_scaling"][f"batch_{batch}"]["dims"]
    ]


def scaling_lengths(wildcards):
    """The lengths of a curve."""
    return config["gru_scaling"][f"batch_{wildcards.batch}"]["lengths"]


def gpu_memory_curves(suffix):
    """The files of all curves of the grid, one for each GPU, batch size and state size."""
    return [
        f"results/fresh/{SCALE}/gpu_memory/{target}_batch{batch}_dim{dim}{suffix}"
        for batch in (1, 16)
        for target in config["gpu_memory"][f"batch_{batch}"]["targets"]
        for dim in config["gpu_memory"][f"batch_{batch}"]["dims"]
    ]


def gpu_memory_lengths(wildcards):
    """The lengths of a curve."""
    return config["gpu_memory"][f"batch_{wildcards.batch}"]["lengths"]


def options(section, without=()):
    """The values of a section of the configuration as options of its experiment's command line."""
    values = config
    for key in section.split("."):
        values = values[key]
    return " ".join(to_words({name: values[name] for name in values if name not in without}))


def training_curves(suffix):
    """The files of all variants of the training."""
    return [
        f"results/fresh/{SCALE}/training/{variant}{suffix}"
        for variant in config["training"]["variants"]
    ]


def argru_weights():
    """The weights of the AR GRU: those that are trained here, or the file that the configuration names."""
    return config["argru"]["weights"] or f"results/fresh/{SCALE}/argru_weights.npz"


def result_files(name):
    """An experiment's table and record, in the source that the configuration names."""
    return [f"results/{SOURCE}/{name}{suffix}" for suffix in (".csv", ".json")]


def figure_files(name):
    """A figure in all its formats."""
    return [f"figures/out/{SOURCE}/{name}{suffix}" for suffix in (".pdf", ".svg", ".png")]


def drawable(products, files):
    """The files of all figures or tables whose results the source has: an archive may be older.

    **Arguments:**

    - `products`: the name of each figure or table, and of the results that it is made from;
      `None` where it makes do with whatever results there are.
    - `files`: its name -> its files.
    """
    return [files(name) for name, results in products.items() if has_results(SOURCE, results)]


def has_results(source, name):
    """Whether a source has a result table, or a rule that makes it; `None` needs no certain one."""
    made = name is None or source.startswith("fresh/")
    return made or Path(f"results/{source}/{name}.csv").exists()


def all_results(wildcards):
    """The tables and records of all experiments, of an archive those that it has."""
    folder = Path(f"results/{wildcards.source}")
    endings = (".csv", ".json")
    if wildcards.source.startswith("fresh/"):
        return [f"{folder}/{name}{ending}" for name in EXPERIMENTS for ending in endings]
    return sorted(str(path) for path in folder.iterdir() if path.suffix in endings)


def table_files(name):
    """A table in all its formats."""
    return [f"figures/out/{SOURCE}/{name}{suffix}" for suffix in (".csv", ".md", ".tex")]


def scaling_labels(wildcards):
    """How the HTML report names a figure of the scaling experiment."""
    return _batch_labels(wildcards, "GRU")


def gpu_memory_labels(wildcards):
    """How the HTML report names a figure of memory on a GPU."""
    return _batch_labels(wildcards, "memory on a GPU")


def _batch_labels(wildcards, shown):
    number = {"16": 2, "1": 6}.get(wildcards.batch, "like 2")
    return {
        "figure": f"Figure {number}: {shown}, batch {wildcards.batch}",
        "results": wildcards.source,
    }


def report_figures(wildcards):
    """The figures of a source that the report shows."""
    return [
        f"figures/out/{wildcards.source}/{name}.pdf"
        for name, results in FIGURES.items()
        if has_results(wildcards.source, results)
    ]


def report_tables(wildcards):
    """The tables of a source that the report shows."""
    return [
        f"figures/out/{wildcards.source}/{name}.md"
        for name, results in TABLES.items()
        if has_results(wildcards.source, results)
    ]


def refuse_second_run():
    """Takes the kernel's lock on this folder for as long as this process lives.

    Two runs at once would spoil each other's timings. Snakemake's own lock is a file,
    which a killed run leaves behind; this one is gone with its process, however it ends.
    """
    lock = os.open(".snakemake/run.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(
            "Another snakemake is running in this folder: wait until it has ended, "
            "since two at once would spoil each other's timings."
        )
