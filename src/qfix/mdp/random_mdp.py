"""Random models: worlds to test on that nobody has tuned for."""

from __future__ import annotations

import numpy as np

from qfix.errors import option_error
from qfix.mdp.model import FiniteMDP
from qfix.mdp.rows import Rows, settle


def garnet(
    n_states: int,
    n_actions: int,
    branching: int,
    seed: int | np.random.Generator,
    *,
    gamma: float = 0.95,
    reward_sparsity: float = 0.0,
    terminal_fraction: float = 0.0,
) -> FiniteMDP:
    """A Garnet: every (s, a) leads to `branching` different states drawn at random.

        p = the gaps between branching - 1 sorted uniforms;   r(s, a) ~ N(0, 1)

    Args:
        n_states: S, at least 1.
        n_actions: A, at least 1.
        branching: outcomes of every (s, a), in 1..S.
        seed: a whole number, or a Generator to draw from.
        gamma: discount in [0, 1].
        reward_sparsity: share of (s, a) whose reward is 0, in [0, 1].
        terminal_fraction: share of terminal states, in [0, 1); these are the last ones. At least one state
        stays.

    Returns:
        FiniteMDP, started uniformly; the same seed gives the same model.

    Source: Archibald, McKinnon and Thomas (1995); Bhatnagar et al. (2009), Section 6.
    Deviation: (1) terminal states, which their ergodic models have not.
    """
    if n_states < 1 or n_actions < 1:
        raise option_error(
            "garnet", "n_states", "and n_actions must be at least 1", (n_states, n_actions), "Use 10 and 3."
        )
    if not 1 <= branching <= n_states:
        raise option_error("garnet", "branching", f"must be in 1..{n_states}", branching, "Use branching=3.")
    for name, share in (("reward_sparsity", reward_sparsity), ("terminal_fraction", terminal_fraction)):
        if not 0.0 <= share <= 1.0:
            raise option_error("garnet", name, "must be in [0, 1]", share, f"Use {name}=0.1.")
    rng = np.random.default_rng(seed)
    rows = n_states * n_actions
    if 2 * branching > n_states:
        targets = rng.permuted(np.tile(np.arange(n_states, dtype=np.int32), (rows, 1)), axis=1)[:, :branching]
        targets = np.sort(targets, axis=1)
    else:
        targets = np.sort(rng.integers(n_states, size=(rows, branching), dtype=np.int32), axis=1)
        while True:  # draw rows with a repeat again: they stay uniform over sets of different states
            again = np.flatnonzero((targets[:, 1:] == targets[:, :-1]).any(axis=1))
            if not len(again):
                break
            targets[again] = np.sort(rng.integers(n_states, size=(len(again), branching), dtype=np.int32), 1)
    cuts = np.sort(rng.random((rows, branching - 1)), axis=1)
    p = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    reward = rng.standard_normal((n_states, n_actions))
    reward[rng.random(reward.shape) < reward_sparsity] = 0.0
    terminal = np.zeros(n_states, bool)
    n_terminal = min(round(terminal_fraction * n_states), n_states - 1)
    terminal[n_states - n_terminal :] = True
    # straight to the flat table: no matrix in between
    flat = Rows(
        np.arange(rows + 1, dtype=np.int64) * branching,
        targets.ravel(),
        p.ravel(),
        np.zeros(rows * branching, bool),
        None,
        reward,
    )
    start = np.where(terminal, 0.0, 1.0 / int((~terminal).sum()))
    return FiniteMDP(n_states, n_actions, gamma, *settle(flat, terminal, n_actions), start, terminal)
