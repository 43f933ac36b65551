"""A planner whose model outgrows its room learns what one with room to spare learns.

The room for outcomes begins at one and the sparse table at two rows, so both grow again and again, each also
while the other has room. Every array of the memory is the same where the tight one has it, and 0 beyond.
"""

import itertools

import numpy as np
import pytest

from contracts.test_trainer_laws import (
    FIRST,
    SECOND,
    assert_same_episodes,
    episodes,
    everything,
    make_trainer,
)
from qfix.tabular import agent
from qfix.tabular.agent import leaves
from tabular.running import TABLES_ONLY, random_world, separating, trainer_on


def learned(algorithm, store, driver):
    """From constant values: random ones of a sparse row depend on when the table grew."""
    config = separating(algorithm, store=store, initial=0.25)
    trainer = trainer_on(random_world(), config, (2,), driver)
    return trainer, *trainer.advance(trainer.start(), FIRST + SECOND)


CASES = itertools.product(TABLES_ONLY, ("dense", "sparse"), ("compiled", "live"))
STEPPED = {"dense": "compiled", "sparse": "live"}
"""Each store under one way of stepping; the others are slow tests."""


@pytest.mark.parametrize(
    ("algorithm", "store", "driver"),
    [case if STEPPED[case[1]] == case[2] else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_a_model_that_grows_changes_nothing(algorithm, store, driver, monkeypatch):
    roomy, state, records = learned(algorithm, store, driver)
    monkeypatch.setattr(type(roomy.config), "history", property(lambda self: 1))
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    tight, other, other_records = learned(algorithm, store, driver)
    assert 32 < other.histories[0] < state.histories[0], "no growth"
    np.testing.assert_array_equal(tight.action_values(other), roomy.action_values(state))
    assert_same_episodes(episodes(records), episodes(other_records))
    streams = [one.agents[0].registers.streams for one in (state, other)]
    np.testing.assert_array_equal(*streams)
    whole = dict(leaves(state.agents[0].memory))
    for name, array in leaves(other.agents[0].memory):
        corner = tuple(slice(min(n, m)) for n, m in zip(array.shape, whole[name].shape, strict=True))
        np.testing.assert_array_equal(array[corner], whole[name][corner], err_msg=name)
        for one in (array, whole[name]):
            assert np.count_nonzero(one) == np.count_nonzero(one[corner]), name


@pytest.mark.parametrize("algorithm", TABLES_ONLY)
def test_a_grown_model_is_packed_whole(algorithm, monkeypatch):
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    trainer = make_trainer(algorithm, "sparse", "compiled")
    monkeypatch.setattr(type(trainer.config), "history", property(lambda self: 1))
    state, _ = trainer.advance(trainer.start(), FIRST)
    packed = trainer.pack(state)
    resumed = make_trainer(algorithm, "sparse", "compiled")
    again, _ = resumed.advance(resumed.unpack(packed), SECOND)
    state, _ = trainer.advance(state, SECOND)
    one, two = everything(trainer, state), everything(resumed, again)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
