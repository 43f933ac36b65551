"""Run folders that a stranger may have made: mutated, opened, and watched while they are.

    python tests/faults/hostile.py FOLDER --cases 200 --seed 0

Honest folders of several kinds are made first. A case is a copy of one, mutated, and a child that opens it: reads all
of it, loads it, asks its policy and resumes it for 2,000 steps. The child may end in a qfix error or not; it has a
bug if anything else is raised, if it crashes, takes more than 30 s or more than 2 GB more than its parent, opens,
renames or removes a file outside of the folder, starts a process or imports the module that the folder names.

A case is known by its seed and its number: `--only 17` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import hashlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import qfix
from qfix.envs.make import make_env
from qfix.runs import RunFolder, list_checkpoints, recorder
from qfix.runs.checkpoint import read_checkpoint, write_checkpoint

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from runs.mutate import DATABASE_TRICKS, INJURIES

KINDS: dict[str, dict[str, Any]] = {
    "table": {"env": "qfix/Grid4x3-v0", "algorithm": "q_learning"},
    "live": {"env": "FrozenLake", "algorithm": "sarsa", "driver": "live"},
    "sparse": {"env": "Blackjack", "algorithm": "monte_carlo", "store": "sparse"},
    "tiles": {"env": "MountainCar", "algorithm": "sarsa_lambda", "tilings": 2, "tiles": 4},
    "features": {"env": "qfix/RandomWalk-v0", "algorithm": "sarsa_lambda", "features": True},
    "traces": {"env": "CliffWalking", "algorithm": "watkins_q_lambda"},
    "two tables": {"env": "qfix/GreedyTrap-v0", "algorithm": "double_q_learning"},
    "window": {"env": "qfix/Maze4x4-v0", "algorithm": "n_step_sarsa"},
    "backup": {"env": "qfix/Grid4x3-v0", "algorithm": "n_step_tree_backup"},
    "dyna": {"env": "qfix/Grid4x3-v0", "algorithm": "dyna_q"},
    "queue": {"env": "qfix/DynaMaze-v0", "algorithm": "prioritized_sweeping"},
}
QUICK = ("table", "live", "tiles", "traces")
OUTSIDE = "outside"
CANARY = "qfix_canary"
LONGEST_SECONDS = 30.0
MORE_MEMORY = 2 << 30


def make_honest(within: Path, kinds: list[str]) -> dict[str, Path]:
    """A folder of each kind, with three checkpoints, and one of a run that was killed: its log is there."""
    recorder.COST_SHARE = 1e9
    made = {}
    for kind in kinds:
        options = dict(KINDS[kind])
        if options.pop("features", False):
            n = make_env(options["env"]).observation_space.n
            options["features"] = np.random.default_rng(0).normal(size=(n, 3))
        run = qfix.train(
            out=within / kind,
            total_steps=500,
            seeds=2,
            metrics_every=50,
            snapshot_episodes=(1, 3),
            eval_episodes=2,
            **options,
        )
        for steps in (700, 900):
            run.resume(steps)
        made[kind] = within / kind
        open_it(shutil.copytree(made[kind], within / "warm"))  # a child finds all that it needs compiled
        shutil.rmtree(within / "warm")
    first = made[kinds[0]]
    killed = within / "killed"
    with recorder.Recorder.addition(first) as store:
        store.add_metrics(950, [0], ["return"], [[1.0]])
        store.add_episodes(0, store.episodes[0], 950, [1.0], [1])
        store.add_event(950, "resumed")
        store.flush()
        shutil.copytree(first, killed)
    made["killed"] = killed
    return made


# Mutations

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    16,
    10**6,
    2**31,
    2**53,
    2**60,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    2**127,
    -(2**63),
    10**18,
)
FLOATS = (0.5, -0.5, 1e308, -1e308, 1e-320, 0.0, -0.0)
TEXTS = (
    "",
    "x",
    "../../outside/secret",
    "/etc/passwd",
    f"{CANARY}:Canary-v0",
    CANARY,
    "a" * 1_000,
    "\x1b[2J",
    "\ud800",
    "qfix/DynaMaze-v0",
    "Taxi",
    "CartPole",
    "Blackjack",
    "HumanoidStandup-v5",
    "GymV26Environment-v0",
    "sarsa",
    "dyna_q",
    "monte_carlo",
    "prioritized_sweeping",
    "compiled",
    "live",
    "sparse",
    "dense",
    "tiled",
    "object",
    "id",
    "human",
    "rgb_array",
    "Linear(1, 0.05, 500)",
    "__import__('os').system('true')",
    "UCB(2.0)",
    "Boltzmann(1.0)",
    "CountBonus(1.0)",
    "1/n",
    "9" * 5_000,
)
KWARGS = (
    "xml_file",
    "render_mode",
    "map_name",
    "desc",
    "size",
    "n_states",
    "entry_point",
    "env_id",
    "max_episode_steps",
    "world",
    "seed",
    "is_slippery",
    "make_kwargs",
    "n_actions",
    "layout",
)


def hostile_value(rng: np.random.Generator) -> Any:
    choice = int(rng.integers(9))
    if choice == 0:
        return pick(rng, NUMBERS)
    if choice == 1:
        return pick(rng, FLOATS)
    if choice in (2, 3):
        return pick(rng, TEXTS)
    if choice == 4:
        return pick(rng, (None, True, False, [], {}))
    if choice == 5:
        return [pick(rng, NUMBERS) for _ in range(int(rng.integers(1, 40)))]
    if choice == 6:
        deep: Any = 1
        for _ in range(int(pick(rng, (3, 15, 16, 17, 60, 70, 900)))):
            deep = [deep] if rng.integers(2) else {"a": deep}
        return deep
    if choice == 7:
        return {pick(rng, KWARGS): hostile_value(rng) for _ in range(int(rng.integers(1, 3)))}
    return list(range(int(pick(rng, (100, 5_000, 100_001)))))


def pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """One value somewhere in it is replaced, removed, or added to."""
    places: list[tuple[Any, Any]] = []

    def collect(item: Any) -> None:
        keys = item.keys() if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            places.append((item, key))
            collect(item[key])

    collect(value)
    if not places:
        return hostile_value(rng)
    item, key = pick(rng, places)
    choice = int(rng.integers(12))
    if choice == 0:
        del item[key]
    elif choice == 1 and isinstance(item, dict):
        item[pick(rng, TEXTS)] = hostile_value(rng)
    elif choice == 2 and isinstance(item[key], int | float) and abs(item[key]) < 1e30:
        item[key] = type(item[key])(item[key] * pick(rng, (2, -1, 1000))) + int(rng.integers(-1, 2))
    else:
        item[key] = hostile_value(rng)
    return value


def as_text(value: Any) -> bytes:
    return json.dumps(value).encode()


def injure(path: Path, rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    told = []
    for _ in range(int(pick(rng, (1, 1, 2, 4)))):
        injury = pick(rng, INJURIES)
        injury(data, rng)
        told.append(injury.__name__)
    path.write_bytes(bytes(data))
    return f"{path.name} {told}"


def mutate_spec(folder: Path, rng: np.random.Generator) -> str:
    path = folder / "spec.json"
    if rng.integers(8) == 0:
        return injure(path, rng)
    value = json.loads(path.read_text())
    before = json.dumps(value)
    for _ in range(int(pick(rng, (1, 1, 1, 2)))):
        if rng.integers(4) == 0 and isinstance(value.get("env_kwargs"), dict):
            value["env_kwargs"][pick(rng, KWARGS)] = hostile_value(rng)
        elif rng.integers(3) == 0 and isinstance(value.get("config"), dict):
            name = pick(rng, sorted(value["config"]) or ["alpha"])
            value["config"][name] = hostile_value(rng)
        else:
            value = mutate_json(value, rng)
        if not isinstance(value, dict):
            break
    path.write_bytes(as_text(value))
    return f"spec.json from {before[:0]}{str(value)[:1_500]}"


def checkpoint_of(folder: Path, rng: np.random.Generator) -> Path:
    step = list_checkpoints(folder)[-1 if rng.integers(4) else 0]
    return folder / "checkpoints" / f"{step:012d}"


def sign(path: Path, content: dict[str, Any]) -> None:
    """Checksums of a stranger who knows the format."""
    state = path / "state.safetensors"
    data = state.read_bytes()
    with_file = content.get("files")
    if isinstance(with_file, dict) and isinstance(with_file.get("state.safetensors"), dict):
        with_file["state.safetensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    content.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_bytes(as_text(content | {"sha256": digest}))


def mutate_manifest(folder: Path, rng: np.random.Generator) -> str:
    path = checkpoint_of(folder, rng)
    if rng.integers(8) == 0:
        return injure(path / "manifest.json", rng)
    content = json.loads((path / "manifest.json").read_text())
    if rng.integers(4):
        name = pick(rng, sorted(content["info"]))
        if isinstance(content["info"][name], dict | list) and rng.integers(2):
            content["info"][name] = mutate_json(content["info"][name], rng)
        else:
            content["info"][name] = hostile_value(rng)
    else:
        content = mutate_json(content, rng)
    told = f"manifest {str(content)[:1_000]}"
    if isinstance(content, dict) and rng.integers(8):
        sign(path, content)
    else:
        (path / "manifest.json").write_bytes(as_text(content))
    return told


def mutate_bytes_of_state(folder: Path, rng: np.random.Generator) -> str:
    path = checkpoint_of(folder, rng)
    told = injure(path / "state.safetensors", rng)
    if rng.integers(2):
        sign(path, json.loads((path / "manifest.json").read_text()))
        told += " signed"
    return told


def mutate_arrays(folder: Path, rng: np.random.Generator) -> str:
    """Values, types, shapes and names of arrays, in a file that is whole and signed."""
    path = checkpoint_of(folder, rng)
    kept = read_checkpoint(folder, int(path.name))
    arrays, told = kept.arrays, []
    for _ in range(int(pick(rng, (1, 1, 1, 2, 5)))):
        name = pick(rng, sorted(arrays))
        told.append(f"{name}: {mutate_array(arrays, name, rng)}")
    shutil.rmtree(path)
    write_checkpoint(folder, kept.step, arrays, kept.info)
    return "; ".join(told)


def mutate_array(arrays: dict[str, np.ndarray], name: str, rng: np.random.Generator) -> str:
    array = arrays[name]
    choice = int(rng.integers(16))
    if choice == 0:
        del arrays[name]
        return "removed"
    if choice == 1:
        arrays[pick(rng, (name + "x", "9.history", "0.store.weights2", "../x"))] = array
        return "there twice"
    if choice == 2:
        arrays[name] = array.astype(pick(rng, ("f4", "i4", "u8", "?", "f8", "i8", "u1")))
        return f"as {arrays[name].dtype}"
    if choice == 3:
        arrays[name] = (
            np.concatenate([array.ravel()] * 2).reshape(-1, *array.shape[1:]) if array.ndim else array
        )
        return "doubled"
    if choice == 4:
        arrays[name] = array[: len(array) // 2] if array.ndim else array.reshape(1)
        return "halved"
    if choice == 5:
        other = arrays[pick(rng, sorted(arrays))]
        if other.shape == array.shape and other.dtype == array.dtype:
            arrays[name] = other.copy()
        return "another's"
    if not array.size:
        return "empty"
    flat = array.reshape(-1)
    places = rng.integers(flat.size, size=int(pick(rng, (1, 1, 3, flat.size))))
    if array.dtype == bool:
        flat[places] = ~flat[places]
    elif array.dtype.kind == "f":
        flat[places] = pick(rng, (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1.0, 0.0, 1e18))
    else:
        info = np.iinfo(array.dtype)
        near = [int(flat[0]) + 1, int(flat[0]) - 1, array.size, array.size + 1, len(array)]
        wanted = [
            0,
            1,
            -1,
            2,
            7,
            15,
            100,
            10**6,
            2**31,
            2**32,
            2**59,
            2**60,
            2**62,
            info.min,
            info.max,
            *near,
        ]
        flat[places] = min(max(int(pick(rng, wanted)), info.min), info.max)
    return f"at {places[:3].tolist()} {flat[places[:1]].tolist()}"


def mutate_database(folder: Path, rng: np.random.Generator) -> str:
    path = folder / "metrics.db"
    log = folder / "metrics.db-wal"
    choice = int(rng.integers(8))
    if choice < 3:
        name = pick(rng, sorted(DATABASE_TRICKS))
        link = sqlite3.connect(path)
        try:
            link.executescript(DATABASE_TRICKS[name])
            link.commit()
        except sqlite3.Error as fault:
            name += f" ({fault})"
        link.close()
        return name
    if choice == 3 and log.exists():
        return injure(log, rng)
    if choice == 4:
        beside = folder / f"metrics.db{pick(rng, ('-wal', '-shm', '-journal'))}"
        beside.write_bytes(rng.bytes(int(pick(rng, (0, 10, 5_000)))))
        return f"{beside.name} of noise"
    if choice == 5:
        statement = pick(
            rng,
            (
                "UPDATE episodes SET last_step = last_step + 100000",
                "DELETE FROM episodes WHERE seed = 0",
                "UPDATE metrics SET step = step * 1000",
                "UPDATE metrics SET seed = seed + 7",
                "UPDATE metrics SET value = 9e999",
                "UPDATE metrics SET name = 'return'||step",
                "DELETE FROM metrics",
                "UPDATE snapshots SET step = 1",
                "DELETE FROM events",
                "UPDATE events SET step = 9223372036854775807",
                "UPDATE events SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM events)",
                "UPDATE metrics SET step = 9223372036854775807 WHERE step = 50",
                "INSERT INTO events VALUES (10000, 1.0, 1, 'seed_failed', 'seed 99999999999999999999999: x')",
                "INSERT INTO events VALUES (10000, 1.0, 1, 'seed_failed', 'seed \u00b2: x')",
            ),
        )
        link = sqlite3.connect(path)
        try:
            link.executescript(statement)
            link.commit()
        except sqlite3.Error as fault:
            statement += f" ({fault})"
        link.close()
        return statement
    return injure(path, rng)


def mutate_kind_of_file(folder: Path, rng: np.random.Generator) -> str:
    """Something else has the name of a file, or is there besides."""
    outside = folder.parent / OUTSIDE
    files = sorted(p for p in folder.rglob("*") if p != folder)
    path = pick(rng, files)
    choice = int(rng.integers(7))
    if choice == 6:
        extra = path.parent / pick(rng, (".tmp-x", "000000999999", "000000000900-1", "lock", "inputs", "aux"))
        if not os.path.lexists(extra):
            (extra.symlink_to(outside) if rng.integers(2) else extra.mkdir())
        return f"{extra} besides"
    aside = folder.parent / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    if aside.exists():
        aside.unlink()
    shutil.move(path, aside)
    if choice == 0:
        path.symlink_to(outside / "secret")
    elif choice == 1:
        path.symlink_to(outside if rng.integers(2) else aside)
    elif choice == 2:
        os.mkfifo(path)
    elif choice == 3:
        path.mkdir()
    elif choice == 4:
        with path.open("wb") as file:
            file.truncate(int(pick(rng, (0, 1 << 33, 1 << 40))))
    return f"{path.name}: {('a link', 'a link to itself', 'a pipe', 'a folder', 'a hole', 'gone')[choice]}"


MUTATIONS: tuple[tuple[Callable[[Path, np.random.Generator], str], int], ...] = (
    (mutate_spec, 6),
    (mutate_manifest, 3),
    (mutate_bytes_of_state, 2),
    (mutate_arrays, 6),
    (mutate_database, 4),
    (mutate_kind_of_file, 3),
)
_DEALT = [mutation for mutation, weight in MUTATIONS for _ in range(weight)]


# Opening


def open_it(folder: Path) -> str:
    """Everything that a user does with a run of somebody else; the name of the error, or "opened"."""
    refused = []

    def tried(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except qfix.QfixError as fault:
            refused.append(type(fault).__name__)
            if not str(fault) or len(str(fault)) > 20_000:
                raise AssertionError(f"an error of {len(str(fault))} characters") from fault
            return None

    kept = tried(lambda: RunFolder(folder))
    if kept is not None:
        tried(lambda: (kept.status, kept.failures(), repr(kept), kept.evaluations()))
        store = tried(lambda: kept.store)
        if store is not None:
            for name in tried(store.metric_names) or ():
                tried(lambda name=name: store.metric(name))
            for ask in (store.all_episodes, store.alerts, store.events, store.evaluations, store.snapshots):
                tried(ask)
    with contextlib.suppress(qfix.QfixError):  # there need not be one with a score
        qfix.load(folder, checkpoint="best")
    run = tried(lambda: qfix.load(folder, step_time_limit=5.0))
    if run is not None:
        tried(lambda: ask_and_resume(run))
        if not refused:
            tried(lambda: qfix.load(folder))
    return refused[0] if refused else "opened"


def ask_and_resume(run: qfix.Run) -> None:
    observation, _ = run.env.reset(seed=0)
    for seed in run.spec.seeds[:3]:
        run.policy(seed).predict(observation)
        run.policy(seed, exploratory=True).probabilities(observation)
    run.metrics("return"), run.to_dict(), repr(run)
    run.resume(run.steps + 2_000, workers=1)


class Watch:
    """An audit hook that notes what touches files outside of a folder, or starts something."""

    EVENTS = {
        "open": (0,),
        "os.rename": (0, 1),
        "os.remove": (0,),
        "os.rmdir": (0,),
        "os.mkdir": (0,),
        "os.link": (0, 1),
        "os.symlink": (0, 1),
        "os.truncate": (0,),
        "os.chmod": (0,),
        "os.listdir": (0,),
        "os.scandir": (0,),
        "sqlite3.connect": (0,),
        "shutil.rmtree": (0,),
    }
    NEVER = (
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "socket.connect",
        "pickle.find_class",
    )

    def __init__(self, folder: Path) -> None:
        own = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        own += [
            sys.prefix,
            sys.base_prefix,
            str(Path(qfix.__file__).parent.parent),
            *filter(None, sys.path),
        ]
        self.read = tuple(
            os.path.realpath(p)
            for p in (*own, folder, "/usr", "/lib", "/lib64", "/proc", "/sys", "/dev", "/etc")
        )
        self.written = (os.path.realpath(folder), "/dev")
        self.canary = os.path.realpath(folder.parent / OUTSIDE)
        self.temporary = os.path.join(os.path.realpath(tempfile.gettempdir()), "qfix-")
        self.found: list[str] = []

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event in self.NEVER:
            if event != "pickle.find_class" or not _by_numba():
                self.found.append(f"{event} {given!r:.200}")
        elif event == "import" and given[0].partition(".")[0] == CANARY:
            self.found.append("the canary was imported")
        elif event in self.EVENTS:
            for place in self.EVENTS[event]:
                self._look(event, given[place], given)

    def _look(self, event: str, path: Any, given: tuple[Any, ...]) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or (event == "sqlite3.connect" and path == ":memory:"):
            return
        path = path.removeprefix("file://").partition("?")[0] if event == "sqlite3.connect" else path
        if not os.path.isabs(path):
            return  # in an open folder, or in the child's own empty one
        opens = event == "open"
        writes = not opens or (
            isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event in ("os.listdir", "os.scandir", "sqlite3.connect"):
            writes = False
        follows = opens and isinstance(given[2], int) and not given[2] & os.O_NOFOLLOW
        real = (
            os.path.realpath(path)
            if follows
            else os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        )
        allowed = self.written if writes else (*self.read, *self.written)
        allowed += (real,) * _by_numba()
        fits = any(real == p or real.startswith(p + os.sep) for p in allowed) or real.startswith(
            self.temporary
        )
        if real.startswith(self.canary) or not fits:
            self.found.append(f"{event} {path} ({real})")


def _by_numba() -> bool:
    """Whether it is Numba that does something: it keeps its code in files beside the library's own."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if f"{os.sep}numba{os.sep}core{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


class Result(NamedTuple):
    """What came of a case."""

    number: int
    kind: str
    mutation: str
    outcome: str  # an error's name, "opened", or "BUG ..."


def run_case(honest: dict[str, Path], within: Path, seed: int, number: int) -> Result:
    rng = np.random.default_rng([seed, number])
    kind = pick(rng, sorted(honest))
    folder = within / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(honest[kind], folder)
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(int(pick(rng, (1, 1, 1, 2)))):
            mutation = pick(rng, _DEALT)
            try:
                told.append(f"{mutation.__name__} {mutation(folder, rng)}")
            except (OSError, ValueError, IndexError, KeyError, qfix.QfixError):
                told.append(f"{mutation.__name__} on what is broken already")
    outcome = watched(folder)
    secret = within / OUTSIDE / "secret"
    if secret.read_text() != "secret" or sorted(os.listdir(within / OUTSIDE)) != ["secret"]:
        outcome = "BUG something outside was changed"
    return Result(number, kind, "; ".join(told), outcome)


def watched(folder: Path) -> str:
    """Open a folder in a child; what came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        code = 1
        try:
            faulthandler.enable()
            os.chdir(folder.parent / "nowhere")
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            watch = Watch(folder)
            sys.addaudithook(watch)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    said = open_it(folder)
                except BaseException as fault:
                    where = traceback.extract_tb(fault.__traceback__)[-4:]
                    said = f"BUG {type(fault).__name__}: {str(fault)[:300]} at " + " < ".join(
                        f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(where)
                    )
            if watch.found:
                said = f"BUG outside: {watch.found[:3]}"
            os.write(writing, said.encode(errors="replace")[:60_000])
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    until = time.monotonic() + LONGEST_SECONDS
    ended = status = 0
    said = b""
    os.set_blocking(reading, False)
    pause = 0.002
    while not ended and time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            said += os.read(reading, 1 << 16)
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    else:
        with os.fdopen(os.dup(reading), "rb") as rest:
            said += rest.read() or b""
    os.close(reading)
    if not ended:
        return f"BUG it took more than {LONGEST_SECONDS:g} s"
    if status:
        return f"BUG it ended with {status}: {signal.Signals(status).name if status < 65 else status}"
    return said.decode()


def prepare(within: Path, kinds: list[str]) -> dict[str, Path]:
    """Honest folders, the secret outside of them, and the module that must not be imported."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # no thread is started, so that forks are whole
    for name in (OUTSIDE, "modules", "nowhere"):
        (within / name).mkdir()
    (within / OUTSIDE / "secret").write_text("secret")
    (within / "modules" / f"{CANARY}.py").write_text("raise SystemExit('the canary was imported')\n")
    sys.path.append(str(within / "modules"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_honest(within, kinds)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the folders are made")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case")
    parser.add_argument("--quick", action="store_true", help="of few kinds")
    asked = parser.parse_args(words)
    begun = time.perf_counter()
    honest = prepare(asked.folder.absolute(), list(QUICK) if asked.quick else list(KINDS))
    for kind, folder in honest.items():
        outcome = watched(shutil.copytree(folder, asked.folder.absolute() / "case"))
        shutil.rmtree(asked.folder / "case")
        if outcome != "opened":
            raise AssertionError(f"The honest folder {kind} gave {outcome}")
    print(f"ready after {time.perf_counter() - begun:.1f} s", flush=True)
    outcomes: collections.Counter[str] = collections.Counter()
    bugs = 0
    for number in [asked.only] if asked.only is not None else range(asked.cases):
        result = run_case(honest, asked.folder.absolute(), asked.seed, number)
        outcomes[result.outcome.split(":")[0][:60]] += 1
        if number % 1_000 == 999:
            print(f"{number + 1} after {time.perf_counter() - begun:.0f} s", flush=True)
        if result.outcome.startswith("BUG"):
            bugs += 1
            print(f"{result.number} {result.kind}: {result.outcome}\n    {result.mutation[:600]}", flush=True)
    total = sum(outcomes.values())
    print(
        f"{total} folders in {time.perf_counter() - begun:.1f} s: {dict(outcomes.most_common())}", flush=True
    )
    return 1 if bugs else 0


if __name__ == "__main__":
    sys.exit(main())
