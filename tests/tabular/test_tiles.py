"""Tile coding: exactly one tile of each grid, inside its own block of rows, shared between neighbours."""

import gymnasium
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from qfix.errors import OptionError, SpaceError
from qfix.tabular.agent import Blueprint
from qfix.tabular.store import Tiles
from qfix.tabular.trainer import TabularTrainer
from tabular.running import config_of


def blueprint_of(space, **options):
    return Blueprint(config_of("q_learning", **options), space, gymnasium.spaces.Discrete(2))


def tiles_at(blueprint, observation):
    """Rows of the tiles active at an observation; None if it is outside."""
    agent_store = blueprint.agent(0).store
    rows, activities = agent_store.rows.copy(), agent_store.activities.copy()
    if not agent_store.encoder.encode_into(blueprint.encode(observation), rows, activities, 0):
        return None
    assert (activities[0] == 1.0).all()
    return rows[0]


boxes = st.integers(1, 3).flatmap(
    lambda d: st.tuples(
        st.lists(st.floats(-100, 100), min_size=d, max_size=d),
        st.lists(st.floats(1e-3, 1e4), min_size=d, max_size=d),
        st.lists(st.floats(0, 1), min_size=d, max_size=d),
    )
)


@given(boxes, st.integers(1, 9), st.integers(1, 6))
def test_every_observation_in_the_box_has_one_tile_in_each_grid(box, tilings, tiles):
    low, width, fraction = map(np.array, box)
    space = gymnasium.spaces.Box(low, low + width, dtype=np.float64)
    observation = np.clip(low + fraction * width, space.low, space.high)
    blueprint = blueprint_of(space, tilings=tilings, tiles=tiles)
    rows = tiles_at(blueprint, observation)
    block = (tiles + 1) ** len(low)
    assert len(rows) == tilings
    np.testing.assert_array_equal(rows // block, np.arange(tilings))
    assert rows.max() < len(blueprint.agent(0).store.weights)


@given(st.integers(0, 7), st.integers(0, 4), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_one_grid_is_a_table_of_its_tiles(i, j, u, v):
    space = gymnasium.spaces.Box(np.array([-1.0, 2.0]), np.array([3.0, 7.0]), dtype=np.float64)
    blueprint = blueprint_of(space, tilings=1, tiles=8)
    observation = np.array([-1.0 + 4.0 * (i + u) / 8, 2.0 + 5.0 * (j + v) / 8])
    assert tiles_at(blueprint, observation) == [i + 9 * j]


def test_neighbours_share_tiles_by_their_distance():
    """One dimension, 8 grids of width 1/8: moving by k/64 changes k of the 8 tiles, wherever one starts."""
    blueprint = blueprint_of(gymnasium.spaces.Box(0.0, 1.0, (1,), np.float64), tilings=8, tiles=8)
    for start in np.arange(40) / 64 + 1 / 128:
        here = tiles_at(blueprint, np.array([start]))
        for k in range(9):
            there = tiles_at(blueprint, np.array([start + k / 64]))
            assert (here != there).sum() == k


def test_grids_are_shifted_differently_in_each_dimension():
    """Section 9.5.4: by (1, 3) in two dimensions, so that grids do not line up along the diagonal."""
    blueprint = blueprint_of(gymnasium.spaces.Box(0.0, 1.0, (2,), np.float64), tilings=4, tiles=1)
    for g in range(4):
        edge_x, edge_y = 1.0 - g / 4, 1.0 - (3 * g % 4) / 4
        for x in np.arange(8) / 8 + 1 / 16:
            for y in np.arange(8) / 8 + 1 / 16:
                tile = tiles_at(blueprint, np.array([x, y]))[g] - 4 * g
                assert tile == (x >= edge_x) + 2 * (y >= edge_y)


def test_outside_is_refused_unless_a_range_is_given():
    box = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float64)
    strict, clipping = blueprint_of(box), blueprint_of(box, tile_range=(0.2, 0.8, 0.0, 1.0))
    for outside in ([1.5, 0.5], [0.5, -1e-9], [np.nan, 0.5], [0.5, np.inf]):
        assert tiles_at(strict, np.array(outside)) is None
    assert tiles_at(clipping, np.array([np.nan, 0.5])) is None
    np.testing.assert_array_equal(
        tiles_at(clipping, np.array([-np.inf, 0.5])), tiles_at(clipping, np.array([0.2, 0.5]))
    )
    np.testing.assert_array_equal(
        tiles_at(clipping, np.array([7.0, 2.0])), tiles_at(clipping, np.array([0.8, 1.0]))
    )


def test_a_dimension_of_no_width_has_one_tile():
    space = gymnasium.spaces.Box(np.array([0.0, 5.0]), np.array([1.0, 5.0]), dtype=np.float64)
    rows = tiles_at(blueprint_of(space, tilings=3, tiles=4), np.array([0.5, 5.0]))
    assert (rows >= 0).all()
    assert (rows % 25 // 5 == 0).all()


def test_what_tiles_cannot_span_is_refused():
    with pytest.raises(SpaceError, match=r"Dimensions \[1\] .*unbounded.*tile_range"):
        blueprint_of(gymnasium.spaces.Box(np.array([0.0, -np.inf]), np.array([1.0, 3.0]), dtype=np.float64))
    with pytest.raises(
        OptionError, match=r"'tiles' parameter of q_learning gives more than 16777216 tiles over 8 dimensions"
    ):
        blueprint_of(gymnasium.spaces.Box(0.0, 1.0, (8,)))
    with pytest.raises(
        OptionError, match=r"'tiles' parameter of q_learning gives more .* over 7056 dimensions"
    ):
        blueprint_of(gymnasium.spaces.Box(0, 255, (84, 84), np.uint8))
    with pytest.raises(OptionError, match=r"'tile_range' .* for each of 2 dimensions"):
        blueprint_of(gymnasium.spaces.Box(0.0, 1.0, (2,)), tile_range=(0.0, 1.0))
    with pytest.raises(OptionError, match=r"'store' .* must be 'tiled'"):
        blueprint_of(gymnasium.spaces.Box(0.0, 1.0, (2,)), store="dense")
    with pytest.raises(OptionError, match=r"'store' .* only for observations in a Box"):
        blueprint_of(gymnasium.spaces.Discrete(3), store="tiled")


class Slope(gymnasium.Env):
    """A point in [0, 1) that moves at random; action 1 pays its position, action 0 one half."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.random()
        return np.array([self.at], np.float32), {}

    def step(self, action):
        return np.array([self.at], np.float32), self.at if action == 1 else 0.5, True, False, {}


def test_tiles_learn_a_slope_to_the_width_of_a_tile():
    """One-step episodes, γ irrelevant: q(x, 1) = x, q(x, 0) = 1/2."""
    config = config_of("q_learning", alpha=0.2, epsilon=1.0, tilings=4, tiles=5)
    trainer = TabularTrainer(config, Slope(), Slope, None, [0])
    assert isinstance(trainer.blueprint.agent(0).store.encoder, Tiles)
    state, _ = trainer.advance(trainer.start(), 20_000)
    policy = trainer.policy(state)
    x = np.linspace(0.05, 0.95, 19)
    values = policy.action_values(x[:, None])
    np.testing.assert_allclose(values[:, 0], 0.5, atol=1e-3)
    np.testing.assert_allclose(values[:, 1], x, atol=0.04)
    np.testing.assert_array_equal(policy.predict(x[:, None])[x < 0.45], 0)
    np.testing.assert_array_equal(policy.predict(x[:, None])[x > 0.55], 1)
