"""Checkpoints of a run: arrays and what they mean, published whole, and checked before they are believed.

    checkpoints/000000120000/state.safetensors     the arrays, as the safetensors library would write them
    checkpoints/000000120000/manifest.json         step, info, size and SHA-256 of each file, and of the manifest itself

A checkpoint is written to a temporary folder, forced to the disk, and renamed: whoever reads sees all of it or
nothing. The checksum is against accidents, not attackers: it says that what is read is what was written. SHA-256,
because processors compute it at 1 to 2 GB/s, anybody can check it by hand, and it runs in a second thread while the
disk works.

What is read may be a stranger's: nothing outside of the run's folder is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from qfix.errors import CheckpointError, FolderError, is_whole, option_error
from qfix.runs.files import (
    TEMPORARY,
    folder_error,
    fsync_folder,
    is_folder,
    open_regular,
    read_regular,
    remove,
    remove_leftovers,
    strict_json,
    write_new,
)
from qfix.runs.safetensors_file import as_safetensors, is_size, read_hashed, require_truths, write_hashed

FOLDER = "checkpoints"
STATE = "state.safetensors"
MANIFEST = "manifest.json"
FORMAT = 1
LONGEST_MANIFEST = 4 << 20
LARGEST_STEP = 2**62

# a step, and a number where a checkpoint of that step was there already and was just about to be replaced
_NAME = re.compile(r"([0-9]{12}|[1-9][0-9]{12,18})(?:-([1-9][0-9]{0,5}))?")
_MOST_TRIES = 100
_MOST_TOLD = 20  # of what a message lists


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """What a checkpoint held."""

    step: int
    """Environment steps of each seed at which it was taken."""
    arrays: dict[str, np.ndarray]
    """The arrays, each with memory of its own, writable and in C order."""
    info: dict[str, Any]
    """What was written with them; `info["score"]`, if there, ranks checkpoints: higher is better."""
    path: Path
    """Its folder."""
    skipped: list[str] = field(default_factory=list)
    """Checkpoints that would have come first, and what is wrong with each."""

    def __repr__(self) -> str:
        return f"Checkpoint(step {self.step:,}, {len(self.arrays)} arrays, {str(self.path)!r})"


class _Entry(NamedTuple):
    """A name in the folder of checkpoints; the largest is the latest."""

    step: int
    version: int
    name: str
    identity: tuple[int, int]  # what tells a folder from another one that takes its name


# Writing


def write_checkpoint(
    folder: str | Path,
    step: int,
    arrays: Mapping[str, np.ndarray],
    info: Mapping[str, Any],
    keep_last: int = 3,
    best: int | None = None,
) -> Path:
    """Write a checkpoint, and remove older ones: all but the last few and the best.

    Only for who holds the lock of the run. A checkpoint of the same step is replaced, and there is a whole one of it at
    any moment. Checkpoints of later steps stay.

    Args:
        folder: of the run.
        step: environment steps of each seed.
        arrays: of booleans, whole numbers or floats; they must not change meanwhile.
        info: JSON; "score" in it, a number or None, says how good the checkpoint is, higher being better.
        keep_last: how many to keep, this one included.
        best: step of the one to keep beside them; None for the one with the highest score.

    Returns:
        Its folder.

    Raises:
        OptionError: an array or `info` cannot be kept in a file.
        CheckpointError: the disk is full, or the folder cannot be written. The checkpoints before are as they were.
    """
    step = _checked(step, keep_last)
    header, pieces = as_safetensors(arrays)
    _as_manifest(step, info, 0, "")  # what cannot be kept is known before anything is written
    within = Path(folder) / FOLDER
    temporary = within / f"{TEMPORARY}{secrets.token_hex(8)}"
    path = within / f"{step:012d}"
    try:
        if not os.path.lexists(within):
            within.mkdir()
            fsync_folder(folder)
        if not is_folder(within):
            raise CheckpointError(f"{within} is not a folder. A run's folder holds no links; remove it.")
        remove_leftovers(within)
        temporary.mkdir()
        try:
            digest = write_hashed(temporary / STATE, header, *pieces)
            size = len(header) + sum(map(len, pieces))
            write_new(temporary / MANIFEST, _as_manifest(step, info, size, digest))
            fsync_folder(temporary)
            _publish(temporary, path)
        except BaseException:
            remove(temporary)
            raise
    except CheckpointError:
        raise
    except OSError as fault:
        raise folder_error("write the checkpoint", path, fault, CheckpointError) from fault
    _prune(Path(folder), step, keep_last, best)
    return path


def remove_checkpoints_after(folder: str | Path, step: int) -> list[int]:
    """Remove the checkpoints of later steps, of a future that a rolled-back run has given up; returns their steps."""
    later = [entry for entry in _entries(folder) if entry.step > step]
    for entry in later:
        _retire(Path(folder) / FOLDER / entry.name)
    return sorted({entry.step for entry in later})


def _checked(step: int, keep_last: int) -> int:
    owner = "write_checkpoint"
    if not is_whole(step) or not 0 <= step <= LARGEST_STEP:
        raise option_error(owner, "step", "must be a whole number in [0, 2**62]", step, "Use run.steps.")
    if not is_whole(keep_last) or keep_last < 1:
        rule = "must be a whole number, 1 or above"
        raise option_error(owner, "keep_last", rule, keep_last, "Use keep_last=3.")
    return int(step)


def _as_manifest(step: int, info: Mapping[str, Any], size: int, digest: str) -> bytes:
    files = {STATE: {"bytes": size, "sha256": digest}}
    try:
        plain = json.dumps(
            {"format": FORMAT, "step": step, "info": dict(info), "files": files}, allow_nan=False
        )
        content = strict_json(plain.encode(), Path(MANIFEST))
        told = json.dumps(content | {"sha256": _digest(content)}, indent=1, allow_nan=False).encode() + b"\n"
        if len(told) + 128 > LONGEST_MANIFEST:
            raise ValueError(f"{len(told):,} bytes")
    except (TypeError, ValueError, RecursionError, FolderError) as fault:
        rule = f"must be JSON with finite numbers, of less than {LONGEST_MANIFEST:,} bytes"
        remedy = "Use None for what is no number, and the arrays for what is large."
        raise option_error("write_checkpoint", "info", rule, str(fault)[:200], remedy) from fault
    return told


def _digest(content: dict[str, Any]) -> str:
    """Checksum of a manifest, by its meaning."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _publish(temporary: Path, path: Path) -> None:
    """Rename into place. Where the step is there already, the new one is published beside it first."""
    old = [entry for entry in _entries(path.parent.parent) if entry.step == int(path.name)]
    if not old:
        os.rename(temporary, path)
        fsync_folder(path.parent)
        return
    beside = path.with_name(f"{path.name}-{max(entry.version for entry in old) + 1}")
    os.rename(temporary, beside)
    fsync_folder(path.parent)
    for entry in old:
        _retire(path.with_name(entry.name))
    os.rename(beside, path)
    fsync_folder(path.parent)


def _retire(path: Path) -> None:
    """Remove a checkpoint: gone from the list at once, so that nobody finds half of it."""
    aside = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        os.rename(path, aside)
        remove(aside)


def _prune(folder: Path, written: int, keep_last: int, best: int | None) -> None:
    entries = [entry for entry in _entries(folder) if entry.step <= written]
    steps = sorted({entry.step for entry in entries}, reverse=True)
    keep = set(steps[:keep_last])
    if best is None:
        ranked = _ranked(folder, entries)
        best = ranked[0].step if ranked else None
    for entry in entries:
        if entry.step not in keep and entry.step != best:
            _retire(folder / FOLDER / entry.name)


# Looking


def list_checkpoints(folder: str | Path) -> list[int]:
    """Steps of the checkpoints of a run, the first first; whether they are intact is not looked at."""
    within = Path(folder) / FOLDER
    return sorted({entry.step for entry in _entries(folder) if is_folder(within / entry.name)})


def read_info(folder: str | Path, step: int) -> dict[str, Any]:
    """The `info` of a checkpoint, without its arrays.

    Raises:
        CheckpointError: there is none of that step, or its manifest is damaged.
    """
    named = [entry for entry in _entries(folder) if entry.step == step]
    if not named:
        raise _nothing(folder, f"no checkpoint of step {step:,}", [])
    return _read_manifest(Path(folder), named[0])["info"]


def _entries(folder: str | Path) -> list[_Entry]:
    """What has the name of a checkpoint, the latest first."""
    within = Path(folder) / FOLDER
    if not is_folder(within):
        return []
    entries = []
    try:
        with os.scandir(within) as listed:
            for found in listed:
                if match := _NAME.fullmatch(found.name):
                    identity = _identity(Path(found.path))
                    if identity is not None:
                        entries.append(_Entry(int(match[1]), int(match[2] or 0), found.name, identity))
    except OSError as fault:
        raise folder_error("read", within, fault, CheckpointError) from fault
    return sorted(entries, reverse=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        told = path.lstat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns


def _ranked(folder: Path, entries: list[_Entry]) -> list[_Entry]:
    """Those with a score, the best first; of equals the latest."""
    scored = []
    for entry in entries:
        with contextlib.suppress(FolderError):
            score = _read_manifest(folder, entry)["info"].get("score")
            if isinstance(score, int | float) and not isinstance(score, bool):
                scored.append((score, entry))
    return [entry for _, entry in sorted(scored, reverse=True)]


# Reading


def read_checkpoint(folder: str | Path, step: int | Literal["last", "best"] = "last") -> Checkpoint:
    """Read a checkpoint, checked.

    Args:
        folder: of the run.
        step: of the checkpoint; "last" and "best" go on to the one before where one is damaged, and say so in
            `skipped`.

    Raises:
        CheckpointError: there is none, or none that is intact; says what is wrong with each.
    """
    folder = Path(folder)
    if not (step in ("last", "best") if isinstance(step, str) else is_whole(step)):
        rule = 'must be "last", "best" or a step'
        raise option_error("read_checkpoint", "step", rule, step, 'Use "last".')
    for _ in range(_MOST_TRIES):  # a writer may remove or replace what is just being read
        entries = wanted = _entries(folder)
        if step == "best":
            wanted = _ranked(folder, entries)
        elif step != "last":
            wanted = [entry for entry in entries if entry.step == step]
        skipped: list[str] = []
        for entry in wanted:
            try:
                manifest, arrays = _read(folder, entry)
            except FolderError as fault:
                if _identity(folder / FOLDER / entry.name) != entry.identity:
                    break
                skipped.append(f"{entry.name}: {fault}")
                continue
            path = folder / FOLDER / entry.name
            return Checkpoint(entry.step, arrays, manifest["info"], path, skipped)
        if _entries(folder) == entries:
            break
    if is_whole(step) and not skipped and (steps := list_checkpoints(folder)):
        nearest = min(steps, key=lambda other: abs(other - int(step)))
        raise CheckpointError(
            f"{folder} has no intact checkpoint of step {step:,}. {_listed(steps)} Use checkpoint={nearest}."
        )
    said = {"last": "no intact checkpoint", "best": "no intact checkpoint with a score"}
    raise _nothing(folder, said.get(str(step)) or f"no intact checkpoint of step {step:,}", skipped)


def _nothing(folder: str | Path, what: str, skipped: list[str]) -> CheckpointError:
    steps = list_checkpoints(folder)
    there = f" {_listed(steps)}" if steps else ""
    wrong = "".join(f"\n  {line}" for line in skipped[:_MOST_TOLD])
    wrong += f"\n  and {len(skipped) - _MOST_TOLD:,} more" if len(skipped) > _MOST_TOLD else ""
    return CheckpointError(
        f"{folder} has {what}.{there} The metrics and episodes in metrics.db can still be read; to learn on, start "
        f"the run anew or restore the folder from a copy.{' What is wrong:' if wrong else ''}{wrong}"
    )


def _listed(steps: list[int]) -> str:
    return f"There are checkpoints of the steps {', '.join(map(str, steps[-_MOST_TOLD:]))}."


def _read(folder: Path, entry: _Entry) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    manifest = _read_manifest(folder, entry)
    told = manifest["files"][STATE]
    name = f"{FOLDER}/{entry.name}/{STATE}"
    path = folder / name
    descriptor, size = open_regular(folder, name)
    try:
        if size != told["bytes"]:
            raise CheckpointError(f"{path} has {size:,} bytes, and should have {told['bytes']:,}.")
        hashed, arrays = read_hashed(descriptor, size, path)
    except MemoryError as fault:
        raise CheckpointError(f"{path} needs {size:,} bytes of memory, more than there are.") from fault
    finally:
        os.close(descriptor)
    if hashed != told["sha256"]:
        raise CheckpointError(f"{path} is not what was written: its SHA-256 has changed.")
    require_truths(arrays, path)
    return manifest, arrays


def _read_manifest(folder: Path, entry: _Entry) -> dict[str, Any]:
    """A manifest that is what it says.

    Raises:
        FolderError: it is not.
    """
    name = f"{FOLDER}/{entry.name}/{MANIFEST}"
    path = folder / name
    content = strict_json(read_regular(folder, name, LONGEST_MANIFEST), path)
    if not isinstance(content, dict) or not is_whole(content.get("format")):
        raise CheckpointError(f"{path} is damaged: it is no manifest of a checkpoint.")
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {str(content['format'])[:20]}; this version of qfix reads {FORMAT}. Update qfix."
        )
    checksum = content.pop("sha256", None)
    try:
        intact = checksum == _digest(content)
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise CheckpointError(f"{path} is not what was written: its checksum has changed.")
    files = content.get("files")
    told = files.get(STATE) if isinstance(files, dict) and len(files) == 1 else None
    if (
        set(content) != {"format", "step", "info", "files"}
        or content["step"] != entry.step
        or not isinstance(content["info"], dict)
        or not isinstance(told, dict)
        or set(told) != {"bytes", "sha256"}
        or not is_size(told["bytes"])
        or not isinstance(told["sha256"], str)
    ):
        raise CheckpointError(
            f"{path} is damaged: its fields are not those of the checkpoint of step {entry.step}."
        )
    return content
