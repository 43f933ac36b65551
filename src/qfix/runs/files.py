"""Files of a run's folder: written whole or not at all, and read as if a stranger had written them.

A reader opens nothing but a regular file that lies in the folder itself: no symbolic link, pipe or device, no name that
leads out. No size is believed before it is compared with a limit.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import Any

from qfix.errors import FolderError

TEMPORARY = ".tmp-"
"""How names begin that are no part of a run: what is being written, or was when its writer was killed."""

DEEPEST_JSON = 64
_CHUNK = 16 << 20  # bytes read or written in one call, below what any system takes at once
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_BESIDE = os.open in os.supports_dir_fd and hasattr(
    os, "O_NOFOLLOW"
)  # names can be looked up in an open folder

_REMEDIES = {
    errno.ENOSPC: "Free space on this disk; what was written before is intact, and the run can be resumed.",
    errno.EDQUOT: "Free space within your quota; what was written before is intact, and the run can be resumed.",
    errno.EFBIG: "Raise the limit on the size of files; what was written before is intact.",
    errno.EACCES: "Change the permissions of the folder, or use another one.",
    errno.EPERM: "Change the permissions of the folder, or use another one.",
    errno.EROFS: "The disk cannot be written: copy the folder to another one.",
    errno.ENOENT: "Check the name; a run that was moved is found where it is now.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.EMFILE: "Close other files, or raise the limit on open files.",
}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def folder_error(act: str, path: Path, fault: OSError, kind: type[FolderError] = FolderError) -> FolderError:
    """What the system said, as an error with a remedy; keeps its `errno`."""
    said = fault.strerror or str(fault) or type(fault).__name__
    remedy = _REMEDIES.get(fault.errno or 0, "Check the disk and the folder.")
    error = kind(f"Cannot {act} {path}: {said}. {remedy}")
    error.errno = fault.errno
    return error


# Writing


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that there is, at any moment and after a loss of power, the old one or the new one, whole.

    Raises:
        FolderError: the file cannot be written; the old one is as it was.
    """
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        try:
            write_new(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        fsync_folder(path.parent)
    except OSError as fault:
        raise folder_error("write", path, fault) from fault


def write_new(path: Path, *pieces: bytes | memoryview) -> None:
    """Write a file that must not be there yet, and wait until the disk has it; OSErrors are passed on."""
    descriptor = os.open(path, _WRITE, 0o666)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while len(view):
                view = view[os.write(descriptor, view[:_CHUNK]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(folder: str | Path) -> None:
    """Wait until the disk has the names in a folder; OSErrors are passed on."""
    if os.name == "nt":
        return  # folders cannot be opened there; the file system writes names in order
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if fault.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise  # some network file systems cannot, and have names on the disk anyway
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what killed writers left behind. Only for who holds the lock of the run."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(folder) if name.startswith(TEMPORARY)]
        for name in names:
            remove(Path(folder) / name)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it, as far as allowed."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


# Reading


def read_regular(folder: str | Path, name: str, limit: int) -> bytes:
    """All of a regular file in a folder.

    Args:
        folder: which may be reached by a link; nothing below it may.
        name: relative to the folder, its parts joined by "/".
        limit: bytes, above which the file is not read.

    Raises:
        FolderError: there is no such file, it is no regular one, or it is too large.
    """
    path = Path(folder) / name
    descriptor, size = open_regular(folder, name)
    try:
        if size > limit:
            raise FolderError(
                f"{path} has {size:,} bytes, more than the {limit:,} such a file may have. "
                f"It was not written by qfix, or it is damaged."
            )
        data = bytearray(size)
        read_into(descriptor, memoryview(data), path)
        return bytes(data)
    finally:
        os.close(descriptor)


def open_regular(folder: str | Path, name: str) -> tuple[int, int]:
    """Descriptor and size of a regular file in a folder, open for reading.

    Raises:
        FolderError: there is no such file, or it is no regular one.
    """
    path = Path(folder) / name
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise FolderError(f"{name!r} is no name of a file in a run's folder.")
    try:
        descriptor = _open_beside(folder, parts) if _BESIDE else _open_by_path(folder, parts)
        try:
            found = os.fstat(descriptor)
            _require(stat.S_ISREG(found.st_mode), path, found)
        except BaseException:
            os.close(descriptor)
            raise
    except FolderError:
        raise
    except OSError as fault:
        raise folder_error("read", path, fault) from fault
    return descriptor, found.st_size


def read_into(descriptor: int, view: memoryview, path: Path) -> None:
    """Fill a buffer from an open file.

    Raises:
        FolderError: the file ends before, or cannot be read.
    """
    filled = 0
    try:
        file = io.FileIO(descriptor, closefd=False)
        while filled < len(view):
            count = file.readinto(view[filled : filled + _CHUNK])
            if not count:
                raise FolderError(f"{path} ends after {filled:,} of {len(view):,} bytes: it is cut short.")
            filled += count
    except FolderError:
        raise
    except OSError as fault:
        raise folder_error("read", path, fault) from fault


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _open_beside(folder: str | Path, parts: list[str]) -> int:
    """Look each name up in the open folder before it, so that nothing can be exchanged on the way."""
    at, here = os.open(folder, _FOLDER), Path(folder)
    try:
        for part in parts[:-1]:
            here /= part
            found = os.stat(part, dir_fd=at, follow_symlinks=False)
            _require(stat.S_ISDIR(found.st_mode), here, found)
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        found = os.stat(parts[-1], dir_fd=at, follow_symlinks=False)
        _require(stat.S_ISREG(found.st_mode), here / parts[-1], found)
        return os.open(parts[-1], _READ, dir_fd=at)
    finally:
        os.close(at)


def _open_by_path(folder: str | Path, parts: list[str]) -> int:
    here = Path(folder)
    for part, wanted in zip(parts, [stat.S_ISDIR] * (len(parts) - 1) + [stat.S_ISREG], strict=True):
        here /= part
        found = here.lstat()
        _require(wanted(found.st_mode), here, found)
    return os.open(here, _READ)


def _require(fits: bool, path: Path, found: os.stat_result) -> None:
    if not fits:
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "not what belongs there")
        raise FolderError(f"{path} is {kind}. A run's folder holds files and folders of its own; remove it.")


# JSON


def strict_json(data: bytes, path: Path) -> Any:
    """The value of a JSON text in UTF-8: finite numbers, no key twice, 64 levels at most.

    Raises:
        FolderError: it is not such a text.
    """
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
        _shallow(value)
    except (ValueError, RecursionError) as fault:
        said = "nested too deeply" if isinstance(fault, RecursionError) else str(fault)
        raise FolderError(f"{path} is not the JSON it should be: {said[:200]}.") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {DEEPEST_JSON} levels deep")
