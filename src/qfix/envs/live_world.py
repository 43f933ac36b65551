"""A live environment in the middle of an episode: packed into arrays, and brought back to where it was.

An episode of an environment that obeys its seed is known by that seed and the actions taken since:

    restore  =  generators of the wrappers as they were;  reset(seed of the episode);  its actions again

Whether the environment then sees what it saw is checked by its last observation. Where it does not, the
environment is not deterministic: the episode is begun afresh, by the same seed, and that is said.

Who steps it keeps the record, for a call on every step would cost more than the step of many an environment:

    world.look()                                                 before the first episode of a stretch of steps
    seen, info = world.begin(start)                                    start: the seed of the episode
    world.actions, world.action, world.running = world.no_actions(), action, True
    seen, reward, terminated, truncated, _ = world.env.step(action + first_action)
    world.actions.append(action);  world.action = next_action    or, at the end of the episode, running = False
    world.sight = digest(seen)                                   once, when the stretch is at its end

A run of several environments has one LiveWorld for each, and the seed of the episode tells them apart:
`episode_seed(run seed, index of the environment, index of the episode)`.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from qfix.envs import generators
from qfix.envs.time_limit import TimeLimit
from qfix.errors import EnvironmentFault, QfixError
from qfix.runs.arrays import require, require_flags, require_indices, require_like

Actions: TypeAlias = "bytearray | array[int]"  # as few bytes an action as will do: episodes may be long

_SIGHT = 16  # bytes of a digest


class LiveWorld:
    """An environment in the middle of an episode.

    Args:
        env: the environment.
        n_actions: how many numbered actions there are.
        space: of actions that are arrays, such as a Box; None where they are numbered. They are kept as they are taken.

    Attributes:
        env: the environment.
        actions: taken in the running episode, counted from 0; of arrays, their bytes one after the other.
        running: False where the next thing to do is to reset.
        action: the next to be taken.
        sight: digest of the last observation; of no meaning where no episode is running.
        kept: states of the wrappers' own generators before the running episode was begun.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], n_actions: int, space: gymnasium.Space[Any] | None = None
    ) -> None:
        self.env = env
        self._n_actions = n_actions
        self._space: Any = space
        self.actions = self.no_actions()
        self.running = False
        self.action = 0
        self.sight = bytes(_SIGHT)
        self.kept: list[generators.Kept] = []
        self._places: list[generators.Place] = []
        self._looked_again = False

    def no_actions(self) -> Actions:
        """What the actions of a new episode go to."""
        return bytearray() if self._space is not None or self._n_actions <= 1 << 8 else array("q")

    def keep(self, action: np.ndarray) -> None:
        """Note an action that is an array, as it was taken."""
        assert isinstance(self.actions, bytearray)
        self.actions.extend(np.ascontiguousarray(action, self._space.dtype).tobytes())

    @property
    def taken(self) -> np.ndarray:
        """The actions of the running episode, (steps,) or (steps, *shape of an action); a copy."""
        if self._space is not None:
            return np.frombuffer(self.actions, self._space.dtype).reshape(-1, *self._space.shape).copy()
        return np.frombuffer(
            self.actions, np.uint8 if isinstance(self.actions, bytearray) else np.int64
        ).copy()

    def look(self) -> None:
        """Find the wrappers' own generators, as `env` is now."""
        self._places, self._looked_again = generators.places(self.env), False

    def begin(self, start: int) -> tuple[Any, dict[str, Any]]:
        """Reset to the beginning of an episode, and keep the states of the wrappers' generators before it.

        Args:
            start: seed of the episode.

        Returns:
            The first observation and its info. `running` is for the caller to set, once there is a first action.
        """
        self.kept = generators.read(self.env, self._places) if self._places else []
        observation, info = self.env.reset(seed=start)
        if not self._looked_again:  # some generators are made by the first reset
            self._places, self._looked_again = generators.places(self.env), True
        return observation, info

    def pack(self, name: str) -> dict[str, np.ndarray]:
        """All but the environment, as named arrays; copies."""
        return {
            f"{name}actions": self.taken[: None if self.running else 0],
            f"{name}running": np.array([self.running]),
            f"{name}action": np.array([self.action]),
            f"{name}sight": np.frombuffer(self.sight if self.running else bytes(_SIGHT), np.uint8).copy(),
            f"{name}generators": generators.to_bytes(self.kept if self.running else []),
        }

    def unpack(self, arrays: dict[str, np.ndarray], name: str, steps_in_episode: int) -> None:
        """What `pack` gave, but for the environment, which stays as it is; `bring_back` sees to that.

        Args:
            arrays: whoever made them.
            name: in front of their names.
            steps_in_episode: what the learner counted in its running episode.

        Raises:
            OptionError: an array is missing, or is not what `pack` gives.
        """
        like = LiveWorld(self.env, self._n_actions, self._space).pack(name)
        given: dict[str, Any] = {key.removeprefix(name): arrays.get(key) for key in like}
        for key, array_like in like.items():
            any_length = key.endswith(("actions", "generators"))
            require_like(key, given[key.removeprefix(name)], array_like, any_length)
        require_flags(f"{name}running", given["running"])
        running = bool(given["running"][0])
        steps = steps_in_episode if running else 0
        rule = "must have an action for each step of the running episode"
        require(len(given["actions"]) == steps, f"{name}actions", rule, len(given["actions"]))
        self._require_actions(f"{name}actions", given["actions"])
        require_indices(f"{name}action", given["action"], self._n_actions)
        try:
            self.kept = generators.from_bytes(given["generators"])
        except ValueError as fault:
            require(False, f"{name}generators", "must be states of random generators as JSON", str(fault))
        self.running, self.action = running, int(given["action"][0])
        self.actions = self.no_actions()
        raw = given["actions"].tobytes()
        if isinstance(self.actions, bytearray):
            self.actions.extend(raw)
        else:
            self.actions.frombytes(raw)
        self.sight = given["sight"].tobytes()

    def _require_actions(self, name: str, actions: np.ndarray) -> None:
        if self._space is None:
            require_indices(name, actions, self._n_actions)
            return
        known = actions.shape[1:] == self._space.shape and all(map(self._space.contains, actions))
        require(known, name, f"must be actions in {self._space}", actions[:3])

    def bring_back(
        self,
        start: int,
        first_action: int,
        sight_of: Callable[[Any], bytes],
        time_limit: float | None,
    ) -> str | None:
        """Bring the environment to where its episode was; else say why it cannot be, and let it begin afresh.

        Args:
            start: seed of the episode.
            first_action: what the environment calls action 0; of no meaning where actions are arrays.
            sight_of: the digest of an observation, as `sight` was made.
            time_limit: seconds that a reset or a step may take; None for any.

        Returns:
            None if the environment stands where it stood, else what happened.
        """
        env, actions = self.env, self.taken
        made = 0
        self.running = False
        try:
            with TimeLimit(time_limit, lambda: made):
                if self.kept and not generators.write(env, self.kept):
                    env.reset(seed=start)  # some are made by the first reset
                    if not generators.write(env, self.kept):
                        return "it has not the random generators that it had"
                observation, _ = env.reset(seed=start)
                for action in actions:
                    whole = action if self._space is not None else int(action) + first_action
                    observation, _, terminated, truncated, _ = env.step(whole)
                    made += 1
                    if terminated or truncated:
                        return f"it ended after {made} of its {len(actions)} actions"
                if sight_of(observation) != self.sight:
                    return f"its seed and its {len(actions)} actions led to another observation"
        except QfixError as fault:
            return str(fault)
        except Exception as fault:
            return f"it raised {type(fault).__name__}: {fault}"
        self.running = True
        return None


def digest(seen: Any) -> bytes:
    """Of an observation as a learner has it: an array, or anything that its text tells from others."""
    raw = seen.tobytes() if isinstance(seen, np.ndarray) else str(seen).encode()
    return hashlib.blake2b(raw, digest_size=_SIGHT).digest()


def fault_at(env_name: str, where: str, said: str) -> EnvironmentFault:
    """The house's sentence for an environment that failed.

    Args:
        env_name: whose.
        where: the seed, the episode and the step, in words.
        said: what happened.
    """
    return EnvironmentFault(
        f"The environment '{env_name}' failed ({where}): {said.rstrip('.')}. What was learned until then "
        f"is kept; mend the environment, which reset(seed=...) and the same actions bring to that point again."
    )
