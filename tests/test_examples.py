"""Every example keeps the promise it prints."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


LONG = ("deadly_triad", "gradient_variance", "replay_or_rollouts", "where_values_end")


@pytest.mark.parametrize(
    "path",
    [pytest.param(x, marks=pytest.mark.slow) if x.stem in LONG else x for x in EXAMPLES],
    ids=lambda path: path.stem,
)
def test_the_example_keeps_its_promise(path, capsys):
    assert runpy.run_path(str(path))["main"]() is not None
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_short_and_says_what_it_promises(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert "\nPromise: " in ast.get_docstring(ast.parse(text))
    assert "    assert " in text


def test_there_are_examples():
    assert len(EXAMPLES) >= 9
