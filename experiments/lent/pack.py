"""Everything that a machine needs to run a scale, in one archive: sources, packages, commands.

    python -m experiments.lent.pack --scale gpu --output lent.tar.gz --python 3.12 \\
        --without jax jaxlib numpy scipy pandas matplotlib typst

packs the files of the working tree, the commit (`commit.json`), the list of commands
(`commands.sh`, see experiments.lent.commands) and installed packages for the machine's Python and
platform: what the pipeline needs, in the versions and with the hashes of requirements.lock, but not
`--without`, which the machine has or can do without. There, without a network,

    tar -xzf lent.tar.gz && sh parallel_rnn/commands.sh 560 results.tar.gz
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from experiments.gpu.compiler import pinned
from experiments.harness.configuration import ConfigurationError
from experiments.harness.records import COMMIT, describe_commit
from experiments.lent.commands import add_options, script

FOLDER, COMMANDS, PACKAGES = "parallel_rnn", "commands.sh", "packages"
_REPOSITORY = Path(__file__).resolve().parents[2]
_LOCK = "requirements.lock"
# Names that wheels for an older glibc may have in place of manylinux_2_N.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST = 5


class PackError(Exception):
    """What cannot be packed; the message is for the user."""


def pack(output: Path, commands: str, packages: Sequence[str], python: str, platform: str) -> None:
    """Writes the archive.

    **Arguments:**

    - `commands`: the text of the list of commands.
    - `packages`: names of the packages that it holds.
    - `python`, `platform`: of the machine, as in `install`.
    """
    commit = describe_commit()
    partial = output.with_name(f".{output.name}.partial")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / FOLDER
        for name in working_tree():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(_REPOSITORY / name, folder / name)
        (folder / COMMIT).write_text(json.dumps(commit) + "\n", encoding="utf-8")
        (folder / COMMANDS).write_text(commands, encoding="utf-8")
        if packages:
            install(folder / PACKAGES, packages, python, platform)
        describe_project(folder / PACKAGES)
        with tarfile.open(partial, "w:gz") as archive:
            archive.add(folder, FOLDER)
    partial.replace(output)


def working_tree() -> list[str]:
    """The files that git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True)
    if answer.returncode:
        raise PackError(f"Only a clone with git can be packed: {answer.stderr.strip()}")
    return [name for name in answer.stdout.split("\0") if (_REPOSITORY / name).is_file()]


def pipeline() -> list[str]:
    """The packages that the experiments and the workflow name as what they need."""
    project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    named = project["project"]["dependencies"] + project["dependency-groups"]["pipeline"]
    return [canonicalize_name(Requirement(one).name) for one in named]


def with_needs(names: Iterable[str], without: Iterable[str]) -> list[str]:
    """Packages with all that they need, as far as the lock has it and it is not to be left out."""
    lock = (_REPOSITORY / _LOCK).read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    left_out = {canonicalize_name(name) for name in without}
    for name in names:
        if canonicalize_name(name) not in locked:
            raise PackError(f"{_LOCK} has no package {name}: name packages that it has.")
    found: set[str] = set()
    waiting: list[str] = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in locked - left_out - found:
            found.add(name)
            waiting += _needs(name)
    return sorted(found)


def _needs(name: str) -> Iterator[str]:
    """What a package that is installed here says that it needs, without its extras."""
    for one in map(Requirement, metadata.requires(name) or []):
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield canonicalize_name(one.name)


def install(folder: Path, packages: Sequence[str], python: str, platform: str) -> None:
    """Installs packages of the lock for another Python and platform.

    **Arguments:**

    - `python`: such as 3.12.
    - `platform`: as wheels name it, such as manylinux_2_28_x86_64.
    """
    lock = (_REPOSITORY / _LOCK).read_text(encoding="utf-8")
    blocks = re.findall(r"^\S.*(?:\n[ \t].*)*", pinned(lock, packages), re.MULTILINE)
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text("\n".join(for_python(blocks, python)) + "\n", encoding="utf-8")
        words = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
        words += ["--require-hashes", "--target", str(folder), "--python-version", python]
        words += [word for one in platforms(platform) for word in ("--platform", one)]
        words += ["--implementation", "cp", "-r", str(requirements)]
        answer = subprocess.run(
            [sys.executable, "-m", "pip", *words], capture_output=True, text=True
        )
    if answer.returncode:
        raise PackError(f"The packages cannot be installed.\n{answer.stderr.strip()}")


def describe_project(folder: Path) -> None:
    """Writes what Python knows of the installed project, whose code is found in `src`."""
    known = metadata.distribution(FOLDER)
    place = folder / f"{FOLDER}-{known.version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(str(known.read_text("METADATA")), encoding="utf-8")


def for_python(blocks: Iterable[str], python: str) -> Iterator[str]:
    """The pins that are meant for a version of Python. Pip would go by the one that runs here."""
    given = {"python_version": python, "python_full_version": f"{python}.0"}
    for block in blocks:
        head, hashes = block.split("\\\n", 1)
        requirement = Requirement(head.strip())
        if requirement.marker is None or requirement.marker.evaluate(given):
            yield f"{requirement.name}{requirement.specifier} \\\n{hashes}"


def platforms(newest: str) -> list[str]:
    """Every platform whose wheels run on one: those for an older glibc run on a newer."""
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", newest)
    if found is None:
        return [newest]
    machine = found[2]
    minors = range(int(found[1]), _OLDEST - 1, -1)
    names = [[f"manylinux_2_{n}", *([_OLD_NAMES[n]] if n in _OLD_NAMES else [])] for n in minors]
    return [f"{name}_{machine}" for several in names for name in several]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.lent.pack")
    add_options(parser)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="the archive, a .tar.gz")
    add("--python", required=True, help="the machine's Python, such as 3.12")
    add("--platform", default="manylinux_2_28_x86_64", help="the machine's, as wheels name it")
    add("--packages", nargs="+", help="what it lacks; the default is all that the pipeline needs")
    add("--without", nargs="*", default=[], help="packages that it has or can do without")
    options: Any = parser.parse_args(arguments)
    try:
        text = script(options.scale, COMMANDS, options.configfile)
        packages = with_needs(options.packages or pipeline(), options.without)
        pack(options.output, text, packages, options.python, options.platform)
    except (ConfigurationError, PackError) as error:
        sys.exit(str(error))
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {size:.0f} MB, with {', '.join(packages) or 'no packages'}.")


if __name__ == "__main__":
    main()
