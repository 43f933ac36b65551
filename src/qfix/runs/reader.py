"""metrics.db, the reading side: as if a stranger had made the file.

Every question opens the file, asks in one transaction, and closes it. While a writer is at work that is the state
after its last `flush`, and the writer does not wait. Where nobody writes, nothing is created beside the file, so that
a folder that may only be read can be.

What is not believed before it is checked: that the file is a file, its schema, the type of each value, the length of
each array (before it is read), the order of the rows (a damaged tree that leads in circles repeats them), and the time
a query takes. What fails is a FolderError that says what is wrong.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from qfix.errors import FolderError, unknown_name
from qfix.runs import schema
from qfix.runs.alerts import Alert
from qfix.runs.schema import LARGEST_BLOB, LENGTH_TYPES, NO_SEED, RETURN_TYPES, beside
from qfix.runs.spec import SPEC

Answer = TypeVar("Answer")


class MetricSeries(NamedTuple):
    """A metric over time, of every seed."""

    steps: np.ndarray
    """(n,) environment steps of each seed, ascending."""
    seeds: tuple[int, ...]
    """Ascending."""
    values: np.ndarray
    """(seeds, n); NaN where there is none."""


class Episodes(NamedTuple):
    """The finished episodes of a seed, from number 0 on."""

    returns: np.ndarray
    """(n,) undiscounted."""
    lengths: np.ndarray
    """(n,) environment steps."""
    ends: np.ndarray
    """(n,) environment steps of the seed when each ended; exact where the seed has one environment."""


class Snapshot(NamedTuple):
    """Action values as they were."""

    seed: int
    episode: int
    step: int
    values: np.ndarray


class Evaluation(NamedTuple):
    """What a policy was worth."""

    step: int
    seed: int
    policy: str
    eval_seed: int
    episodes: int
    exact: bool
    mean: float
    std: float
    returns: np.ndarray | None


class Event(NamedTuple):
    """What happened to the run."""

    id: int
    time: float
    step: int
    kind: str
    message: str


_ATTEMPTS = 5
_SHORT, _TEXT = (
    1 << 10,
    1 << 16,
)  # bytes that SQLite may hand over: a row of metrics; a page, the largest there is
_MOST_NAMES = 10_000
_LEAST_CELLS, _CELLS_A_ROW = 1 << 24, 256


class StoreReader:
    """The store of a run, open for reading; any number of them, while one writes.

    Args:
        path: of metrics.db.

    Raises:
        FolderError: there is no such file, it is not the store of a run, or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not os.path.lexists(self.path) and (self.path.parent / SPEC).is_file():
            raise FolderError(
                f"{self.path.parent} has lost its {self.path.name}, with the metrics and episodes of the run. "
                f"Restore it from a copy, or train anew."
            )
        self._ask(lambda table: None)

    def metric_names(self) -> list[str]:
        """Names of the metrics, sorted."""
        return self._ask(_Tables.metric_names)

    def metric(self, name: str) -> MetricSeries:
        """All values of a metric.

        Raises:
            UnknownNameError: there are metrics, but none of that name.
        """
        series = self._ask(lambda tables: tables.metric(name))
        if not len(series.steps):
            names = self.metric_names()
            if names and name not in names:
                raise unknown_name("metric", name, names)
        return series

    def episodes(self, seed: int) -> Episodes:
        """The finished episodes of a seed; none where nothing is known of it."""
        return self._ask(lambda tables: tables.episodes(seed))[seed]

    def all_episodes(self) -> dict[int, Episodes]:
        """The finished episodes of every seed that has some."""
        return self._ask(lambda tables: tables.episodes(None))

    def snapshots(self) -> list[Snapshot]:
        """By step, then seed."""
        return self._ask(_Tables.snapshots)

    def evaluations(self) -> list[Evaluation]:
        """By step, then seed, then policy."""
        return self._ask(_Tables.evaluations)

    def alerts(self) -> list[Alert]:
        """By step."""
        return self._ask(_Tables.alerts)

    def events(self) -> list[Event]:
        """In the order in which they happened."""
        return self._ask(_Tables.events)

    # The file

    def _ask(self, question: Callable[[_Tables], Answer]) -> Answer:
        for _ in range(_ATTEMPTS):
            schema.require_regular(self.path)
            alone = not self._has_log()
            # With nobody writing, SQLite is told so, and touches nothing; a writer of this process waits to open.
            with schema.OPENING if alone else contextlib.nullcontext():
                before, fault = self._mark(), None
                try:
                    answer = self._answer(self.path, f"mode=ro&immutable={alone:d}", question)
                except FolderError as error:
                    fault = error
                if alone == (not self._has_log()) and (not alone or before == self._mark()):
                    if fault is None:
                        return answer
                    if not alone and self._lacks_index(fault):
                        return self._ask_copy(question)
                    raise fault
        raise FolderError(
            f"{self.path} changes all the time while it is read. Try again when that has ended."
        )

    def _lacks_index(self, fault: FolderError) -> bool:
        """Whether the log, of a writer that was killed, has no index, and none can be made in this folder."""
        code = getattr(fault.__cause__, "sqlite_errorcode", 0) & 0xFF
        hindered = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        return hindered and not os.access(self.path.parent, os.W_OK)

    def _ask_copy(self, question: Callable[[_Tables], Answer]) -> Answer:
        with tempfile.TemporaryDirectory(prefix="qfix-") as folder:
            copied = Path(folder) / self.path.name
            try:
                for suffix in ("", "-wal"):
                    shutil.copyfile(beside(self.path, suffix), beside(copied, suffix), follow_symlinks=False)
            except OSError as fault:
                raise schema.store_error("read", self.path, fault) from fault
            return self._answer(copied, "mode=ro", question)

    def _has_log(self) -> bool:
        return os.path.lexists(beside(self.path, "-wal"))

    def _answer(self, path: Path, query: str, question: Callable[[_Tables], Answer]) -> Answer:
        try:
            with contextlib.closing(schema.connect(path, query)) as link:
                link.execute("PRAGMA query_only = ON")
                link.execute("BEGIN")
                schema.check_schema(link, self.path)
                return question(_Tables(link, self.path, schema.size_of(path)))
        except FolderError:
            raise
        except schema.FAULTS as fault:
            raise schema.store_error("read", self.path, fault) from fault

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self.path.lstat()
        except OSError as fault:
            raise schema.store_error("read", self.path, fault) from fault
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class _Tables:
    """The tables within one transaction; methods read them and believe nothing."""

    def __init__(self, link: sqlite3.Connection, path: Path, size: int) -> None:
        self._link, self._path, self._size = link, path, size

    def metric_names(self) -> list[str]:
        self._allow(_SHORT)
        rows = self._link.execute("SELECT DISTINCT name FROM metrics LIMIT ?", (_MOST_NAMES + 1,)).fetchall()
        self._require(len(rows) <= _MOST_NAMES, f"it has more than {_MOST_NAMES:,} metrics")
        return sorted(self._words("metrics", [name for (name,) in rows]))

    def metric(self, name: str) -> MetricSeries:
        self._allow(_SHORT)
        query = "SELECT step, seed, value FROM metrics WHERE name = ? ORDER BY step, seed"
        rows = self._rows("metrics", query, (int, int, float | None), (name,), keys=2)
        step = np.array(rows[0], dtype=np.int64)
        seed = np.array(rows[1], dtype=np.int64)
        self._positive("metrics", step, seed)
        steps, column = np.unique(step, return_inverse=True)
        seeds, row = np.unique(seed, return_inverse=True)
        cells = len(steps) * len(seeds)
        self._require(
            cells <= max(_LEAST_CELLS, _CELLS_A_ROW * len(step)), f"values of {name} are far between"
        )
        values = np.full((len(seeds), len(steps)), np.nan)
        values[row, column] = np.array(rows[2], dtype=np.float64)  # None becomes NaN
        return MetricSeries(steps, tuple(seeds.tolist()), values)

    def episodes(self, wanted: int | None) -> dict[int, Episodes]:
        self._allow(_TEXT)  # lengths of arrays are told without reading more than a page
        lengths = ", ".join(
            f"CASE typeof({blob}) WHEN 'blob' THEN length({blob}) END" for blob in ("returns", "lengths")
        )
        query = (
            f"SELECT rowid, seed, first, count, last_step, {lengths}, returns_type, lengths_type "
            f"FROM episodes NOT INDEXED ORDER BY rowid"
        )
        columns = self._rows("episodes", query, (int, int, int, int, int, int, int, str, str))
        blocks: dict[int, list[tuple[Any, ...]]] = {} if wanted is None else {wanted: []}
        held = 0
        for rowid, seed, first, count, last_step, *sizes, returns_type, lengths_type in zip(*columns):
            known = returns_type in RETURN_TYPES and lengths_type in LENGTH_TYPES
            self._require(known and seed >= 0 and count > 0, f"episodes of seed {seed} are of no known kind")
            fitting = (count * int(returns_type[1]), count * int(lengths_type[1]))
            self._require(fitting == tuple(sizes), f"episodes of seed {seed} are not as many as they say")
            held += sum(sizes)
            if wanted in (None, seed):
                blocks.setdefault(seed, []).append(
                    (first, count, last_step, rowid, returns_type, lengths_type)
                )
        self._require(held <= self._size, "its episodes are larger than the file")
        self._allow(LARGEST_BLOB)
        return {seed: self._episodes_of(seed, sorted(blocks[seed])) for seed in sorted(blocks)}

    def _episodes_of(self, seed: int, blocks: list[tuple[Any, ...]]) -> Episodes:
        total, last = 0, 0
        for first, count, last_step, *_ in blocks:
            self._require(first == total, f"episode {total} of seed {seed} is missing or there twice")
            self._require(last_step >= last, f"episode {first} of seed {seed} ends before the one before it")
            total, last = total + count, last_step
        returns, lengths, ends = np.empty(total), np.empty(total, np.int64), np.empty(total, np.int64)
        elapsed = 0
        for first, count, last_step, rowid, returns_type, lengths_type in blocks:
            query = "SELECT returns, lengths FROM episodes NOT INDEXED WHERE rowid = ?"
            row = self._link.execute(query, (rowid,)).fetchone() or (None, None)
            returned = schema.unpack_numbers(row[0], returns_type, RETURN_TYPES, count)
            lasted = schema.unpack_numbers(row[1], lengths_type, LENGTH_TYPES, count)
            if returned is None or lasted is None:
                raise schema.damaged(self._path, f"episodes {first} on of seed {seed} cannot be read")
            whole = lasted.min() >= 1 and lasted.max() <= last_step
            elapsed += schema.total(lasted) if whole else 0
            self._require(
                whole and elapsed <= last_step, f"episodes of seed {seed} are longer than its training"
            )
            here = slice(first, first + count)
            returns[here], lengths[here] = returned, lasted
            ended = np.cumsum(lasted)
            ends[here] = ended + (last_step - ended[-1])
        return Episodes(returns, lengths, ends)

    def snapshots(self) -> list[Snapshot]:
        self._allow(_TEXT)
        query = (
            "SELECT rowid, seed, episode, step, shape, CASE typeof(data) WHEN 'blob' THEN length(data) END "
            "FROM snapshots NOT INDEXED ORDER BY rowid"
        )
        columns = self._rows("snapshots", query, (int, int, int, int, str, int))
        shapes = []
        for shape, size in zip(columns[4], columns[5]):
            self._require(schema.SHAPE.fullmatch(shape) is not None, "a snapshot has no shape")
            axes = tuple(map(int, shape.split(",")))
            room = 8 * math.prod(
                axis or 1 for axis in axes
            )  # no array may overflow its axes, nor an empty one
            fits = size == (room if 0 not in axes else 0) and room <= LARGEST_BLOB
            self._require(fits, f"a snapshot is not of its shape {axes}")
            shapes.append(axes)
        self._require(sum(columns[5]) <= self._size, "its snapshots are larger than the file")
        self._positive("snapshots", *(np.array(column, dtype=np.int64) for column in columns[1:4]))
        self._allow(LARGEST_BLOB)
        found = []
        for rowid, seed, episode, step, axes in zip(*columns[:4], shapes):
            (data,) = self._link.execute(
                "SELECT data FROM snapshots NOT INDEXED WHERE rowid = ?", (rowid,)
            ).fetchone() or (None,)
            values = self._floats(data, math.prod(axes), "a snapshot")
            found.append(Snapshot(seed, episode, step, values.reshape(axes)))
        return sorted(found, key=lambda snapshot: (snapshot.step, snapshot.seed, snapshot.episode))

    def evaluations(self) -> list[Evaluation]:
        self._allow(_TEXT)
        size = "CASE typeof(returns) WHEN 'blob' THEN length(returns) WHEN 'null' THEN -1 END"
        query = (
            f"SELECT rowid, step, seed, policy, eval_seed, episodes, exact, mean, std, {size} "
            f"FROM evaluations NOT INDEXED ORDER BY rowid"
        )
        maybe = float | None
        columns = self._rows("evaluations", query, (int, int, int, str, int, int, int, maybe, maybe, int))
        self._positive("evaluations", *(np.array(columns[i], dtype=np.int64) for i in (1, 2, 4, 5, 6)))
        self._words("evaluations", columns[3])
        for episodes, exact, size in zip(columns[5], columns[6], columns[9]):
            self._require(exact == (episodes == 0), "an evaluation is neither exact nor sampled")
            self._require(size in (-1, 8 * episodes) and size <= LARGEST_BLOB, "an evaluation lacks returns")
        self._require(sum(columns[9]) <= self._size, "its evaluations are larger than the file")
        self._allow(LARGEST_BLOB)
        found = []
        for rowid, *row, mean, std, size in zip(*columns):
            step, seed, policy, eval_seed, episodes, exact = row
            returns = None
            if size >= 0:
                query = "SELECT returns FROM evaluations NOT INDEXED WHERE rowid = ?"
                (data,) = self._link.execute(query, (rowid,)).fetchone() or (None,)
                returns = self._floats(data, episodes, "an evaluation")
            mean, std = (np.nan if x is None else x for x in (mean, std))
            found.append(Evaluation(step, seed, policy, eval_seed, episodes, bool(exact), mean, std, returns))
        return sorted(found, key=lambda e: (e.step, e.seed, e.policy, e.eval_seed, e.episodes))

    def alerts(self) -> list[Alert]:
        self._allow(_TEXT)
        query = "SELECT rowid, step, seed, kind, message FROM alerts NOT INDEXED ORDER BY rowid"
        _, steps, seeds, kinds, messages = self._rows("alerts", query, (int, int, int, str, str))
        self._require(
            min(steps, default=0) >= 0 and min(seeds, default=0) >= NO_SEED, "an alert has no step or seed"
        )
        rows = zip(steps, seeds, self._words("alerts", kinds), self._messages("alerts", messages))
        found = [Alert(step, None if seed == NO_SEED else seed, *told) for step, seed, *told in rows]
        return sorted(found, key=lambda alert: alert.step)

    def events(self) -> list[Event]:
        self._allow(_TEXT)
        query = "SELECT id, time, step, kind, message FROM events ORDER BY id"
        ids, times, steps, kinds, messages = self._rows("events", query, (int, float, int, str, str))
        self._require(
            min(ids, default=1) >= 1 and min(steps, default=0) >= 0, "an event has no place or step"
        )
        kinds, messages = self._words("events", kinds), self._messages("events", messages)
        return [Event(*row) for row in zip(ids, times, steps, kinds, messages)]

    # What is believed

    def _allow(self, length: int) -> None:
        """The longest text or array that SQLite may hand over from here on."""
        self._link.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)

    def _rows(
        self, table: str, query: str, types: Sequence[Any], values: tuple[Any, ...] = (), keys: int = 1
    ) -> list[list[Any]]:
        """The columns of a query; of these types, the first `keys` ascending, no more text than the file has bytes."""
        columns: list[list[Any]] = [[] for _ in types]
        cursor = self._link.execute(query, values)
        texts = [i for i, kind in enumerate(types) if kind is str]
        allowed = [{float, type(None)} if kind == float | None else {kind} for kind in types]
        last: tuple[Any, ...] | None = None
        room = self._size
        while chunk := cursor.fetchmany(256 if texts else 1 << 15):
            pieces = list(zip(*chunk))
            for piece, kinds in zip(pieces, allowed):
                self._require(set(map(type, piece)) <= kinds, f"a value in {table} is of the wrong type")
            last = self._ascending(table, pieces[:keys], last)
            room -= sum(len(text) for i in texts for text in pieces[i])
            self._require(room >= 0, f"{table} is larger than the file")
            for column, piece in zip(columns, pieces):
                column.extend(piece)
        return columns

    def _ascending(
        self, table: str, keys: list[tuple[int, ...]], last: tuple[int, ...] | None
    ) -> tuple[int, ...]:
        """A tree that leads in circles repeats its rows."""
        order = list(zip(*keys)) if last is None else [last, *zip(*keys)]
        self._require(all(map(tuple.__lt__, order, order[1:])), f"rows of {table} are not in order")
        return order[-1]

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise schema.damaged(self._path, what)

    def _positive(self, table: str, *columns: np.ndarray) -> None:
        for column in columns:
            self._require(not len(column) or column.min() >= 0, f"a number in {table} is below 0")

    def _words(self, table: str, words: list[Any]) -> list[str]:
        for word in set(words):
            fits = isinstance(word, str) and schema.WORD.fullmatch(word) is not None
            self._require(fits, f"a name in {table} is none")
        return words

    def _messages(self, table: str, messages: list[str]) -> list[str]:
        longest = max(map(len, messages), default=0)
        self._require(longest <= schema.LONGEST_MESSAGE, f"a message in {table} has {longest:,} characters")
        return [schema.plain_text(message) for message in messages]

    def _floats(self, data: object, count: int, what: str) -> np.ndarray:
        values = schema.unpack_numbers(data, "f8", ("f8",), count)
        if values is None:
            raise schema.damaged(self._path, f"{what} cannot be read")
        return values
