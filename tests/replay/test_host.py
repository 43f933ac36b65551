"""The memory on the host against a list of steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import OptionError
from qfix.replay.host import HostReplay
from replay.twins import Twin, random_bits, random_steps

GAMMA = 0.9


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 25),
    n_envs=st.integers(1, 4),
    n_step=st.integers(1, 5),
    count=st.integers(1, 30),
    priority_exponent=st.sampled_from([None, 0.7]),
    n_actions=st.sampled_from([None, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_are_those_of_a_list_of_steps(
    capacity, n_envs, n_step, count, priority_exponent, n_actions, seed
):
    rng = np.random.default_rng(seed)
    memory = HostReplay(
        capacity, n_envs, ((2,), np.float32), n_step, GAMMA, priority_exponent, n_actions=n_actions
    )
    twin = Twin(capacity, n_envs, n_step, GAMMA)
    for step in random_steps(rng, n_envs, count, n_actions=n_actions):
        memory.add(*step)
        twin.steps.append(step)
        sample = memory.sample(random_bits(rng, 8))
        assert memory.size == twin.size
        assert sample.index.max() < twin.size
        twin.check(sample)
        if priority_exponent is not None:
            memory.update_priorities(sample.index, rng.random(8))


def test_a_window_worked_by_hand():
    memory = HostReplay(3, 1, ((), np.float32), n_step=3, gamma=0.5)
    # Obs 0, 1, 2 in the ring; 0 was overwritten by 3, whose episode was truncated.
    for t, (reward, terminated, ended) in enumerate([(8, 0, 0), (1, 0, 0), (2, 0, 0), (4, 0, 1)]):
        memory.add([t], [t], [reward], [terminated == 1], [ended == 1], [t + 10.0])
    batch = memory.sample(np.arange(3, dtype=np.uint32)).batch
    np.testing.assert_array_equal(batch.obs, [3, 1, 2])
    np.testing.assert_array_equal(batch.reward, [4, 1 + 1 + 1, 2 + 2])
    np.testing.assert_array_equal(batch.discount, [0.5, 0.125, 0.25])
    np.testing.assert_array_equal(batch.next_obs, [13, 13, 13])


def test_a_terminated_step_is_an_ended_one_and_has_no_future():
    memory = HostReplay(4, 1, ((), np.float32), n_step=3, gamma=0.9)
    memory.add([0], [0], [1.0], [True], [False], [1])
    memory.add([5], [0], [7.0], [False], [False], [6])
    batch = memory.sample(np.zeros(1, np.uint32)).batch
    assert (batch.reward[0], batch.discount[0], batch.next_obs[0]) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 3, 2)])
def test_observations_of_any_shape_come_back_as_they_went_in(shape, dtype):
    rng = np.random.default_rng(1)
    memory, twin = HostReplay(7, 2, (shape, dtype)), Twin(7, 2)
    for step in random_steps(rng, 2, 9, shape, dtype=dtype):
        memory.add(*step)
        twin.steps.append(step)
    sample = memory.sample(random_bits(rng))
    assert sample.batch.obs.dtype == sample.batch.next_obs.dtype == dtype
    twin.check(sample)


def test_types_are_the_promised_ones():
    memory = HostReplay(4, 2, ((3,), np.float32), priority_exponent=0.5, n_actions=2)
    memory.add(*random_steps(np.random.default_rng(1), 2, 1, (3,), n_actions=2)[0])
    batch, index, probability = memory.sample(random_bits(np.random.default_rng(2)))
    assert (batch.action.dtype, index.dtype) == (np.int32, np.int32)
    assert batch.reward.dtype == batch.discount.dtype == probability.dtype == np.float32
    assert batch.mask_next.dtype == np.bool_
    assert batch.mask_next.shape == (64, 2)


def test_uniform_sampling_takes_the_bits_modulo_the_size():
    memory = HostReplay(5, 1, ((2,), np.float32))
    for step in random_steps(np.random.default_rng(1), 1, 3):
        memory.add(*step)
    sample = memory.sample(np.array([0, 4, 5, 2**32 - 1], np.uint32))
    np.testing.assert_array_equal(sample.index, [0, 1, 2, (2**32 - 1) % 3])
    np.testing.assert_allclose(sample.probability, 1 / 3, rtol=1e-6)


def test_observations_in_a_folder_are_those_in_memory(tmp_path):
    rng = np.random.default_rng(3)
    mapped = HostReplay(6, 2, ((2,), np.float32), folder=tmp_path / "memory")
    twin = Twin(6, 2)
    for step in random_steps(rng, 2, 8):
        mapped.add(*step)
        twin.steps.append(step)
        twin.check(mapped.sample(random_bits(rng)))
    assert {path.name: path.stat().st_size for path in (tmp_path / "memory").iterdir()} == {
        "obs.bin": 48,
        "next_obs.bin": 48,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": 0},
        {"capacity": 1 << 30},
        {"n_envs": 1.5},
        {"n_step": 0},
        {"gamma": 1.01},
        {"gamma": float("nan")},
        {"priority_exponent": -0.1},
        {"priority_exponent": float("inf")},
        {"n_actions": 0},
        {"frame_stack": 4},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(wrong):
    options = {"capacity": 10, "n_envs": 1, "observation": ((3,), np.float32)} | wrong
    with pytest.raises(OptionError, match=f"'{next(iter(wrong))}'"):
        HostReplay(**options)


def test_a_row_of_another_shape_is_refused():
    memory = HostReplay(4, 2, ((2,), np.float32), n_actions=3)
    good = random_steps(np.random.default_rng(1), 2, 1, n_actions=3)[0]
    for wrong in (
        {"obs": good.obs[:1]},
        {"next_obs": good.next_obs[:, :1]},
        {"reward": 1.0},
        {"ended": [True]},
        {"mask_next": None},
        {"mask_next": good.mask_next[:, :2]},
    ):
        with pytest.raises(OptionError, match="'transition'"):
            memory.add(*good._replace(**wrong))
    assert memory.size == 0
    with pytest.raises(OptionError, match="Add a step first"):
        memory.sample(np.zeros(1, np.uint32))
    memory.add(*good)
    with pytest.raises(OptionError, match="'bits'"):
        memory.sample(np.zeros(1, np.int64))
    with pytest.raises(OptionError, match="'priority_exponent'"):
        memory.update_priorities([0], [1.0])
