"""How noisy the gradient of REINFORCE is: without a baseline, with a running mean as one, with a critic, with GAE.

The policies are ppo's, and stand still: the learning rate is next to nothing. A gradient g from N environments that has
no bias has E|g|² = |∇J|² + noise/N, so that rollouts of two sizes tell the two apart.

Promise: on average over ten policies a running mean leaves less than half of the noise, a critic less than the running
mean, and TD errors, weighed by powers of λ = 0.95, less than a tenth. Of 30 other policies the shares were 0.32 ± 0.08,
0.25 ± 0.06 and 0.04 ± 0.03: the narrowest, critic against running mean, is 3 standard errors from breaking it.
"""

import numpy as np

import qfix
from qfix.stats import interval

FEW, MANY, LENGTH, ROLLOUTS, BEFORE = 4, 16, 128, 30, 10
WAYS = {
    "no baseline": ("reinforce", {"baseline": "none"}),
    "running mean": ("reinforce", {"baseline": "running_mean"}),
    "critic": ("reinforce", {"baseline": "learned"}),
    "critic, λ = 0.95": ("a2c", {"lambda_": 0.95}),
}


def squared_lengths(ready: qfix.Run, way: str, num_envs: int) -> np.ndarray:
    """(seeds,) mean |g|² under the policies of a run."""
    (algorithm, options), unit = WAYS[way], LENGTH * num_envs
    still = {"num_steps": LENGTH, "learning_rate": 1e-30, "metrics_every": unit, "seeds": ready.spec.seeds}
    run = qfix.train("CartPole-v1", algorithm, total_steps=unit, num_envs=num_envs, **still, **options)
    arrays, learned = run.trainer.pack(run.state), ready.trainer.pack(ready.state)
    run.state = run.trainer.unpack(arrays | {k: learned[k] for k in arrays if k.endswith("learner.params")})
    run.resume((BEFORE + ROLLOUTS) * unit)
    return (run.metrics("policy_grad_norm").values[:, BEFORE:] ** 2).mean(axis=1)


def measured(seeds: list[int] | int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(seeds,) noise of one environment's rollout each way, and |∇J|²."""
    ready = qfix.train("CartPole-v1", "ppo", total_steps=10_240, seeds=seeds)
    few = {way: squared_lengths(ready, way, FEW) for way in WAYS}
    signal = (MANY * squared_lengths(ready, "critic", MANY) - FEW * few["critic"]) / (MANY - FEW)
    return {way: FEW * (few[way] - signal) for way in WAYS}, signal


def main() -> dict[str, np.ndarray]:
    noise, signal = measured(10)
    shares = {way: found / noise["no baseline"] for way, found in noise.items()}
    print("CartPole, means over 10 policies (95 %)  noise of a rollout  share of the first")
    for way in WAYS:
        a, b = interval(noise[way], "mean"), interval(shares[way], "mean")
        limits = f"[{a.low:3.0f}, {a.high:3.0f}]    {b.estimate:.2f} [{b.low:.2f}, {b.high:.2f}]"
        print(f"{way:<41} {a.estimate:4.0f} {limits}")
    print(f"|∇J|² {signal.mean():41.1f}")
    none, mean, critic, gae = (share.mean() for share in shares.values())
    assert none / 2 > mean > critic > gae < none / 10
    return shares


if __name__ == "__main__":
    main()
