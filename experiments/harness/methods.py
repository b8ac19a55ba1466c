"""The methods: their names in settings and results, what readers call them, and their solvers.

A new method is an entry of `REGISTERED`. Experiments select methods from it by name, and the
enumerations of config/schema.yaml that say `registered` come from it. Solvers are named in text, so
that this list is read without JAX, and so that an entry that an experiment does not name is no part
of the code that its results depend on (`experiments.harness.sources`).
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

# What a method needs beside a tolerance; settings may allow all methods of a kind.
SEQUENTIAL = "sequential"  # nothing: it goes step by step
UNDAMPED = "undamped"  # nothing more
DAMPED = "damped"  # a damping λ
WINDOWED = "windowed"  # the length of a window
CHUNKED = "chunked"  # the length of a chunk
DEFAULT = "default"  # nothing: `solve` chooses chunks, windows and the method
SCAN = "scan"  # nothing: another form of the sequential method, with the same answer
SPECIAL = "special"  # something that the experiment that names it gives
KINDS = (SEQUENTIAL, SCAN, UNDAMPED, DAMPED, WINDOWED, CHUNKED, DEFAULT, SPECIAL)


class Method(NamedTuple):
    """An entry of the list.

    - `label`: what figures, tables and the report call it.
    - `kind`: one of `KINDS`.
    - `solver`: "module:name" of what makes the solver; `None` where an experiment has its own way.
    """

    name: str
    label: str
    kind: str
    solver: str | None

    def build(self, *values: Any, **options: Any) -> Any:
        """The solver, an `AbstractSolver`.

        **Arguments:**

        - `values`, `options`: what its class takes: the damping of a damped method, `rtol`, `atol`.
        """
        if self.solver is None:
            raise ValueError(f"The method {self.name} has no solver: its experiment evaluates it.")
        module, _, name = self.solver.partition(":")
        return getattr(import_module(module), name)(*values, **options)


REGISTERED = (
    Method("sequential", "sequential", SEQUENTIAL, "parallel_rnn:Sequential"),
    Method("deer", "DEER", UNDAMPED, "parallel_rnn:DEER"),
    Method("quasi_deer", "quasi-DEER", UNDAMPED, "parallel_rnn:QuasiDEER"),
    Method("jacobi", "Jacobi", UNDAMPED, "parallel_rnn:Jacobi"),
    Method("picard", "Picard", UNDAMPED, "parallel_rnn:Picard"),
    Method("elk", "ELK", DAMPED, "parallel_rnn:ELK"),
    Method("quasi_elk", "quasi-ELK", DAMPED, "parallel_rnn:QuasiELK"),
    Method("windowed_deer", "DEER in windows", WINDOWED, "parallel_rnn:DEER"),
    Method("windowed_quasi_deer", "quasi-DEER in windows", WINDOWED, "parallel_rnn:QuasiDEER"),
    Method("block_quasi_deer", "block quasi-DEER", SPECIAL, "parallel_rnn:QuasiDEER"),
    Method("scale_elk", "scale-ELK", SPECIAL, "parallel_rnn:ScaleELK"),
    Method("quasi_scale_elk", "quasi-scale-ELK", SPECIAL, "parallel_rnn:ScaleELK"),
    Method("clip_elk", "clip-ELK", SPECIAL, "parallel_rnn:ClipELK"),
    Method("inputs_first", "sequential, inputs first", SCAN, None),
    Method("unrolled", "sequential, unrolled", SCAN, None),
    Method("inputs_first_unrolled", "sequential, inputs first, unrolled", SCAN, None),
    Method("chunks", "chunks", CHUNKED, "parallel_rnn:QuasiDEER"),
    Method("dense_chunks", "dense chunks", CHUNKED, "parallel_rnn:DEER"),
    Method("by_default", "solve by default", DEFAULT, None),
)
METHODS = {method.name: method for method in REGISTERED}
# What figures call the form of the sequential method that is the fastest in a cell.
BEST_SCAN = "best_scan"
LABELS = {method.name: method.label for method in REGISTERED} | {BEST_SCAN: "sequential, best form"}


def selected(kinds_and_names: Iterable[str]) -> list[str]:
    """The names of all methods of some kinds, and single ones, in the order of the list."""
    wanted = set(kinds_and_names)
    unknown = wanted - METHODS.keys() - set(KINDS)
    if unknown:
        raise ValueError(
            f"{', '.join(sorted(unknown))}: no method and no kind of methods; "
            f"there are {', '.join([*KINDS, *METHODS])}."
        )
    return [method.name for method in REGISTERED if wanted & {method.name, method.kind}]
