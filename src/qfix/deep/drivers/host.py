"""Environments of Gymnasium: stepped one by one in this process, learned from in one compiled call a step.

A unit of work is the same as on the device, in the same order and with the same random numbers: T steps of N
environments, then a round of learning. What a call of a compiled program costs is paid once a step: the last gradient
step of a round, the next actions and the random numbers of the next draw are one program, and the memory is NumPy.

An episode is a function of (seed, environment, episode): see `qfix.envs.live_world`, which also brings an environment
back into the middle of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from qfix.deep.acting import act, chances_at
from qfix.deep.data import Replay, Rollout, Steps
from qfix.deep.drivers.bundle import Bundle, Wrapped
from qfix.deep.learner import Learner, Rates, Setup, learned_reward
from qfix.deep.memory import HostMemory, stacked_frames
from qfix.deep.observations import Codec
from qfix.deep.recurrence import learned, priorities_of
from qfix.deep.streams import LEARN, WEIGHTS, learning_keys, seed_words, stream
from qfix.envs.live_world import LiveWorld, digest, fault_at
from qfix.envs.masks import MASK
from qfix.envs.time_limit import TimeLimit
from qfix.errors import EnvironmentFault, QfixError
from qfix.mdp.simulate import episode_seed
from qfix.replay.host import HostReplay
from qfix.replay.priorities import importance_weights

Array = Any


class Held(NamedTuple):
    """What of a seed the environments have to do with."""

    obs: np.ndarray  # (N, *shape) what the next actions are chosen at
    mask: np.ndarray  # (N, A) bool actions allowed there; (N, 0) where the environment has no masks
    ready: np.ndarray  # (1,) bool: whether the next actions have been chosen
    episode: np.ndarray  # (N,) int64 index of the running episode
    steps: np.ndarray  # (N,) int64 steps in it
    total: np.ndarray  # (N,) float64 return of it so far
    largest_reward: np.ndarray  # (1,) float32 of |reward| as it is learned from


class Compiled(NamedTuple):
    """What of a seed the compiled programs have to do with."""

    learner: Learner
    report: Any  # of the last gradient step
    bits: Array  # (draws,) uint32 for the next draw from the memory
    action: Array  # (N, ...) the next actions, as they are learned from
    extras: Array  # (N, A) values they were chosen by, or (N, 1) log-probabilities
    before: (
        Array  # (N, H) float32 state of the network before it saw what they were chosen at; H = 0 without one
    )
    behind: Array  # (N, H) and after it


@dataclass
class HostState:
    """All of a seed."""

    words: np.ndarray  # (2,) uint32, the seed
    compiled: Wrapped  # a Compiled
    held: Held
    memory: HostReplay | None
    worlds: list[LiveWorld]
    finished: int = 0  # units of the latest call of `advance`, which may have ended with a fault


class HostDriver:
    """Trains one seed at a time on environments of Gymnasium.

    Args:
        setup: options and network.
        algorithm: the module of the algorithm.
        make_env: makes an environment; called N times a seed.
        codec: of the observations.
        env: gives the spaces, and says whether there are masks.
        env_name: for messages.
        time_limit: seconds that a reset or a step may take; None for any.
        has_masks: whether infos have masks of the actions allowed.
        n_seeds: seeds whose states are held at the same time.

    Attributes:
        memory: makes the memory of a seed; None where no steps are remembered.
    """

    def __init__(
        self,
        setup: Setup,
        algorithm: Any,
        make_env: Callable[[], gymnasium.Env[Any, Any]],
        codec: Codec,
        env: gymnasium.Env[Any, Any],
        env_name: str,
        time_limit: float | None,
        has_masks: bool,
        n_seeds: int = 1,
    ) -> None:
        self.setup = setup
        self._algorithm = algorithm
        self._make_env = make_env
        self._encode = codec.encode
        self._env_name = env_name
        self._time_limit = time_limit
        space: Any = env.action_space
        self._n_actions = setup.network.n_actions
        self.actions = setup.network.actions
        self.numbered = isinstance(space, gymnasium.spaces.Discrete)
        self.first_action = int(space.start) if self.numbered else 0
        self._space = None if self.numbered else space
        self._has_masks = has_masks
        config: Any = setup.config
        self.data: Replay | Rollout = config.data
        self.n_envs = config.num_envs
        self._gamma = np.float32(config.gamma)
        self.most_units = max(1, (1 << 16) // self.unit_steps)
        self.first_learning = 0
        self.memory: HostMemory | None = None
        if isinstance(self.data, Replay):
            self.first_learning = self.data.first_learning(self.n_envs)
            self.memory = HostMemory(
                config.owner,
                self.data,
                config.memory,
                self.n_envs,
                n_seeds,
                codec.input,
                stacked_frames(env, codec.input),
                self._n_actions if has_masks else None,
                self.actions.shape[0] if self.actions.dtype.kind == "f" else None,
                float(self._gamma),
            )
        self.bundle = Bundle(jax.eval_shape(self._first_compiled, seed_words(0)))
        wrap, unwrap = self.bundle.wrap, self.bundle.unwrap
        self._bits = self.bundle.reader(lambda compiled: compiled.bits)
        self.action = self.bundle.reader(lambda compiled: compiled.action)
        self._extras = self.bundle.reader(lambda compiled: compiled.extras)
        self._before = self.bundle.reader(lambda compiled: compiled.before)
        if isinstance(self.data, Replay) and self.data.priority_exponent is not None:
            self._td_error = self.bundle.reader(lambda compiled: compiled.report.td_error)

        def program(function: Callable[..., Compiled]) -> Any:
            def run(compiled: Wrapped, *rest: Any) -> Wrapped:
                return wrap(function(unwrap(compiled), *rest))

            return jax.jit(run, donate_argnums=0)

        self._wrap = jax.jit(wrap)
        self._begin = jax.jit(lambda words: wrap(self._first_compiled(words)))
        self._act = program(self._acting)
        self._back = program(lambda compiled: compiled._replace(behind=compiled.before))
        self._learn = program(self._learning)
        self._learn_and_act = program(self._learning_and_acting)
        if isinstance(self.data, Rollout):
            self._value = jax.jit(lambda compiled, *seen: self._valued(unwrap(compiled), *seen))
            self._learn_rollout = program(self._learning_from_rollout)

    @property
    def is_recurrent(self) -> bool:
        """Whether the network has a state."""
        return self.setup.network.n_state > 0

    @property
    def unit_steps(self) -> int:
        """Environment steps of a unit, all environments together."""
        return self.data.steps * self.n_envs

    def start(self, seed: int) -> HostState:
        """A seed before its first step."""
        n, given = self.n_envs, self.setup.network.given
        words = seed_words(seed)
        held = Held(
            np.zeros((n, *given.shape), given.dtype),
            np.ones((n, self._n_actions if self._has_masks else 0), bool),
            np.zeros(1, bool),
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.zeros(n),
            np.zeros(1, np.float32),
        )
        worlds = [LiveWorld(self._make_env(), self._n_actions or 1, self._space) for _ in range(n)]
        memory = None if self.memory is None else self.memory()
        return HostState(words, self._begin(words), held, memory, worlds)

    def wrapped(self, compiled: Compiled) -> Wrapped:
        """A Compiled as the programs take it."""
        found: Wrapped = self._wrap(compiled)
        return found

    def advance(
        self, state: HostState, seed: int, first: int, rates: np.ndarray, log: list[tuple[float, int]]
    ) -> None:
        """Some units; the state is changed in place.

        Args:
            state: of the seed.
            seed: of the run.
            first: units made before.
            rates: (units + 1, 3) exploration, learning rate and beta of each, and of the one that follows.
            log: takes the return and the length of each episode that ends.

        Raises:
            EnvironmentFault: an environment raised, hung or broke its contract.
        """
        state.finished = 0
        stepping = _Stepping(self, state, seed, log)
        limit = TimeLimit(self._time_limit, lambda: stepping.moves)
        stepping.limit = limit
        for world in state.worlds:
            world.look()
        unit = self._replay_unit if isinstance(self.data, Replay) else self._rollout_unit
        try:
            with limit:
                if not state.held.ready[0]:
                    stepping.begin()
                    count = np.uint32(first * self.data.steps)
                    limit.paused = True
                    if self.is_recurrent:  # where an episode goes on, its last observation is seen once more
                        state.compiled = self._back(state.compiled)
                    state.compiled = self._act(state.compiled, *stepping.inputs, rates[0], state.words, count)
                    limit.paused = False
                    state.held.ready[0] = True
                for i in range(len(rates) - 1):
                    unit(state, stepping, first + i, rates[i : i + 2])
                    state.finished = i + 1
        finally:
            if stepping.obs is not state.held.obs:
                state.held.obs[:] = stepping.obs

    def look(self, state: HostState) -> None:
        """Have the environments know by what they saw last whether they were brought back."""
        for world, obs in zip(state.worlds, state.held.obs, strict=True):
            world.sight = digest(np.asarray(obs))  # of numbers, too, an array, as `_encode` gives it

    def bring_back(self, state: HostState, seed: int) -> list[str]:
        """Bring the environments of an unpacked state to where they were; what was said of those that could not be."""
        said, lost = [], np.zeros(self.n_envs, bool)
        for i, world in enumerate(state.worlds):
            if world.running:
                episode = int(state.held.episode[i])
                start = int(episode_seed(seed, i, episode))
                why = world.bring_back(
                    start, self.first_action, lambda x: digest(self._encode(x)), self._time_limit
                )
                if why is not None:
                    said.append(f"environment {i}, episode {episode}: {why.rstrip('.')}")
                    state.held.ready[0], lost[i] = False, True
        if state.memory is not None:
            state.memory.break_off(lost)
        return said

    # Units

    def _replay_unit(self, state: HostState, stepping: _Stepping, number: int, rates: np.ndarray) -> None:
        data, memory, limit = self.data, state.memory, stepping.limit
        assert isinstance(data, Replay)
        assert memory is not None
        learning = number >= self.first_learning
        for t in range(data.steps):
            made = stepping.step()
            limit.paused = True
            before = self._before(state.compiled) if self.is_recurrent else None
            memory.add(*made, state=before)
            last = t == data.steps - 1
            if not (last and learning):
                now = rates[1] if last else rates[0]
                count = np.uint32(number * data.steps + t + 1)
                state.compiled = self._act(state.compiled, *stepping.inputs, now, state.words, count)
                state.held.ready[0] = True
            limit.paused = False
        if not learning:
            return
        limit.paused = True
        prioritised = data.priority_exponent is not None
        for g in range(data.gradient_steps):
            draw = np.uint32(number * data.gradient_steps + g)
            sample = memory.sample(self._bits(state.compiled))
            weight = self._ones
            if prioritised:
                weight = importance_weights(sample.probability, memory.size, float(rates[0, 2]))
            given = (state.compiled, sample.batch, weight, rates, state.words, draw)
            if g < data.gradient_steps - 1:
                state.compiled = self._learn(*given)
            else:
                count = np.uint32((number + 1) * data.steps)
                state.compiled = self._learn_and_act(*given, *stepping.inputs, count)
                state.held.ready[0] = True
            if prioritised:
                error = self._td_error(state.compiled)
                memory.update_priorities(sample.index, priorities_of(np, error, data.draws))
        limit.paused = False

    def _rollout_unit(self, state: HostState, stepping: _Stepping, number: int, rates: np.ndarray) -> None:
        length, n, held, limit = self.data.steps, self.n_envs, state.held, stepping.limit
        rows: dict[str, list[np.ndarray]] = {}
        seen = self._rollout
        stepping.move_to(seen[0])
        before = self._before(state.compiled).copy()
        for t in range(length):
            mask, extras = held.mask.copy(), self._extras(state.compiled).copy()
            step = stepping.step(seen[t + 1] if t < length - 1 else None)
            _, action, reward, terminated, ended, final_obs, mask_next = step
            limit.paused = True
            cut = ended & ~terminated
            final = np.zeros(n, np.float32)
            if cut.any():
                value = np.asarray(self._value(state.compiled, final_obs, mask_next, None))
                final = np.where(cut, value, final)
            discount = self._gamma * (1.0 - terminated.astype(np.float32))
            column = {
                "action": action,
                "reward": reward,
                "discount": discount,
                "ended": ended,
                "extras": extras,
                "value_final": final,
                "mask": mask,
            }
            for name, values in column.items():
                rows.setdefault(name, []).append(values)
            if t < length - 1:
                count = np.uint32(number * length + t + 1)
                state.compiled = self._act(state.compiled, *stepping.inputs, rates[0], state.words, count)
                held.ready[0] = True
            limit.paused = False
        limit.paused = True
        columns: dict[str, Any] = {name: np.stack(values) for name, values in rows.items()}
        if not self._has_masks:
            columns["mask"] = None
        last = self._value(state.compiled, *stepping.inputs)
        state.compiled = self._learn_rollout(
            state.compiled,
            Steps(seen, **columns, value_last=last, state=before),
            rates,
            state.words,
            np.uint32(number),
            *stepping.inputs,
            np.uint32((number + 1) * length),
        )
        self.action(state.compiled)  # waits: the program may be reading the rollout where it is
        held.ready[0] = True
        limit.paused = False

    @cached_property
    def _ones(self) -> np.ndarray:
        assert isinstance(self.data, Replay)
        return np.ones(self.data.draws, np.float32)

    @cached_property
    def _rollout(self) -> np.ndarray:
        """(T, N, *shape) what one rollout sees: large of images, and so made once."""
        given = self.setup.network.given
        return np.empty((self.data.steps, self.n_envs, *given.shape), given.dtype)

    # What is compiled

    def _first_compiled(self, words: Array) -> Compiled:
        n, size = self.n_envs, self.data.batch_size
        learner = self._algorithm.init(self.setup, stream(words, WEIGHTS))
        action = jnp.zeros((n, *self.actions.shape), self.actions.dtype)
        extras = jnp.zeros((n, self.setup.n_extras))
        first_draw = self.first_learning * getattr(self.data, "gradient_steps", 1)
        bits = self._bits_of(words, jnp.uint32(first_draw))
        blank = jnp.zeros((n, self.setup.network.n_state))
        return Compiled(
            learner, self.setup.config.measuring.blank_report(size), bits, action, extras, blank, blank
        )

    def _bits_of(self, words: Array, draw: Array) -> Array:
        draw_key, _ = learning_keys(words, draw)
        return jax.random.bits(draw_key, (getattr(self.data, "draws", 1),), jnp.uint32)

    def _acting(
        self,
        compiled: Compiled,
        obs: Array,
        mask: Array | None,
        fresh: Array | None,
        rates: Array,
        words: Array,
        count: Array,
    ) -> Compiled:
        learner = self.setup.with_observations(compiled.learner, obs)
        chance = jax.tree.map(lambda x: x[0], chances_at(words, count[None], self.n_envs))
        before = _begun(compiled.behind, fresh)
        action, extras, behind = act(self.setup, learner, obs, mask, before, Rates(*rates), chance)
        return compiled._replace(learner=learner, action=action, extras=extras, before=before, behind=behind)

    def _valued(self, compiled: Compiled, obs: Array, mask: Array | None, fresh: Array | None) -> Array:
        """(N,) what observations are worth that follow on what the actions were chosen at."""
        state = _begun(compiled.behind, fresh)
        value: Array = self._algorithm.bootstrap(self.setup, compiled.learner, obs, mask, state)
        return value

    def _learning(
        self, compiled: Compiled, batch: Any, weight: Array, rates: Array, words: Array, draw: Array
    ) -> Compiled:
        _, key = learning_keys(words, draw)
        now = Rates(*rates[0])
        learner, report = learned(self._algorithm, self.setup, compiled.learner, batch, weight, now, key)
        return compiled._replace(learner=learner, report=report, bits=self._bits_of(words, draw + 1))

    def _learning_and_acting(
        self,
        compiled: Compiled,
        batch: Any,
        weight: Array,
        rates: Array,
        words: Array,
        draw: Array,
        obs: Array,
        mask: Array | None,
        fresh: Array | None,
        count: Array,
    ) -> Compiled:
        compiled = self._learning(compiled, batch, weight, rates, words, draw)
        return self._acting(compiled, obs, mask, fresh, rates[1], words, count)

    def _learning_from_rollout(
        self,
        compiled: Compiled,
        steps: Steps,
        rates: Array,
        words: Array,
        number: Array,
        obs: Array,
        mask: Array | None,
        fresh: Array | None,
        count: Array,
    ) -> Compiled:
        key = stream(words, LEARN, number)
        learner, report = self._algorithm.update(self.setup, compiled.learner, steps, Rates(*rates[0]), key)
        compiled = compiled._replace(learner=learner, report=report)
        return self._acting(compiled, obs, mask, fresh, rates[1], words, count)


def _begun(state: Array, fresh: Array | None) -> Array:
    """States (N, H) of the network, blank where an episode begins; None: nowhere."""
    return state if fresh is None else jnp.where(fresh[:, None], 0.0, state)


class _Stepping:
    """Steps the environments of a seed, and keeps count of their episodes.

    An observation is written once, to where it stays: what a step sees is the other of two arrays, or one that the
    caller gives, and what is returned of the step before is not written to meanwhile.

    Attributes:
        obs: (N, *shape) what the next actions are chosen at.
        moves: steps made.
    """

    def __init__(self, driver: HostDriver, state: HostState, seed: int, log: list[tuple[float, int]]) -> None:
        self._driver = driver
        self._held = state.held
        self._state = state
        self._worlds = state.worlds
        self._seed = seed
        self._log = log
        self.obs = state.held.obs
        self._pair = self.obs, np.empty_like(self.obs)
        self.moves = 0
        self.limit: Any = None

    @property
    def inputs(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """What the next actions are chosen at, the actions allowed there, and, for a network with a state, where an
        episode begins."""
        driver = self._driver
        mask = self._held.mask if driver._has_masks else None
        return self.obs, mask, self._held.steps == 0 if driver.is_recurrent else None

    def begin(self) -> None:
        """Reset what is not in the middle of an episode."""
        for i, world in enumerate(self._worlds):
            if not world.running:
                self._reset(i, world)

    def move_to(self, place: np.ndarray) -> None:
        """Have what is seen now lie in an array (N, *shape) of the caller's."""
        place[:] = self.obs
        self.obs = place

    def _reset(self, i: int, world: LiveWorld, stepped: range = range(0)) -> None:
        held, driver = self._held, self._driver
        held.steps[i], held.total[i] = 0, 0.0
        try:
            obs, info = world.begin(int(episode_seed(self._seed, i, int(held.episode[i]))))
            self.obs[i] = driver._encode(obs)
            if driver._has_masks:
                held.mask[i] = _mask_of(info, driver.actions, False)
        except BaseException as fault:
            raise self._fault(i, fault, stepped) from fault
        world.actions, world.running = world.no_actions(), True

    def step(self, place: np.ndarray | None = None) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
        """One step of every environment with the actions held.

        Args:
            place: (N, *shape) where what is seen then is to lie; None: in an array of this object.

        Returns:
            (obs, action, reward, terminated, ended, final observation, mask there or None), to be used before the step
            after the next.
        """
        held, driver = self._held, self._driver
        n = len(self._worlds)
        action = driver.action(self._state.compiled).copy()
        given = None if driver.numbered else driver.actions.given(driver.actions.applied(np, action))
        following = self._pair[self.obs is self._pair[0]] if place is None else place
        mask = np.empty_like(held.mask) if driver._has_masks else None
        reward = np.empty(n, np.float32)
        terminated, ended = np.zeros(n, bool), np.zeros(n, bool)
        over_at = []
        held.ready[0] = False
        for i, world in enumerate(self._worlds):
            try:
                if given is None:
                    seen, paid, over, cut, info = world.env.step(int(action[i]) + driver.first_action)
                else:
                    seen, paid, over, cut, info = world.env.step(_checked_action(given[i]))
                following[i] = driver._encode(seen)
                paid = float(paid)
                if not -np.inf < paid < np.inf:
                    raise EnvironmentFault(f"its reward must be finite. Got {paid!r}")
                if mask is not None:
                    mask[i] = _mask_of(info, driver.actions, bool(over or cut))
            except BaseException as fault:
                raise self._fault(i, fault, range(i + 1)) from fault
            self.moves += 1
            if given is None:
                world.actions.append(int(action[i]))
            else:
                world.keep(given[i])
            held.steps[i] += 1
            held.total[i] += paid
            reward[i], terminated[i] = paid, over
            if over or cut:
                ended[i] = True
                over_at.append(i)
        if mask is not None:
            held.mask[:] = mask
        obs, final = self.obs, following.copy() if over_at else following
        self.obs = following
        for i in over_at:
            self._log.append((float(held.total[i]), int(held.steps[i])))
            held.episode[i] += 1
            self._reset(i, self._worlds[i], range(n))
        reward = learned_reward(driver.setup.config, reward)
        held.largest_reward[0] = max(held.largest_reward[0], np.abs(reward).max())
        return obs, action, reward, terminated, ended, final, mask

    def _fault(self, i: int, fault: BaseException, stepped: range) -> BaseException:
        """What to raise: the house's sentence; whatever was no error is raised as it is.

        Args:
            i: the environment that failed, perhaps in the middle of a step: what follows begins with a reset.
            fault: what it raised.
            stepped: those that have made a step which nobody will learn of; their episodes are begun anew, too.
        """
        held, memory = self._held, self._state.memory
        for k in (i, *stepped):
            self._worlds[k].running = False
        if memory is not None:
            memory.break_off(np.isin(np.arange(len(self._worlds)), stepped))
        if not isinstance(fault, Exception):
            return fault
        said = str(fault) if isinstance(fault, QfixError) else f"it raised {type(fault).__name__}: {fault}"
        where = f"seed {self._seed}, "
        where += f"environment {i}, " if len(self._worlds) > 1 else ""
        where += f"episode {int(held.episode[i])}, step {int(held.steps[i])}"
        return fault_at(self._driver._env_name, where, said)


def _mask_of(info: dict[str, Any], actions: Any, ended: bool) -> np.ndarray:
    """The actions allowed; all, where an environment that has ended allows none."""
    n = actions.n_choices
    mask = np.asarray(info.get(MASK), bool) if MASK in info else np.ones(n, bool)
    if mask.shape != (n,):
        raise EnvironmentFault(f"its action_mask must have shape ({n},). Got shape {mask.shape}")
    if all(part.any() for part in actions.parts(mask)):
        return mask
    if not ended:
        raise EnvironmentFault("its action_mask allows no action")
    return np.ones(n, bool)


def _checked_action(action: np.ndarray) -> np.ndarray:
    """An action to be taken; a copy, so that an environment may do with it as it likes."""
    if not np.isfinite(action).all():
        raise EnvironmentFault(
            f"its action would be {action.tolist()}: training has diverged. Use a lower learning_rate or max_grad_norm"
        )
    return action.copy()
