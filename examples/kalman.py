# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A Kalman filter: when the diagonal of the Jacobian is not enough
#
# A Kalman filter is a recurrence of a mean and a covariance. Quasi-DEER takes an iteration for
# every step or two here, DEER about a dozen for all of them. The Jacobian says why.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.flatten_util import ravel_pytree

from parallel_rnn import DEER, Sequential, solve

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH = 200 if small else 2000
CHUNK = 100 if small else 400
DT, RATE_NOISE, VARIANCE = 0.1, 0.1, 1.0

# %% [markdown]
# ## The recurrence
#
# Something moves along a line. Its position is measured, its speed is not. The state of the filter
# is a dictionary of the mean and the covariance of both: six numbers.

# %%
move = jnp.array([[1.0, DT], [0.0, 1.0]])
spread = RATE_NOISE * jnp.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])
sensor = jnp.array([[1.0, 0.0]])


class Filter(eqx.Module):
    """A module, so that one compiled program serves every variance of the sensor."""

    variance: jax.Array

    def __call__(self, state, measured):
        mean = move @ state["mean"]
        covariance = move @ state["covariance"] @ move.T + spread
        gain = covariance @ sensor.T / (sensor @ covariance @ sensor.T + self.variance)
        mean = mean + gain @ (measured - sensor @ mean)
        return {"mean": mean, "covariance": covariance - gain @ sensor @ covariance}


f = Filter(jnp.array(VARIANCE))
times = DT * jnp.arange(LENGTH)
position = 3 * jnp.sin(0.2 * times)
noise = jax.random.normal(jax.random.key(0), (LENGTH, 1))
measured = position[:, None] + VARIANCE**0.5 * noise
start = {"mean": jnp.zeros(2), "covariance": 10 * jnp.eye(2)}

# %% [markdown]
# ## Iterations
#
# Both are asked for the whole sequence at once and find the same states.

# %%
right = solve(f, start, measured, Sequential()).value
quasi = solve(f, start, measured, window=None)
dense = solve(f, start, measured, DEER(), window=None)
for name, found in (("quasi-DEER", quasi), ("DEER", dense)):
    off = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), found.value, right)
    print(f"{name}: {found.stats['num_steps']} iterations for {LENGTH} steps, off by {off}")

# %% [markdown]
# ## Why
#
# Let J be the Jacobian of a step and D what the method takes of it. An error of the guess that is
# the same at all steps, e, leaves behind (J - D) e at every step, and the linear recurrence with D
# sums that up to (I - D)⁻¹ (J - D) e. Where this matrix has an eigenvalue beyond 1, iterations
# make such an error larger. Only the start of the sequence is right, and an iteration carries that
# a step or two further. With D = J, as DEER has it, nothing is left behind.
#
# The filter's mean moves by (I - K C) F, with the gain K, the sensor C and the motion F. Its
# diagonal is just below 1, because the filter forgets slowly, so I - D is small. The entries
# beside the diagonal are as large as I - D: position follows from speed, and speed is seen through
# position only. The covariance moves by the product of that matrix with itself, in the same way.
# A precise sensor has a gain near 1, and then the diagonal is enough.


# %%
@jax.jit
def growth(f, settled):
    """The largest eigenvalue of (I - D)⁻¹ (J - D) at a state."""
    flat, unravel = ravel_pytree(settled)
    jacobian = jax.jacobian(lambda s: ravel_pytree(f(unravel(s), measured[-1]))[0])(flat)
    diagonal = jnp.diag(jacobian)
    left = (jacobian - jnp.diag(diagonal)) / (1 - diagonal)[:, None]
    return jnp.max(jnp.abs(jnp.linalg.eigvals(left)))


grown, iterations = [], []
for variance in (1e-4, 1e-3, 1e-2, 1.0):
    other = Filter(jnp.array(variance))
    found = solve(other, start, measured, window=None)
    grown.append(growth(other, jax.tree.map(lambda leaf: leaf[-1], found.value)))
    iterations.append(found.stats["num_steps"])
    print(f"variance {variance:g}: errors times {grown[-1]:.3g}, {iterations[-1]} iterations")

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(6, 5), layout="constrained")
above.plot(times, measured[:, 0], ".", color="0.8", label="measured")
above.plot(times, dense.value["mean"][:, 0], label="filtered, by DEER")
above.set(xlabel="time", ylabel="position")
above.legend()
below.loglog(grown, iterations, "o-")
below.axvline(1.0, color="0.6", linestyle=":")
below.set(xlabel="what an iteration multiplies errors by", ylabel="iterations\nof quasi-DEER")
plt.show()

# %% [markdown]
# ## Time
#
# The filter forgets its start, so chunks suit it too: each starts from where the filter leads over
# the last steps before it. Quasi-DEER is left out, because it would take too long.

# %%
long = jnp.tile(measured, (25, 1))


@jax.jit
def by_scan(f, measured):
    def step(state, y):
        state = f(state, y)
        return state, state

    return jax.lax.scan(step, start, measured)[1]


compiled = eqx.filter_jit(solve)
compare(
    {
        "jax.lax.scan": lambda: by_scan(f, long),
        "DEER": lambda: compiled(f, start, long, DEER()).value,
        "DEER in chunks": lambda: compiled(f, start, long, DEER(), chunk=CHUNK).value,
        "by default": lambda: compiled(f, start, long).value,
    }
)
