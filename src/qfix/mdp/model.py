"""The finite Markov decision process: what the world is, when all of it is known.

A model is a table of outcomes. Taking action a in state s leads, with probability p, to state s', pays r, and
may end the episode there and then. The optimal values are the one solution of Bellman's equation

    v(s) = max_a  Σ_i p_i (r_i + γ (1 - terminated_i) v(s'_i))        v(terminal) = 0

Everything else in `qfix.mdp` computes with this object; nothing changes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from qfix.errors import ModelError
from qfix.mdp.check import as_start, as_terminal, check_gamma, check_rows, check_start, is_off
from qfix.mdp.rows import Rows, ends_in, rows_from_matrices, rows_from_outcomes, settle


@dataclass(frozen=True, eq=False, repr=False)
class FiniteMDP:
    """A finite Markov decision process with sparse transitions. Immutable: its arrays are read-only.

    Build one with `from_arrays`, `from_function` or `from_env`. Letters: S states, A actions, N outcomes.
    The outcomes of (s, a) are the rows `indptr[s*A+a]:indptr[s*A+a+1]` of the four outcome arrays. A terminal
    state has one outcome for every action: it stays, is paid nothing, and the episode is over.
    """

    n_states: int
    n_actions: int
    gamma: float
    """Discount in [0, 1]. 1 needs an episode that ends; the solvers check it."""
    indptr: np.ndarray
    """(S*A+1,) int64, where the outcomes of a row begin and end."""
    next_state: np.ndarray
    """(N,) int32."""
    probability: np.ndarray
    """(N,) float64; sums to 1 in every row. Rows given with a sum off by more than rounding, but by at most 1e-6, are
    divided by it."""
    terminated: np.ndarray
    """(N,) bool: the outcome ends the episode, so that no value follows it."""
    outcome_reward: np.ndarray | None
    """(N,) float64, reward of each outcome; None when it depends on (s, a) only."""
    reward: np.ndarray
    """(S, A) float64, expected reward."""
    start: np.ndarray
    """(S,) float64, start distribution; 0 in terminal states."""
    terminal: np.ndarray
    """(S,) bool: states in which no decision is taken; v = q = 0 there."""
    max_episode_steps: int | None = None
    """Time limit, a truncation and no termination: solvers ignore it, learners honour it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", check_gamma(self.gamma))
        total = check_rows(
            Rows(
                self.indptr,
                self.next_state,
                self.probability,
                self.terminated,
                self.outcome_reward,
                self.reward,
            ),
            self.n_states,
            self.n_actions,
        )
        self._normalise(total, check_start(self.start, self.terminal))
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise ModelError(
                f"The 'max_episode_steps' of FiniteMDP must be at least 1 or None. Got "
                f"{self.max_episode_steps}. Use None for no time limit."
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def _normalise(self, total: np.ndarray, start_total: float) -> None:
        """Divide rows, and the start, by their sum where it is off by more than rounding: solvers and sampler must
        see the same distribution."""
        size = np.diff(self.indptr)
        off = is_off(total, size)
        if off.any():
            divisor = np.where(off, total, 1.0)
            object.__setattr__(self, "probability", self.probability / np.repeat(divisor, size))
            if self.outcome_reward is not None:
                object.__setattr__(self, "reward", self.reward / divisor.reshape(self.reward.shape))
        if is_off(start_total, int(np.count_nonzero(self.start))):
            object.__setattr__(self, "start", self.start / start_total)

    @classmethod
    def from_arrays(
        cls,
        P: np.ndarray | Sequence[Any],
        R: np.ndarray | Sequence[Any],
        gamma: float,
        start: np.ndarray | Sequence[float] | int | None = None,
        terminal: np.ndarray | Sequence[int] | None = None,
        max_episode_steps: int | None = None,
    ) -> FiniteMDP:
        """The model of transition matrices and rewards.

            P[s, a, s'] = Pr(s' | s, a)        R[s, a] or R[s, a, s']

        An outcome that enters a terminal state is terminated. What P and R say about terminal states
        themselves is not read.

        Args:
            P: (S, A, S) array, or a sequence of A sparse (S, S) matrices. Rows sum to 1
                within 1e-6, and are divided by their sum.
            R: (S, A), (S, A, S), or a sequence of A sparse (S, S) matrices of rewards per outcome.
            gamma: discount in [0, 1].
            start: (S,) distribution, or one state; by default uniform over states that are not terminal.
            terminal: (S,) bool or a list of states; by default none.
            max_episode_steps: time limit for learners; None for none.

        Raises:
            ModelError: names the state and action whose row is no distribution or whose reward is not finite.
            OptionError: gamma is not in [0, 1].
        """
        gamma = check_gamma(gamma, "FiniteMDP.from_arrays")
        matrices = _as_matrices(P)
        n_states, n_actions = matrices[0].shape[0], len(matrices)
        mask = as_terminal(terminal, n_states)
        rows = rows_from_matrices(matrices, _as_rewards(R, n_states, n_actions), mask)
        return cls(n_states, n_actions, gamma, *rows, as_start(start, mask), mask, max_episode_steps)

    @classmethod
    def from_function(
        cls,
        step: Callable[[int, int], Iterable[tuple[float, int, float, bool]]],
        n_states: int,
        n_actions: int,
        gamma: float,
        start: np.ndarray | Sequence[float] | int | None = None,
        terminal: np.ndarray | Sequence[int] | None = None,
        max_episode_steps: int | None = None,
    ) -> FiniteMDP:
        """The model of a function that lists what can happen.

            step(s, a) -> [(probability, next_state, reward, terminated), ...]

        Outcomes of one (s, a) that agree in next state, reward and termination are merged. An outcome that
        enters a state of `terminal` is terminated whatever its flag.

        Args:
            step: called once for every state (but not for those named in `terminal`) and action.
            n_states: S, at least 1.
            n_actions: A, at least 1.
            gamma: discount in [0, 1].
            start: (S,) distribution, or one state; by default uniform over states that are not terminal.
            terminal: (S,) bool or a list of states. By default the states entered by a terminated outcome
                that an episode never passes through; `step` may return [] for them.
            max_episode_steps: time limit for learners; None for none.

        Raises:
            ModelError: names the state and action at fault.
            OptionError: gamma is not in [0, 1].
        """
        gamma = check_gamma(gamma, "FiniteMDP.from_function")
        known = as_terminal(terminal, n_states)
        rows = rows_from_outcomes(step, n_states, n_actions, known, "FiniteMDP.from_function")
        return cls._from_rows(
            rows, n_states, n_actions, gamma, start, None if terminal is None else known, max_episode_steps
        )

    @classmethod
    def from_env(
        cls,
        env: Any,
        gamma: float,
        *,
        start: np.ndarray | Sequence[float] | int | None = None,
        max_episode_steps: int | None = None,
        **env_kwargs: Any,
    ) -> FiniteMDP:
        """The model behind a Gymnasium environment that has one.

        Two kinds have: those with a table `P[s][a] = [(p, s', r, terminated), ...]` (FrozenLake,
        CliffWalking, Taxi) and those with an attribute `mdp` (the worlds of qfix). Terminal are states that a
        terminated outcome enters and that no episode passes through; elsewhere every outcome's own flag
        counts.

        Args:
            env: an environment, or the id of one for `gymnasium.make`.
            gamma: discount in [0, 1].
            start: overrides the environment's `initial_state_distrib`.
            max_episode_steps: None for the environment's own time limit, the shortest of its TimeLimit wrappers' and
                its model's; -1 for none.
            env_kwargs: passed to `gymnasium.make`; only with an id.

        Raises:
            ModelError: the environment has no table, or no start distribution and none was given.
            OptionError: gamma is not in [0, 1].
        """
        gamma = check_gamma(gamma, "FiniteMDP.from_env")
        if isinstance(env, str):
            # lazily: solving a model given as arrays must not pay for importing Gymnasium
            from importlib import import_module

            made = import_module("gymnasium").make(env, **env_kwargs)
            try:
                return cls.from_env(made, gamma, start=start, max_episode_steps=max_episode_steps)
            finally:
                made.close()
        if env_kwargs:
            raise ModelError(
                f"The options {sorted(env_kwargs)} of FiniteMDP.from_env need the id of an environment. "
                f"Got {env!r}, which is made already. Pass them where it is made."
            )
        world = env.unwrapped
        model = getattr(world, "mdp", None)
        if max_episode_steps is None:
            own = model.max_episode_steps if isinstance(model, FiniteMDP) else None
            max_episode_steps = _time_limit(env, own)
        elif max_episode_steps == -1:
            max_episode_steps = None
        if isinstance(model, FiniteMDP):
            model = dataclasses.replace(model, gamma=gamma, max_episode_steps=max_episode_steps)
            return (
                model if start is None else dataclasses.replace(model, start=as_start(start, model.terminal))
            )
        table = getattr(world, "P", None)
        if table is None:
            raise ModelError(
                f"The 'env' parameter of FiniteMDP.from_env must have a transition table P. Got {env!r}, "
                f"which has none. Write its transitions as a function and use FiniteMDP.from_function."
            )
        try:
            n_states, n_actions = len(table), len(table[0])
        except (TypeError, LookupError) as fault:
            raise ModelError(
                f"The 'env' parameter of FiniteMDP.from_env must have a transition table P[state][action]. Got "
                f"{env!r}, whose P is a {type(table).__name__} without the actions of state 0. Write its transitions "
                f"as a function and use FiniteMDP.from_function."
            ) from fault
        if start is None:
            start = getattr(world, "initial_state_distrib", None)
            if start is None:
                raise ModelError(
                    f"The 'env' parameter of FiniteMDP.from_env must have an initial_state_distrib. Got "
                    f"{env!r}, which has none. Pass start=, a distribution over {n_states} states or a state."
                )
        rows = rows_from_outcomes(
            lambda s, a: table[s][a], n_states, n_actions, np.zeros(n_states, bool), "FiniteMDP.from_env"
        )
        return cls._from_rows(rows, n_states, n_actions, gamma, start, None, max_episode_steps)

    @classmethod
    def _from_rows(
        cls,
        rows: Rows,
        n_states: int,
        n_actions: int,
        gamma: float,
        start: Any,
        terminal: np.ndarray | None,
        max_episode_steps: int | None,
    ) -> FiniteMDP:
        if terminal is None:
            valid = (rows.next_state >= 0) & (rows.next_state < n_states)
            origin = None if start is None else as_start(start, np.zeros(n_states, bool))
            well_formed = valid.all() and (origin is None or origin.shape == (n_states,))
            terminal = ends_in(rows, n_states, origin) if well_formed else np.zeros(n_states, bool)
        rows = settle(rows, terminal, n_actions)
        return cls(n_states, n_actions, gamma, *rows, as_start(start, terminal), terminal, max_episode_steps)

    @property
    def n_outcomes(self) -> int:
        """N, the number of outcomes in the table."""
        return len(self.next_state)

    @property
    def is_deterministic(self) -> bool:
        """Whether every action in every state has exactly one outcome."""
        return self.n_outcomes == self.n_states * self.n_actions

    def with_gamma(self, gamma: float) -> FiniteMDP:
        """The same world under another discount; shares the arrays."""
        return dataclasses.replace(self, gamma=check_gamma(gamma, "FiniteMDP.with_gamma"))

    def __repr__(self) -> str:
        limit = "" if self.max_episode_steps is None else f", max_episode_steps={self.max_episode_steps}"
        return (
            f"FiniteMDP({self.n_states} states ({int(self.terminal.sum())} terminal), {self.n_actions} "
            f"actions, {self.n_outcomes} outcomes, gamma={self.gamma}{limit})"
        )


def _time_limit(env: Any, limit: int | None) -> int | None:
    """The step at which episodes are cut: `limit`, or that of a TimeLimit around the environment, if sooner."""
    # lazily, as above; the environment's `spec` is not asked, for it says what was registered and cuts nothing
    from importlib import import_module

    gymnasium = import_module("gymnasium")
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            around = int(env._max_episode_steps)  # which it tells nobody
            limit = around if limit is None else min(limit, around)
        env = env.env
    return limit


def _as_matrices(p: Any) -> list[Any]:
    """A CSR matrices with sorted, merged, non-zero entries."""
    if isinstance(p, np.ndarray) or (len(p) and not sp.issparse(p[0])):
        dense = np.asarray(p, np.float64)
        if dense.ndim != 3 or dense.shape[0] != dense.shape[2] or 0 in dense.shape:
            raise ModelError(
                f"The 'P' of FiniteMDP.from_arrays must have shape (S, A, S). Got {dense.shape}. Order its "
                f"axes state, action, next state, or give a list of A sparse (S, S) matrices."
            )
        return [sp.csr_matrix(dense[:, a]) for a in range(dense.shape[1])]
    shapes = [tuple(m.shape) for m in p]
    if not shapes or any(shape != (shapes[0][0], shapes[0][0]) for shape in shapes):
        raise ModelError(
            f"The 'P' of FiniteMDP.from_arrays must be A sparse matrices of one shape (S, S). Got {shapes}. "
            f"Give one matrix for every action."
        )
    matrices = []
    for m in p:
        csr = sp.csr_matrix(m)
        if not csr.has_canonical_format or (csr.data == 0).any():
            csr = csr.copy()
            csr.sum_duplicates()
            csr.eliminate_zeros()
        matrices.append(csr)
    return matrices


def _as_rewards(r: Any, n_states: int, n_actions: int) -> Any:
    """(S, A) array, or a list of A matrices (S, S), dense or sparse."""
    if not isinstance(r, np.ndarray) and len(r) and sp.issparse(r[0]):
        if len(r) != n_actions or any(tuple(m.shape) != (n_states, n_states) for m in r):
            raise ModelError(
                f"The 'R' of FiniteMDP.from_arrays must be {n_actions} sparse matrices of shape "
                f"{(n_states, n_states)}. Got {[tuple(m.shape) for m in r]}. Give one for every action."
            )
        return [sp.csr_matrix(m) for m in r]
    dense = np.asarray(r, np.float64)
    if dense.shape == (n_states, n_actions):
        return dense
    if dense.shape == (n_states, n_actions, n_states):
        return [dense[:, a] for a in range(n_actions)]
    raise ModelError(
        f"The 'R' of FiniteMDP.from_arrays must have shape {(n_states, n_actions)} or "
        f"{(n_states, n_actions, n_states)}. Got {dense.shape}. Give a reward for every state and action."
    )
