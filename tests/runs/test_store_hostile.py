"""The store of a run that a stranger made: FolderError, or what is there; nothing else happens."""

import contextlib
import os
import shutil
import sqlite3
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import FolderError, UnknownNameError
from qfix.runs import schema
from qfix.runs.reader import StoreReader
from qfix.runs.store import MetricStore
from runs.mutate import DATABASE_TRICKS, mutations, trick


def fill(store):
    """Some of everything, over many pages."""
    names = ["q_max", "q_min", "return", "td_error", "coverage"]
    for step in range(100, 5_000, 100):
        values = np.outer(np.arange(len(names)), [1.0, 2.0, 3.0]) + step / 7
        values[0, 1] = np.nan
        store.add_metrics(step, [0, 1, 2], names, values)
    for seed in (0, 1):
        store.add_episodes(seed, 0, 1_000, np.arange(30.0), np.arange(1, 31))
        store.add_episodes(seed, 30, 200_000, np.arange(2_000) / 3, np.full(2_000, 90))
    store.add_snapshot(0, 30, 1_000, np.arange(1_200.0).reshape(300, 4))
    store.add_snapshot(1, 30, 1_000, np.zeros((5, 2)))
    store.add_evaluation(1_000, 0, "greedy", 0.5, 0.1, exact=True)
    store.add_evaluation(1_000, 1, "random", 0.2, 0.4, eval_seed=9, episodes=300, returns=np.arange(300))
    store.add_alert(700, 1, "q_bound", "Q is beyond its bound")
    store.add_event(0, "started", "by a test", at=1.0)
    store.add_event(5_000, "finished", at=0.5)


def read_all(path):
    """Everything that can be asked."""
    reader = StoreReader(path)
    names = reader.metric_names()
    series = []
    for name in names:
        # the tree may be damaged so that a name is found in it and its rows are not
        with contextlib.suppress(UnknownNameError):
            series.append(reader.metric(name))
    told = [reader.snapshots(), reader.evaluations(), reader.alerts(), reader.events()]
    return names, series, reader.all_episodes(), told


def reads_or_refuses(path):
    """Whether everything can be read; an error says which file is wrong, and it is a FolderError."""
    try:
        read_all(path)
    except FolderError as error:
        told = str(error)
    else:
        return True
    assert str(path) in told
    assert len(told) < 1_000
    return False


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("honest") / "metrics.db"
    with MetricStore(path) as store:
        fill(store)
    return path


@pytest.fixture
def path(honest, tmp_path):
    return shutil.copyfile(honest, tmp_path / "metrics.db")


def test_the_honest_file_is_read(honest):
    names, series, episodes, (snapshots, evaluations, alerts, events) = read_all(honest)
    assert len(names) == 5
    assert {s.values.shape for s in series} == {(3, 49)}
    assert [len(e.returns) for e in episodes.values()] == [2_030, 2_030]
    assert [len(rows) for rows in (snapshots, evaluations, alerts, events)] == [2, 2, 1, 2]
    assert honest.stat().st_size > 25 * 4096
    assert os.listdir(honest.parent) == ["metrics.db"]


# Bytes


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_file_is_refused_or_read(honest, path, seed):
    refused = 0
    for _, (told, data) in zip(range(50), mutations(honest, np.random.default_rng([31, seed]))):
        path.write_bytes(data)
        refused += not reads_or_refuses(path)
        assert os.listdir(path.parent) == ["metrics.db"], told
    assert 10 <= refused <= 45  # of 50: the injuries injure, and not all of them are seen at the door


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_log_is_refused_or_read(honest, tmp_path, seed):
    path, log = tmp_path / "metrics.db", tmp_path / "metrics.db-wal"
    with MetricStore(path) as store:
        fill(store)
        store.flush()
        content, logged = path.read_bytes(), log.read_bytes()
    assert len(logged) > 100_000
    copied = tmp_path / "logged"
    copied.write_bytes(logged)
    for _, (_, data) in zip(range(25), mutations(copied, np.random.default_rng([37, seed]))):
        path.write_bytes(content)
        log.write_bytes(data)
        (tmp_path / "metrics.db-shm").unlink(missing_ok=True)
        reads_or_refuses(path)


@pytest.mark.parametrize("seed", range(2))
def test_an_index_of_the_log_that_a_stranger_made_is_not_believed(tmp_path, seed):
    path, index = tmp_path / "metrics.db", tmp_path / "metrics.db-shm"
    with MetricStore(path) as store:
        fill(store)
        store.flush()
        files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    copied = tmp_path / "index"
    copied.write_bytes(files[index])
    expected = None
    for _, (_, data) in zip(range(20), mutations(copied, np.random.default_rng([41, seed]))):
        for file, content in files.items():
            file.write_bytes(content)
        index.write_bytes(data)
        names, series, *_ = read_all(path)
        found = (names, [s.values.tobytes() for s in series])
        expected = expected or found
        assert found == expected


@pytest.mark.parametrize("seed", range(2))
def test_a_mutated_file_is_refused_by_the_writer_or_written(honest, path, seed):
    for _, (_, data) in zip(range(40), mutations(honest, np.random.default_rng([43, seed]))):
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(data)
        with contextlib.suppress(FolderError), MetricStore(path) as store:
            store.add_metrics(9_000, [0], ["q_max"], [[1.0]])
            store.flush(durable=True)
            store.rollback(1_000, dict.fromkeys(store.episodes, 10))


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "metrics.db"
    path.write_bytes(data)
    with pytest.raises(FolderError):
        StoreReader(path)
    with pytest.raises(FolderError):
        MetricStore(path)
    assert path.read_bytes() == data


def test_a_tree_that_leads_in_circles_ends(path):
    """All children of the root of `metrics` become one; and then the root itself."""
    with sqlite3.connect(path) as link:
        (root,) = link.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'").fetchone()
    link.close()
    original = path.read_bytes()
    page = (root - 1) * 4096
    kind, _, cells = struct.unpack_from(">BHH", original, page)
    assert kind == 2  # an inner page of an index
    assert cells > 2
    pointers = struct.unpack_from(f">{cells}H", original, page + 12)
    (child,) = struct.unpack_from(">I", original, page + pointers[0])
    for target in (child, root):
        data = bytearray(original)
        for at in (*pointers, 8):
            struct.pack_into(">I", data, page + at, target)
        path.write_bytes(data)
        with pytest.raises(FolderError, match=r"not in order|damaged"):
            StoreReader(path).metric("q_max")


def test_a_tree_of_endless_ways_is_not_walked_to_its_end(tmp_path):
    """Twelve levels of pages, each with 300 ways to the same next one: 10^29 rows in 100 kB."""
    path = tmp_path / "metrics.db"
    content = bytearray(schema.empty_database())
    path.write_bytes(content)
    with sqlite3.connect(path) as link:
        (root,) = link.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'").fetchone()
    link.close()
    row = bytes([6, 5, 8, 8, 15, 0]) + b"x"  # its length; sizes of (0, 0, "x", NULL); "x"
    levels = [root, *range(len(content) // 4096 + 1, len(content) // 4096 + 13)]
    content += bytes(4096 * 12)
    for level, below in pairwise([*levels, 0]):
        page, ways = (level - 1) * 4096, 300 if below else 1
        cell = struct.pack(">I", below) + row if below else row
        top = 4096 - ways * len(cell)
        struct.pack_into(">BHHHB", content, page, 2 if below else 10, 0, ways, top, 0)
        first = page + (12 if below else 8)
        if below:
            struct.pack_into(">I", content, page + 8, below)
        for way in range(ways):
            struct.pack_into(">H", content, first + 2 * way, top + way * len(cell))
            at = page + top + way * len(cell)
            content[at : at + len(cell)] = cell
    struct.pack_into(">I", content, 28, len(content) // 4096)
    path.write_bytes(content)
    with pytest.raises(FolderError, match="interrupted"):
        StoreReader(path).metric("y")
    with pytest.raises(FolderError, match="interrupted"):
        StoreReader(path).metric_names()
    with pytest.raises(FolderError, match="not in order"):
        StoreReader(path).metric("x")


# SQL


@pytest.mark.parametrize("name", sorted(DATABASE_TRICKS))
def test_a_database_that_is_no_run_is_refused(path, name):
    trick(path, DATABASE_TRICKS[name])
    before = path.read_bytes()
    with pytest.raises(FolderError) as caught:
        read_all(path)
    assert len(str(caught.value)) < 1_000
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["metrics.db"]


@pytest.mark.parametrize(
    "name", ["a trigger", "a table more", "a later version", "a count below 0", "an episode missing"]
)
def test_the_writer_refuses_it_too(path, name):
    trick(path, DATABASE_TRICKS[name])
    before = path.read_bytes()
    with pytest.raises(FolderError):
        MetricStore(path)
    assert path.read_bytes() == before


def test_values_far_between_do_not_fill_the_memory(path):
    link = sqlite3.connect(path)
    link.executemany("INSERT INTO metrics VALUES (?, ?, 'spread', 1.0)", ((i, i) for i in range(10_000)))
    link.commit()
    link.close()
    with pytest.raises(FolderError, match="far between"):
        StoreReader(path).metric("spread")


def test_messages_are_shown_without_what_moves_a_terminal(path):
    trick(path, "UPDATE alerts SET message = char(27) || '[2J' || char(8238) || 'é' || char(10)")
    assert StoreReader(path).alerts()[0].message == "�[2J�é\n"


# Files


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_only_files_of_the_folder_are_opened(path, tmp_path_factory, suffix, kind):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret"
    shutil.copyfile(path, elsewhere)
    before = elsewhere.read_bytes()
    target = path.with_name(path.name + suffix)
    if not suffix:
        path.unlink()
    match kind:
        case "link":
            target.symlink_to(elsewhere)
        case "dangling":
            target.symlink_to(elsewhere.with_name("nothing"))
        case "pipe":
            os.mkfifo(target)
        case "folder":
            target.mkdir()
    for opener in (StoreReader, MetricStore):
        with pytest.raises(FolderError, match=r"metrics\.db"):
            opener(path)
    assert elsewhere.read_bytes() == before
    assert os.listdir(elsewhere.parent) == ["secret"]


def test_a_journal_that_names_a_file_elsewhere_does_not_get_it_deleted(path, tmp_path_factory):
    """SQLite would play the journal back, look whether the file it names is in use, and delete it."""
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    victim.write_text("precious")
    name = str(victim).encode()
    pages, magic = path.stat().st_size // 4096, bytes.fromhex("d9d505f920a163d7")
    head = magic + struct.pack(">IIIII", 0, 7, pages, 512, 4096)
    lock_page = struct.pack(">I", 0x40000000 // 4096 + 1)
    tail = lock_page + name + struct.pack(">II", len(name), sum(name)) + magic
    path.with_name("metrics.db-journal").write_bytes(head.ljust(512, b"\0") + tail)
    for opener in (StoreReader, MetricStore):
        with pytest.raises(FolderError, match="journal"):
            opener(path)
    assert victim.read_text() == "precious"
