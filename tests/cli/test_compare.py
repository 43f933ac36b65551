"""`qfix compare`."""

import json

import pytest

import qfix
from qfix.cli import main

pytestmark = pytest.mark.xdist_group("compared")  # they share three runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("compared")
    for name, seeds, alpha in (("quick", 4, 0.3), ("slow", 3, 0.001), ("other", 3, 0.1)):
        qfix.train("FrozenLake-v1", out=home / name, seeds=seeds, total_steps=5_000, alpha=alpha)
    return home


def test_the_table_the_verdict_and_the_picture(runs, capsys):
    assert main(["compare", str(runs / "quick"), str(runs / "slow"), "--threshold", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "FrozenLake-v1: 2 runs" in said
    assert "quick is better than slow" in said or "No difference between" in said
    assert "reached 0.2 in" in said
    assert "Fewer than 10 seeds" in said
    assert said.rstrip().endswith(f"picture  {runs / 'comparison.png'}")
    assert (runs / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_every_seed_and_pair(runs, capsys, tmp_path):
    folders = [str(runs / name) for name in ("quick", "slow", "other")]
    assert main(["compare", *folders, "--json", "--plot", str(tmp_path / "c.png"), "--estimate", "iqm"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [len(run["scores"]) for run in told["runs"]] == [4, 3, 3]
    assert len(told["pairs"]) == 3
    assert told["figure"] == str(tmp_path / "c.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quick"], "`qfix compare` needs two runs or more"),
        (["quick", "nowhere"], "There is no folder nowhere"),
        (
            ["quick", "slow", "--estimate", "iqn"],
            "The '--estimate' option of compare must be one of mean, iqm",
        ),
        (["quick", "slow", "--pared"], "Did you mean '--paired'?"),
        (["quick", "."], ". is not the folder of a run: it has no spec.json"),
    ],
)
def test_mistakes_are_told_in_a_line(runs, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(runs)
    assert main(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_help_names_every_option(capsys):
    assert main(["compare", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(
        f"--{name}" in said for name in ("estimate", "confidence", "correction", "paired", "plot", "json")
    )
