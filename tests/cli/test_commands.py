"""`qfix` itself, `qfix list` and `qfix solve`."""

import json
import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.algorithms import ALGORITHMS
from qfix.cli import COMMANDS
from qfix.cli.listing import _GYMNASIUM
from qfix.envs.catalogue import CATALOGUE
from qfix.envs.make import find_spec


def test_help_lists_every_command(qfix_command):
    answer = qfix_command("--help")
    assert answer.code == 0
    assert answer.err == ""
    for name, command in COMMANDS.items():
        assert f"  {name}" in answer.out
        assert command.summary in answer.out
    assert qfix_command() == answer


def test_the_version_is_printed(qfix_command):
    assert qfix_command("--version").out == f"qfix {qfix.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["trian"], 2, "There is no command 'trian'. Did you mean 'train'?"),
        (
            ["zzz"],
            2,
            "'zzz'. There are: train, resume, evaluate, compare, report, play, replay, export, solve, list.",
        ),
        (["--seeds"], 2, "There is no option '--seeds'"),
        (["list", "algoritms"], 2, "There is no list 'algoritms'. Did you mean 'algorithms'?"),
        (["list", "--all"], 2, "There is no option '--all'"),
        (["list", "--json"], 2, "Write `qfix list runs --json`"),
        (["list", "runs", "a", "b"], 2, "takes one folder"),
        (["list", "runs", "nowhere"], 2, "There is no folder nowhere"),
        (["solve"], 2, "`qfix solve` needs one environment. Write `qfix solve FrozenLake-v1`."),
        (["solve", "FrozenLake", "Taxi"], 2, "Got 'FrozenLake Taxi'"),
        (["solve", "Blackjack"], 2, "`qfix train Blackjack-v1`"),
        (["solve", "CartPole"], 2, "has no table of transitions"),
        (["solve", "FrozenLake", "--gama", "1"], 2, "Did you mean '--gamma'?"),
        (
            ["solve", "FrozenLake", "--gamma", "1.5"],
            2,
            "The '--gamma' option of FiniteMDP.from_env must be in [0, 1]",
        ),
        (["solve", "FrozenLake", "--method", "policy_iter"], 2, "Did you mean 'policy_iteration'?"),
        (["solve", "FrozenLake", "--tol", "0"], 2, "The '--tol' option of solve must be above 0"),
        (["solve", "FrozenLake", "--env.map-nam", "8x8"], 2, "Did you mean '--env.map-name'?"),
        (["solve", "qfix/Grid4x3-v0", "--env.slip", "7"], 2, "Use --env.slip 0.2"),
        (["solve", "nowhere_to_be_found:X-v0"], 1, "The module 'nowhere_to_be_found'"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(qfix_command, words, code, message):
    answer = qfix_command(*words)
    assert answer.code == code
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_fault():
    program = "import sys; from qfix.cli import main; sys.exit(main(['list']))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    answer = subprocess.run(
        [sys.executable, "-c", program], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    assert answer.returncode == 141
    assert answer.stderr == ""


def test_the_list_has_every_world_and_algorithm(qfix_command):
    text = qfix_command("list").out
    for row in CATALOGUE:
        assert row.id in text
    for name, row in ALGORITHMS.items():
        assert name in text
        assert row.summary in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "q_learning" not in qfix_command("list", "environments").out
    assert "FrozenLake" not in qfix_command("list", "algorithms").out


@pytest.mark.parametrize("name", [name for name, _ in _GYMNASIUM])
def test_what_the_list_says_gymnasium_has_it_has(name):
    assert find_spec(name).id in gymnasium.registry


# solve


def test_the_solution_in_json_is_that_of_python(qfix_command):
    answer = qfix_command("solve", "FrozenLake-v1", "--gamma", "0.95", "--env.map-name", "8x8", "--json")
    document = json.loads(answer.out)
    solution = qfix.solve(qfix.FiniteMDP.from_env("FrozenLake-v1", 0.95, map_name="8x8"))
    assert answer.err == ""
    assert np.array_equal(document["v"], solution.v)
    assert np.array_equal(document["q"], solution.q)
    assert document["policy"] == solution.policy.tolist()
    assert document["bound"] == solution.bound <= 1e-8
    assert document["start_value"] == solution.v[0]


def test_a_grid_is_drawn_with_its_textbook_utilities(qfix_command):
    """Russell & Norvig: .812 .868 .918 / .762 .660 / .705 .655 .611 .388."""
    line = "solve qfix/Grid4x3-v0 --env.slip 0.2 --env.step-reward -0.04 --gamma 1"
    answer = qfix_command(*line.split())
    rows = [row.split() for row in answer.out.splitlines()]
    assert ["0.81", "0.87", "0.92"] in rows
    assert ["→", "→", "→", "◆"] in rows
    assert ["0.71", "0.66", "0.61", "0.39"] in rows
    assert ["↑", "←", "←", "←"] in rows
    assert "value at the start: 0.705308" in answer.out
    assert "\x1b" not in answer.out


@pytest.mark.parametrize(("columns", "values"), [(100, True), (80, True), (40, False)])
def test_a_wide_grid_gives_up_values_before_it_breaks(qfix_command, monkeypatch, columns, values):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = qfix_command("solve", "CliffWalking", "--gamma", "1").out
    assert max(map(len, text.splitlines())) <= columns
    assert ("-12.0" in text) == values
    assert "◆" in text


def test_a_world_without_a_grid_is_a_table(qfix_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = qfix_command("solve", "CliffWalking", "--gamma", "1").out
    assert "28 more states" in " ".join(text.split())


def test_the_taxi_says_which_states_it_shows(qfix_command):
    assert "25 states with the passenger aboard" in " ".join(qfix_command("solve", "Taxi").out.split())


def test_help_of_solve_has_the_options_of_an_environment(qfix_command):
    assert "--env.is-slippery" in qfix_command("solve", "FrozenLake", "--help").out
    assert "--tol" in qfix_command("solve", "--help").out
