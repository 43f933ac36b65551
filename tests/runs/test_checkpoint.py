"""A checkpoint comes back to the bit or not at all, and there is one at any moment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from qfix.errors import CheckpointError, OptionError
from qfix.runs import checkpoint, safetensors_file
from qfix.runs.checkpoint import (
    list_checkpoints,
    read_checkpoint,
    read_info,
    remove_checkpoints_after,
    write_checkpoint,
)


def state(step):
    """Arrays of every kind, which tell steps apart."""
    rng = np.random.default_rng(step)
    arrays = {
        code: rng.integers(0, 100, (3, 5)).astype(code)
        for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
    }
    arrays["bool"] = rng.random(7) < 0.5
    arrays["strange floats"] = np.array([np.nan, -np.nan, -0.0, np.inf, 5e-324])
    arrays["scalar"] = np.array(step)
    arrays["empty"] = np.empty((0, 4))
    arrays["ä \n"] = np.array([2**63], np.uint64)
    return arrays


def write(folder, *steps, **options):
    for step in steps:
        write_checkpoint(folder, step, state(step), {"at": step}, **options)


def assert_is_state(found, step):
    assert found.step == step
    assert found.info["at"] == step
    expected = state(step)
    assert found.arrays.keys() == expected.keys()
    for name, array in found.arrays.items():
        assert array.dtype == expected[name].dtype
        assert array.shape == expected[name].shape
        assert array.tobytes() == expected[name].tobytes()


def folder_of(run, step):
    return run / "checkpoints" / f"{step:012d}"


def names(run):
    return sorted(os.listdir(run / "checkpoints"))


# There and back


def test_a_checkpoint_comes_back_to_the_bit(tmp_path):
    path = write_checkpoint(tmp_path, 120_000, state(120_000), {"at": 120_000, "b": [1.5, None]})
    assert path == tmp_path / "checkpoints" / "000000120000"
    found = read_checkpoint(tmp_path)
    assert_is_state(found, 120_000)
    assert found.info == {"at": 120_000, "b": [1.5, None]}
    assert found.path == path
    assert found.skipped == []
    for array in found.arrays.values():
        assert array.flags.writeable
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert array.flags.owndata
    assert read_info(tmp_path, 120_000) == found.info


def test_the_file_is_one_of_safetensors(tmp_path):
    write(tmp_path, 7)
    theirs = load_file(folder_of(tmp_path, 7) / "state.safetensors")
    for name, array in state(7).items():
        assert theirs[name].tobytes() == array.tobytes()
        assert theirs[name].dtype == array.dtype
        assert theirs[name].shape == array.shape


def test_the_manifest_can_be_checked_by_hand(tmp_path):
    write(tmp_path, 7)
    content = json.loads((folder_of(tmp_path, 7) / "manifest.json").read_text())
    file = (folder_of(tmp_path, 7) / "state.safetensors").read_bytes()
    assert content["files"] == {
        "state.safetensors": {"bytes": len(file), "sha256": hashlib.sha256(file).hexdigest()}
    }
    told = content.pop("sha256")
    assert content == {"format": 1, "step": 7, "info": {"at": 7}, "files": content["files"]}
    assert told == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def test_arrays_in_any_order_of_memory_are_kept_by_value(tmp_path):
    table = np.arange(24.0).reshape(4, 6)
    arrays = {
        "fortran": np.asfortranarray(table),
        "strided": table[::2, ::-3],
        "big-endian": table.astype(">f8"),
        "broadcast": np.broadcast_to(np.float32(1.5), (3, 2)),
    }
    write_checkpoint(tmp_path, 0, arrays, {})
    found = read_checkpoint(tmp_path).arrays
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")


def test_no_arrays_are_a_checkpoint_too(tmp_path):
    write_checkpoint(tmp_path, 0, {}, {})
    assert read_checkpoint(tmp_path).arrays == {}


def test_a_large_array_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "_PIECE", 1_000)
    table = np.random.default_rng(0).random(12_345)
    write_checkpoint(tmp_path, 0, {"q": table, "n": np.arange(777)}, {})
    found = read_checkpoint(tmp_path).arrays
    assert np.array_equal(found["q"], table)
    assert np.array_equal(found["n"], np.arange(777))


def test_info_is_json_as_json_has_it(tmp_path):
    write_checkpoint(tmp_path, 0, {}, {"a": (1, 2), "b": {10: 1, 2: 2}, "c": "\ud800", "d": 2**70, "e": -0.0})
    assert read_info(tmp_path, 0) == {
        "a": [1, 2],
        "b": {"10": 1, "2": 2},
        "c": "\ud800",
        "d": 2**70,
        "e": 0.0,
    }


def test_steps_and_counts_may_be_numbers_of_numpy(tmp_path):
    assert write_checkpoint(tmp_path, np.int64(3), {}, {}).name == "000000000003"
    assert read_checkpoint(tmp_path, np.int64(3)).step == 3


def test_steps_of_any_size_are_in_order(tmp_path):
    steps = [0, 999_999_999_999, 1_000_000_000_000, 2**62]
    for step in reversed(steps):
        write_checkpoint(tmp_path, step, {}, {})
    assert list_checkpoints(tmp_path) == steps
    assert read_checkpoint(tmp_path).step == 2**62


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("step", -1),
        ("step", 2**62 + 1),
        ("step", 1.0),
        ("step", True),
        ("keep_last", 0),
        ("keep_last", 1.5),
        ("arrays", {"a": np.array(["text"])}),
        ("arrays", {"a": np.array([None])}),
        ("arrays", {"a": np.array([1j])}),
        ("arrays", {"a": np.zeros(1, [("x", "f8")])}),
        ("arrays", {"__metadata__": np.zeros(1)}),
        ("arrays", {1: np.zeros(1)}),
        ("info", {"a": float("nan")}),
        ("info", {"score": float("inf")}),
        ("info", {"a": np.zeros(1)}),
        ("info", {"a": b""}),
        ("info", {"a": "x" * (4 << 20)}),
        ("info", {1: 1, "1": 1}),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_what_cannot_be_kept_is_known_before_anything_is_written(tmp_path, name, wrong):
    options = {"step": 1, "arrays": {}, "info": {}} | {name: wrong}
    with pytest.raises(OptionError, match=f"'{name}' parameter of write_checkpoint"):
        write_checkpoint(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["first", 1.5, None, True])
def test_a_checkpoint_is_asked_for_by_its_step(tmp_path, wrong):
    with pytest.raises(OptionError, match="'step' parameter of read_checkpoint"):
        read_checkpoint(tmp_path, wrong)


# Which are kept


def test_the_last_few_and_the_best_are_kept(tmp_path):
    for step, score in [(10, 1.0), (20, 5), (30, None), (40, 4.5), (50, -1e300), (60, 2)]:
        write_checkpoint(tmp_path, step, state(step), {"at": step, "score": score}, keep_last=2)
    assert list_checkpoints(tmp_path) == [20, 50, 60]
    assert_is_state(read_checkpoint(tmp_path, "best"), 20)
    assert_is_state(read_checkpoint(tmp_path, "last"), 60)
    assert_is_state(read_checkpoint(tmp_path, 50), 50)


def test_of_equally_good_ones_the_latest_is_the_best(tmp_path):
    for step in (10, 20, 30):
        write_checkpoint(tmp_path, step, {}, {"score": 7}, keep_last=1)
    assert list_checkpoints(tmp_path) == [30]


def test_true_is_no_score(tmp_path):
    write_checkpoint(tmp_path, 10, {}, {"score": True})
    write_checkpoint(tmp_path, 20, {}, {"score": -5})
    assert read_checkpoint(tmp_path, "best").step == 20


def test_the_best_may_be_named(tmp_path):
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, step, {}, {"score": step}, keep_last=1, best=10)
    assert list_checkpoints(tmp_path) == [10, 40]


def test_without_scores_there_is_no_best(tmp_path):
    write(tmp_path, 10, 20, 30, 40)
    assert list_checkpoints(tmp_path) == [20, 30, 40]
    with pytest.raises(CheckpointError, match=r"no intact checkpoint with a score.*steps 20, 30, 40"):
        read_checkpoint(tmp_path, "best")


def test_later_ones_stay_until_they_are_given_up(tmp_path):
    """After a roll-back to 10 for a damaged 20, the new 15 is not pruned in favour of it."""
    write(tmp_path, 10, 20, 30)
    write(tmp_path, 15, keep_last=1)
    assert list_checkpoints(tmp_path) == [15, 20, 30]
    assert remove_checkpoints_after(tmp_path, 15) == [20, 30]
    assert names(tmp_path) == ["000000000015"]
    assert remove_checkpoints_after(tmp_path / "none", 0) == []


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    write(tmp_path, 10)
    left = tmp_path / "checkpoints" / ".tmp-0123"
    shutil.copytree(folder_of(tmp_path, 10), left)
    assert read_checkpoint(tmp_path).step == 10
    write(tmp_path, 20)
    assert names(tmp_path) == ["000000000010", "000000000020"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    write(tmp_path, 10, 20)
    write_checkpoint(tmp_path, 20, {"a": np.ones(3)}, {"new": True})
    assert names(tmp_path) == ["000000000010", "000000000020"]
    assert read_checkpoint(tmp_path).info == {"new": True}


@pytest.mark.parametrize("kind", ["file", "link", "empty"])
def test_whatever_has_its_name_is_replaced(tmp_path, kind):
    write(tmp_path, 10)
    away = tmp_path / "away"
    away.mkdir()
    (away / "precious").touch()
    path = folder_of(tmp_path, 20)
    {"file": path.touch, "link": lambda: path.symlink_to(away), "empty": path.mkdir}[kind]()
    assert (20 in list_checkpoints(tmp_path)) == (kind == "empty")
    assert_is_state(read_checkpoint(tmp_path), 10)
    write(tmp_path, 20)
    assert_is_state(read_checkpoint(tmp_path), 20)
    assert names(tmp_path) == ["000000000010", "000000000020"]
    assert (away / "precious").exists()


# At any moment


class Killed(BaseException):
    """Whoever is killed does nothing any more, not even clean up."""


def die_at(monkeypatch, call, calls=("write", "fsync", "rename", "mkdir", "unlink", "rmdir", "open")):
    """From the call of that number on, every call that could change the disk fails."""
    counted = [0]

    def mortal(before):
        def act(*arguments, **options):
            counted[0] += 1
            if counted[0] >= call:
                raise Killed
            return before(*arguments, **options)

        return act

    for name in calls:
        monkeypatch.setattr(os, name, mortal(getattr(os, name)))


@pytest.mark.parametrize("same_step", [False, True], ids=["new", "replaced"])
def test_a_writer_may_die_at_any_call(tmp_path, monkeypatch, same_step):
    """With one checkpoint before, and `keep_last=1`: there is the old one or the new one, never none."""
    new = 10 if same_step else 20
    seen = set()
    for call in range(1, 200):
        run = tmp_path / str(call)
        run.mkdir()
        write_checkpoint(run, 10, state(10), {"at": 10, "old": True})
        died = True
        with monkeypatch.context() as mortal:
            die_at(mortal, call)
            with contextlib.suppress(Killed):
                write_checkpoint(run, new, state(new), {"at": new, "old": False}, keep_last=1)
                died = False
        found = read_checkpoint(run)
        assert found.skipped == []
        assert_is_state(found, 10 if found.info["old"] else new)
        seen.add(found.info["old"])
        write_checkpoint(run, 30, state(30), {"at": 30}, keep_last=1)
        assert names(run) == ["000000000030"]
        if not died:
            break
    assert not died
    assert call > 15
    assert seen == {True, False}


KILLED_WRITER = """
import sys
import numpy as np
from qfix.runs.checkpoint import write_checkpoint
step, again = int(sys.argv[2]), False
print("ready", flush=True)
while True:
    table = np.full(200_000, float(step))
    write_checkpoint(sys.argv[1], step, {"q": table, "n": table.astype(np.int64)}, {"at": step}, keep_last=2)
    print(step, flush=True)
    again = step % 3 == 0 and not again  # every third is written twice
    step += not again
"""


def test_a_writer_may_be_killed_at_any_time(tmp_path):
    """Twenty times kill -9 after none to two checkpoints and a random part of the time that one takes: what was told to
    be written is there, whole, or something later is."""
    moments = random.Random(7)
    first, told, amid, seconds = 1, None, 0, 0.0
    for _ in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        writer.stdout.readline()
        lines = []
        for _ in range(moments.randrange(3)):
            begun = time.perf_counter()
            lines += writer.stdout.readline().split()
            seconds = time.perf_counter() - begun
        time.sleep(moments.uniform(0.0, 1.2 * seconds))
        writer.kill()
        lines += writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        told = int(lines[-1]) if lines else told
        amid += any(tmp_path.glob("checkpoints/.tmp-*"))
        if told is not None:
            found = read_checkpoint(tmp_path)
            assert found.skipped == []
            assert found.step >= told
            assert found.step == found.info["at"]
            assert np.array_equal(found.arrays["q"], np.full(200_000, float(found.step)))
            assert np.array_equal(found.arrays["n"], np.full(200_000, found.step))
            first = found.step + 1
    assert told is not None
    assert amid > 0, "some were killed while they wrote"


def test_a_reader_is_never_without_one_while_a_writer_writes(tmp_path):
    """The writer removes and replaces what the reader has just seen."""
    write(tmp_path, 0)
    writing = threading.Event()
    found = []

    def read():
        while not writing.is_set():
            found.append(read_checkpoint(tmp_path))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for step in range(1, 30):
            write(tmp_path, step, step, keep_last=1)
    finally:
        writing.set()
        reader.join()
    assert found
    for one in found:
        assert one.skipped == []
        assert_is_state(one, one.step)
    steps = [one.step for one in found]
    assert steps == sorted(steps)


@pytest.mark.parametrize("step", ["last", "best"])
def test_one_that_is_removed_while_it_is_read_is_not_called_damaged(tmp_path, monkeypatch, step):
    """The writer has published a newer one: that is read."""

    def overtaken(*arguments, read=checkpoint._read):
        monkeypatch.setattr(checkpoint, "_read", read)
        write_checkpoint(tmp_path, 30, state(30), {"at": 30, "score": 3}, keep_last=1, best=10)
        return read(*arguments)

    write_checkpoint(tmp_path, 10, state(10), {"at": 10, "score": 1})
    write_checkpoint(tmp_path, 20, state(20), {"at": 20, "score": 2})
    monkeypatch.setattr(checkpoint, "_read", overtaken)
    found = read_checkpoint(tmp_path, step)
    assert found.skipped == []
    assert_is_state(found, 30)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="the names of open files are told by /proc")
@pytest.mark.parametrize("same_step", [False, True], ids=["new", "replaced"])
def test_what_is_published_is_on_the_disk_before(tmp_path, monkeypatch, same_step):
    """After a loss of power, too, a name leads to whole files: these are forced to the disk before they get it."""
    write(tmp_path, 10)
    calls = []

    def fsync(descriptor, fsync=os.fsync):
        calls.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def rename(old, new, rename=os.rename):
        calls.append(("rename", os.path.basename(old), os.path.basename(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    write(tmp_path, 10 if same_step else 20)
    temporary = calls[2][1]
    assert temporary.startswith(".tmp-")
    published = "000000000010-1" if same_step else "000000000020"
    assert calls[:5] == [
        ("fsync", "state.safetensors"),
        ("fsync", "manifest.json"),
        ("fsync", temporary),
        ("rename", temporary, published),
        ("fsync", "checkpoints"),
    ]
    if same_step:
        assert calls[5][:2] == ("rename", "000000000010")
        assert calls[6:] == [("rename", published, "000000000010"), ("fsync", "checkpoints")]


# What is damaged


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


DAMAGES = {
    "truncated": (
        lambda p: os.truncate(p / "state.safetensors", 1_000),
        r"state.safetensors has 1,000 bytes, and",
    ),
    "grown": (
        lambda p: (p / "state.safetensors").write_bytes((p / "state.safetensors").read_bytes() + b"x"),
        r"bytes, and should have",
    ),
    "flipped": (lambda p: flip(p / "state.safetensors", -1), r"state.safetensors is not what was written"),
    "no state": (lambda p: (p / "state.safetensors").unlink(), r"state.safetensors: No such file"),
    "empty state": (lambda p: os.truncate(p / "state.safetensors", 0), r"state.safetensors has 0 bytes"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), r"manifest.json: No such file"),
    "empty manifest": (lambda p: os.truncate(p / "manifest.json", 0), r"manifest.json is not the JSON"),
    "manifest truncated": (lambda p: os.truncate(p / "manifest.json", 90), r"manifest.json is not the JSON"),
    "manifest flipped": (
        lambda p: flip(p / "manifest.json", (p / "manifest.json").read_bytes().index(b'"at"') + 1),
        r"manifest.json is not what was written",
    ),
    "manifest of another step": (
        lambda p: shutil.copy(p.with_name("000000000010") / "manifest.json", p / "manifest.json"),
        r"not those of the checkpoint of step 20",
    ),
    "state of another step": (
        lambda p: shutil.copy(p.with_name("000000000010") / "state.safetensors", p / "state.safetensors"),
        r"not what was written",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage):
    spoil, said = DAMAGES[damage]
    write(tmp_path, 10, 20)
    spoil(folder_of(tmp_path, 20))
    found = read_checkpoint(tmp_path)
    assert_is_state(found, 10)
    (told,) = found.skipped
    assert told.startswith("000000000020: ")
    assert re.search(said, told)
    with pytest.raises(CheckpointError, match=r"no intact checkpoint of step 20.*\n.*" + said):
        read_checkpoint(tmp_path, 20)


def test_when_all_are_damaged_each_is_told(tmp_path):
    write(tmp_path, 10, 20, 30)
    os.truncate(folder_of(tmp_path, 10) / "state.safetensors", 5)
    (folder_of(tmp_path, 20) / "manifest.json").unlink()
    flip(folder_of(tmp_path, 30) / "state.safetensors", -3)
    with pytest.raises(CheckpointError) as fault:
        read_checkpoint(tmp_path)
    first, *lines = str(fault.value).splitlines()
    assert "no intact checkpoint" in first
    assert "metrics.db can still be read" in first
    assert [line.strip()[:12] for line in lines] == ["000000000030", "000000000020", "000000000010"]
    assert "SHA-256" in lines[0]
    assert "No such file" in lines[1]
    assert "has 5 bytes" in lines[2]


def test_the_best_that_is_intact_is_used(tmp_path):
    for step, score in [(10, 1), (20, 3), (30, 2)]:
        write_checkpoint(tmp_path, step, state(step), {"at": step, "score": score})
    flip(folder_of(tmp_path, 20) / "state.safetensors", -1)
    found = read_checkpoint(tmp_path, "best")
    assert_is_state(found, 30)
    assert [told[:12] for told in found.skipped] == ["000000000020"]


def test_a_run_without_checkpoints_says_so(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="has no intact checkpoint"):
            read_checkpoint(folder)
        with pytest.raises(CheckpointError, match="no checkpoint of step 5"):
            read_info(folder, 5)
        assert list_checkpoints(folder) == []
    write(tmp_path, 10)
    with pytest.raises(CheckpointError, match=r"no intact checkpoint of step 5\. There are .* steps 10\."):
        read_checkpoint(tmp_path, 5)


def test_every_flipped_bit_is_noticed_or_means_nothing(tmp_path):
    """One random bit of each byte of both files, in turn."""
    bits = random.Random(11)
    arrays = {"q": np.linspace(0, 1, 6), "b": np.array([True, False])}
    write_checkpoint(tmp_path, 3, arrays, {"at": 3, "score": 0.25, "rng": [2**40, 1.5]})
    info = read_info(tmp_path, 3)
    for name in ("manifest.json", "state.safetensors"):
        path = folder_of(tmp_path, 3) / name
        whole = path.read_bytes()
        unnoticed = 0
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bits.randrange(8)]) + whole[at + 1 :])
            try:
                found = read_checkpoint(tmp_path)
            except CheckpointError:
                continue
            unnoticed += 1
            assert found.info == info
            assert all(np.array_equal(found.arrays[key], arrays[key]) for key in arrays)
        path.write_bytes(whole)
        assert unnoticed < len(whole) / 20
    assert read_checkpoint(tmp_path).info == info


def test_every_truncation_is_noticed(tmp_path):
    write_checkpoint(tmp_path, 3, {"q": np.linspace(0, 1, 6)}, {"at": 3})
    for name in ("manifest.json", "state.safetensors"):
        path = folder_of(tmp_path, 3) / name
        whole = path.read_bytes()
        for length in range(len(whole.rstrip())):
            path.write_bytes(whole[:length])
            with pytest.raises(CheckpointError, match="no intact checkpoint"):
                read_checkpoint(tmp_path)
        path.write_bytes(whole)


# A disk that does not do what it should


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, call):
    write(tmp_path, 10)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(
            CheckpointError, match=r"Cannot write the checkpoint .*000000000020: No space left.*Free space"
        ) as told:
            write(tmp_path, 20)
    assert told.value.errno == errno.ENOSPC
    assert_is_state(read_checkpoint(tmp_path), 10)
    assert names(tmp_path) == ["000000000010"]
    write(tmp_path, 20)
    assert_is_state(read_checkpoint(tmp_path), 20)


def test_the_limit_of_the_kernel_leaves_what_was_there(tmp_path):
    program = f"""
import resource
import numpy as np
from qfix.errors import CheckpointError
from qfix.runs.checkpoint import write_checkpoint
write_checkpoint({str(tmp_path)!r}, 10, {{"q": np.ones(1_000)}}, {{}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    write_checkpoint({str(tmp_path)!r}, 20, {{"q": np.ones(100_000)}}, {{}})
except CheckpointError as fault:
    print(fault)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "File too large" in told
    assert names(tmp_path) == ["000000000010"]
    assert read_checkpoint(tmp_path).skipped == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(CheckpointError, match="No such file or directory"):
        write_checkpoint(tmp_path / "none", 1, {}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_told(tmp_path):
    write(tmp_path, 10)
    (tmp_path / "checkpoints").chmod(0o500)
    with pytest.raises(CheckpointError, match="Permission denied"):
        write(tmp_path, 20)
    assert_is_state(read_checkpoint(tmp_path), 10)


def test_what_is_too_large_for_the_memory_is_not_tried(tmp_path, monkeypatch):
    write(tmp_path, 10, 20)
    monkeypatch.setattr(safetensors_file, "_memory_bytes", lambda: 100)
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("allocated"))
    with pytest.raises(CheckpointError, match="bytes of memory, more than there are"):
        read_checkpoint(tmp_path)
