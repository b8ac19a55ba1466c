"""Single values that a user chooses, refused where they are made: the value, the cause, the fix."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


def check_number(name: str, value: Any, least: Any = -math.inf, most: float = math.inf) -> None:
    """Refuse what is no real number, nor an array of them, and what is not finite or out of range.

    The values of tracers are not known; of them only the type is looked at. A bound may be one.
    """
    known = _real(name, value)
    if isinstance(known, Tracer) or isinstance(least, Tracer):
        return
    # A comparison with NaN is false.
    if not np.all(np.isfinite(known) & (known >= np.asarray(least)) & (known <= most)):
        bounds = [f"at least {least}"] if np.all(np.isfinite(np.asarray(least))) else []
        bounds += [f"at most {most}"] if math.isfinite(most) else []
        raise ValueError(f"`{name}` is {value}; it must be {' and '.join(['finite', *bounds])}.")


def check_seed(name: str, value: Any) -> None:
    """Refuse what is no integer, nor an array of one."""
    if not jnp.issubdtype(_real(name, value).dtype, jnp.integer):
        raise TypeError(f"`{name}` is {value!r}; a seed must be an integer, such as 0.")


def as_scalar(name: str, value: Any, dtype: Any) -> Array:
    """The number as an array without axes."""
    if jnp.ndim(value) > 0:
        raise ValueError(
            f"`{name}` has the shape {jnp.shape(value)}, but it must be one number. To try many, "
            "use `jax.vmap` over a function that makes the solver."
        )
    return jnp.asarray(value, dtype)


def as_count(value: Any) -> Any:
    """An integer of NumPy, as a number that was computed may be, as one of Python; all else as is.

    JAX would take one of NumPy for an array.
    """
    return int(value) if isinstance(value, np.integer) else value


def check_count(name: str, value: Any, least: int, otherwise: str) -> None:
    """Refuse what is no integer of Python, see `as_count`, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"`{name}` is {value!r}; it must be a Python integer, because it is part of the "
            f"compiled program ({otherwise})."
        )
    if value < least:
        raise ValueError(f"`{name}` is {value}; it must be at least {least} ({otherwise}).")


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(
            f"`{name}` is {value!r}; it must be True or False, because it is part of the compiled "
            "program."
        )


def check_window(window: Any) -> None:
    """Refuse what is no number of steps, "auto" or `None`."""
    if not (window is None or (isinstance(window, str) and window == "auto")):
        check_count("window", window, 1, '"auto" and None (the whole sequence) are allowed too')


def check_kind(name: str, value: Any, kind: type, examples: str) -> None:
    """Refuse what is no object of a kind, such as its class."""
    if not isinstance(value, kind):
        hint = f" Write `{value.__name__}()` with brackets." if isinstance(value, type) else ""
        raise TypeError(f"`{name}` is {value!r}; it must be {examples}.{hint}")


def is_number(value: Any) -> bool:
    """Whether this is a real number of Python or NumPy, which has no dtype that it insists on."""
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def _real(name: str, value: Any) -> Any:
    """The value as an array of real numbers: a tracer as it is, all else as NumPy has it."""
    try:
        known = value if isinstance(value, Tracer) else np.asarray(value)
    except (TypeError, ValueError):  # a ragged list, a key
        known = np.asarray(None)
    if not any(jnp.issubdtype(known.dtype, kind) for kind in (jnp.floating, jnp.integer)):
        hint = f" Write `{value.__name__}()` with brackets." if isinstance(value, type) else ""
        raise TypeError(
            f"`{name}` is {value!r}; it must be a real number such as 0.1, or an array of them."
            f"{hint}"
        )
    return known
