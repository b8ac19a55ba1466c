"""What the list of commands does with a command: skips, stops, goes on, packs."""

import subprocess
import tarfile

import pytest

from tests.clones import ROOT

STEPS = ROOT / "experiments" / "lent" / "steps.sh"
A, B = "results/fresh/tiny/a.csv", "results/fresh/tiny/b.csv"


@pytest.fixture
def run(tmp_path):
    """Runs lines that call the steps, in a folder of their own; returns what they say."""

    def run(*lines, limit="", archive=""):
        text = "\n".join([f"called_from=$PWD scale=tiny; . {STEPS}", *lines, "exit $failures"])
        words = ["sh", "-c", text, "list", limit, archive]
        answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert not answer.stderr
        return answer.returncode, answer.stdout.splitlines()

    return run


def write(name, text="x"):
    return f"step {name} logs/fresh/tiny/some.log sh -c 'echo {text} > {name}; echo said'"


def test_what_is_there_is_skipped(run, tmp_path):
    assert run(write(A, "first"))[0] == 0
    code, lines = run(write(A, "second"), write(B))
    assert code == 0 and lines[0] == f"there: {A}" and lines[1].startswith("done in ")
    assert (tmp_path / A).read_text() == "first\n"
    assert (tmp_path / "logs/fresh/tiny/some.log").read_text() == "said\nsaid\n"


def test_a_failure_is_told_and_the_next_runs(run, tmp_path):
    code, lines = run(f"step {A} logs/fresh/tiny/a.log sh -c 'exit 3'", write(B))
    assert code == 1 and (tmp_path / B).exists()
    assert lines[0].startswith("failed (3) ") and lines[0].endswith("see logs/fresh/tiny/a.log")


def test_what_runs_is_stopped_in_time_and_nothing_else_begins(run, tmp_path):
    code, lines = run(f"step {A} logs/fresh/tiny/a.log sleep 100", write(B), limit="1")
    assert code == 1 and lines[0].startswith("failed (124) ")
    assert lines[1] == f"no time left: {B}" and not (tmp_path / B).exists()


def test_variables_before_a_command_reach_it(run, tmp_path):
    run(f"step {A} logs/fresh/tiny/a.log FIRST=1 SECOND='two words' sh -c 'echo $SECOND > {A}'")
    assert (tmp_path / A).read_text() == "two words\n"


def test_the_archive_is_whole_after_each_step(run, tmp_path):
    seen = "tar -tzf out/results.tar.gz | grep -c csv > seen"
    code, _ = run(write(A), seen, write(B), archive="out/results.tar.gz")
    assert code == 0 and (tmp_path / "seen").read_text() == "1\n"
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
        assert {A, B, "logs/fresh/tiny/some.log"} <= {*archive.getnames()}


def test_joining_is_done_again(run, tmp_path):
    line = f"join {A} logs/fresh/tiny/a.log sh -c 'echo more >> {A}'"
    assert run(line)[0] == run(line, limit="1")[0] == 0
    assert (tmp_path / A).read_text() == "more\nmore\n"
