"""The workflow runs what is most wanted first."""

import pytest

from experiments import catalogue
from experiments.harness.configuration import complete
from experiments.lent.order import rank
from tests.clones import ROOT


@pytest.mark.slow
def test_what_measures_time_ran_in_the_order_of_worth(finished):
    """Nothing runs beside it, so the times of the files are the order in which it ran."""
    order = complete(ROOT, {"scale": "smoke", "source": "fresh"})["lent"]["order"]
    fresh = finished / "results" / "fresh" / "smoke"
    timed = [one.name for one in catalogue.EXPERIMENTS if one.timed]
    # Where there are curves, the table of all is no measurement.
    single = [fresh / f"{name}.json" for name in timed if not (fresh / name).is_dir()]
    curves = [path for name in timed for path in (fresh / name).glob("*.json")]
    assert len(single) > 5 and len(curves) > 2
    ran = sorted([*single, *curves], key=lambda path: path.stat().st_mtime_ns)
    places = [rank(order, path.relative_to(fresh).with_suffix("").as_posix()) for path in ran]
    assert places == sorted(places)
