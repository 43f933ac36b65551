"""States that a stranger has made: each is refused by one error of qfix, and what is taken trains.

Programs look at no index, so what they would index with is looked at before; floating-point numbers may be anything.
"""

import numpy as np
import pytest

from deep.running import shared_trainer
from qfix.errors import OptionError

CASES = [
    *((case, driver) for case in ("n_step", "pqn", "ppo") for driver in ("device", "host")),
    ("gaussian", "host"),
    ("multi", "host"),
]
_QUICK = ("n_step", "host"), ("ppo", "device")
MOST = [pytest.param(*row, marks=() if row in _QUICK else pytest.mark.slow) for row in CASES]
WORLD = {"gaussian": "steered", "multi": "numbers"}


def packed(case, driver, steps=100):
    trainer = shared_trainer(case, WORLD.get(case, "certain"), driver)
    return trainer, trainer.pack(trainer.advance(trainer.start(), steps)[0])


def refused(trainer, arrays, name, rule=""):
    with pytest.raises(OptionError, match=rf"The '{name}' parameter of \w+(\.unpack)? {rule}"):
        trainer.unpack(arrays)


def changed(arrays, name, place, value):
    array = arrays[name].copy()
    array.reshape(-1)[place] = value
    return arrays | {name: array}


@pytest.mark.parametrize(("case", "driver"), MOST)
def test_what_is_missing_too_much_or_of_another_kind(case, driver):
    trainer, arrays = packed(case, driver)
    for name, array in ((k, a) for k, a in arrays.items() if k.startswith("0.")):
        with pytest.raises(OptionError):
            trainer.unpack({k: a for k, a in arrays.items() if k != name})
        other = np.int16 if array.dtype != np.int16 else np.int32
        for wrong in (array.astype(other), array[None], np.zeros((2, 3), array.dtype), array.tolist()):
            with pytest.raises(OptionError):
                trainer.unpack(arrays | {name: wrong})
        if array.size and array.ndim and not name.endswith(("failure", "generators")):
            with pytest.raises(OptionError):
                trainer.unpack(arrays | {name: np.concatenate([array, array[:1], array[:1]])})
    refused(trainer, arrays | {"0.more": np.zeros(3)}, "0.more", "is of no array")
    refused(trainer, arrays | {"2.words": arrays["0.words"]}, "2.words", "is of no array")
    trainer.unpack(arrays)


@pytest.mark.parametrize(("case", "driver"), MOST)
def test_damage_is_refused_or_trains(case, driver):
    """Whatever is written to one place of one array."""
    trainer, arrays = packed(case, driver)
    rng = np.random.default_rng(0)
    taken = refusals = 0
    for name, array in arrays.items():
        if not array.size or not name.startswith("1."):
            continue
        for value in {"f": (np.nan, -1e30), "b": (7,)}.get(array.dtype.kind, (-1, 1 << 40)):
            wild = array.copy()
            view = wild.reshape(-1).view(np.uint8) if array.dtype.kind == "b" else wild.reshape(-1)
            with np.errstate(all="ignore"):
                view[rng.integers(view.size)] = np.array(value).astype(view.dtype)
            try:
                state = trainer.unpack(arrays | {name: wild})
            except OptionError:
                refusals += 1
                continue
            said = ""
            try:
                trainer.advance(state, 25)
            except OptionError as fault:  # of the memory on the host: the network has diverged
                said = str(fault)
            assert not said or "'priority' parameter" in said, name
            diverged = [text for text in state.failures.values() if "training has diverged" not in text]
            assert not diverged, name
            taken += 1
    assert min(taken, refusals) > 5


@pytest.mark.parametrize(("case", "driver"), MOST)
def test_counters(case, driver):
    trainer, arrays = packed(case, driver)
    part = "" if driver == "device" else "compiled."
    for name in (f"0.{part}learner.updates", f"0.{part}learner.optimiser.1.count"):
        refused(trainer, changed(arrays, name, 0, -1), name, "must be at least 0")
    worlds = "0.worlds" if driver == "device" else "0.held"
    for name in ("episode", "steps"):
        refused(
            trainer, changed(arrays, f"{worlds}.{name}", 1, -1), rf"{worlds}.{name}", "must be at least 0"
        )
    for units, asked in (
        (-1, 100),
        (17, -100),
        (18, 100),
        (16, 100),
        (1 << 40, (1 << 40) * trainer.unit_steps),
    ):
        progress = np.array([units, asked])
        refused(trainer, arrays | {"0.progress": progress}, "0.progress", "must be")


@pytest.mark.parametrize(("case", "driver"), MOST)
def test_the_words_of_another_seed(case, driver):
    trainer, arrays = packed(case, driver)
    refused(trainer, changed(arrays, "0.words", 1, 5), "0.words", "must be the seed's")
    swapped = {("1" if k[0] == "0" else "0") + k[1:]: a for k, a in arrays.items()}
    refused(trainer, swapped, "0.words", "must be the seed's")


@pytest.mark.parametrize("driver", ["device", "host"])
def test_the_memory_of_another_run(driver):
    trainer, arrays = packed("n_step", driver)
    _, other = packed("dqn", driver)
    for name in (k for k in arrays if ".memory." in k):
        if name in other and other[name].shape != arrays[name].shape:
            with pytest.raises(OptionError):
                trainer.unpack(arrays | {name: other[name]})
    with pytest.raises(OptionError):
        trainer.unpack(other)
    for name in ("position", "filled"):
        for value in (-1, 5, 1 << 20):
            with pytest.raises(OptionError, match=name):
                trainer.unpack(changed(arrays, f"0.memory.{name}", 0, value))
    steps = "0.memory.steps." if driver == "device" else "0.memory."
    alone = changed(changed(arrays, f"{steps}terminated", 0, True), f"{steps}ended", 0, False)
    with pytest.raises(OptionError, match=r"ended"):
        trainer.unpack(alone)


def test_priorities_where_no_steps_are():
    trainer, arrays = packed("n_step", "device")
    levels = sorted(k for k in arrays if k.startswith("0.memory.tree.levels"))
    assert len(levels) > 2
    for name in levels:
        refused(trainer, changed(arrays, name, 0, -1.0), name, "must be at least 0")
        if arrays[name].size > 16:
            refused(trainer, changed(arrays, name, -1, 1.0), name, "must be 0 where there are no steps")
    for name, rule in (
        ("action", "must be below 4"),
        ("obs", "must be below"),
        ("next_obs", "must be below"),
    ):
        refused(trainer, changed(arrays, f"0.memory.steps.{name}", 2, 77), f"0.memory.steps.{name}", rule)


def test_where_environments_stand():
    trainer, arrays = packed("n_step", "host")
    refused(trainer, changed(arrays, "0.compiled.action", 0, 4), "0.compiled.action", "must be below 4")
    for k in range(3):
        none = np.zeros(0, np.uint8)
        over = changed(arrays, f"0.world.{k}.running", 0, False) | {f"0.world.{k}.actions": none}
        refused(trainer, over, "0.world", "must be running")
    for name in ("action", "obs", "next_obs"):
        refused(trainer, changed(arrays, f"0.memory.{name}", 2, 77), f"0.memory.{name}", "must be below")
    actions = arrays["0.world.0.actions"]
    refused(trainer, arrays | {"0.world.0.actions": actions[1:]}, "0.world.0.actions", "must have an action")


def test_actions_that_are_arrays():
    """Numbers below those of their component; of a Box, such that lie in it."""
    trainer, arrays = packed("multi", "host", 50)
    name = "0.compiled.action"
    assert arrays[name].shape == (3, 2)
    refused(trainer, changed(arrays, name, 0, 3), name, "must be below 3")
    refused(trainer, changed(arrays, name, 1, 4), name, "must be below 4")
    taken = next(k for k in arrays if k.startswith("0.world") and k.endswith(".actions") and len(arrays[k]))
    refused(trainer, changed(arrays, taken, 0, 1), taken, "must be actions in MultiDiscrete")
    trainer, arrays = packed("gaussian", "host", 50)
    taken = next(k for k in arrays if k.startswith("0.world") and k.endswith(".actions") and len(arrays[k]))
    for value in (np.nan, 2.1):
        refused(trainer, changed(arrays, taken, 0, value), taken, "must be actions in Box")


@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_network_that_has_diverged_is_kept_and_looked_at(driver):
    trainer, arrays = packed("n_step", driver)
    name = next(k for k in arrays if k.startswith("0.") and k.endswith("learner.params"))
    state = trainer.unpack(arrays | {name: np.full_like(arrays[name], np.nan)})
    assert np.isnan(trainer.action_values(state)).all()
