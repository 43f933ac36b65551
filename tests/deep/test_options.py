"""What is refused before any work, and how: one error that names the option, the rule and a remedy."""

import os
import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import qfix
from deep.running import ALGORITHMS, WORLDS, trainer_of
from qfix.assembly import make_config
from qfix.errors import OptionError, SpaceError
from qfix.explore import Constant, Greedy, Linear

BAD = {
    "all": {
        "gamma": (1.2, -0.1, float("nan"), "x"),
        "learning_rate": (0, -1e-3, float("inf")),
        "epsilon": (1.5, -0.1, "Linear(2, 0, 10)"),
        "num_envs": (0, 1.5, True),
        "network": ("transformer", 3),
        "hidden": ((0,), (8.5,), "64", -1),
        "layer_norm": (2, "yes"),
        "normalize_observations": ("no",),
        "max_grad_norm": (0, -1, float("nan")),
        "reward_scale": (0, -1.0),
        "reward_clip": (0, -1.0),
        "explore": ("ucb(1)", "count_bonus(0.1)", "vdbe(0.5)"),
    },
    "dqn": {
        "batch_size": (0, 2.5),
        "buffer_size": (0,),
        "learning_starts": (-1,),
        "train_every": (0,),
        "gradient_steps": (0,),
        "target_every": (0,),
        "n_step": (0, 1.5),
        "atoms": (1,),
        "tau": (0, 1.5, -0.1),
        "target": ("monte_carlo",),
        "double": (1.5, "on"),
        "dueling": ("on",),
        "prioritized": ("on",),
        "noisy": ("on",),
        "munchausen": ("on",),
        "priority_exponent": (-0.1, 1.1),
        "priority_beta": (1.1, -0.1, "Linear(0.4, 2, 10)"),
        "distribution": ("gaussian",),
        "value_range": ((1, 1), (2, -2), (0, float("inf")), (1, 2, 3)),
        "temperature": (0, -1),
        "loss": ("absolute",),
    },
    "pqn": {
        "num_steps": (0,),
        "num_minibatches": (0, 3),  # of 64 x 16 steps
        "num_epochs": (0,),
        "lambda_": (-0.1, 1.1),
        "optimizer": ("sgd",),
    },
    "policies": {
        "num_steps": (0, 2.5),
        "entropy_coefficient": (-0.1, float("nan"), "x"),
        "value_coefficient": (-1, float("inf")),
        "normalize_rewards": ("on",),
        "shared_torso": ("on",),
        "orthogonal": (2,),
        "activation": ("gelu",),
        "deviation": ("none",),
        "log_std": (3.0, -21, "x"),
        "squashed": ("on",),
    },
    "ppo": {
        "num_minibatches": (0, 3),  # of 128 x 8 steps
        "num_epochs": (0,),
        "lambda_": (-0.1, 1.1),
        "clip_low": (-0.1, 1.1),
        "clip_high": (0, -0.1),
        "value_clip": (0, -1),
        "normalize_advantages": ("on",),
        "target_kl": (0, -1),
    },
    "a2c": {"lambda_": (-0.1, 1.1), "normalize_advantages": ("on",), "optimizer": ("sgd", "radam")},
    "reinforce": {"baseline": ("mean", None)},
}
POLICIES = ("reinforce", "a2c", "ppo")
CASES = [
    *(("deep_sarsa", name, value) for name, values in BAD["all"].items() for value in values),
    *(
        (owner, name, value)
        for owner in POLICIES
        for name, values in BAD["policies"].items()
        for value in values
    ),
    *(("ppo", name, BAD["all"][name][0]) for name in BAD["all"] if name not in ("epsilon", "explore")),
    *(
        (owner, name, value)
        for owner in ("dqn", "pqn", *POLICIES)
        for name, values in BAD[owner].items()
        for value in values
    ),
]


@pytest.mark.parametrize(("algorithm", "name", "value"), CASES)
def test_a_bad_option_is_named(algorithm, name, value):
    with pytest.raises(OptionError) as caught:
        make_config(algorithm, {name: value})
    said = str(caught.value)
    assert name in said
    assert len(said) < 400
    if name != "explore":
        assert f"'{name}' parameter of {algorithm}" in said, said


def test_munchausen_has_a_policy_of_its_own():
    with pytest.raises(OptionError, match="'target' parameter of dqn must be 'q_learning' with munchausen"):
        make_config("dqn", {"munchausen": True, "target": "sarsa"})


@pytest.mark.parametrize(
    ("algorithm", "name", "meant"),
    [
        ("dqn", "lr", "learning_rate"),
        ("pqn", "alpha", "learning_rate"),
        ("rainbow", "n_steps", "n_step"),
        ("dqn", "batchsize", "batch_size"),
        ("pqn", "n_envs", "num_envs"),
        ("deep_sarsa", "net_arch", "hidden"),
        ("dqn", "discount", "gamma"),
        ("dqn", "total_timesteps", "total_steps"),
        ("ppo", "n_steps", "num_steps"),
        ("ppo", "n_epochs", "num_epochs"),
        ("ppo", "gae_lambda", "lambda_"),
        ("ppo", "clip_range_vf", "value_clip"),
        ("a2c", "ent_coef", "entropy_coefficient"),
        ("reinforce", "vf_coef", "value_coefficient"),
        ("ppo", "normalize_advantage", "normalize_advantages"),
    ],
)
def test_an_unknown_option_suggests_the_one_that_was_meant(algorithm, name, meant):
    with pytest.raises(OptionError, match=f"{algorithm} has no option '{name}'. Did you mean '{meant}'"):
        make_config(algorithm, {name: 1})


def test_one_name_of_another_library_may_be_two_here():
    with pytest.raises(OptionError, match=r"ppo has no option 'clip_range'\. Use clip_low=1, clip_high=1"):
        make_config("ppo", {"clip_range": 1})


@pytest.mark.parametrize("name", ["learning_rate", "epsilon", "explore", "priority_beta"])
@pytest.mark.parametrize("by", ["episode", "visit"])
def test_schedules_count_steps(name, by):
    schedule = f"Linear(0.5, 0.1, 100, by='{by}')"
    value = f"boltzmann({schedule})" if name == "explore" else schedule
    with pytest.raises(OptionError, match=f"'{name}' parameter of dqn must count steps"):
        make_config("dqn", {name: value})


def test_defaults_that_depend_on_the_budget():
    settled = make_config("dqn", {}).settled(1_000)
    assert settled.epsilon == Linear(1.0, 0.05, 200)
    assert settled.priority_beta == Linear(0.4, 1.0, 1_000)
    assert make_config("pqn", {}).settled(1_000).epsilon == Linear(1.0, 0.05, 300)
    noisy = make_config("rainbow", {}).settled(1_000)
    assert (noisy.epsilon, noisy.strategy) == (None, Greedy())
    given = make_config("rainbow", {"epsilon": 0.2}).settled(1_000)
    assert given.strategy.schedule == Constant(0.2)
    none = make_config("dqn", {"epsilon": 0.0}).settled(1_000)
    assert none.strategy.schedule == Constant(0.0)


def test_presets_are_what_they_say():
    rainbow = make_config("rainbow", {})
    assert (rainbow.double, rainbow.dueling, rainbow.prioritized, rainbow.noisy) == (True,) * 4
    assert (rainbow.n_step, rainbow.distribution, rainbow.priority_exponent) == (3, "c51", 0.5)
    assert make_config("deep_sarsa", {}).target == "sarsa"
    assert make_config("deep_expected_sarsa", {}).target == "expected_sarsa"
    assert make_config("dqn", {}).target == "q_learning"


# Of trainers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_driver_of_tables_is_refused(algorithm):
    with pytest.raises(
        OptionError, match=rf"'driver' .* must be one of auto, device, host for {algorithm}.*Use"
    ):
        qfix.train("CartPole-v1", algorithm, driver="compiled", total_steps=10)


@pytest.mark.parametrize("driver", ["device", "host"])
def test_double_precision_is_refused_before_any_work(driver):
    program = f"import qfix; qfix.train('CartPole-v1', 'dqn', total_steps=10, driver='{driver}')"
    words = [sys.executable, "-c", program]
    environ = os.environ | {"JAX_ENABLE_X64": "1"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=300, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "qfix.errors.OptionError: Networks are trained in single precision, and JAX is set to"
    )
    assert "Unset JAX_ENABLE_X64" in last


def test_what_does_not_fit_is_refused():
    def refused(kind, match, env, **options):
        with pytest.raises(kind, match=match):
            qfix.train(env, "dqn", total_steps=10, **options)

    refused(SpaceError, r"action space of dqn must be Discrete\. Got Box.*use ppo", "Pendulum-v1")
    refused(OptionError, "features", "CartPole-v1", features=np.eye(4))
    refused(
        OptionError, "'normalize_observations' .* must be False", "FrozenLake-v1", normalize_observations=True
    )
    refused(OptionError, "'network' parameter can be 'impala' only", "CartPole-v1", network="impala")
    wrapped = gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), abs)
    refused(OptionError, r"'driver' .* can be 'device' only where .*driver='host'", wrapped, driver="device")
    text = gymnasium.wrappers.TransformObservation(
        gymnasium.make("CartPole-v1"), str, gymnasium.spaces.Text(99)
    )
    refused(SpaceError, r"Text.*Use Box, Discrete", text)


def test_what_does_not_fit_a_policy_is_refused():
    def refused(kind, match, env, **options):
        with pytest.raises(kind, match=match):
            qfix.train(env, "ppo", total_steps=10, **options)

    refused(
        OptionError,
        r"'squashed' parameter of ppo must be False where actions are numbers",
        "CartPole-v1",
        squashed=True,
    )
    endless = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    unbounded = gymnasium.wrappers.TransformAction(gymnasium.make("Pendulum-v1"), lambda a: a, endless)
    refused(
        OptionError, r"'squashed' .* must be False where actions have no bounds", unbounded, squashed=True
    )
    text = gymnasium.wrappers.TransformAction(gymnasium.make("CartPole-v1"), int, gymnasium.spaces.Text(3))
    refused(
        SpaceError,
        r"action space of ppo must be Discrete, MultiDiscrete, MultiBinary or Box\. Got Text",
        text,
    )
    refused(OptionError, "ppo has no option 'epsilon'", "CartPole-v1", epsilon=0.1)
    with pytest.raises(OptionError, match=r"'q' parameter of Run is not learned by ppo.*probabilities"):
        _ = qfix.train("FrozenLake-v1", "ppo", total_steps=10, hidden=4).q


def test_which_driver_is_chosen():
    made = trainer_of("dqn", WORLDS["cart"], "auto")
    assert made.driver == "device"
    wrapped = trainer_of("dqn", lambda: gymnasium.wrappers.TransformReward(WORLDS["cart"](), abs), "auto")
    assert wrapped.driver == "host"


@pytest.mark.parametrize(("asked", "got"), [(1, 6), (6, 6), (7, 12), (601, 606)])
def test_a_budget_is_rounded_up_to_whole_units(asked, got):
    trainer = trainer_of("dqn", WORLDS["cart"], "device", total_steps=asked, num_envs=3, train_every=2)
    assert (trainer.unit_steps, trainer.total_steps) == (6, got)
    rollout = trainer_of(
        "pqn", WORLDS["cart"], "host", total_steps=asked, num_envs=2, num_steps=3, num_minibatches=2
    )
    assert (rollout.unit_steps, rollout.total_steps) == (6, got)


def test_options_come_back_from_what_is_kept():
    for algorithm in ALGORITHMS:
        config = make_config(algorithm, {"learning_rate": "Linear(1, 0.1, 50)", "hidden": [8, 4]}).settled(
            100
        )
        kept = {k: tuple(v) if isinstance(v, list) else v for k, v in config.to_dict().items()}
        assert make_config(algorithm, kept) == config
        assert re.search("hidden", str(kept))
