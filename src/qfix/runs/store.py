"""metrics.db, the writing side: rows are gathered in memory and written in one transaction at a time.

A process that is killed, or a machine that loses power, leaves the transactions before it, each whole. Readers keep
nothing waiting: SQLite in WAL mode writes new pages beside the ones they read. What cannot be written, because the disk
is full or has gone, stays in memory for the next `flush`; writing a row again replaces it by itself.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from qfix.errors import FolderError, OptionError, is_whole, option_error
from qfix.runs import schema
from qfix.runs.files import write_atomically
from qfix.runs.schema import LENGTH_TYPES, NO_SEED, RETURN_TYPES, TABLES, plain_text

_LARGEST = 2**63 - 1
_MOST_EVENTS = 2**62
_WIDTH = {"metrics": 4, "episodes": 8, "snapshots": 5, "evaluations": 9, "alerts": 4, "events": 5}
_INSERT = {
    table: f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * width)})"
    for table, width in _WIDTH.items()
}
_ROLLED_BACK = ("metrics", "snapshots", "evaluations", "alerts")
_LOG_BYTES = 16 << 20  # that the log may keep on the disk once all of it is in the file


class _Block(NamedTuple):
    """Metrics of one step."""

    step: int
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    values: np.ndarray  # (seeds, names)


class MetricStore:
    """The store of a run, open for its one writer.

    Methods that add copy what they are given and check it: a wrong row is refused at once, and never keeps others from
    being written. Use it as a context manager; leaving it writes what is there still.

    Args:
        path: of metrics.db, made where there is none.

    Raises:
        FolderError: the file is not the store of a run, is damaged, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._metrics: list[_Block] = []
        self._metric_rows = 0
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES if table != "metrics"}
        with schema.OPENING:
            self._link = self._opened()
        try:
            self._counts = self._episode_counts()
            (last,) = self._link.execute("SELECT max(id) FROM events").fetchone()
            self._last_event: int = last or 0
            if self._last_event > _MOST_EVENTS:
                raise schema.damaged(self.path, f"it has an event of the number {self._last_event}")
            self._link.set_progress_handler(None, 0)
        except schema.FAULTS as fault:
            self._link.close()
            raise fault if isinstance(fault, FolderError) else self._error("open", fault) from fault

    def __enter__(self) -> MetricStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except FolderError as lost:
            if fault is None:
                raise
            fault.add_note(str(lost))

    @property
    def pending(self) -> int:
        """Rows that are in memory only."""
        return self._metric_rows + sum(len(rows) for rows in self._rows.values())

    @property
    def episodes(self) -> dict[int, int]:
        """How many finished episodes of each seed there are, in memory or on the disk."""
        return dict(self._counts)

    # Adding

    def add_metrics(self, step: int, seeds: Sequence[int], names: Sequence[str], values: Any) -> None:
        """Values of one step; NaN stands for none, infinity is kept.

        Args:
            step: environment steps of each seed so far.
            seeds: whose values they are.
            names: of the metrics: letters, digits and `_./:+-`.
            values: (len(names), len(seeds)) numbers.
        """
        step, whole = (
            _whole("add_metrics", "step", step),
            tuple(_whole("add_metrics", "seeds", s) for s in seeds),
        )
        order, ordered = _table_order(tuple(names))
        array = np.array(values, dtype=np.float64)
        if array.shape != (len(ordered), len(whole)):
            rule = f"must have the shape (names, seeds), here {(len(ordered), len(whole))}"
            raise _refused("add_metrics", "values", rule, array.shape, "Use a row for each name.")
        self._metrics.append(_Block(step, whole, ordered, array[order].T))
        self._metric_rows += array.size

    def add_episodes(self, seed: int, first: int, last_step: int, returns: Any, lengths: Any) -> None:
        """Finished episodes of a seed, numbers `first` to `first + len(returns) - 1`.

        Args:
            seed: whose they are.
            first: the number of its episodes so far.
            last_step: environment steps of the seed when the last of them ended.
            returns: (n,) undiscounted.
            lengths: (n,) environment steps, 1 or more.
        """
        owner = "add_episodes"
        seed, first = _whole(owner, "seed", seed), _whole(owner, "first", first)
        last_step = _whole(owner, "last_step", last_step)
        returned = np.asarray(returns, dtype=np.float64).reshape(-1)
        given = np.asarray(lengths).reshape(-1)
        if given.dtype.kind not in "iu" and not (np.isfinite(given) & (given == np.floor(given))).all():
            raise _refused(owner, "lengths", "must be whole numbers", lengths, "Count environment steps.")
        lasted = given.astype(np.int64)
        if first != self._counts.get(seed, 0):
            rule = f"must be the number of episodes of seed {seed} so far, {self._counts.get(seed, 0)}"
            raise _refused(owner, "first", rule, first, "Add every episode once, in order.")
        if len(returned) != len(lasted):
            rule = f"must be as many as returns, {len(returned)}"
            raise _refused(owner, "lengths", rule, len(lasted), "Give one for each episode.")
        if not len(lasted):
            return
        if lasted.min() < 1 or schema.total(lasted) > last_step:
            rule = f"must be at least 1 each and at most last_step, {last_step}, together"
            raise _refused(owner, "lengths", rule, lasted, "Count environment steps of the seed.")
        returns_type, packed_returns = schema.pack_numbers(returned, RETURN_TYPES)
        lengths_type, packed_lengths = schema.pack_numbers(lasted, LENGTH_TYPES)
        _fits(owner, "returns", len(packed_returns))
        row = (
            seed,
            first,
            len(lasted),
            last_step,
            packed_returns,
            packed_lengths,
            returns_type,
            lengths_type,
        )
        self._rows["episodes"].append(row)
        self._counts[seed] = first + len(lasted)

    def add_snapshot(self, seed: int, episode: int, step: int, values: Any) -> None:
        """Action values as they were, (S, A) or any shape of up to four axes, exactly."""
        owner = "add_snapshot"
        array = np.asarray(values, dtype="<f8")
        if not 1 <= array.ndim <= 4:
            raise _refused(owner, "values", "must have 1 to 4 axes", array.shape, "Reshape them.")
        _fits(owner, "values", 8 * math.prod(axis or 1 for axis in array.shape))
        numbers_of = (
            _whole(owner, "seed", seed),
            _whole(owner, "episode", episode),
            _whole(owner, "step", step),
        )
        self._rows["snapshots"].append((*numbers_of, ",".join(map(str, array.shape)), array.tobytes()))

    def add_evaluation(
        self,
        step: int,
        seed: int,
        policy: str,
        mean: float,
        std: float,
        *,
        exact: bool = False,
        eval_seed: int = 0,
        episodes: int = 0,
        returns: Any = None,
    ) -> None:
        """What a policy is worth at a step.

        Args:
            step: environment steps of the seed.
            seed: of the training.
            policy: greedy, exploratory, untrained, random or optimal.
            mean: of the returns.
            std: of the returns.
            exact: computed from a model, with no episodes.
            eval_seed: of the episodes.
            episodes: how many, 0 where exact.
            returns: (episodes,) one by one, or None.
        """
        owner = "add_evaluation"
        episodes = _whole(owner, "episodes", episodes)
        if bool(exact) != (episodes == 0):
            rule = "must be 0 where the value is exact, and above 0 where it is not"
            raise _refused(owner, "episodes", rule, episodes, "Give the number of sampled returns.")
        packed = None
        if returns is not None:
            array = np.asarray(returns, dtype="<f8").reshape(-1)
            if len(array) != episodes:
                rule = f"must be as many as episodes, {episodes}"
                raise _refused(owner, "returns", rule, len(array), "Give one for each episode, or None.")
            _fits(owner, "returns", array.nbytes)
            packed = array.tobytes()
        self._rows["evaluations"].append(
            (
                _whole(owner, "step", step),
                _whole(owner, "seed", seed),
                _word(owner, "policy", policy),
                _whole(owner, "eval_seed", eval_seed),
                episodes,
                int(exact),
                float(mean),
                float(std),
                packed,
            )
        )

    def add_alert(self, step: int, seed: int | None, kind: str, message: str) -> None:
        """Something of a seed, or of the run as a whole (None), that its user should know."""
        whose = NO_SEED if seed is None else _whole("add_alert", "seed", seed)
        step, kind = _whole("add_alert", "step", step), _word("add_alert", "kind", kind)
        self._rows["alerts"].append((step, whose, kind, plain_text(str(message))))

    def add_event(self, step: int, kind: str, message: str = "", at: float | None = None) -> None:
        """Something that happened to the run, in the order of the calls whatever the clock says.

        Args:
            step: environment steps of each seed so far.
            kind: started, resumed, checkpoint, interrupted, failed, finished, ...
            message: for people.
            at: seconds since 1970; now, if None.
        """
        moment = time.time() if at is None else float(at)
        if not math.isfinite(moment):
            raise _refused("add_event", "at", "must be finite", at, "Use time.time().")
        step, kind = _whole("add_event", "step", step), _word("add_event", "kind", kind)
        self._last_event += 1
        self._rows["events"].append((self._last_event, moment, step, kind, plain_text(str(message))))

    # Writing

    def flush(self, durable: bool = False) -> None:
        """Write what is in memory, all of it or nothing.

        Args:
            durable: wait until the disk has it, and all before it: it outlives a loss of power. Otherwise it outlives
                the process, and a loss of power may take the last transactions, whole.

        Raises:
            FolderError: it could not be written; it is in memory still.
        """
        if not durable and not self.pending:
            return
        with self._transaction(durable):
            self._write()
        self._clear()

    def rollback(self, step: int, episodes: Mapping[int, int]) -> None:
        """Go back to a checkpoint: what was recorded after it is removed, events apart.

        Args:
            step: of the checkpoint; rows of a later one are deleted.
            episodes: finished episodes of each seed in it; later ones are deleted, a block that straddles is cut.

        Raises:
            FolderError: the store lacks episodes that the checkpoint has, or cannot be written; nothing has changed.
        """
        step = _whole("rollback", "step", step)
        kept = {
            _whole("rollback", "episodes", k): _whole("rollback", "episodes", n) for k, n in episodes.items()
        }
        if unknown := sorted(set(self._counts) - set(kept)):
            rule = f"must name every seed, also {unknown[0]}"
            raise _refused("rollback", "episodes", rule, sorted(kept), "Name the counts of the checkpoint.")
        for seed, count in kept.items():
            if count > self._counts.get(seed, 0):
                raise FolderError(
                    f"{self.path} has {self._counts.get(seed, 0)} episodes of seed {seed}, its checkpoint {count}: "
                    f"the file is older than the checkpoint. Put the two that belong together into the folder."
                )
        self.flush()
        with self._transaction(durable=False):
            for table in _ROLLED_BACK:
                self._link.execute(f"DELETE FROM {table} WHERE step > ?", (step,))
            for seed, count in kept.items():
                self._cut(seed, count, step)
        self._counts = {seed: count for seed, count in kept.items() if count}

    def close(self) -> None:
        """Write what is in memory and put the log into the file.

        Raises:
            FolderError: it could not be written, and is lost; it is closed all the same.
        """
        try:
            self.flush()
        except FolderError as fault:
            error = FolderError(f"{fault} It is closed now: the {self.pending:,} rows in memory are lost.")
            error.errno = fault.errno
            raise error from fault.__cause__
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._link.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._link.close()

    def _write(self) -> None:
        metrics = chain.from_iterable(
            zip(repeat(block.step), repeat(seed), block.names, row)
            for block in self._metrics
            for seed, row in zip(block.seeds, block.values.tolist())
        )
        self._link.executemany(_INSERT["metrics"], metrics)
        for table, rows in self._rows.items():
            self._link.executemany(_INSERT[table], rows)

    def _clear(self) -> None:
        self._metrics.clear()
        self._metric_rows = 0
        for rows in self._rows.values():
            rows.clear()

    def _cut(self, seed: int, count: int, step: int) -> None:
        """Delete the episodes of a seed from number `count` on."""
        if count == self._counts.get(seed, 0):
            return
        link = self._link
        link.execute("DELETE FROM episodes WHERE seed = ? AND first >= ?", (seed, count))
        found = link.execute(
            "SELECT first, count, last_step, returns, lengths, returns_type, lengths_type FROM episodes "
            "WHERE seed = ? ORDER BY first DESC LIMIT 1",
            (seed,),
        ).fetchone()
        if found is None or found[0] + found[1] <= count:
            return
        first, held, last_step, *packed = found
        returns = schema.unpack_numbers(packed[0], packed[2], RETURN_TYPES, held)
        lengths = schema.unpack_numbers(packed[1], packed[3], LENGTH_TYPES, held)
        if returns is None or lengths is None:
            raise schema.damaged(self.path, f"the episodes of seed {seed} from number {first} on are torn")
        left = count - first
        # exact where the seed has one environment, whose episodes follow one another
        ended = min(step, last_step - schema.total(lengths[left:]))
        returns_type, packed_returns = schema.pack_numbers(returns[:left], RETURN_TYPES)
        lengths_type, packed_lengths = schema.pack_numbers(lengths[:left], LENGTH_TYPES)
        link.execute(
            _INSERT["episodes"],
            (seed, first, left, ended, packed_returns, packed_lengths, returns_type, lengths_type),
        )

    # The file

    def _opened(self) -> sqlite3.Connection:
        path = self.path
        if not os.path.lexists(path):
            write_atomically(path, schema.empty_database())
        schema.require_regular(path)
        try:
            link = schema.connect(path, "mode=rw")
        except schema.FAULTS as fault:
            raise self._error("open", fault) from fault
        try:
            schema.check_schema(link, path)
            (mode,) = link.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise FolderError(
                    f"{path} lies where SQLite cannot share memory between processes. Use a folder on a local disk."
                )
            link.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            link.execute("BEGIN IMMEDIATE")  # tells now, not hours later, that nothing can be written
            link.execute("ROLLBACK")
        except FolderError:
            link.close()
            raise
        except schema.FAULTS as fault:
            link.close()
            raise self._error("open", fault) from fault
        return link

    def _episode_counts(self) -> dict[int, int]:
        rows = self._link.execute(
            "SELECT seed, min(first), sum(count), max(first + count) FROM episodes NOT INDEXED GROUP BY seed"
        ).fetchall()
        counts = {}
        for seed, first, total, end in rows:
            if first != 0 or total != end or type(seed) is not int or type(total) is not int:
                raise schema.damaged(self.path, f"episodes of seed {seed!r} are missing")
            counts[seed] = total
        return counts

    @contextlib.contextmanager
    def _transaction(self, durable: bool) -> Iterator[None]:
        link = self._link
        try:
            link.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            link.execute("BEGIN IMMEDIATE")
            if durable:  # with nothing to write there would be nothing to wait for
                link.execute(f"PRAGMA user_version = {schema.VERSION}")
            yield
            link.execute("COMMIT")
        except FolderError:
            raise
        except schema.FAULTS as fault:
            raise self._error("write", fault) from fault
        finally:
            with contextlib.suppress(sqlite3.Error):
                if link.in_transaction:
                    link.execute("ROLLBACK")

    def _error(self, act: str, fault: Exception) -> FolderError:
        return schema.store_error(act, self.path, fault)


def _refused(owner: str, name: str, rule: str, value: object, remedy: str) -> OptionError:
    return option_error(f"MetricStore.{owner}", name, rule, value, remedy)


def _whole(owner: str, name: str, value: Any) -> int:
    if not is_whole(value) or not 0 <= value <= _LARGEST:
        remedy = "Use whole numbers that SQLite can hold."
        raise _refused(owner, name, "must be from 0 to 2^63 - 1", value, remedy)
    return int(value)


@functools.lru_cache(maxsize=32)
def _table_order(names: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
    """Which of the names comes first in the table, and so on: rows then go to its end."""
    order = sorted(range(len(names)), key=[_word("add_metrics", "names", name) for name in names].__getitem__)
    return order, tuple(names[i] for i in order)


def _word(owner: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not schema.WORD.fullmatch(value):
        rule = "must be 1 to 128 letters, digits and _./:+-"
        raise _refused(owner, name, rule, value, "Use a name such as td_error.")
    return value


def _fits(owner: str, name: str, size: int) -> None:
    if size > schema.LARGEST_BLOB:
        rule = f"must have at most {schema.LARGEST_BLOB:,} bytes"
        raise _refused(owner, name, rule, size, "Record fewer at once.")
