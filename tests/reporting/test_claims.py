"""The list of claims, how they are judged, and what the README shows of them."""

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from experiments.reporting import claim_list, claims, headline, readme, verdicts
from experiments.reporting.claim_list import ClaimsError
from experiments.reporting.measures.registry import MEASURES
from experiments.reporting.results import NotMeasured, Results
from experiments.reporting.tables import argru_seeds, scaling_exponents, table_2

ROOT = Path(__file__).resolve().parents[2]
LISTED = claim_list.read(ROOT)
TEXT = (ROOT / "paper" / "claims.yaml").read_text(encoding="utf-8")
ITEMS = {"Table 1", "Table 2", *(f"Figure {number}" for number in range(2, 9))}
CPU = {"kind": "cpu", "platform": "cpu", "processor": "Some CPU", "cores": 2}
GPU = {"kind": "Some GPU", "platform": "gpu", "processor": "Some CPU", "cores": 2}
DURATION_S = 90.0


def write(folder: Path, name: str, text: str, device: Any = CPU, **settings: Any) -> Results:
    """A result table of comma-separated lines and its record."""
    lines = [line.strip() for line in text.strip().splitlines()]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    record = {
        "device": device,
        "configuration": settings,
        "started_utc": "2026-01-01",
        "duration_s": DURATION_S,
    }
    (folder / f"{name}.json").write_text(json.dumps(record))
    return Results(folder)


def answers(listed: Any, source: Results) -> pd.DataFrame:
    """What a source says of claims: the columns of its answer under their plain names."""
    judged = claims.judge_claims(listed, [source])
    names = {claims.answer(name, source): name for name in claims.ANSWERS}
    return judged.rename(columns=names)


def claim(**values: Any) -> dict[str, Any]:
    return {**LISTED.claims[0], **values}


def test_every_item_of_the_paper_has_claims():
    assert {entry["item"] for entry in LISTED.claims} >= ITEMS
    assert len(LISTED.claims) >= 15


def test_every_measure_is_used():
    used = {entry["measure"] for entry in [*LISTED.claims, *LISTED.findings]}
    assert used == MEASURES.keys()


def test_the_paper_says_the_same_in_every_table():
    for entry in LISTED.claims:
        arguments = entry.get("arguments", {})
        if entry["measure"] == "scaling_exponents":
            paper = scaling_exponents.PAPER[arguments["method"], arguments["quantity"]]
            assert tuple(entry["against"].values()) == paper
        if entry["measure"] == "argru_order":
            assert tuple(entry["against"]) == argru_seeds.ORDER
        if entry["id"].startswith("table_2_iterations"):
            assert entry["against"] == table_2.PAPER[arguments["method"]].num_steps


def test_criteria_in_words():
    words = {entry["id"]: verdicts.criterion(entry) for entry in LISTED.claims}
    assert words["table_1_memory_deer"] == "T 1, D 2, within 0.3"
    assert words["figure_2_memory"] == "at least 10 (tolerance 2)"
    assert words["figure_7_elk"] == "1e-6, within a factor of 10"
    assert words["figure_8_order"] == "order: ELK, quasi-ELK"


SPEED = """batch,dim,length,method,status,time_s,num_steps
    16,8,100,sequential,ok,3.0,
    16,8,100,quasi_deer,ok,0.1,4
    16,8,200,sequential,ok,8.0,
    16,8,200,quasi_deer,ok,0.4,4"""


@pytest.mark.parametrize(
    ("device", "verdict", "shown"),
    [
        (CPU, "not testable", "Some CPU, 2 cores"),
        (GPU, "reproduced", "Some GPU"),
    ],
)
def test_a_claim_about_a_gpu_is_judged_on_one_only(tmp_path, device, verdict, shown):
    entry = next(one for one in LISTED.claims if one["id"] == "figure_2_speed")
    source = write(tmp_path, "gru_scaling", SPEED, device)
    row = answers([entry], source).iloc[0]
    assert row["measured"] == "30 times as fast at best, at D = 8, T = 100"
    assert (row["verdict"], row["device"]) == (verdict, shown)
    assert row["duration_s"] == DURATION_S


def test_a_claim_has_one_row_and_a_column_for_each_source(tmp_path):
    entry = next(one for one in LISTED.claims if one["id"] == "figure_2_speed")
    sources = []
    for name, device in (("here", CPU), ("gpu", GPU), ("empty", None)):
        (tmp_path / name).mkdir()
        if device is None:
            sources.append(Results(tmp_path / name))
        else:
            sources.append(write(tmp_path / name, "gru_scaling", SPEED, device))
    judged = claims.judge_claims([entry], sources)
    (shown,) = claims.claims_for_readers(judged, sources).to_dict("records")
    place = tmp_path.name
    assert shown[f"Some CPU, 2 cores ({place}/here)"].startswith("not testable: 30 times")
    assert shown[f"Some GPU ({place}/gpu)"].startswith("reproduced: 30 times")
    assert shown[f"no device ({place}/empty)"] == "not measured: no results of gru_scaling"


def test_without_results_nothing_is_judged_and_nothing_fails(tmp_path):
    source = Results(tmp_path)
    judged, found = answers(LISTED.claims, source), claims.tables(LISTED, source)[1]
    assert set(judged["verdict"]) == {"not measured"}
    assert all(judged["measured"].str.startswith("no results of "))
    assert all(found["measured"].str.startswith("not measured here: no results of "))
    assert list(found.columns) == claims.FINDING_COLUMNS


@pytest.mark.parametrize("kept", [0, 5])
def test_tables_with_few_rows_fail_nothing(tmp_path, kept):
    archive = readme.main_archive(ROOT)
    for record in archive.glob("*.json"):
        (tmp_path / record.name).write_bytes(record.read_bytes())
    for path in archive.glob("*.csv"):
        pd.read_csv(path, nrows=kept).to_csv(tmp_path / path.name, index=False)
    judged = answers(LISTED.claims, Results(tmp_path))
    found = claims.measure_findings(LISTED.findings, Results(tmp_path))
    assert not any(judged["measured"].str.contains("nan"))
    assert len(judged) == len(LISTED.claims) and len(found) == len(LISTED.findings)


ARGRU = """model,method,damping,seed,num_steps,run_steps,last_mad
    trained,deer,0,0,100,200,0
    trained,deer,0,1,300,400,0
    trained,elk,1e-6,0,10,20,0
    trained,elk,1e-6,1,,20,5
    untrained,deer,0,0,1,4,0"""
ARGRU_MAD = """model,method,damping,seed,iteration,mad
    trained,deer,0,0,0,5
    trained,deer,0,0,1,900
    trained,quasi_deer,0,0,0,800
    trained,elk,1e-6,0,0,5
    trained,elk,1e-6,0,1,7
    trained,quasi_elk,1e-2,0,0,9"""
ARGRU_TIMES = """method,repetition,run_steps,time_s
    sequential,0,,0.5
    deer,0,100,1.0
    elk,0,10,1.0"""
SWEEP = """method,damping,seed,num_steps,run_steps
    elk,1.0,0,,9
    elk,0.1,0,20,30
    elk,0.01,0,60,90
    quasi_elk,1.0,0,30,30
    quasi_elk,0.1,0,20,30
    quasi_elk,0.01,0,40,30"""
LORENZ96 = """method,damping,start,num_steps,run_steps,last_mad,time_per_iteration_s,time_s
    sequential,,0,,,,,0.5
    elk,0.5,0,4,9,0,1,4
    elk,0.1,0,,9,3,1,
    quasi_elk,0.5,0,8,9,0,0.25,2
    quasi_elk,0.1,0,6,9,0,0.5,3
    deer,0,0,50,90,0,1,50
    quasi_deer,0,0,90,90,0,1,90"""
LORENZ96_CONVERGENCE = """method,damping,start,iteration,mad
    elk,0.5,0,0,10
    elk,0.5,0,1,12
    elk,0.1,0,1,99
    quasi_elk,0.1,0,0,10
    quasi_elk,0.1,0,1,200"""
MEMORY_COLUMNS = "argument_memory_bytes,output_memory_bytes,temp_memory_bytes"
MEMORY = f"""batch,dim,length,method,seed,status,{MEMORY_COLUMNS},num_steps
    16,64,100,deer,0,ok,10,10,380,4
    16,64,100,quasi_deer,0,ok,10,10,80,8
    16,64,200,deer,,out of memory,20,20,1160,
    16,64,200,quasi_deer,0,ok,20,20,160,8"""
COMPILED = f"""target,batch,dim,length,method,derivative,status,{MEMORY_COLUMNS}
    h100,16,64,100,deer,forward,ok,1e9,1e9,28e9
    h100,16,64,100,deer,gradient,ok,1e9,1e9,98e9
    h100,16,64,100,quasi_deer,forward,ok,1e9,1e9,1e9
    a100,16,64,100,quasi_deer,forward,ok,1e9,1e9,9e9"""
POWERS = """batch,dim,length,method,seed,status,time_s,num_steps,temp_memory_bytes
    1,8,100,deer,0,ok,1.0,1,64
    1,8,200,deer,0,ok,4.0,2,128
    1,16,100,deer,0,ok,8.0,1,256
    1,16,200,deer,0,ok,32.0,2,512"""
ACCURACY = """inputs,method,step,unit,difference
    normal,deer,1,1,-2.384185791015625e-07
    normal,deer,2,1,1e-8
    watch,deer,1,1,1.0"""
TRAINING = """variant,split,update,num_steps_layer_1,num_steps_layer_2
    deer,0,1,2,4
    quasi_deer,0,1,6,9"""
EPOCHS = """variant,split,epoch,validation_accuracy
    deer,0,1,0.5
    deer,0,2,0.9
    deer,1,1,0.7
    quasi_deer,0,1,0.7
    quasi_deer,1,1,0.7"""
STEP = """variant,repetition,time_s
    deer,0,3.0
    quasi_deer,0,1.5"""
GRADIENTS = """split,epoch,angle_deg_all,norm_ratio_all
    0,1,10,0.9
    0,2,20,0.7
    0,3,15,0.8"""
WINDOWS = """system,evaluation,method,window,status,work_evaluations
    argru,whole,elk,1000,reached,5000
    argru,whole,deer,1000,not within the limit,
    argru,windows,deer,10,reached,500
    argru,windows,elk,10,reached,900"""
DAMPING = """system,evaluation,method,estimate,rule,value,status,iterations
    argru,whole,elk,filter,fixed,0.1,reached,40
    argru,whole,elk,filter,fixed,0.01,reached,20
    argru,whole,elk,smoother,fixed,0.1,not within the limit,
    argru,whole,elk,smoother,fixed,0.01,reached,5
    argru,windows,elk,filter,fixed,0.01,reached,2
    argru,whole,scale_elk,,scale,0.03,reached,10"""
RADIUS = """system,method,damping,radius_median
    argru,elk,0.01,0.85
    argru,elk,0.04,0.80
    argru,elk,1,0.4"""
CHAOS = """system,exponent_per_step,method,window,status,num_steps
    a,-1,deer,8,ok,2
    b,0,deer,8,ok,3
    c,1,deer,8,not converged,
    c,1,deer,4,ok,1"""
CHUNKED = """dim,length,batch,method,seed,status,time_s
    2,10,1,sequential,0,ok,4
    2,100,1,sequential,0,ok,40
    2,100,1,unrolled,0,ok,30
    2,100,1,inputs_first,0,ok,50
    2,100,1,quasi_deer,0,ok,90
    2,10,1,chunks,0,ok,8
    2,100,1,chunks,0,ok,10
    4,100,1,sequential,0,ok,20
    4,100,1,unrolled,0,ok,40
    4,100,1,chunks,0,ok,20
    4,1000,1,sequential,0,out of memory,"""
CHUNKS = """system,method,length,chunk,status,num_steps,depth_evaluations,work_evaluations
    gru,sequential,100,100,reached,0,100,100
    gru,deer,100,1,reached,3,4,400
    gru,deer,100,10,reached,2,25,250
    gru,quasi_deer,100,20,reached,2,45,220
    gru,quasi_deer,100,50,not within the limit,2,20,20"""
WIDE = """dim,length,method,status,time_s
    64,10,sequential,ok,1
    64,10,quasi_deer,ok,9
    128,10,sequential,ok,8
    128,10,inputs_first,ok,6
    128,10,quasi_deer,ok,4
    128,10,windowed_quasi_deer,ok,2"""
ARCHITECTURES = """cell,weights,method,num_steps
    gru,untrained,quasi_deer,9
    gru,trained,quasi_deer,18
    gru,trained,deer,5
    minimal_gated,trained,quasi_deer,
    minimal_gated,untrained,quasi_deer,8"""
BEST = {"length": 100, "elk_damping": 0.5, "quasi_elk_damping": 0.1}
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("measure", "arguments", "tables", "values", "shown"),
    [
        (
            "argru_iterations",
            {"model": "trained"},
            {"argru": ARGRU},
            {"deer": 200, "elk": INFINITE},
            "DEER 200, ELK not found",
        ),
        (
            "argru_iterations",
            {"model": "trained", "method": "deer"},
            {"argru": ARGRU},
            {"deer": 200},
            "200 iterations (100 to 300)",
        ),
        (
            "argru_farthest_iterate",
            {},
            {"argru_mad": ARGRU_MAD},
            {"elk": 7, "quasi_elk": 9, "undamped": 800},
            "DEER 900",
        ),
        (
            "best_damping",
            {"experiment": "argru_sweep", "method": "elk"},
            {"argru_sweep": SWEEP},
            {"elk": 0.1},
            "λ = 0.1, with 20 iterations",
        ),
        (
            "worse_at_both_ends",
            {"experiment": "argru_sweep"},
            {"argru_sweep": SWEEP},
            {"elk": 3, "quasi_elk": 1.5},
            "ELK 20 at λ = 0.1, 60 at 0.01, not found at 1",
        ),
        (
            "lorenz96_iterations",
            {},
            {"lorenz96": LORENZ96},
            {"elk": 4, "quasi_elk": 6, "deer": 50, "quasi_deer": 90},
            "ELK 4",
        ),
        (
            "undamped_iterations",
            {},
            {"lorenz96": LORENZ96},
            {"deer": 0.5, "quasi_deer": 0.9},
            "at most DEER 50, quasi-DEER 90; T = 100",
        ),
        ("lorenz96_converged", {}, {"lorenz96": LORENZ96}, {"share": 1}, "4 of 4 solves"),
        (
            "lorenz96_farthest_iterate",
            {},
            {"lorenz96": LORENZ96, "lorenz96_convergence": LORENZ96_CONVERGENCE},
            {"elk": 1.2, "quasi_elk": 20},
            "quasi-ELK 20 times",
        ),
        (
            "lorenz96_fastest_parallel",
            {},
            {"lorenz96": LORENZ96},
            {"fastest": 6},
            "sequential 500 ms, quasi-ELK 3,000 ms",
        ),
        (
            "total_memory_ratio",
            {"batch": 16, "dim": 64},
            {"gru_scaling": MEMORY},
            {"quasi_deer": 6},
            "6 times the memory in all at D = 64, T = 200",
        ),
        (
            "iterations_ratio",
            {"batch": 16},
            {"gru_scaling": MEMORY},
            {"quasi_deer": 2},
            "over 1 cells",
        ),
        (
            "gpu_total_memory_ratio",
            {"batch": 16, "dim": 64},
            {"gpu_memory": COMPILED},
            {"quasi_deer": 10},
            "10 times the memory in all at D = 64",
        ),
        (
            "gpu_memory_needed",
            {"batch": 16, "dim": 64, "length": 100, "method": "deer"},
            {"gpu_memory": COMPILED},
            {"deer": 30},
            "30 GB at D = 64, T = 100, compiled for H100",
        ),
        (
            "parallel_wins",
            {"batch": 16},
            {"gru_scaling": SPEED + "\n16,8,100,deer,ok,9.0,4"},
            {"share": 1},
            "faster in 2 of 2 cells up to D = 8",
        ),
        (
            "scaling_exponents",
            {"method": "deer", "quantity": "temporary memory"},
            {"gru_scaling": POWERS},
            {"T": 1, "D": 2},
            "exponents 1.00 in T at D = 16, 2.00 in D at T = 200",
        ),
        (
            "scaling_exponents",
            {"method": "deer", "quantity": "time per iteration"},
            {"gru_scaling": POWERS},
            {"T": 1, "D": 3},
            "time per iteration",
        ),
        ("rounding_difference", {}, {"gru_accuracy": ACCURACY}, {"deer": 2}, "DEER 2.4e-07"),
        (
            "training_iterations_ratio",
            {},
            {"training": TRAINING},
            {"quasi_deer": 2.5},
            "7.5 against 3 iterations",
        ),
        (
            "accuracy_difference",
            {"variants": ["deer", "quasi_deer"]},
            {"training_epochs": EPOCHS},
            {"difference": 0.1},
            "DEER 0.80, quasi-DEER 0.70",
        ),
        ("update_time_ratio", {}, {"training_step": STEP}, {"quasi_deer": 2}, "DEER 3"),
        (
            "gradient_difference",
            {},
            {"gradients": GRADIENTS},
            {"angle": 15},
            "angle 15 degrees (10 to 20), norm 0.8",
        ),
        (
            "windows_work_ratio",
            {"system": "argru"},
            {"windows": WINDOWS},
            {"argru": 10},
            "500 evaluations (DEER, windows of 10) against 5,000 (ELK, whole)",
        ),
        (
            "speedup_on_long_sequences",
            {"batch": 1, "method": "chunks", "over": "best_scan"},
            {"gru_scaling": CHUNKED},
            {"chunks": 2},
            "2 times as fast in the median (1 to 3 over 2 widths, T = 100)",
        ),
        (
            "speedup_on_long_sequences",
            {"batch": 1, "method": "chunks", "over": "quasi_deer"},
            {"gru_scaling": CHUNKED},
            {"chunks": 9},
            "9 times as fast in the median (9 to 9 over 1 widths, T = 100)",
        ),
        (
            "least_speedup_on_long_sequences",
            {"batch": 1, "method": "chunks", "over": "best_scan"},
            {"gru_scaling": CHUNKED},
            {"chunks": 1},
            "1 times as fast at least, at D = 4, T = 100; 3 at most, over 2 widths",
        ),
        (
            "chunks_depth",
            {"system": "gru"},
            {"chunks": CHUNKS},
            {"gru": 0.25},
            "25 evaluations one after another of 100 (DEER, chunks of 10, 2 sweeps)",
        ),
        (
            "chunks_work",
            {"system": "gru"},
            {"chunks": CHUNKS},
            {"gru": 2.2},
            "2.2 evaluations a step in chunks of 20 (quasi-DEER, 2 sweeps)",
        ),
        (
            "scale_elk_ratio",
            {"system": "argru"},
            {"damping": DAMPING},
            {"argru": 0.5},
            "10 iterations (k = 0.03) against 20 (λ = 0.01)",
        ),
        (
            "filter_and_smoother",
            {},
            {"damping": DAMPING},
            {"filter": 1, "smoother": 0.5},
            "filter 2 of 2, smoother 1 of 2 solves",
        ),
        (
            "radius_difference",
            {"smallest": 0.001, "largest": 0.1},
            {"damping_radius": RADIUS},
            {"difference": 0.05},
            "0.05 at most (AR GRU)",
        ),
        ("lyapunov_correlation", {"method": "deer"}, {"chaos": CHAOS}, {"deer": 1}, "3 systems"),
        (
            "wide_speedup",
            {},
            {"wide": WIDE},
            {"speedup": 3},
            "3 times with quasi-DEER in windows at D = 128",
        ),
        (
            "trained_iterations_ratio",
            {"method": "quasi_deer"},
            {"architectures": ARCHITECTURES},
            {"quasi_deer": 2},
            "2 (GRU) to infinite (minimal gated) times as many with quasi-DEER",
        ),
    ],
)
def test_measures_on_small_tables(tmp_path, measure, arguments, tables, values, shown):
    for name, text in tables.items():
        write(tmp_path, name, text, **BEST)
    measurement = MEASURES[measure](Results(tmp_path), **arguments)
    assert measurement.values == pytest.approx(values)
    assert shown in measurement.text


def test_times_on_the_argru(tmp_path):
    write(tmp_path, "argru_times", ARGRU_TIMES)
    source = write(tmp_path, "argru", ARGRU.replace("elk,1e-6,1,,", "elk,1e-6,1,20,"))
    fastest = MEASURES["argru_fastest_parallel"](source)
    assert fastest.values == {"fastest": pytest.approx(3)}
    assert fastest.text == "sequential 500 ms, ELK 1,500 ms: 3 times as long"
    with pytest.raises(NotMeasured, match="no results for quasi_deer"):
        MEASURES["argru_times"](source, quantity="time_s")


SEEDS = """training_seed,method,damping,draw,num_steps
    3,elk,1e-6,0,10
    3,quasi_elk,1e-2,0,20
    3,deer,0,0,30
    3,quasi_deer,0,0,
    5,elk,1e-6,0,10
    5,quasi_elk,1e-2,0,
    5,deer,0,0,30
    5,quasi_deer,0,0,40"""


def test_seeds_for_which_the_order_does_not_hold_are_named(tmp_path):
    source = write(tmp_path, "argru", ARGRU)
    order = MEASURES["argru_order"]
    assert order(source).text.endswith("; other seeds of the training not measured here")
    write(tmp_path, "argru_seeds", SEEDS)
    assert order(source).text.endswith("; the order holds for 1 of 2 seeds of the training (not 5)")
    shown = argru_seeds.make(source, "argru_seeds").shown
    assert list(shown["quasi-ELK"]) == ["20", "not found"]
    assert list(shown["the paper's order"]) == ["holds", "does not hold"]
    write(tmp_path, "argru_seeds", "\n".join(SEEDS.splitlines()[:5]))
    assert order(source).text.endswith("; the order holds for 1 of 1 seeds of the training")


def test_a_damping_that_never_works_is_a_failure_and_not_a_gap(tmp_path):
    source = write(tmp_path, "argru_sweep", SWEEP.replace(",20,", ",,").replace(",60,", ",,"))
    entry = next(one for one in LISTED.claims if one["id"] == "figure_7_elk")
    row = answers([entry], source).iloc[0]
    assert (row["measured"], row["verdict"]) == ("answer not found with any λ", "not reproduced")


def test_a_finding_that_does_not_hold_says_so(tmp_path):
    finding = next(one for one in LISTED.findings if one["id"] == "windows")
    shown = claims.measure_findings([finding], write(tmp_path, "windows", WINDOWS))
    assert shown["measured"].iloc[0].startswith("10 times less")
    reversed_work = WINDOWS.replace("5000", "50")
    shown = claims.measure_findings([finding], write(tmp_path, "windows", reversed_work))
    assert shown["measured"].iloc[0].startswith("does not hold here: 0.1 times less")


def test_readers_see_what_is_not_confirmed(tmp_path):
    sources = [Results(tmp_path)]
    shown = claims.claims_for_readers(claims.judge_claims(LISTED.claims, sources), sources)
    marked = shown["reported"].str.endswith("reported (unconfirmed)")
    assert list(marked) == [not entry["confirmed"] for entry in LISTED.claims]
    assert 0 < marked.sum() < len(marked)


def broken(change: Any) -> Any:
    content = copy.deepcopy(yaml.safe_load(TEXT))
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["claims"][0].pop("rule"), "claims[0]: 'rule' is a required property"),
        (lambda c: c["claims"][0].update(colour=1), "the key claims[0].colour is unknown"),
        (lambda c: c["claims"][0].update(judge="about"), "judge is 'about' but must be one of"),
        (lambda c: c["claims"][0].update(confirmed="yes"), "confirmed is 'yes' but must be true"),
        (lambda c: c["claims"][0].update(rule="figure_9"), "there is no target figure_9"),
        (lambda c: c["claims"][0].update(measure="guess"), "there is no measure guess"),
        (lambda c: c["claims"][0].update(arguments={"a": 1}), "arguments of scaling_exponents do"),
        (lambda c: c["claims"][0].update(judge="in_order"), "in_order needs a list in against"),
        (lambda c: c["claims"][0].update(against=["T"]), "within needs a number or a mapping"),
        (lambda c: c["claims"][0].pop("tolerance"), "within needs a tolerance"),
        (lambda c: c["findings"][0].update(id="smoother"), "the id smoother is given twice"),
        (lambda c: c.pop("findings"), "'findings' is a required property"),
    ],
)
def test_a_fault_in_the_list_is_one_sentence(change, sentence):
    with pytest.raises(ClaimsError) as caught:
        claim_list.check(broken(change))
    message = str(caught.value)
    assert sentence in message
    assert "\n" not in message and message.startswith("claims.yaml") and message.endswith(".")


def test_a_list_that_is_not_yaml_is_named(tmp_path):
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "claims.yaml").write_text("claims: [1\n")
    with pytest.raises(ClaimsError, match=r"claims\.yaml is not YAML"):
        claim_list.read(tmp_path)


def test_tables_are_written(tmp_path):
    here, gpu = tmp_path / "here", tmp_path / "gpu"
    for folder, device in ((here, CPU), (gpu, GPU)):
        folder.mkdir()
        write(folder, "windows", WINDOWS, device)
    output, findings = tmp_path / "out" / "claims.csv", tmp_path / "out" / "findings.csv"
    written = ["--output", str(output), "--findings", str(findings)]
    claims.main(["--results", str(here), "--beside", str(gpu), *written])
    columns = [claims.answer(name, Results(one)) for one in (here, gpu) for name in claims.ANSWERS]
    assert list(pd.read_csv(output).columns) == [*claims.FACTS, *columns]
    assert len(pd.read_csv(findings)) == len(LISTED.findings)
    rows = [line for line in output.with_suffix(".md").read_text().splitlines() if line[:1] == "|"]
    assert {line.count("|") for line in rows} == {8}
    latex = output.with_suffix(".tex").read_text()
    assert "10 %" not in latex and r"10 \%" in latex
    assert r"$\lambda$ = 1e-6" in latex and r"figure\_8" in latex and "p{0." in latex


def test_a_device_has_sentences_on_what_it_measured(tmp_path):
    cells = [
        f"{batch},{dim},{length},{method},ok,{time},1"
        for batch, dim in headline.CELLS
        for length, times in ((100, (1, 1)), (200, (8, 2)))
        for method, time in zip(("sequential", "quasi_deer"), times, strict=True)
    ]
    write(tmp_path, "gru_scaling", "\n".join([SPEED.splitlines()[0], *cells]), GPU)
    path = tmp_path / "gru_scaling.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "versions": {"jax": "1.2"}}))
    text = headline.listed([Results(tmp_path)])
    assert text.startswith(f"- **Some GPU** (`results/{Results(tmp_path).name}`, JAX 1.2): With ")
    assert "4 times as fast as with plain `jax.lax.scan` (batch size 16, D = 64, T = 200)" in text
    assert text.endswith("and 4 times (batch size 1, D = 64, T = 200).")  # nothing else measured


def test_the_readme_is_in_step():
    """Run `python -m experiments.reporting.readme` where this fails."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme.filled(text, readme.parts(ROOT))
    for place, picture in readme.pictures(ROOT).items():
        assert (ROOT / place).read_text(encoding="utf-8") == picture, place


def test_the_readme_shows_claims_of_every_figure_and_table():
    """But for Figure 6, which is Figure 2 at another batch size."""
    few = [entry for entry in LISTED.claims if entry.get("headline")]
    assert 8 <= len(few) <= 12
    assert {entry["item"] for entry in few} == ITEMS - {"Figure 6"}


def test_the_readme_is_written_between_its_markers_only():
    begin, end = readme.BEGIN.format(name="claims"), readme.END.format(name="claims")
    text = f"above\n{begin}\nold\n{end}\nbelow\n"
    written = readme.filled(text, {"claims": "new \\1"})
    assert written == f"above\n{begin}\n\nnew \\1\n\n{end}\nbelow\n"
    with pytest.raises(readme.ReadmeError, match=r"README\.md needs the lines"):
        readme.filled("no markers", {"claims": "new"})


def test_pictures_are_copied_and_a_missing_one_is_named(tmp_path):
    archive = tmp_path / "results" / "archived" / "new"
    drawn = tmp_path / "figures" / "out" / "archived" / "new"
    for folder in (archive, drawn):
        folder.mkdir(parents=True)
    with pytest.raises(readme.ReadmeError, match="no archive"):
        readme.copy_images(tmp_path)
    about = {"promoted_utc": "2026-01-01", "sha256": {}}
    (archive / "provenance.json").write_text(json.dumps(about))
    with pytest.raises(readme.ReadmeError, match=rf"has no {readme.IMAGES[0]}\.png: draw the"):
        readme.copy_images(tmp_path)
    for name in readme.IMAGES:
        (drawn / f"{name}.png").write_bytes(b"picture")
    readme.copy_images(tmp_path)
    kept = {path.name for path in (tmp_path / "docs" / "images").iterdir()}
    assert kept == {f"{name}.png" for name in readme.IMAGES}


def test_only_named_pictures_are_committed():
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/images/*")}
    assert found == {*readme.pictures(ROOT), *(f"docs/images/{name}.png" for name in readme.IMAGES)}
