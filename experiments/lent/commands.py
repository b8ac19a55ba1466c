"""The command lines of a scale in order of worth, for a machine without Snakemake.

    python -m experiments.lent.commands --scale gpu --output commands.sh

writes a script for sh. They are those of the workflow's dry run, for what `lent.order` in the
configuration names, each behind those whose files it needs.

    sh commands.sh [SECONDS [RESULTS.tar.gz]]

runs them in the folder of the script: what is there is skipped, a failure is told and the next one
runs, and after SECONDS what runs is stopped. RESULTS.tar.gz is packed anew after each.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from experiments.catalogue import refuse_unknown
from experiments.harness.configuration import ConfigurationError, complete, merge
from experiments.harness.records import write_atomically
from experiments.lent.order import rank

_REPOSITORY = Path(__file__).resolve().parents[2]
_MARK = "Shell command: "
_FRESH = "results/fresh/"
# What names the file or folder that a command makes; the last of them counts.
_MADE = ("--output", "--folder")
_SCRIPT = """\
#!/bin/sh
# Experiments, most wanted first: sh {name} [SECONDS [RESULTS.tar.gz]]
# Written by python -m experiments.lent.commands, which says what it does.
called_from=$PWD scale={scale}
cd "$(dirname "$0")" || exit
. experiments/lent/environment.sh
. experiments/lent/steps.sh

{lines}

exit $((failures > 0))
"""


class Command(NamedTuple):
    """A command line that Snakemake would run.

    - `text`: without what sends its output to the log.
    - `words`: of the text.
    - `output`, `log`: paths.
    """

    text: str
    words: tuple[str, ...]
    output: str
    log: str

    @property
    def joins(self) -> bool:
        """Whether it measures nothing, but joins the tables of several."""
        return "experiments.harness.records" in self.words

    def line(self) -> str:
        """The line of the script."""
        paths = shlex.join([self.output, self.log])
        if self.joins:
            return f"join {paths} {self.text} --present"
        return f"step {paths} {self.text}"


def script(scale: str, name: str, configuration: Path | None = None) -> str:
    """The text of the script.

    **Arguments:**

    - `name`: of the script.
    - `configuration`: a file of values that go before those of the scale.
    """
    given = {} if configuration is None else yaml.safe_load(configuration.read_text("utf-8"))
    settings = complete(_REPOSITORY, merge({"source": "fresh"}, given, {"scale": scale}))
    order = settings["lent"]["order"]
    experiments = list(dict.fromkeys(entry.partition("/")[0] for entry in order))
    refuse_unknown(experiments, ConfigurationError, "Configuration: lent.order:")
    targets = [f"{_FRESH}{scale}/{experiment}.csv" for experiment in experiments]
    commands = dry_run(targets, scale, configuration)
    lines = [one.line() for one in by_worth(commands, order, f"{_FRESH}{scale}/")]
    return _SCRIPT.format(scale=shlex.quote(scale), name=name, lines="\n".join(lines))


def by_worth(commands: Sequence[Command], order: Sequence[str], folder: str) -> list[Command]:
    """What the order names, most wanted first, each behind what it needs; joining comes last.

    **Arguments:**

    - `commands`: in an order in which they could run.
    - `folder`: of the results, with a slash at its end.
    """
    makers: dict[str, Command] = {}
    for one in commands:
        for word in one.words:
            makers.setdefault(word, one)  # the first that names a file makes it

    def with_needs(command: Command) -> Iterator[Command]:
        needs = (makers[word] for word in command.words if word.startswith(_FRESH))
        yield from (one for need in needs if need is not command for one in with_needs(need))
        yield command

    def place(command: Command) -> int:
        return rank(order, command.output.removeprefix(folder).removesuffix(".csv"))

    # Curves of the same worth in the order in which they are joined, which is that of the settings.
    joined = [word for one in commands if one.joins for word in one.words]
    first = sorted(commands, key=lambda one: one.output in joined and joined.index(one.output))
    wanted = sorted((one for one in first if place(one) < len(order)), key=place)
    measuring = [one for one in wanted if not one.joins]
    found = dict.fromkeys(one for command in measuring for one in with_needs(command))
    outputs = {one.output for one in found}
    return [*found, *(one for one in commands if one.joins and outputs & {*one.words})]


def dry_run(targets: Sequence[str], scale: str, configuration: Path | None) -> list[Command]:
    """The command lines of all jobs that make these files, as if nothing were there."""
    options = [] if configuration is None else ["--configfile", str(configuration)]
    words = ["-n", "-p", "--forceall", *targets, *options, "--config", f"scale={scale}"]
    answer = subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        raise ConfigurationError(f"Snakemake's dry run failed.\n{answer.stdout}{answer.stderr}")
    lines = answer.stdout.splitlines()
    return [_read(line.removeprefix(_MARK)) for line in lines if line.startswith(_MARK)]


def _read(line: str) -> Command:
    """A command of the form `... --output OUTPUT > LOG 2>&1`."""
    words = shlex.split(line)
    log = words[-2]
    text = line.removesuffix(f" > {shlex.quote(log)} 2>&1")
    made = [after for word, after in pairwise(words) if word in _MADE]
    return Command(text, tuple(words[:-3]), made[-1], log)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which commands are wanted."""
    parser.add_argument("--scale", required=True, help="the scale to run")
    parser.add_argument(
        "--configfile", type=Path, help="values that go before those of the scale, as Snakemake's"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.lent.commands")
    add_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="the script")
    options: Any = parser.parse_args(arguments)
    try:
        text = script(options.scale, options.output.name, options.configfile)
    except ConfigurationError as error:
        sys.exit(str(error))
    write_atomically(options.output, text)


if __name__ == "__main__":
    main()
