"""Fetches what no package carries.

python -m experiments.datasets fetch-eigenworms --folder data/eigenworms --sha256 CHECKSUM
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.datasets.dataset import DatasetError
from experiments.datasets.fetch import fetch_eigenworms


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.datasets")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("fetch-eigenworms", help="download EigenWorms from the UEA archive")
    fetch.add_argument("--folder", type=Path, required=True, help="where its two files are put")
    fetch.add_argument(
        "--sha256", type=_checksum, help="of the archive; without it the one found is told"
    )
    options = parser.parse_args(arguments)
    print("Fetching EigenWorms, which takes minutes ...", file=sys.stderr)
    try:
        fetch_eigenworms(options.folder, options.sha256)
    except (DatasetError, OSError) as error:
        sys.exit(str(error))
    print(f"EigenWorms is in {options.folder}; its archive had the sha256 {options.sha256}.")


def _checksum(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 64 hexadecimal digits")
    return text


if __name__ == "__main__":
    main()
