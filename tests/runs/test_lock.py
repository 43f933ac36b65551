"""One writer a run, whatever becomes of the writer."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from qfix.errors import FolderError, LockedError
from qfix.runs import lock as lock_module
from qfix.runs.lock import RunLock, is_locked

HOLD = """
import sys, time
from qfix.runs.lock import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_another_process_is_named(tmp_path, holder):
    with pytest.raises(
        LockedError, match=f"being written by process {holder.pid} on {socket.gethostname()}.*Wait"
    ):
        RunLock(tmp_path).acquire()
    assert is_locked(tmp_path)
    holder.communicate()
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        pass


def test_the_lock_ends_with_a_killed_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").read_text().startswith(f"{holder.pid} ")
    assert not is_locked(tmp_path)
    with RunLock(tmp_path) as mine:
        assert mine.held
        assert (tmp_path / "lock").read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_another_object_and_another_thread_are_other_writers(tmp_path):
    told = []

    def write_too():
        try:
            RunLock(tmp_path).acquire()
        except LockedError as fault:
            told.append(str(fault))

    with RunLock(tmp_path) as mine:
        write_too()
        thread = threading.Thread(target=write_too)
        thread.start()
        thread.join()
        with pytest.raises(LockedError, match=r"holds .* already"):
            mine.acquire()
    assert len(told) == 2
    assert all(f"process {os.getpid()} (this very process)" in text for text in told)
    mine.acquire()
    mine.release()
    mine.release()
    assert not mine.held


def test_of_many_threads_one_gets_in(tmp_path):
    inside, most, entered = [], [], []

    def write():
        for _ in range(20):
            try:
                with RunLock(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    entered.append(1)
                    time.sleep(0.001)
                    inside.pop()
            except LockedError:
                pass

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered
    assert max(most) == 1


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "99999999999999999 host\n", "1 \x1b[31mhost\n", "12 a\nb\n", "\0" * 4096],
    ids=lambda text: ascii(text)[:12],
)
def test_a_stale_or_strange_text_is_no_obstacle_and_not_repeated(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        (tmp_path / "lock").write_text(text)
        with pytest.raises(LockedError, match="written by another process"):
            RunLock(tmp_path).acquire()


def test_a_stale_pid_of_a_living_process_is_no_obstacle(tmp_path):
    (tmp_path / "lock").write_text(f"{os.getppid()} {socket.gethostname()}\n")
    with RunLock(tmp_path):
        pass


def test_the_question_does_not_get_in_the_way(tmp_path):
    """Readers ask all the time; every writer gets the lock."""
    asking = threading.Event()
    with RunLock(tmp_path):
        pass

    def ask():
        while not asking.is_set():
            is_locked(tmp_path)
            time.sleep(0.001)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with RunLock(tmp_path):
                pass
    finally:
        asking.set()
        for thread in threads:
            thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lock_that_is_forgotten_is_released(tmp_path):
    """With a ResourceWarning, as for any file."""
    RunLock(tmp_path).acquire()
    gc.collect()
    assert not is_locked(tmp_path)


def test_no_folder_no_lock(tmp_path):
    with pytest.raises(FolderError, match=r"No such file or directory.*Check the name"):
        RunLock(tmp_path / "none").acquire()
    assert not is_locked(tmp_path / "none")
    assert not is_locked(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_lock_that_is_no_file_of_the_run_is_refused(tmp_path):
    (tmp_path / "precious").write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    for make in (
        lambda: (run / "lock").symlink_to(tmp_path / "precious"),
        lambda: os.link(tmp_path / "precious", run / "lock"),
        lambda: os.mkfifo(run / "lock"),
    ):
        make()
        with pytest.raises(FolderError):
            RunLock(run).acquire()
        (run / "lock").unlink()
    (run / "lock").mkdir()
    with pytest.raises(FolderError):
        RunLock(run).acquire()
    with pytest.raises(FolderError, match="is a folder"):
        is_locked(run)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_file_system_that_cannot_lock_is_told(tmp_path, monkeypatch):
    def cannot(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", cannot)
    with pytest.raises(FolderError, match=r"Cannot lock .*: No locks available"):
        RunLock(tmp_path).acquire()


def test_a_full_disk_does_not_keep_anybody_from_the_lock(tmp_path, monkeypatch):
    class Full(lock_module.io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock_module.io, "FileIO", Full)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)


@pytest.mark.parametrize("act", ["pass", "mine.release()", "del mine"])
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path, act):
    """Whatever the child does, its parent has the lock; the child lives on after that was killed, and has none."""
    program = """
import os, signal, sys, time
from qfix.runs.lock import RunLock
mine = RunLock(sys.argv[1])
mine.acquire()
if os.fork() == 0:
    ACT
    print(os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
sys.stdin.read()
""".replace("ACT", act)
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    try:
        assert is_locked(tmp_path)
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # it is alive
        assert not is_locked(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdin.close()
        parent.stdout.close()
