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
# # A neural ODE by the map of one step
#
# One step of an ODE solver of fixed step size is a recurrence: s_t = f(s_{t-1}, x_t). So a whole
# trajectory can be found at once. `advise` measures which method to take.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from parallel_rnn import DEER, Picard, advise, solve

from stopwatch import compare

small = os.environ.get("EXAMPLE_SIZE") == "small"  # as the tests run it
LENGTH = 200 if small else 20_000
CHUNK = 50 if small else 1000
SECONDS = 2 if small else 20  # for `advise`
DT, WIDTH = 0.05, 32

# %% [markdown]
# ## The map of one step
#
# A network gives the rate of change of three numbers that are driven from outside. A step is that
# of the classical Runge-Kutta method. The module holds the weights, so that gradients reach them.


# %%
class Step(eqx.Module):
    network: eqx.nn.MLP

    def rate(self, state, drive):
        return self.network(jnp.append(state, drive)) - state

    def __call__(self, state, drive):
        middle = state + DT / 2 * self.rate(state, drive)
        return state + DT * self.rate(middle, drive)


network = eqx.nn.MLP(4, 3, WIDTH, 2, activation=jnp.tanh, key=jax.random.key(0))
f = Step(jax.tree.map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, network))
times = DT * jnp.arange(LENGTH)
drive = jnp.sin(0.7 * times) + jnp.sin(0.31 * times)
s0 = jnp.array([1.0, -1.0, 0.5])

# %% [markdown]
# ## How the guess becomes the trajectory
#
# The first guess is the initial state at all times. `trace` keeps what it is asked for of every
# iterate, here the first of the three numbers.

# %%
found = solve(f, s0, drive, DEER(), window=None, trace=lambda step, states, residual: states[:, 0])
num_steps = int(found.stats["num_steps"])
print(f"DEER took {num_steps} iterations for {LENGTH} steps")

shown = min(LENGTH, 1000)
plt.figure(figsize=(6, 3), layout="constrained")
for number in range(num_steps + 1):
    shade = str(0.85 * (1 - number / num_steps))  # from light to dark
    plt.plot(times[:shown], found.trace[number, :shown], color=shade, label=f"{number} iterations")
plt.gca().set(xlabel="time", ylabel="first number of the state")
plt.legend(fontsize=7)
plt.show()


# %% [markdown]
# ## The right answer, and its gradient
#
# The states are what `jax.lax.scan` finds, up to rounding, and so is the gradient.


# %%
@eqx.filter_jit
def by_scan(f):
    def step(state, x):
        state = f(state, x)
        return state, state

    return jax.lax.scan(step, s0, drive)[1]


def gradient(find):
    return eqx.filter_jit(eqx.filter_grad(lambda f: jnp.mean(find(f) ** 2)))(f)


off = jnp.max(jnp.abs(found.value - by_scan(f)))
slope = gradient(lambda f: solve(f, s0, drive, DEER()).value)
wanted = gradient(by_scan)
gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), slope, wanted)
print(f"states off by {off:.1e}, gradient by {max(jax.tree.leaves(gaps)):.1e}")
assert off < 1e-4, "rounding does not add up where a trajectory forgets its start"

# %% [markdown]
# ## What suits
#
# The state moves little in a step, so its Jacobian is near the identity, which is what `Picard`
# takes for it: nothing to differentiate, but more iterations, and short windows only. `advise`
# tries chunks on all steps and the other methods on the first of them, while there is time.

# %%
advice = advise(f, s0, drive, seconds=SECONDS)
print(advice)

# %%
advised = f"{type(advice.solver).__name__}, as advised"
compiled = eqx.filter_jit(solve)
compare(
    {
        "jax.lax.scan": lambda: by_scan(f),
        advised: lambda: compiled(f, s0, drive, advice.solver, **advice.options).value,
        "by default": lambda: compiled(f, s0, drive).value,
        "DEER": lambda: compiled(f, s0, drive, DEER()).value,
        "Picard": lambda: compiled(f, s0, drive, Picard(), window=20).value,
        "DEER in chunks": lambda: compiled(f, s0, drive, DEER(), chunk=CHUNK).value,
    }
)
