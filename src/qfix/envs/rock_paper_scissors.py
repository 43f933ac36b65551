"""RockPaperScissors: a game in which every habit is punished, so that only a mixed policy is safe."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfix.envs import drawing
from qfix.errors import OptionError, option_error

NAMES = ("rock", "paper", "scissors")
PAYOFF: NDArray[np.float64] = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
"""(3, 3) the player's reward, by the player's move and the opponent's."""
PAYOFF.setflags(write=False)


class RockPaperScissors(gymnasium.Env[Any, Any]):
    """Rounds of a one-shot matrix game against a best response to the player's moves so far.

    Actions are 0 rock, 1 paper, 2 scissors; there is nothing to observe, the observation is always 0. In each
    round the opponent plays a best response to the frequencies of the player's moves since `reset`, ties
    broken at random; a win pays +1, a loss -1. An episode is a match, its length the time limit (100 rounds).
    A deterministic policy, there being one observation, always plays the same move and loses every round but
    perhaps the first, and so does the greedy policy of any table of values; a mixed one loses its `exploitability`
    once the opponent knows it; 1/3 each expects 0 and nothing is safer.

    The expected return of a match falls from 1/3 each in every direction: the answers go by the moves of the same
    match, so a policy pays for its own habits and not for those it had, and its gradient leads to 1/3 instead of around
    it. It is flat there, by nature: the step size of a learner must fall for the mix to rest.

    Not a finite decision process: what the opponent does depends on all the moves before. Who remembers the match can
    foresee the answers and win; the observation does not tell.

    Args:
        render_mode: None, "ansi" or "rgb_array".
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - a class attribute is how Gymnasium wants it

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode not in (None, "ansi", "rgb_array"):
            raise option_error(
                "RockPaperScissors",
                "render_mode",
                "must be 'ansi', 'rgb_array' or None",
                render_mode,
                "Use 'rgb_array'.",
            )
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Discrete(1)
        self.action_space = gymnasium.spaces.Discrete(3)
        self.counts = np.zeros(3, np.int64)
        """(3,) how often the player made each move since reset."""
        self._last: tuple[int, int] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Start a match: the opponent forgets."""
        super().reset(seed=seed)
        self.counts = np.zeros(3, np.int64)
        self._last = None
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Play a round.

        Raises:
            OptionError: the action is not 0, 1 or 2.
        """
        if not 0 <= action < 3:
            raise option_error(
                "RockPaperScissors.step", "action", "must be 0, 1 or 2", action, "See action_space."
            )
        action = int(action)
        losses = self.counts @ PAYOFF
        best = np.flatnonzero(losses == losses.min())
        answer = int(best[self.np_random.integers(len(best))])
        self.counts[action] += 1
        self._last = (action, answer)
        return 0, float(PAYOFF[action, answer]), False, False, {"opponent": answer}

    def render(self) -> Any:
        """The frequencies of the player's moves and the last round."""
        if self.render_mode is None:
            return None
        share = self.counts / max(int(self.counts.sum()), 1)
        if self.render_mode == "rgb_array":
            return drawing.bars(share, NAMES)
        lines = [
            f"{name:<9}{part:6.1%}  {'#' * round(20 * part)}".rstrip() for name, part in zip(NAMES, share)
        ]
        if self._last is not None:
            lines.append(f"you {NAMES[self._last[0]]}, opponent {NAMES[self._last[1]]}")
        return "\n".join(lines) + "\n"


def exploitability(mix: ArrayLike) -> float:
    """What a best response gains per round against a mixed policy; 0 only for 1/3 each, 1 for a pure one.

        max_b  -Σ_a mix(a) payoff(a, b)

    Args:
        mix: (3,) probabilities of rock, paper and scissors, such as `run.policy().probabilities(0)`. They may miss a
            sum of 1 by a millionth, as those of a network do.

    Raises:
        OptionError: `mix` is no distribution over three moves.
    """
    p = np.asarray(mix, np.float64)
    if p.shape != (3,) or not np.all(p >= 0.0) or abs(p.sum() - 1.0) > 1e-6:  # a network's are float32
        raise OptionError(
            f"The 'mix' parameter of exploitability must be 3 probabilities that sum to 1. Got {mix!r}. "
            f"Use [1/3, 1/3, 1/3] for the optimum."
        )
    return max(0.0, float(np.max(-(p / p.sum() @ PAYOFF))))


def policy_exploitability(policy: Any) -> float:
    """`exploitability` of what a policy plays, by the probabilities of its moves: 1 of any greedy one."""
    return exploitability(policy.probabilities(0))
