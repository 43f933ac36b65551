"""Disks that are full or cannot be written, folders that are taken, clocks that go backwards."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings

import pytest

import qfix
from faults.killing import differences
from qfix.runs import Recorder, RunFolder, StoreReader, checkpoint, files, recorder
from qfix.runs.lock import RunLock

STEPS = 300
OPTIONS = {
    "env": "FrozenLake",
    "algorithm": "q_learning",
    "driver": "live",
    "seeds": 2,
    "total_steps": STEPS,
    "metrics_every": 50,
    "epsilon": 0.2,
    "eval_episodes": 3,
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest") / "run"
    qfix.train(out=folder, **OPTIONS)
    return folder


@pytest.fixture
def often(monkeypatch):
    """Checkpoints at every look."""
    monkeypatch.setattr(recorder, "COST_SHARE", 1e9)
    monkeypatch.setattr(recorder, "FLUSH_SECONDS", 1e-6)
    monkeypatch.setattr("qfix.loop._CHUNK_SECONDS", 1e-9)


# Full


@contextlib.contextmanager
def limited(size):
    """No file of this process may grow beyond a size: what is written beyond fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Fills:
    """A progress report that fills the disk after some reports."""

    def __init__(self, stack, at, size):
        self.left, self.stack, self.size = at, stack, size

    def __call__(self, made, total, seconds):
        self.left -= 1
        if self.left == 0:
            self.stack.enter_context(limited(self.size))


@pytest.mark.parametrize("size", [0, 20_000])
def test_a_disk_that_fills_up_costs_nothing_that_was_learned(honest, tmp_path, often, size):
    folder = tmp_path / "run"
    with (
        contextlib.ExitStack() as stack,
        pytest.warns(UserWarning, match="goes on in memory") as told,
        pytest.raises(qfix.FolderError, match=r"intact") as full,
    ):
        qfix.train(out=folder, progress=Fills(stack, 8, size), checkpoint_seconds=1e-6, **OPTIONS)
    assert len(told) == 1
    run = full.value.run
    assert run.status == "finished"
    assert run.steps == STEPS
    assert any("run.save" in note for note in full.value.__notes__)
    with Recorder.addition(folder):
        pass  # the lock has been given back
    elsewhere = run.save(tmp_path / "elsewhere")
    qfix.experiment.keep_evaluations(qfix.load(elsewhere), 3)
    assert list(differences(elsewhere, honest)) == []
    went_on = qfix.resume(folder)
    assert went_on.status == "finished"
    assert list(differences(folder, honest)) == []


def test_a_disk_that_has_room_again_is_written_again(honest, tmp_path, often):
    class FillsAndEmpties(Fills):
        def __call__(self, made, total, seconds):
            super().__call__(made, total, seconds)
            if self.left == -20:
                self.stack.close()

    with contextlib.ExitStack() as stack, pytest.warns(UserWarning, match="goes on in memory"):
        qfix.train(
            out=tmp_path / "run",
            progress=FillsAndEmpties(stack, 8, 0),
            checkpoint_seconds=1e-6,
            **OPTIONS,
        )
    assert list(differences(tmp_path / "run", honest)) == []


def test_a_disk_that_is_full_from_the_start_is_told_before_training(tmp_path):
    with limited(0), pytest.raises((qfix.FolderError, qfix.OptionError), match=r"[Ss]pace|limit|large"):
        qfix.train(out=tmp_path / "run", **OPTIONS)
    qfix.train(out=tmp_path / "run", **OPTIONS)  # nothing is in the way of another try


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this process may not mount a disk; RLIMIT_FSIZE stands in for it in the other tests")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_real_disk_that_fills_up(honest, small_disk, tmp_path, often):
    stone = small_disk / "stone"

    def fill(made, total, seconds):
        if made > 100 and not stone.exists():
            with contextlib.suppress(OSError), stone.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    with (
        pytest.warns(UserWarning, match="goes on in memory"),
        pytest.raises(qfix.FolderError, match="Free space on this disk") as full,
    ):
        qfix.train(out=small_disk / "run", progress=fill, checkpoint_seconds=1e-6, **OPTIONS)
    assert full.value.run.save(tmp_path / "elsewhere").is_dir()
    stone.unlink()
    qfix.resume(small_disk / "run")
    assert list(differences(small_disk / "run", honest)) == []


@pytest.mark.parametrize("fails", ["write_checkpoint", "flush"])
def test_a_disk_that_refuses_for_good_gives_the_run_to_the_caller(tmp_path, often, monkeypatch, fails):
    def refuse(*_, **__):
        raise files.folder_error("write", tmp_path, OSError(28, "No space left on device"))

    def begin(made, total, seconds):
        if fails == "flush":
            monkeypatch.setattr("qfix.runs.store.MetricStore.flush", refuse)
        else:
            monkeypatch.setattr(recorder, "write_checkpoint", refuse)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(qfix.FolderError, match="No space left") as told:
            qfix.train(out=tmp_path / "run", progress=begin, checkpoint_seconds=1e-6, **OPTIONS)
    assert told.value.run.steps == STEPS
    assert told.value.run.folder == tmp_path / "run"


def test_a_disk_that_fills_up_before_the_evaluation_gives_the_run_to_the_caller(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def refuse(folder):
        raise files.folder_error("write", tmp_path, OSError(28, "No space left on device"))
        yield

    monkeypatch.setattr(Recorder, "addition", refuse)
    with pytest.raises(qfix.FolderError, match="No space left") as told:
        qfix.train(out=tmp_path / "run", **OPTIONS)
    assert told.value.run.status == "finished"


# Taken, or not to be written


def test_a_path_that_exists_is_not_touched(honest, tmp_path):
    before = {path: path.read_bytes() for path in honest.rglob("*") if path.is_file()}
    with pytest.raises(qfix.OptionError, match="this one holds a run"):
        qfix.train(out=honest, **OPTIONS)
    assert {path: path.read_bytes() for path in honest.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(qfix.OptionError, match="must be a folder that can be written"):
        qfix.train(out=tmp_path / "file", **OPTIONS)
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_writer_left_that_was_killed_at_its_first_file_is_no_hindrance(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "lock").write_text("1 somewhere\n")
    (folder / ".tmp-0123456789abcdef").write_text('{"format"')
    qfix.train(out=folder, **OPTIONS)
    assert sorted(os.listdir(folder)) == ["checkpoints", "lock", "metrics.db", "spec.json"]


@pytest.fixture
def read_only(honest, tmp_path):
    """A copy that may only be read; for root, whom no permission hinders, on a mount that may."""
    folder = tmp_path / "read-only"
    shutil.copytree(honest, folder / "run")
    mounted = False
    if os.getuid() == 0:
        for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]):
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                pytest.skip("root may write everywhere, and may not mount here what cannot be written")
        mounted = True
    else:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)
    else:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts, where it is root")
def test_a_folder_that_may_only_be_read_is_read(read_only, honest):
    run = qfix.load(read_only / "run")
    assert run.policy().predict(0) in range(4)
    assert run.evaluate(2).episodes in (0, 2)
    assert list(differences(read_only / "run", honest)) == []
    assert RunFolder(read_only / "run").status == "finished"
    with pytest.raises(qfix.FolderError, match=r"permissions|The disk cannot be written"):
        run.resume(4_000)
    assert run.steps == run.spec.total_steps == STEPS
    with pytest.raises(qfix.OptionError, match="must be a folder that can be written"):
        qfix.train(out=read_only / "new", **OPTIONS)


# Two writers


def test_a_second_writer_is_refused_and_the_first_unharmed(honest, tmp_path, often):
    folder = tmp_path / "run"
    refused = []

    def intrude(made, total, seconds):
        if refused:
            return
        for ask in (lambda: qfix.resume(folder), lambda: qfix.train(out=folder, **OPTIONS)):
            try:
                ask()
            except qfix.QfixError as fault:
                refused.append(fault)

    qfix.train(out=folder, progress=intrude, checkpoint_seconds=0.05, **OPTIONS)
    assert [type(fault) for fault in refused] == [qfix.LockedError, qfix.OptionError]
    assert "being written by process" in str(refused[0])
    assert list(differences(folder, honest)) == []


def test_a_run_that_went_on_elsewhere_is_not_written_over(tmp_path):
    folder = tmp_path / "run"
    one = qfix.train(out=folder, **OPTIONS)
    other = qfix.load(folder)
    one.resume(3_000)
    with pytest.raises(qfix.LockedError, match="has gone on since it was loaded"):
        other.resume(4_000)
    assert other.spec.total_steps == STEPS
    assert qfix.load(folder).steps == 3_000
    with RunLock(folder), pytest.raises(qfix.LockedError):
        one.resume(5_000)
    one.resume(5_000)
    assert RunFolder(folder).spec.total_steps == one.steps == 5_000


# Time


def test_a_clock_that_goes_backwards_or_stands_still_changes_nothing(honest, tmp_path, often, monkeypatch):
    hour = iter(range(10**9, 0, -3_600))
    monkeypatch.setattr(time, "time", lambda: float(next(hour)))
    monkeypatch.setattr(time, "perf_counter", lambda: 5.0)
    folder = tmp_path / "run"
    qfix.train(out=folder, **OPTIONS)
    assert list(differences(folder, honest)) == []
    events = StoreReader(folder / "metrics.db").events()
    assert events[0].kind == "started"
    assert [e.id for e in events] == sorted(e.id for e in events)
    assert qfix.load(folder).seconds == 0.0


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run = qfix.train(out=folder, **OPTIONS)
    monkeypatch.setattr(checkpoint, "_publish", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(qfix.CheckpointError, match="I/O error"):
        run.resume(3_000)
    monkeypatch.undo()
    assert qfix.load(folder).steps == STEPS
    assert not [name for name in os.listdir(folder / "checkpoints") if name.startswith(".tmp")]
    shutil.rmtree(folder)
