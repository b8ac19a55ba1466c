# The functions of the workflow. Nothing else defines one.

import fcntl
import os
import re
import shlex
import sys
from pathlib import Path

from experiments.catalogue import (
    EXPERIMENTS,
    FIGURES,
    SHARED_SCRIPTS,
    TABLES,
    CatalogueError,
    check,
    members,
    remaining,
    targets,
)
from experiments.harness.command_line import to_words
from experiments.harness.configuration import (
    ConfigurationError,
    complete,
    guess,
    results_beside,
    results_folder,
)
from experiments.harness.entries import TABLES_CATEGORY
from experiments.harness.sources import Sources
from experiments.lent.order import rank


def complete_configuration(given):
    """The checked configuration, or one sentence that says what is wrong with it or the catalogue."""
    root = Path(workflow.basedir)
    try:
        check(root)
        settings = complete(root, given)
        remaining(settings["without"])
        return settings
    except (CatalogueError, ConfigurationError) as error:
        sys.exit(str(error))


# Every source file is parsed once, however many rules depend on it.
SOURCES = Sources(Path(workflow.basedir))


def code(*modules, section=None, without=()):
    """The digest of the code of modules; with a section, of the methods that it names too."""
    return SOURCES.digest(*modules, named=() if section is None else words(section, without))


def words(section, without=()):
    """The values of a section of the configuration as words of its experiment's command line."""
    values = config
    for key in section.split("."):
        values = values[key]
    return to_words({name: values[name] for name in values if name not in without})


def options(section, without=()):
    """The function that finds these words as one text, each quoted for the shell.

    Not the text itself, in which Snakemake would take a value in braces for a wildcard.
    """
    return lambda wildcards: shlex.join(words(section, without))


def curves(experiment, suffix, over=()):
    """The files of all curves of a grid, one for each batch size and state size.

    `over` names a further list of the grid, such as the GPUs compiled for.
    """
    grids = {batch: config[experiment][f"batch_{batch}"] for batch in (1, 16)}
    return [
        f"results/fresh/{SCALE}/{experiment}/{prefix}batch{batch}_dim{dim}{suffix}"
        for batch, grid in grids.items()
        for prefix in ([f"{one}_" for one in grid[over]] if over else [""])
        for dim in grid["dims"]
    ]


def curve_lengths(experiment):
    """The function that finds the lengths of a curve."""
    return lambda wildcards: config[experiment][f"batch_{wildcards.batch}"]["lengths"]


def training_curves(suffix):
    """The files of all variants of the training."""
    return [
        f"results/fresh/{SCALE}/training/{variant}{suffix}"
        for variant in config["training"]["variants"]
    ]


def argru_weights():
    """The weights of the AR GRU: those that are trained here, or the file that the configuration names."""
    return config["argru"]["weights"] or f"results/fresh/{SCALE}/argru_weights.npz"


def weights_of(experiment):
    """The weights that an experiment needs: a list of one file or of none."""
    return [argru_weights()] if experiment.weights else []


def weights_option(experiment):
    """The option that names them."""
    return " ".join(f"--weights {shlex.quote(path)}" for path in weights_of(experiment))


def worth(name):
    """The priority of a job that makes this result: the earlier in the order of worth, the higher."""
    order = config["lent"]["order"]
    return len(order) - rank(order, name)


def curve_worth(experiment):
    """The function that finds the priority of a curve of a grid."""
    return lambda wildcards: worth(f"{experiment}/batch{wildcards.batch}_dim{wildcards.dim}")


def weights_worth():
    """The priority of the AR GRU's training: that of the most wanted experiment that needs it."""
    return max(worth(one.name) for one in EXPERIMENTS if one.weights)


def tables_of(experiment):
    """The further tables that an experiment writes in this run."""
    _, *further = experiment.stems
    return [f"results/fresh/{SCALE}/{stem}.csv" for stem in further]


def result_files(name):
    """An experiment's table and record, in the source that the configuration names."""
    return [f"results/{SOURCE}/{name}{suffix}" for suffix in (".csv", ".json")]


def further_results(entry):
    """The further result tables that a figure or table is made from."""
    return [f"results/{{source}}/{name}.csv" for name in entry.further]


def figure_files(name):
    """A figure in all its formats."""
    return [f"figures/out/{SOURCE}/{name}{suffix}" for suffix in (".pdf", ".svg", ".png")]


def table_files(name):
    """A table in all its formats."""
    return [f"figures/out/{SOURCE}/{name}{suffix}" for suffix in (".csv", ".md", ".tex")]


def drawable(entries, source):
    """The names of the figures or tables whose results a source has.

    An archive may hold some of the experiments only, and a run may leave some out.
    """
    there = held(source)
    return [
        one.name
        for one in entries
        if not one.experiment or there.issuperset((one.experiment, *one.further))
    ]


def tell_what_an_archive_lacks():
    """Says on the terminal which experiments the source lacks, where it is part of an archive."""
    lacking = [one.name for one in EXPERIMENTS if one.name not in held(SOURCE)]
    if SOURCE.startswith("archived/") and lacking:
        print(
            f"{SOURCE} has no results of {', '.join(lacking)}: "
            "what is made from them is left out.",
            file=sys.stderr,
        )


def held(source):
    """The names of the result tables that lie in an archive, or that this run makes."""
    if source.startswith("fresh/"):
        return {stem for one in remaining(config["without"]) for stem in one.stems}
    return {path.stem for path in Path(f"results/{source}").glob("*.csv")}


def all_results(wildcards):
    """The tables and records of all experiments, of an archive those that it has."""
    return results_in(wildcards.source)


def results_in(source):
    """The tables and records that an archive has, or that this run makes."""
    folder = Path(f"results/{source}")
    endings = (".csv", ".json")
    if source.startswith("fresh/"):
        made = remaining(config["without"])
        return [f"{folder}/{one.name}{ending}" for one in made for ending in endings]
    return sorted(str(path) for path in folder.iterdir() if path.suffix in endings)


def beside(wildcards):
    """The archives whose claims stand beside those of a source."""
    return [one for one in BESIDE if one != wildcards.source]


def results_of_those_beside(wildcards):
    """Their tables and records: a changed archive makes the table again."""
    return [path for source in beside(wildcards) for path in results_in(source)]


def folders_beside(wildcards):
    """Their folders, as words of a command line."""
    return shlex.join(f"results/{one}" for one in beside(wildcards))


def report_files(entries, suffix):
    """The function that finds the figures or tables of a source that the report shows."""
    return lambda wildcards: [
        f"figures/out/{wildcards.source}/{name}{suffix}"
        for name in drawable(entries, wildcards.source)
    ]


def files_of_target(name):
    """What a target of the catalogue makes: results, figures and tables that belong to it."""
    made = members(name)
    results = [path for one in made.experiments for path in result_files(one.name)]
    figures = [path for one in made.figures for path in figure_files(one.name)]
    tables = [path for one in made.tables for path in table_files(one.name)]
    return results + figures + tables


def describe(name, about):
    """Gives a rule that a loop made its own line in the list of targets."""
    workflow.get_rule(name).docstring = about


def no_file():
    """What a name must look like that is neither a target nor a file.

    The only file with such a name that a rule may need is one that the configuration names.
    """
    return rf"(?!{re.escape(argru_weights())}$)[^/.]+"


def refuse_unknown_target(wildcards):
    """Ends a run that is asked for a target that there is not."""
    known = [rule.name for rule in workflow.rules if not rule.output]
    unknown = wildcards.unknown_target
    setting = " (settings follow --config)" if "=" in unknown else ""
    sys.exit(
        f"Targets: the target {unknown} is unknown{guess(unknown, known)}{setting}; "
        f"there are {', '.join(known)}, and the files that rules make."
    )


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
