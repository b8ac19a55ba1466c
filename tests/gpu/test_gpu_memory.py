"""Programs compiled for GPUs that are not there: their memory, their kernels, and what can fail."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pandas as pd
import pytest

from experiments import gpu_memory
from experiments.gpu import compiler, peak
from experiments.gpu.compiler import CompilerError
from experiments.gpu.hlo import read_program
from experiments.gpu.programs import FORWARD, GRADIENT, Cell, program
from experiments.harness.configuration import read_scale
from experiments.harness.memory import ProgramMemory
from tests.clones import ROOT

METHODS = read_scale(ROOT, "paper")["gpu_memory"]["methods"]
HLO = """\
HloModule example

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%inner_body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[], f32[4]{0}) parameter(0)
  %q = f32[4]{0} get-tuple-element(%p), index=1
  %step = f32[4]{0} fusion(%q), kind=kLoop, calls=%add
  ROOT %t = (s32[], f32[4]{0}) tuple(%p, %step)
}

%inner_test (p.1: (s32[], f32[4])) -> pred[] {
  %p.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] fusion(%p.1), kind=kLoop, calls=%add
}

%cheap (c: f32[4]) -> f32[4] {
  ROOT %c = f32[4]{0} parameter(0)
}

%dear (d: f32[4]) -> f32[4] {
  %d = f32[4]{0} parameter(0)
  %one = f32[4]{0} copy(%d)
  ROOT %two = f32[4]{0} custom-call(%one), custom_call_target="__cublas$gemm"
}

%body (b: (f32[4])) -> (f32[4]) {
  %b = (f32[4]{0:T(128)}, /*index=1*/s32[]) parameter(0)
  %w = (s32[], f32[4]{0}) while(%b), condition=%inner_test, body=%inner_body, KNOWN
  %start = ((f32[4]{0}), f32[4]{0}) fusion-start(%w), kind=kLoop, calls=%add
  %done = f32[4]{0} fusion-done(%start)
  ROOT %pick = f32[4]{0} conditional(%done), true_computation=%dear, false_computation=%cheap
}

%test (e: (f32[4])) -> pred[] {
  %e = (f32[4]{0}) parameter(0)
  ROOT %go = pred[] compare(%e, %e), direction=LT
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %z = f32[4]{0} bitcast(%a)
  %before = f32[4]{0} copy(%z)
  ROOT %loop = (f32[4]{0}) while(%before), condition=%test, body=%body
}
""".replace("KNOWN", 'backend_config={"known_trip_count":{"n":"10"}}')


def test_kernels_of_a_loop_are_counted_with_the_rounds_within():
    found = read_program(HLO)
    assert found.kernels("inner_body") == 1
    # Ten rounds of a step and a test, an asynchronous fusion, the longer arm, the outer test.
    assert found.kernels_per_iteration() == 10 * 2 + 1 + 2 + 1
    assert found.kernels("main") == 24 + 1
    straight = HLO.replace("while(%before), condition=%test, body=%body", "copy(%before)")
    assert read_program(straight).kernels_per_iteration() == 2
    with pytest.raises(ValueError, match="no ENTRY"):
        read_program("HloModule nothing")


@pytest.mark.parametrize("derivative", [FORWARD, GRADIENT])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_states_and_gradients_of_sequential_evaluation(method, derivative):
    cell = Cell(2, 3, 20, method, derivative, 8)
    _, (shapes, _) = program(cell)
    keys = iter(jax.random.split(jax.random.key(0), 9))
    weights = jax.tree.map(lambda one: jax.random.normal(next(keys), one.shape), shapes)
    inputs = jax.random.normal(jax.random.key(1), (20, 2, 3))

    def answer(method):
        return jax.jit(program(cell._replace(method=method))[0])(weights, inputs)

    expected = jax.tree.leaves(answer("sequential"))
    for one, other in zip(expected, jax.tree.leaves(answer(method)), strict=True):
        assert jnp.allclose(one, other, atol=1e-4)


def test_the_part_of_a_lock_is_whole():
    lock = (ROOT / "requirements-gpu.lock").read_text(encoding="utf-8")
    text = compiler.pinned(lock, compiler.PACKAGES)
    lines = text.splitlines()
    pins = [line for line in lines if not line.startswith(" ")]
    assert {line.split("==")[0] for line in pins} == set(compiler.PACKAGES)
    assert any(f"=={jax.__version__} " in line for line in pins)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)


def test_an_environment_that_cannot_install_says_why_and_rows_repeat_it(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("jax-cuda12-pjrt==0.0.0.none\n")
    folder = tmp_path / "compiler"
    compiler.install(folder, lock)
    status = json.loads((folder / compiler.STATUS).read_text())
    assert not status["available"] and "could not be installed" in status["reason"]
    table = curve(tmp_path, folder)
    assert len(table) == 2
    (reason,) = set(table["status"])
    assert reason.startswith("no compiler: the CUDA plugin of JAX")
    assert list(table["temp_memory_bytes"].dropna()) == []


def test_a_folder_without_a_compiler_is_named(tmp_path):
    table = curve(tmp_path, tmp_path / "nothing")
    assert set(table["status"]) == {
        "no compiler: nothing has no status.json: run python -m experiments.gpu.compiler first"
    }


def test_a_compiler_that_fails_is_a_row(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such instruction\nand more")

    monkeypatch.setattr(gpu_memory, "check", lambda _: None)
    monkeypatch.setattr(gpu_memory, "compile_for", fail)
    assert set(curve(tmp_path, tmp_path)["status"]) == {"compiling failed: no such instruction"}


def test_an_unknown_gpu_is_named():
    with pytest.raises(CompilerError, match="no GPU 'v100' in targets: use a100, h100"):
        compiler.target_facts("v100")
    assert compiler.target_facts("h100") == ("NVIDIA H100 80GB HBM3", 84_986_822_656)


def test_the_peak_is_read_only_on_the_gpu_compiled_for_and_only_if_it_fits(monkeypatch):
    cell = Cell(1, 2, 10, "deer", FORWARD, 5)
    small, large = ProgramMemory(1, 2, 3), ProgramMemory(0, 0, 10**12)
    monkeypatch.setattr(gpu_memory, "peak_in_own_process", lambda _: 123)
    for name, memory, measured in (
        ("NVIDIA H100 80GB HBM3", small, 123),
        ("NVIDIA H100 80GB HBM3", large, None),
        ("another", small, None),
        (None, small, None),
    ):
        monkeypatch.setattr(gpu_memory, "gpu_name", lambda name=name: name)
        assert gpu_memory.device_peak("h100", cell, memory) == measured


def test_a_cpu_has_no_peak_and_says_so(monkeypatch, capsys):
    cell = Cell(1, 2, 10, "sequential", FORWARD, 5)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.chdir(ROOT)
    assert peak.peak_in_own_process(cell) is None
    words = peak.to_words(cell._asdict())
    with pytest.raises(SystemExit, match="platform cpu does not record its peak"):
        peak.main(words)
    monkeypatch.setattr(peak, "run", lambda _: {"peak_bytes_in_use": 77})
    peak.main(words)
    assert capsys.readouterr().out == "77\n"


@pytest.mark.slow
def test_memory_on_an_h100_grows_as_it_should(tmp_path):
    """With the real compiler, in a process of its own, as the rule does it."""
    folder = tmp_path / "compiler"
    compiler.install(folder)
    status = json.loads((folder / compiler.STATUS).read_text())
    if not status["available"]:
        pytest.skip(f"needs the network once: {status['reason']}")
    path = tmp_path / "curve.csv"
    arguments = ["--compiler", str(folder), "--output", str(path), "--target", "h100"]
    arguments += ["--batch", "1", "--dim", "32", "--lengths", "1000", "10000"]
    arguments += ["--methods", "sequential", "deer", "quasi_deer", "windowed_deer"]
    arguments += ["--derivatives", "forward", "--window", "100"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.gpu_memory", *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}/src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(path).set_index(["method", "length"])
    assert set(table["status"]) == {"ok"}
    temp, kernels = table["temp_memory_bytes"].to_dict(), table["kernels_per_iteration"].to_dict()
    states = 10_000 * 32 * 4
    assert temp["sequential", 10_000] < 0.1 * states
    assert temp["deer", 10_000] > 32 * states
    assert 8 * temp["deer", 1000] < temp["deer", 10_000] < 12 * temp["deer", 1000]
    assert temp["quasi_deer", 10_000] < 0.3 * temp["deer", 10_000]
    assert temp["windowed_deer", 10_000] < 0.3 * temp["quasi_deer", 10_000]
    assert kernels["sequential", 10_000] > 10_000
    assert kernels["deer", 10_000] < 2 * kernels["deer", 1000]
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["target"]["name"] == "NVIDIA H100 80GB HBM3"


def curve(folder, compiler):
    """The table of a small curve with this compiler."""
    path = folder / "curve.csv"
    sizes = ["--target", "h100", "--batch", "1", "--dim", "2", "--lengths", "10"]
    what = ["--methods", "sequential", "deer", "--derivatives", "forward"]
    gpu_memory.main([*sizes, *what, "--compiler", str(compiler), "--output", str(path)])
    return pd.read_csv(path)
