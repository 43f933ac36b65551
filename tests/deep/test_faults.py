"""Environments on the host that break their contract, and such that forbid actions."""

import re

import gymnasium
import numpy as np
import pytest

from deep.running import flat, trainer_of
from deep.steered import steered
from qfix.errors import EnvironmentFault, OptionError
from qfix.mdp.simulate import episode_seed

SEED, WORLD, EPISODE, STEP = 6, 1, 4, 3  # where it breaks


class Fragile(gymnasium.Env):
    """Five steps an episode, the reward is the action; `fault` says what comes back at one step of one episode."""

    observation_space = gymnasium.spaces.Box(0.0, 5.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2, start=3)
    fault, healthy = "none", False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.is_the_one = 0, seed == int(episode_seed(SEED, WORLD, EPISODE))
        if self.is_the_one and self.fault == "reset" and not Fragile.healthy:
            raise OSError("the simulator is gone")
        return self.seen(), self.info()

    def seen(self):
        return np.full(2, self.steps, np.float32)

    def info(self):
        return {"action_mask": np.ones(2, bool)}

    def step(self, action):
        assert action in (3, 4)
        self.steps += 1
        seen, reward, info = self.seen(), float(action - 3), self.info()
        if self.is_the_one and self.steps == STEP + 1 and not Fragile.healthy:
            match self.fault:
                case "raises":
                    raise ZeroDivisionError("division by zero")
                case "reward":
                    reward = np.float64("nan")
                case "infinite":
                    reward = -np.inf
                case "text":
                    reward = "much"
                case "shape":
                    seen = np.zeros(3, np.float32)
                case "missing":
                    seen = None
                case "nothing":
                    info = {"action_mask": np.zeros(2, bool)}
                case "mask":
                    info = {"action_mask": np.ones(3, bool)}
        return seen, reward, self.steps == 5, False, info


FAULTS = {
    "raises": r"it raised ZeroDivisionError: division by zero",
    "reset": r"it raised OSError: the simulator is gone",
    "reward": r"its reward must be finite\. Got nan",
    "infinite": r"its reward must be finite\. Got -inf",
    "text": r"could not convert string to float: 'much'",
    "shape": r"its observation must have shape \(2,\)\. Got shape \(3,\)",
    "missing": r"its observation must have shape \(2,\)|it raised TypeError",
    "mask": r"its action_mask must have shape \(2,\)\. Got shape \(3,\)",
}
FAULTS["nothing"] = r"its action_mask allows no action"
SMALL = {"hidden": (8,), "num_envs": 3, "learning_rate": 0.01, "epsilon": 0.5}
SMALL_POLICY = {name: SMALL[name] for name in ("hidden", "num_envs", "learning_rate")}
OPTIONS = {
    "dqn": SMALL
    | {"train_every": 2, "batch_size": 16, "learning_starts": 0, "n_step": 3, "buffer_size": 500},
    "pqn": SMALL | {"num_steps": 4, "num_minibatches": 2, "num_epochs": 1},
    "ppo": SMALL_POLICY | {"num_steps": 4, "num_minibatches": 2, "num_epochs": 2},
}


@pytest.fixture(scope="module", params=OPTIONS)
def trainer(request):
    """One for all faults: where it breaks is asked of the class."""
    return trainer_of(request.param, Fragile, "host", (2, SEED), **OPTIONS[request.param])


@pytest.fixture(autouse=True)
def sick(monkeypatch):
    monkeypatch.setattr(Fragile, "healthy", False)
    monkeypatch.setattr(Fragile, "fault", "none")


def said_of(trainer, state, seed):
    """What a seed's network says of an observation."""
    policy = trainer.policy(state, seed)
    return getattr(policy, "outputs", policy.action_values)(np.ones(2))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_where_and_another_seed_goes_on(fault, trainer, monkeypatch):
    monkeypatch.setattr(Fragile, "fault", fault)
    state, records = trainer.advance(trainer.start(), 240)
    assert list(records.failures) == list(state.failures) == [1]
    said = records.failures[1]
    step = 0 if fault == "reset" else STEP
    assert "Fragile" in said
    assert f"(seed {SEED}, environment {WORLD}, episode {EPISODE}, step {step})" in said
    assert re.search(FAULTS[fault], said), said

    # another seed has gone on, and the whole units that this one made until then are there
    unit = trainer.unit_steps
    made = EPISODE * 5 + (-1 if fault == "reset" else STEP)
    assert trainer.steps_done(state) == [240, made * 3 // unit * unit]
    assert len(flat(records.lengths[0])) == 240 // 5 // 3 * 3
    assert set(flat(records.lengths[1])) == {5}
    assert np.isfinite(said_of(trainer, state, 1)).all()
    assert not np.array_equal(said_of(trainer, state, 1), said_of(trainer, trainer.start(), 1))

    # the failed one is left alone, and what is packed remembers why
    packed = trainer.pack(state)
    state, records = trainer.advance(state, 60)
    assert trainer.steps_done(state) == [300, made * 3 // unit * unit]
    assert records.failures == {}
    again = trainer.unpack(packed)
    assert again.failures == {1: said}

    # mended, it goes on where it was
    monkeypatch.setattr(Fragile, "healthy", True)
    again.failures.clear()
    again, records = trainer.advance(again, 60)
    assert trainer.steps_done(again) == [300, made * 3 // unit * unit + 60]
    assert set(flat(records.lengths[1])) == {5}


def test_all_seeds_failing_is_an_error_and_can_be_tried_again(trainer, monkeypatch):
    monkeypatch.setattr(Fragile, "fault", "raises")
    alone = trainer_of(trainer.config.owner, Fragile, "host", (SEED,), **OPTIONS[trainer.config.owner])
    state = alone.start()
    for _ in range(2):
        with pytest.raises(EnvironmentFault, match=rf"seed {SEED}, environment {WORLD}, episode {EPISODE}"):
            alone.advance(state, 240)
    assert np.isfinite(said_of(alone, state, 0)).all()
    monkeypatch.setattr(Fragile, "healthy", True)
    before = alone.steps_done(state)[0]
    state, _ = alone.advance(state, 120)
    assert alone.steps_done(state) == [before + 120]


# Forbidden actions


class Forbidding(gymnasium.Env):
    """Of four actions one or two are allowed, by the place; the last pays best where it is allowed."""

    observation_space = gymnasium.spaces.Discrete(5)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.left = int(self.np_random.integers(4)), 6
        return self.at, {"action_mask": self.allowed()}

    def allowed(self):
        # nothing is allowed at the end
        return np.array([self.at == k or (self.at + 1) % 4 == k for k in range(4)]) & (self.at < 4)

    def step(self, action):
        if not self.allowed()[action]:
            raise ValueError(f"{action} is forbidden at {self.at}")
        paid = (self.at + 1) % 4 == action
        self.left -= 1
        over = self.left == 0 and self.at % 2 == 0
        self.at = 4 if over else int(self.np_random.integers(4))
        return self.at, float(paid), over, self.left <= 0 and not over, {"action_mask": self.allowed()}


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("dqn", OPTIONS["dqn"] | {"double": True}),
        ("pqn", OPTIONS["pqn"]),
    ],
)
def test_forbidden_actions_are_never_taken(algorithm, options):
    """The discount is 0, so that q(s, a) is the reward: 1 for the second of the two that are allowed."""
    trainer = trainer_of(algorithm, Forbidding, "host", (3,), gamma=0.0, total_steps=4_000, **options)
    state, _ = trainer.advance(trainer.start(), 4_000)
    assert state.failures == {}
    policy, behaviour = trainer.policy(state), trainer.behaviour(state)
    env = Forbidding()
    total, obs, info = 0.0, *env.reset(seed=1)
    for _ in range(6):
        q = policy.action_values(obs)
        np.testing.assert_allclose(q[[obs, (obs + 1) % 4]], [0.0, 1.0], atol=0.15)
        action = policy.predict(obs, action_mask=info["action_mask"])
        for rng in map(np.random.default_rng, range(20)):
            drawn = behaviour.predict(obs, False, rng, info["action_mask"])
            assert info["action_mask"][drawn]
        obs, reward, over, cut, info = env.step(action)
        total += reward
        if over or cut:
            break
    assert total == 6.0 - env.left
    masks = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(policy.predict(np.arange(4), action_mask=masks), range(4))
    for mask in (np.ones(3, bool), np.zeros(4, bool)):
        with pytest.raises(OptionError, match="'action_mask' parameter of predict"):
            policy.predict(1, action_mask=mask)
    # masks are part of a state
    again = trainer.unpack(trainer.pack(state))
    again, _ = trainer.advance(again, 50)
    assert again.failures == {}


@pytest.mark.parametrize("algorithm", ["reinforce", "a2c", "ppo"])
def test_policies_keep_to_what_is_allowed(algorithm):
    """The better of the two that are allowed is found; the others have no probability, and are never drawn."""
    options = OPTIONS["ppo"] if algorithm == "ppo" else SMALL_POLICY | {"num_steps": 8}
    if algorithm == "a2c":
        options |= {"optimizer": "adam"}  # RMSprop begins too slowly for so few steps
    trainer = trainer_of(algorithm, Forbidding, "host", (3,), gamma=0.0, total_steps=4_000, **options)
    state, _ = trainer.advance(trainer.start(), 4_000)
    assert state.failures == {}
    policy = trainer.policy(state)
    places = np.arange(4)
    masks = np.array([[at == k or (at + 1) % 4 == k for k in range(4)] for at in places])
    chances = policy.probabilities(places, masks)
    assert (chances[~masks] == 0).all()
    assert (chances[places, (places + 1) % 4] > 0.7).all()
    np.testing.assert_array_equal(policy.predict(places, action_mask=masks), (places + 1) % 4)
    drawn = policy.predict(np.repeat(places, 50), False, None, np.repeat(masks, 50, axis=0))
    assert masks[np.repeat(places, 50), drawn].all()
    for mask in (np.ones(3, bool), np.zeros(4, bool)):
        with pytest.raises(OptionError, match="'action_mask' parameter of predict"):
            policy.predict(1, action_mask=mask)
    again = trainer.unpack(trainer.pack(state))
    again, _ = trainer.advance(again, 50)
    assert again.failures == {}


def test_an_action_that_is_no_number_ends_the_seed_with_the_reason():
    """It is the training that has diverged, and not the environment."""
    made = steered("box")
    trainer = trainer_of("ppo", lambda: made, "host", (3,), **(OPTIONS["ppo"] | {"num_envs": 1}))
    state = trainer.start()
    arrays = trainer.pack(state)
    arrays["0.compiled.learner.params"] = np.full_like(arrays["0.compiled.learner.params"], np.nan)
    state = trainer.unpack(arrays)
    with pytest.raises(
        EnvironmentFault, match=r"its action would be .*nan.*training has diverged\. Use a lower"
    ):
        trainer.advance(state, 8)


def test_masks_go_into_the_memory():
    trainer = trainer_of("dqn", Forbidding, "host", (3,), **OPTIONS["dqn"])
    state, _ = trainer.advance(trainer.start(), 120)
    kept = trainer.pack(state)
    places = kept["0.memory.next_obs"].ravel()
    # where an environment that has ended allows nothing, all is: what it is worth does not matter
    expected = [[at == 4 or k in (at, (at + 1) % 4) for k in range(4)] for at in places]
    np.testing.assert_array_equal(kept["0.memory.mask_next"], expected)
