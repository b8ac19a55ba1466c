"""The package as it is built: what is in the wheel and the sdist, and what they ask for."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes

import pytest

from tests.clones import ROOT

SOURCES = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src" / "parallel_rnn").rglob("*")
    if path.suffix == ".py" or path.name == "py.typed"
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel and an sdist that were built from the working tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    [path] = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_the_package_and_its_licence(wheel):
    about = {name for name in wheel if ".dist-info/" in name}
    assert wheel.keys() - about == SOURCES
    assert any(name.endswith("licenses/LICENSE") for name in about)


def test_it_needs_three_packages_on_every_supported_python(wheel):
    [metadata] = [message_from_bytes(wheel[name]) for name in wheel if name.endswith("/METADATA")]
    always = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(always) == sorted(PROJECT["dependencies"])
    assert {one.split(">=")[0] for one in always} == {"jax", "equinox", "jaxtyping"}
    assert metadata["Requires-Python"] == PROJECT["requires-python"]


def test_the_sdist_builds_the_same_package_and_carries_no_results(built):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in SOURCES} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert not any(name.startswith(("results/", "docs/", "tests/")) for name in names)
