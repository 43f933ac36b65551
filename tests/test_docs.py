"""What the README and the pages of docs/ show is what comes out."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import re
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from qfix.algorithms import ALGORITHMS, names_of
from qfix.cli import main
from qfix.deep import measure, policy_report, soft_report
from qfix.deep.config import DeepConfig
from qfix.envs import register_worlds
from qfix.mdp import FiniteMDP
from qfix.tabular import q_learning
from qfix.tabular.config import TabularConfig
from qfix.tabular.trainer import TabularTrainer

register_worlds()

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HIDDEN = {
    path for path in ROOT.iterdir() if path.name.startswith(".") or path.name in ("build", "dist", "runs")
}
EVERY_PAGE = sorted(path for path in ROOT.rglob("*.md") if not HIDDEN & {*path.parents})
# in the folders of their subjects; the last one below, with the module it needs
TESTED_BY_THEMSELVES = ("core.md", "exploration.md", "exact.md", "design-notes.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.M | re.S)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def sessions(page: Path) -> str:
    """All interactive sessions of a page as one, which goes on from block to block."""
    return "\n".join(code for code in blocks(page, "python") if ">>> " in code)


def named(paths: list[Path]) -> dict:
    return {"argvalues": paths, "ids": [str(path.relative_to(ROOT)) for path in paths]}


def check_session(page: Path) -> None:
    """Type the sessions of a page and compare what is printed."""
    test = doctest.DocTestParser().get_doctest(sessions(page), {}, page.name, str(page), 0)
    assert test.examples
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize(
    "page", **named([p for p in PAGES if sessions(p) and p.name not in TESTED_BY_THEMSELVES])
)
def test_a_session_prints_what_the_page_shows(page):
    check_session(page)


@pytest.mark.parametrize("page", **named(PAGES))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        there = page if not target else page.parent / target
        assert there.exists(), f"{page.name} links to {link}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}, link


@pytest.mark.parametrize("page", **named(PAGES))
def test_blocks_say_their_language(page):
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    assert len(fences) % 2 == 0
    assert {*fences[::2]} <= {"", "python", "console", "bash", "text", "toml"}
    assert {*fences[1::2]} <= {""}


@pytest.mark.parametrize("page", **named(EVERY_PAGE))
def test_a_row_of_a_table_belongs_to_one(page):
    """A line that begins with | follows a header and a line of as many dashes, and has as many cells."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for block in re.split(r"^(?!\|).*\n", text + "\n", flags=re.M):
        if not block:
            continue
        rows = [re.split(r"(?<!\\)\|", line.strip()) for line in block.splitlines()]
        assert all(row[0] == row[-1] == "" for row in rows), f"a row ends without a bar:\n{block}"
        assert len(rows) > 2, f"no table:\n{block}"
        assert all(re.fullmatch(r" *:?-{3,}:? *", cell) for cell in rows[1][1:-1]), f"no header:\n{block}"
        assert {len(row) for row in rows} == {len(rows[0])}, f"rows of several lengths:\n{block}"


def console_blocks() -> list[str]:
    return [code for page in PAGES for code in blocks(page, "console")]


def to_compare(line: str) -> str:
    """A line of output without what the machine or the last digits of a float decide."""
    line = line.rstrip()
    return re.sub(r"\d\S*", "#", line) if "steps/s" in line or "every value within" in line else line


@pytest.mark.parametrize("code", console_blocks(), ids=lambda code: code.splitlines()[0])
def test_a_command_prints_what_the_page_shows(code, tmp_path, monkeypatch, capsys):
    command, *shown = code.splitlines()
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "qfix"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")
    assert main(arguments) == 0
    printed = capsys.readouterr().out.strip("\n").splitlines()
    told = [to_compare(line) for line in printed]
    # compiling is told only where something was compiled
    assert [re.sub(", after .*", "", line) for line in told] == [
        re.sub(", after .*", "", to_compare(line)) for line in shown
    ]


def commands() -> list[str]:
    """The lines of bash blocks that call qfix."""
    lines = [line for page in PAGES for code in blocks(page, "bash") for line in code.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("qfix ")]


@pytest.mark.parametrize(
    "command",  # a film takes long to draw; tests/cli has a short one
    [pytest.param(x, marks=pytest.mark.slow) if "--video" in x else x for x in commands()],
)
def test_a_command_of_the_pages_is_understood(command, tmp_path, monkeypatch, capsys):
    _, *arguments = shlex.split(command)
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "train" and "--help" not in arguments:
        options = dict(zip(arguments, [*arguments[1:], ""]))
        if "--seeds" in arguments:
            arguments[arguments.index("--seeds") + 1] = "2"
        if options.get("--total-steps"):
            arguments[arguments.index("--total-steps") + 1] = "1000"
        else:
            arguments += ["--total-steps", "1000"]
        arguments += ["--no-pictures"]
    assert main(arguments) == 0
    assert capsys.readouterr().out


# Pages that make particular claims


@pytest.fixture
def careful_q(tmp_path, monkeypatch):
    """The algorithm that the design notes write down, as a module of its own."""
    (text,) = [code for code in blocks(ROOT / "docs" / "design-notes.md", "python") if ">>> " not in code]
    name = f"careful_q_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, "careful_q", module)
    yield module
    del sys.modules[name]


def trained(config, env_id, store, driver, steps=600):
    """Values after a short training of one seed."""
    env = gymnasium.make(env_id)
    model = FiniteMDP.from_env(env_id, gamma=0.9) if store != "tiled" else None
    config = replace(config, gamma=0.9, alpha=0.3, epsilon=0.2, store=store)
    trainer = TabularTrainer(config, env, lambda: gymnasium.make(env_id), model, [4], driver)
    state, _ = trainer.advance(trainer.start(), steps)
    return trainer.action_values(state)


def test_the_algorithm_of_the_design_notes_prints_what_they_show(careful_q):
    check_session(ROOT / "docs" / "design-notes.md")


@pytest.mark.parametrize(
    ("env_id", "store", "driver"),
    [
        ("qfix/Maze4x4-v0", "dense", "compiled"),
        ("qfix/Maze4x4-v0", "dense", "live"),
        ("qfix/Maze4x4-v0", "sparse", "compiled"),
        ("qfix/Maze4x4-v0", "sparse", "live"),
        ("MountainCar-v0", "tiled", "live"),
    ],
)
def test_a_new_algorithm_needs_one_file_for_every_store_and_driver(careful_q, env_id, store, driver):
    values = [trained(careful_q.Config(target_epsilon=e), env_id, store, driver) for e in (0.0, 0.25)]
    assert np.array_equal(values[0], trained(q_learning.Config(), env_id, store, driver))
    assert not np.array_equal(values[0], values[1])


def test_the_table_of_algorithms_is_complete_and_true():
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|[^|]*\|$", text, flags=re.M)
    assert sorted(name for name, *_ in rows) == sorted(names_of("tabular"))
    shared = {f.name for f in fields(TabularConfig)}
    for name, options, stores in rows:
        config = importlib.import_module(ALGORITHMS[name].module).Config
        assert set(re.findall(r"`(\w+)`", options)) == {f.name for f in fields(config)} - shared
        assert set(re.findall(r"\w+", stores)) - {"TDC"} == set(config.stores)
        assert ("TDC" in stores) == ("tdc" in config.gradients)


def test_the_pages_have_every_network_learner_and_its_options():
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(\w+)` (?:\|[^|\n]*){2}\|([^|\n]*)\|[^|\n]*\|$", text, flags=re.M)
    rows = {name: options for name, options in found if name in ALGORITHMS}
    assert sorted(rows) == sorted(names_of("deep"))
    told = set(re.findall(r"`(\w+)[`=]", text))
    shared = {f.name for f in fields(DeepConfig)}
    for name, options in rows.items():
        own = {f.name for f in fields(importlib.import_module(ALGORITHMS[name].module).Config)} - shared
        assert own <= told
        if "those" not in options:  # that are told below the table
            assert set(re.findall(r"`(\w+)`", options)) == own
    assert shared - {"gamma"} <= told


def test_the_metrics_of_networks_are_all_told():
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", text))
    told |= {f"td_error{quantile}" for quantile in told if quantile.startswith("_p")}
    assert set(measure.NAMES) | set(policy_report.NAMES) | set(soft_report.NAMES) <= told
