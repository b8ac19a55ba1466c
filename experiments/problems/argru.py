"""The autoregressive GRU: a recurrence that turns noise into a noisy sine wave.

With output x, hidden state h of size 3 and noise e ~ N(0, 1), one step is

    h' = GRU(input x, hidden h)
    (μ, l) = W (h' + x) + c
    x' = μ + softplus(l) e

A normalising flow: given all x, the noise follows by solving the last line for e (Gonzalez et al.
2024, section 6.2).
"""

import hashlib
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from parallel_rnn.cells import GRUCell

HIDDEN_SIZE = 3


class WeightsError(RuntimeError):
    """A file of weights cannot be used; the message says why and what it should hold."""


class ARGRU(eqx.Module):
    """The recurrence `model(state, noise)`; the state is the array (x, h_1, h_2, h_3).

    **Arguments:**

    - `key`: a `jax.random.key` for the initial weights, uniform as those of Equinox's layers.
    - `dtype`: of the weights.

    References: Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable
    parallelization of nonlinear RNNs", NeurIPS 2024, section 6.2.
    """

    gru: GRUCell
    decoder_weight: Float[Array, "2 3"]
    decoder_bias: Float[Array, "2"]

    def __init__(self, *, key: PRNGKeyArray, dtype: DTypeLike = jnp.float32):
        dtype = jnp.dtype(dtype)
        gru_key, weight_key, bias_key = jax.random.split(key, 3)
        bound = 1 / math.sqrt(HIDDEN_SIZE)
        self.gru = GRUCell(1, HIDDEN_SIZE, key=gru_key, dtype=dtype)
        self.decoder_weight = jax.random.uniform(weight_key, (2, HIDDEN_SIZE), dtype, -bound, bound)
        self.decoder_bias = jax.random.uniform(bias_key, (2,), dtype, -bound, bound)

    @classmethod
    def load(cls, path: Path | str) -> "ARGRU":
        """Read weights that `save` wrote, or others under the same names, in their own precision.

        **Raises:** `WeightsError` for a file that is no .npz archive, lacks an array, or holds one
        of a wrong shape or type.
        """
        if not zipfile.is_zipfile(path):
            raise WeightsError(f"{path} is missing, damaged or no .npz archive of arrays.")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in _PLACES}
        missing = sorted(set(_PLACES) - set(arrays))
        if missing:
            raise WeightsError(f"{path} lacks {', '.join(missing)}. It needs {_wanted_arrays()}.")
        dtype = arrays["weight_ih"].dtype
        model = cls(key=jax.random.key(0))
        for name, place in _PLACES.items():
            found, wanted = arrays[name], place(model)
            if found.shape != wanted.shape or found.dtype != dtype or found.dtype.kind != "f":
                raise WeightsError(
                    f"{path}: {name} has the shape {found.shape} and type {found.dtype}. The file "
                    f"needs {_wanted_arrays()}, all of one floating-point type."
                )
        values = [jnp.asarray(arrays[name]) for name in _PLACES]
        return eqx.tree_at(lambda m: [place(m) for place in _PLACES.values()], model, values)

    def save(self, path: Path | str) -> None:
        """Write the weights as an .npz archive."""
        arrays = {name: np.asarray(place(self)) for name, place in _PLACES.items()}
        np.savez(path, allow_pickle=False, **arrays)

    def initial_state(self) -> Float[Array, "4"]:
        """x = 0 and h = 0, where the released model starts."""
        return jnp.zeros(1 + HIDDEN_SIZE, self.decoder_bias.dtype)

    def predict(
        self, x: Float[Array, "1"], hidden: Float[Array, "3"]
    ) -> tuple[Float[Array, "3"], Float[Array, ""], Float[Array, ""]]:
        """The next hidden state h', and mean μ and standard deviation softplus(l) of the next x."""
        hidden = self.gru(hidden, x)
        # Full float32 precision, which recent GPUs give only if asked.
        decoded = jnp.matmul(self.decoder_weight, hidden + x, precision="highest")
        mean, spread = decoded + self.decoder_bias
        return hidden, mean, jax.nn.softplus(spread)

    def __call__(self, state: Float[Array, "4"], noise: Float[Array, ""]) -> Float[Array, "4"]:
        hidden, mean, deviation = self.predict(state[:1], state[1:])
        return jnp.concatenate([(mean + deviation * noise)[None], hidden])


def untrained(seed: int) -> ARGRU:
    """The model with random weights that the training starts from."""
    return ARGRU(key=jax.random.fold_in(jax.random.key(seed), 0))


# Names of the arrays in a file of weights: those of the released weights.
_PLACES: dict[str, Callable[[ARGRU], Array]] = {
    "weight_ih": lambda model: model.gru.weight_ih,
    "weight_hh": lambda model: model.gru.recurrent.weight_hh,
    "bias": lambda model: model.gru.bias,
    "bias_n": lambda model: model.gru.recurrent.bias_n,
    "decoder_weight": lambda model: model.decoder_weight,
    "decoder_bias": lambda model: model.decoder_bias,
}


def _wanted_arrays() -> str:
    model = ARGRU(key=jax.random.key(0))
    return ", ".join(f"{name} {place(model).shape}" for name, place in _PLACES.items())


def describe_weights(path: Path | str) -> dict[str, str]:
    """The name and checksum of a file of weights, for a record."""
    path = Path(path)
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
