"""Presets are options like any other: checked, overridden by what is said, and written down in the spec."""

import pytest

import qfix
from qfix.algorithms import ALGORITHMS
from qfix.assembly import make_config, preset_of
from qfix.presets import PRESETS, preset


@pytest.mark.parametrize(("env", "algorithm"), sorted(PRESETS))
def test_a_preset_is_of_options_that_there_are(env, algorithm):
    assert algorithm in ALGORITHMS
    given = preset(env, algorithm)
    config = make_config(algorithm, given).to_dict()
    usual = make_config(algorithm, {}).to_dict()
    assert all(config[name] != usual[name] for name in given), "a preset says what is not so anyway"


def test_games_of_the_console_share_one():
    assert preset("ALE/Pong-v5", "dqn") == preset("ALE/Breakout-v5", "dqn") != {}
    assert preset("ALE/Pong-v5", "rainbow") == {}
    assert preset("CartPole-v1", "q_learning") == preset(None, "dqn") == {}


def test_what_is_said_wins_and_the_rest_is_of_the_preset():
    run = qfix.train("CartPole-v1", "dqn", total_steps=4, learning_starts=0, n_step=2, hidden=(4,))
    assert run.spec.config["n_step"] == 2
    assert run.spec.config["double"] is True
    assert preset_of(run.spec) == {"double": True}
