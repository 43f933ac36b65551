"""One episode as it is learned from, every step told: what was seen, done and paid, and the values before.

The loop makes the same calls as `kernel.tick`, so a traced episode leaves the learner as plain training does, to the
bit. A live environment is wrapped while it is traced, and stepped by what always steps it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from qfix.envs.live_world import LiveWorld
from qfix.mdp.simulate import step_model
from qfix.tabular._compile import kernel
from qfix.tabular.agent import STEP, Blueprint
from qfix.tabular.behaviour import WINDOW
from qfix.tabular.kernel import (
    FINE,
    STORE_FULL,
    Agent,
    enter_model,
    lacks_space,
    load,
    save,
    settle,
    with_status,
)
from qfix.tabular.store import value

ROOM = 4096  # steps that are traced in one call of the kernel
X = 1  # place of the running handle in Registers.counts


class TracedStep(NamedTuple):
    """A step as it was made and learned from."""

    number: int  # environment steps before it
    observation: Any
    action: int  # as the environment takes it
    reward: float
    next_observation: Any
    terminated: bool
    truncated: bool
    values: np.ndarray  # (A,) action values at the observation, before the step was learned from
    greedy: int  # the action of the highest value, the first of several
    explored: bool  # whether the action was random, or not of the highest value when it was chosen
    td_error: float  # of the last update made at this step; NaN where none was


class Track(NamedTuple):
    """Room for steps of an episode in a finite model."""

    state: np.ndarray  # (n,) int64
    a: np.ndarray  # (n,) int64
    reward: np.ndarray  # (n,) float64
    state_next: np.ndarray  # (n,) int64
    ended: np.ndarray  # (n, 2) bool: terminated, truncated
    values: np.ndarray  # (n, A) float64
    explored: np.ndarray  # (n,) bool
    error: np.ndarray  # (n,) float64
    place: np.ndarray  # (2,) int64: steps told; exploratory actions counted up to the last of them

    @classmethod
    def of(cls, n: int, n_actions: int, explored: int) -> Track:
        """An empty track of n steps."""
        whole, real = np.zeros(n, np.int64), np.zeros(n)
        flags = np.zeros(n, bool)
        return cls(
            whole,
            whole.copy(),
            real,
            whole.copy(),
            np.zeros((n, 2), bool),
            np.zeros((n, n_actions)),
            flags,
            real.copy(),
            np.array([0, explored]),
        )


def trace_model(model, limit, agent, track):
    """As `train_model`, until the episode ends, the track is full or something needs the driver."""
    lane = load(agent.registers)
    watch = agent.behaviour.watch
    ended = False
    while track.place[0] < track.state.shape[0] and lane.status == FINE and not ended:
        if lacks_space(agent):
            lane = with_status(lane, STORE_FULL)
        else:
            if lane.t == 0:
                lane = enter_model(model, agent, lane)
            n = track.place[0]
            track.state[n] = lane.state
            track.a[n] = lane.a
            for a in range(agent.store.weights.shape[1]):
                track.values[n, a] = value(agent.store, lane.x, a)
            track.explored[n] = watch.explored[0] > track.place[1]
            track.place[1] = watch.explored[0]
            outcome = step_model(model, lane.state, lane.a, lane.world)
            track.reward[n] = outcome[2]
            track.state_next[n] = outcome[1]
            track.ended[n, 0] = outcome[3]
            track.ended[n, 1] = lane.t + 1 >= limit
            ended = outcome[3] or lane.t + 1 >= limit
            # a step in which nothing is updated leaves the place of an older one as it is
            i = lane.step & (WINDOW - 1)
            q, rate, error = watch.updates[i, 0], watch.updates[i, 1], watch.updates[i, 2]
            watch.updates[i, 1] = np.nan
            lane = settle(agent, lane, limit, outcome)
            if np.isnan(watch.updates[i, 1]):
                watch.updates[i, 0], watch.updates[i, 1], watch.updates[i, 2] = q, rate, error
                track.error[n] = np.nan
            else:
                track.error[n] = watch.updates[i, 2]
            track.place[0] = n + 1
    save(agent.registers, lane)
    return ended


def trace_compiled(
    run: Callable[[Track], bool],
    agents: list[Agent],
    i: int,
    at_most: int,
    blueprint: Blueprint,
) -> list[TracedStep]:
    """Steps of an episode in a finite model, up to its end.

    Args:
        run: `trace_model`, given all but the track; does what it comes back for.
        agents: of all seeds; a larger one may take an agent's place.
        i: whose episode it is.
        at_most: steps, where the episode has not ended by then.
        blueprint: of the agents.
    """
    counts = agents[i].registers.counts
    begun = first = int(counts[STEP])
    told: list[TracedStep] = []
    ended, explored = False, int(agents[i].behaviour.watch.explored[0])
    while not ended and first < begun + at_most:
        track = Track.of(min(ROOM, begun + at_most - first), blueprint.n_actions, explored)
        ended = run(track)
        told += _steps_of(track, first, blueprint)
        first, explored = int(counts[STEP]), int(track.place[1])
    return told


def _steps_of(track: Track, first: int, blueprint: Blueprint) -> list[TracedStep]:
    """What a track tells, in the environment's own terms."""
    assert blueprint.codec is not None
    decode, first_action = blueprint.codec.decode, blueprint.first_action
    return [
        TracedStep(
            first + n,
            decode(int(track.state[n])),
            int(track.a[n]) + first_action,
            float(track.reward[n]),
            decode(int(track.state_next[n])),
            bool(track.ended[n, 0]),
            bool(track.ended[n, 1]),
            track.values[n].copy(),
            int(track.values[n].argmax()) + first_action,
            bool(track.explored[n]),
            float(track.error[n]),
        )
        for n in range(int(track.place[0]))
    ]


def trace_live(
    advance: Callable[[int], None],
    world: LiveWorld,
    agents: list[Agent],
    i: int,
    at_most: int,
    blueprint: Blueprint,
) -> list[TracedStep]:
    """As `trace_compiled`, in a live environment.

    Args:
        advance: trains agents[i] until it has made so many steps.
        world: its environment.
        agents, i, at_most, blueprint: as there.
    """
    counts = agents[i].registers.counts
    begun = int(counts[STEP])
    env = world.env
    world.env = witness = Witness(env, agents, i, blueprint)
    try:
        for target in range(begun + 1, begun + at_most + 1):
            advance(target)
            if not world.running:
                break
        witness.settle()
    finally:
        world.env = env
        # the places of generators were counted with the witness in front
        world.kept = [
            kept._replace(place=kept.place._replace(layer=kept.place.layer - 1)) for kept in world.kept
        ]
    return witness.steps


def read_values(store, x, out):
    """Write the action values at handle x."""
    for a in range(store.weights.shape[1]):
        out[a] = value(store, x, a)


class Witness(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A live environment that notes its steps, and what the learner knows when it makes them.

    Args:
        env: the environment.
        agents: of all seeds; a larger one may take an agent's place.
        i: whose environment it is.
        blueprint: of the agents.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], agents: list[Agent], i: int, blueprint: Blueprint
    ) -> None:
        super().__init__(env)
        self.steps: list[TracedStep] = []
        self._agents, self._i = agents, i
        self._first_action = blueprint.first_action
        self._read: Callable[..., Any] = kernel(read_values, f"trace_{blueprint.store}")
        self._explored = int(agents[i].behaviour.watch.explored[0])
        self._seen: Any = None
        self._covered: tuple[int, np.ndarray] | None = None  # a place among the updates, and what stood there

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Note what the episode begins with."""
        observation, info = self.env.reset(**options)
        self._seen = copy.deepcopy(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Note the step; what the learner makes of it is noted when the next one comes."""
        self.settle()
        agent = self._agents[self._i]
        watch, number = agent.behaviour.watch, int(agent.registers.counts[STEP])
        values = np.empty(agent.store.weights.shape[1])
        self._read(agent.store, int(agent.registers.counts[X]), values)
        explored, self._explored = watch.explored[0] > self._explored, int(watch.explored[0])
        observation, reward, terminated, truncated, info = self.env.step(action)
        before, self._seen = self._seen, copy.deepcopy(observation)
        self.steps.append(
            TracedStep(
                number,
                before,
                int(action),
                reward,  # type: ignore[arg-type]  # what is no number is refused when it is learned from
                self._seen,
                bool(terminated),
                bool(truncated),
                values,
                int(values.argmax()) + self._first_action,
                bool(explored),
                np.nan,
            )
        )
        place = number % WINDOW
        self._covered = place, watch.updates[place].copy()
        watch.updates[place, 1] = np.nan
        return observation, reward, terminated, truncated, info

    def settle(self) -> None:
        """The last step has been learned from: note its error."""
        if self._covered is None:
            return
        place, before = self._covered
        updates = self._agents[self._i].behaviour.watch.updates
        last = self.steps[-1]._replace(reward=float(self.steps[-1].reward))
        if np.isnan(updates[place, 1]):
            updates[place] = before
        else:
            last = last._replace(td_error=float(updates[place, 2]))
        self.steps[-1] = last
        self._covered = None
