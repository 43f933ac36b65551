"""Table learners as `experiment` drives them: explicit state, exactly as many steps as asked for.

Seeds are independent: each has its agent, its streams and, live, its environment. In a finite model two seeds
share a loop and the machine's other cores take the other pairs; neither changes a bit of any result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from qfix.envs.live_world import LiveWorld, fault_at
from qfix.envs.time_limit import check_step_time_limit
from qfix.errors import EnvironmentFault, option_error
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import transition_table
from qfix.runs.arrays import as_bytes, require, text_of
from qfix.runs.history import Records, Snapshot, settle_faults
from qfix.runs.threads import share_out, usable_cores
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
from qfix.tabular.check import check_agent, check_sizes
from qfix.tabular.config import TabularConfig
from qfix.tabular.kernel import Agent
from qfix.tabular.live import LiveStepping, standing
from qfix.tabular.policy import BehaviourPolicy, TablePolicy
from qfix.tabular.trace import TracedStep, Track, trace_compiled, trace_live, trace_model

# steps that suit a first look: a fraction of a second compiled, some seconds live
_FIRST_LOOK = {"compiled": 1_000_000, "live": 200_000}


@dataclass
class State:
    """Everything that changes. `advance` works on the arrays in place: a state that was advanced is spent."""

    agents: list[Agent]
    histories: list[int]
    worlds: list[LiveWorld]
    failures: dict[int, str] = field(default_factory=dict)
    """Why a seed's environment failed, by its place among the seeds; none where it did not."""
    notes: list[str] = field(default_factory=list)
    """What unpacking brought back of live environments, and what it could not."""


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
        step_time_limit: seconds that a reset or a step of a live environment may take before it counts as hung;
            None for any. Kept in the main thread only, and where nobody else has set the system's timer.

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
        step_time_limit: float | None = 60.0,
    ) -> None:
        if driver not in ("auto", "compiled", "live"):
            rule = "must be one of auto, compiled, live"
            raise option_error("train", "driver", rule, driver, "Use driver='auto'.")
        if driver == "compiled" and model is None:
            rule = "can be 'compiled' only where the environment has a table of transitions"
            raise option_error("train", "driver", rule, driver, "Use driver='live'.")
        check_step_time_limit(step_time_limit)
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
        self._entries: dict[Callable[..., Any], Callable[..., Any]] = {}  # compiled code of each loop
        self._table = None
        if self.driver == "live":
            self._live = LiveStepping(self.blueprint, self._label, self._env_name, step_time_limit)
        if self.driver == "compiled":
            assert model is not None
            self._table = transition_table(model)
            self._limit = model.max_episode_steps or np.iinfo(np.int64).max

    # What experiment asks for

    unit_steps = 1  # steps of a seed that are made at once

    def start(self) -> State:
        """Every seed before its first step."""
        agents = [self.blueprint.agent(seed) for seed in self.seeds]
        self._set_mark(agents[0])
        return State(agents, [self.config.history] * len(agents), self._worlds())

    def advance(self, state: State, steps: int) -> tuple[State, Records]:
        """Exactly `steps` more environment steps of every seed.

        A seed whose environment fails stops there, `state.failures` and `Records.failures` say why, and the others
        go on; it is stepped again once its failure is removed.

        Raises:
            EnvironmentFault: every seed has failed, this time or before; a later call tries them all again, and
                brings those that failed earlier to where the last one stood, so that none gets more than its budget.
                The state stays readable: it holds what was learned up to the step before, and `records` of the fault
                the episodes of this call.
        """
        seeds = range(len(self.seeds))
        made = self.steps_done(state)
        if len(state.failures) == len(seeds):
            state.failures = {}
            made = [max(made)] * len(seeds)
        active = [i for i in seeds if i not in state.failures]
        records = Records([[] for _ in seeds], [[] for _ in seeds], [], {})
        faults: dict[int, EnvironmentFault] = {}
        targets = {i: made[i] + steps for i in active}
        try:
            if self.driver == "compiled":
                self._advance_compiled(state, targets, records, faults)
            else:
                for i, target in targets.items():
                    try:
                        self._advance_live(state, i, target, records)
                    except EnvironmentFault as fault:
                        faults[i] = fault
        finally:
            for i in active:
                self._empty_log(state, i, records)
        settle_faults(state.failures, records, faults)
        return state, records

    def pack(self, state: State) -> dict[str, np.ndarray]:
        """All of a state as named arrays; copies."""
        arrays: dict[str, np.ndarray] = {}
        for i, agent in enumerate(state.agents):
            # the log is empty between two calls
            arrays |= {f"{i}.{name}": array.copy() for name, array in leaves(agent._replace(log=None))}
            arrays[f"{i}.history"] = np.array([state.histories[i]])
            arrays[f"{i}.failure"] = as_bytes(state.failures.get(i, ""))
        for i, world in enumerate(state.worlds):
            arrays |= world.pack(f"{i}.world.")
        return arrays

    def unpack(self, arrays: dict[str, np.ndarray], given_away: bool = False) -> State:
        """The state that `pack` saw, whoever made the arrays.

        A live environment is brought back by its episode's seed and actions. Where that does not lead to where it
        was, it begins the episode afresh; `notes` of the state say what was brought back and what was not.

        Args:
            arrays: by their names.
            given_away: nobody else uses the arrays any more, so those that can be written to become the state's own;
                by default they are copied.

        Raises:
            OptionError: an array is missing, is none of a state, is not like this trainer's, or holds what no
                training leads to.
        """
        state = State([], [], self._worlds())
        known = set()
        for i, seed in enumerate(self.seeds):
            n_rows, history = check_sizes(self.blueprint, arrays, f"{i}.")
            own = self.blueprint.agent(seed, n_rows, history, blank=True)
            kept = with_leaves(own._replace(log=None), arrays, f"{i}.", given_away)
            check_agent(kept, own, self.blueprint, f"{i}.")
            state.agents.append(kept._replace(log=own.log))
            state.histories.append(history)
            if said := text_of(f"{i}.failure", arrays.get(f"{i}.failure")):
                state.failures[i] = said
            known |= {f"{i}.{name}" for name, _ in leaves(kept)} | {f"{i}.history", f"{i}.failure"}
        for i, world in enumerate(state.worlds):
            counts = state.agents[i].registers.counts
            world.unpack(arrays, f"{i}.world.", int(counts[STEP_IN_EPISODE]))
            known |= world.pack(f"{i}.world.").keys()
        for name in arrays:
            require(name in known, name, "is of no array that this run has", name)
        self._bring_back(state)
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

    @staticmethod
    def learned_reward(reward: float) -> float:
        """A reward as it is learned from: itself."""
        return reward

    metric_names = measure.NAMES
    learns_values = True
    counts_visits = True
    kept = "values, visits, schedules and random streams"
    remembers = False
    has_masks = False
    computed_with = ()
    value_scale = 1.0
    about: tuple[str, ...] = ()

    @staticmethod
    def cautions(total_steps: int) -> list[str]:
        """What deserves a warning before so many steps of a seed are made: nothing."""
        return []

    def measure(self, state: State) -> np.ndarray:
        """(metrics, seeds) values of `metric_names` now; begins a new count of exploratory actions."""
        rows = [measure.measured(agent, self.blueprint) for agent in state.agents]
        return np.array(rows).T

    def steps_done(self, state: State) -> list[int]:
        """Environment steps of each seed so far."""
        return [int(agent.registers.counts[STEP]) for agent in state.agents]

    def trace(self, state: State, at_most: int, seed: int = 0) -> list[TracedStep]:
        """The next episode of one seed, made as `advance` makes it, and every step of it told.

        Args:
            state: in which that seed stands between two episodes; the others stay where they are.
            at_most: steps, where the episode has not ended by then.
            seed: its place among the seeds.

        Raises:
            OptionError: the seed is in the middle of an episode.
            EnvironmentFault: its environment raised, hung or broke its contract.
        """
        agents, blueprint = state.agents, self.blueprint
        if agents[seed].registers.counts[STEP_IN_EPISODE]:
            rule = "must stand between two episodes"
            remedy = "Advance by the lengths of the episodes before."
            raise option_error("trace", "state", rule, self.steps_done(state)[seed], remedy)
        records = Records([[] for _ in agents], [[] for _ in agents], [], {})
        try:
            if self.driver == "live":

                def advance(target: int) -> None:
                    self._advance_live(state, seed, target, records)

                return trace_live(advance, state.worlds[seed], agents, seed, at_most, blueprint)
            loop = kernel(trace_model, self._label)

            def run(track: Track) -> bool:
                ended: bool = loop(self._table, self._limit, agents[seed], track)
                self._serve(state, seed, records)
                return ended

            return trace_compiled(run, agents, seed, at_most, blueprint)
        finally:
            self._empty_log(state, seed, records)

    # Stepping a model

    def _advance_compiled(
        self, state: State, targets: dict[int, int], records: Records, faults: dict[int, EnvironmentFault]
    ) -> None:
        cores = usable_cores()
        groups: list[list[int]] = []
        for i in targets:
            together = len(targets) > cores and groups and len(groups[-1]) == 1
            if together and targets[groups[-1][0]] == targets[i]:
                groups[-1].append(i)
            else:
                groups.append([i])

        def run(group: list[int]) -> None:
            self._run_group(state, group, targets[group[0]], records, faults)

        share_out(run, groups, cores)

    def _run_group(
        self,
        state: State,
        group: list[int],
        target: int,
        records: Records,
        faults: dict[int, EnvironmentFault],
    ) -> None:
        """Bring one seed, or two in one loop, to the target step."""

        def stand(i: int) -> int:
            return int(state.agents[i].registers.counts[STEP])

        def serve(i: int) -> bool:
            """False if the seed can go no further."""
            try:
                self._serve(state, i, records)
            except EnvironmentFault as fault:
                faults[i] = fault
            return i not in faults

        def bring(i: int, goal: int) -> None:
            step = self._entry(loops.train_model, state, [i])
            while stand(i) < goal and i not in faults:
                step(self._table, self._limit, state.agents[i], goal)
                serve(i)

        if len(group) == 2:
            step = self._entry(loops.train_model_pair, state, group)
            one, two = group
            while stand(one) < target and one not in faults and two not in faults:
                step(self._table, self._limit, state.agents[one], state.agents[two], target)
                served = [serve(i) for i in group]
                ahead = max(stand(one), stand(two)) if all(served) else target
                for i in group:
                    bring(i, ahead)
        else:
            bring(group[0], target)

    def _entry(self, loop: Callable[..., Any], state: State, group: list[int]) -> Callable[..., Any]:
        """The compiled code of a loop, which all agents of a run share: they differ in nothing that a type says."""
        if loop not in self._entries:
            agents = [state.agents[i] for i in group]
            made = entry(kernel(loop, self._label), self._table, self._limit, *agents, 1)
            self._entries[loop] = made
        return self._entries[loop]

    # What either way of stepping comes back for

    def _serve(self, state: State, i: int, records: Records) -> None:
        """Do what a kernel came back for."""
        self._empty_log(state, i, records)
        counts = state.agents[i].registers.counts
        if counts[STATUS] == loops.STORE_FULL:
            try:
                self._grow(state, i)
            except EnvironmentFault as fault:
                where = standing(self.seeds[i], counts)
                raise fault_at(self._env_name, where, str(fault)) from fault
        else:
            self._take_snapshot(state, i, records)

    def _worlds(self) -> list[LiveWorld]:
        if self.driver == "compiled":
            return []
        return [LiveWorld(self._make_env(), self.blueprint.n_actions) for _ in self.seeds]

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

    # Stepping live environments

    def _advance_live(self, state: State, i: int, target: int, records: Records) -> None:
        def serve(full: bool) -> None:
            if full:
                self._grow(state, i)
            else:
                self._empty_log(state, i, records)
                self._take_snapshot(state, i, records)

        self._live.advance(state.worlds[i], self.seeds[i], target, state.agents, i, serve)

    def _bring_back(self, state: State) -> None:
        """Bring the environments of an unpacked state to where they were, and note how that went."""
        restored, replayed = [], 0
        for i, world in enumerate(state.worlds):
            if world.running:
                seed, episode = self.seeds[i], int(state.agents[i].registers.counts[EPISODE])
                why = self._live.bring_back(world, seed, episode)
                if why is None:
                    restored.append(seed)
                    replayed += len(world.actions)
                else:
                    state.notes.append(
                        f"seed {seed}: episode {episode} could not be restored: {why.rstrip('.')}; a fresh episode "
                        f"was begun"
                    )
        if restored:
            named = f"seed{'s' * (len(restored) > 1)} {', '.join(map(str, restored))}"
            state.notes.insert(
                0, f"{named}: restored in the middle of the episode, {replayed:,} steps replayed"
            )
