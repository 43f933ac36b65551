"""The two worlds that tell a story, told by a small Q-learner: the greedy trap and the warehouse incident."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from qfix.envs.world import make_world, model_of
from qfix.mdp.simulate import draw_start, draw_transition, next_bits, transition_table, uniform


@numba.njit(cache=True)
def learn(table, q, gamma, limit, epsilon, alpha, seed, watched):
    """Q-learning in place, ties broken at random; (return, max q(watched)) of each episode."""
    stream, own = np.uint64(seed), np.uint64(seed + 1_000_000)
    episodes, n_actions = len(epsilon), q.shape[1]
    returns, value = np.zeros(episodes), np.zeros(episodes)
    for e in range(episodes):
        stream, bits = next_bits(stream)
        s = draw_start(table, uniform(bits))
        for _ in range(limit):
            a = 0
            own, bits = next_bits(own)
            if uniform(bits) < epsilon[e]:
                own, bits = next_bits(own)
                a = int(uniform(bits) * n_actions)
            else:
                best, ties = q[s].max(), 0
                for k in range(n_actions):
                    if q[s, k] == best:
                        ties += 1
                        own, bits = next_bits(own)
                        if uniform(bits) * ties < 1.0:
                            a = k
            stream, bits = next_bits(stream)
            after, reward, over = draw_transition(table, s, a, uniform(bits))
            target = reward if over else reward + gamma * q[after].max()
            q[s, a] += alpha[e] * (target - q[s, a])
            returns[e] += reward
            s = after
            if over:
                break
        value[e] = q[watched].max()
    return returns, value


# GreedyTrap -------------------------------------------------------

TRAP = make_world("GreedyTrap")
DETOUR = [(2, 0), (1, 0), (0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]


def walk_detour(q, alpha):
    """One success by the detour under one-step Q-learning."""
    for before, after in pairwise(DETOUR):
        s, t = TRAP.state(before), TRAP.state(after)
        a = next(a for a in range(4) if TRAP.outcomes(s, a)[0][1] == t)
        ((_, _, reward, over),) = TRAP.outcomes(s, a)
        q[s, a] += alpha * (reward + (0.0 if over else TRAP.gamma * q[t].max()) - q[s, a])


def after_detours(successes, alpha=0.3):
    q = np.zeros((TRAP.n_states, 4))
    for _ in range(successes):
        walk_detour(q, alpha)
    return q


def after_one_whole_backup(alpha=0.3):
    """One success by the detour under a learner that backs up whole episodes."""
    q = np.zeros((TRAP.n_states, 4))
    for steps, (before, after) in enumerate(reversed(list(pairwise(DETOUR)))):
        s, t = TRAP.state(before), TRAP.state(after)
        a = next(a for a in range(4) if TRAP.outcomes(s, a)[0][1] == t)
        q[s, a] = alpha * TRAP.gamma**steps
    return q


def play_on(q, epsilon, seed, episodes=2_000):
    table = transition_table(model_of(TRAP))
    start = TRAP.state((2, 0))
    learn(table, q, TRAP.gamma, 100, np.full(episodes, epsilon), np.full(episodes, 0.3), seed, start)
    return q[start]


@pytest.mark.parametrize(
    "learned", [after_detours(7), after_one_whole_backup()], ids=["seven steps", "one backup"]
)
def test_a_greedy_learner_stays_in_the_trap_and_exploration_leaves_it(learned):
    for seed in range(20):
        up, east, *_ = play_on(learned.copy(), 0.0, seed)
        assert east == 0.0, "greedy took the corridor"
        assert up == pytest.approx(0.9**6, abs=1e-6)
        # epsilon 0.1 tries the corridor 0.025 * 2000 = 50 times on average, fewer than 5 times w.p. 1e-15
        up, east, *_ = play_on(learned.copy(), 0.1, seed)
        assert east > up
        assert east == pytest.approx(0.81, abs=1e-6)


def test_the_value_of_the_detour_reaches_the_start_after_seven_successes():
    start = TRAP.state((2, 0))
    assert [bool(after_detours(k)[start].max() > 0) for k in range(1, 9)] == [False] * 6 + [True] * 2


# Warehouse -------------------------------------------------------

EPISODES, SEEDS = 6_000, range(20)


def warehouse_runs(epsilon, alpha, initial):
    """Share delivered and swing of the value at the start over the last 1,000 episodes, by seed."""
    world = make_world("Warehouse")
    table, start = transition_table(model_of(world)), world.state((6, 2))
    share, swing = [], []
    for seed in SEEDS:
        q = (
            np.random.default_rng(seed).uniform(0.0, initial, (world.n_states, 4))
            if initial
            else np.zeros((world.n_states, 4))
        )
        returns, value = learn(table, q, world.gamma, 300, epsilon, alpha, seed, start)
        share.append(returns[-1000:].mean())
        swing.append(value[-1000:].std())
    return np.array(share), np.array(swing)


def test_warehouse_incident_and_cure():
    """On 200 other seeds 82 % of the incident's and 1.5 % of the cure's runs deliver less than 0.68
    (docs/worlds.md).

    Seeds 0 to 19. With those rates, fewer than 11 of 20 incidents on the plateau has probability 1e-3, and
    more than 3 of 20 cures there 2e-4, for fresh seeds; these seeds are fixed.
    """
    t = np.arange(EPISODES)
    share, swing = warehouse_runs(np.maximum(1.0 - 0.99 * t / 100, 0.01), np.full(EPISODES, 0.5), 0.0)
    cured_share, cured_swing = warehouse_runs(
        0.01 ** np.minimum(t / 5_000, 1.0), 0.5 * 0.02 ** np.minimum(t / 5_000, 1.0), 0.01
    )
    assert np.sum(share < 0.68) >= 11
    assert np.sum(cured_share > 0.9) >= 17
    assert np.median(cured_share) > np.median(share) + 0.4
    assert np.median(swing) > 20 * np.median(cured_swing)


def test_warehouse_routes():
    """Always east against the best: exact values by solving the linear equations of each policy."""
    world = make_world("Warehouse")

    def evaluate(policy):
        system, reward = np.eye(world.n_states), np.zeros(world.n_states)
        for s in set(range(world.n_states)) - world.terminal:
            for p, t, r, over in world.outcomes(s, policy(s)):
                reward[s] += p * r
                if not over:
                    system[s, t] -= world.gamma * p
        return np.linalg.solve(system, reward)

    def safe(s):
        row, column = world.cell(s)
        if row == 0:
            return 2 if column == 7 else 1
        if column == 7:
            # beside the spill it leans against the border and lets the floor carry it on
            return 1 if row == 5 else 2
        return 0 if column == 0 else 3

    start = world.state((6, 2))
    # two cells between walls, two between spills, and the last, whose move pays
    between_walls = 0.8 * 0.99 / (1 - 0.2 * 0.99)
    assert evaluate(lambda s: 1)[start] == pytest.approx(
        between_walls**2 * (0.8 * 0.99) ** 2 * 0.8, abs=1e-12
    )
    assert evaluate(lambda s: 1)[start] == pytest.approx(0.489, abs=5e-4)
    assert evaluate(safe)[start] == pytest.approx(0.70258, abs=5e-6)
    v = evaluate(safe)
    better = [
        (s, a)
        for s in set(range(world.n_states)) - world.terminal
        for a in range(4)
        if world.cell(s)[1] in (0, 1, 2, 7)
        and world.cell(s) != (6, 6)
        and sum(p * (r + (0.0 if over else world.gamma * v[t])) for p, t, r, over in world.outcomes(s, a))
        > v[s] + 1e-9
    ]
    assert better == []
