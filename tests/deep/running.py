"""Driving the shipped learners on networks in tests, and the small worlds they are tested on."""

import itertools
from functools import lru_cache

import gymnasium
import jax
import numpy as np
import pytest

from deep.steered import steered
from qfix.algorithms import names_of
from qfix.assembly import known_model, make_config
from qfix.deep.trainer import DeepTrainer
from qfix.envs.table_env import TableEnv
from qfix.envs.world import make_world
from qfix.mdp import FiniteMDP


def quickly(cases, quick):
    """Cases of which all but some are left out unless slow tests are asked for."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [
        pytest.param(*row, marks=() if case in quick else pytest.mark.slow) for case, row in zip(cases, rows)
    ]


ALGORITHMS = names_of("deep")


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Tiny networks run for a moment: the compiler's time is the whole of theirs, so it optimises less.

    And everything it makes is kept on disk: a second trainer of the same kind finds it there.
    """
    usual = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", usual)
    jax.config.update("jax_disable_most_optimizations", False)
    shared_trainer.cache_clear()  # some hundred compiled programs take gigabytes
    jax.clear_caches()


def trainer_of(algorithm, make_env, driver, seeds=(4, 9), total_steps=600, step_time_limit=60.0, **options):
    """A new trainer, everything in it new."""
    config = make_config(algorithm, {"hidden": (16,)} | options)
    env = make_env()
    model = known_model(env, config.gamma)
    return DeepTrainer(
        config,
        env,
        make_env,
        model,
        seeds,
        driver,
        total_steps=total_steps,
        step_time_limit=step_time_limit,
    )


def leaves(arrays, name):
    """The one array whose name ends so."""
    (found,) = [array for key, array in arrays.items() if key == name or key.endswith(f".{name}")]
    return found


# The gallery of probes: all of them side by side, so that one network and one compilation do for all

GAMMA = 0.9
PROBES = (
    "ProbeConstant",
    "ProbeObservation",
    "ProbeDelay",
    "ProbeAction",
    "ProbeBoth",
    "ProbeTimeLimit",
    "ProbeLoop",
    "ProbeBandit",
)
N_ACTIONS = 4


@lru_cache
def gallery():
    """The probe worlds next to each other, an episode in one of them at random, ten steps at most.

    Actions that a world has not are its own again: a modulo how many it has.
    """
    worlds = [make_world(name, gamma=GAMMA) for name in PROBES]
    first = np.cumsum([0, *(world.n_states for world in worlds)])
    table, start, terminal = {}, [], []
    for world, base in zip(worlds, first):
        start.append(np.asarray(world.start))
        terminal += [int(base) + s for s in world.terminal]
        for s, a in itertools.product(range(world.n_states), range(N_ACTIONS)):
            if s not in world.terminal:
                outcomes = world.outcomes(s, a % world.n_actions)
                table[int(base) + s, a] = [(p, int(base) + after, r, end) for p, after, r, end in outcomes]
    return FiniteMDP.from_function(
        lambda s, a: table[s, a],
        int(first[-1]),
        N_ACTIONS,
        GAMMA,
        start=np.concatenate(start) / len(worlds),
        terminal=terminal,
        max_episode_steps=10,
    )


NO = (np.nan,) * N_ACTIONS


def gallery_values(loop=(4.7368421, 5.2631579)):
    """(S, A) action values by hand, NaN where there is no decision.

    Args:
        loop: values of going round ProbeLoop from 0 and from 1; by default those of the best policy,
            γ/(1 - γ²) and 1/(1 - γ²).
    """
    rows = [
        *((1,) * 4, NO),  # ProbeConstant
        *((-1,) * 4, (1,) * 4, NO),  # ProbeObservation
        *((0.9,) * 4, (1,) * 4, NO),  # ProbeDelay: γ, then 1
        *((-1, 1, -1, 1), NO),  # ProbeAction
        *((1, -1, 1, -1), (-1, 1, -1, 1), NO),  # ProbeBoth
        (10,) * 4,  # ProbeTimeLimit: 1/(1 - γ); 5.26 where truncation is taken for the end
        *((loop[0], 2, loop[0], 2), (loop[1], 2, loop[1], 2), NO),  # ProbeLoop
        *((0.0, 0.1, 0.2, 0.5), NO),  # ProbeBandit
    ]
    return np.array(rows, float)


TIME_LIMIT_STATE = 13


def table_env(model):
    """The Gymnasium view of a model, time limit included."""
    return gymnasium.wrappers.TimeLimit(TableEnv(model), model.max_episode_steps)


@lru_cache
def certain_world():
    """As many states and actions as the gallery, deterministic, with one start and a time limit."""
    rng = np.random.default_rng(2)
    n = gallery().n_states
    table = {
        (s, a): [(1.0, int(rng.integers(n)), float(np.float32(rng.normal())), bool(rng.random() < 0.08))]
        for s, a in itertools.product(range(n - 1), range(N_ACTIONS))
    }
    table = {
        key: [(p, n - 1 if end else after % (n - 1), r, end)] for key, [(p, after, r, end)] in table.items()
    }
    return FiniteMDP.from_function(
        lambda s, a: table[s, a], n, N_ACTIONS, GAMMA, start=0, terminal=[n - 1], max_episode_steps=7
    )


WORLDS = {
    "gallery": lambda: table_env(gallery()),
    "certain": lambda: table_env(certain_world()),
    "cart": lambda: gymnasium.make("CartPole-v1"),
    "steered": lambda: steered("box"),
    "numbers": lambda: steered("numbers"),
}

# Combinations of options, between them all there are. Three environments and a unit of two steps (of seven in
# PQN's rollouts): odd numbers of steps end in the middle of a unit.
REPLAY = {
    "gamma": GAMMA,
    "num_envs": 3,
    "train_every": 2,
    "batch_size": 32,
    "buffer_size": 9_000,
    "learning_starts": 0,
    "learning_rate": "Linear(0.02, 0.001, 9_000)",
    "epsilon": "Linear(1, 0.05, 4_000)",
    "tau": 0.05,
}
ROLLOUT = {name: REPLAY[name] for name in ("gamma", "num_envs", "learning_rate", "epsilon")} | {
    "num_steps": 7,
    "num_minibatches": 3,
    "num_epochs": 2,
    "lambda_": 0.3,  # the returns are of the behaviour, which explores, for a few steps
}
POLICY = {name: ROLLOUT[name] for name in ("gamma", "num_envs", "learning_rate", "num_steps")} | {
    "entropy_coefficient": 0.01
}
SAC = {name: REPLAY[name] for name in ("gamma", "num_envs", "train_every", "batch_size", "tau")} | {
    "learning_starts": 30,
    "buffer_size": 200,
    "gradient_steps": 2,
    "learning_rate": 3e-3,
}
PPO = POLICY | {name: ROLLOUT[name] for name in ("num_minibatches", "num_epochs")} | {"lambda_": 0.8}
CASES = {
    "dqn": ("dqn", {**REPLAY, "learning_starts": 50, "gradient_steps": 2, "target_every": 2, "tau": 0.1}),
    "n_step": (
        "dqn",
        {**REPLAY, "prioritized": True, "n_step": 3, "double": True, "dueling": True, "loss": "squared"}
        | {"buffer_size": 1_500},
    ),
    "rainbow": (
        "rainbow",
        {**REPLAY, "epsilon": None, "buffer_size": 1_500, "atoms": 29, "value_range": (-2, 12)},
    ),
    "deep_sarsa": ("deep_sarsa", {**REPLAY, "epsilon": 0.3, "distribution": "qr", "atoms": 7}),
    "deep_expected_sarsa": (
        "deep_expected_sarsa",
        {**REPLAY, "epsilon": 0.3, "distribution": "iqn", "atoms": 5, "layer_norm": True},
    ),
    "munchausen": ("dqn", {**REPLAY, "munchausen": True, "temperature": 0.05}),
    "normalised": (
        "dqn",
        {
            **REPLAY,
            "normalize_observations": True,
            "munchausen": True,
            "reward_scale": 0.1,
            "reward_clip": 0.07,
        },
    ),
    "pqn": ("pqn", ROLLOUT),
    "sac": ("sac", SAC),
    "reinforce": ("reinforce", {**POLICY, "baseline": "running_mean", "normalize_rewards": True}),
    "a2c": (
        "a2c",
        {**POLICY, "shared_torso": True, "activation": "relu", "orthogonal": False, "layer_norm": True},
    ),
    "ppo": (
        "ppo",
        {**PPO, "clip_low": 0.1, "clip_high": 0.3, "value_clip": 0.5, "target_kl": 0.05},
    ),
    "gaussian": (
        "ppo",
        {**PPO, "normalize_observations": True, "normalize_rewards": True, "log_std": -0.5},
    ),
    "squashed": ("a2c", {**POLICY, "squashed": True, "deviation": "state", "optimizer": "adam"}),
    "multi": ("ppo", {**PPO, "normalize_advantages": False, "hidden": ()}),
    "recurrent": (
        "dqn",
        {**REPLAY, "gru": 7, "sequence_length": 4, "burn_in": 3, "n_step": 2, "double": True}
        | {"prioritized": True, "buffer_size": 300},
    ),
    "recurrent_pqn": ("pqn", {**ROLLOUT, "gru": 7}),
    "recurrent_ppo": ("ppo", {**PPO, "gru": 7}),
}


def new_trainer(case, world, driver, seeds=(4, 9)):
    """A new trainer of that combination."""
    algorithm, options = CASES[case]
    return trainer_of(algorithm, WORLDS[world], driver, seeds, **options)


shared_trainer = lru_cache(new_trainer)


def flat(pieces):
    """What a seed's record says, as one array."""
    return np.concatenate(pieces) if pieces else np.zeros(0)


def episodes(records, seed):
    """(returns, lengths) of a seed over several advances."""
    return (
        flat([piece for r in records for piece in r.returns[seed]]),
        flat([piece for r in records for piece in r.lengths[seed]]),
    )


def assert_same(one, two):
    """Equal to the bit, name by name."""
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype, name
        assert one[name].tobytes() == two[name].tobytes(), name
