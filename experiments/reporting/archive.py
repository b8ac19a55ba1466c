"""Archives: results kept in the repository, with their provenance and checksums.

    python -m experiments.reporting.archive promote --scale cpu --label my-machine
    python -m experiments.reporting.archive promote --scale cpu --label my-machine \\
        --other gpu_memory=paper
    python -m experiments.reporting.archive promote --scale cpu --label part --only wide chaos
    python -m experiments.reporting.archive verify

`promote` copies the collected results of a fresh run to results/archived/LABEL. No rule of
the pipeline writes there, so drawing from an archive never starts an experiment. `--other` takes
an experiment from the run of another scale, `--only` keeps some of them. `verify` compares every
archive with its checksums.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.catalogue import EXPERIMENTS
from experiments.harness.records import describe_commit, read_records

# The experiments. Their further tables begin with their names.
NAMES = tuple(one.name for one in EXPERIMENTS)
PROVENANCE = "provenance.json"
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

    The copy is made under another name and renamed when it is complete.

    **Arguments:**

    - `scale`: the scale that was run.
    - `other_scales`: experiments to take from runs of other scales, each with its scale.
    - `experiments`: what to keep; all of them if nothing is said.
    """
    target = _new_folder(root, label)
    other_scales = other_scales or {}
    files = _collected_results(root, scale, other_scales, experiments)
    commit = describe_commit()  # before the copy, which is a change of the working tree
    partial = root / "results" / f".{label}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for path in files:
        shutil.copyfile(path, partial / path.name)
    about = {
        "label": label,
        "scale": scale,
        "other_scales": dict(other_scales),
        "promoted_at_commit": commit,
        **describe(partial),
    }
    text = json.dumps(about, indent=1) + "\n"
    (partial / PROVENANCE).write_text(text, encoding="utf-8")
    target.parent.mkdir(exist_ok=True)
    partial.rename(target)
    return target


def describe(folder: Path) -> dict[str, Any]:
    """Where the results in a folder come from. Names no machine, user or path."""
    held = [name for name in NAMES if (folder / f"{name}.csv").is_file()]
    records = {name: read_records(folder / f"{name}.csv") for name in held}
    everything = [record for several in records.values() for record in several]
    return {
        "promoted_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": {"system": platform.system(), "machine": platform.machine()},
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
    for name in (*other_scales, *experiments):
        if name not in NAMES:
            raise ArchiveError(f"'{name}' is no experiment: use one of {', '.join(NAMES)}.")
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
        found += [
            path for path in fresh.glob(f"{name}*") if path.is_file() and _owner(path) == name
        ]
    return sorted(found, key=lambda path: path.name)


def _owner(path: Path) -> str:
    """The experiment that a file belongs to: the longest name that the file's name begins with."""
    return max((name for name in NAMES if path.stem.startswith(name)), key=len)


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
    promoting.add_argument(
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
        folder = promote(
            _REPOSITORY, options.scale, options.label, dict(options.other), options.only
        )
    except ArchiveError as error:
        sys.exit(str(error))
    print(f"Archived as {folder.relative_to(_REPOSITORY).as_posix()}: commit this folder.")


if __name__ == "__main__":
    main()
