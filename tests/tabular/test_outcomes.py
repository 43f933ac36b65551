"""The planners' model: what followed each pair, how often, and with which rewards."""

import numpy as np
import pytest

from qfix.mdp import FiniteMDP
from tabular.running import TABLES_ONLY, env_of, separating, train
from tabular.test_twins import twin_of

STEPS = 3_000


def noisy_world():
    """One next state comes with two rewards, and the same state also as the end."""
    noisy = [(0.3, 1, 2.0, False), (0.3, 1, -1.0, False), (0.2, 1, 5.0, True), (0.2, 0, 0.25, False)]
    plain = [(0.6, 0, 0.5, False), (0.4, 1, -0.75, False)]
    return FiniteMDP.from_function(
        lambda s, a: noisy if s == a else plain, 2, 2, 0.93, start=0, max_episode_steps=9
    )


def outcomes(memory, x, a):
    """{(next, discount): (count, mean reward)} of a pair, from its linked list."""
    model, found = memory.model, {}
    node = model.first[x, a] - 1
    while node >= 0:
        key = int(model.x_next[node]), float(model.discount[node])
        assert key not in found, "an outcome has one node"
        found[key] = (int(model.times[node]), float(model.reward[node]))
        node = model.after[node] - 1
    return found


@pytest.mark.parametrize("algorithm", TABLES_ONLY)
def test_model_is_what_was_seen(algorithm):
    """Counts to the one, mean rewards to rounding, in the order first seen; against the twin's dictionaries."""
    model = noisy_world()
    config = separating(algorithm)
    trainer, state, _ = train(model, config, STEPS, seeds=[4])
    twin = twin_of(algorithm, model, config, 4, lambda *_: 0.37, lambda *_: 0.23).run(env_of(model), STEPS)
    memory = state.agents[0].memory
    for (x, a), seen in twin.model.items():
        found = outcomes(memory, x, a)
        assert list(found) == list(seen)
        assert [n for n, _ in found.values()] == [len(rewards) for rewards in seen.values()]
        means = [np.mean(rewards) for rewards in seen.values()]
        np.testing.assert_allclose([r for _, r in found.values()], means, rtol=0, atol=1e-12)
        assert memory.model.total[x, a] == sum(len(rewards) for rewards in seen.values())
    varied = [rewards for seen in twin.model.values() for rewards in seen.values() if len(set(rewards)) > 1]
    assert varied, "no reward varies"
    assert memory.model.total.sum() == STEPS
    assert memory.model.n_nodes[0] == sum(map(len, twin.model.values()))
    q = trainer.action_values(state)
    np.testing.assert_allclose(q, [twin.row(s) for s in range(2)], rtol=0, atol=1e-12)


def test_prioritized_sweeping_comes_to_the_fixed_point_of_its_model():
    """Planning without end on what was seen: q = Σ n/N (r̂ + d max q), up to θ / (1 − γ)."""
    model = noisy_world()
    config = separating("prioritized_sweeping", alpha=1.0, planning_steps=1_000, theta=1e-12)
    trainer, state, _ = train(model, config, STEPS)
    q, memory = trainer.action_values(state), state.agents[0].memory
    for x, a in np.ndindex(2, 2):
        seen = outcomes(memory, x, a)
        total = sum(n for n, _ in seen.values())
        target = sum(n * (r + d * q[x2].max()) for (x2, d), (n, r) in seen.items()) / total
        assert q[x, a] == pytest.approx(target, abs=1e-9)
