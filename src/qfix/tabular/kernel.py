"""The loop: one transition learned from and one action chosen, whoever makes the transitions.

`train_model` steps a finite model inside the loop; `observe_live` is called by whoever steps a live
environment. Both go through `experience`, so the learning law is the same code.

Order of events: an algorithm that learns about the next action (SARSA) has it chosen before it learns; the
others learn first and the next action is chosen from the new values, as in the textbooks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qfix.mdp.inline import inlined
from qfix.mdp.simulate import draw_start, episode_seed, next_bits, step_model, uniform
from qfix.tabular._compile import by_class
from qfix.tabular.behaviour import Behaviour, Clock, act, next_tick
from qfix.tabular.store import OUTSIDE, encode, encode_state, is_full

# What a call came back with
FINE = 0
LOG_FULL = 1  # the episode log must be emptied
STORE_FULL = 2  # the store, or the algorithm's memory, must grow
MARK_REACHED = 3  # the episode count at which to stop
BAD_REWARD = 4  # NaN or infinite
BAD_OBSERVATION = 5  # outside its space


class Transition(NamedTuple):
    """What a learner is given. Handles stand for observations."""

    x: int
    a: int
    reward: float
    discount: float  # gamma * (1 - terminated)
    x_next: int  # of the step's own next observation: the final one where the episode was truncated
    a_next: int  # the action chosen there, for those who learn about it; 0 for the others
    ended: bool  # terminated or truncated: what comes next belongs to another episode


class Log(NamedTuple):
    """Finished episodes since the driver last looked."""

    returns: np.ndarray  # (capacity,) float64
    lengths: np.ndarray  # (capacity,) int64


class Registers(NamedTuple):
    """Where a seed stands between calls."""

    counts: np.ndarray  # (9,) int64: state, x, a, step, step in episode, episode, logged, mark, status
    sums: np.ndarray  # (1,) float64: return of the running episode
    streams: np.ndarray  # (3,) uint64: of the learner, of the environment; the seed of the run


class Agent(NamedTuple):
    """All of one seed: everything that changes while it learns, and the constants beside it."""

    memory: Any  # the algorithm's own NamedTuple; its class is the algorithm
    store: Any  # Dense, Sparse or Linear
    behaviour: Behaviour
    alpha: np.ndarray  # encoded schedule
    gamma: float
    registers: Registers
    log: Any  # Log; None where a state is packed, between two calls, when it is empty


class Lane(NamedTuple):
    """The registers while a kernel runs."""

    state: int
    x: int
    a: int
    step: int
    t: int
    episode: int
    logged: int
    total: float
    learner: int
    world: int
    status: int


# What an algorithm is made of


@by_class
def acts_before_learning(self):
    """Whether the next action must be known to learn."""
    return False


@by_class
def start_episode(self, store, x, a):
    """Forget what belongs to the last episode."""
    return


@by_class
def learn(self, store, behaviour, alpha, t, clock, stream):
    """Learn from a transition; returns the learner's random stream, drawn from as needed."""
    return stream


@by_class
def lacks_room(self):
    """Whether the next transition may find no room in the memory."""
    return False


@inlined
def load(registers):
    """Registers into locals."""
    c = registers.counts
    s = registers.streams
    return Lane(c[0], c[1], c[2], c[3], c[4], c[5], c[6], registers.sums[0], s[0], s[1], FINE)


@inlined
def save(registers, lane):
    """Locals into registers."""
    c = registers.counts
    c[0] = lane.state
    c[1] = lane.x
    c[2] = lane.a
    c[3] = lane.step
    c[4] = lane.t
    c[5] = lane.episode
    c[6] = lane.logged
    c[8] = lane.status
    registers.sums[0] = lane.total
    registers.streams[0] = lane.learner
    registers.streams[1] = lane.world


@inlined
def experience(agent, lane, state, world, x, reward, terminated, truncated):
    """One step has been made: learn from it, note it, choose the next action unless the episode ended.

    Args:
        state, world: of the model after the step; 0 where the environment is live.
        x: handle of the step's own next observation.
    """
    store = agent.store
    clock = Clock(lane.step, lane.episode, lane.t)
    later = next_tick(clock)
    ended = terminated or truncated
    a = 0
    learner = lane.learner
    if acts_before_learning(agent.memory):
        a, learner = act(agent.behaviour, store, x, later, learner)
    discount = 0.0 if terminated else agent.gamma
    transition = Transition(lane.x, lane.a, reward, discount, x, a, ended)
    learner = learn(agent.memory, store, agent.behaviour, agent.alpha, transition, clock, learner)
    total = lane.total + reward
    step = lane.step + 1
    if ended:
        agent.log.returns[np.uint64(lane.logged)] = total
        agent.log.lengths[np.uint64(lane.logged)] = lane.t + 1
        status = LOG_FULL if lane.logged + 1 >= agent.log.returns.shape[0] else FINE
        if lane.episode + 1 == agent.registers.counts[7]:
            status = MARK_REACHED
        return Lane(state, x, 0, step, 0, lane.episode + 1, lane.logged + 1, 0.0, learner, world, status)
    if not acts_before_learning(agent.memory):
        a, learner = act(agent.behaviour, store, x, later, learner)
    return Lane(state, x, a, step, lane.t + 1, lane.episode, lane.logged, total, learner, world, FINE)


@inlined
def enter(agent, lane, state, world, x):
    """An episode starts at handle x: choose its first action."""
    a, learner = act(agent.behaviour, agent.store, x, Clock(lane.step, lane.episode, 0), lane.learner)
    start_episode(agent.memory, agent.store, x, a)
    return Lane(state, x, a, lane.step, 0, lane.episode, lane.logged, 0.0, learner, world, lane.status)


@inlined
def enter_model(model, agent, lane):
    """Start the next episode of a finite model: its randomness is a function of run seed and episode."""
    world = episode_seed(agent.registers.streams[2], 0, lane.episode)
    world, bits = next_bits(world)
    state = draw_start(model, uniform(bits))
    return enter(agent, lane, state, world, encode_state(agent.store, state))


@inlined
def lacks_space(agent):
    """Whether the agent must grow before its next step."""
    return is_full(agent.store) or lacks_room(agent.memory)


@inlined
def settle(agent, lane, limit, outcome):
    """A step of a finite model has been made: what `step_model` said becomes experience."""
    world, state, reward, terminated = outcome
    x = encode_state(agent.store, state)
    return experience(agent, lane, state, world, x, reward, terminated, lane.t + 1 >= limit)


@inlined
def tick(model, limit, agent, lane):
    """One step of a finite model; before the first of an episode, its start. `trace.trace_model` does the same."""
    if lacks_space(agent):
        return with_status(lane, STORE_FULL)
    if lane.t == 0:
        lane = enter_model(model, agent, lane)
    return settle(agent, lane, limit, step_model(model, lane.state, lane.a, lane.world))


@inlined
def with_status(lane, status):
    """The same lane, flagged."""
    return Lane(
        lane.state,
        lane.x,
        lane.a,
        lane.step,
        lane.t,
        lane.episode,
        lane.logged,
        lane.total,
        lane.learner,
        lane.world,
        status,
    )


def train_model(model, limit, agent, target_step):
    """Step a finite model until a seed has made `target_step` steps or something needs the driver."""
    lane = load(agent.registers)
    while lane.step < target_step and lane.status == FINE:
        lane = tick(model, limit, agent, lane)
    save(agent.registers, lane)
    return lane.status


def train_model_pair(model, limit, first, second, target_step):
    """As `train_model` for two seeds in turn: one's arithmetic fills the time the other waits for memory.

    They must stand at the same step. When one needs the driver both stop, perhaps one step apart: the driver
    brings each to the target by `train_model`.
    """
    one = load(first.registers)
    two = load(second.registers)
    while one.step < target_step and one.status == FINE and two.status == FINE:
        one = tick(model, limit, first, one)
        two = tick(model, limit, second, two)
    save(first.registers, one)
    save(second.registers, two)


def observe_live(agent, begins, observation, reward, terminated, truncated):
    """A live environment was reset or stepped: the next action, or minus a status the driver must deal with.

    After STORE_FULL, BAD_REWARD and BAD_OBSERVATION nothing has been learned from the step.

    Args:
        begins: whether the observation comes from a reset; what follows it is then not looked at.
    """
    if lacks_space(agent):
        return -STORE_FULL
    if not (begins or np.isfinite(reward)):
        return -BAD_REWARD
    x = encode(agent.store, observation)
    if x == OUTSIDE:
        return -BAD_OBSERVATION
    lane = load(agent.registers)
    if begins:
        lane = enter(agent, lane, 0, np.uint64(0), x)
    else:
        rewards = agent.behaviour.watch.rewards
        rewards[0] = min(rewards[0], reward)
        rewards[1] = max(rewards[1], reward)
        lane = experience(agent, lane, 0, np.uint64(0), x, reward, terminated, truncated)
    save(agent.registers, lane)
    return -lane.status if lane.status != FINE else lane.a
