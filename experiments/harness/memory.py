"""What a compiled program needs, and what the device has.

XLA assigns every buffer when it compiles, so a program's memory is known exactly
before anything is allocated or run.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import psutil

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")


class ProgramMemory(NamedTuple):
    """Bytes of a compiled program: its arguments, its result and what it needs between."""

    argument: int
    output: int
    temp: int

    @property
    def total(self) -> int:
        return self.argument + self.output + self.temp


def program_memory(compiled: jax.stages.Compiled) -> ProgramMemory:
    """Memory of a compiled program, read from XLA's buffer assignment."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise RuntimeError(
            f"The platform {jax.default_backend()} does not report the memory of compiled "
            "programs, so cells that do not fit cannot be found before they run."
        )
    return ProgramMemory(
        argument=analysis.argument_size_in_bytes,
        output=analysis.output_size_in_bytes,
        temp=analysis.temp_size_in_bytes,
    )


def device_memory() -> int:
    """Bytes that the default device offers now.

    On an accelerator this is the limit of JAX's own pool. On a CPU it is the memory
    that is free, or what the process's control group still allows if that is less.
    """
    stats = jax.devices()[0].memory_stats()
    if stats is not None and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    return min(int(psutil.virtual_memory().available), _control_group_memory())


def _control_group_memory() -> int:
    unlimited = 2**63 - 1
    try:
        limit, used = _CGROUP_LIMIT.read_text().strip(), int(_CGROUP_USED.read_text())
    except OSError:
        return unlimited
    return unlimited if limit == "max" else max(int(limit) - used, 0)
