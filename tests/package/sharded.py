"""Run by test_chunks.py in a process of its own, with eight devices: one sequence over all of them.

Chunks stay where they are. What travels between devices are the ends of chunks, and counts.
"""

import math
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from parallel_rnn import Sequential, solve
from parallel_rnn.cells import GRUCell

DEVICES, CHUNK, SIZE = 8, 64, 8
NUM_CHUNKS = 4 * DEVICES
LENGTH = NUM_CHUNKS * CHUNK
SENT = r"= \w+\[([\d,]*)\]\S* (?:all-gather|all-reduce|all-to-all|collective-\w+|reduce-scatter)\("

assert jax.device_count() == DEVICES
mesh = jax.make_mesh((DEVICES,), ("time",))
over_time = NamedSharding(mesh, PartitionSpec("time"))
cell = GRUCell(SIZE, SIZE, key=jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (LENGTH, SIZE))
s0 = jnp.zeros(SIZE)


@jax.jit
def states(s0, xs):
    return solve(cell, s0, xs, chunk=CHUNK, throw=False).value


sharded = jax.device_put(xs, over_time)
program = states.lower(s0, sharded).compile().as_text() or ""
sizes = [math.prod(map(int, filter(None, found.split(",")))) for found in re.findall(SENT, program)]
assert max(sizes) == NUM_CHUNKS * SIZE, sizes

found = states(s0, sharded)
assert found.sharding.is_equivalent_to(over_time, found.ndim)
assert jnp.all(jnp.abs(found - solve(cell, s0, xs, Sequential()).value) < 1e-6)
