"""The reading side of metrics.db: beside a writer, after one, and where nothing may be written."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from qfix.errors import FolderError, UnknownNameError
from qfix.runs import schema
from qfix.runs.reader import Alert, Evaluation, StoreReader
from qfix.runs.store import MetricStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


def told(store, steps):
    for step in steps:
        store.add_metrics(step, range(50), ["q_max", "return"], np.full((2, 50), step))
        store.add_event(step, "checkpoint")


# What is asked


def test_every_kind_of_row_comes_back(path):
    with MetricStore(path) as store:
        store.add_evaluation(20, 1, "random", 0.5, np.nan, eval_seed=3, episodes=2, returns=[0.25, 0.75])
        store.add_evaluation(20, 0, "greedy", -np.inf, 0.0, exact=True)
        store.add_alert(20, None, "slow", "as a whole")
        store.add_alert(10, 4, "nan", "of a seed")
        store.add_snapshot(1, 7, 20, np.arange(6.0).reshape(3, 2))
        store.add_snapshot(0, 0, 0, np.empty((0, 4)))
    reader = StoreReader(path)
    exact, sampled = reader.evaluations()
    assert exact == Evaluation(20, 0, "greedy", 0, 0, True, -np.inf, 0.0, None)
    assert sampled[:6] == (20, 1, "random", 3, 2, False)
    assert sampled.mean == 0.5
    assert np.isnan(sampled.std)
    assert sampled.returns.tolist() == [0.25, 0.75]
    assert reader.alerts() == [Alert(10, 4, "nan", "of a seed"), Alert(20, None, "slow", "as a whole")]
    first, second = reader.snapshots()
    assert (first.values.shape, second[:3]) == ((0, 4), (1, 7, 20))
    assert second.values.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_new_store_has_nothing(path):
    with MetricStore(path):
        pass
    reader = StoreReader(path)
    assert reader.metric_names() == []
    assert reader.metric("return").values.shape == (0, 0)
    assert reader.all_episodes() == {}
    assert reader.episodes(3).returns.tolist() == []
    assert reader.snapshots() == reader.evaluations() == reader.alerts() == reader.events() == []


def test_a_metric_of_another_name_is_told_the_nearest(path):
    with MetricStore(path) as store:
        told(store, [1])
    with pytest.raises(UnknownNameError, match="Did you mean 'return'"):
        StoreReader(path).metric("returns")


def test_long_blocks_are_read_where_arrays_are_not_yet(path):
    """Arrays within a page, of many pages, and longer than the text that may be read."""
    with MetricStore(path) as store:
        for seed, count in enumerate((1, 100, 500, 1_000, 100_000)):
            store.add_episodes(seed, 0, 2**40, np.arange(count) / 3, np.arange(1, count + 1))
        store.add_snapshot(0, 1, 1, np.arange(100_000.0).reshape(-1, 4))
        store.add_evaluation(1, 0, "random", 0, 0, episodes=40_000, returns=np.arange(40_000))
    reader = StoreReader(path)
    assert [len(e.returns) for e in reader.all_episodes().values()] == [1, 100, 500, 1_000, 100_000]
    assert reader.episodes(4).returns[-1] == 99_999 / 3
    assert reader.snapshots()[0].values[-1, -1] == 99_999
    assert reader.evaluations()[0].returns[-1] == 39_999


def test_a_query_works_within_its_bound_on_the_least_rows(path):
    """Three hundred thousand rows of the fewest bytes there are: a bound by the size of the file leaves them room."""
    with MetricStore(path) as store:
        for step in range(3_000):
            store.add_metrics(step, range(100), ["x"], np.full((1, 100), np.nan))
    assert StoreReader(path).metric("x").values.shape == (100, 3_000)
    assert StoreReader(path).metric_names() == ["x"]


def test_metrics_are_read_in_the_order_of_their_table(path):
    """Sorting would take memory by the number of rows, before their order is checked."""
    link = sqlite3.connect(":memory:")
    link.execute(schema.TABLES["metrics"])
    plan = link.execute(
        "EXPLAIN QUERY PLAN SELECT step, seed, value FROM metrics WHERE name = ? ORDER BY step, seed", ("x",)
    ).fetchall()
    link.close()
    assert [row[-1] for row in plan] == ["SCAN metrics"]


# Beside a writer


READER = """
import sys
from qfix.runs.reader import StoreReader

reader, seen, asked = StoreReader(sys.argv[1]), 0, 0
print("ready", flush=True)
while True:
    events = reader.events()
    steps, seeds, values = reader.metric("q_max")
    assert len(steps) >= len(events) >= seen, (len(steps), len(events), seen)
    assert len(steps) % 10 == 0, "a transaction in part"
    assert values.shape == (50, len(steps)) or not len(steps)
    assert (values == steps).all()
    seen, asked = len(events), asked + 1
    if seen == 400:
        break
print(asked)
"""


def test_two_readers_and_a_writer_at_once(path):
    with MetricStore(path) as store:
        store.flush(durable=True)
        readers = [
            subprocess.Popen([sys.executable, "-c", READER, path], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for reader in readers:
            assert reader.stdout.readline() == "ready\n"
        for batch in range(40):
            told(store, range(10 * batch, 10 * batch + 10))
            store.flush()
        for reader in readers:
            answer, _ = reader.communicate(timeout=120)
            assert reader.returncode == 0
            assert int(answer) >= 1
    assert len(StoreReader(path).events()) == 400


def test_a_reader_that_stays_does_not_hold_the_writer_up(path, monkeypatch):
    monkeypatch.setattr(schema, "_BUSY_SECONDS", 0.0)
    with MetricStore(path) as store:
        told(store, [0])
        store.flush()
        slow = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        slow.execute("BEGIN")
        assert slow.execute("SELECT count(*) FROM events").fetchone() == (1,)
        for step in range(1, 200):
            told(store, [step])
            store.flush(durable=step == 100)
        assert slow.execute("SELECT count(*) FROM events").fetchone() == (1,)
        assert len(StoreReader(path).events()) == 200
        slow.close()


def test_a_reader_in_the_process_of_the_writer_leaves_it_its_locks(path):
    """Another program that closes the file takes itself for the last, and removes the log, if the writer's are gone."""
    with MetricStore(path) as store:
        told(store, [0])
        store.flush()
        StoreReader(path).events()
        program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM events'); c.close()"
        subprocess.run([sys.executable, "-c", program, path], check=True)
        assert os.path.exists(f"{path}-wal")
        told(store, [1])
        store.flush()
        assert len(StoreReader(path).events()) == 2
    assert len(StoreReader(path).events()) == 2


def test_a_writer_opens_when_a_reader_without_locks_has_read(path, monkeypatch):
    with MetricStore(path) as store:
        told(store, [0])
    reader, reading, go_on, opened = (
        StoreReader(path),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )

    def write():
        reading.wait(30)
        with MetricStore(path):
            opened.set()

    def pause(tables):
        reading.set()
        go_on.wait(30)
        return not opened.is_set()

    writer = threading.Thread(target=write)
    writer.start()
    threading.Timer(0.3, go_on.set).start()
    assert reader._ask(pause)
    writer.join(30)
    assert opened.is_set()


def test_what_changed_while_it_was_read_is_read_again(path):
    with MetricStore(path) as store:
        told(store, [0])
    asked = []

    def count(tables):
        found = len(tables.events())
        if not asked:
            link = sqlite3.connect(path)
            link.execute("INSERT INTO events VALUES (2, 0.0, 1, 'resumed', '')")
            link.commit()
            link.close()
        asked.append(found)
        return found

    assert StoreReader(path)._ask(count) == 2
    assert asked == [1, 2]


# Where nothing may be written


NOBODY = 65_534


@contextlib.contextmanager
def as_nobody():
    """Permissions do not bind root: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def sealed():
    """Makes a folder one that may be read and not written, where everybody can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="qfix-sealed-"))

    def seal():
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        return folder / "metrics.db"

    yield folder, seal
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("left", [(), ("-wal",), ("-wal", "-shm")], ids=["closed", "log", "log and index"])
def test_a_folder_that_may_only_be_read_is_read(path, sealed, left):
    folder, seal = sealed
    with MetricStore(path) as store:
        told(store, range(20))
        store.flush()
        for suffix in left:
            shutil.copyfile(f"{path}{suffix}", folder / f"metrics.db{suffix}")
        if left:
            shutil.copyfile(path, folder / "metrics.db")
    if not left:
        shutil.copyfile(path, folder / "metrics.db")
    before = sorted(os.listdir(folder))
    sealed_path = seal()
    with as_nobody():
        assert not os.access(folder, os.W_OK)
        assert len(StoreReader(sealed_path).events()) == 20
    assert sorted(os.listdir(folder)) == before


def test_a_folder_that_may_only_be_read_is_not_written(path, sealed):
    folder, seal = sealed
    sealed_path = seal()
    with as_nobody(), pytest.raises(FolderError, match="Permission denied"):
        MetricStore(sealed_path)
    folder.chmod(0o755)
    with MetricStore(sealed_path):
        pass
    seal()
    with as_nobody(), pytest.raises(FolderError, match=r"readonly|unable to open"):
        MetricStore(sealed_path)
    assert os.listdir(folder) == ["metrics.db"]


def test_reading_leaves_no_trace(path):
    with MetricStore(path) as store:
        told(store, range(20))
    before = path.stat()
    reader = StoreReader(path)
    reader.events(), reader.metric("q_max"), reader.all_episodes()
    assert os.listdir(path.parent) == ["metrics.db"]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_name_that_no_system_knows_is_an_error_like_others(tmp_path):
    for name in ("a\0b", "x" * 5_000):
        with pytest.raises(FolderError):
            StoreReader(tmp_path / name)
    odd = tmp_path / "a?mode=rwc&b#c%41 é"
    odd.mkdir()
    with MetricStore(odd / "metrics.db") as store:
        told(store, [1])
    assert len(StoreReader(odd / "metrics.db").events()) == 1
    assert os.listdir(tmp_path) == [odd.name]
