"""Live environments: stepped from outside the kernels, and brought back to the middle of an episode.

An episode of an environment that obeys its seed is known by that seed and the actions taken since:

    restore  =  generators of the wrappers as they were;  reset(seed of the episode);  its actions again

Whether the environment then sees what it saw is checked by its last observation. Where it does not, the
environment is not deterministic: the episode is begun afresh, by the same seed, and that is said.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from qfix.errors import EnvironmentFault, QfixError
from qfix.mdp.simulate import episode_seed
from qfix.tabular import generators
from qfix.tabular import kernel as loops
from qfix.tabular._compile import entry, kernel
from qfix.tabular.agent import EPISODE, STEP, STEP_IN_EPISODE, Blueprint
from qfix.tabular.check import require, require_flags, require_indices, require_like
from qfix.tabular.kernel import Agent
from qfix.tabular.time_limit import TimeLimit

Actions: TypeAlias = "bytearray | array[int]"  # as few bytes an action as will do: episodes may be long

_SIGHT = 16  # bytes of a digest


class LiveWorld:
    """An environment in the middle of an episode.

    Attributes:
        env: the environment.
        actions: taken in the running episode, counted from 0.
        running: False where the next thing to do is to reset.
        action: the next to be taken.
        sight: digest of the last observation.
        kept: states of the wrappers' own generators before the running episode was begun.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], n_actions: int) -> None:
        self.env = env
        self._n_actions = n_actions
        self.actions = self.no_actions()
        self.running = False
        self.action = 0
        self.sight = bytes(_SIGHT)
        self.kept: list[generators.Kept] = []

    def no_actions(self) -> Actions:
        """What the actions of a new episode go to."""
        return bytearray() if self._n_actions <= 1 << 8 else array("q")

    def pack(self, name: str) -> dict[str, np.ndarray]:
        """All but the environment, as named arrays; copies."""
        kind = np.uint8 if isinstance(self.actions, bytearray) else np.int64
        actions = np.frombuffer(self.actions, kind) if self.running and self.actions else np.zeros(0, kind)
        return {
            f"{name}actions": actions.copy(),
            f"{name}running": np.array([self.running]),
            f"{name}action": np.array([self.action]),
            f"{name}sight": np.frombuffer(self.sight, np.uint8).copy(),
            f"{name}generators": generators.to_bytes(self.kept if self.running else []),
        }

    def unpack(self, arrays: dict[str, np.ndarray], name: str, counts: np.ndarray) -> None:
        """What `pack` gave, but for the environment, which stays as it is.

        Raises:
            OptionError: an array is missing, or is not what `pack` gives.
        """
        like = LiveWorld(self.env, self._n_actions).pack(name)
        given: dict[str, Any] = {key.removeprefix(name): arrays.get(key) for key in like}
        for key, array_like in like.items():
            any_length = key.endswith(("actions", "generators"))
            require_like(key, given[key.removeprefix(name)], array_like, any_length)
        require_flags(f"{name}running", given["running"])
        running = bool(given["running"][0])
        steps = int(counts[STEP_IN_EPISODE]) if running else 0
        rule = "must have an action for each step of the running episode"
        require(len(given["actions"]) == steps, f"{name}actions", rule, len(given["actions"]))
        require_indices(f"{name}actions", given["actions"], self._n_actions)
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


class LiveStepping:
    """How the environments of a run are stepped.

    Args:
        blueprint: of the run's agents.
        label: of its kernels.
        env_name: for messages.
        time_limit: seconds that a reset or a step may take; None for any.
    """

    def __init__(self, blueprint: Blueprint, label: str, env_name: str, time_limit: float | None) -> None:
        self._blueprint = blueprint
        self._loop = kernel(loops.observe_live, label)
        self._observe: Callable[..., Any] | None = None
        self._env_name = env_name
        self._time_limit = time_limit

    def advance(
        self,
        world: LiveWorld,
        seed: int,
        target: int,
        agents: list[Agent],
        i: int,
        serve: Callable[[bool], None],
    ) -> None:
        """Step the environment of agents[i] until it has made `target` steps.

        Args:
            world: of that agent.
            seed: of the run.
            target: steps since the start.
            agents: of all seeds; a larger one takes an agent's place when it is full.
            i: which agent.
            serve: empties the log, or, given True, makes agents[i] larger.

        Raises:
            EnvironmentFault: the environment raised, hung or broke its contract.
        """
        encode, first_action = self._blueprint.encode, self._blueprint.first_action
        counts = agents[i].registers.counts
        observe = self._entry(agents[i])
        step: Callable[[Any], Any] = world.env.step
        where, looked_again = generators.places(world.env), False
        limit = TimeLimit(self._time_limit, lambda: (int(counts[STEP]), world.running))

        def served(answer: int, observation: Any, reward: Any) -> bool:
            """Do what a kernel came back for; True if the call is to be made again."""
            limit.paused = True
            full = answer == -loops.STORE_FULL
            if answer == -loops.BAD_REWARD:
                raise EnvironmentFault(f"its reward must be finite. Got {reward!r}")
            if answer == -loops.BAD_OBSERVATION:
                space = self._blueprint.observation_space
                raise EnvironmentFault(f"its observation must lie in {space}. Got {observation!r}")
            serve(full)
            limit.paused = False
            return full

        remaining = target - int(counts[STEP])
        code: Any = None
        try:
            with limit:
                while remaining > 0:
                    if not world.running:
                        if where:
                            world.kept = generators.read(world.env, where)
                        episode = int(episode_seed(seed, 0, counts[EPISODE]))
                        observation, _ = world.env.reset(seed=episode)
                        if not looked_again:  # some generators are made by the first reset
                            where, looked_again = generators.places(world.env), True
                        code = encode(observation)
                        action = observe(agents[i], True, code, 0.0, False, False)
                        while action < 0:
                            served(action, observation, 0.0)
                            action = observe(agents[i], True, code, 0.0, False, False)
                        world.actions, world.action, world.running = world.no_actions(), action, True
                    action, actions = world.action, world.actions
                    while remaining > 0:
                        observation, reward, terminated, truncated, _ = step(action + first_action)
                        code = encode(observation)
                        try:
                            chosen = observe(agents[i], False, code, reward + 0.0, terminated, truncated)
                        except TypeError as fault:
                            raise EnvironmentFault(f"its reward must be a number. Got {reward!r}") from fault
                        while chosen < 0:
                            if served(chosen, observation, reward):
                                chosen = observe(agents[i], False, code, reward + 0.0, terminated, truncated)
                            else:
                                chosen = 0
                        remaining -= 1
                        if terminated or truncated:
                            world.running = False
                            break
                        actions.append(action)
                        world.action = action = chosen
        except BaseException as fault:
            # perhaps in the middle of a step: what follows begins with a reset
            world.running = False
            if not isinstance(fault, Exception):
                raise
            said = (
                str(fault) if isinstance(fault, QfixError) else f"it raised {type(fault).__name__}: {fault}"
            )
            raise fault_at(self._env_name, seed, counts, said) from fault
        if code is not None:
            world.sight = _sight(code)

    def bring_back(self, world: LiveWorld, seed: int, episode: int) -> str | None:
        """Bring the environment to where its episode was; else say why it cannot be, and let it begin afresh.

        Args:
            world: what was unpacked.
            seed: of the run.
            episode: its number.

        Returns:
            None if the environment stands where it stood, else what happened.
        """
        env, actions, first_action = world.env, world.actions, self._blueprint.first_action
        made = 0
        world.running = False
        try:
            with TimeLimit(self._time_limit, lambda: made):
                start = int(episode_seed(seed, 0, episode))
                if world.kept and not generators.write(env, world.kept):
                    env.reset(seed=start)  # some are made by the first reset
                    if not generators.write(env, world.kept):
                        return "it has not the random generators that it had"
                observation, _ = env.reset(seed=start)
                for action in actions:
                    observation, _, terminated, truncated, _ = env.step(action + first_action)
                    made += 1
                    if terminated or truncated:
                        return f"it ended after {made} of its {len(actions)} actions"
                if _sight(self._blueprint.encode(observation)) != world.sight:
                    return f"its seed and its {len(actions)} actions led to another observation"
        except QfixError as fault:
            return str(fault)
        except Exception as fault:
            return f"it raised {type(fault).__name__}: {fault}"
        world.running = True
        return None

    def _entry(self, agent: Agent) -> Callable[..., Any]:
        """The compiled code, which all agents of a run share: they differ in nothing that a type says."""
        if self._observe is None:
            example = self._blueprint.example
            self._observe = entry(self._loop, agent, False, example, 0.0, False, False)
        return self._observe


def fault_at(env_name: str, seed: int, counts: np.ndarray, said: str) -> EnvironmentFault:
    """The house's sentence for an environment that failed."""
    where = f"seed {seed}, episode {int(counts[EPISODE])}, step {int(counts[STEP_IN_EPISODE])}"
    return EnvironmentFault(
        f"The environment '{env_name}' failed ({where}): {said.rstrip('.')}. What was learned until then "
        f"is kept; mend the environment, which reset(seed=...) and the same actions bring to that point again."
    )


def _sight(code: Any) -> bytes:
    """Digest of an encoded observation."""
    raw = code.tobytes() if isinstance(code, np.ndarray) else str(code).encode()
    return hashlib.blake2b(raw, digest_size=_SIGHT).digest()
