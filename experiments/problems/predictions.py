"""From logits to the class that a classifier predicts."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# What a series with logits that are not finite is classified as.
NO_CLASS = -1


def predictions(logits: Float[Array, "B classes"]) -> Int[Array, " B"]:
    """The class with the largest logit of each series; no class where one is not finite.

    XLA's maximum can overlook a NaN, and a diverged classifier would seem to classify.
    """
    known = jnp.all(jnp.isfinite(logits), axis=1)
    return jnp.where(known, jnp.argmax(logits, axis=1), NO_CLASS)
