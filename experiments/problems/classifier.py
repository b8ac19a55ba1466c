"""The paper's classifier of sequences (Figure 3), whose recurrences any method evaluates.

An encoder to D numbers a step, then layers of layer norm, GRU, residual and layer norm, and a
two-layer network with residual; last a two-layer network to logits, whose mean over the steps
classifies the series. Other cells may stand for the GRU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from experiments.problems import scans
from experiments.problems.predictions import predictions
from parallel_rnn import (
    DEER,
    RESULTS,
    AbstractAdjoint,
    AbstractSolver,
    DiagonalAdjoint,
    ImplicitAdjoint,
    QuasiDEER,
    solve_batch,
)
from parallel_rnn.cells import ElmanCell, GRUCell, LiquidCell, MinimalGatedUnit

# The cells whose state is one vector.
CELLS: dict[str, Callable[..., Any]] = {
    "gru": GRUCell,
    "minimal_gated": MinimalGatedUnit,
    "elman": ElmanCell,
    "liquid": LiquidCell,
}

# Differentiates the equation that the states solve, whatever found them.
EXACT = ImplicitAdjoint()


class Evaluated(NamedTuple):
    """The states of a recurrence for all series of a batch; iterations and success of each.

    Sequential evaluation iterates nothing: 0. In chunks an iteration is a sweep.
    """

    states: Float[Array, "B T D"]
    num_steps: Int[Array, " B"]
    converged: Bool[Array, " B"]


# (cell, inputs (B, T, D), guess of the states or None for zeros) -> Evaluated
Evaluation = Callable[[Any, Float[Array, "B T D"], Float[Array, "B T D"] | None], Evaluated]


class Layer(eqx.Module):
    """Layer norm, recurrence, residual and layer norm, then a network with a residual around it."""

    before: eqx.nn.LayerNorm
    cell: Any
    after: eqx.nn.LayerNorm
    network: eqx.nn.MLP

    def __init__(self, cell: str, units: int, *, key: PRNGKeyArray, dtype: DTypeLike):
        cell_key, network_key = jax.random.split(key)
        self.before = eqx.nn.LayerNorm(units, dtype=dtype)
        self.cell = CELLS[cell](units, units, key=cell_key, dtype=jnp.dtype(dtype))
        self.after = eqx.nn.LayerNorm(units, dtype=dtype)
        self.network = eqx.nn.MLP(units, units, units, 1, key=network_key, dtype=dtype)

    def __call__(
        self, x: Float[Array, "B T D"], evaluate: Evaluation, guess: Float[Array, "B T D"] | None
    ) -> tuple[Float[Array, "B T D"], Evaluated]:
        found = evaluate(self.cell, each_step(self.before)(x), guess)
        x = each_step(self.after)(x + found.states)
        return x + each_step(self.network)(x), found


class Classifier(eqx.Module):
    """The whole model.

    **Arguments:**

    - `channels`, `classes`: of the series.
    - `units`: D, the width of all layers.
    - `layers`: the number of layers.
    - `cell`: a name in `CELLS`; the paper's is the GRU.

    Reference: Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable
    parallelization of nonlinear RNNs", NeurIPS 2024, Figure 3.
    """

    encoder: eqx.nn.MLP
    layers: list[Layer]
    decoder: eqx.nn.MLP

    def __init__(
        self,
        channels: int,
        units: int,
        layers: int,
        classes: int,
        cell: str = "gru",
        *,
        key: PRNGKeyArray,
        dtype: DTypeLike = jnp.float32,
    ):
        first, last, *keys = jax.random.split(key, 2 + layers)
        self.encoder = eqx.nn.MLP(channels, units, units, 1, key=first, dtype=dtype)
        self.layers = [Layer(cell, units, key=layer_key, dtype=dtype) for layer_key in keys]
        self.decoder = eqx.nn.MLP(units, classes, units, 1, key=last, dtype=dtype)

    def __call__(
        self,
        series: Float[Array, "B T M"],
        evaluate: Evaluation,
        guesses: Float[Array, "B layers T D"] | None = None,
    ) -> tuple[Float[Array, "B classes"], list[Evaluated]]:
        """The logits, and what the evaluation of each layer's recurrence gave.

        **Arguments:**

        - `evaluate`: how the recurrences are evaluated.
        - `guesses`: of their states; zeros where there is none.
        """
        x = each_step(self.encoder)(series)
        found = []
        for index, layer in enumerate(self.layers):
            guess = None if guesses is None else guesses[:, index]
            x, evaluated = layer(x, evaluate, guess)
            found.append(evaluated)
        return jnp.mean(each_step(self.decoder)(x), axis=1), found


def each_step(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Applies a function of one step's numbers to every step of every series."""
    return jax.vmap(jax.vmap(function))


class Limits(Protocol):
    """Settings that an evaluation depends on.

    - `tolerance`: of the residuals, absolute and relative. `None` takes the default of the solver.
    - `window`, `group`, `chunk`: as `solve_batch` takes them.
    """

    @property
    def tolerance(self) -> float | None: ...
    @property
    def window(self) -> int | None: ...
    @property
    def group(self) -> int: ...
    @property
    def chunk(self) -> int: ...


class Variant(NamedTuple):
    """A way to train.

    - `evaluation`: how it evaluates a recurrence under these limits.
    - `warm`: the guess is the solution when the series was last seen, else zeros.
    """

    evaluation: Callable[[Limits], Evaluation]
    warm: bool = False


def stepped(form: str) -> Callable[[Limits], Evaluation]:
    """One step after another in a form of `scans.FORMS`, differentiated by JAX."""

    def evaluate(cell: Any, inputs: Float[Array, "B T D"], guess: Any = None) -> Evaluated:
        del guess
        start = jnp.zeros((len(inputs), inputs.shape[2]), inputs.dtype)
        states = scans.roll_out(scans.FORMS[form], cell, start, jnp.swapaxes(inputs, 0, 1))
        num_steps = jnp.zeros(len(inputs), int)
        return Evaluated(jnp.swapaxes(states, 0, 1), num_steps, num_steps == 0)

    return lambda _: evaluate


def iterated(
    solver: Callable[..., AbstractSolver], adjoint: AbstractAdjoint = EXACT
) -> Callable[[Limits], Evaluation]:
    """A method to the tolerance, from a guess."""

    def under(limits: Limits) -> Evaluation:
        chosen = solver(rtol=limits.tolerance, atol=limits.tolerance)
        options = {"window": limits.window, "group": limits.group, "adjoint": adjoint}

        def evaluate(cell: Any, inputs: Array, guess: Array | None) -> Evaluated:
            return solved(
                cell, inputs, chosen, guess="zeros" if guess is None else guess, **options
            )

        return evaluate

    return under


def in_chunks(limits: Limits) -> Evaluation:
    """Quasi-DEER in chunks, by default options in all else."""
    options: dict[str, Any] = {"chunk": limits.chunk, "group": limits.group, "adjoint": EXACT}

    def evaluate(cell: Any, inputs: Array, guess: Any = None) -> Evaluated:
        del guess
        return solved(cell, inputs, QuasiDEER(), **options)

    return evaluate


def solved(
    cell: Any, inputs: Float[Array, "B T D"], solver: AbstractSolver, **options: Any
) -> Evaluated:
    """All series of the batch from a state of zeros, with these options of `solve_batch`."""
    start = jnp.zeros((len(inputs), inputs.shape[2]), inputs.dtype)
    found = solve_batch(cell, start, inputs, solver, throw=False, **options)
    return Evaluated(found.value, found.stats["num_steps"], found.result == RESULTS.successful)


VARIANTS = {
    **{form: Variant(stepped(form)) for form in scans.FORMS},
    "deer": Variant(iterated(DEER)),
    "quasi_deer": Variant(iterated(QuasiDEER)),
    "chunks": Variant(in_chunks),
    "deer_diagonal": Variant(iterated(DEER, DiagonalAdjoint())),
    "quasi_deer_diagonal": Variant(iterated(QuasiDEER, DiagonalAdjoint())),
    "quasi_deer_warm": Variant(iterated(QuasiDEER), warm=True),
}


def evaluation(variant: str, limits: Limits) -> Evaluation:
    """How a variant evaluates a recurrence."""
    return VARIANTS[variant].evaluation(limits)


class Seen(NamedTuple):
    """What an evaluation of the loss showed beside it."""

    accuracy: Float[Array, ""]
    states: Float[Array, "B layers T D"]
    num_steps: Int[Array, "layers B"]
    converged: Bool[Array, "layers B"]


def loss(
    model: Classifier,
    series: Float[Array, "B T M"],
    labels: Int[Array, " B"],
    evaluate: Evaluation,
    guesses: Float[Array, "B layers T D"] | None = None,
) -> tuple[Float[Array, ""], Seen]:
    """The mean cross entropy of a batch."""
    logits, layers = model(series, evaluate, guesses)
    entropy = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
    accuracy = jnp.mean(predictions(logits) == labels)
    return entropy, Seen(
        accuracy,
        jax.lax.stop_gradient(jnp.stack([layer.states for layer in layers], axis=1)),
        jnp.stack([layer.num_steps for layer in layers]),
        jnp.stack([layer.converged for layer in layers]),
    )
