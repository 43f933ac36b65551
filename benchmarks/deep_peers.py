"""The peers of deep.py, run in an environment of their own: one line of JSON, steps a second and seconds of the
first run.

python benchmarks/deep_peers.py {rejax-dqn|rejax-pqn|rejax-ppo|sb3-64|sb3-256|sb3-ppo|sbx-64|sbx-256|sbx-ppo} STEPS
"""

from __future__ import annotations

import json
import sys
import time
import warnings

REJAX = {
    "dqn": {
        "agent": "DuelingQNetwork",
        "num_envs": 10,
        "buffer_size": 50_000,
        "fill_buffer": 5_000,
        "batch_size": 100,
        "max_grad_norm": 10,
        "learning_rate": 1e-3,
        "num_epochs": 5,
        "polyak": 0.98,
        "eps_start": 1,
        "eps_end": 0.05,
        "exploration_fraction": 0.5,
        "gamma": 0.99,
        "ddqn": True,
    },
    "pqn": {
        "num_envs": 16,
        "num_steps": 128,
        "num_minibatches": 16,
        "max_grad_norm": 10,
        "learning_rate": 3e-4,
        "num_epochs": 5,
        "eps_start": 1,
        "eps_end": 0.05,
        "exploration_fraction": 0.5,
        "gamma": 0.99,
        "td_lambda": 0.9,
    },
    "ppo": {
        "num_envs": 5,
        "num_steps": 100,
        "num_epochs": 5,
        "num_minibatches": 5,
        "learning_rate": 7.5e-4,
        "max_grad_norm": 0.5,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_eps": 0.2,
        "ent_coef": 0.01,
        "vf_coef": 0.5,
        "agent_kwargs": {"activation": "tanh"},
    },
}


def rejax(name: str, steps: int) -> dict[str, float]:
    """Training as one program, compiled ahead of time; evaluation inside it switched off."""
    import jax
    import jax.numpy as jnp
    from rejax import DQN, PPO, PQN

    kind = {"dqn": DQN, "pqn": PQN, "ppo": PPO}[name]
    options = REJAX[name] | {"total_timesteps": steps, "eval_freq": steps, "skip_initial_evaluation": True}
    algorithm = kind.create(env="CartPole-v1", **options)
    algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: jnp.zeros(()))
    begun = time.perf_counter()
    run = jax.jit(algorithm.train).lower(jax.random.PRNGKey(0)).compile()
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    state, _ = jax.block_until_ready(run(jax.random.PRNGKey(0)))
    return {"steps_per_s": int(state.global_step) / (time.perf_counter() - begun), "first_s": first}


def ppo(library: str, steps: int) -> dict[str, float]:
    """PPO at the library's defaults in eight environments, as `host-ppo` has it."""
    import gymnasium
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    if library == "sb3":
        from stable_baselines3 import PPO
    else:
        from sbx import PPO

    def make(seed: int):
        return PPO(
            "MlpPolicy",
            DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 8),
            seed=seed,
            device="cpu",
        )

    begun = time.perf_counter()
    make(1).learn(1)
    first = time.perf_counter() - begun
    model = make(0)
    begun = time.perf_counter()
    model.learn(steps)
    return {"steps_per_s": model.num_timesteps / (time.perf_counter() - begun), "first_s": first}


def baselines(library: str, width: int, steps: int) -> dict[str, float]:
    """DQN with a gradient step for every step, as `host-dqn` has it."""
    import gymnasium
    import torch

    torch.set_num_threads(1)
    if library == "sb3":
        from stable_baselines3 import DQN
    else:
        from sbx import DQN
    options = {
        "learning_rate": 1e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1_000,
        "gamma": 0.99,
        "train_freq": 1,
        "gradient_steps": 1,
        "target_update_interval": 500,
        "policy_kwargs": {"net_arch": [width, width]},
    }

    def make(seed: int):
        return DQN("MlpPolicy", gymnasium.make("CartPole-v1"), seed=seed, device="cpu", **options)

    begun = time.perf_counter()
    make(1).learn(1_500)
    first = time.perf_counter() - begun
    model = make(0)
    begun = time.perf_counter()
    model.learn(steps)
    return {"steps_per_s": model.num_timesteps / (time.perf_counter() - begun), "first_s": first}


def main() -> None:
    """Run one contender."""
    warnings.filterwarnings("ignore")
    name, steps = sys.argv[1], int(sys.argv[2])
    library, _, which = name.partition("-")
    if library == "rejax":
        found = rejax(which, steps)
    else:
        found = ppo(library, steps) if which == "ppo" else baselines(library, int(which), steps)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
