"""PPO's equations held against Stable-Baselines3 itself, on rollouts that it recorded.

    python benchmarks/agreement.py

Needs an environment with both libraries: `pip install torch==2.13.0`, then `pip install -e . stable-baselines3`.
Advantages and returns are those of its rollout buffer. Losses are those that its own update logs, after its weights
were moved away from the ones that made the rollout, so that ratios are not 1; its weights are not moved by the
update, whose learning rate is 0. Differences are relative to 1 or, where it is larger, to the number itself.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from qfix.core import losses, returns, surrogates

GAMMA, LAMBDA, CLIP = 0.98, 0.9, 0.15


def main() -> None:
    """Hold one rollout of each kind of action against it."""
    print(f"{'world':14} {'what':22} {'qfix':>14} {'SB3':>14} {'difference':>11}")
    worst = 0.0
    for name in ("CartPole-v1", "Pendulum-v1"):
        for what, mine, its in compared(name):
            apart = float(np.max(np.abs(mine - its) / np.maximum(1.0, np.abs(its))))
            worst = max(worst, apart)
            print(f"{name:14} {what:22} {np.mean(mine):14.7f} {np.mean(its):14.7f} {apart:11.1e}")
    print(f"largest difference {worst:.1e}")
    assert worst < 1e-6


def compared(name: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(what, qfix's, theirs) of a world."""
    made = DummyVecEnv([lambda: gymnasium.make(name)] * 4)
    options = {"n_steps": 256, "batch_size": 1_024, "n_epochs": 1, "gamma": GAMMA, "gae_lambda": LAMBDA}
    model = PPO(
        "MlpPolicy", made, seed=3, clip_range=CLIP, ent_coef=0.01, learning_rate=0.0, device="cpu", **options
    )
    _, callback = model._setup_learn(1_024)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 256)
    kept = model.rollout_buffer
    rewards, values, starts = (
        getattr(kept, x).astype(np.float64) for x in ("rewards", "values", "episode_starts")
    )
    with torch.no_grad():
        last = (
            model.policy.predict_values(torch.as_tensor(model._last_obs)).numpy().ravel().astype(np.float64)
        )
    # what it was paid has the value of a truncated step's final observation in it, and so nothing follows the step
    ends = np.concatenate([starts[1:], model._last_episode_starts[None].astype(np.float64)])
    following = np.concatenate([values[1:], last[None]])
    advantage = returns.gae(rewards, GAMMA * (1 - ends), values, following, ends == 0, LAMBDA)
    found = [("advantages", advantage, kept.advantages), ("returns", advantage + values, kept.returns)]

    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight += 0.15 * torch.randn(weight.shape, generator=rng)
    (batch,) = kept.get(1_024)
    with torch.no_grad():
        actions = batch.actions.long().flatten() if name.startswith("Cart") else batch.actions
        value, log_prob, entropy = (
            x.numpy().astype(np.float64).ravel()
            for x in model.policy.evaluate_actions(batch.observations, actions)
        )
    old, advantage, target = (
        x.numpy().astype(np.float64) for x in (batch.old_log_prob, batch.advantages, batch.returns)
    )
    model.train()
    told = model.logger.name_to_value
    scaled = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
    policy_loss = surrogates.clipped_surrogate(log_prob, old, scaled, CLIP, CLIP).mean()
    value_loss = 2 * losses.squared(target - value).mean()
    ratio = np.exp(log_prob - old)
    rows = {
        "policy_gradient_loss": policy_loss,
        "value_loss": value_loss,
        "loss": policy_loss + 0.5 * value_loss - 0.01 * entropy.mean(),
        "approx_kl": surrogates.kl_k3(old, log_prob).mean(),
        "clip_fraction": (np.abs(ratio - 1) > CLIP).mean(),
        "explained_variance": losses.explained_variance(kept.values.ravel(), kept.returns.ravel()),
    }
    assert rows["clip_fraction"] > 0.01  # else nothing was clipped
    return found + [
        (what, np.asarray(mine), np.asarray(told[f"train/{what}"])) for what, mine in rows.items()
    ]


if __name__ == "__main__":
    main()
