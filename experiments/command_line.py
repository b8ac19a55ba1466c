"""Argument types and options that the experiments' command lines share."""

import argparse
import math
from pathlib import Path


def positive_int(text: str) -> int:
    """An integer of at least 1."""
    return _integer(text, least=1)


def non_negative_int(text: str) -> int:
    """An integer of at least 0."""
    return _integer(text, least=0)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


def positive_float(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def csv_path(text: str) -> Path:
    """A path that ends in .csv; the record takes the same name with .json."""
    path = Path(text)
    if path.suffix != ".csv":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .csv")
    return path
