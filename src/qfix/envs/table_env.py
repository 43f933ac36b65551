"""Any finite model as a Gymnasium environment, drawing from the very stream the compiled learners draw from.

The randomness of an episode is a pure function of the seed given to `reset`: the seed is the state of a
splitmix64 stream, one draw gives the start state and, unless the world is deterministic, one more each step.
So a live episode equals a compiled one to the bit.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium
import numba
import numpy as np
from numpy.typing import NDArray

from qfix.envs import drawing
from qfix.envs.layout import GridLayout
from qfix.envs.world import World
from qfix.errors import option_error
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import draw_start, next_bits, step_model, transition_table, uniform

RENDER_MODES = ["ansi", "rgb_array"]


@numba.njit(cache=True)
def _begin(table, stream):
    stream, bits = next_bits(stream)
    return stream, draw_start(table, uniform(bits))


@numba.njit(cache=True)
def _advance(table, stream, s, a):
    return step_model(table, s, a, stream)


class TableEnv(gymnasium.Env[Any, Any]):
    """A Gymnasium environment over a FiniteMDP: states and actions are the numbers 0..S-1 and 0..A-1.

    `reset(seed=e)` starts the episode of seed e. `reset()` goes on with the stream where it is, so that what
    follows a seed is determined by it too; the very first reset without a seed draws one from `np_random`.
    Episodes are truncated at the time limit of the model, if it has one.

    Args:
        mdp: the model.
        world: its definition, if it has one; gives the picture and the names of states.
        render_mode: None, "ansi" or "rgb_array".

    Raises:
        OptionError: unknown render mode.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 4}  # noqa: RUF012 - a class attribute is how Gymnasium wants it

    def __init__(self, mdp: FiniteMDP, world: World | None = None, render_mode: str | None = None) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise option_error(
                "TableEnv",
                "render_mode",
                f"must be one of {RENDER_MODES} or None",
                render_mode,
                "Use 'rgb_array'.",
            )
        self.mdp = mdp
        self.world = world
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Discrete(mdp.n_states)
        self.action_space = gymnasium.spaces.Discrete(mdp.n_actions)
        self.state: int | None = None
        self._action: int | None = None
        self._stream: np.uint64 | None = None
        self._steps = 0  # of the episode

    @cached_property
    def _table(self) -> Any:
        return transition_table(self.mdp)

    @property
    def layout(self) -> GridLayout | None:
        """Where the states lie on paper; None where nobody said."""
        return None if self.world is None else self.world.layout

    @property
    def initial_state_distrib(self) -> NDArray[np.float64]:
        """(S,) start distribution, under the name Gymnasium's own tables have it."""
        return self.mdp.start

    @cached_property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """The table in Gymnasium's form: `P[s][a] = [(probability, next_state, reward, terminated), ...]`."""
        mdp = self.mdp
        reward = mdp.outcome_reward
        if reward is None:
            reward = np.repeat(mdp.reward.ravel(), np.diff(mdp.indptr))
        flat = list(zip(*(x.tolist() for x in (mdp.probability, mdp.next_state, reward, mdp.terminated))))
        row = mdp.indptr.tolist()
        return {
            s: {
                a: flat[row[s * mdp.n_actions + a] : row[s * mdp.n_actions + a + 1]]
                for a in range(mdp.n_actions)
            }
            for s in range(mdp.n_states)
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Start an episode: the one of `seed`, or with None the next one of the running stream."""
        super().reset(seed=seed)
        if seed is not None:
            self._stream = np.uint64(seed % 2**64)
        elif self._stream is None:
            self._stream = np.uint64(self.np_random.integers(2**63))
        stream, state = _begin(self._table, self._stream)
        self._stream, self.state, self._action = np.uint64(stream), int(state), None
        self._steps = 0
        return self.state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """One draw of what follows `action`. Truncated at the model's own time limit and at every later step.

        Raises:
            OptionError: the action is not in 0..A-1.
            gymnasium.error.ResetNeeded: called before `reset`.
        """
        if self.state is None:
            raise gymnasium.error.ResetNeeded("Call reset() before step().")
        if not 0 <= action < self.mdp.n_actions:
            raise option_error(
                "TableEnv.step",
                "action",
                f"must be in 0..{self.mdp.n_actions - 1}",
                action,
                "See action_space.",
            )
        action = int(action)
        stream, state, reward, terminated = _advance(self._table, self._stream, self.state, action)
        self._stream, self.state, self._action = np.uint64(stream), int(state), action
        self._steps += 1
        limit = self.mdp.max_episode_steps
        return self.state, reward, terminated, limit is not None and self._steps >= limit, {}

    def render(self) -> Any:
        """Where the agent is: text, or an (H, W, 3) uint8 array; None without a render mode."""
        if self.render_mode is None:
            return None
        layout = self.layout or drawing.plain_layout(self.mdp)
        if self.render_mode == "ansi":
            return drawing.text(layout, self.state, self._action)
        return drawing.image(layout, self.state, self._action)
