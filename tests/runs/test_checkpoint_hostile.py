"""A stranger's checkpoint is read as it is or refused: no size is believed, nothing outside the folder is touched."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from qfix.errors import CheckpointError, FolderError, QfixError
from qfix.runs import safetensors_file
from qfix.runs.checkpoint import list_checkpoints, read_checkpoint, read_info, write_checkpoint

ARRAYS = {"q": np.arange(12.0).reshape(3, 4), "n": np.arange(3), "b": np.array([True, False])}
INFO = {"score": 1.5, "episodes": [3, 4], "rng": {"state": 2**100}}


def sign(folder, content, /, **changes):
    """A manifest whose own checksum is right."""
    content = {key: value for key, value in (content | changes).items() if value is not ...}
    content.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(content | {"sha256": digest}))


def forge(run, step, raw, /, **changes):
    """A checkpoint of a stranger who knows the format: every checksum is right."""
    folder = run / "checkpoints" / f"{step:012d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.safetensors").write_bytes(raw)
    told = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    content = {"format": 1, "step": step, "info": {}, "files": {"state.safetensors": told}}
    sign(folder, content, **changes)
    return folder


def packed(header, size=0):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def row(dtype="F64", shape=(1,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)} | more


@pytest.fixture
def no_memory(monkeypatch):
    """Nothing may be allocated for arrays."""
    monkeypatch.setattr(np, "empty", lambda *_, **__: pytest.fail("allocated"))


# Headers


def test_a_file_written_by_the_library_is_read(tmp_path):
    forge(tmp_path, 1, save(ARRAYS, metadata={"by": "somebody"}))
    found = read_checkpoint(tmp_path).arrays
    assert found.keys() == ARRAYS.keys()
    assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


LIES = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "a header beyond the file": struct.pack("<Q", 100) + b"{}",
    "a header of 2**64 - 1 bytes": b"\xff" * 8 + b"{}",
    "a header of 16 EiB": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": packed(b"{"),
    "a list": packed([]),
    "a number": packed(b"7"),
    "a constant": packed(b'{"a": NaN}'),
    "a bomb of lists": packed(b"[" * 100_000),
    "a bomb of tables": packed(b'{"a":' * 100_000),
    "a name twice": packed(b'{"a": %b, "a": %b}' % ((json.dumps(row()).encode(),) * 2), 8),
    "no fields": packed({"a": {}}),
    "a field too many": packed({"a": row(code="import os")}, 8),
    "no table": packed({"a": [1]}),
    "another type": packed({"a": row("F128")}, 8),
    "bfloat": packed({"a": row("BF16", (4,))}, 8),
    "objects": packed({"a": row("O")}, 8),
    "a type that is no text": packed({"a": row(["F64"])}, 8),
    "no shape": packed({"a": row() | {"shape": None}}, 8),
    "a negative size": packed({"a": row(shape=(-1,), offsets=(0, -8))}, 8),
    "two negative sizes": packed({"a": row(shape=(-1, -1))}, 8),
    "a size that is no whole number": packed({"a": row(shape=(1.0,))}, 8),
    "a size that is true": packed({"a": row(shape=(True,))}, 8),
    "a size that wraps around": packed({"a": row(shape=(2**61 + 1, 1))}, 8),
    "sizes that wrap around": packed({"a": row(shape=(2**32, 2**32, 1))}, 0),
    "endless and empty": packed({"a": row(shape=(2**59, 2**59, 0), offsets=(0, 0))}),
    "huge and empty": packed({"a": row(shape=(2**63, 0), offsets=(0, 0))}),
    "too many dimensions": packed({"a": row(shape=(1,) * 33)}, 8),
    "too short a range": packed({"a": row(shape=(2,))}, 8),
    "too long a range": packed({"a": row(offsets=(0, 16))}, 16),
    "a range turned round": packed({"a": row(offsets=(8, 0))}, 8),
    "three offsets": packed({"a": row(offsets=(0, 8, 8))}, 8),
    "one offset": packed({"a": row(offsets=(0,))}, 8),
    "a negative offset": packed({"a": row(offsets=(-8, 0))}, 8),
    "a range beyond the file": packed({"a": row(shape=(10**12,), offsets=(0, 8 * 10**12))}, 8),
    "a gap": packed({"a": row(), "b": row(offsets=(16, 24))}, 24),
    "a gap before": packed({"a": row(offsets=(8, 16))}, 16),
    "bytes left over": packed({"a": row()}, 16),
    "an overlap": packed({"a": row(), "b": row(offsets=(0, 8))}, 8),
    "half an overlap": packed({"a": row(shape=(2,), offsets=(0, 16)), "b": row(offsets=(8, 16))}, 16),
    "metadata that is an array too large": packed({"__metadata__": {}, "a": row(shape=(9,))}, 8),
}


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("lie", LIES)
def test_a_lying_header_is_refused_before_anything_is_allocated(tmp_path, lie):
    forge(tmp_path, 1, LIES[lie])
    with pytest.raises(CheckpointError, match=r"no intact checkpoint(?s:.*)state\.safetensors") as told:
        read_checkpoint(tmp_path)
    assert len(str(told.value)) < 2_000
    assert "SHA-256" not in str(told.value)


def test_a_long_header_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "LONGEST_HEADER", 1_000)
    forge(tmp_path, 1, packed(b"{}" + b" " * 1_000))
    with pytest.raises(CheckpointError, match="its header says that it has 1,002 bytes"):
        read_checkpoint(tmp_path)


def test_a_truth_value_is_one_of_two(tmp_path):
    """Three as a truth value would be an index of three in a compiled kernel."""
    forge(tmp_path, 1, packed({"b": row("BOOL", (2,), (0, 2))}) + b"\x01\x03")
    with pytest.raises(CheckpointError, match="neither true nor false"):
        read_checkpoint(tmp_path)


def test_names_of_arrays_are_texts_and_nothing_else(tmp_path):
    """No name of an array is a name of a file."""
    forge(tmp_path, 1, packed({"../../x": row(), "\ud800\x1b": row(offsets=(8, 16))}, 16))
    assert list(read_checkpoint(tmp_path).arrays) == ["../../x", "\ud800\x1b"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "000000000001",
        "checkpoints",
        "manifest.json",
        "state.safetensors",
    ]


ROWS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F64", "U8", "BOOL", "I32", "X"]),
        "shape": st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**62, 2**64]), max_size=4),
        "data_offsets": st.lists(
            st.sampled_from([-1, 0, 1, 8, 16, 24, 2**40, 2**63]), min_size=1, max_size=3
        ),
    }
)


@settings(deadline=None, max_examples=200)
@given(rows=st.dictionaries(st.text(max_size=3), ROWS, max_size=3), size=st.integers(0, 40))
def test_a_header_is_true_or_refused(tmp_path_factory, rows, size):
    run = tmp_path_factory.mktemp("run")
    forge(run, 1, packed(rows, size))
    try:
        arrays = read_checkpoint(run).arrays
    except CheckpointError:
        return
    assert sum(array.nbytes for array in arrays.values()) == size
    assert {name: list(array.shape) for name, array in arrays.items()} == {
        name: told["shape"] for name, told in rows.items() if name != "__metadata__"
    }


# Manifests


FALSE_FIELDS = {
    "no format": {"format": ...},
    "a format of text": {"format": "1"},
    "a true format": {"format": True},
    "a later format": {"format": 2},
    "a format of a thousand digits": {"format": 10**1_000},
    "no step": {"step": ...},
    "another step": {"step": 2},
    "a step of text": {"step": "1"},
    "no info": {"info": ...},
    "info that is no table": {"info": [1]},
    "no files": {"files": ...},
    "files that are no table": {"files": ["state.safetensors"]},
    "no file": {"files": {}},
    "another file": {"files": {"../../precious": {"bytes": 1, "sha256": ""}}},
    "a file too many": {
        "files": {"state.safetensors": {"bytes": 1, "sha256": ""}, "/etc/passwd": {"bytes": 1, "sha256": ""}}
    },
    "a file that is no table": {"files": {"state.safetensors": 7}},
    "no size": {"files": {"state.safetensors": {"sha256": ""}}},
    "a size of text": {"files": {"state.safetensors": {"bytes": "9", "sha256": ""}}},
    "a negative size": {"files": {"state.safetensors": {"bytes": -1, "sha256": ""}}},
    "a huge size": {"files": {"state.safetensors": {"bytes": 2**80, "sha256": ""}}},
    "a checksum that is no text": {"files": {"state.safetensors": {"bytes": 9, "sha256": 7}}},
    "a field too many": {"code": "import os"},
}


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("false", FALSE_FIELDS)
def test_a_false_manifest_is_refused(tmp_path, false):
    forge(tmp_path, 1, save(ARRAYS), **FALSE_FIELDS[false])
    with pytest.raises(CheckpointError, match="no intact checkpoint") as told:
        read_checkpoint(tmp_path)
    assert len(str(told.value)) < 1_500


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b'{"format": NaN}',
        b"{}" + b" " * (4 << 20),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    folder = forge(tmp_path, 1, save(ARRAYS))
    (folder / "manifest.json").write_bytes(text)
    for read in (read_checkpoint, lambda run: read_checkpoint(run, "best")):
        with pytest.raises(CheckpointError, match="no intact checkpoint"):
            read(tmp_path)
    with pytest.raises(FolderError):
        read_info(tmp_path, 1)


@pytest.mark.parametrize("score", [10**400, "9", [9], {"a": 9}, True, None])
def test_a_strange_score_breaks_nothing(tmp_path, score):
    forge(tmp_path, 1, save(ARRAYS), info={"score": 1.0})
    forge(tmp_path, 2, save(ARRAYS), info={"score": score})
    assert read_checkpoint(tmp_path, "best").step == (2 if score == 10**400 else 1)
    write_checkpoint(tmp_path, 3, {}, {"score": 0.5}, keep_last=1)
    assert len(list_checkpoints(tmp_path)) == 2


# Names, links and pipes


@pytest.fixture
def run(tmp_path):
    """A run with two checkpoints, in a folder of its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (10, 20):
        write_checkpoint(folder, step, ARRAYS | {"step": np.array(step)}, INFO)
    return folder


@pytest.fixture
def away(tmp_path, run):
    """What is none of the run's business, a run with a checkpoint like its own; it must stay as it is."""
    folder = tmp_path / "away"
    shutil.copytree(run, folder)
    (folder / "precious").write_text("precious")
    before = contents(folder)
    yield folder
    assert contents(folder) == before


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def replaced(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


@pytest.mark.parametrize(
    "name", ["000000000020", "000000000020/manifest.json", "000000000020/state.safetensors"]
)
def test_a_link_in_place_of_a_part_is_refused(run, away, name):
    """Even to a copy that is intact."""
    replaced(run / "checkpoints" / name).symlink_to(away / "checkpoints" / name)
    found = read_checkpoint(run)
    assert found.step == 10
    assert "symbolic link" in found.skipped[0]
    write_checkpoint(run, 30, ARRAYS, {}, keep_last=1)
    assert os.listdir(run / "checkpoints") in (
        ["000000000030"],
        *[["000000000030", old][::order] for old in ("000000000010", "000000000020") for order in (1, -1)],
    )


def test_a_link_in_place_of_all_checkpoints_is_refused(run, away):
    replaced(run / "checkpoints").symlink_to(away / "checkpoints")
    assert list_checkpoints(run) == []
    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        read_checkpoint(run)
    with pytest.raises(CheckpointError, match=r"is not a folder.*links"):
        write_checkpoint(run, 30, ARRAYS, {})


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("name", ["manifest.json", "state.safetensors"])
def test_a_pipe_does_not_hold_anybody_up(run, name):
    os.mkfifo(replaced(run / "checkpoints" / "000000000020" / name))
    found = read_checkpoint(run)
    assert found.step == 10
    assert "named pipe" in found.skipped[0]


def test_leftovers_that_lead_away_are_removed_and_not_followed(run, away):
    (run / "checkpoints" / ".tmp-1").symlink_to(away)
    (run / "checkpoints" / ".tmp-2").mkdir()
    (run / "checkpoints" / ".tmp-2" / "away").symlink_to(away)
    write_checkpoint(run, 30, ARRAYS, {})
    assert sorted(os.listdir(run / "checkpoints")) == ["000000000010", "000000000020", "000000000030"]


def test_strange_names_are_no_checkpoints(run):
    strange = [
        "20", "0000000000030", "00000000003O", "000000000030-0", "000000000030-01", "000000000030-", "-1",
        "٠٠٠٠٠٠٠٠٠٠٣٠", "000000000030\n", " 000000000030", "9" * 20, "000000000030.tmp", "1e3", "00000000003",
    ]  # fmt: skip
    for name in strange:
        shutil.copytree(run / "checkpoints" / "000000000020", run / "checkpoints" / name)
    os.mkdir(os.fsencode(run / "checkpoints") + b"/\xff\xfe")
    assert list_checkpoints(run) == [10, 20]
    assert read_checkpoint(run).skipped == []
    write_checkpoint(run, 30, ARRAYS, {}, keep_last=1)
    assert set(strange) < set(os.listdir(run / "checkpoints"))


def test_thousands_of_names_do_not_hold_anybody_up(run):
    """Each is looked at once, and few are told: the time grows with their number, not with its square."""
    for step in range(1_000, 3_000):
        (run / "checkpoints" / f"{step:012d}").touch()
    found = read_checkpoint(run)
    assert (found.step, len(found.skipped)) == (20, 2_000)
    for step in (10, 20):
        shutil.rmtree(run / "checkpoints" / f"{step:012d}")
    with pytest.raises(CheckpointError, match="and 1,980 more") as told:
        read_checkpoint(run)
    assert len(str(told.value)) < 20_000


# Anything else


def mutate(run, luck):
    """Damage done at random to one or two files, or to the folder."""
    paths = [path for path in sorted((run / "checkpoints").rglob("*")) if path.is_file()]
    for _ in range(luck.randint(1, 2)):
        path = luck.choice(paths)
        if not path.is_file():
            continue
        data = bytearray(path.read_bytes())
        at = luck.randrange(len(data) + 1)
        match luck.randrange(10):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(data[:at])
            case 2:
                path.write_bytes(data + luck.randbytes(luck.randint(1, 50)))
            case 3:
                path.write_bytes(data[:at] + luck.randbytes(8) + data[at:])
            case 4:
                path.write_bytes(data[:at] + luck.randbytes(8) + data[at + 8 :])
            case 5:
                odd = luck.choice([b"\xff" * 8, b"\0" * 8, b'"', b"9" * 40, b"[" * 5_000])
                path.write_bytes(data[:at] + odd + data[at:])
            case 6:
                shutil.copy(luck.choice([p for p in paths if p != path and p.is_file()]), path)
            case 7:
                path.rename(path.with_name("other"))
            case 8:
                path.parent.rename(path.parent.with_name(f"{luck.randrange(10**12):012d}"))
            case 9:
                piece = bytes(data[at : at + 12])
                path.write_bytes(data.replace(piece, piece[::-1], 1))


def test_of_some_hundred_damaged_folders_none_gives_anything_else(tmp_path, run, away):
    """The intact state of the step, an older one, or an error of qfix; and the run can be gone on with."""
    luck = random.Random(13)
    outcomes = {"whole": 0, "skipped": 0, "refused": 0}
    for number in range(250):
        folder = tmp_path / f"mutant {number}"
        shutil.copytree(run, folder)
        mutate(folder, luck)
        try:
            for read in (list_checkpoints, lambda it: read_checkpoint(it, "best"), read_checkpoint):
                found = read(folder)
        except QfixError:
            outcomes["refused"] += 1
        else:
            outcomes["skipped" if found.skipped else "whole"] += 1
            assert found.arrays.pop("step") == found.step
            assert found.info == INFO
            assert found.arrays.keys() == ARRAYS.keys()
            assert all(np.array_equal(found.arrays[name], ARRAYS[name]) for name in ARRAYS)
        if number % 20 == 0:
            write_checkpoint(folder, 10**12, ARRAYS, {"score": 9}, keep_last=1)
            assert read_checkpoint(folder).step == 10**12
        shutil.rmtree(folder)
    assert min(outcomes.values()) >= 5, outcomes


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_bytes_with_true_checksums_are_arrays_or_refused(tmp_path_factory, data):
    """A stranger who signs what he has made up."""
    whole = bytearray(save(ARRAYS))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 250))] = data.draw(st.sampled_from(b'\0\xff"{}[],:-.0189eEN'))
    folder = tmp_path_factory.mktemp("run")
    forge(folder, 1, bytes(whole))
    try:
        arrays = read_checkpoint(folder).arrays
    except CheckpointError:
        return
    assert sum(array.nbytes for array in arrays.values()) == sum(array.nbytes for array in ARRAYS.values())
