"""Learners on networks as `experiment` drives them: explicit state, as many steps as asked for.

Work comes in units (some steps of every environment, then learning), and a unit is begun when its first step is
asked for: what has been made beyond the steps asked for is counted when they are. So `advance(n)` and then
`advance(m)` is `advance(n + m)`, whatever n and m are, and a budget is rounded up to whole units.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from qfix.deep import checks
from qfix.deep._runtime import require_single_precision
from qfix.deep.actor_policy import ActorPolicy
from qfix.deep.config import DeepConfig, NetworkConfig
from qfix.deep.data import Replay
from qfix.deep.drivers.device import Carry, DeviceDriver
from qfix.deep.drivers.host import Held, HostDriver, HostState
from qfix.deep.learner import Learner, Setup, learned_reward
from qfix.deep.network import QNetwork
from qfix.deep.observations import codec_for
from qfix.deep.policy import BehaviourPolicy, NetworkPolicy
from qfix.deep.policy_network import PolicyNetwork
from qfix.deep.streams import seed_words
from qfix.envs.jax import jax_env_of
from qfix.envs.masks import MASK
from qfix.envs.time_limit import check_step_time_limit
from qfix.errors import EnvironmentFault, option_error
from qfix.explore import Constant, Greedy, Schedule
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import evaluation_seed
from qfix.replay.batch import rows_for
from qfix.replay.host import HostReplay
from qfix.runs.arrays import as_bytes, require, require_counts, require_like, text_of
from qfix.runs.history import Records, settle_faults
from qfix.runs.threads import share_out, usable_cores

# steps that suit a first look
_FIRST_LOOK = {"device": 100_000, "host": 50_000}

_MOST_STEPS = (1 << 30) - 1  # of an environment: counts on the device have 32 bits


@dataclass
class State:
    """Everything that changes. `advance` works on it in place: a state that was advanced is spent."""

    seeds: list[Any]
    """Of each seed: a Carry on the device, a HostState on the host."""
    units: list[int]
    """Units that each seed has made."""
    asked: list[int]
    """Environment steps that each seed was asked for."""
    failures: dict[int, str] = field(default_factory=dict)
    """Why a seed's environment failed, by its place among the seeds; none where it did not."""
    notes: list[str] = field(default_factory=list)
    """What unpacking brought back of live environments, and what it could not."""


class _HostArrays(NamedTuple):
    """What of a seed on the host is plain arrays."""

    words: np.ndarray
    compiled: Any
    held: Held


class DeepTrainer:
    """Trains a learner on networks.

    Args:
        config: of one of the algorithms in this folder.
        env: gives the spaces; one that is written in JAX, or has such a twin, can be trained on the device.
        make_env: makes another such environment; called `num_envs` times a seed where it is stepped on the host.
        model: the environment's finite model, if it has one.
        seeds: of the runs.
        driver: "device" (environments in JAX, all in one program), "host" (any environment), or "auto": device where
            that can be.
        snapshot_episodes: none are kept: a network's values are not a table.
        features: none, either.
        total_steps: the budget of a seed, over which default schedules are laid; rounded up to whole units.
        step_time_limit: seconds that a reset or a step on the host may take before it counts as hung; None for any.

    Attributes:
        has_masks: whether only actions are taken that the info of a step allows: nothing is learned of the others.

    Raises:
        SpaceError: the spaces do not fit.
        OptionError: the options do not fit the spaces.
    """

    def __init__(
        self,
        config: NetworkConfig,
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
        owner = config.owner
        if driver not in ("auto", "device", "host"):
            rule = f"must be one of auto, device, host for {owner}"
            raise option_error("train", "driver", rule, driver, "Use driver='auto'.")
        if features is not None:
            rule = f"goes with learners on tables, and not with {owner}"
            raise option_error("train", "features", rule, "an array", "Leave it out.")
        check_step_time_limit(step_time_limit)
        require_single_precision()
        codec = codec_for(env.observation_space)
        if config.normalize_observations and (codec.input.kind != "vector" or codec.input.images):
            rule = "must be False where observations are numbers or images, or have images among their parts"
            remedy = "Leave it out, and scale other numbers in a wrapper."
            raise option_error(owner, "normalize_observations", rule, True, remedy)
        twin = None if driver == "host" else jax_env_of(env, model)
        has_masks = False
        if twin is None or model is not None:
            _, info = env.reset(seed=evaluation_seed(0, 0))
            has_masks = MASK in info and not isinstance(env.action_space, gymnasium.spaces.Box)
            if has_masks and driver == "auto":
                twin = None  # there are no masks of actions on the device
        self.has_masks = has_masks and twin is None
        self._masks_left_aside = has_masks and twin is not None
        if driver == "device" and twin is None:
            rule = "can be 'device' only where the environment is written in JAX, has such a twin, or a finite model"
            raise option_error("train", "driver", rule, driver, "Use driver='host'.")
        self.seeds = tuple(seeds)
        self.driver = "host" if twin is None else "device"
        budget = total_steps or _FIRST_LOOK[self.driver]
        self.config = config.settled(int(budget))
        if self.has_masks and getattr(config, "munchausen", False):
            rule = (
                "must be False where the environment says which actions are allowed: its bonus knows no mask"
            )
            raise option_error(owner, "munchausen", rule, True, "Leave it out.")
        if budget > config.num_envs * _MOST_STEPS:
            rule = f"must be at most {_MOST_STEPS:,} of each of the {config.num_envs} environments"
            raise option_error("train", "total_steps", rule, budget, "Train in more environments.")
        self._spaces = env.observation_space, env.action_space
        self.network = self.config.network_for(codec.input, env.action_space)
        setup = Setup(self.config, self.network)
        algorithm = importlib.import_module(type(config).__module__)
        name = env.spec.id if env.spec is not None else str(env)
        self._device = self._host = None
        if twin is not None:
            self._device = DeviceDriver(setup, algorithm, twin)
        else:
            self._host = HostDriver(
                setup,
                algorithm,
                make_env,
                codec,
                env,
                name,
                step_time_limit,
                self.has_masks,
                len(self.seeds),
            )
        worker: Any = self._device or self._host
        self.unit_steps: int = worker.unit_steps
        self._worker = worker
        self.total_steps = -(-int(budget) // self.unit_steps) * self.unit_steps
        self._schedules = _schedules(self.config)

    # What experiment asks for

    def start(self) -> State:
        """Every seed before its first step."""
        n = len(self.seeds)
        return State([self._worker.start(seed) for seed in self.seeds], [0] * n, [0] * n)

    def advance(self, state: State, steps: int) -> tuple[State, Records]:
        """`steps` more environment steps of every seed.

        A seed whose environment fails stops there, `state.failures` and `Records.failures` say why, and the others
        go on; it is stepped again once its failure is removed.

        Raises:
            EnvironmentFault: every seed has failed, this time or before; a later call tries them all again. The state
                stays readable, and `records` of the fault has the episodes of this call.
        """
        seeds = range(len(self.seeds))
        if len(state.failures) == len(seeds):
            state.failures = {}
            state.asked = [max(state.asked)] * len(seeds)
        active = [i for i in seeds if i not in state.failures]
        records = Records([[] for _ in seeds], [[] for _ in seeds], [], {})
        faults: dict[int, EnvironmentFault] = {}

        def run(i: int) -> None:
            target = state.asked[i] + steps
            try:
                self._advance(state, i, -(-target // self.unit_steps), records)
                state.asked[i] = target
            except EnvironmentFault as fault:
                faults[i] = fault
                state.asked[i] = max(state.asked[i], state.units[i] * self.unit_steps)

        if self._device is not None and self._device.together and self._side_by_side(state, active):
            self._advance_together(
                state, active, -(-(state.asked[active[0]] + steps) // self.unit_steps), records
            )
            for i in active:
                state.asked[i] += steps
        else:
            share_out(run, active, usable_cores() if self._device is not None else 1)
        settle_faults(state.failures, records, faults)
        return state, records

    @staticmethod
    def _side_by_side(state: State, active: list[int]) -> bool:
        """Whether several seeds have made as many steps."""
        return len(active) > 1 and len({(state.units[i], state.asked[i]) for i in active}) == 1

    def _advance_together(self, state: State, active: list[int], target: int, records: Records) -> None:
        assert self._device is not None
        while (made := state.units[active[0]]) < target:
            units = self._next_units(made, target)
            carries = [state.seeds[i] for i in active]
            carries, logs = self._device.advance_together(carries, made, units, self._rates(made, units))
            for i, carry, log in zip(active, carries, logs, strict=True):
                state.seeds[i] = carry
                state.units[i] += units
                self._note_log(records, i, log)

    def _next_units(self, made: int, target: int) -> int:
        """Units of the next call of a driver: as many as it takes, all before or all after the first learning."""
        units = min(self._worker.most_units, target - made)
        return min(units, self._worker.first_learning - made) if made < self._worker.first_learning else units

    def _note_log(self, records: Records, i: int, log: np.ndarray) -> None:
        """The episodes in a device's log."""
        returns, lengths = log[..., 0].ravel(), log[..., 1].ravel()
        ended = np.flatnonzero(lengths)
        self._note(records, i, returns[ended].astype(np.float64), lengths[ended].astype(np.int64))

    def _advance(self, state: State, i: int, target: int, records: Records) -> None:
        while (made := state.units[i]) < target:
            units = self._next_units(made, target)
            if self._device is not None:
                rates = self._rates(made, units)
                state.seeds[i], log = self._device.advance(state.seeds[i], made, units, rates)
                state.units[i] += units
                self._note_log(records, i, log)
            else:
                assert self._host is not None
                log_host: list[tuple[float, int]] = []
                rates = self._rates(made, units + 1)
                try:
                    self._host.advance(state.seeds[i], self.seeds[i], made, rates, log_host)
                finally:
                    state.units[i] += state.seeds[i].finished
                    ends = np.array(log_host, np.float64).reshape(-1, 2)
                    self._note(records, i, ends[:, 0].copy(), ends[:, 1].astype(np.int64))

    @staticmethod
    def _note(records: Records, i: int, returns: np.ndarray, lengths: np.ndarray) -> None:
        if len(lengths):
            records.returns[i].append(returns)
            records.lengths[i].append(lengths)

    def _rates(self, first: int, units: int) -> np.ndarray:
        """(units, 3) exploration, learning rate and beta at the first step of each unit."""
        at = np.arange(first, first + units) * self.unit_steps
        return np.stack([_values(schedule, at) for schedule in self._schedules], axis=-1).astype(np.float32)

    def pack(self, state: State) -> dict[str, np.ndarray]:
        """All of a state as named arrays; copies.

        But for a memory in a file, of which there are views: it would not fit. Keep them before the state is advanced.
        """
        arrays: dict[str, np.ndarray] = {}
        for i, seed in enumerate(state.seeds):
            tree, memory, worlds = self._parts(seed)
            if self._host is not None:
                self._host.look(seed)
            arrays |= {f"{i}.{name}": np.array(leaf) for name, leaf in _leaves(tree)}
            if memory is not None:
                arrays |= self._packed_memory(f"{i}.memory.", memory)
            for k, world in enumerate(worlds):
                arrays |= world.pack(f"{i}.world.{k}.")
            arrays[f"{i}.progress"] = np.array([state.units[i], state.asked[i]])
            arrays[f"{i}.failure"] = as_bytes(state.failures.get(i, ""))
        return arrays

    def _packed_memory(self, prefix: str, memory: HostReplay) -> dict[str, np.ndarray]:
        assert self._host is not None
        assert self._host.memory is not None
        large = self._host.memory.on_disk
        return {prefix + name: array if large else array.copy() for name, array in memory.pack().items()}

    def unpack(self, arrays: dict[str, np.ndarray], given_away: bool = False) -> State:
        """The state that `pack` saw, whoever made the arrays.

        A live environment is brought back by its episode's seed and actions. Where that does not lead to where it
        was, it begins the episode afresh; `notes` of the state say what was brought back and what was not.

        Args:
            arrays: by their names.
            given_away: nobody else uses the arrays any more.

        Raises:
            OptionError: an array is missing, is none of a state, is not like this trainer's, or holds what no
                training leads to.
        """
        state = State([], [], [])
        known: set[str] = set()
        for i, seed in enumerate(self.seeds):
            own = self._worker.start(seed)
            tree, memory, worlds = self._parts(own)
            named = _leaves(tree)
            for name, leaf in named:
                require_like(f"{i}.{name}", arrays.get(f"{i}.{name}"), np.asarray(leaf))
            given = [arrays[f"{i}.{name}"] for name, _ in named]
            said = text_of(f"{i}.failure", arrays.get(f"{i}.failure"))
            known |= {f"{i}.{name}" for name, _ in named}
            words = arrays[f"{i}.words"]
            require(np.array_equal(words, seed_words(seed)), f"{i}.words", "must be the seed's", words)
            self._check_progress(arrays, i, state)
            named_given = {name: array for (name, _), array in zip(named, given, strict=True)}
            checks.check_numbers(f"{i}.", named_given, self.network)
            structure = jax.tree_util.tree_structure(tree)
            kept = jax.tree_util.tree_unflatten(structure, given)
            if self._device is not None and isinstance(self._device.data, Replay):
                data, n_envs = self._device.data, self.config.num_envs
                checks.check_device_memory(f"{i}.", kept.memory, state.units[i], data, n_envs)
            state.seeds.append(self._restored(own, kept))
            known |= {f"{i}.progress", f"{i}.failure"}
            if said:
                state.failures[i] = said
            if memory is not None:
                prefix = f"{i}.memory."
                mine = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
                memory.unpack(mine)
                indexed = {name: a for name, a in mine.items() if name in ("action", "obs", "next_obs")}
                checks.check_numbers(prefix, indexed, self.network)
                n_envs = self._worker.n_envs
                room = rows_for(self._worker.data.capacity, n_envs) * n_envs
                least = min(room, state.units[i] * self.unit_steps)
                rule = f"must be {least} steps or more"
                require(memory.size >= least, prefix + "filled", rule, memory.size)
                known |= {prefix + name for name in mine}
            for k, world in enumerate(worlds):
                self._unpack_world(arrays, i, k, world, state.seeds[i])
                known |= world.pack(f"{i}.world.{k}.").keys()
            if worlds and state.seeds[i].held.ready[0]:
                rule = "must be running where the next actions have been chosen"
                require(all(world.running for world in worlds), f"{i}.world", rule, "at its end")
        for name in arrays:
            require(name in known, name, "is of no array that this run has", name)
        self._bring_back(state)
        return state

    def _parts(self, seed: Any) -> tuple[Any, Any, list[Any]]:
        """What of a seed is a tree of arrays, its memory on the host, and its environments on the host."""
        if isinstance(seed, Carry):
            return seed, None, []
        assert self._host is not None
        tree = _HostArrays(seed.words, self._host.bundle.as_numpy(seed.compiled), seed.held)
        return tree, seed.memory, seed.worlds

    def _check_progress(self, arrays: dict[str, np.ndarray], i: int, state: State) -> None:
        name = f"{i}.progress"
        require_like(name, arrays.get(name), np.zeros(2, np.int64))
        units, asked = map(int, arrays[name])
        require_counts(name, arrays[name])
        checks.check_units(name, units, self._worker.data)
        whole = units == -(-asked // self.unit_steps)
        failed = len(arrays.get(f"{i}.failure", ())) > 0
        require(whole or failed, name, "must be the units of the steps asked for", units)
        state.units.append(units)
        state.asked.append(asked)

    def _restored(self, own: Any, kept: Any) -> Any:
        """A seed with the plain arrays of an unpacked state."""
        if isinstance(own, Carry):
            return jax.tree.map(jnp.array, kept)
        assert self._host is not None
        held = Held(*(np.array(x) for x in kept.held))
        compiled = self._host.wrapped(jax.tree.map(jnp.array, kept.compiled))
        return HostState(own.words, compiled, held, own.memory, own.worlds)

    def _unpack_world(
        self, arrays: dict[str, np.ndarray], i: int, k: int, world: Any, seed: HostState
    ) -> None:
        world.unpack(arrays, f"{i}.world.{k}.", int(seed.held.steps[k]))

    def _bring_back(self, state: State) -> None:
        """Bring the environments of an unpacked state to where they were, and note how that went."""
        if self._host is None:
            return
        for i, seed in enumerate(state.seeds):
            running = sum(world.running for world in seed.worlds)
            steps = sum(len(world.taken) for world in seed.worlds if world.running)
            said = self._host.bring_back(seed, self.seeds[i])
            if running > len(said):
                state.notes.append(
                    f"seed {self.seeds[i]}: {running - len(said)} environments restored in the middle of their "
                    f"episodes, {steps:,} steps replayed"
                )
            for line in said:
                state.notes.append(f"seed {self.seeds[i]}, {line}; a fresh episode was begun")

    # What was learned

    def _learned(self, seed: Any) -> tuple[Learner, Any]:
        """The learner of a seed, and the report of its last gradient step."""
        if isinstance(seed, Carry):
            return seed.learner, seed.report
        assert self._host is not None
        compiled = self._host.bundle.as_numpy(seed.compiled)
        return compiled.learner, compiled.report

    def policy(self, state: State, seed: int = 0) -> NetworkPolicy | ActorPolicy:
        """The policy of one seed, by its place among them: greedy in its values, or as it was learned.

        Further training leaves it alone.
        """
        learner, _ = self._learned(state.seeds[seed])
        network = self.network
        if isinstance(network, PolicyNetwork):
            return ActorPolicy(network, np.asarray(learner.params), learner.moments, self._spaces[0])
        return NetworkPolicy(network, np.asarray(learner.params), learner.moments, *self._spaces)

    def behaviour(self, state: State, seed: int = 0) -> BehaviourPolicy | ActorPolicy:
        """How one seed acts while it learns, at this moment, but for the noise of noisy layers."""
        found = self.policy(state, seed)
        if isinstance(found, ActorPolicy):
            return found
        config: Any = self.config
        return BehaviourPolicy(found, config.strategy, state.asked[seed])

    def action_values(self, state: State, seed: int = 0) -> np.ndarray:
        """(S, A) values where observations are numbers.

        Raises:
            OptionError: they are not, or a policy is learned, and no values of actions.
        """
        if isinstance(self.network, PolicyNetwork):
            rule = f"is not learned by {self.config.owner}, which learns a policy and values of states"
            remedy = "Use run.policy().probabilities(observations) or .value(observations)."
            raise option_error("Run", "q", rule, "a policy", remedy)
        space = self._spaces[0]
        if not isinstance(space, gymnasium.spaces.Discrete):
            rule = f"can be listed only where states are numbered; observations lie in {space}"
            remedy = "Use run.policy().action_values(observations)."
            raise option_error("Run", "q", rule, "a network", remedy)
        first = int(space.start)
        return self.policy(state, seed).action_values(np.arange(first, first + int(space.n)))

    def learned_reward(self, reward: float) -> float:
        """A reward as it is learned from: scaled, then clipped."""
        return float(learned_reward(self.config, np.float32(reward)))

    @property
    def about(self) -> tuple[str, ...]:
        """Lines on what is trained: the network, and the memory on the host."""
        net = self.network
        kind = net.torso if net.distribution == "none" else f"{net.torso}, {net.distribution}"
        lines = [f"network {kind}: {net.layout.size:,} parameters, {net.operations:,} FLOP a decision"]
        if self._host is not None and self._host.memory is not None:
            lines.append(f"memory {self._host.memory!r}")
        return tuple(lines)

    def cautions(self, total_steps: int) -> list[str]:
        """What deserves a warning before so many steps of a seed are made."""
        found = []
        if self._masks_left_aside:
            found.append(
                "The environment says which actions are allowed (action_mask), and the device driver leaves that "
                "aside: all are taken, and learned from. The driver 'host' obeys the masks."
            )
        data = self._worker.data
        if isinstance(data, Replay) and -(-total_steps // self.unit_steps) <= self._worker.first_learning:
            why, remedy = (
                f"learning_starts is {data.starts:,}",
                "Use more steps, or a smaller learning_starts.",
            )
            if data.starts <= total_steps:
                sequence = f"a sequence of {data.rows} steps of each of {self.config.num_envs} environments"
                why, remedy = f"the first needs {sequence}", "Use more steps."
            found.append(
                f"No gradient step will be made: {why}, and total_steps is {total_steps:,}. {remedy}"
            )
        return found

    @property
    def value_scale(self) -> float:
        """How many units of the values a unit of reward is."""
        return self.config.reward_scale

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What `measure` gives the values of."""
        names: tuple[str, ...] = self.config.measuring.NAMES
        return names

    counts_visits = False

    @property
    def learns_values(self) -> bool:
        """Whether there are values of actions, and not a policy alone."""
        return isinstance(self.network, QNetwork)

    @property
    def remembers(self) -> bool:
        """Whether its policies act by what they have seen before."""
        return self.network.n_state > 0

    @property
    def kept(self) -> str:
        """What there is of a seed in a packed state, for people."""
        steps = "remembered steps, " if isinstance(self._worker.data, Replay) else ""
        return f"weights, optimiser, {steps}environments and random streams"

    computed_with = ("jax", "optax")

    def measure(self, state: State) -> np.ndarray:
        """(metrics, seeds) values of `metric_names` now."""
        rows = []
        for i, seed in enumerate(state.seeds):
            largest = seed.held.largest_reward[0] if isinstance(seed, HostState) else seed.largest_reward
            rates = self._rates(max(0, state.units[i] - 1), 1)[0]
            told = *self._learned(seed), float(largest), self.config.gamma, rates
            rows.append(self.config.measuring.measured(*told))
        return np.array(rows).T

    @property
    def memory(self) -> str | None:
        """What a seed remembers on the host, how many bytes that takes and where; None where it remembers nothing."""
        return None if self._host is None or self._host.memory is None else repr(self._host.memory)

    def steps_done(self, state: State) -> list[int]:
        """Environment steps of each seed so far."""
        return list(state.asked)


def _schedules(config: Any) -> tuple[Schedule, Schedule, Schedule]:
    beta = getattr(config, "priority_beta", None)
    strategy = config.strategy if isinstance(config, DeepConfig) else Greedy()
    exploration = Constant(0.0) if isinstance(strategy, Greedy) else strategy.schedule
    return exploration, config.rate, Constant(1.0) if beta is None else beta


def _values(schedule: Schedule, at: np.ndarray) -> np.ndarray:
    if isinstance(schedule, Constant):
        return np.full(len(at), schedule.value)
    return schedule(at)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    """The arrays of a tree by name, in order."""
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        parts = [_name_of(key) for key in path]
        found.append((".".join(parts), leaf))
    return found


def _name_of(key: Any) -> str:
    for kind in ("name", "key", "idx"):
        found = getattr(key, kind, None)
        if found is not None:
            return str(found)
    return str(key)
