"""Damage for files that a stranger may have made: what disks, copies and attackers do to bytes.

Other campaigns use it too: `mutations` for bytes of any kind, `DATABASE_TRICKS` for what SQL does to a database.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

HUGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 2**63 - 1, 2**64 - 1)
HEAD = 100  # bytes where formats declare themselves


def mutations(path: str | Path, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Mutated copies of a file's bytes without end, each with the name of what was done to it.

    Deterministic given the file and the generator. One to four injuries a copy.
    """
    original = Path(path).read_bytes()
    while True:
        data, told = bytearray(original), []
        for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
            injury = INJURIES[int(rng.integers(len(INJURIES)))]
            told.append(injury.__name__)
            injury(data, rng)
        yield " ".join(told), bytes(data)


def _place(data: bytearray, rng: np.random.Generator, width: int = 1) -> int:
    """Half of the time in the head of a file or of one of its pages."""
    last = max(len(data) - width, 0)
    choice = rng.integers(4)
    if choice == 0:
        return int(rng.integers(min(HEAD, last) + 1))
    if choice == 1:
        page = int(rng.integers(last // 4096 + 1)) * 4096
        return min(page + int(rng.integers(40)), last)
    return int(rng.integers(last + 1))


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice([1, 1, 8, 100]))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def overwrite_bytes(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice([1, 4, 64]))):
        if data:
            data[_place(data, rng)] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))


def overwrite_number(data: bytearray, rng: np.random.Generator) -> None:
    """A number that declares far too much, or nothing."""
    width = int(rng.choice([1, 2, 4, 8]))
    value = HUGE[int(rng.integers(len(HUGE)))] & (2 ** (8 * width) - 1)
    at = _place(data, rng, width)
    data[at : at + width] = value.to_bytes(width, "big" if rng.integers(2) else "little")


def swell_digits(data: bytearray, rng: np.random.Generator) -> None:
    """A number written in digits, in JSON say, becomes another."""
    runs = list(re.finditer(rb"-?\d+", bytes(data[: 1 << 16])))
    if runs:
        run = runs[int(rng.integers(len(runs)))]
        others = [b"0", b"-1", b"99999999999", b"18446744073709551616", b"1e999", b"null", b'"x"', b"[]"]
        data[run.start() : run.end()] = others[int(rng.integers(len(others)))]


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) + 1)) :]


def truncate_at_block(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) // 512 + 1)) * 512 :]


def extend(data: bytearray, rng: np.random.Generator) -> None:
    data += bytes(rng.integers(0, 256, int(rng.choice([1, 100, 4096])), dtype=np.uint8))


def remove_bytes(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    del data[at : at + int(rng.choice([1, 2, 16, 4096]))]


def insert_bytes(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at:at] = bytes(rng.integers(0, 256, int(rng.choice([1, 2, 16, 4096])), dtype=np.uint8))


def swap_blocks(data: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.choice([16, 512, 4096]))
    a, b = (int(rng.integers(len(data) // size + 1)) * size for _ in range(2))
    first, second = data[a : a + size], data[b : b + size]
    if len(first) == len(second):
        data[a : a + size], data[b : b + size] = second, first


def repeat_block(data: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.choice([4, 16, 512, 4096]))
    a, b = (int(rng.integers(len(data) // size + 1)) * size for _ in range(2))
    data[b : b + size] = data[a : a + size]


def blank_block(data: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.choice([16, 512, 4096]))
    at = int(rng.integers(len(data) // size + 1)) * size
    data[at : at + size] = bytes([int(rng.choice([0, 0xFF]))]) * len(data[at : at + size])


INJURIES: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    flip_bits,
    overwrite_bytes,
    overwrite_number,
    swell_digits,
    truncate,
    truncate_at_block,
    extend,
    remove_bytes,
    insert_bytes,
    swap_blocks,
    repeat_block,
    blank_block,
)


DATABASE_TRICKS = {
    "a table more": "CREATE TABLE more (x)",
    "a view": "CREATE VIEW seen AS SELECT * FROM metrics",
    "an index more": "CREATE INDEX more ON metrics (name)",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",
    "a view in place of a table": "DROP TABLE alerts; "
    "CREATE VIEW alerts AS SELECT 1 AS step, 0 AS seed, 'a' AS kind, 'b' AS message",
    "an endless view": "DROP TABLE alerts; CREATE VIEW alerts AS WITH RECURSIVE n(step) AS "
    "(SELECT 1 UNION ALL SELECT step + 1 FROM n) SELECT step, 0 AS seed, 'a' AS kind, 'b' AS message FROM n",
    "a column more": "ALTER TABLE alerts ADD COLUMN more",
    "another default": "DROP TABLE alerts; "
    "CREATE TABLE alerts (step INTEGER NOT NULL DEFAULT (abs(-1)), seed, kind, message)",
    "no table": "DROP TABLE alerts",
    "statistics": "ANALYZE",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(x)",
    "another application": "PRAGMA application_id = 1",
    "no version": "PRAGMA user_version = 0",
    "a later version": "PRAGMA user_version = 2",
    "text for a step": "INSERT INTO metrics VALUES ('x', 0, 'q_max', 1.0)",
    "a step below 0": "INSERT INTO metrics VALUES (-1, 0, 'q_max', 1.0)",
    "a seed below 0": "INSERT INTO metrics VALUES (1, -5, 'q_max', 1.0)",
    "text for a value": "INSERT INTO metrics VALUES (1, 0, 'q_max', 'x')",
    "bytes for a name": "INSERT INTO metrics VALUES (1, 0, x'00ff', 1.0)",
    "a name of a megabyte": "INSERT INTO metrics VALUES (1, 0, hex(zeroblob(500000)), 1.0)",
    "a name with escapes": "INSERT INTO metrics VALUES (1, 0, char(27) || '[2J', 1.0)",
    "text that is no UTF-8": "INSERT INTO metrics VALUES (1, 0, CAST(x'ff41' AS TEXT), 1.0)",
    "a count too large": "UPDATE episodes SET count = 9223372036854775807",
    "a count of 0": "UPDATE episodes SET count = 0",
    "a count below 0": "UPDATE episodes SET count = -1",
    "text for a count": "UPDATE episodes SET count = 'many'",
    "an episode twice": "UPDATE episodes SET first = 1 WHERE first > 0",
    "an episode missing": "UPDATE episodes SET first = first + 1",
    "a type that is none": "UPDATE episodes SET returns_type = 'O8'",
    "a type of a megabyte": "UPDATE episodes SET returns_type = hex(zeroblob(500000))",
    "returns cut short": "UPDATE episodes SET returns = substr(returns, 2)",
    "returns of another size": "UPDATE episodes SET returns = zeroblob(1000000)",
    "text for lengths": "UPDATE episodes SET lengths = hex(lengths)",
    "lengths of 0": "UPDATE episodes SET lengths = zeroblob(length(lengths))",
    "an end before its length": "UPDATE episodes SET last_step = 1",
    "an end out of order": "UPDATE episodes SET last_step = 1000000 WHERE first = 0",
    "a shape too large": "UPDATE snapshots SET shape = '4294967296,4294967296'",
    "a shape that overflows": "UPDATE snapshots SET shape = '0,9999999999,9999999999', data = x''",
    "a shape that is none": "UPDATE snapshots SET shape = 'x'",
    "a shape of a megabyte": "UPDATE snapshots SET shape = hex(zeroblob(500000))",
    "a shape below 0": "UPDATE snapshots SET shape = '-2,-2'",
    "text for data": "UPDATE snapshots SET data = hex(data)",
    "a snapshot of no step": "UPDATE snapshots SET step = -1",
    "neither exact nor sampled": "UPDATE evaluations SET exact = 7",
    "evaluation returns cut": "UPDATE evaluations SET returns = x'00' WHERE episodes > 0",
    "text for a mean": "UPDATE evaluations SET mean = 'good'",
    "a policy that is none": "UPDATE evaluations SET policy = ''",
    "a message of a megabyte": "UPDATE alerts SET message = hex(zeroblob(500000))",
    "a message too long": "UPDATE alerts SET message = hex(zeroblob(2500))",
    "bytes for a message": "UPDATE alerts SET message = x'00'",
    "an alert of no seed": "UPDATE alerts SET seed = -2",
    "text for a time": "UPDATE events SET time = 'now'",
    "an event of no step": "UPDATE events SET step = -1",
    "an event before the first": "UPDATE events SET id = -9 WHERE id = 1",
    "a kind that is none": "UPDATE events SET kind = 'a b'",
}
"""SQL that turns the store of a run into none."""


def trick(path: Path, statements: str) -> None:
    """Run statements on a database, as its owner."""
    link = sqlite3.connect(path)
    link.executescript(statements)
    link.commit()
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    link.close()
