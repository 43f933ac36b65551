"""Frames kept once against the stacks that Gymnasium's own wrapper gave."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, TimeLimit

from qfix.errors import OptionError
from qfix.replay.host import HostReplay
from replay.twins import Twin, random_bits

HEIGHT, WIDTH = 3, 2


class Noise(gymnasium.Env):
    """Random pictures; an episode terminates with a chance of 0.15 a step."""

    observation_space = gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def _picture(self):
        return self.np_random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        return self._picture(), float(action), self.np_random.random() < 0.15, False, {}


def wrapped_steps(n_envs, k, count, longest):
    """Rows as a driver adds them, frames moved to the last axis."""
    envs = [FrameStackObservation(TimeLimit(Noise(), longest), k) for _ in range(n_envs)]
    obs = [env.reset(seed=i)[0] for i, env in enumerate(envs)]
    rng = np.random.default_rng(k)
    for _ in range(count):
        action = rng.integers(0, 3, n_envs)
        found = [env.step(a) for env, a in zip(envs, action)]
        next_obs, reward, terminated, truncated = (list(column) for column in list(zip(*found))[:4])
        ended = np.logical_or(terminated, truncated)
        moved = (np.moveaxis(np.stack(stacks), 1, -1) for stacks in (obs, next_obs))
        yield next(moved), action, np.array(reward), np.array(terminated), ended, next(moved)
        obs = [env.reset()[0] if over else after for env, over, after in zip(envs, ended, next_obs)]


def memories(capacity, n_envs, k, n_step=1, **options):
    shape = ((HEIGHT, WIDTH, k), np.uint8)
    plain = HostReplay(capacity, n_envs, shape, n_step, 0.9, **options)
    return plain, HostReplay(capacity, n_envs, shape, n_step, 0.9, frame_stack=k, **options)


def assert_same(one, other):
    np.testing.assert_array_equal(one.index, other.index)
    np.testing.assert_array_equal(one.probability, other.probability)
    for name in ("obs", "action", "reward", "discount", "next_obs"):
        np.testing.assert_array_equal(getattr(one.batch, name), getattr(other.batch, name), err_msg=name)


@pytest.mark.parametrize("longest", [1, 2, 7, 1000])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(
    ("capacity", "n_envs", "k"), [(1, 1, 4), (2, 2, 3), (23, 2, 4), (40, 3, 1), (30, 1, 2)]
)
def test_stacks_are_those_the_environment_gave(capacity, n_envs, k, n_step, longest):
    rng = np.random.default_rng(1)
    plain, frames = memories(capacity, n_envs, k, n_step)
    for row in wrapped_steps(n_envs, k, 70, longest):
        plain.add(*row)
        frames.add(*row)
        every = np.arange(plain.size, dtype=np.uint32)  # every transition held, those at the seam among them
        assert_same(frames.sample(every), plain.sample(every))
        bits = random_bits(rng, 4)
        assert_same(frames.sample(bits), plain.sample(bits))


@pytest.mark.parametrize("n_step", [1, 3])
def test_frames_first_are_the_same_frames(n_step):
    """As the wrapper gives them."""
    _, last = memories(23, 2, 4, n_step)
    first = HostReplay(23, 2, ((4, HEIGHT, WIDTH), np.uint8), n_step, 0.9, frame_stack=4, frames_first=True)
    for obs, *rest, next_obs in wrapped_steps(2, 4, 60, 7):
        last.add(obs, *rest, next_obs)
        first.add(np.moveaxis(obs, -1, 1), *rest, np.moveaxis(next_obs, -1, 1))
    every = np.arange(last.size, dtype=np.uint32)
    one, other = first.sample(every), last.sample(every)
    assert one.batch.obs.flags.c_contiguous
    moved = {name: np.moveaxis(getattr(one.batch, name), 1, -1) for name in ("obs", "next_obs")}
    assert_same(one._replace(batch=one.batch._replace(**moved)), other)
    for name, array in first.pack().items():
        np.testing.assert_array_equal(array, last.pack()[name], err_msg=name)
    with pytest.raises(OptionError, match="the first axis"):
        HostReplay(23, 2, ((HEIGHT, WIDTH, 4), np.uint8), frame_stack=4, frames_first=True)


def test_an_episode_that_is_broken_off_ends_as_a_truncated_one():
    """Every few steps all environments are left in the middle of an episode, or at its end, and begun anew."""
    rng = np.random.default_rng(1)
    plain, frames = memories(22, 3, 3, 3)
    every_one = np.ones(3, bool)
    frames.break_off(every_one)  # nothing is there to end
    for _ in range(12):
        for row in wrapped_steps(3, 3, int(rng.integers(1, 6)), 4):
            plain.add(*row)
            frames.add(*row)
        for kept in (plain, frames):
            kept.break_off(every_one)
            kept.break_off(every_one)
        every = np.arange(plain.size, dtype=np.uint32)
        assert_same(frames.sample(every), plain.sample(every))
        _, again = memories(22, 3, 3, 3)
        again.unpack({name: array.copy() for name, array in frames.pack().items()})
        assert_same(again.sample(every), plain.sample(every))


def test_one_episode_is_broken_off_where_another_has_ended():
    """The final frames of a row stay in the order of its environments."""
    plain, frames = memories(20, 3, 2)
    rows = list(wrapped_steps(3, 2, 60, 1000))
    t = next(t for t, row in enumerate(rows) if row[4].tolist() == [False, False, True])
    for row in rows[: t + 1]:
        frames.add(*row)
        plain.add(*row)
    for kept in (plain, frames):
        kept.break_off(np.array([True, False, False]))
    assert plain.pack()["ended"].reshape(-1, 3)[t % 7].tolist() == [True, False, True]
    _, again = memories(20, 3, 2)
    again.unpack(frames.pack())
    every = np.arange(plain.size, dtype=np.uint32)
    for kept in (frames, again):
        assert_same(kept.sample(every), plain.sample(every))


def test_the_twin_agrees_about_stacks():
    _, frames = memories(20, 2, 3, 2)
    twin = Twin(20, 2, 2, 0.9)
    for row in wrapped_steps(2, 3, 50, 9):
        frames.add(*row)
        twin.steps.append(Row(*row))
        twin.check(frames.sample(random_bits(np.random.default_rng(2), 8)))


class Row:
    def __init__(self, obs, action, reward, terminated, ended, next_obs):
        self.obs, self.action, self.reward, self.next_obs = obs, action, reward, next_obs
        self.terminated, self.ended, self.mask_next = terminated, ended, None


def test_frames_may_lie_in_a_folder(tmp_path):
    plain, _ = memories(20, 2, 3)
    mapped = HostReplay(20, 2, ((HEIGHT, WIDTH, 3), np.uint8), 1, 0.9, folder=tmp_path, frame_stack=3)
    for row in wrapped_steps(2, 3, 50, 9):
        plain.add(*row)
        mapped.add(*row)
    bits = random_bits(np.random.default_rng(3))
    assert_same(mapped.sample(bits), plain.sample(bits))
    assert (tmp_path / "frames.bin").stat().st_size == HEIGHT * WIDTH * 2 * (10 + 2)


def test_a_memory_of_frames_takes_the_bytes_it_says():
    _, frames = memories(1000, 2, 4)
    for row in wrapped_steps(2, 4, 600, 1000):
        frames.add(*row)
    arrays, frame = frames.pack(), HEIGHT * WIDTH
    assert arrays["frames"].nbytes == frame * 2 * (500 + 3)
    assert arrays["finals"].nbytes == frame * np.count_nonzero(arrays["ended"])


def test_stacks_that_do_not_follow_are_refused():
    _, frames = memories(20, 1, 3)
    rows = list(wrapped_steps(1, 3, 5, 1000))
    torn = rows[0][0].copy()
    torn[..., 0] += 1
    with pytest.raises(OptionError, match="where an episode starts"):
        frames.add(torn, *rows[0][1:])
    goes_on = next(t for t, row in enumerate(rows) if not row[4][0])
    for row in rows[: goes_on + 1]:
        frames.add(*row)
    with pytest.raises(OptionError, match="must go on from"):
        frames.add(*rows[goes_on + 2])
    assert frames.size == goes_on + 1
    frames.add(*rows[goes_on + 1])
