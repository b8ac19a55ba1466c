"""What was measured on which device, in a few sentences, for the documentation."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from experiments.harness.methods import LABELS
from experiments.reporting.format import count, quantity, seconds
from experiments.reporting.format import listed as in_words
from experiments.reporting.measures.gru import speedups_at
from experiments.reporting.measures.training import update_times
from experiments.reporting.results import Column, NotMeasured, Results
from experiments.reporting.tables import table_2

METHOD = "quasi_deer"
# The cells of the scaling experiment that are named: batch size and size of the state.
CELLS = ((16, 64), (16, 8), (1, 64))


def listed(sources: Sequence[Results]) -> str:
    """A list in Markdown, an entry a source."""
    return "\n".join(f"- {_about(source)}" for source in sources)


def _about(source: Results) -> str:
    sentences = [sentence for part in PARTS for sentence in _said(part, source)]
    jax = in_words(dict.fromkeys(record["versions"]["jax"] for record in source.runs))
    return f"**{source.devices}** (`results/{source.name}`, JAX {jax}): {' '.join(sentences)}"


def _said(part: Callable[[Results], str], source: Results) -> Iterator[str]:
    try:
        yield part(source)
    except NotMeasured:
        return


def scaling(source: Results, method: str) -> str:
    """How many times as fast as sequential evaluation a method evaluates an untrained GRU."""
    first, *others = [_at_longest(source, method, batch, dim) for batch, dim in CELLS]
    ratio, where = first
    more = [f"{ratio} times ({where})" for ratio, where in others]
    return (
        f"With {LABELS[method]} an untrained GRU is evaluated {ratio} times as fast as with plain "
        f"`jax.lax.scan` ({where}), {in_words(more)}."
    )


def _at_longest(source: Results, method: str, batch: int, dim: int) -> tuple[str, str]:
    """How many times as fast at the longest sequence, and where that is."""
    own = speedups_at(source, batch, dim, method)
    where = f"batch size {batch}, D = {dim}, T = {count(own.index[-1])}"
    return quantity(own.iloc[-1]), where


def update(source: Results) -> str:
    """How long an update of the paper's classifier takes."""
    parallel = ("deer", "chunks", METHOD)
    times = update_times(source, ["sequential", *parallel]).dropna()
    parts = [f"{seconds(times[name])} with {LABELS[name]}" for name in parallel if name in times]
    ratio = quantity(times["sequential"] / times[METHOD])
    return (
        f"A training update at the shape of EigenWorms takes {seconds(times['sequential'])} "
        f"sequentially, {in_words(parts)}, which is {ratio} times as fast."
    )


def argru(source: Results) -> str:
    """Sequential evaluation of the AR GRU beside the damped methods."""
    table = table_2.tabulate(source.needed("argru"), source.needed("argru_times"))
    times: Column = table.set_index("method")["time_s"]
    parts = [
        f"{seconds(times[name])} with {LABELS[name]} "
        f"({quantity(times['sequential'] / times[name])} times as fast)"
        for name in ("elk", "quasi_elk")
    ]
    return (
        f"The states of the trained AR GRU take {seconds(times['sequential'])} sequentially, "
        f"{in_words(parts)}."
    )


COMPARED = (METHOD, "chunks", "by_default")
PARTS = (*(partial(scaling, method=name) for name in COMPARED), update, argru)
