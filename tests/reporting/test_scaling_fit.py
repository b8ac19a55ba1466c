"""Known exponents are found again, and the table shows them beside the paper's."""

import numpy as np
import pandas as pd
import pytest

from experiments.reporting.tables import scaling_exponents
from experiments.reporting.tables.scaling_exponents import MEMORY, TIME, fit_power_law

# method: (time exponents in T and D, memory exponents in T and D)
LAWS = {
    "sequential": ((1.0, 2.0), (0.0, 1.0)),
    "deer": ((0.8, 3.0), (1.0, 2.0)),
    "quasi_deer": ((0.9, 1.2), (1.0, 1.0)),
}


def synthetic(noise: float) -> pd.DataFrame:
    """Rows as gru_scaling writes them, with known exponents."""
    rng = np.random.default_rng(0)
    rows = []
    for method, (time, memory) in LAWS.items():
        for dim in (8, 16, 32, 64):
            for length in (100, 1000, 3000, 10_000, 30_000):
                # Overheads that only short sequences show must not bend the fit.
                overhead = 50.0 if length == 100 else 1.0
                fits = not (method == "deer" and dim == 64 and length == 30_000)
                for seed in range(3 if fits else 1):
                    steps = np.nan if method == "sequential" else 4 + seed
                    one = 1e-6 * length ** time[0] * dim ** time[1] * overhead
                    total = one * np.exp(noise * rng.normal()) * (steps if steps > 0 else 1)
                    rows.append(
                        {
                            "batch": 1,
                            "dim": dim,
                            "length": length,
                            "method": method,
                            "seed": seed if fits else np.nan,
                            "status": "ok" if fits else "out of memory",
                            "time_s": total if fits else np.nan,
                            "num_steps": steps if fits else np.nan,
                            "temp_memory_bytes": 100 * length ** memory[0] * dim ** memory[1],
                        }
                    )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 1e-9), (0.05, 0.06)])
def test_known_exponents_are_recovered(noise, tolerance):
    fits = scaling_exponents.fit_all(synthetic(noise))
    for method, laws in LAWS.items():
        for quantity, law in zip((TIME, MEMORY), laws, strict=True):
            for variable, exponent in zip(("length", "dim"), law, strict=True):
                which = (fits.method == method) & (fits.quantity == quantity)
                found = fits[which & (fits.variable == variable)]
                assert len(found) == (4 if variable == "length" else 1)
                np.testing.assert_allclose(found.exponent, exponent, atol=tolerance)


def test_fit_in_dim_uses_the_largest_length_that_all_completed():
    fits = scaling_exponents.fit_all(synthetic(0.0)).query("method == 'deer' and variable == 'dim'")
    assert dict(zip(fits.quantity, fits.fixed, strict=True)) == {TIME: 10_000, MEMORY: 30_000}


def test_standard_error_matches_the_spread_of_repeated_fits():
    rng = np.random.default_rng(1)
    sizes = np.repeat([1000.0, 3000.0, 10_000.0], 5)
    noisy = [sizes**1.5 * np.exp(0.1 * rng.normal(size=sizes.size)) for _ in range(400)]
    fits = [fit_power_law(sizes, values) for values in noisy]
    spread = np.std([fit.exponent for fit in fits])
    assert np.mean([fit.standard_error for fit in fits]) == pytest.approx(spread, rel=0.1)


def test_two_points_have_no_standard_error():
    fit = fit_power_law(np.array([1.0, 10.0]), np.array([3.0, 300.0]))
    assert fit.exponent == pytest.approx(2) and np.isnan(fit.standard_error)


def test_tables_are_written(tmp_path):
    output = tmp_path / "out" / "exponents.csv"
    synthetic(0.02).to_csv(tmp_path / "gru_scaling.csv", index=False)
    scaling_exponents.main(["--results", str(tmp_path), "--output", str(output)])
    assert list(pd.read_csv(output).columns) == scaling_exponents.FITS_COLUMNS
    markdown = output.with_suffix(".md").read_text()
    header, rule, *rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 6 and {line.count("|") for line in (header, rule, *rows)} == {9}
    deer = next(row for row in rows if "| DEER | time" in row)
    assert "±" in deer and deer.endswith("| T D^3 |")
    latex = output.with_suffix(".tex").read_text()
    assert latex.count(r"\\") == 7 and r"\toprule" in latex and r"$T D^3$" in latex


def test_too_little_to_fit_is_said(tmp_path):
    given = ["--results", str(tmp_path), "--output", str(tmp_path / "out.csv")]
    with pytest.raises(SystemExit, match=r"out\.csv cannot be made: no results of gru_scaling"):
        scaling_exponents.main(given)
    few = synthetic(0.0).query("dim == 8 and length == 1000")
    few.to_csv(tmp_path / "gru_scaling.csv", index=False)
    with pytest.raises(SystemExit, match="gru_scaling has no method with two lengths"):
        scaling_exponents.main(given)


def test_a_method_that_the_paper_does_not_have_stands_in_the_table():
    results = synthetic(0.0).replace({"method": {"quasi_deer": "jacobi"}})
    shown = scaling_exponents.summarise(scaling_exponents.fit_all(results))
    assert list(shown[shown["method"] == "Jacobi"]["paper"]) == [scaling_exponents.MISSING] * 2
