"""The writing side of metrics.db: what was added is there once, whole transactions or nothing."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import FolderError, OptionError
from qfix.runs import schema
from qfix.runs.reader import StoreReader
from qfix.runs.store import MetricStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


def series(path, name):
    steps, seeds, values = StoreReader(path).metric(name)
    return steps.tolist(), seeds, values.tolist()


# What is there


def test_metrics_come_back_aligned(path):
    with MetricStore(path) as store:
        store.add_metrics(100, [3, 1], ["td_error", "q_max"], [[0.5, -np.inf], [7.0, 8.0]])
        store.add_metrics(250, [1], ["td_error"], [[np.nan]])
        assert store.pending == 5
    assert StoreReader(path).metric_names() == ["q_max", "td_error"]
    steps, seeds, values = StoreReader(path).metric("td_error")
    assert steps.tolist() == [100, 250]
    assert seeds == (1, 3)
    assert np.array_equal(values, [[-np.inf, np.nan], [0.5, np.nan]], equal_nan=True)
    assert series(path, "q_max") == ([100], (1, 3), [[8.0], [7.0]])
    with sqlite3.connect(path) as link:
        assert link.execute("SELECT value FROM metrics WHERE step = 250").fetchall() == [(None,)]
    link.close()


def test_what_is_not_flushed_is_not_there(path):
    with MetricStore(path) as store:
        store.add_event(0, "started")
        assert StoreReader(path).events() == []
        store.flush()
        assert store.pending == 0
        assert [event.kind for event in StoreReader(path).events()] == ["started"]


finite = st.floats(allow_nan=False, width=64)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 5]),
            st.lists(
                st.tuples(
                    st.floats(width=64) | st.sampled_from([-0.0, 1.0, -128.0, 128.0, 0.1]),
                    st.integers(1, 70_000),
                ),
                min_size=1,
                max_size=5,
            ),
        ),
        max_size=6,
    )
)
@settings(max_examples=50, deadline=None)
def test_episodes_come_back_to_the_bit(tmp_path_factory, blocks):
    path = tmp_path_factory.mktemp("store") / "metrics.db"
    expected = {0: ([], []), 5: ([], [])}
    with MetricStore(path) as store:
        for seed, block in blocks:
            returns, lengths = expected[seed]
            first = len(returns)
            returns += [r for r, _ in block]
            lengths += [n for _, n in block]
            store.add_episodes(seed, first, sum(lengths), [r for r, _ in block], [n for _, n in block])
        assert store.episodes == {seed: len(r) for seed, (r, _) in expected.items() if r}
    for seed, (returns, lengths) in expected.items():
        found = StoreReader(path).episodes(seed)
        same = found.returns.view(np.int64) == np.array(returns, dtype=np.float64).view(np.int64)
        assert (same | np.isnan(returns)).all()
        assert found.lengths.tolist() == lengths
        assert found.ends.tolist() == np.cumsum(lengths, dtype=np.int64).tolist()
