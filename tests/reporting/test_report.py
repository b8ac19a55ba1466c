"""The report: its numbers on small tables with known answers, its prose, its PDF."""

import json
import math
import re
import shutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from pypdf import PdfReader

from experiments import catalogue
from experiments.harness.configuration import archives
from experiments.harness.entries import Figure
from experiments.harness.methods import METHODS
from experiments.reporting.document import beyond, classifiers, compile, cost, stability
from experiments.reporting.document.abstract import abstract
from experiments.reporting.document.compile import ReportError, compile_report
from experiments.reporting.document.numbers import collect
from experiments.reporting.format import count, extent, listed, quantity, seconds, share, size, span
from experiments.reporting.offline import remote_addresses
from experiments.reporting.results import Results
from tests.clones import ROOT
from tests.printed import printed

PROSE = (ROOT / "paper" / "report.typ").read_text(encoding="utf-8")
# What may hold digits: everything that is no number about results. In an equation a number has one
# digit; a string in quotes is a name, so it has no spaces.
NO_RESULTS = (
    r"//.*",  # comments
    r'"[\w.-]+"',  # names in calls
    r"@[\w-]+|<[\w-]+>",  # citations and labels
    r"\$(?:(?!\d\d|\d\.\d)[^$])*\$",  # equations
    r"\b[A-Za-z]\w*\d\w*",  # names such as float32
    r"\b(?:Figures?|Tables?)\s+\d(?:(?:,| and| to)\s+\d)*\b",  # the paper's
    r"\b\d+(?:\.\d+)?(?:pt|fr|em)\b|\bwidth: \d+%|\bcolumns: \d\b",  # layout
)
NUMBER_WORDS = (
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|hundred|thousand)"
    r"(?:[ -]fold| times| percent| iterations| steps)\b|\btwice\b|\bhalf as\b|\bdozens?\b"
)


def numbers_by_hand(text: str) -> list[str]:
    """Numbers in the prose that are not read from the results, each with what stands around it."""
    for allowed in NO_RESULTS:
        text = re.sub(allowed, " ", text)
    around = rf".{{0,30}}(?:\d+|{NUMBER_WORDS}).{{0,30}}"
    return re.findall(around, text)


def source(folder, **tables) -> Results:
    """A source with some tables, given as lists of rows, and records with some settings."""
    for name, rows in tables.items():
        if name.endswith("_record"):
            path = folder / f"{name.removesuffix('_record')}.json"
            path.write_text(json.dumps(rows))
        else:
            pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return Results(folder)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (quantity(0.012345), "0.0123"),
        (quantity(4.5), "4.5"),
        (quantity(1234.5), "1,230"),
        (quantity(1e-6), "1e-6"),
        (quantity(3.333e-9), "3.33e-9"),
        (quantity(9.999), "10"),
        (quantity(-0.5), "-0.5"),
        (quantity(0), "0"),
        (quantity(math.nan), "not measured"),
        (quantity(None), "not measured"),
        (count(4271), "4,271"),
        (count(2.5), "2.5"),
        (count(math.inf), "not found"),
        (extent(math.inf), "beyond float32"),
        (seconds(0.00164), "1.64\N{NO-BREAK SPACE}ms"),
        (seconds(12), "12\N{NO-BREAK SPACE}s"),
        (size(5.49e9), "5.49\N{NO-BREAK SPACE}GB"),
        (size(33), "33\N{NO-BREAK SPACE}B"),
        (span([3, 1, math.nan, 2], count), "1 to 3"),
        (span([2, 2], count), "2"),
        (span([]), "not measured"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (share(2, 11), "2 of 11"),
        (share(0, 0), "not measured"),
    ],
)
def test_numbers_are_written_for_readers(written, expected):
    assert written == expected


def scaling_row(method, dim, length, time_s, memory, status="ok"):
    sizes = {"batch": 16, "dim": dim, "length": length, "status": status}
    steps = None if method == "sequential" else 3
    return {
        **sizes,
        "method": method,
        "seed": 0,
        "time_s": time_s,
        "num_steps": steps,
        "argument_memory_bytes": 20,
        "output_memory_bytes": 30,
        "temp_memory_bytes": memory,
    }


def test_scaling_compares_in_the_largest_cell_that_all_completed(tmp_path):
    rows = [
        scaling_row("sequential", 8, 100, 1.0, 10),
        scaling_row("deer", 8, 100, 2.0, 800),
        scaling_row("quasi_deer", 8, 100, 3.0, 100),
        scaling_row("sequential", 8, 1000, 10.0, 10),
        scaling_row("deer", 8, 1000, None, 8000, status="out of memory"),
        scaling_row("quasi_deer", 8, 1000, 30.0, 1000),
    ]
    numbers = cost.gru_scaling(source(tmp_path, gru_scaling=rows))
    assert numbers["gru_scaling.batch16.largest.length"] == "100"
    assert numbers["gru_scaling.batch16.largest.temporary_ratio"] == "8"
    # What is only compiled counts for it, and arguments and results count too.
    assert numbers["gru_scaling.batch16.total_ratio"] == quantity(8050 / 1050)
    assert numbers["gru_scaling.batch16.total_ratio.length"] == "1,000"
    assert numbers["gru_scaling.batch16.largest.quasi_deer.time"] == seconds(3)
    assert numbers["gru_scaling.batch16.out_of_memory"] == "1 of 2"
    assert numbers["gru_scaling.batch1.largest.dim"] == "not measured"


def test_gpu_memory_counts_what_fits_the_card(tmp_path):
    columns = {"target": "h100", "batch": 16, "dim": 64, "derivative": "forward", "status": "ok"}
    buffers = {"argument_memory_bytes": 1e9, "output_memory_bytes": 1e9, "kernels_per_iteration": 7}
    rows = [
        {**columns, **buffers, "method": method, "length": length, "temp_memory_bytes": memory}
        for method, length, memory in [
            ("deer", 1000, 10e9),
            ("deer", 2000, 20e9),
            ("quasi_deer", 1000, 1e9),
            ("quasi_deer", 2000, 2e9),
        ]
    ]
    rows.append({**rows[0], "method": "elk", "status": "no compiler: none"})
    numbers = cost.gpu_memory(source(tmp_path, gpu_memory=rows))
    assert numbers["gpu_memory.deer.memory"] == size(22e9)
    assert numbers["gpu_memory.deer.fits"] == "1 of 2"
    assert numbers["gpu_memory.quasi_deer.fits"] == "2 of 2"
    assert numbers["gpu_memory.temporary_ratio"] == "10"
    assert numbers["gpu_memory.elk.memory"] == "not measured"
    assert numbers["gpu_memory.target"] == "H100"


def test_sweep_names_the_best_damping_and_counts_those_that_always_arrive(tmp_path):
    rows = [
        {"method": "elk", "damping": damping, "seed": seed, "num_steps": steps}
        for damping, seed, steps in [
            (1.0, 0, None),
            (1.0, 1, None),
            (0.1, 0, 200),
            (0.1, 1, 220),
            (0.01, 0, 90),
            (0.01, 1, None),
        ]
    ]
    numbers = stability.argru_sweep(source(tmp_path, argru_sweep=rows))
    assert numbers["argru_sweep.elk.best"] == "0.1"
    assert numbers["argru_sweep.elk.best_steps"] == "210"
    assert numbers["argru_sweep.elk.arrived"] == "1 of 3"
    assert numbers["argru_sweep.quasi_elk.best"] == "not measured"


def test_a_solve_that_did_not_arrive_took_infinitely_many_iterations(tmp_path):
    solves = [
        {"model": "trained", "method": "elk", "seed": seed, "num_steps": steps}
        for seed, steps in enumerate([10, None, None])
    ]
    draws = [(0, 3.0), (0, 4.0), (1, math.inf), (2, math.inf), (3, 9.0), (4, 1.0)]
    mad = [
        {"model": "trained", "method": method, "seed": seed, "mad": value}
        for seed, value in draws
        for method in ("elk", "deer")
        if method == "elk" or seed in (1, 2)
    ]
    numbers = stability.argru(source(tmp_path, argru=solves, argru_mad=mad))
    assert numbers["argru.trained.elk.steps"] == "not found"
    assert numbers["argru.elk.largest_mad"] == "9"  # the median of 4, infinity twice, 9 and 1
    assert numbers["argru.deer.largest_mad"] == "beyond float32"


def test_windows_name_the_least_work(tmp_path):
    columns = {"system": "argru", "length": 100, "status": "reached"}
    rows = [
        {**columns, "evaluation": evaluation, "method": method, "window": window, **found}
        for evaluation, method, window, found in [
            ("sequential", "sequential", 100, {"work_evaluations": 100, "time_s": 0.001}),
            ("whole", "elk", 100, {"work_evaluations": 2000, "time_s": 0.5}),
            ("windows", "jacobi", 10, {"work_evaluations": 500, "time_s": 0.2}),
            ("windows", "deer", 20, {"work_evaluations": 800, "time_s": 0.1}),
        ]
    ]
    numbers = stability.windows(source(tmp_path, windows=rows))
    assert numbers["windows.argru.least_work"] == "5"
    assert numbers["windows.argru.least_work.method"] == "Jacobi"
    assert numbers["windows.argru.least_time"] == seconds(0.1)
    assert numbers["windows.argru.elk.whole_work"] == "20"


def test_chaos_counts_the_systems_in_which_a_method_pays(tmp_path):
    rows = [
        {"system": "tanh", "parameter": parameter, "draw": 0, "method": method, "time_s": time_s}
        | {"window": window, "iterations_per_window": steps, "status": "ok"}
        | {"exponent_per_step": exponent}
        for parameter, exponent, method, window, steps, time_s in [
            (1, -0.5, "sequential", None, None, 1.0),
            (1, -0.5, "deer", 64, 2, 0.5),
            (2, 0.1, "sequential", None, None, 1.0),
            (2, 0.1, "deer", 64, 40, 9.0),
        ]
    ]
    numbers = beyond.chaos(source(tmp_path, chaos=rows))
    assert numbers["chaos.pays"] == "1 of 2"
    assert numbers["chaos.tanh.lowest.deer.steps"] == "2"
    assert numbers["chaos.tanh.highest.deer.steps"] == "40"


def test_wide_names_the_widths_at_which_parallel_is_faster(tmp_path):
    rows = [
        {"dim": dim, "method": method, "status": "ok", "length": 100, "time_s": time_s}
        for dim, method, time_s in [
            (64, "sequential", 1.0),
            (64, "quasi_deer", 2.0),
            (1024, "sequential", 9.0),
            (1024, "quasi_deer", 3.0),
        ]
    ]
    numbers = beyond.wide(source(tmp_path, wide=rows))
    assert numbers["wide.ratio"] == "3"
    assert numbers["wide.faster_at"] == "1,024"


def test_training_step_and_gradients(tmp_path):
    steps = [
        {"variant": "deer", "time_s": 2.0, "num_steps_layer_1": 3, "num_steps_layer_2": 4},
        {"variant": "deer", "time_s": 4.0, "num_steps_layer_1": 3, "num_steps_layer_2": 4},
    ]
    angles = {"angle_deg_all": [5.2, 14.6], "angle_deg_recurrence_1": [9, 21]}
    gradients = {**angles, "norm_ratio_all": [1.0, 0.8]}
    tables = source(tmp_path, training_step=steps, gradients=gradients)
    assert classifiers.training_step(tables)["training_step.deer.time"] == seconds(3)
    assert classifiers.training_step(tables)["training_step.deer.steps"] == "3 to 4"
    assert classifiers.gradients(tables)["gradients.angle"] == "5 to 15"
    assert classifiers.gradients(tables)["gradients.norm_last"] == "0.8"


def device(kind: str) -> dict:
    processor = {"processor": "Some processor", "cores": 2, "kind": kind}
    return {"device": {"platform": "cpu" if kind == "cpu" else "gpu", **processor}}


def scaling(speedup: float, *methods: str) -> list[dict]:
    """The widest cell of Figure 2: each method is so many times as fast as the one before."""
    times = [8.0 / speedup**place for place in range(1 + len(methods))]
    named = zip(("sequential", *methods), times, strict=True)
    return [scaling_row(name, 64, 1000, time_s, 10) for name, time_s in named]


def test_the_abstract_has_the_speed_of_each_device_and_names_other_sources(tmp_path):
    tables = {
        "fresh": {"gru_scaling": scaling(0.5, "quasi_deer"), "gru_scaling_record": device("cpu")},
        "older": {"gru_scaling": scaling(10, "quasi_deer"), "gru_scaling_record": device("X1")},
        "newer": {
            "gru_scaling": scaling(20, "quasi_deer", "chunks"),
            "gru_scaling_record": device("X1"),
            "argru": [
                {"model": "trained", "method": method, "seed": 0, "num_steps": steps}
                for method, steps in (("elk", 100), ("deer", 4000))
            ],
        },
    }
    for name in tables:
        (tmp_path / name).mkdir()
    sources = [source(tmp_path / name, **own) for name, own in tables.items()]
    numbers = abstract([sources[0], *reversed(sources[1:])])
    assert numbers["abstract.speed"] == (
        "0.5 times as fast on Some processor, 2 cores (quasi-DEER, T = 1,000) and "
        "400 times as fast on X1 (chunks, T = 1,000)"
    )
    assert numbers["abstract.iterations.elk"] == "100"
    assert numbers["abstract.iterations.source"] == f" (in {sources[2].name})"
    assert numbers["abstract.memory"] == "not measured"


def test_every_number_has_a_text_with_and_without_results(tmp_path):
    named = set(re.findall(r'number(?:s\.at)?\("([\w.]+)"\)', PROSE)) - {"name"}
    nothing = collect(Results(tmp_path))
    assert len(named) > 100
    assert named <= nothing.keys(), named - nothing.keys()
    for label in archives(ROOT):
        numbers = collect(Results(ROOT / "results" / "archived" / label))
        assert numbers.keys() == nothing.keys()


@pytest.mark.parametrize("label", archives(ROOT))
def test_what_an_archive_has_is_measured(label):
    folder = ROOT / "results" / "archived" / label
    numbers = collect(Results(folder))
    unmeasured = {name for name, text in numbers.items() if "not measured" in text}
    unmeasured = {name for name in unmeasured if not lacks_method(Results(folder), name)}
    parts = {name.partition(".")[0] for name in unmeasured}
    assert not {part for part in parts if (folder / f"{part}.csv").exists()}, unmeasured


def lacks_method(results, name):
    """Whether a number is of a method that the results of its experiment do not have."""
    experiment, *words = name.split(".")
    table = results.table(experiment)
    there = {*table.get("method", ()), *table.get("variant", ())}
    if "chunks" in there:  # with which came other forms of the sequential loop
        there.add("best_scan")
    return bool({*METHODS, "best_scan"} & {*words} - there)


def test_no_number_is_written_by_hand():
    assert numbers_by_hand(PROSE) == []


def test_no_semicolon_is_lost():
    # Typst takes one right after a call for its end; a semicolon that is read is written as \\;.
    assert re.findall(r'#\w+\("[^"]*"\);', PROSE) == []


@pytest.mark.parametrize(
    "text",
    [
        "ELK takes 134 iterations.",
        "It is $134$ times faster, or $1.5$.",
        'with #drawing("x")[A caption with 3 of them.]',
        '"ELK takes 134 iterations"',
        "about 50% of the time",
        "ELK is twice as fast.",
        "It takes ten times the work.",
        "Figure 2 shows 20.",
        "12,000 steps",
    ],
)
def test_a_number_by_hand_is_found(text):
    assert numbers_by_hand(text)


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """A repository with the report's text, and a source with numbers, one figure and one table."""
    shutil.copytree(ROOT / "paper", tmp_path / "paper")
    monkeypatch.setattr(compile, "ROOT", tmp_path)
    monkeypatch.setattr(compile, "REPORT", tmp_path / "paper" / "report.typ")
    folder = tmp_path / "figures" / "out" / "fresh" / "test"
    folder.mkdir(parents=True)
    (tmp_path / "results").mkdir()
    numbers = collect(Results(tmp_path / "results")) | {"run.commit": "2b3e066ff"}
    (folder / "numbers.json").write_text(json.dumps(numbers))
    figure = plt.figure(figsize=(7.2, 4))
    figure.savefig(folder / "windows.pdf")
    plt.close(figure)
    table = "| method | time |\n| --- | --- |\n| ELK | T D^2 |\n\nThe note.\n"
    (folder / "table_2.md").write_text(table)
    return folder


def text_of(pdf: bytes, folder) -> str:
    (folder / "report.pdf").write_bytes(pdf)
    return " ".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)


def test_the_report_shows_what_a_source_has_and_names_what_it_lacks(paper):
    given = paper / "numbers.json", [paper / "windows.pdf"], [paper / "table_2.md"]
    pdf = compile_report(*given)
    text = re.sub(r"\s+", " ", text_of(pdf, paper))
    assert "Table 2, measured here. The note." in text
    assert "2b3e066ff" in text  # a commit is not a power of ten
    assert "no results of Lorenz96" in text and "no results of windows" not in text
    assert compile_report(*given) == pdf  # no dates, no random names


@pytest.mark.parametrize("width_in", [7.0, 4.9])
def test_a_figure_is_printed_as_large_as_it_is_drawn(paper, width_in):
    figure = plt.figure(figsize=(width_in, 2))
    figure.text(0.5, 0.2, "a note", fontsize=6.5)
    figure.text(0.1, 0.1, "on its side", fontsize=3, rotation=90)
    with plt.rc_context({"pdf.fonttype": 42}):
        figure.savefig(paper / "windows.pdf")
    plt.close(figure)
    pdf = compile_report(paper / "numbers.json", [paper / "windows.pdf"], [])
    (paper / "report.pdf").write_bytes(pdf)
    found = [one for one in printed(paper / "report.pdf") if one.in_figure]
    assert sorted({round(one.size, 2) for one in found}) == [3.0, 6.5]
    assert any(not one.in_figure for one in printed(paper / "report.pdf"))


def test_what_the_text_does_not_name_is_shown_at_its_end(paper, monkeypatch):
    mine = Figure("mine", "wide", "Mine", "What I found.")
    monkeypatch.setattr(compile, "FIGURES", (*catalogue.FIGURES, mine))
    shutil.copy(paper / "windows.pdf", paper / "mine.pdf")
    with_it = compile_report(paper / "numbers.json", [paper / "mine.pdf"], [])
    without = compile_report(paper / "numbers.json", [paper / "windows.pdf"], [])
    assert "Further results" in text_of(with_it, paper) and "What I found." in text_of(
        with_it, paper
    )
    assert "Further results" not in text_of(without, paper)


def test_a_number_that_is_not_there_is_named(paper):
    numbers = json.loads((paper / "numbers.json").read_text())
    del numbers["run.jax"]
    (paper / "numbers.json").write_text(json.dumps(numbers))
    with pytest.raises(ReportError, match=r"numbers\.json has no number 'run\.jax'"):
        compile_report(paper / "numbers.json", [], [])


def test_what_does_not_belong_is_refused(paper, tmp_path):
    with pytest.raises(ReportError, match=r"chaos\.pdf does not exist"):
        compile_report(paper / "numbers.json", [paper / "chaos.pdf"], [])
    shutil.copy(paper / "windows.pdf", tmp_path / "windows.pdf")
    with pytest.raises(ReportError, match=r"windows\.pdf does not lie in test"):
        compile_report(paper / "numbers.json", [tmp_path / "windows.pdf"], [])


@pytest.mark.parametrize(
    ("page", "loaded"),
    [
        ('<a href="https://example.org">a link</a><img src="data:image/png;base64,AA">', []),
        ("<script>// see https://example.org\nlet x = 1</script><img src='a.png'>", []),
        ('<script src="https://example.org/x.js"></script>', ["https://example.org/x.js"]),
        ('<link rel="stylesheet" href="//example.org/x.css">', ["//example.org/x.css"]),
        ("<style>p { background: url(http://a.org/b) }</style>", ["http://a.org/b"]),
        ("<script>fetch('https://a.org/b')</script>", ["https://a.org/b"]),
    ],
)
def test_what_a_page_loads_is_found(page, loaded):
    assert remote_addresses(page) == loaded
