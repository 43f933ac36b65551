"""Live environments: stepped from outside the kernels.

What brings one back to the middle of an episode is `envs/live_world.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qfix.envs.live_world import LiveWorld, digest, fault_at
from qfix.envs.time_limit import TimeLimit
from qfix.errors import EnvironmentFault, QfixError
from qfix.mdp.simulate import episode_seed
from qfix.tabular import kernel as loops
from qfix.tabular._compile import entry, kernel
from qfix.tabular.agent import EPISODE, STEP, STEP_IN_EPISODE, Blueprint
from qfix.tabular.kernel import Agent


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
        world.look()
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
                        observation, _ = world.begin(int(episode_seed(seed, 0, counts[EPISODE])))
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
            raise fault_at(self._env_name, standing(seed, counts), said) from fault
        if code is not None:
            world.sight = digest(code)

    def bring_back(self, world: LiveWorld, seed: int, episode: int) -> str | None:
        """Bring the environment to where its episode was; else say why it cannot be, and let it begin afresh.

        Args:
            world: what was unpacked.
            seed: of the run.
            episode: its number.

        Returns:
            None if the environment stands where it stood, else what happened.
        """
        blueprint = self._blueprint
        return world.bring_back(
            int(episode_seed(seed, 0, episode)),
            blueprint.first_action,
            lambda observation: digest(blueprint.encode(observation)),
            self._time_limit,
        )

    def _entry(self, agent: Agent) -> Callable[..., Any]:
        """The compiled code, which all agents of a run share: they differ in nothing that a type says."""
        if self._observe is None:
            example = self._blueprint.example
            self._observe = entry(self._loop, agent, False, example, 0.0, False, False)
        return self._observe


def standing(seed: int, counts: np.ndarray) -> str:
    """Where an agent's episode stands, in words."""
    return f"seed {seed}, episode {int(counts[EPISODE])}, step {int(counts[STEP_IN_EPISODE])}"
