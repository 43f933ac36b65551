"""The two laws on environments as users have them: stepped live, stopped and packed in the middle of an episode.

advance(n), advance(m)  =  advance(n + m)
unpack(pack(s))         =  s, in environments that have never been stepped
"""

import gymnasium
import pytest

from contracts.test_trainer_laws import assert_same, assert_same_episodes, episodes, everything
from qfix.tabular.trainer import TabularTrainer
from tabular.running import separating

SEEDS = (4, 9)
TOTAL = 900

TABLES = {
    "FrozenLake-v1": {"map_name": "8x8"},
    "Taxi-v4": {"is_rainy": True},
    "CliffWalking-v1": {"is_slippery": True},
    "Blackjack-v1": {},
}
CASES = [
    *(("q_learning", name) for name in TABLES),
    # every algorithm on every kind of table, stepped live: test_trainer_laws
    *((algorithm, "FrozenLake-v1") for algorithm in ("sarsa_lambda", "monte_carlo", "prioritized_sweeping")),
    ("sarsa_lambda", "MountainCar-v0"),
    *(
        pytest.param(algorithm, "MountainCar-v0", marks=pytest.mark.slow)
        for algorithm in ("q_learning", "n_step_sarsa")
    ),
]


def trainer_of(algorithm, name):
    def make():
        return gymnasium.make(name, **TABLES.get(name, {}))

    options = {} if name in TABLES else {"tilings": 3, "alpha": 0.2}
    config = separating(algorithm, initial="SmallRandom(0.5)", **options)
    return TabularTrainer(config, make(), make, None, SEEDS, "live")


def middle(trainer):
    """A number of steps after which every seed is in the middle of an episode, and its state there."""
    state = trainer.start()
    for steps in range(400, 420):
        state, records = trainer.advance(state, 400 if steps == 400 else 1)
        if steps == 400:
            first = records
        else:
            for kept, more in zip(
                first.returns + first.lengths, records.returns + records.lengths, strict=True
            ):
                kept.extend(more)
        if all(world.running and len(world.actions) > 0 for world in state.worlds):
            return steps, state, first
    raise AssertionError("no such step")


@pytest.mark.parametrize(("algorithm", "name"), CASES)
def test_a_live_run_goes_on_as_if_it_had_not_stopped(algorithm, name):
    halves = trainer_of(algorithm, name)
    steps, half, before = middle(halves)
    packed = halves.pack(half)
    half, after = halves.advance(half, TOTAL - steps)

    trainer = trainer_of(algorithm, name)
    state, whole = trainer.advance(trainer.start(), TOTAL)
    assert_same(everything(halves, half), everything(trainer, state))
    assert_same_episodes(episodes(before, after), episodes(whole))

    resumed = trainer_of(algorithm, name)
    again = resumed.unpack(packed)
    replayed = sum(len(packed[f"{i}.world.actions"]) for i in range(len(SEEDS)))
    assert again.notes == [f"seeds 4, 9: restored in the middle of the episode, {replayed:,} steps replayed"]
    assert_same(resumed.pack(again), packed)
    again, later = resumed.advance(again, TOTAL - steps)
    assert_same(everything(resumed, again), everything(trainer, state))
    assert_same_episodes(episodes(before, later), episodes(whole))
