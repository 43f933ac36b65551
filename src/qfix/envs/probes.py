"""Probe worlds: one question each, with a known answer; who gets it wrong has that very thing wrong.

ProbeConstant      is a reward learned at all?
ProbeObservation   are states told apart?
ProbeDelay         does value flow back one step, discounted once?
ProbeAction        are actions told apart?
ProbeBoth          are states and actions told apart together?
ProbeTimeLimit     does a truncated step bootstrap?
ProbeLoop          does value flow round a loop, against a tempting exit?
ProbeBandit        are noisy rewards averaged?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qfix.envs.layout import strip
from qfix.envs.world import Outcome, World, start_at


def _probe(
    name: str,
    cells: tuple[str, ...],
    glyphs: str,
    actions: tuple[str, ...],
    outcomes: Callable[[int, int], list[Outcome]],
    gamma: float,
    known_values: Mapping[str, float],
) -> World:
    """A world whose states lie in a row; those drawn S start an episode, G is the end."""
    return World(
        name=name,
        outcomes=outcomes,
        start=start_at(len(cells), *(s for s, glyph in enumerate(glyphs) if glyph == "S")),
        terminal=frozenset(s for s, glyph in enumerate(glyphs) if glyph == "G"),
        n_actions=len(actions),
        gamma=gamma,
        cells=cells,
        layout=strip(tuple(cell if cell != "end" else "" for cell in cells), glyphs, actions),
        known_values=known_values,
    )


def probe_constant(gamma: float = 0.9) -> World:
    """One state, one action, one step, reward 1.

    v(0) = 1
    """
    return _probe(
        "ProbeConstant", ("0", "end"), "SG", ("go",), lambda s, a: [(1.0, 1, 1.0, True)], gamma, {"V(0)": 1.0}
    )


def probe_observation(gamma: float = 0.9) -> World:
    """Two states, a coin's toss; the reward of the only step is -1 in the first, +1 in the second.

    v(0) = -1        v(1) = 1
    """
    return _probe(
        "ProbeObservation",
        ("0", "1", "end"),
        "SSG",
        ("go",),
        lambda s, a: [(1.0, 2, (-1.0, 1.0)[s], True)],
        gamma,
        {"V(0)": -1.0, "V(1)": 1.0},
    )


def probe_delay(gamma: float = 0.9) -> World:
    """Two steps, the reward 1 on the second.

    v(1) = 1        v(0) = γ
    """
    return _probe(
        "ProbeDelay",
        ("0", "1", "end"),
        "S.G",
        ("go",),
        lambda s, a: [(1.0, s + 1, float(s), s == 1)],
        gamma,
        {"V(0)": gamma, "V(1)": 1.0},
    )


def probe_action(gamma: float = 0.9) -> World:
    """One state, one step; action 0 pays -1, action 1 pays +1.

    q(0, 0) = -1        q(0, 1) = 1
    """
    return _probe(
        "ProbeAction",
        ("0", "end"),
        "SG",
        ("0", "1"),
        lambda s, a: [(1.0, 1, (-1.0, 1.0)[a], True)],
        gamma,
        {"V(0)": 1.0, "Q(0,0)": -1.0, "Q(0,1)": 1.0},
    )


def probe_both(gamma: float = 0.9) -> World:
    """Two states, two actions, one step; +1 if the action is the state's number, else -1.

    q(s, a) = 1 if a = s else -1
    """
    return _probe(
        "ProbeBoth",
        ("0", "1", "end"),
        "SSG",
        ("0", "1"),
        lambda s, a: [(1.0, 2, 1.0 if a == s else -1.0, True)],
        gamma,
        {"V(0)": 1.0, "V(1)": 1.0, "Q(0,0)": 1.0, "Q(0,1)": -1.0, "Q(1,0)": -1.0, "Q(1,1)": 1.0},
    )


def probe_time_limit(gamma: float = 0.9) -> World:
    """One state, reward 1 a step, no end but the time limit of 10 steps, which is a truncation.

        v(0) = 1 / (1 - γ) = 10

    A table learner that takes the truncation for the end of the world settles at 1 / (1 - 0.9 γ) = 5.26
    instead, one step in ten having nothing to bootstrap from.
    """
    return _probe(
        "ProbeTimeLimit",
        ("0",),
        "S",
        ("go",),
        lambda s, a: [(1.0, 0, 1.0, False)],
        gamma,
        {"V(0)": 1.0 / (1.0 - gamma)} if gamma < 1.0 else {},
    )


def probe_loop(gamma: float = 0.9) -> World:
    """Two states; going round (0 to 1 for 0, 1 to 0 for 1) is worth more than leaving, which pays 2 and ends.

        v(1) = 1 / (1 - γ²) = 5.26        v(0) = γ v(1) = 4.74        q(s, leave) = 2

    Going round is better while γ / (1 - γ²) > 2, that is γ > 0.78.
    """

    def outcomes(state: int, action: int) -> list[Outcome]:
        if action == 1:
            return [(1.0, 2, 2.0, True)]
        return [(1.0, 1 - state, float(state), False)]

    known = {}
    if gamma < 1.0 and gamma / (1.0 - gamma**2) > 2.0:
        known = {
            "V(0)": gamma / (1.0 - gamma**2),
            "V(1)": 1.0 / (1.0 - gamma**2),
            "Q(0,leave)": 2.0,
            "Q(1,leave)": 2.0,
        }
    return _probe("ProbeLoop", ("0", "1", "end"), "S.G", ("round", "leave"), outcomes, gamma, known)


ARMS = (0.0, 0.1, 0.2, 0.5)


def probe_bandit(gamma: float = 0.9) -> World:
    """One state, four arms, one step; an arm pays its mean (0, 0.1, 0.2, 0.5) plus or minus 1, a coin's toss.

    q(0, a) = mean of a
    """
    return _probe(
        "ProbeBandit",
        ("0", "end"),
        "SG",
        tuple(str(a) for a in range(len(ARMS))),
        lambda s, a: [(0.5, 1, ARMS[a] - 1.0, True), (0.5, 1, ARMS[a] + 1.0, True)],
        gamma,
        {"V(0)": max(ARMS)} | {f"Q(0,{a})": mean for a, mean in enumerate(ARMS)},
    )
