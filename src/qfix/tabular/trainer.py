"""Table learners as `experiment` drives them: explicit state, exactly as many steps as asked for.

Seeds are independent: each has its agent, its streams and, live, its environment. In a finite model two seeds
share a loop and the machine's other cores take the other pairs; neither changes a bit of any result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from qfix.errors import EnvironmentFault, QfixError, option_error
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import episode_seed, transition_table
from qfix.tabular import kernel as loops
from qfix.tabular import measure
from qfix.tabular._compile import entry, foreign_source, kernel
from qfix.tabular.agent import (
    EPISODE,
    LOGGED,
    MARK,
    STATUS,
    STEP,
    STEP_IN_EPISODE,
    Blueprint,
    leaves,
    with_leaves,
)
from qfix.tabular.config import TabularConfig
from qfix.tabular.kernel import Agent
from qfix.tabular.policy import BehaviourPolicy, TablePolicy

# steps that suit a first look: a fraction of a second compiled, some seconds live
_FIRST_LOOK = {"compiled": 1_000_000, "live": 200_000}


class Snapshot(NamedTuple):
    """Values of the first seed as they were when it finished an episode."""

    episode: int
    step: int
    action_values: np.ndarray


class Records(NamedTuple):
    """What happened during an advance."""

    returns: list[list[np.ndarray]]  # of the episodes that ended, a list of pieces for each seed
    lengths: list[list[np.ndarray]]
    snapshots: list[Snapshot]


@dataclass
class LiveWorld:
    """An environment in the middle of an episode, which is known by its seed and the actions taken since."""

    env: gymnasium.Env[Any, Any]
    actions: list[int]
    running: bool = False  # False: the next thing to do is reset
    action: int = 0  # the next to be taken


@dataclass
class State:
    """Everything that changes. `advance` works on the arrays in place: a state that was advanced is spent."""

    agents: list[Agent]
    histories: list[int]
    worlds: list[LiveWorld]
    failures: dict[int, str] = field(default_factory=dict)
    """What ended a seed's training, by its place among the seeds."""
    notes: list[str] = field(default_factory=list)
    """What was restored, and what could not be."""


class TabularTrainer:
    """Trains a table learner on an environment.

    Args:
        config: of one of the algorithms in this folder.
        env: gives the spaces.
        make_env: makes another such environment; called once a seed where stepping is live.
        model: the environment's model if it has one; needed to step compiled.
        seeds: of the runs.
        driver: "compiled" (the whole training in one kernel), "live", or "auto": compiled where there is a
            model.
        snapshot_episodes: keep a copy of the first seed's values when it has finished these episodes.
        features: (S, K) linear features of discrete observations, in place of a table.
        total_steps: the budget of a seed, over which default schedules are laid; None for a first look.

    Raises:
        SpaceError: the spaces do not fit a table learner.
        OptionError: the options do not fit the spaces.
    """

    def __init__(
        self,
        config: TabularConfig,
        env: gymnasium.Env[Any, Any],
        make_env: Callable[[], gymnasium.Env[Any, Any]],
        model: FiniteMDP | None,
        seeds: Sequence[int],
        driver: str = "auto",
        snapshot_episodes: Iterable[int] = (),
        features: np.ndarray | None = None,
        total_steps: int | None = None,
    ) -> None:
        if driver not in ("auto", "compiled", "live"):
            rule = "must be one of auto, compiled, live"
            raise option_error("train", "driver", rule, driver, "Use driver='auto'.")
        if driver == "compiled" and model is None:
            rule = "can be 'compiled' only where the environment has a table of transitions"
            raise option_error("train", "driver", rule, driver, "Use driver='live'.")
        self.seeds = tuple(seeds)
        self.driver = ("live" if model is None else "compiled") if driver == "auto" else driver
        self.total_steps = int(total_steps or _FIRST_LOOK[self.driver])
        self.blueprint = Blueprint(
            config, env.observation_space, env.action_space, model, features, self.total_steps
        )
        self.config = self.blueprint.config
        self._make_env = make_env
        self._env_name = env.spec.id if env.spec is not None else str(env)
        self._snapshot_episodes = np.array(sorted(set(snapshot_episodes)), np.int64)
        self._label = f"{config.owner}_{self.blueprint.store}{foreign_source(type(config))}"
        self._table = None
        if self.driver == "compiled":
            assert model is not None
            self._table = transition_table(model)
            self._limit = model.max_episode_steps or np.iinfo(np.int64).max

    # What experiment asks for

    def start(self) -> State:
        """Every seed before its first step."""
        agents = [self.blueprint.agent(seed) for seed in self.seeds]
        self._set_mark(agents[0])
        return State(agents, [self.config.history] * len(agents), self._worlds())

    def advance(self, state: State, steps: int) -> tuple[State, Records]:
        """Exactly `steps` more environment steps of every seed.

        Raises:
            EnvironmentFault: an environment raised or broke its contract. The state stays readable: it holds
                what was learned up to the step before, and `records` of the fault the episodes of this call.
        """
        records = Records([[] for _ in self.seeds], [[] for _ in self.seeds], [])
        targets = [int(agent.registers.counts[STEP]) + steps for agent in state.agents]
        try:
            if self.driver == "compiled":
                self._advance_compiled(state, targets, records)
            else:
                for i, target in enumerate(targets):
                    self._advance_live(state, i, target, records)
        except EnvironmentFault as fault:
            fault.records = records
            raise
        finally:
            for i in range(len(self.seeds)):
                self._empty_log(state, i, records)
        return state, records

    def pack(self, state: State) -> dict[str, np.ndarray]:
        """All of a state as named arrays; copies."""
        arrays: dict[str, np.ndarray] = {}
        for i, agent in enumerate(state.agents):
            # the log is empty between two calls
            arrays |= {f"{i}.{name}": array.copy() for name, array in leaves(agent._replace(log=None))}
            arrays[f"{i}.history"] = np.array([state.histories[i]])
        for i, world in enumerate(state.worlds):
            arrays[f"{i}.world.actions"] = np.array(world.actions, np.int64)
            arrays[f"{i}.world.running"] = np.array([world.running])
            arrays[f"{i}.world.action"] = np.array([world.action])
        return arrays

    def unpack(self, arrays: dict[str, np.ndarray]) -> State:
        """The state that `pack` saw. A live environment is brought back by its episode's seed and actions.

        Raises:
            OptionError: an array is missing or is not like this trainer's.
            EnvironmentFault: the replayed episode ended early: the environment does not repeat itself.
        """
        state = State([], [], self._worlds())
        for i, world in enumerate(state.worlds):
            for name in ("running", "actions", "action"):
                if f"{i}.world.{name}" not in arrays:
                    rule = "must be there as this run has it"
                    remedy = "Use the state of a run like this one."
                    raise option_error("unpack", f"{i}.world.{name}", rule, "none", remedy)
            world.running = bool(arrays[f"{i}.world.running"][0])
            world.actions = arrays[f"{i}.world.actions"].tolist()
            world.action = int(arrays[f"{i}.world.action"][0])
        for i, seed in enumerate(self.seeds):
            weights, history = arrays.get(f"{i}.store.weights"), arrays.get(f"{i}.history")
            n_rows = len(weights) if self.blueprint.store == "sparse" and weights is not None else None
            state.histories.append(self.config.history if history is None else int(history[0]))
            like = self.blueprint.agent(seed, n_rows, state.histories[i])
            kept = with_leaves(like._replace(log=None), arrays, f"{i}.")
            state.agents.append(kept._replace(log=like.log))
        for i, world in enumerate(state.worlds):
            if world.running:
                self._replay(world, self.seeds[i], int(state.agents[i].registers.counts[EPISODE]))
        return state

    def policy(self, state: State, seed: int = 0) -> TablePolicy:
        """The greedy policy of one seed, by its place among them; further training leaves it alone."""
        return TablePolicy.of(self.blueprint, state.agents[seed].store)

    def action_values(self, state: State, seed: int = 0) -> np.ndarray:
        """(S, A) values where states are numbered and fit in a table, else the weights, (rows, A); a copy."""
        return self.blueprint.action_values(state.agents[seed].store)

    def behaviour(self, state: State, seed: int = 0) -> BehaviourPolicy:
        """How one seed acts while it learns, at this moment; further training leaves it alone."""
        return BehaviourPolicy.of(self.blueprint, state.agents[seed])

    metric_names = measure.NAMES

    def measure(self, state: State) -> np.ndarray:
        """(metrics, seeds) values of `metric_names` now; begins a new count of exploratory actions."""
        rows = [measure.measured(agent, self.blueprint) for agent in state.agents]
        return np.array(rows).T

    def steps_done(self, state: State) -> list[int]:
        """Environment steps of each seed so far."""
        return [int(agent.registers.counts[STEP]) for agent in state.agents]

    # Stepping a model

    def _advance_compiled(self, state: State, targets: Sequence[int], records: Records) -> None:
        n = len(self.seeds)
        cores = _usable_cores()
        size = 1 if n <= cores else 2
        groups = [range(i, min(i + size, n)) for i in range(0, n, size)]

        def run(group: range) -> None:
            self._run_group(state, list(group), targets[group[0]], records)

        if len(groups) == 1:
            run(groups[0])
            return
        with ThreadPoolExecutor(min(len(groups), cores)) as pool:
            for _ in pool.map(run, groups):
                pass

    def _run_group(self, state: State, group: list[int], target: int, records: Records) -> None:
        """Bring one seed, or two in one loop, to the target step."""
        single = kernel(loops.train_model, self._label)

        def stand(i: int) -> int:
            return int(state.agents[i].registers.counts[STEP])

        def bring(i: int, goal: int) -> None:
            while stand(i) < goal:
                single(self._table, self._limit, state.agents[i], goal)
                self._serve(state, i, records)

        if len(group) == 2:
            pair = kernel(loops.train_model_pair, self._label)
            one, two = group
            while stand(one) < target:
                pair(self._table, self._limit, state.agents[one], state.agents[two], target)
                for i in group:
                    self._serve(state, i, records)
                ahead = max(stand(one), stand(two))
                for i in group:
                    bring(i, ahead)
        else:
            bring(group[0], target)

    def _serve(self, state: State, i: int, records: Records) -> None:
        """Do what a kernel came back for."""
        self._empty_log(state, i, records)
        counts = state.agents[i].registers.counts
        if counts[STATUS] == loops.STORE_FULL:
            try:
                self._grow(state, i)
            except EnvironmentFault as fault:
                raise self._fault(self.seeds[i], counts, str(fault)) from fault
        else:
            self._take_snapshot(state, i, records)

    def _worlds(self) -> list[LiveWorld]:
        return [LiveWorld(self._make_env(), []) for _ in self.seeds] if self.driver == "live" else []

    def _grow(self, state: State, i: int) -> None:
        agent, seed = state.agents[i], self.seeds[i]
        state.agents[i], state.histories[i] = self.blueprint.grown(agent, seed, state.histories[i])

    def _empty_log(self, state: State, i: int, records: Records) -> None:
        agent = state.agents[i]
        logged = int(agent.registers.counts[LOGGED])
        if logged:
            records.returns[i].append(agent.log.returns[:logged].copy())
            records.lengths[i].append(agent.log.lengths[:logged].copy())
            agent.registers.counts[LOGGED] = 0

    def _take_snapshot(self, state: State, i: int, records: Records) -> None:
        """Keep the values if a seed has come to the mark."""
        counts = state.agents[i].registers.counts
        if counts[EPISODE] == counts[MARK]:
            snapshot = Snapshot(int(counts[EPISODE]), int(counts[STEP]), self.action_values(state, i))
            records.snapshots.append(snapshot)
            self._set_mark(state.agents[i])

    def _set_mark(self, agent: Agent) -> None:
        counts = agent.registers.counts
        due = self._snapshot_episodes[self._snapshot_episodes > counts[EPISODE]]
        counts[MARK] = due[0] if len(due) else -1

    # Stepping a live environment

    def _advance_live(self, state: State, i: int, target: int, records: Records) -> None:
        world, seed = state.worlds[i], self.seeds[i]
        encode = self.blueprint.encode
        loop = kernel(loops.observe_live, self._label)
        observe = entry(loop, state.agents[i], False, self.blueprint.example, 0.0, False, False)
        first_action = self.blueprint.first_action
        counts = state.agents[i].registers.counts
        step: Callable[[Any], Any] = world.env.step
        remaining = target - int(counts[STEP])
        try:
            while remaining > 0:
                if not world.running:
                    observation, _ = world.env.reset(seed=int(episode_seed(seed, 0, counts[EPISODE])))
                    code = encode(observation)
                    action = observe(state.agents[i], True, code, 0.0, False, False)
                    while action < 0:
                        self._serve_live(state, i, records, action, observation, 0.0)
                        action = observe(state.agents[i], True, code, 0.0, False, False)
                    counts = state.agents[i].registers.counts
                    world.actions, world.action, world.running = [], action, True
                action, actions = world.action, world.actions
                while remaining > 0:
                    observation, reward, terminated, truncated, _ = step(action + first_action)
                    code = encode(observation)
                    try:
                        chosen = observe(state.agents[i], False, code, reward + 0.0, terminated, truncated)
                    except TypeError as fault:
                        raise EnvironmentFault(f"its reward must be a number. Got {reward!r}") from fault
                    while chosen < 0:
                        if self._serve_live(state, i, records, chosen, observation, reward):
                            chosen = observe(
                                state.agents[i], False, code, reward + 0.0, terminated, truncated
                            )
                        else:
                            chosen = 0
                    remaining -= 1
                    if terminated or truncated:
                        world.running = False
                        break
                    actions.append(action)
                    world.action = action = chosen
        except QfixError as fault:
            world.running = False
            raise self._fault(seed, counts, str(fault)) from fault
        except Exception as fault:
            said = f"it raised {type(fault).__name__}: {fault}"
            world.running = False
            raise self._fault(seed, counts, said) from fault

    def _serve_live(
        self, state: State, i: int, records: Records, answer: int, observation: Any, reward: Any
    ) -> bool:
        """Do what a kernel came back for; True if the call is to be made again."""
        if answer == -loops.STORE_FULL:
            self._grow(state, i)
            return True
        if answer == -loops.BAD_REWARD:
            raise EnvironmentFault(f"its reward must be finite. Got {reward!r}")
        if answer == -loops.BAD_OBSERVATION:
            space = self.blueprint.observation_space
            raise EnvironmentFault(f"its observation must lie in {space}. Got {observation!r}")
        self._empty_log(state, i, records)
        self._take_snapshot(state, i, records)
        return False

    def _fault(self, seed: int, counts: np.ndarray, said: str) -> EnvironmentFault:
        where = f"seed {seed}, episode {int(counts[EPISODE])}, step {int(counts[STEP_IN_EPISODE])}"
        return EnvironmentFault(
            f"The environment '{self._env_name}' failed ({where}): {said.rstrip('.')}. What was learned until then "
            f"is kept; mend the environment, which reset(seed=...) and the same actions bring to that point again."
        )

    def _replay(self, world: LiveWorld, seed: int, episode: int) -> None:
        world.env.reset(seed=int(episode_seed(seed, 0, episode)))
        for action in world.actions:
            _, _, terminated, truncated, _ = world.env.step(action + self.blueprint.first_action)
            if terminated or truncated:
                raise EnvironmentFault(
                    f"Episode {episode} of seed {seed} ended while its actions were replayed: '{self._env_name}' does "
                    f"not repeat itself after reset(seed=...)."
                )


def _usable_cores() -> int:
    """Cores this process may run on: fewer than the machine has where it is pinned."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
