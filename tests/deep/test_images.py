"""Images: what the host driver remembers of them, and that learning from them is learning from anything else."""

from functools import lru_cache

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, TimeLimit

from deep.running import assert_same, trainer_of
from qfix.assembly import make_config
from qfix.deep import memory
from qfix.deep.memory import HostMemory, stacked_frames
from qfix.deep.observations import codec_for
from qfix.envs.jax.protocol import Step
from qfix.envs.jax.view import JaxEnvView
from qfix.errors import EnvironmentFault, OptionError, SpaceError
from qfix.mdp.simulate import episode_seed

SIDE, STACK = 36, 4


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Not here: a convolution that is not optimised takes longer than its compilation."""


class Snow(gymnasium.Env):
    """Random pictures; pays the brightness of the first pixel, and terminates with a chance of 0.1 a step."""

    observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def _picture(self):
        return self.np_random.integers(0, 256, (SIDE, SIDE), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        picture = self._picture()
        return picture, picture[0, 0] / 255 - 0.1 * action, self.np_random.random() < 0.1, False, {}


def snow():
    return TimeLimit(FrameStackObservation(Snow(), STACK), 7)


class Unknown(gymnasium.Wrapper):
    """Changes nothing, which nobody can know."""


def unknown():
    return Unknown(snow())


REPLAY = {
    "num_envs": 2,
    "batch_size": 8,
    "buffer_size": 61,
    "learning_starts": 20,
    "train_every": 3,
    "network": "mlp",
    "hidden": (8,),
    "epsilon": 0.3,
    "n_step": 3,
    "prioritized": True,
}
ROLLOUT = {name: REPLAY[name] for name in ("num_envs", "network", "hidden", "epsilon")} | {
    "num_steps": 5,
    "num_minibatches": 2,
    "num_epochs": 2,
}


def trainer(algorithm, make_env=snow, **options):
    usual = REPLAY if algorithm == "dqn" else ROLLOUT
    return trainer_of(algorithm, make_env, "host", seeds=(4,), **(usual | options))


shared = lru_cache(trainer)


def learned(packed):
    return {name: array for name, array in packed.items() if ".memory." not in name and ".world." not in name}


def test_frame_stacks_are_known_where_nothing_else_changes_them():
    def found(env):
        return stacked_frames(env, codec_for(env.observation_space).input)

    assert found(snow()) == STACK
    assert found(FrameStackObservation(Snow(), 3)) == 3
    assert found(Unknown(snow())) is None
    assert found(FrameStackObservation(Snow(), STACK, padding_type="zero")) is None
    assert found(FrameStackObservation(gymnasium.make("CartPole-v1"), STACK)) is None
    assert found(gymnasium.make("CartPole-v1")) is None


@pytest.mark.parametrize("where", ["ram", "disk"])
def test_each_frame_kept_once_is_both_observations_of_each_step(where, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    frames, pairs = shared("dqn", memory=where), shared("dqn", unknown, memory="ram")
    assert "each frame once" in frames.memory
    one, _ = frames.advance(frames.start(), 180)
    other, _ = pairs.advance(pairs.start(), 180)
    packed, expected = frames.pack(one), pairs.pack(other)
    assert packed["0.compiled.learner.updates"] > 20
    assert_same(learned(packed), learned(expected))
    for name in ("reward", "action", "terminated", "ended", "priorities", "position"):
        np.testing.assert_array_equal(packed[f"0.memory.{name}"], expected[f"0.memory.{name}"])
    assert packed["0.memory.ended"].sum() > packed["0.memory.terminated"].sum()  # some were truncated
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["dqn", "pqn"])
def test_a_run_goes_on_in_the_middle_of_an_episode(algorithm):
    one = other = shared("pqn")
    if algorithm == "dqn":
        one, other = shared("dqn", memory="ram"), shared("dqn", memory="disk")
    whole, _ = one.advance(one.start(), 190)
    end = one.pack(whole)
    part, _ = one.advance(one.start(), 113)
    packed = {name: array.copy() for name, array in one.pack(part).items()}
    assert packed["0.world.0.actions"].size + packed["0.world.1.actions"].size > 0
    state = other.unpack(packed)
    assert "restored in the middle" in state.notes[0]
    state, _ = other.advance(state, 190 - 113)
    assert_same(other.pack(state), end)


class Moody(Snow):
    """Its pictures do not obey the seed, and its step number `fails_at` fails."""

    fails_at = None

    def __init__(self):
        self.count = 0

    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        return self._picture(), info

    def _picture(self):
        return np.random.default_rng().integers(0, 256, (SIDE, SIDE), np.uint8)

    def step(self, action):
        self.count += 1
        if self.count == self.fails_at:
            raise RuntimeError("no signal")
        return super().step(action)


def moody():
    return TimeLimit(FrameStackObservation(Moody(), STACK), 7)


def test_an_episode_that_cannot_be_restored_is_cut_off_in_the_memory():
    made = trainer("dqn", moody)
    state, _ = made.advance(made.start(), 50)
    packed = made.pack(state)
    running = [packed[f"0.world.{k}.running"][0] and packed[f"0.world.{k}.actions"].size for k in range(2)]
    state = made.unpack(packed)
    assert len(state.notes) == sum(map(bool, running)) > 0
    assert all("a fresh episode was begun" in note for note in state.notes)
    assert made.pack(state)["0.memory.ended"][-2:].all()
    assert not made.pack(state)["0.memory.terminated"][-2:].all()
    state, _ = made.advance(state, 90)  # a stack that did not follow would be refused
    assert made.pack(made.unpack(made.pack(state))).keys() == packed.keys()


def test_a_step_that_nobody_learned_of_is_cut_off_in_the_memory(monkeypatch):
    """The second environment fails: the first has made the same step, and its episode is begun anew, too."""
    monkeypatch.setattr(Moody, "fails_at", 12)
    envs = iter([snow, snow, moody])  # one to look at
    made = trainer("dqn", lambda: next(envs)())
    with pytest.raises(EnvironmentFault, match=r"environment 1.*no signal"):
        made.advance(state := made.start(), 60)
    packed = made.pack(state)
    assert packed["0.memory.filled"] == 11
    assert packed["0.memory.ended"][-2:].all()
    assert not packed["0.world.0.running"][0]
    state, _ = made.advance(state, 60)
    assert made.pack(state)["0.memory.filled"] > 11


def test_rollouts_hold_what_was_seen(monkeypatch):
    """Every row is what the environment gave, in its order, whether or not an episode ended before it."""
    made = shared("pqn")
    driver, rollouts = made._host, []
    learn = driver._learn_rollout

    def noted(mind, steps, *rest):
        rollouts.append((np.array(steps.obs), np.array(steps.ended), np.array(steps.action)))
        return learn(mind, steps, *rest)

    monkeypatch.setattr(driver, "_learn_rollout", noted)
    state, _ = made.advance(made.start(), 40)
    assert len(rollouts) == 4
    obs, ended, action = (np.concatenate(column) for column in zip(*rollouts))
    assert obs.shape == (20, 2, STACK, SIDE, SIDE)
    assert 0 < ended.sum() < 20
    for i in range(2):
        env, episode = snow(), 0
        seen, _ = env.reset(seed=int(episode_seed(4, i, 0)))
        for t in range(20):
            np.testing.assert_array_equal(obs[t, i], seen)
            seen, _, terminated, truncated, _ = env.step(int(action[t, i]))
            assert (terminated or truncated) == ended[t, i]
            if ended[t, i]:
                episode += 1
                seen, _ = env.reset(seed=int(episode_seed(4, i, episode)))
        np.testing.assert_array_equal(made.pack(state)["0.held.obs"][i], seen)


# How large it is and where


def host_memory(where="auto", n_seeds=1, frame_stack=STACK, capacity=1000):
    data = make_config("dqn", {"buffer_size": capacity, "n_step": 3, "prioritized": True}).data
    given = codec_for(snow().observation_space).input
    return HostMemory("dqn", data, where, 2, n_seeds, given, frame_stack, None, None, 0.9)


def test_a_memory_says_what_it_takes():
    frame = SIDE * SIDE
    assert host_memory().nbytes == frame * 2 * (500 + 3) + 26 * 1000
    assert host_memory(frame_stack=None).nbytes == 2 * STACK * frame * 1000 + 21 * 1000
    packed = host_memory()().pack()
    assert sum(array.nbytes for array in packed.values()) < 2 * frame + 100  # nothing before it is filled


def test_a_memory_goes_to_the_disk_where_it_would_not_fit(monkeypatch):
    nbytes = host_memory().nbytes
    monkeypatch.setattr(memory, "available_bytes", lambda: 6.5 * nbytes)
    assert not host_memory(n_seeds=3).on_disk
    assert host_memory(n_seeds=4).on_disk
    assert not host_memory("ram", n_seeds=4).on_disk
    assert host_memory("disk").on_disk
    assert "1.33 MB in a file" in repr(host_memory("disk"))


def test_a_disk_that_is_too_small_is_told_of_before_any_work(monkeypatch):
    class Usage:
        free = 1_000_000

    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(OptionError, match=r"'buffer_size' parameter of dqn .*0\.0 GB of disk.*TMPDIR"):
        host_memory("disk")()


# The rest of the way


def test_an_image_of_another_shape_is_refused():
    encode = codec_for(snow().observation_space).encode
    with pytest.raises(SpaceError, match=r"must have shape \(4, 36, 36\). Got shape \(36, 36\)"):
        encode(np.zeros((SIDE, SIDE), np.uint8))


def test_images_are_not_normalised_by_what_was_seen():
    with pytest.raises(OptionError, match="'normalize_observations' parameter of dqn must be False"):
        trainer("dqn", normalize_observations=True)


class Slides:
    """A picture for each of ten states, one after the other; pays for the parity of the state. For the device."""

    observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = 6

    def _picture(self, state):
        return (jnp.arange(SIDE * SIDE * 3).reshape(SIDE, SIDE, 3) * (state + 3) % 251).astype(jnp.uint8)

    def reset(self, key):
        return jnp.int32(0), self._picture(0)

    def step(self, state, action, key):
        after = (state + 1 + action) % 10
        reward = jnp.where(action == state % 2, 1.0, -0.5).astype(jnp.float32)
        return Step(after, self._picture(after), reward, after == 9, jnp.bool_(False))


def slides():
    return TimeLimit(JaxEnvView(Slides()), Slides.max_episode_steps)


def test_device_and_host_learn_the_same_from_images():
    options = ROLLOUT | {"network": "auto", "learning_rate": 1e-3}
    device, host = (trainer_of("pqn", slides, driver, seeds=(4,), **options) for driver in ("device", "host"))
    assert device.network.torso == "nature"
    one, _ = device.advance(device.start(), 60)
    other, _ = host.advance(host.start(), 60)
    mine, expected = device.pack(one)["0.learner.params"], host.pack(other)["0.compiled.learner.params"]
    assert np.abs(expected - host.pack(host.start())["0.compiled.learner.params"]).max() > 1e-3
    np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-4)
    policy = host.policy(other)
    image = np.asarray(jax.device_get(Slides()._picture(4)))
    np.testing.assert_allclose(
        policy.action_values(image), device.policy(one).action_values(image), atol=1e-2
    )


# Images among other parts


class Bars(gymnasium.Env):
    """A bar somewhere in a picture, level or upright, and a number: pays 1 for whether it is level, the other way round
    where the number is 1."""

    observation_space = gymnasium.spaces.Dict(
        noise=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        picture=gymnasium.spaces.Box(0, 255, (8, 8, 1), np.uint8),
        turned=gymnasium.spaces.Discrete(2),
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        rng = self.np_random
        level, turned = rng.integers(2, size=2)
        picture = np.zeros((8, 8, 1), np.uint8)
        a, b = rng.integers(8), rng.integers(6)
        picture[(a, slice(b, b + 3)) if level else (slice(b, b + 3), a)] = 255
        self.right = int(level ^ turned)
        noise = rng.uniform(-1.0, 1.0, 2).astype(np.float32)
        return {"noise": noise, "picture": picture, "turned": int(turned)}, {}

    def step(self, action):
        paid = float(action == self.right)
        return self.reset()[0], paid, True, False, {}


def test_a_picture_among_other_parts_is_learned_from():
    """Neither part says anything alone: without one of them half of the actions are right."""
    options = {
        "num_envs": 8,
        "batch_size": 64,
        "train_every": 1,
        "learning_starts": 200,
        "epsilon": 1.0,
        "gamma": 0.0,
    }
    options |= {"buffer_size": 4_000, "hidden": (32,), "learning_rate": 2e-3}
    made = trainer_of("dqn", Bars, "host", (3,), total_steps=6_000, **options)
    assert made.network.torso == "minatar"
    state, _ = made.advance(made.start(), 6_000)
    policy, env = made.policy(state), Bars()
    met = [(env.reset(seed=seed)[0], env.right) for seed in range(400)]
    seen, right = [observation for observation, _ in met], np.array([answer for _, answer in met])
    assert (policy.predict(seen) == right).mean() > 0.95
    blind = [one | {"picture": np.zeros((8, 8, 1), np.uint8)} for one in seen]
    assert (policy.predict(blind) == right).mean() < 0.65  # six standard deviations


def test_numbers_beside_a_picture_are_not_normalised():
    with pytest.raises(
        OptionError, match=r"'normalize_observations' .* or have images among their parts.*wrapper"
    ):
        trainer("dqn", Bars, normalize_observations=True)
