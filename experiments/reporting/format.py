"""How the report writes numbers: three significant digits, thousands separators, a unit."""

import math
from collections.abc import Iterable

NOT_MEASURED = "not measured"
NOT_FOUND = "not found"
# A line does not end between a number and its unit.
SPACE = "\N{NO-BREAK SPACE}"
_DIGITS = 3
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
_SECONDS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def quantity(value: float | None) -> str:
    """A number with three significant digits: 0.0123, 4.5, 1,230, 1.2e-7.

    NaN is written as what was not measured, and infinity, as a number of iterations, as not found.
    """
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return NOT_FOUND
    if value != 0 and not 1e-3 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.{_DIGITS - 1}e}".partition("e")
        return f"{_plain(float(mantissa))}e{int(exponent)}"
    return _plain(value)


def count(value: float | None) -> str:
    """A whole number with all its digits; any other, such as a median, as `quantity` writes it."""
    if value is None or not math.isfinite(value) or value != round(value):
        return quantity(value)
    return f"{int(value):,}"


def extent(value: float) -> str:
    """The distance of an iterate from the answer; infinity means that float32 could not hold it."""
    return "beyond float32" if math.isinf(value) else quantity(value)


def seconds(value: float | None) -> str:
    """A time in s, ms or µs."""
    return _with_unit(value, _SECONDS)


def duration(value_s: float) -> str:
    """How long something took, in whole seconds or, from two minutes on, whole minutes."""
    return f"{value_s:.0f} s" if value_s < 120 else f"{value_s / 60:.0f} min"


def size(value: float | None) -> str:
    """A number of bytes in B, kB, MB or GB."""
    return _with_unit(value, _BYTES)


def span(values: Iterable[float], write=quantity) -> str:
    """The smallest and the largest of some values, or the one that they all are."""
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        return NOT_MEASURED
    low, high = write(known[0]), write(known[-1])
    return low if low == high else f"{low} to {high}"


def listed(words: Iterable[str]) -> str:
    """Words as in a sentence: a, b and c."""
    *others, last = [*words] or [NOT_MEASURED]
    return f"{', '.join(others)} and {last}" if others else last


def share(part: int, whole: int) -> str:
    """A part of a whole as in "3 of 10"."""
    return f"{part:,} of {whole:,}" if whole else NOT_MEASURED


def _plain(value: float) -> str:
    """Rounded to three significant digits, no exponent, no zeros at the end."""
    if value == 0:
        return "0"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _with_unit(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return quantity(value)
    factor, unit = next((one for one in units if abs(value) >= one[0]), units[-1])
    return f"{quantity(value / factor)}{SPACE}{unit}"
