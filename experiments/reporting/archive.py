"""Archives: results kept in the repository, with their provenance and checksums.

    python -m experiments.reporting.archive promote --scale cpu --label my-machine
    python -m experiments.reporting.archive promote --scale cpu --label my-machine \\
        --other gpu_memory=paper
    python -m experiments.reporting.archive promote --scale cpu --label part --only wide chaos
    python -m experiments.reporting.archive adopt --folder brought --label h100 --commit 1a2b3c4
    python -m experiments.reporting.archive verify

`promote` copies the collected results of a fresh run to results/archived/LABEL. No rule of
the pipeline writes there, so drawing from an archive never starts an experiment. `--other` takes
an experiment from the run of another scale, `--only` keeps some of them. `adopt` keeps what the
experiments' command lines wrote into any folder, such as one brought from a machine without the
workflow: whatever experiments it has, single curves joined. `--commit` says at which commit they
ran where their records could not. `verify` compares every archive with its checksums.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.catalogue import EXPERIMENTS, refuse_unknown
from experiments.harness.entries import Experiment
from experiments.harness.records import collect, describe_commit, find_commit, read_records
from experiments.reporting.results import PROVENANCE, Results

# The experiments. Their further tables begin with their names.
NAMES = tuple(one.name for one in EXPERIMENTS)
_REPOSITORY = Path(__file__).resolve().parents[2]
# Facts that the provenance gathers from all records: name in the provenance -> key in a record.
_GATHERED = {"measured_at_commits": "commit", "devices": "device", "versions": "versions"}


class ArchiveError(ValueError):
    """An archive that cannot be made or trusted; the message is for the user."""


def promote(
    root: Path,
    scale: str,
    label: str,
    other_scales: Mapping[str, str] | None = None,
    experiments: Sequence[str] = NAMES,
) -> Path:
    """Copies the results of a fresh run to a new archive and returns its folder.

    **Arguments:**

    - `scale`: the scale that was run.
    - `other_scales`: experiments to take from runs of other scales, each with its scale.
    - `experiments`: what to keep; all of them if nothing is said.
    """
    other_scales = other_scales or {}
    with _new_archive(root, label) as partial:
        for path in _collected_results(root, scale, other_scales, experiments):
            shutil.copyfile(path, partial / path.name)
        machine = {"system": platform.system(), "machine": platform.machine()}
        scales = {"scale": scale, "other_scales": dict(other_scales)}
        _write_provenance(partial, label, platform=machine, **scales)
    return root / "results" / "archived" / label


def adopt(
    root: Path,
    folder: Path,
    label: str,
    commit: str | None = None,
    experiments: Sequence[str] = NAMES,
) -> Path:
    """Makes a new archive of results in any folder and returns the archive's folder.

    What is there of the experiments is taken, and nothing else that lies in the folder.

    **Arguments:**

    - `folder`: NAME.csv and NAME.json of experiments, or their curves in NAME/.
    - `commit`: the commit at which they ran, where the records lack it (a copy without .git). The
      provenance says that it was added by hand; the records stay as they are.
    - `experiments`: what to keep; all that is there if nothing is said.
    """
    refuse_unknown(experiments, ArchiveError)
    found = [one for one in EXPERIMENTS if one.name in experiments and _is_in(folder, one.name)]
    if not found:
        raise ArchiveError(
            f"{folder} has no results of an experiment that is asked for: name the folder in which "
            "experiments wrote NAME.csv and NAME.json, or curves in NAME/."
        )
    with _new_archive(root, label) as partial:
        for one in found:
            _take(one, folder, partial)
        _write_provenance(partial, label, **_added_commit(partial, commit))
    return root / "results" / "archived" / label


@contextmanager
def _new_archive(root: Path, label: str) -> Iterator[Path]:
    """A folder that becomes the archive once it is complete; nothing of it is left otherwise."""
    target = _new_folder(root, label)
    partial = root / "results" / f".{label}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        target.parent.mkdir(exist_ok=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_provenance(partial: Path, label: str, **facts: Any) -> None:
    about = {
        "label": label,
        "promoted_at_commit": describe_commit(),
        **describe(partial),
        **facts,
    }
    text = json.dumps(about, indent=1) + "\n"
    (partial / PROVENANCE).write_text(text, encoding="utf-8")


def describe(folder: Path) -> dict[str, Any]:
    """Where the results in a folder come from. Names no machine, user or path."""
    held = [name for name in NAMES if (folder / f"{name}.csv").is_file()]
    records = {name: read_records(folder / f"{name}.csv") for name in held}
    everything = [record for several in records.values() for record in several]
    return {
        "promoted_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **{
            name: _distinct([record.get(fact) for record in everything])
            for name, fact in _GATHERED.items()
        },
        "configuration": {
            name: _distinct([record.get("configuration") for record in several])
            for name, several in records.items()
        },
        "sha256": {path.name: _sha256(path) for path in sorted(folder.iterdir())},
    }


def verify(folder: Path) -> list[str]:
    """What differs between an archive and its provenance, one sentence each."""
    provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    recorded = provenance["sha256"]
    present = {path.name for path in folder.iterdir()} - {PROVENANCE}
    differences = [f"{name} is missing" for name in sorted(recorded.keys() - present)]
    differences += [f"{name} is not in {PROVENANCE}" for name in sorted(present - recorded.keys())]
    differences += [
        f"{name} has changed since it was archived"
        for name in sorted(present & recorded.keys())
        if _sha256(folder / name) != recorded[name]
    ]
    return differences


def folders(root: Path) -> list[Path]:
    """All archives of a repository."""
    return sorted(path.parent for path in root.glob(f"results/archived/*/{PROVENANCE}"))


def fullest(root: Path) -> Path | None:
    """Of the archives with the most experiments the newest; None where there is no archive."""
    return max(folders(root), key=_rank, default=None)


def sources(root: Path) -> list[Results]:
    """The results of all archives, those of the fullest one first."""
    first = fullest(root)
    return [Results(one) for one in sorted(folders(root), key=lambda one: one != first)]


def _rank(folder: Path) -> tuple[int, str]:
    provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    return sum(f"{name}.csv" in provenance["sha256"] for name in NAMES), provenance["promoted_utc"]


def _new_folder(root: Path, label: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", label):
        raise ArchiveError(
            f"'{label}' cannot name an archive: use letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit."
        )
    target = root / "results" / "archived" / label
    if target.exists():
        raise ArchiveError(
            f"results/archived/{label} exists and is never overwritten: choose another label."
        )
    return target


def _collected_results(
    root: Path, scale: str, other_scales: Mapping[str, str], experiments: Sequence[str]
) -> list[Path]:
    """The files of fresh runs, if they have the results of all these experiments."""
    refuse_unknown([*other_scales, *experiments], ArchiveError)
    found = []
    for name in experiments:
        fresh = root / "results" / "fresh" / other_scales.get(name, scale)
        for path in (fresh / f"{name}.csv", fresh / f"{name}.json"):
            if not path.is_file():
                raise ArchiveError(
                    f"{path.relative_to(root).as_posix()} does not exist: finish the run first "
                    f"(./run snakemake --cores all --config scale={fresh.name}), or name the "
                    "experiments to keep with --only."
                )
        found += _files_of(name, fresh)
    return sorted(found, key=lambda path: path.name)


def _files_of(name: str, folder: Path) -> list[Path]:
    """The files of an experiment in a folder: tables, record, weights."""
    return [path for path in folder.glob(f"{name}*") if path.is_file() and _owner(path) == name]


def _owner(path: Path) -> str:
    """The experiment that a file belongs to: the longest name that the file's name begins with."""
    return max((name for name in NAMES if path.stem.startswith(name)), key=len)


def _is_in(folder: Path, name: str) -> bool:
    return (folder / f"{name}.csv").is_file() or bool(_curves(folder, name))


def _curves(folder: Path, name: str) -> list[Path]:
    """The tables of an experiment's curves: those with a record, which further tables lack."""
    tables = sorted((folder / name).glob("*.csv"))
    return [path for path in tables if path.with_suffix(".json").is_file()]


def _take(experiment: Experiment, folder: Path, partial: Path) -> None:
    """Copies the results of an experiment, or joins those of its curves, with all their tables."""
    name = experiment.name
    if not (folder / f"{name}.csv").is_file():
        return collect(_curves(folder, name), partial / f"{name}.csv", experiment.tables)
    needed = [f"{name}.json", *(f"{name}_{table}.csv" for table in experiment.tables)]
    for file in needed:
        if not (folder / file).is_file():
            raise ArchiveError(
                f"{folder} has {name}.csv without {file}: bring that file too, "
                f"or name the experiments to keep, without {name}, with --only."
            )
    for path in _files_of(name, folder):
        shutil.copyfile(path, partial / path.name)


def _added_commit(folder: Path, commit: str | None) -> dict[str, Any]:
    """What the provenance says of a commit that the records of some results lack."""
    held = [name for name in NAMES if (folder / f"{name}.csv").is_file()]
    recorded = [
        record["commit"] for name in held for record in read_records(folder / f"{name}.csv")
    ]
    if None not in recorded:
        if commit is not None:
            raise ArchiveError("The records name their commit: leave out --commit.")
        return {}
    if commit is None:
        raise ArchiveError(
            "Some of the records name no commit, since a copy without .git has none: say with "
            "--commit at which one the experiments ran."
        )
    found = find_commit(commit)
    if found is None:
        raise ArchiveError(
            f"This repository has no commit '{commit}': fetch it, or correct --commit."
        )
    known = [one for one in recorded if one is not None]
    return {"measured_at_commits": _distinct([*known, {"id": found, "added_by_hand": True}])}


def _distinct(values: list[Any]) -> list[Any]:
    """The values without repetitions, in their first order."""
    seen = {json.dumps(value, sort_keys=True): value for value in reversed(values)}
    return list(reversed(seen.values()))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _verify_all(root: Path) -> None:
    found = folders(root)
    faults = [f"{folder.name}: {fault}" for folder in found for fault in verify(folder)]
    if faults:
        sys.exit("\n".join(faults))
    print(f"Archives compared with their checksums: {len(found)}, all agree.")


def _experiment_and_scale(text: str) -> tuple[str, str]:
    experiment, sign, scale = text.partition("=")
    if not (experiment and sign and scale):
        raise argparse.ArgumentTypeError(f"{text!r} is not like gpu_memory=paper")
    return experiment, scale


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.archive")
    commands = parser.add_subparsers(dest="command", required=True)
    promoting = commands.add_parser("promote", help="keep the results of a fresh run")
    promoting.add_argument("--scale", required=True, help="the scale that was run")
    promoting.add_argument("--label", required=True, help="name of the new archive")
    promoting.add_argument(
        "--other",
        nargs="*",
        default=[],
        metavar="EXPERIMENT=SCALE",
        type=_experiment_and_scale,
        help="experiments to take from runs of other scales",
    )
    adopting = commands.add_parser("adopt", help="keep the results in any folder")
    adopting.add_argument("--folder", required=True, type=Path, help="where the results are")
    adopting.add_argument("--label", required=True, help="name of the new archive")
    adopting.add_argument("--commit", help="where they ran, if their records do not say it")
    for command in (promoting, adopting):
        command.add_argument(
            "--only",
            nargs="+",
            default=NAMES,
            metavar="EXPERIMENT",
            help="the experiments to keep, where it is not all of them",
        )
    commands.add_parser("verify", help="compare all archives with their checksums")
    options = parser.parse_args(arguments)
    if options.command == "verify":
        _verify_all(_REPOSITORY)
        return
    try:
        folder = _make(_REPOSITORY, options)
    except ValueError as error:
        sys.exit(str(error))
    print(f"Archived as {folder.relative_to(_REPOSITORY).as_posix()}: commit this folder.")


def _make(root: Path, options: argparse.Namespace) -> Path:
    if options.command == "adopt":
        return adopt(root, options.folder, options.label, options.commit, options.only)
    return promote(root, options.scale, options.label, dict(options.other), options.only)


if __name__ == "__main__":
    main()
