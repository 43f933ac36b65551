"""Every probe world is solved by every learner on networks: all of them in one gallery, learned by one network.

Values are the probes' own, worked by hand. What a learner gets wrong shows where: ProbeTimeLimit's 10 is 5.26 for who
takes a truncation for the end, ProbeLoop's 4.74 and 5.26 are 2.99 and 3.56 for the behaviour that leaves by chance.
Seeds are fixed; tolerances are several times what was seen.
"""

import numpy as np
import pytest

from deep.running import PROBES, TIME_LIMIT_STATE, gallery, gallery_values, shared_trainer
from qfix.mdp import solve

LOOP, BANDIT = slice(14, 16), 17
STEPS = {"rainbow": 4_500}


def learned(case, driver="device", steps=None):
    """(seeds, S, A) values after a short training."""
    trainer = shared_trainer(case, "gallery", driver)
    state, _ = trainer.advance(trainer.start(), steps or STEPS.get(case, 9_000))
    return np.stack([trainer.action_values(state, i) for i in range(len(trainer.seeds))])


def behaviour_values(epsilon):
    """Values of going round ProbeLoop for who acts epsilon-greedily: two of the four actions leave, and pay 2.

    v(0) = (1 - p) γ v(1) + 2p,   v(1) = (1 - p)(1 + γ v(0)) + 2p,   p = ε/2
    """
    p, gamma = epsilon / 2, 0.9
    keep = (1 - p) * gamma
    v0 = (keep * (1 - p + 2 * p) + 2 * p) / (1 - keep**2)
    v1 = (1 - p) + keep * v0 + 2 * p
    return gamma * v1, 1 + gamma * v0


def test_the_values_by_hand_are_the_model_s():
    known = gallery_values()
    decisions = ~np.isnan(known)
    np.testing.assert_allclose(solve(gallery()).q[decisions], known[decisions], atol=1e-6)
    assert len(PROBES) == 8
    np.testing.assert_allclose(behaviour_values(0.3), (2.993, 3.560), atol=1e-3)
    np.testing.assert_allclose(behaviour_values(0.0), gallery_values()[LOOP, 0], atol=1e-6)


@pytest.mark.parametrize("case", ["dqn", "deep_sarsa", "deep_expected_sarsa"])
def test_every_action_is_valued(case):
    loop = behaviour_values(0.3) if "sarsa" in case else behaviour_values(0.0)
    q = learned(case)
    error = np.abs(q - gallery_values(loop))
    assert (
        error[:, BANDIT].max() < 0.8
    )  # each arm's mean of a few dozen tosses of ±1 that are still remembered
    error[:, BANDIT] = 0
    assert np.nanmax(error) < 0.3


def test_pqn_values_what_it_does():
    """Without a memory, actions that are rarely tried any more lag behind the others, and λ-returns follow the
    behaviour, which explores a little to the end."""
    q, known = learned("pqn"), gallery_values()
    best = np.abs(q.max(axis=-1) - known.max(axis=-1))
    assert best[:, BANDIT].max() < 0.9
    best[:, BANDIT] = 0
    assert np.nanmax(best) < 0.5
    error = np.abs(q - known)
    error[:, BANDIT] = 0
    assert np.nanmax(error) < 1.5
    for state in (8, 10, 11, 14, 15):  # ProbeAction, ProbeBoth, ProbeLoop
        assert (known[state][q[:, state].argmax(axis=-1)] == known[state].max()).all()


def test_rainbow_values_what_it_does():
    """Noise that the network learns to do without tries few actions often: the best ones are known."""
    q, known = learned("rainbow"), gallery_values()
    error = np.abs(q.max(axis=-1) - known.max(axis=-1))
    assert error[:, BANDIT].max() < 0.9
    error[:, BANDIT] = 0
    assert np.nanmax(error) < 0.3
    for state in (5 + 3, 5 + 5, 5 + 6, *range(14, 16)):  # ProbeAction, ProbeBoth, ProbeLoop
        assert (known[state][q[:, state].argmax(axis=-1)] == known[state].max()).all()


def test_munchausen_widens_the_gap_to_other_actions():
    """At a low temperature the best actions' values stay, and others lose 0.9 of a bonus that ends at -1."""
    q, known = learned("munchausen"), gallery_values()
    states = [8, 10, 11, 14, 15]
    best = known[states] == known[states].max(axis=-1, keepdims=True)
    expected = np.where(best, known[states], known[states] - 0.9)
    assert np.abs(q[:, states] - expected).max() < 0.4
    assert np.abs(q[:, TIME_LIMIT_STATE] - 10).max() < 0.3


# Truncation, on the host


@pytest.mark.parametrize("case", ["n_step", "pqn"])
def test_truncation_is_no_termination_on_the_host(case):
    """Who takes it for one has 5.26 where 10 is right; on the device: above."""
    q = learned(case, "host", 5_000)
    assert np.abs(q[:, TIME_LIMIT_STATE] - 10).max() < 1.0
