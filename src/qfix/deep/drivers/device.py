"""Environments written in JAX: acting, stepping, remembering and learning are one compiled program.

A *unit* of work is what comes round again: some steps of N environments, then a round of learning. The program makes as
many units as it is asked for, in one loop without a branch: the units before the first gradient step are a program of
their own. Finished episodes are handed over in a log of one row a step, which the host reads afterwards.

An episode is a function of (seed, environment, episode): its starting state is drawn by the key of that folded
with 0, and its t-th step by the key folded with t. The final observation of a step is what the step gave; what comes
after a reset is kept apart from it.

Seeds are programs of their own, one a core, where cores are what there is; on an accelerator all seeds are one program,
mapped over them. Where the memory stands is the same for all of them and is not mapped: a row is written by one slice,
and no branch becomes a choice between two memories.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qfix.deep.acting import Chance, act, chances_at
from qfix.deep.data import Replay, Rollout, Steps
from qfix.deep.learner import Learner, Rates, Setup, learned_reward
from qfix.deep.recurrence import learned, priorities_of
from qfix.deep.streams import LEARN, WEIGHTS, episode_keys, learning_keys, seed_words, stream
from qfix.envs.jax.protocol import JaxEnv
from qfix.replay.batch import Transition
from qfix.replay.device import DeviceReplay, Memory
from qfix.replay.priorities import importance_weights

Array = Any

_LOG_ROWS = 1 << 16  # numbers of environments times steps that a log has room for
_MOST_UNITS = 1 << 12  # in one call


class Worlds(NamedTuple):
    """N environments, each in the middle of an episode."""

    state: Any  # of each environment, leading axis N
    obs: Array  # (N, *shape)
    episode: Array  # (N,) int32 index of the running episode
    steps: Array  # (N,) int32 steps in it
    total: Array  # (N,) float32 return of it so far
    lost: Array  # (N,) float32 what rounding has taken from it (Kahan 1965)
    rnn_state: (
        Array  # (N, H) float32 state of the network before it sees the observation; H = 0 where it has none
    )


class Carry(NamedTuple):
    """All of a seed."""

    words: Array  # (2,) uint32, the seed
    learner: Learner
    memory: Any  # of DeviceReplay; () where there is none
    worlds: Worlds
    report: Any  # of the last gradient step
    largest_reward: Array  # () float32, of |reward| as it is learned from


class DeviceDriver:
    """Trains seeds on environments in JAX, one at a time or together.

    Args:
        setup: options and network.
        algorithm: the module of the algorithm: `init`, `update` and, on rollouts, `bootstrap`.
        env: the environment.
    """

    def __init__(self, setup: Setup, algorithm: Any, env: JaxEnv) -> None:
        self.setup = setup
        self._algorithm = algorithm
        self._env = env
        config: Any = setup.config
        self.data: Replay | Rollout = config.data
        self.n_envs = config.num_envs
        self._replay = None
        self.first_learning = 0
        if isinstance(self.data, Replay):
            d = self.data
            self._replay = DeviceReplay(
                d.capacity, self.n_envs, d.n_step, config.gamma, d.priority_exponent, d.rows
            )
            self.first_learning = d.first_learning(self.n_envs)
        self.most_units = max(1, min(_MOST_UNITS, _LOG_ROWS // self.unit_steps))
        self._run = {
            learning: jax.jit(partial(self._units, learning=learning), donate_argnums=0)
            for learning in (False, True)
        }
        self.together = jax.default_backend() != "cpu"
        """Whether seeds are trained together."""
        self._together: dict[tuple[int, bool], Any] = {}
        self._start = jax.jit(self._begin)

    @property
    def unit_steps(self) -> int:
        """Environment steps of a unit, all environments together."""
        return self.data.steps * self.n_envs

    def start(self, seed: int) -> Carry:
        """A seed before its first step."""
        return self._start(seed_words(seed))

    def advance(self, carry: Carry, first: int, units: int, rates: np.ndarray) -> tuple[Carry, np.ndarray]:
        """Some units, at most `most_units`, all before or all after the first learning.

        Args:
            carry: of the seed; spent by this call.
            first: units made before.
            units: to be made.
            rates: (units, 3) exploration, learning rate and beta of each.

        Returns:
            The seed afterwards, and (steps, N, 2) the return and the length of each episode that ended at a step of an
            environment; length 0: none did.
        """
        run = self._run[first >= self.first_learning]
        carry, log = run(carry, np.int32(first), np.int32(units), self._padded(rates))
        return carry, np.asarray(log)[: units * self.data.steps]

    def advance_together(
        self, carries: list[Carry], first: int, units: int, rates: np.ndarray
    ) -> tuple[list[Carry], np.ndarray]:
        """`advance` of several seeds that have made as many units; the log has an axis of seeds in front."""
        run = self._run_together(len(carries), first >= self.first_learning)
        after, log = run(carries, np.int32(first), np.int32(units), self._padded(rates))
        return after, np.asarray(log)[:, : units * self.data.steps]

    def _padded(self, rates: np.ndarray) -> np.ndarray:
        """(most_units, 3) of rates (units, 3): programs are made for one shape."""
        padded = np.zeros((self.most_units, 3), np.float32)
        padded[: len(rates)] = rates
        return padded

    def _run_together(self, n_seeds: int, learning: bool) -> Any:
        """The program of so many seeds, compiled once."""
        key = n_seeds, learning
        if key not in self._together:
            self._together[key] = self._mapped(n_seeds, learning)
        return self._together[key]

    def _mapped(self, n_seeds: int, learning: bool) -> Any:
        memory: Any = 0 if self._replay is None else Memory(0, None, None, 0)  # type: ignore[arg-type]
        mapped = Carry(0, 0, memory, 0, 0, 0)  # type: ignore[arg-type]
        units = jax.vmap(partial(self._units, learning=learning), (mapped, None, None, None), (mapped, 0))

        def run(carries: list[Carry], *rest: Any) -> tuple[list[Carry], Array]:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries)
            if self._replay is not None:
                stacked = stacked._replace(memory=_standing(stacked.memory, carries[0].memory))
            after, log = units(stacked, *rest)
            alone = []
            for i in range(n_seeds):
                one = jax.tree.map(lambda x: x[i] if jnp.ndim(x) else x, after)  # noqa: B023 - called at once
                if self._replay is not None:
                    one = one._replace(memory=_standing(one.memory, after.memory))
                alone.append(one)
            return alone, log

        return jax.jit(run, donate_argnums=0)

    # What is compiled

    def _begin(self, words: Array) -> Carry:
        setup, n = self.setup, self.n_envs
        learner = self._algorithm.init(setup, stream(words, WEIGHTS))
        episode = jnp.zeros(n, jnp.int32)
        state, obs = self._reset(words, episode)
        nothing = jnp.zeros(n, jnp.float32)
        rnn_state = jnp.zeros((n, setup.network.n_state), jnp.float32)
        worlds = Worlds(state, self._kept(obs), episode, jnp.zeros(n, jnp.int32), nothing, nothing, rnn_state)
        size = self.data.batch_size
        memory: Any = ()
        if self._replay is not None:
            flag = jnp.zeros(n, bool)
            actions = setup.network.actions
            memory = self._replay.start(
                Transition(
                    worlds.obs,
                    jnp.zeros((n, *actions.shape), actions.dtype),
                    nothing,
                    flag,
                    flag,
                    worlds.obs,
                    state=self._remembered(worlds),
                )
            )
        return Carry(
            words, learner, memory, worlds, setup.config.measuring.blank_report(size), jnp.float32(0)
        )

    def _reset(self, words: Array, episode: Array) -> tuple[Any, Array]:
        """Starts of the episodes (N,): drawn by the 0th key of each, as step t is by the t-th."""
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(episode_keys(words, episode), 0)
        state, obs = jax.vmap(self._env.reset)(keys)
        return state, obs

    def _kept(self, obs: Array) -> Array:
        given = self.setup.network.given
        return obs.reshape((self.n_envs, *given.shape)).astype(given.dtype)

    def _remembered(self, worlds: Worlds) -> Array | None:
        """The states of the network, as the memory keeps them."""
        return worlds.rnn_state if self.setup.network.n_state else None

    def _units(
        self, carry: Carry, first: Array, units: Array, rates: Array, *, learning: bool
    ) -> tuple[Carry, Array]:
        log = jnp.zeros((self.most_units * self.data.steps, self.n_envs, 2), jnp.float32)

        def unit(i: Array, both: tuple[Carry, Array]) -> tuple[Carry, Array]:
            now = Rates(rates[i, 0], rates[i, 1], rates[i, 2])
            body = self._replay_unit if isinstance(self.data, Replay) else self._rollout_unit
            return body(both[0], both[1], i, first + i, now, learning)

        return jax.lax.fori_loop(0, units, unit, (carry, log))

    def _replay_unit(
        self, carry: Carry, log: Array, i: Array, number: Array, rates: Rates, learning: bool
    ) -> tuple[Carry, Array]:
        data, replay = self.data, self._replay
        assert isinstance(data, Replay)
        assert replay is not None

        chances = self._chances(carry, number)

        def step(t: Array, both: tuple[Carry, Array]) -> tuple[Carry, Array]:
            carry, log = both
            carry, step, row, *_ = self._step(carry, rates, jax.tree.map(lambda x: x[t], chances))
            carry = carry._replace(memory=replay.add(carry.memory, step))
            return carry, jax.lax.dynamic_update_index_in_dim(log, row, i * data.steps + t, 0)

        carry, log = _repeated(data.steps, step, (carry, log))
        if not learning:
            return carry, log

        def learn(g: Array, carry: Carry) -> Carry:
            draw_key, update_key = learning_keys(carry.words, number * data.gradient_steps + g)
            bits = jax.random.bits(draw_key, (data.draws,), jnp.uint32)
            drawn, index, chance = replay.sample(carry.memory, bits)
            weight = jnp.ones(data.draws)
            if data.priority_exponent is not None:
                weight = importance_weights(chance, replay.size(carry.memory), rates.beta)
            learner, report = learned(
                self._algorithm, self.setup, carry.learner, drawn, weight, rates, update_key
            )
            memory = carry.memory
            if data.priority_exponent is not None:
                priority = priorities_of(jnp, report.td_error, data.draws)
                memory = replay.update_priorities(memory, index, priority)
            return carry._replace(learner=learner, memory=memory, report=report)

        return _repeated(data.gradient_steps, learn, carry), log

    def _rollout_unit(
        self, carry: Carry, log: Array, i: Array, number: Array, rates: Rates, learning: bool
    ) -> tuple[Carry, Array]:
        length, algorithm, setup = self.data.steps, self._algorithm, self.setup
        gamma = np.float32(setup.config.gamma)

        rnn_state = carry.worlds.rnn_state

        def step(carry: Carry, chance: Chance) -> tuple[Carry, Any]:
            before = carry.worlds.obs
            carry, made, row, extras, behind = self._step(carry, rates, chance)
            cut = made.ended & ~made.terminated
            final = jax.lax.cond(
                jnp.any(cut),
                lambda: jnp.where(
                    cut, algorithm.bootstrap(setup, carry.learner, made.next_obs, None, behind), 0.0
                ).astype(jnp.float32),
                lambda: jnp.zeros(self.n_envs, jnp.float32),
            )
            discount = gamma * (1.0 - made.terminated.astype(jnp.float32))
            column = {
                "obs": before,
                "action": made.action,
                "reward": made.reward,
                "discount": discount,
                "ended": made.ended,
                "extras": extras,
                "value_final": final,
            }
            return carry, (column, row)

        carry, (columns, rows) = jax.lax.scan(step, carry, self._chances(carry, number))
        worlds = carry.worlds
        last = algorithm.bootstrap(setup, carry.learner, worlds.obs, None, worlds.rnn_state)
        key = stream(carry.words, LEARN, number)
        learner, report = algorithm.update(
            setup, carry.learner, Steps(**columns, value_last=last, mask=None, state=rnn_state), rates, key
        )
        log = jax.lax.dynamic_update_slice_in_dim(log, rows, i * length, 0)
        return carry._replace(learner=learner, report=report), log

    def _chances(self, carry: Carry, number: Array) -> Chance:
        """The random numbers of the steps of a unit, drawn at once."""
        length = self.data.steps
        counts = number * length + jnp.arange(length, dtype=jnp.int32)
        return chances_at(carry.words, counts, self.n_envs)

    def _step(
        self, carry: Carry, rates: Rates, chance: Chance
    ) -> tuple[Carry, Transition, Array, Array, Array]:
        """One step of every environment: the seed afterwards, what happened, a row of the log, the values that the
        actions were chosen by, and the states of the network behind them."""
        setup, worlds, env = self.setup, carry.worlds, self._env
        learner = setup.with_observations(carry.learner, worlds.obs)
        action, extras, behind = act(setup, learner, worlds.obs, None, worlds.rnn_state, rates, chance)
        keys = jax.vmap(jax.random.fold_in)(episode_keys(carry.words, worlds.episode), worlds.steps + 1)
        made = jax.vmap(env.step)(worlds.state, setup.network.actions.applied(jnp, action), keys)
        steps = worlds.steps + 1
        total, lost = summed(worlds.total, worlds.lost, made.reward)
        terminated = made.terminated
        ended = terminated | made.truncated
        if env.max_episode_steps is not None:
            ended = ended | (steps >= env.max_episode_steps)
        episode = worlds.episode + ended
        reward = learned_reward(setup.config, made.reward.astype(jnp.float32))
        following = self._kept(made.observation)
        state, obs = jax.lax.cond(
            jnp.any(ended),
            lambda: self._with_fresh(carry.words, ended, episode, made.state, following),
            lambda: (made.state, following),
        )
        after = Worlds(
            state,
            obs,
            episode,
            jnp.where(ended, 0, steps),
            jnp.where(ended, 0.0, total),
            jnp.where(ended, 0.0, lost),
            jnp.where(ended[:, None], 0.0, behind),
        )
        row = jnp.stack([total, jnp.where(ended, steps, 0).astype(jnp.float32)], axis=-1)
        step = Transition(
            worlds.obs, action, reward, terminated, ended, following, state=self._remembered(worlds)
        )
        largest = jnp.maximum(carry.largest_reward, jnp.max(jnp.abs(reward)))
        carry = carry._replace(learner=learner, worlds=after, largest_reward=largest)
        return carry, step, row, extras, behind

    def _with_fresh(
        self, words: Array, ended: Array, episode: Array, state: Any, obs: Array
    ) -> tuple[Any, Array]:
        """States and observations, those of a new episode where one has ended."""
        fresh, first_obs = self._reset(words, episode)

        def begun(new: Array, old: Array) -> Array:
            return jnp.where(ended.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        return jax.tree.map(begun, fresh, state), begun(self._kept(first_obs), obs)


def _standing(memory: Memory, other: Memory) -> Memory:
    """A memory that stands where another does."""
    return memory._replace(position=other.position, filled=other.filled)


def summed(total: Array, lost: Array, more: Array) -> tuple[Array, Array]:
    """A sum and what rounding has taken from it, with one more number: exact to float32 over any length.

    Source: Kahan (1965), Further remarks on reducing truncation errors.
    """
    more = more - lost
    larger = total + more
    return larger, (larger - total) - more


def _repeated(times: int, body: Any, carry: Any) -> Any:
    """A loop, or its body where there is one round."""
    if times == 1:
        return body(jnp.int32(0), carry)
    return jax.lax.fori_loop(0, times, body, carry)
