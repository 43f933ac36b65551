"""Options out of range: each refused before any work, by a sentence that says what to write instead."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from qfix.errors import OptionError, QfixError, SpaceError
from qfix.tabular.agent import Blueprint
from qfix.tabular.trainer import TabularTrainer
from tabular.running import ALGORITHMS, SEPARATING, TABLES_ONLY, config_of, env_of, random_world, trainer_on

NAN, INF = float("nan"), float("inf")

SHARED = [
    ("gamma", [1.2, -0.1, NAN, True, "0.9", None], r"must be in \[0, 1\]", "Use gamma="),
    ("alpha", [1.5, -0.1, NAN, INF], r"must be in \[0, 1\]", "Use alpha="),
    ("alpha", ["Linear(2, 0, 5)"], r"must stay in \[0, 1\]", "Use alpha="),
    ("epsilon", [1.01, -1, NAN], r"must be in \[0, 1\]", "Use epsilon="),
    ("epsilon", ["Piecewise([5], [0.5, 1.5])"], r"must stay in \[0, 1\]", "Use epsilon="),
    (
        "store",
        ["hash", "features", 3, None, ["dense"]],
        "must be one of auto, dense, sparse, tiled",
        "Use 'auto'",
    ),
    ("tilings", [0, -1, 1.5, True, "8"], "must be a whole number, 1 or more", "Use tilings="),
    ("tiles", [0, -1, 1.5, True, "8"], "must be a whole number, 1 or more", "Use tiles="),
    (
        "tile_range",
        [(0, 1, 2), (1, 0), (0, 0), (0, INF), (NAN, 1), 5, ("a", "b"), None],
        "must list a finite low and a higher high for each dimension",
        "Use for example",
    ),
    ("gradient", ["full", None, 1], "must be one of semi, tdc", "Use 'semi'"),
    ("beta", [0, -1, NAN, INF, "x"], "must be a finite number above 0", "Use beta="),
]
OWN = [
    ("n_step_sarsa", "n", [0, -1, 2.5, True], "must be a whole number, 1 or more", "Use n="),
    ("n_step_tree_backup", "n", [0, -1, 2.5, True], "must be a whole number, 1 or more", "Use n="),
    ("n_step_tree_backup", "target_epsilon", [-0.1, 2, NAN], r"must be in \[0, 1\]", "Use target_epsilon="),
    ("watkins_q_lambda", "lambda_", [1.1, -0.1, NAN], r"must be in \[0, 1\]", "Use lambda_="),
    ("sarsa_lambda", "lambda_", [1.1, -0.1, NAN], r"must be in \[0, 1\]", "Use lambda_="),
    ("monte_carlo", "first_visit", [3, 1, None, "yes"], "must be one of False, True", "Use False"),
    ("dyna_q", "planning_steps", [-1, 1.5, True], "must be a whole number, 0 or more", "Use planning_steps="),
    ("prioritized_sweeping", "planning_steps", [0, 1.5], "must be a whole number, 1 or more", "Use planning_steps="),
    ("prioritized_sweeping", "theta", [0, -1, NAN], "must be a finite number above 0", "Use theta="),
]  # fmt: skip
ROWS = [("q_learning", *row) for row in SHARED] + OWN
BAD = [(owner, name, value, rule, remedy) for owner, name, values, rule, remedy in ROWS for value in values]


@pytest.mark.parametrize(("owner", "name", "value", "rule", "remedy"), BAD)
def test_option_out_of_range(owner, name, value, rule, remedy):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of {owner} {rule}") as caught:
        config_of(owner, **{name: value})
    message = str(caught.value)
    assert f"Got {value!r}" in message or "Got Linear" in message or "Got Piecewise" in message
    assert remedy in message


@pytest.mark.parametrize(
    "options",
    [{"alpha": "lienar(1, 0, 5)"}, {"explore": "bolzmann(1)"}, {"explore": "boltzmann(0)"}, {"initial": NAN},
     {"initial": "x("}, {"epsilon": "0.1 or so"}],
)  # fmt: skip
def test_schedules_strategies_and_values_that_cannot_be_read(options):
    with pytest.raises(QfixError, match=r"Did you mean|Use |Write it like|Let it end"):
        config_of("sarsa", **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_config_names_its_owner_and_explains_every_field(algorithm):
    config = config_of(algorithm)
    assert config.owner == algorithm
    with pytest.raises(OptionError, match=f"parameter of {algorithm} "):
        config_of(algorithm, gamma=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.gamma = 0.5
    assert set(SEPARATING.get(algorithm, {})) <= set(config.to_dict())
    assert len(dataclasses.fields(config)) <= 15


@pytest.mark.parametrize(
    "algorithm", [a for a in ALGORITHMS if a not in ("q_learning", "sarsa", "expected_sarsa")]
)
def test_gradient_correction_is_refused_where_there_is_none(algorithm):
    with pytest.raises(
        OptionError, match=rf"'gradient' parameter of {algorithm} .*Use q_learning, sarsa or expected"
    ):
        config_of(algorithm, gradient="tdc")


BOX = gymnasium.spaces.Box(0.0, 1.0, (2,))
D = gymnasium.spaces.Discrete


@pytest.mark.parametrize(
    ("algorithm", "options", "space", "said"),
    [
        *(
            (a, {}, BOX, rf"'store' parameter of {a} must be one of dense, sparse\. Got 'tiled'")
            for a in TABLES_ONLY
        ),
        (
            "q_learning",
            {"gradient": "tdc"},
            D(4),
            r"'gradient' .* needs tiles or features.*Use gradient='semi'",
        ),
        (
            "q_learning",
            {"alpha": "Inverse(1, 1, by=visit)"},
            BOX,
            r"'alpha' .* cannot count visits.*by='step'",
        ),
        ("sarsa", {"epsilon": "Inverse(1, 1, by=visit)"}, BOX, r"'epsilon' .* cannot count visits"),
        ("sarsa", {"explore": "ucb(1)"}, BOX, r"'explore' .* cannot count visits.*Use epsilon or Boltzmann"),
        ("sarsa", {"explore": "count_bonus(1)"}, BOX, r"'explore' .* cannot count visits"),
        ("sarsa", {"explore": "vdbe(1)"}, BOX, r"'explore' .* cannot count visits"),
        ("monte_carlo", {"first_visit": True}, BOX, r"'first_visit' .* needs a table"),
        ("q_learning", {"store": "dense"}, D(1 << 40), r"'store' .* cannot be 'dense'.*Use store='sparse'"),
    ],
)
def test_options_at_odds_with_the_space(algorithm, options, space, said):
    with pytest.raises(OptionError, match=said):
        Blueprint(config_of(algorithm, **options), space, D(2))


def test_driver_must_be_known_and_possible():
    model = random_world()
    with pytest.raises(OptionError, match=r"'driver' .* must be one of auto, compiled, live. Got 'fast'"):
        trainer_on(model, config_of("sarsa"), driver="fast")
    with pytest.raises(
        OptionError, match=r"'compiled' only where the environment has a table.*driver='live'"
    ):
        TabularTrainer(config_of("sarsa"), env_of(model), lambda: env_of(model), None, [0], "compiled")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.ones(7), r"must have shape \(7, K\).*Got \(7,\)"),
        (np.ones((6, 3)), r"must have shape \(7, K\).*Got \(6, 3\)"),
        (np.ones((7, 0)), r"must have shape \(7, K\).*Got \(7, 0\)"),
        (np.diag([1.0] * 4 + [NAN] + [1.0] * 2), r"must be finite, also in state 4"),
    ],
)
def test_features_must_fit_the_states(features, said):
    with pytest.raises(OptionError, match=rf"The 'features' parameter of sarsa {said}"):
        trainer_on(random_world(), config_of("sarsa"), features=features)
    with pytest.raises(OptionError, match=r"'store' .* must be 'auto' where features are given"):
        trainer_on(random_world(), config_of("sarsa", store="dense"), features=np.eye(7))
    with pytest.raises(SpaceError, match="A table needs a discrete space"):
        Blueprint(config_of("sarsa"), BOX, D(2), features=np.eye(7))
