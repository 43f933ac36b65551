"""The schema of metrics.db, and what a file must be before it is taken for one.

SQLite in WAL mode. `docs/run-folder.md` documents the tables for those who query them. A file is ours only if its
application id, its version and the text of its whole schema are ours: one more table, view or trigger and it is not.

Nothing here opens metrics.db other than through SQLite: closing a descriptor of its own would release the locks that
SQLite holds on the file in the same process, and let another process clear the log away under a writer.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
import stat
import tempfile
import threading
from pathlib import Path

import numpy as np

from qfix.errors import FolderError

APPLICATION_ID = 0x71666978
"""The letters "qfix" in the header of the file."""
VERSION = 1

LARGEST_BLOB = 1 << 27
"""Bytes of one array: the values of the largest dense table."""
LONGEST_WORD = 128
LONGEST_MESSAGE = 4_000
NO_SEED = -1
"""In `alerts`: the run as a whole."""

TABLES = {
    "metrics": """CREATE TABLE metrics (
  step INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  name TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (step, seed, name)
) WITHOUT ROWID""",
    "episodes": """CREATE TABLE episodes (
  seed INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  returns BLOB NOT NULL,
  lengths BLOB NOT NULL,
  returns_type TEXT NOT NULL,
  lengths_type TEXT NOT NULL,
  PRIMARY KEY (seed, first)
)""",
    "snapshots": """CREATE TABLE snapshots (
  seed INTEGER NOT NULL,
  episode INTEGER NOT NULL,
  step INTEGER NOT NULL,
  shape TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (seed, episode, step)
)""",
    "evaluations": """CREATE TABLE evaluations (
  step INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  policy TEXT NOT NULL,
  eval_seed INTEGER NOT NULL,
  episodes INTEGER NOT NULL,
  exact INTEGER NOT NULL,
  mean REAL,
  std REAL,
  returns BLOB,
  PRIMARY KEY (step, seed, policy, eval_seed, episodes)
)""",
    "alerts": """CREATE TABLE alerts (
  step INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (step, seed, kind)
)""",
    "events": """CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  time REAL NOT NULL,
  step INTEGER NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL
)""",
}

WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:+-]{0,127}", re.ASCII)
"""Names of metrics, policies, and kinds of alerts and events."""
RETURN_TYPES = ("i1", "i2", "i4", "f4", "f8")
LENGTH_TYPES = ("u1", "u2", "u4", "i8")
SHAPE = re.compile(r"[0-9]{1,10}(,[0-9]{1,10}){0,3}", re.ASCII)

OPENING = threading.Lock()
"""Held while a writer opens, and while a reader reads without locks, which it may only where no writer is."""

FAULTS = (sqlite3.Error, OSError, MemoryError, UnicodeError)
"""What SQLite raises over a damaged file: Python decodes its messages, which quote the file, and may fail at it."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: LARGEST_BLOB,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}
_PRAGMAS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY")
_BUSY_SECONDS = 5.0
_EVERY = 10_000  # instructions of SQLite between two looks at what they have come to
_LEAST_WORK, _WORK_A_BYTE = 1_000_000, 4  # a row takes less than 20 instructions and more than 10 bytes

_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free space on this disk; what was written before is intact.",
    sqlite3.SQLITE_IOERR: "Check the disk and its quota; what was written before is intact.",
    sqlite3.SQLITE_READONLY: "Change the permissions of the folder, or use another one.",
    sqlite3.SQLITE_CANTOPEN: "Check the permissions of the folder and of what lies in it.",
    sqlite3.SQLITE_BUSY: "Another program keeps it locked: end its transaction or close it.",
    sqlite3.SQLITE_LOCKED: "Another program keeps it locked: end its transaction or close it.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged. Restore it from a copy, or train anew into another folder.",
    sqlite3.SQLITE_NOTADB: "This is not the store of a run. Restore it from a copy, or use another folder.",
    sqlite3.SQLITE_INTERRUPT: "Its tables cannot be read in the time that a file of its size takes: it is damaged.",
}


def store_error(act: str, path: Path, fault: Exception) -> FolderError:
    """What SQLite or the system said, with the file and a remedy."""
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    remedy = _REMEDIES.get(code, "The file is damaged, or the disk is: restore it from a copy.")
    said = plain_text(str(fault) or type(fault).__name__, 200).replace("\n", " ")  # SQLite quotes the file
    error = FolderError(f"Cannot {act} {path}: {said}. {remedy}")
    if isinstance(fault, OSError):
        error.errno = fault.errno
    return error


def damaged(path: Path, what: str) -> FolderError:
    """An error for a file that SQLite can read and qfix did not write."""
    return FolderError(
        f"{path} is damaged or was not written by qfix: {what}. "
        f"Restore it from a copy, or train anew into another folder."
    )


def beside(path: Path, suffix: str) -> Path:
    """The file that SQLite keeps next to a database."""
    return path.with_name(path.name + suffix)


def require_regular(path: Path) -> None:
    """The file, its log and its index are files of the folder: no links, no pipes, and no journal to play back.

    A journal may name a second file, anywhere, which SQLite would read and delete.
    """
    for suffix in ("", "-wal", "-shm"):
        try:
            kind = beside(path, suffix).lstat().st_mode
        except FileNotFoundError:
            if not suffix:
                raise FolderError(
                    f"There is no {path}. Name the folder of a run, such as runs/taxi-q_learning."
                ) from None
            continue
        except (OSError, ValueError) as fault:
            raise store_error("read", path, fault) from fault
        if not stat.S_ISREG(kind):
            raise FolderError(
                f"{beside(path, suffix)} is a link, a folder or a device. "
                f"A run holds files of its own only: remove it, or use another folder."
            )
    if os.path.lexists(beside(path, "-journal")):
        raise FolderError(
            f"There is {beside(path, '-journal')}, which no run writes: it may change files elsewhere. Remove it."
        )


def connect(path: Path, query: str) -> sqlite3.Connection:
    """A connection to a file that may be hostile, its work bounded by its size, before anything is read.

    Args:
        path: of a regular file.
        query: of the URI: `mode=ro`, `mode=rw`.
    """
    link = sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
    )
    try:
        for limit, value in _LIMITS.items():
            link.setlimit(limit, value)
        for pragma in _PRAGMAS:
            link.execute(f"PRAGMA {pragma}")
        bound_work(link, size_of(path))
    except BaseException:
        link.close()
        raise
    return link


def size_of(path: Path) -> int:
    """Bytes of the file and of its log."""
    total = path.lstat().st_size
    try:
        return total + beside(path, "-wal").lstat().st_size
    except OSError:
        return total


def bound_work(link: sqlite3.Connection, size: int) -> None:
    """Interrupt what takes far more instructions than all rows of a file of that size could."""
    left = (_LEAST_WORK + _WORK_A_BYTE * size) // _EVERY

    def exhausted() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    link.set_progress_handler(exhausted, _EVERY)


def check_schema(link: sqlite3.Connection, path: Path) -> None:
    """Whether the tables are ours, and nothing else is there.

    Raises:
        FolderError: they are not.
    """
    (found,) = link.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID:
        raise FolderError(
            f"{path} is a database, but not of a run: its application id is {found}. Use another folder."
        )
    (version,) = link.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise FolderError(
            f"{path} has version {version}; this qfix knows {VERSION}. Update qfix to open this run."
        )
    if version != VERSION:
        raise damaged(path, f"there is no version {version}")
    rows = link.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 50").fetchall()
    if len(rows) != len(_schema()) or set(rows) != _schema():
        known = {row[1] for row in _schema()}
        extra = sorted(plain_text(str(row[1]), 40) for row in set(rows) - _schema() if row[1] not in known)
        raise damaged(
            path, f"it has {', '.join(extra[:5])}" if extra else "its tables are not those of a run"
        )


@functools.cache
def _schema() -> frozenset[tuple[str, str, str, str | None]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as link:
        _create(link)
        return frozenset(link.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def empty_database() -> bytes:
    """A file with the tables and no rows, in WAL mode from the start: SQLite would need a journal to switch."""
    with tempfile.TemporaryDirectory(prefix="qfix-") as folder:
        path = Path(folder) / "metrics.db"
        with contextlib.closing(sqlite3.connect(path)) as link:
            link.execute("PRAGMA synchronous = OFF")  # it is copied at once
            _create(link)
        content = bytearray(path.read_bytes())
    content[18:20] = b"\2\2"  # the versions for writing and reading: 2 is WAL
    return bytes(content)


def _create(link: sqlite3.Connection) -> None:
    for statement in TABLES.values():
        link.execute(statement)
    link.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    link.execute(f"PRAGMA user_version = {VERSION}")
    link.commit()


# What is in the columns


def plain_text(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Text that any terminal can show: without control characters, lone surrogates and marks of direction."""
    kept = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text[: longest + 1]
    )
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def pack_numbers(values: np.ndarray, types: tuple[str, ...]) -> tuple[str, bytes]:
    """The first of some types that holds every number exactly, and the bytes in it, little-endian."""
    for name in types[:-1]:
        dtype = np.dtype(f"<{name}")
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                packed = values.astype(dtype)
            if np.array_equal(packed.astype(values.dtype), values, equal_nan=True):
                return name, packed.tobytes()
        elif _whole_within(values, dtype):
            return name, values.astype(dtype).tobytes()
    return types[-1], values.astype(f"<{types[-1]}").tobytes()


def _whole_within(values: np.ndarray, dtype: np.dtype) -> bool:
    info = np.iinfo(dtype)
    if not len(values):
        return True
    if not (info.min <= values.min() and values.max() <= info.max):  # also where one is NaN
        return False
    if values.dtype.kind != "f":
        return True
    return bool((values == np.rint(values)).all() and not (np.signbit(values) & (values == 0)).any())


def total(values: np.ndarray) -> int:
    """The sum of whole numbers, also where it has more than 64 bits."""
    if not len(values):
        return 0
    largest = max(abs(int(values.min())), abs(int(values.max())))
    return int(values.sum()) if largest * len(values) < 2**63 else sum(values.tolist())


def unpack_numbers(data: object, kind: object, types: tuple[str, ...], count: int) -> np.ndarray | None:
    """The numbers again, as the last of the types; None where bytes, type and count do not belong together."""
    if kind not in types or type(data) is not bytes:
        return None
    dtype = np.dtype(f"<{kind}")
    if len(data) != count * dtype.itemsize:
        return None
    return np.frombuffer(data, dtype).astype(types[-1])
