"""What the page on exploration shows is what comes out."""

import doctest
import re
from pathlib import Path

import pytest

import qfix.explore.convergence
import qfix.explore.initial
import qfix.explore.schedules
import qfix.explore.strategies
from qfix.explore import as_schedule, as_strategy, robbins_monro

PAGE = Path(__file__).parents[2] / "docs" / "exploration.md"


def test_the_sessions_of_the_page():
    # The fence after a session is not part of its output.
    sessions = PAGE.read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(sessions, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 10
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    "module",
    [qfix.explore.schedules, qfix.explore.strategies, qfix.explore.initial, qfix.explore.convergence],
)
def test_the_sessions_of_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_table_of_schedules():
    rows = re.findall(
        r"^\| `([A-Z].*\))` \|[^|]*\| (.*) \| (yes|no) \|$", PAGE.read_text("utf-8"), flags=re.M
    )
    assert len(rows) == 7
    for text, values, holds in rows:
        schedule = as_schedule(text)
        assert values.split(" | ") == [f"{schedule(n):.4g}" for n in (0, 10, 100, 1000, 100_000)]
        assert robbins_monro(schedule).holds == (holds == "yes")


def test_the_table_of_strategies():
    rows = re.findall(
        r"^\| `(\w+(?:\(.*\))?)` \|[^|]*\| ([-0-9., ]+) \|$", PAGE.read_text("utf-8"), flags=re.M
    )
    assert len(rows) == 6
    for text, shown in rows:
        chosen = as_strategy(text).probabilities([1.0, 3.0, 3.0, -2.0], counts=[4, 9, 25, 1])
        assert [float(x) for x in shown.split(",")] == pytest.approx(chosen, abs=5e-4)
