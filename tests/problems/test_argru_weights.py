"""The autoregressive GRU is the model of the paper, and a bad file of weights is refused."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.problems.argru import ARGRU, WeightsError

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "reference" / "argru_released.npz"


@pytest.fixture
def arrays(tmp_path):
    """The arrays of an untrained model, as its file holds them."""
    path = tmp_path / "weights.npz"
    ARGRU(key=jax.random.key(0)).save(path)
    with np.load(path) as archive:
        return dict(archive)


def write(tmp_path, arrays):
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    return path


def rollout(model, noise):
    def step(state, e):
        state = model(state, e)
        return state, state

    return jax.lax.scan(step, model.initial_state(), noise)[1]


def test_step_follows_the_formula(tmp_path, arrays):
    model = ARGRU.load(write(tmp_path, arrays))
    gru = eqx.nn.GRUCell(1, 3, key=jax.random.key(1))
    gru = eqx.tree_at(
        lambda g: (g.weight_ih, g.weight_hh, g.bias, g.bias_n),
        gru,
        tuple(jnp.asarray(arrays[n]) for n in ("weight_ih", "weight_hh", "bias", "bias_n")),
    )
    x, h, noise = jnp.array([0.7]), jnp.array([0.1, -0.4, 2.0]), jnp.array(-1.3)
    hidden = gru(x, h)
    mean, spread = arrays["decoder_weight"] @ (hidden + x) + arrays["decoder_bias"]
    wanted = [mean + jnp.log1p(jnp.exp(spread)) * noise, *hidden]
    found = model(jnp.concatenate([x, h]), noise)
    np.testing.assert_allclose(found, jnp.array(wanted), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_file_keeps_weights_and_precision(tmp_path, dtype):
    with jax.enable_x64(True):
        model = ARGRU(key=jax.random.key(0), dtype=jnp.dtype(dtype))
        model.save(tmp_path / "weights.npz")
        found = ARGRU.load(tmp_path / "weights.npz")
        assert eqx.tree_equal(found, model)
        assert rollout(found, jnp.ones(3, dtype)).dtype == dtype


def test_missing_arrays(tmp_path, arrays):
    del arrays["bias_n"], arrays["weight_hh"]
    with pytest.raises(WeightsError, match=r"lacks bias_n, weight_hh.*bias_n \(3,\)"):
        ARGRU.load(write(tmp_path, arrays))


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 9), np.float32), np.zeros((9, 3), np.float64), np.zeros((9, 3), int)]
)
def test_wrong_array(tmp_path, arrays, wrong):
    path = write(tmp_path, {**arrays, "weight_hh": wrong})
    with pytest.raises(WeightsError, match=r"weight_hh has the shape .* needs .*\(9, 3\)"):
        ARGRU.load(path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut"])
def test_no_archive(tmp_path, content):
    path = tmp_path / "weights.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.npz is missing, damaged or no"):
        ARGRU.load(path)


@pytest.mark.skipif(not RELEASED.exists(), reason="no copy of the authors' released weights")
def test_released_weights_make_a_sine_wave():
    model = ARGRU.load(RELEASED)
    noise = jax.random.normal(jax.random.key(0), (10_000,))
    states = rollout(model, noise)
    output = np.array(states[:, 0])
    assert len(output) / np.argmax(np.abs(np.fft.rfft(output))) == pytest.approx(714, rel=0.05)
    assert 12 < output.max() < 15 and -15 < output.min() < -12
    _, _, deviation = jax.vmap(model.predict)(states[:, :1], states[:, 1:])
    assert float(jnp.mean(deviation)) == pytest.approx(1.04, abs=0.02)
