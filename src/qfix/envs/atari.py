"""Atari games as the field plays them.

    every fourth frame, the larger of its last two at each pixel, 84 x 84 in grey, the last four of these at once

So an observation is (4, 84, 84) bytes, and a step of the agent is four frames of the game. At each frame the action
before is repeated with a chance of 0.25 ("sticky actions"), ALE's own default in the ids `ALE/...-v5`; then no episode
begins with random no-ops. Where actions are not sticky (`PongNoFrameskip-v4`, or `repeat_action_probability=0`) one
begins with 1 to 30 of them: either is there to make a deterministic console random. Losing a life ends no episode; ALE
truncates one after 108,000 frames. Rewards are the game's own; the algorithm's `reward_clip=1` clips what is learned
from.

The wrappers are Gymnasium's. The game under them is stepped frame by frame, and in grey already: they make the same
observations of it for less work.

Sources: Mnih et al. (2015), Human-level control through deep reinforcement learning, Methods (preprocessing; no-ops);
Machado et al. (2018), Revisiting the Arcade Learning Environment: evaluation protocols and open problems for general
agents (sticky actions in place of no-ops; episodes that go on when a life is lost).
"""

from __future__ import annotations

from inspect import Parameter
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from qfix.errors import is_whole, option_error

_GAME = "ale_py.env:AtariEnv"

FRAME_SKIP = 4
NO_OPS = 30  # at most, where actions are not sticky
OPTIONS = {
    "preprocessing": True,
    "frame_stack": 4,
    "screen_size": 84,
    "noop_max": None,
    "terminal_on_life_loss": False,
}
"""What a game takes beside ALE's own options."""


def is_game(spec: EnvSpec) -> bool:
    """Whether an id stands for a bare game that is to be preprocessed: not the old ids that skip frames by chance."""
    plain = spec.entry_point == _GAME and not spec.additional_wrappers
    return plain and isinstance(spec.kwargs.get("frameskip", FRAME_SKIP), int)


def parameters() -> list[Parameter]:
    """`OPTIONS` as those of a function."""
    return [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in OPTIONS.items()]


def make_game(spec: EnvSpec, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """A game, preprocessed unless that is switched off or something else than its screen is asked for.

    Args:
        spec: of the game.
        kwargs: options of ALE, of `gymnasium.make` and of `OPTIONS`: `preprocessing=False` for the game as it is;
            `frame_stack`, `screen_size`, `noop_max` and `terminal_on_life_loss` as in Gymnasium's wrappers.
            `frameskip` counts frames of a step as ever; `max_episode_steps` counts steps of the agent.

    Raises:
        OptionError: the options do not go together.
    """
    own = {name: kwargs[name] for name in OPTIONS if name in kwargs}
    of_game = {name: value for name, value in kwargs.items() if name not in OPTIONS}
    wanted = {**spec.kwargs, **of_game}
    if not own.pop("preprocessing", True) or _not_its_screen(wanted):
        if own:
            rule = "goes with a preprocessed game: preprocessing=True, and no obs_type or sound_obs"
            name, value = next(iter(own.items()))
            raise option_error(spec.id, name, rule, value, "Leave one of them out.")
        return gymnasium.make(spec, **of_game)
    skip = of_game.get("frameskip", FRAME_SKIP)
    if not is_whole(skip) or skip < 1:
        rule = "must be a whole number, 1 or above, of a preprocessed game"
        raise option_error(spec.id, "frameskip", rule, skip, "Use frameskip=4, or preprocessing=False.")
    limit = of_game.pop("max_episode_steps", spec.max_episode_steps)
    no_ops = own.pop("noop_max", None)
    if no_ops is None:
        no_ops = 0 if wanted.get("repeat_action_probability", 0.0) > 0.0 else NO_OPS
    stacked = own.pop("frame_stack", OPTIONS["frame_stack"])
    if not is_whole(stacked) or not 1 <= stacked <= 255:
        raise option_error(spec.id, "frame_stack", "must be a whole number in 1..255", stacked, "Use 4.")
    of_game |= {"frameskip": 1, "obs_type": "grayscale", "max_episode_steps": -1}
    env = gymnasium.make(spec, **of_game)
    return _wrapped(env, {"frame_skip": skip, "noop_max": no_ops, **own}, stacked, limit)


def _not_its_screen(options: dict[str, Any]) -> bool:
    return options.get("obs_type", "rgb") != "rgb" or bool(options.get("sound_obs", False))


def _wrapped(
    env: gymnasium.Env[Any, Any], preprocessing: dict[str, Any], stacked: int, limit: int | None
) -> gymnasium.Env[Any, Any]:
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

    env = FrameStackObservation(AtariPreprocessing(env, **preprocessing), stacked)
    return env if limit is None or limit == -1 else TimeLimit(env, limit)
