"""Layouts of environments that are not ours, held against their own tables."""

import gymnasium
import numpy as np
import pytest

from qfix.envs.layouts import layout_of


def arrows_agree(env_id, **options):
    """Where no wall or slip interferes, an action moves to the cell its arrow points to."""
    env = gymnasium.make(env_id, **options)
    layout = layout_of(env)
    checked = 0
    for s, (row, column) in enumerate(layout.cell_of_state):
        if row < 0 or layout.glyphs[row][column] in "GP":
            continue
        for a, (dr, dc) in enumerate(layout.action_arrows):
            ((_, after, *_),) = env.unwrapped.P[s][a]
            landed = layout.cell_of_state[after]
            if after != s and tuple(landed) == (row + dr, column + dc):
                checked += 1
            elif after != s and landed[0] >= 0 and (dr or dc):
                assert env_id.startswith("CliffWalking"), (s, a)
                assert layout.glyphs[row + dr][column + dc] == "P"
    return layout, checked


def test_frozen_lake():
    layout, checked = arrows_agree("FrozenLake-v1", is_slippery=False)
    assert layout.glyphs == ("S...", ".P.P", "...P", "P..G")
    assert (layout.rows, layout.columns) == (4, 4)
    assert checked > 20
    assert layout_of("FrozenLake-v1", {"map_name": "8x8"}).columns == 8
    assert layout_of("FrozenLake8x8-v1").rows == 8
    assert layout_of("FrozenLake-v1", {"desc": ["SF", "HG"]}).glyphs == ("S.", "PG")


def test_cliff_walking():
    layout, checked = arrows_agree("CliffWalking-v1")
    assert layout.glyphs[3] == "SPPPPPPPPPPG"
    assert layout.cell_of_state[36].tolist() == [3, 0]
    assert checked > 100


def test_taxi_shows_one_slice():
    taxi = max(i for i in gymnasium.registry if i.startswith("Taxi-"))
    layout, checked = arrows_agree(taxi)
    shown = layout.cell_of_state[layout.cell_of_state[:, 0] >= 0]
    assert len(shown) == 25 == len(np.unique(shown, axis=0))
    assert layout.cell_of_state[36].tolist() == [0, 1]
    assert checked >= 60


def test_worlds_and_strangers():
    assert layout_of("qfix/Grid4x3-v0").walls == ((1, 1),)
    for stranger in ("Blackjack-v1", "CartPole-v1", "qfix/RockPaperScissors-v0"):
        assert layout_of(stranger) is None


@pytest.mark.parametrize("field", ["cell_of_state", "action_arrows"])
def test_arrays_are_whole_numbers(field):
    assert getattr(layout_of("qfix/Warehouse-v0"), field).dtype == np.int64
