"""Damages packed states at random and goes on with those that are taken: run by test_hostile_state in processes of
their own, whose kernels check their bounds.

    python -m tabular.hostile ALGORITHM,... CASES [unchecked] [every_table]

For each algorithm and kind of table it prints a line of JSON: how many states were taken, how many refused, and
what came out that is neither a state that trains nor an error of qfix.
"""

import contextlib
import faulthandler
import json
import sys

import gymnasium
import numpy as np

import qfix.tabular.trainer as training
from qfix.errors import EnvironmentFault, QfixError
from qfix.tabular import agent as building
from qfix.tabular.trainer import TabularTrainer
from tabular.running import TABLES_ONLY, random_world, separating, trainer_on

STEPS, LONGEST_SECONDS = 2000, 600

WHOLE = [0, 1, 2, 3, 7, 255, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 32) | 1, (1 << 63) - 1]
NUMBERS = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0, 0.5, 1e9]


class Corridor(gymnasium.Env):
    """A walk over [0, 1] that ends at the right."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float64)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0.4 * self.np_random.random(1)
        return self.at.copy(), {}

    def step(self, action):
        self.at = np.clip(self.at + self.np_random.normal(0.1 * (action - 1), 0.1, 1), 0.0, 1.0)
        return self.at.copy(), float(self.at[0]), bool(self.at[0] == 1.0), False, {}


class Noisy(gymnasium.Wrapper):
    """Pays noise from generators of its own."""

    def __init__(self, env):
        super().__init__(env)
        self.noise, self.twister = np.random.default_rng(4), np.random.RandomState(4)

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, float(reward) + self.noise.normal() + self.twister.normal(), *rest


def walking():
    return Noisy(gymnasium.wrappers.TimeLimit(Corridor(), 13))


# what an algorithm remembers is checked by itself, and what a table holds by itself: for the tests these are enough
EVERY_TABLE = ("q_learning", "sarsa_lambda")


def trainers(algorithm, every_table=False):
    """A trainer for each kind of table, by its name; of most algorithms only the dense one, unless asked for all."""
    config = separating(algorithm, store="dense", initial="SmallRandom(0.5)")
    yield "dense, live", trainer_on(random_world(), config, (2, 3), "live")
    if algorithm not in EVERY_TABLE and not every_table:
        return
    config = separating(algorithm, store="sparse", explore="vdbe(0.5)")
    yield "sparse, compiled", trainer_on(random_world(), config, (2,), "compiled", snapshot_episodes=(1, 200))
    if algorithm not in TABLES_ONLY:
        config = separating(algorithm, tilings=3, tiles=4, alpha=0.1)
        yield "tiled, live", TabularTrainer(config, walking(), walking, None, (2,))
    if algorithm == "q_learning":
        features = np.random.default_rng(1).normal(size=(7, 4)) / 2
        config = separating(algorithm, gradient="tdc", alpha=0.05)
        yield "features, compiled", trainer_on(random_world(), config, (2,), "compiled", features=features)


def place_in(array, rng):
    """An index, as often as not one of the first: lists are held at the beginning of their arrays."""
    return int(rng.integers(min(array.size, 8) if rng.random() < 0.5 else array.size))


def damaged(arrays, rng):
    """A copy with something wrong in one to three of its arrays, or in which of them there are."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    for _ in range(rng.integers(1, 4)):
        name = str(rng.choice(sorted(arrays)))
        array = arrays[name]
        flat = array.reshape(-1)
        kind = rng.integers(12)
        if kind == 0:
            del arrays[name]
        elif kind == 1:
            arrays[str(rng.choice(["0.more", "9.history", "0.world.more", ""]))] = array
        elif kind == 2:
            other = str(rng.choice(sorted(arrays)))
            arrays[name], arrays[other] = arrays[other], array
        elif kind == 3:
            chosen = rng.choice(["f4", "f8", "i4", "i8", "u1", "u8", "?", ">i8", ">f8", "U3"])
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(chosen)
        elif kind == 4:
            arrays[name] = [array[:-1], array[None], array.T, np.repeat(array, 2, 0), flat][rng.integers(5)]
        elif array.size:
            i, j = place_in(flat, rng), place_in(flat, rng)
            if array.dtype == bool:
                flat.view(np.uint8)[i] = rng.integers(4)
            elif array.dtype == np.float64:
                flat[slice(None) if kind == 5 else i] = rng.choice(NUMBERS)
            elif array.dtype == np.uint8:
                flat[i] = rng.integers(256)
            elif kind == 5:
                rng.shuffle(flat)
            elif kind < 8:
                flat[i] = flat[j]
            elif kind < 10:
                with np.errstate(over="ignore"):
                    flat[i] += array.dtype.type(rng.choice([1, 2])) * array.dtype.type(rng.choice([1, 1, 2]))
                    flat[i] -= array.dtype.type(rng.choice([0, 3]))
            else:
                extreme = int(rng.choice(np.array(WHOLE, object)))
                given = extreme if array.dtype == np.uint64 or rng.random() < 0.7 else -extreme - 1
                flat[i] = np.array(given).astype(array.dtype)
    return arrays


def outcome(trainer, arrays):
    """taken, refused, or what it should not be."""
    try:
        state = trainer.unpack(arrays)
    except QfixError:
        return "refused"
    with contextlib.suppress(
        EnvironmentFault
    ):  # which `failures` tell of, as they do where one of two seeds failed
        trainer.advance(state, STEPS)
    for said in state.failures.values():
        if "IndexError" in said:
            return f"out of bounds: {said}"
    trainer.action_values(state)
    trainer.policy(state)
    return "taken"


def main(algorithms, cases, unchecked, every_table):
    building.SPARSE_CAPACITY = 4
    if unchecked:
        training.check_agent = lambda *_: None
    for algorithm in algorithms:
        damage(algorithm, cases, every_table)


def damage(algorithm, cases, every_table):
    """Damage states of an algorithm, and print what came of it."""
    for kind, trainer in trainers(algorithm, every_table):
        if trainer.config.history >= 1024:
            type(trainer.config).history = property(lambda self: 4)
        rng = np.random.default_rng(11)
        packs = [trainer.pack(trainer.advance(trainer.start(), n)[0]) for n in (0, 1, 38, 537)]
        told = {"algorithm": algorithm, "kind": kind, "taken": 0, "refused": 0, "wrong": []}
        for case in range(cases):
            faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
            try:
                result = outcome(trainer, damaged(packs[case % len(packs)], rng))
            except Exception as fault:
                result = f"{type(fault).__name__}: {fault}"
            if result in told:
                told[result] += 1
            else:
                told["wrong"].append(f"case {case}: {result}")
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(told))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(sys.argv[1].split(","), int(sys.argv[2]), "unchecked" in sys.argv, "every_table" in sys.argv)
