"""How many kernels a program compiled for a GPU starts, read from its optimised HLO text.

An instruction outside a fusion is a kernel, a copy or a library call, unless it only names or
arranges what is there. Loops whose number of rounds is known count once for each round, and a
branch counts as its longest arm.
"""

import re
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%(?P<name>[\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(
    # The type is one word or a tuple, in which a layout may have parentheses of its own.
    r"^\s+(?:ROOT )?%[\w.\-]+ = (?:\((?:[^()]|\([^()]*\))*\)|\S+) (?P<operation>[\w\-]+)\("
)
_CALLED = re.compile(r"(condition|body|to_apply|calls)=%([\w.\-]+)")
_ARMS = re.compile(r"(?:true|false)_computation=%([\w.\-]+)")
_ARM_LIST = re.compile(r"branch_computations=\{([^}]*)\}")
_ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
# These start nothing on the device. The end of an asynchronous operation belongs to its start.
_NO_KERNEL = {
    "add-dependency",
    "after-all",
    "bitcast",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
}


class Instruction(NamedTuple):
    """An operation and the whole line that it stands on."""

    operation: str
    line: str


class Program(NamedTuple):
    """The computations of a module by name, and the one that it starts with."""

    computations: dict[str, list[Instruction]]
    entry: str

    def kernels(self, name: str) -> int:
        """Kernels that one call of a computation starts."""
        return sum(map(self._started_by, self.computations[name]))

    def kernels_per_iteration(self) -> int:
        """Kernels in one round of the program's first loop of unknown length.

        That is the Newton iteration, with the test whether it is the last. A program without
        such a loop, sequential evaluation, is one iteration as a whole.
        """
        loop = self._first_open_loop(self.entry)
        if loop is None:
            return self.kernels(self.entry)
        return sum(self.kernels(name) for name in _called(loop.line))

    def _started_by(self, instruction: Instruction) -> int:
        operation, line = instruction
        if operation == "while":
            rounds = _ROUNDS.search(line)
            return (int(rounds[1]) if rounds else 1) * sum(map(self.kernels, _called(line)))
        if operation == "conditional":
            return max(map(self.kernels, _arms(line)))
        if operation == "call":
            return sum(map(self.kernels, _called(line)))
        return int(operation not in _NO_KERNEL and not operation.endswith("-done"))

    def _first_open_loop(self, name: str) -> Instruction | None:
        for instruction in self.computations[name]:
            if instruction.operation not in ("while", "call"):
                continue
            if instruction.operation == "while" and not _ROUNDS.search(instruction.line):
                return instruction
            for inner in _called(instruction.line):
                found = self._first_open_loop(inner)
                if found is not None:
                    return found
        return None


def read_program(text: str) -> Program:
    """The computations of an optimised HLO module.

    **Arguments:**

    - `text`: what `as_text()` of a compiled JAX function returns.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, inside = None, None
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            inside = computations.setdefault(header["name"], [])
            entry = header["name"] if header["entry"] else entry
        elif inside is not None and (found := _INSTRUCTION.match(line)):
            inside.append(Instruction(found["operation"], line))
    if entry is None:
        raise ValueError("The text has no ENTRY computation, so it is not an HLO module.")
    return Program(computations, entry)


def _called(line: str) -> list[str]:
    return [name for _, name in _CALLED.findall(line)]


def _arms(line: str) -> list[str]:
    listed = _ARM_LIST.search(line)
    return re.findall(r"%([\w.\-]+)", listed[1]) if listed else _ARMS.findall(line)
