"""The environment: the locks, environment.yml, and the script `run` that sets it up."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-gpu.lock")
CONDA_PYTHON = (3, 13)

# An interpreter that passes for Python 3.13 and notes what it is asked to do.
FAKE_PYTHON = """\
#!/bin/sh
case "$1 $2" in
  "-c "*) case "$2" in *"(3, 13)"*) exit 0 ;; *) exit 1 ;; esac ;;
  "--version ") echo "Python 3.13.99" ;;
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") echo "$*" >>pip.log; [ ! -e stop-here ] ;;
esac
"""


def locked_versions(name: str) -> dict[str, str]:
    """Versions in a lock that hold for the Python of environment.yml."""
    versions = {}
    pattern = r"^([A-Za-z0-9._\[\]-]+)==([^\s;]+)(?: ; (.*?))? \\$"
    for package, version, marker in re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE):
        if not re.search(r"python_full_version < '3\.1[0-3]'", marker):
            versions[package] = version
    return versions


def direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    wanted = [*project["project"]["dependencies"], *(one for group in groups for one in group)]
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in wanted}


def test_conda_environment_has_the_locked_versions_of_all_direct_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    pins = dict(pin.split("==") for pin in pip["pip"])
    locked = locked_versions("requirements.lock")
    assert pins == {name: locked[name] for name in direct_dependencies()}
    assert f"python={'.'.join(map(str, CONDA_PYTHON))}" in conda


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_hashes_and_no_addresses(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index" not in text and "--find-links" not in text
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries and all("--hash=sha256:" in entry for entry in entries)


def test_locks_agree_and_only_the_gpu_lock_has_cuda():
    plain, gpu = (locked_versions(name) for name in LOCKS)
    assert {name: gpu.get(name) for name in plain} == plain
    assert any("cuda" in name for name in gpu.keys() - plain.keys())
    assert not any("cuda" in name for name in plain)


@pytest.fixture
def checkout(tmp_path):
    """A folder, with a space in its path, of what `run` needs, and a fake Python on the PATH."""
    folder = tmp_path / "my papers" / "repository"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "run", folder)
    (folder / "requirements.lock").write_text("first\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cksum", "cp", "dirname", "mkdir", "readlink", "rm", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    fake = tools / "python3.13"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    return folder


def run(
    checkout: Path,
    *arguments: str,
    cwd: Path | None = None,
    script: str | Path = "",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess:
    """Calls the script of a checkout, or `script` instead; `variables` are in its environment."""
    environment = {
        "PATH": str(checkout.parents[1] / "bin"),
        "PYENV_ROOT": str(checkout / "no-pyenv"),
        **variables,
    }
    return subprocess.run(
        [str(script or checkout / "run"), *arguments],
        cwd=cwd or checkout,
        env=environment,
        capture_output=True,
        text=True,
    )


def installs(checkout: Path) -> list[str]:
    log = checkout / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_run_sets_up_once_with_hashes_and_without_dependency_resolution(checkout):
    first = run(checkout, "sh", "-c", "echo in $PWD", cwd=checkout.parent)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == f"in {checkout}"
    assert "Python 3.13.99" in first.stderr
    locked, package = installs(checkout)
    assert locked.endswith("--no-deps --require-hashes -r requirements.lock")
    assert package.endswith("--no-deps -e .")
    second = run(checkout, "sh", "-c", "exit 7")
    assert second.returncode == 7 and second.stderr == ""
    assert len(installs(checkout)) == 2


def test_run_puts_its_environment_first_on_the_path(checkout):
    answer = run(checkout, "sh", "-c", "command -v python")
    assert answer.stdout.strip() == f"{checkout}/.venv/bin/python"


def test_run_sets_up_again_for_a_changed_lock(checkout):
    run(checkout, "sh", "-c", "true")
    (checkout / "requirements.lock").write_text("second\n")
    run(checkout, "sh", "-c", "true")
    assert len(installs(checkout)) == 4


def test_run_sets_up_again_in_a_moved_folder(checkout):
    run(checkout, "sh", "-c", "true")
    moved = checkout.rename(checkout.with_name("moved"))
    run(moved, "sh", "-c", "true")
    assert len(installs(moved)) == 4


def test_run_does_not_set_up_again_where_the_folder_is_reached_by_another_path(checkout):
    run(checkout, "sh", "-c", "true")
    other = checkout.parents[1] / "other"
    other.symlink_to(checkout.parent)
    answer = run(checkout, "sh", "-c", "echo $PWD", script=other / checkout.name / "run", cwd=other)
    assert (answer.stdout, answer.stderr) == (f"{checkout}\n", "")
    assert len(installs(checkout)) == 2


def test_run_finds_its_folder_whatever_cdpath_says(checkout):
    wrong = checkout.parents[1] / "wrong"
    (wrong / checkout.name).mkdir(parents=True)
    script = Path(checkout.name) / "run"
    cdpath = {"CDPATH": str(wrong)}
    answer = run(
        checkout, "sh", "-c", "echo $PWD", script=script, cwd=checkout.parent, variables=cdpath
    )
    assert answer.stdout == f"{checkout}\n", answer.stderr
    assert not [*(wrong / checkout.name).iterdir()]


def test_run_finds_its_folder_through_symbolic_links(checkout):
    first, second = checkout.parents[1] / "first", checkout.parent / "second"
    first.symlink_to(checkout / "run")
    second.symlink_to(Path("..") / "first")
    answer = run(checkout, "sh", "-c", "echo $PWD", script=second, cwd=checkout.parent)
    assert answer.stdout == f"{checkout}\n", answer.stderr


def test_run_notices_a_setup_that_did_not_end(checkout):
    (checkout / "stop-here").touch()
    stopped = run(checkout, "sh", "-c", "echo ran")
    assert stopped.returncode != 0 and "ran" not in stopped.stdout
    (checkout / "stop-here").unlink()
    again = run(checkout, "sh", "-c", "echo ran")
    assert again.returncode == 0 and again.stdout == "ran\n"


def test_run_takes_the_gpu_lock_where_a_driver_answers(checkout):
    (checkout / "requirements-gpu.lock").write_text("gpu\n")
    driver = checkout.parents[1] / "bin" / "nvidia-smi"
    driver.write_text("#!/bin/sh\nexit 0\n")
    driver.chmod(0o755)
    run(checkout, "sh", "-c", "true")
    assert installs(checkout)[0].endswith("-r requirements-gpu.lock")


def test_run_says_that_python_is_missing(checkout):
    broken = checkout.parents[1] / "bin" / "python3.13"
    broken.write_text("#!/bin/sh\nexit 127\n")
    answer = run(checkout, "sh", "-c", "true")
    assert answer.returncode == 1
    assert answer.stderr.startswith("No working Python 3.11 or newer")
    assert answer.stderr.count("\n") == 1


def test_run_without_a_command_says_how_it_is_used(checkout):
    answer = run(checkout)
    assert answer.returncode == 2
    assert answer.stderr.startswith("Usage: ./run COMMAND")
    assert not (checkout / ".venv").exists()


def test_run_is_executable():
    assert os.access(ROOT / "run", os.X_OK) and os.access(ROOT / ".ci" / "run", os.X_OK)
