"""Numbers that are not finite."""

import jax
import jax.numpy as jnp
import pytest

from parallel_rnn._finite import all_finite

WRONG = {"inf": jnp.inf, "-inf": -jnp.inf, "nan": jnp.nan, "imaginary": complex(0, jnp.inf)}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "complex64"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 100_000)])
def test_the_largest_numbers_are_finite_and_any_other_is_found(shape, dtype):
    """However many there are: their sum need not be finite."""
    most = jnp.finfo(dtype).max.astype(dtype)
    for numbers in (jnp.full(shape, most), jnp.full(shape, -most)):
        assert jax.jit(all_finite)(numbers)
        for name, wrong in WRONG.items():
            if name == "imaginary" and not jnp.iscomplexobj(numbers):
                continue
            for place in (0, numbers.size // 2, -1):
                flat = numbers.reshape(-1).at[place].set(wrong)
                assert not jax.jit(all_finite)(flat.reshape(shape)), (name, place)


def test_several_arrays_and_none():
    assert all_finite(())
    assert all_finite((jnp.ones((2, 0)), jnp.ones(3)))
    assert not all_finite((jnp.ones(3), jnp.array([1.0, jnp.nan])))


def test_no_nan_is_made_where_users_look_for_them():
    with jax.disable_jit(), jax.debug_nans(True):
        assert not all_finite(jnp.array([1.0, jnp.inf]))


def test_each_series_of_a_batch():
    batch = jnp.ones((3, 5)).at[1, 4].set(jnp.inf)
    assert jax.vmap(all_finite)(batch).tolist() == [True, False, True]
