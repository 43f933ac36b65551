"""States that a stranger has made: each is refused by an error of qfix, or trains without leaving its arrays.

Kernels check no bounds. The states are damaged, and those that `unpack` takes trained on, in processes whose
kernels are compiled with checks (NUMBA_BOUNDSCHECK), so an index that is out of bounds is an IndexError there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qfix.errors import OptionError
from tabular.running import ALGORITHMS, config_of, random_world, separating, trainer_on

CASES = 150


@pytest.fixture(scope="module")
def answers(pytestconfig):
    """What tabular.hostile says of algorithms. Its kernels are kept where pytest keeps things between its runs."""
    folder = pytestconfig.cache.mkdir("kernels_with_bounds")

    def ask(algorithms, *arguments):
        answer = subprocess.run(
            [sys.executable, "-m", "tabular.hostile", ",".join(algorithms), *map(str, arguments)],
            cwd=Path(__file__).parents[1],
            # barely optimised: compiling takes a third of the time, and leaving an array is as wrong
            env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "1", "NUMBA_CACHE_DIR": str(folder)},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr[-4000:]
        return [json.loads(line) for line in answer.stdout.splitlines()]

    return ask


# one of each kind of memory: none, a second table, traces, a window, whole episodes, outcomes, a queue
KINDS = (
    "q_learning",
    "double_q_learning",
    "sarsa_lambda",
    "n_step_sarsa",
    "monte_carlo",
    "dyna_q",
    "prioritized_sweeping",
)


def test_a_damaged_state_is_refused_or_trains(answers):
    """All in one process: most of what one compiles is compiled for the others, too."""
    found = answers(KINDS, CASES)
    assert {told["algorithm"] for told in found} == set(KINDS)
    for told in found:
        which = told["algorithm"], told["kind"]
        assert told["wrong"] == [], which
        assert told["taken"] > CASES / 20, which
        assert told["refused"] > CASES / 2, which


def test_without_the_checks_kernels_leave_their_arrays(answers):
    """So the test above can fail."""
    told = answers(["q_learning"], 60, "unchecked")[0]
    assert any("IndexError" in said for said in told["wrong"])


# What is refused, one rule at a time


def packed(algorithm, store="dense", driver="compiled", **options):
    trainer = trainer_on(random_world(), separating(algorithm, store=store, **options), (2,), driver)
    return trainer, trainer.pack(trainer.advance(trainer.start(), 538)[0])


def refused(trainer, arrays, name, rule):
    with pytest.raises(OptionError, match=rf"The '{name}' parameter of unpack {rule}"):
        trainer.unpack(arrays)


X, A, STEP, T, EPISODE, LOGGED, MARK = 1, 2, 3, 4, 5, 6, 7


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (0, 7, r"\[state\]"),
        (0, -1, r"\[state\]"),
        (X, 7, r"\[x\]"),
        (X, -1, r"\[x\]"),
        (A, 3, r"\[a\]"),
        (STEP, -1, r"\[step\]"),
        (STEP, 1 << 62, r"\[step\]"),
        (EPISODE, 539, r"\[episode\]"),
        (T, 538, r"\[step in episode\]"),
        (LOGGED, 1, r"\[logged\]"),
        (MARK, 2, r"\[mark\]"),
        (8, -1, r"\[status\]"),
    ],
)
def test_where_a_seed_stands(place, value, named):
    trainer, arrays = packed("q_learning")
    arrays["0.registers.counts"][place] = value
    refused(trainer, arrays, rf"0\.registers\.counts{named}", "must be")


def test_the_seed_of_another_run():
    trainer, arrays = packed("q_learning")
    arrays["0.registers.streams"][2] = 3
    refused(trainer, arrays, "0.registers.streams", "must be 2, the seed of this run")


@pytest.mark.parametrize("value", [-1, 3, 3 << 32, (1 << 32) | 3])
def test_greedy_actions_and_their_ties(value):
    trainer, arrays = packed("q_learning")
    arrays["0.store.greedy"][4] = value
    refused(trainer, arrays, "0.store.greedy", "must be")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("used", lambda a: a.fill(1025)),
        ("used", lambda a: a.fill(1)),
        ("keys", lambda a: a.__setitem__(3, 7)),
        ("slots", lambda a: a.fill(1)),
        ("slots", lambda a: a.__setitem__(np.flatnonzero(a)[0], a[np.flatnonzero(a)[1]])),
        ("slots", lambda a: a.__setitem__(np.flatnonzero(a)[0], 1024)),
        ("slots", lambda a: a.__setitem__(np.flatnonzero(a)[0], 0)),
    ],
)
def test_the_hash_table_of_a_sparse_store(name, change):
    trainer, arrays = packed("q_learning", "sparse")
    change(arrays[f"0.store.{name}"])
    refused(trainer, arrays, r"0\.store\.(used|keys|slots)", "must")


@pytest.mark.parametrize(
    ("algorithm", "name", "change"),
    [
        ("sarsa_lambda", "traces.listed", lambda a: a.fill(22)),
        ("sarsa_lambda", "traces.pair", lambda a: a.fill(5)),
        ("watkins_q_lambda", "traces.size", lambda a: a.fill(0.1)),
        ("n_step_sarsa", "window.x", lambda a: a.fill(7)),
        ("n_step_sarsa", "window.a", lambda a: a.fill(3)),
        ("n_step_tree_backup", "window.newest", lambda a: a.fill(3)),
        ("n_step_tree_backup", "window.size", lambda a: a.fill(3)),
        ("monte_carlo", "x", lambda a: a.fill(-1)),
        ("monte_carlo", "length", lambda a: a.fill(1023)),
        ("monte_carlo", "is_first", lambda a: a.view(np.uint8).fill(2)),
        ("double_q_learning", "counts", lambda a: a.fill(-1)),
        ("dyna_q", "model.first", lambda a: a.fill(1)),
        ("dyna_q", "model.total", lambda a: a.__iadd__(1)),
        ("dyna_q", "model.seen", lambda a: a.fill(2)),
        ("dyna_q", "model.n_nodes", lambda a: a.fill(1025)),
        ("dyna_q", "model.x_next", lambda a: a.fill(9)),
        ("dyna_q", "model.times", lambda a: a.fill(0)),
        ("dyna_q", "model.after", lambda a: a.__setitem__(0, 1)),
        ("dyna_q", "model.after", lambda a: a.__setitem__(1000, 1)),
        ("prioritized_sweeping", "queue.size", lambda a: a.fill(22)),
        ("prioritized_sweeping", "queue.spot", lambda a: a.__iadd__(1)),
        ("prioritized_sweeping", "predecessors.first", lambda a: a.fill(1024)),
        ("prioritized_sweeping", "predecessors.after", lambda a: a.__setitem__(2, 3)),
        ("prioritized_sweeping", "predecessors.pair", lambda a: a.fill(21)),
    ],
)
def test_what_algorithms_remember(algorithm, name, change):
    trainer, arrays = packed(algorithm)
    change(arrays[f"0.memory.{name}"])
    part = name.partition(".")[0]
    refused(trainer, arrays, rf"0\.memory\.{part}[a-z_.]*", "must")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_memory_with_whole_numbers_has_a_check(algorithm):
    trainer, arrays = packed(algorithm)
    whole = [n for n, a in arrays.items() if n.startswith("0.memory.") and a.dtype.kind in "iub"]
    memory = type(trainer.start().agents[0].memory)
    assert not whole or callable(getattr(memory, "check", None))


@pytest.mark.parametrize("history", [-1, 0, 1000, 1 << 12, 1 << 25, 1 << 40, (1 << 63) - 1])
def test_a_history_is_not_believed(history):
    """A memory of a gigabyte is not made because a state says so."""
    trainer, arrays = packed("monte_carlo")
    arrays["0.history"][0] = history
    refused(trainer, arrays, "0.history", "must be")


def test_what_is_missing_and_what_is_too_much():
    trainer, arrays = packed("q_learning", driver="live")
    for name in arrays:
        refused(trainer, {k: a for k, a in arrays.items() if k != name}, name, "must be")
    refused(trainer, arrays | {"0.store.more": np.zeros(3)}, "0.store.more", "is of no array")
    refused(trainer, arrays | {"1.history": np.array([4])}, "1.history", "is of no array")


def test_constants_are_this_run_s():
    trainer, arrays = packed("q_learning", explore="vdbe(0.5)")
    for name in ("alpha", "behaviour.params", "behaviour.schedule"):
        other = arrays | {f"0.{name}": arrays[f"0.{name}"] + 0.125}
        refused(trainer, other, f"0.{name}", "must be as this run's options have it")


@pytest.mark.parametrize(
    ("name", "array", "rule"),
    [
        ("actions", np.zeros(90, np.uint8), "must have an action for each step"),
        ("actions", np.zeros(0, np.uint8), "must have an action for each step"),
        ("actions", np.zeros(2, np.int64), r"must be uint8 \(any,\)"),
        ("actions", np.full(2, 3, np.uint8), "must be below 3"),
        ("action", np.array([-1]), "must be at least 0"),
        ("running", np.array([2], np.uint8).view(bool), "must be below 2"),
        ("sight", np.zeros(15, np.uint8), r"must be uint8 \(16,\)"),
        ("generators", np.frombuffer(b"[[", np.uint8), "must be states of random generators"),
    ],
)
def test_a_live_episode(name, array, rule):
    trainer, _ = packed("q_learning", driver="live")
    state, _ = trainer.advance(trainer.start(), 2)
    arrays = trainer.pack(state)
    assert arrays["0.world.running"][0]
    assert len(arrays["0.world.actions"]) == 2
    refused(trainer, arrays | {f"0.world.{name}": array}, f"0.world.{name}", rule)


def test_a_sparse_table_must_have_a_power_of_two_of_rows():
    """Else the mask of its hash would leave slots out, and a search might not end."""
    trainer, arrays = packed("q_learning", "sparse")
    for name in ("weights", "best", "greedy", "counts", "keys", "slots"):
        array = arrays[f"0.store.{name}"]
        arrays[f"0.store.{name}"] = array[: len(array) * 3 // 4].copy()
    refused(trainer, arrays, "0.store.weights", "must have a power of two of rows")


def test_an_honest_table_that_has_grown_is_taken():
    config = config_of("q_learning", store="sparse")
    trainer = trainer_on(random_world(n_states=20_000), config, (0,))
    state, _ = trainer.advance(trainer.start(), 200_000)
    assert int(state.agents[0].store.used[0]) > 10_000
    again = trainer.unpack(trainer.pack(state))
    np.testing.assert_array_equal(again.agents[0].store.slots, state.agents[0].store.slots)
