"""Options that suit an environment, where the defaults of an algorithm do not reach far: a literal table.

`qfix.train` and `qfix train` begin with these, and whatever the user says wins. What a run was trained with stands
in its spec.json, so a later change of this table changes no run that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SEVERAL_STEPS: dict[str, Any] = {"double": True, "n_step": 3}

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("CartPole-v1", "dqn"): _SEVERAL_STEPS,
    ("Acrobot-v1", "dqn"): _SEVERAL_STEPS,
    ("MountainCar-v0", "dqn"): {
        "double": True,
        "n_step": 5,
        "learning_rate": 1e-3,
        "batch_size": 128,
        "buffer_size": 50_000,
        "train_every": 4,
        "gradient_steps": 2,
        "target_every": 600,
        "tau": 1.0,
        "epsilon": "Linear(1, 0.05, 60_000)",
    },
    ("LunarLander-v3", "dqn"): {
        "double": True,
        "n_step": 3,
        "learning_rate": "Linear(7e-4, 3e-5, 300_000)",
        "num_envs": 4,
        "gradient_steps": 2,
        "batch_size": 128,
        "epsilon": "Linear(1, 0.05, 60_000)",
    },
    ("Pendulum-v1", "ppo"): {
        "gamma": 0.9,
        "learning_rate": "Linear(1e-3, 1e-4, 500_000)",
    },
    ("Pendulum-v1", "sac"): {"hidden": (64, 64), "learning_rate": 1e-3},
    ("qfix/RockPaperScissors-v0", "ppo"): {"learning_rate": "Linear(1e-3, 1e-5, 100_000)"},
    ("LunarLander-v3", "ppo"): {
        "num_steps": 256,
        "gamma": 0.995,
        "num_minibatches": 16,
        "num_epochs": 8,
        "learning_rate": "Linear(1e-3, 1e-4, 1_000_000)",
        "entropy_coefficient": 0.01,
        "normalize_rewards": True,
    },
} | {
    # after the settings of PQN's authors for these games (Gallici et al. 2025), with half as many environments, and a
    # learning rate and an epsilon as they are by default
    (f"qfix/{game}-v0", "pqn"): {
        "num_envs": 64,
        "num_steps": 32,
        "num_epochs": 2,
        "lambda_": 0.65,
        "hidden": (128,),
    }
    for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
}

# After Dopamine's settings of DQN (Castro et al. 2018), with a tenth of its memory and Adam's usual epsilon; the loss
# and the clipping of rewards are those of Mnih et al. (2015).
_ATARI: dict[str, dict[str, Any]] = {
    "dqn": {
        "learning_rate": 6.25e-5,
        "batch_size": 32,
        "learning_starts": 20_000,
        "train_every": 4,
        "target_every": 2_000,
        "tau": 1.0,
        "epsilon": "Linear(1, 0.01, 250_000)",
        "hidden": (512,),
        "reward_clip": 1.0,
    },
    # after those of PQN's authors (Gallici et al. 2025), with epsilon as the other games have it here
    "pqn": {
        "num_envs": 128,
        "num_steps": 32,
        "num_minibatches": 32,
        "num_epochs": 2,
        "learning_rate": 2.5e-4,
        "lambda_": 0.65,
        "hidden": (512,),
        "reward_clip": 1.0,
    },
}


def preset(env_id: str | None, algorithm: str) -> Mapping[str, Any]:
    """The options for an algorithm on an environment; empty where the defaults are as good as any."""
    known = env_id or ""
    if known.startswith("ALE/"):
        return _ATARI.get(algorithm, {})
    return PRESETS.get((known, algorithm), {})
