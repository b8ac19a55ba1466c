"""A wrong call is refused with a sentence that names the thing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from parallel_rnn import DEER, QuasiDEER, scan, solve

XS = [[0.0, 0.0, 0.0]] * 5


def step(state, x):
    return 0.5 * state + x


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": -1}, ValueError, "`length` is -1"),
        ({"length": 2.5}, TypeError, "`length` is 2.5, a float"),
        ({"length": 4}, ValueError, r"disagree about the number of steps: \[4, 5\]"),
        ({"window": 0}, ValueError, "`window` is 0"),
        ({"window": -3}, ValueError, "`window` is -3"),
        ({"window": 2.0}, TypeError, "`window` is 2.0"),
        ({"window": True}, TypeError, "`window` is True"),
        ({"window": "all"}, TypeError, "`window` is 'all'"),
        ({"max_steps": -1}, ValueError, "`max_steps` is -1"),
        ({"max_steps": 1.5}, TypeError, "`max_steps` is 1.5"),
        ({"guess": "ones"}, ValueError, "`guess` is 'ones'"),
        ({"guess": 0.0}, ValueError, r"`guess` is float64\[\], but the states are float64\[5,3\]"),
        ({"solver": DEER}, TypeError, r"Write `DEER\(\)` with brackets"),
        ({"solver": "deer"}, TypeError, "`solver` is 'deer'"),
        ({"trace": lambda step, s, r: r}, ValueError, "`trace` needs an explicit `window`"),
    ],
)
def test_options(options, error, message):
    with pytest.raises(error, match=message):
        solve(step, jnp.zeros(3), jnp.asarray(XS), **options)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda s, x: jnp.concatenate([s, x]), r"returns float64\[6\] for a state float64\[3\]"),
        (lambda s, x: (s + x).astype("float32"), r"returns float32\[3\] for a state float64\[3\]"),
        (lambda s, x: (s, x), r"returns \(float64\[3\], float64\[3\]\)"),
        (lambda s, x: jnp.sum(s), r"returns float64\[\] for a state float64\[3\]"),
        (lambda s, x: None, "returns None for a state"),
    ],
)
def test_f_must_keep_the_state(f, message):
    with pytest.raises(TypeError, match=message):
        solve(f, jnp.zeros(3), jnp.asarray(XS))
    with pytest.raises(TypeError, match=message):
        scan(lambda s, x: (f(s, x), None), jnp.zeros(3), jnp.asarray(XS))


def test_swapped_arguments_that_fail():
    cell = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    with pytest.raises(TypeError, match="the arguments are swapped"):
        solve(cell, jnp.zeros(4), jnp.asarray(XS))


def test_swapped_arguments_that_change_the_shape():
    with pytest.raises(TypeError, match="the arguments are swapped"):
        solve(lambda x, s: s + jnp.sum(x), jnp.zeros(4), jnp.asarray(XS))


def test_an_error_inside_f_is_shown_as_it_is():
    def broken(state, x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        solve(broken, jnp.zeros(3), jnp.asarray(XS))


@pytest.mark.parametrize(
    ("s0", "message"),
    [
        ([1, 2, 3], "leaf of type int64"),
        ([True], "leaf of type bool"),
        ([1j], "leaf of type complex128"),
    ],
)
def test_states_must_be_floats(s0, message):
    with pytest.raises(TypeError, match=message):
        solve(step, jnp.asarray(s0), jnp.asarray(XS))


def test_states_must_have_one_dtype():
    s0 = (jnp.zeros(2, "float32"), jnp.zeros(2, "float64"))
    with pytest.raises(TypeError, match="mixes the dtypes float32, float64"):
        solve(lambda s, x: s, s0, jnp.asarray(XS))


def test_a_state_must_hold_something():
    with pytest.raises(ValueError, match="`s0` holds no array"):
        solve(step, None, jnp.asarray(XS))


def test_steps_must_be_known():
    with pytest.raises(ValueError, match="`length` is not given"):
        solve(step, jnp.zeros(3), None)


def test_inputs_need_a_time_axis():
    with pytest.raises(ValueError, match="leaf without axes"):
        solve(step, jnp.zeros(3), (jnp.asarray(XS), 1.0))


def test_inputs_must_agree():
    with pytest.raises(ValueError, match=r"number of steps: \[4, 5\]"):
        solve(lambda s, x: s, jnp.zeros(3), (jnp.asarray(XS), jnp.zeros(4)), QuasiDEER())
