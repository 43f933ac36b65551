"""The writing side of metrics.db: what was added is there once, whole transactions or nothing."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading

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


def rows(path, table):
    """All rows, as any program that knows SQLite reads them."""
    link = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    found = link.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
    (told,) = link.execute("PRAGMA integrity_check").fetchone()
    link.close()
    assert told == "ok"
    return found


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
    assert rows(path, "metrics")[-1] == (250, 1, "td_error", None)


def test_what_is_not_flushed_is_not_there(path):
    with MetricStore(path) as store:
        store.add_event(0, "started")
        assert StoreReader(path).events() == []
        store.flush()
        assert store.pending == 0
        assert [event.kind for event in StoreReader(path).events()] == ["started"]


def test_the_caller_may_use_its_arrays_again(path):
    values, returns, table = np.ones((1, 2)), np.ones(2), np.ones((2, 2))
    with MetricStore(path) as store:
        store.add_metrics(1, [0, 1], ["q_max"], values)
        store.add_episodes(0, 0, 9, returns, [4, 5])
        store.add_snapshot(0, 2, 9, table)
        for array in (values, returns, table):
            array[:] = 7
    reader = StoreReader(path)
    assert reader.metric("q_max").values.tolist() == [[1], [1]]
    assert reader.episodes(0).returns.tolist() == [1, 1]
    assert reader.snapshots()[0].values.tolist() == [[1, 1], [1, 1]]


whole_or_not = st.floats(width=64) | st.sampled_from([-0.0, 1.0, -128.0, 128.0, 2.0**31, 0.1, 0.5])
some_episodes = st.lists(st.tuples(whole_or_not, st.integers(1, 70_000)), min_size=1, max_size=5)


@given(st.lists(st.tuples(st.sampled_from([0, 5]), some_episodes), max_size=6))
@settings(max_examples=25, deadline=None)
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


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, -128, 127], "i1"),
        ([128], "i2"),
        ([-32_769], "i4"),
        ([2.0**31], "f4"),
        ([0.5, -0.0, np.nan, np.inf], "f4"),
        ([-0.0], "f4"),
        ([0.1], "f8"),
        ([2.0**31 + 1], "f8"),
        ([1e300], "f8"),
    ],
)
def test_returns_take_the_least_room_that_holds_them(values, kind):
    packed, data = schema.pack_numbers(np.array(values, dtype=np.float64), schema.RETURN_TYPES)
    assert packed == kind
    assert np.array_equal(np.frombuffer(data, f"<{kind}"), values, equal_nan=True)
    assert np.array_equal(np.signbit(np.frombuffer(data, f"<{kind}")), np.signbit(values))


@pytest.mark.parametrize(("length", "kind"), [(255, "u1"), (256, "u2"), (65_536, "u4"), (2**32, "i8")])
def test_lengths_take_the_least_room_that_holds_them(length, kind):
    assert schema.pack_numbers(np.array([1, length]), schema.LENGTH_TYPES)[0] == kind


def test_events_are_in_the_order_of_the_calls_whatever_the_clock_says(path):
    with MetricStore(path) as store:
        store.add_event(0, "started", at=1_000.0)
        store.add_event(5, "checkpoint", at=10.0)
    with MetricStore(path) as store:
        store.add_event(5, "resumed", at=-3.0)
    assert [(e.id, e.kind, e.time) for e in StoreReader(path).events()] == [
        (1, "started", 1_000.0),
        (2, "checkpoint", 10.0),
        (3, "resumed", -3.0),
    ]


def test_a_row_added_again_replaces_itself(path):
    with MetricStore(path) as store:
        for value in (1.0, 2.0):
            store.add_metrics(5, [0], ["q_max"], [[value]])
            store.add_alert(5, None, "nan", "told")
            store.add_snapshot(0, 1, 5, [[value]])
            store.add_evaluation(5, 0, "greedy", value, 0.0, exact=True)
            store.flush()
    assert rows(path, "metrics") == [(5, 0, "q_max", 2.0)]
    assert [len(rows(path, t)) for t in ("alerts", "snapshots", "evaluations")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("step", lambda s: s.add_metrics(-1, [0], ["a"], [[1]])),
        ("step", lambda s: s.add_metrics(1.5, [0], ["a"], [[1]])),
        ("seeds", lambda s: s.add_metrics(1, [2**63], ["a"], [[1]])),
        ("names", lambda s: s.add_metrics(1, [0], ["a b"], [[1]])),
        ("names", lambda s: s.add_metrics(1, [0], ["a" * 129], [[1]])),
        ("values", lambda s: s.add_metrics(1, [0, 1], ["a"], [[1]])),
        ("first", lambda s: s.add_episodes(0, 1, 10, [1], [1])),
        ("lengths", lambda s: s.add_episodes(0, 0, 10, [1], [1, 2])),
        ("lengths", lambda s: s.add_episodes(0, 0, 10, [1], [0])),
        ("lengths", lambda s: s.add_episodes(0, 0, 10, [1], [1.5])),
        ("lengths", lambda s: s.add_episodes(0, 0, 10, [1], [np.nan])),
        ("lengths", lambda s: s.add_episodes(0, 0, 10, [1], [11])),
        ("values", lambda s: s.add_snapshot(0, 0, 0, 1.0)),
        ("values", lambda s: s.add_snapshot(0, 0, 0, np.broadcast_to(0.0, (1 << 20, 17)))),
        ("episodes", lambda s: s.add_evaluation(1, 0, "greedy", 1, 0, exact=True, episodes=3)),
        ("episodes", lambda s: s.add_evaluation(1, 0, "greedy", 1, 0)),
        ("returns", lambda s: s.add_evaluation(1, 0, "greedy", 1, 0, episodes=3, returns=[1])),
        ("kind", lambda s: s.add_alert(1, 0, "", "x")),
        ("at", lambda s: s.add_event(1, "a", at=np.nan)),
        ("episodes", lambda s: (s.add_episodes(0, 0, 10, [1], [1]), s.rollback(10, {}))),
    ],
)
def test_a_wrong_row_is_refused_at_once_and_keeps_no_other_from_being_written(path, name, call):
    with MetricStore(path) as store:
        store.add_event(0, "started")
        with pytest.raises(OptionError, match=f"The '{name}' parameter of MetricStore"):
            call(store)
    assert len(StoreReader(path).events()) == 1


def test_any_text_is_stored_as_text_that_can_be_shown(path):
    with MetricStore(path) as store:
        store.add_event(0, "failed", "\x1b[2J é\n\ud800 \x00\u202e" + "x" * 10_000)
    (event,) = StoreReader(path).events()
    assert event.message.startswith("�[2J é\n� ��xxx")
    assert len(event.message) == schema.LONGEST_MESSAGE


# Back to a checkpoint


def record(store, until, since=0):
    """A run of two seeds, the same whenever and however often it is recorded."""
    for step in range(since + 10, until + 1, 10):
        store.add_metrics(step, [0, 1], ["return", "q_max"], [[step, -step], [1.0, np.nan]])
        if step % 30 == 0:
            store.add_alert(step, 1, "q_bound", "beyond")
            store.add_evaluation(step, 0, "greedy", step, 0.0, exact=True)
            store.add_snapshot(0, step // 4, step, np.full((2, 2), step))
    for seed, length in ((0, 4), (1, 7)):
        first, end = store.episodes.get(seed, 0), until // length
        if end > first:
            numbers = np.arange(first, end)
            store.add_episodes(seed, first, end * length, numbers / 2, np.full(end - first, length))


def contents(path):
    return {table: rows(path, table) for table in schema.TABLES if table != "events"}


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 20),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_after_a_rollback_the_store_is_what_it_was(tmp_path_factory, flushes, checkpoint, flushed, reopened):
    folder = tmp_path_factory.mktemp("store")
    kept = {0: checkpoint * 10 // 4, 1: checkpoint * 10 // 7}
    with MetricStore(folder / "whole.db") as store:
        record(store, checkpoint * 10)
    with MetricStore(folder / "cut.db") as store:
        since = 0
        for until in [*flushes, 21]:
            record(store, until * 10, since * 10)
            since = until
            if flushed:
                store.flush()
        store.add_event(210, "interrupted")
        if not reopened:
            store.rollback(checkpoint * 10, kept)
    if reopened:
        with MetricStore(folder / "cut.db") as store:
            store.rollback(checkpoint * 10, kept)
    with MetricStore(folder / "cut.db") as store:
        assert store.episodes == {seed: count for seed, count in kept.items() if count}
    whole, cut = StoreReader(folder / "whole.db"), StoreReader(folder / "cut.db")
    assert {**contents(folder / "whole.db"), "episodes": 0} == {**contents(folder / "cut.db"), "episodes": 0}
    for seed in (0, 1):
        for before, after in zip(whole.episodes(seed), cut.episodes(seed)):
            assert before.tolist() == after.tolist()
    assert [event.kind for event in cut.events()] == ["interrupted"]


def test_a_checkpoint_ahead_of_the_store_changes_nothing(path):
    with MetricStore(path) as store:
        record(store, 100)
        store.flush()
        before = contents(path)
        with pytest.raises(FolderError, match="has 25 episodes of seed 0, its checkpoint 26"):
            store.rollback(50, {0: 26, 1: 0})
        assert contents(path) == before


# Faults


def test_a_full_disk_loses_nothing_that_is_in_memory(path):
    with MetricStore(path) as store:
        record(store, 50)
        store.flush()
        before = contents(path)
        (pages,) = store._link.execute("PRAGMA page_count").fetchone()
        store._link.execute(f"PRAGMA max_page_count = {pages}")
        record(store, 20_000, 50)
        held = store.pending
        for durable in (False, True):
            with pytest.raises(FolderError, match=r"full.*Free space"):
                store.flush(durable)
            assert store.pending == held
            assert contents(path) == before
        store._link.execute("PRAGMA max_page_count = 1000000")
        store.flush(durable=True)
        assert store.pending == 0
    with MetricStore(path.with_name("whole.db")) as store:
        record(store, 50)
        store.flush()
        record(store, 20_000, 50)
    assert contents(path) == contents(path.with_name("whole.db"))


def test_a_disk_that_refuses_to_write_loses_nothing_that_is_in_memory(path):
    """The log may not grow beyond a limit of this process, for a while."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricStore(path) as store:
        record(store, 50)
        store.flush()
        log = os.path.getsize(f"{path}-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (log + 100_000, before[1]))
        try:
            record(store, 20_000, 50)
            with pytest.raises(FolderError, match=r"Check the disk and its quota"):
                store.flush()
            assert rows(path, "metrics")[-1][0] == 50
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert rows(path, "metrics")[-1][0] == 20_000


def test_another_writer_is_told_and_waited_for(path, monkeypatch):
    monkeypatch.setattr(schema, "_BUSY_SECONDS", 0.1)
    with MetricStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.add_event(0, "started")
        with pytest.raises(FolderError, match="locked"):
            store.flush()
        with pytest.raises(FolderError, match="locked"):
            MetricStore(path)
        other.execute("ROLLBACK")
        other.close()
    assert len(StoreReader(path).events()) == 1


def fail_while_open(path, close_first):
    with MetricStore(path) as store:
        store.add_event(0, "failed")
        if close_first:
            store._link.close()
        raise ZeroDivisionError


def test_what_a_failing_block_recorded_is_kept_and_its_error_is_the_one_raised(path):
    with pytest.raises(ZeroDivisionError):
        fail_while_open(path, close_first=False)
    assert len(StoreReader(path).events()) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        fail_while_open(path, close_first=True)
    assert "the 1 rows in memory are lost" in caught.value.__notes__[0]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for opener in (MetricStore, StoreReader):
        with pytest.raises(FolderError, match="nowhere"):
            opener(tmp_path / "nowhere" / "metrics.db")
    assert os.listdir(tmp_path) == []


# Kills and power


WRITER = """
import sys
import numpy as np
from qfix.runs.store import MetricStore

names = [f"metric_{i:02}" for i in range(100)]
with MetricStore(sys.argv[1]) as store:
    for step in range(1, 1_000_000):
        store.add_metrics(step, range(100), names, np.full((100, 100), step))
        store.add_episodes(3, store.episodes.get(3, 0), 5 * step, np.full(5, step), np.ones(5))
        store.flush(durable=step % 3 == 0)
        print(step, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_transactions(path):
    """Ten thousand rows a transaction; killed 8 times, between 0 and 120 ms after one: most of them within the next."""
    rng = np.random.default_rng(8)
    for wait in rng.uniform(0, 0.12, 8):
        path.unlink(missing_ok=True)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        ) as writer:
            writer.stdout.readline()
            threading.Event().wait(wait)
            writer.send_signal(signal.SIGKILL)
            told = 1 + len(writer.stdout.readlines())
        reader = StoreReader(path)
        steps, seeds, values = reader.metric("metric_00")
        assert steps.tolist() == list(range(1, len(steps) + 1))
        assert len(steps) >= told  # what the writer said is written is there
        assert seeds == tuple(range(100))
        assert (values == steps).all()
        assert len(reader.episodes(3).returns) == 5 * len(steps)
        assert len(rows(path, "metrics")) == 10_000 * len(steps)
        with MetricStore(path) as store:
            store.rollback(1, {3: 5})
        assert len(rows(path, "metrics")) == 10_000


def test_a_durable_flush_waits_for_the_disk_also_with_nothing_to_write(path):
    """SQLite syncs the log when it commits a change with synchronous = FULL, and only then."""
    said = []
    with MetricStore(path) as store:
        store.add_event(0, "started")
        store.flush()
        assert store._link.execute("PRAGMA synchronous").fetchone() == (1,)
        log = os.path.getsize(f"{path}-wal")
        store._link.set_trace_callback(said.append)
        store.flush(durable=True)
        assert said == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "PRAGMA user_version = 1", "COMMIT"]
        assert os.path.getsize(f"{path}-wal") > log
        store.flush()
        assert len(said) == 4


def test_nothing_half_made_is_ever_there(path, monkeypatch):
    """A store that is being made has all its tables from its first moment under its name."""
    seen = []

    def watch(event, arguments):
        if event == "sqlite3.connect" and str(path) in str(arguments[0]):
            seen.append(os.path.getsize(path))

    real = schema.connect
    monkeypatch.setattr(schema, "connect", lambda *a: (watch("sqlite3.connect", a), real(*a))[1])
    with MetricStore(path):
        pass
    assert seen == [len(schema.empty_database())]
    assert os.listdir(path.parent) == ["metrics.db"]
