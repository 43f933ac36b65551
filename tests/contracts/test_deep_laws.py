"""What every learner on networks must hold, under both drivers.

    advance(n), advance(m)  =  advance(n + m)
    unpack(pack(s))         =  s, in another trainer, live environments included
    several seeds           =  each alone
    device                  =  host, where the world leaves nothing to chance

The first three to the bit, with everything the state holds. Units of work are 6 or 21 steps here, and no split is at
the end of one: one before the first gradient step, one after it.
"""

import numpy as np
import pytest

from deep.running import (
    ALGORITHMS,
    CASES,
    assert_same,
    episodes,
    leaves,
    new_trainer,
    quick_compilation,  # noqa: F401 - a fixture
    quickly,
    shared_trainer,
)
from qfix.deep import measure

PARTS = (31, 182, 108)
TOTAL = sum(PARTS)
WORLD = {  # deterministic where drivers are compared
    "dqn": "certain",
    "n_step": "certain",
    "pqn": "certain",
    "rainbow": "gallery",
    "deep_sarsa": "gallery",
    "deep_expected_sarsa": "gallery",
    "normalised": "cart",
    "reinforce": "certain",
    "a2c": "certain",
    "ppo": "certain",
    "gaussian": "steered",
    "squashed": "steered",
    "sac": "steered",
    "multi": "numbers",
    "recurrent": "certain",
    "recurrent_pqn": "certain",
    "recurrent_ppo": "certain",
}
COMPARED = [case for case, world in WORLD.items() if world in ("certain", "steered", "numbers")]
WITHOUT_MEMORY = ("pqn", "recurrent_pqn", "reinforce", "a2c", "ppo", "gaussian", "squashed", "multi")
WITHOUT_MEMORY += ("recurrent_ppo",)


def test_no_learner_is_left_out():
    assert {CASES[case][0] for case in WORLD} == set(ALGORITHMS)


QUICK = (
    ("dqn", "device"),
    ("n_step", "host"),
    ("pqn", "device"),
    ("recurrent", "host"),
    ("ppo", "device"),
    ("sac", "host"),
)
EVERY = [
    pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow)
    for row in ((case, driver) for case in WORLD for driver in ("device", "host"))
]


def copied(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def without_host_memory(arrays):
    return {
        name: array for name, array in arrays.items() if name.split(".")[1] != "memory" or "steps" in name
    }


def of_seed(arrays, place, as_place=0):
    """The arrays of one seed, as another's."""
    mine = {k: a for k, a in arrays.items() if k.startswith(f"{place}.")}
    return {f"{as_place}.{k.partition('.')[2]}": a for k, a in mine.items()}


def values_of(trainer, state, seed):
    """What was learned: of every state that is numbered, else of some observations."""
    if trainer.metric_names == measure.NAMES:
        return trainer.action_values(state, seed)
    policy, space = trainer.policy(state, seed), trainer._spaces[0]
    space.seed(0)
    seen = np.arange(space.n) if hasattr(space, "n") else np.stack([space.sample() for _ in range(9)])
    return np.concatenate([policy.outputs(seen), policy.value(seen)[:, None]], axis=1)


@pytest.mark.parametrize(("algorithm", "driver"), EVERY)
def test_a_run_goes_on_as_if_it_had_not_stopped(algorithm, driver):
    trainer = shared_trainer(algorithm, WORLD[algorithm], driver)
    state, whole = trainer.advance(trainer.start(), TOTAL)
    end = copied(trainer.pack(state))
    assert trainer.steps_done(state) == [TOTAL, TOTAL]
    assert leaves(end, "1.learner.updates" if driver == "device" else "1.compiled.learner.updates") > 10

    # in parts
    parts, packs, kept = [], [], {}
    state = trainer.start()
    for steps in PARTS:
        state, records = trainer.advance(state, steps)
        parts.append(records)
        packs.append(copied(trainer.pack(state)))
        if not kept:
            kept = trainer.pack(state)
    assert_same(packs[2], end)
    # a pack is a copy: what is donated or written in place afterwards leaves it alone (a memory on the host apart)
    assert_same(without_host_memory(packs[0]), without_host_memory(kept))
    for seed in (0, 1):
        for one, other in zip(episodes(parts, seed), episodes([whole], seed), strict=True):
            np.testing.assert_array_equal(one, other)
            assert len(one) > 5

    # one of the seeds, alone in a new trainer: from the start, and from what was packed
    alone = new_trainer(algorithm, WORLD[algorithm], driver, seeds=(9,))
    assert alone.unit_steps == trainer.unit_steps
    assert all(sum(PARTS[: i + 1]) % alone.unit_steps for i in range(3))
    state, records = alone.advance(alone.start(), TOTAL)
    assert_same(of_seed(end, 1), alone.pack(state))
    np.testing.assert_array_equal(episodes([whole], 1), episodes([records], 0))
    for i in (0, 1):
        given = of_seed(packs[i], 1)
        before = copied(given)
        state = alone.unpack(given)
        assert_same(alone.pack(state), before)
        if driver == "host":
            running = [leaves(given, f"0.world.{k}.running")[0] for k in range(3)]
            steps = sum(len(leaves(given, f"0.world.{k}.actions")) for k in range(3))
            assert sum(running) >= 2
            assert steps > 0
            assert state.notes == [
                f"seed 9: {sum(running)} environments restored in the middle of their episodes, "
                f"{steps} steps replayed"
            ]
        state, records = alone.advance(state, TOTAL - sum(PARTS[: i + 1]))
        assert_same(alone.pack(state), of_seed(end, 1))
        np.testing.assert_array_equal(
            np.concatenate([episodes(parts[: i + 1], 1), episodes([records], 0)], axis=1),
            episodes([whole], 1),
        )
        assert_same(given, before)  # and is copied when it is unpacked


@pytest.mark.parametrize("algorithm", quickly(COMPARED, ("n_step", "ppo", "sac")))
def test_device_and_host_learn_the_same(algorithm):
    device, host = (shared_trainer(algorithm, WORLD[algorithm], driver) for driver in ("device", "host"))
    one, records = device.advance(device.start(), TOTAL)
    two, live = host.advance(host.start(), TOTAL)
    packed, live_packed = device.pack(one), host.pack(two)
    for seed in (0, 1):
        for mine, other in zip(episodes([records], seed), episodes([live], seed), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
            assert len(mine) > 40
        names = ("action", "reward", "terminated", "ended", "obs", "next_obs")
        names = () if algorithm in WITHOUT_MEMORY else names
        for name in names:
            mine, other = packed[f"{seed}.memory.steps.{name}"], live_packed[f"{seed}.memory.{name}"]
            mine = mine[: len(other)]
            if WORLD[algorithm] == "certain":
                np.testing.assert_array_equal(mine, other.reshape(mine.shape), err_msg=name)
            else:  # what is rounded in an action goes on into all that follows
                np.testing.assert_allclose(mine, other.reshape(mine.shape), 1e-3, 1e-3, err_msg=name)
        mine, other = packed[f"{seed}.learner.params"], live_packed[f"{seed}.compiled.learner.params"]
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
        started = device.pack(device.start())[f"{seed}.learner.params"]
        assert np.abs(mine - started).max() > 0.1  # it has moved
        values = [values_of(trainer, state, seed) for trainer, state in ((device, one), (host, two))]
        np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(device.measure(one), host.measure(two), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "algorithm", quickly(["n_step", "pqn", "recurrent", "ppo", "recurrent_ppo"], ("n_step",))
)
def test_seeds_in_one_program_are_the_seeds_alone(algorithm):
    """As on an accelerator: mapped over the seeds, whatever part of a unit each call ends in."""
    apart = shared_trainer(algorithm, "certain", "device")
    one, records = apart.advance(apart.start(), TOTAL)
    together = new_trainer(algorithm, "certain", "device")
    together._device.together = True
    two, parts = together.start(), []
    for steps in PARTS:
        two, part = together.advance(two, steps)
        parts.append(part)
    wanted, found = apart.pack(one), together.pack(two)
    assert wanted.keys() == found.keys()
    for name in wanted:
        assert wanted[name].dtype == found[name].dtype, name
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-3, atol=1e-4, err_msg=name)
    for seed in (0, 1):
        mine, other = episodes([records], seed), episodes(parts, seed)
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5)
