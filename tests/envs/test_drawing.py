"""Pictures: what stands where, in characters and in pixels."""

import numpy as np
import pytest

from qfix.envs import drawing
from qfix.envs.drawing import AGENT, FLOOR, HOLE, INK, WALL_LIGHT, image, plain_layout, text
from qfix.envs.world import make_world
from qfix.mdp import FiniteMDP

GRID = make_world("Grid4x3")


def test_text_by_hand():
    assert text(GRID.layout, GRID.state((3, 3)), 1) == " .  . [.] G\n .  #  .  P\n S  .  .  .\n(right)\n"
    assert text(make_world("RandomWalk").layout, 3) == " P  A  B [C] D  E  G\n"
    assert text(GRID.layout).count("[") == 0


def test_pixels_are_where_things_are():
    picture = image(GRID.layout, GRID.state((1, 1)), 1, cell=40)
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[100, 20]) == AGENT
    assert tuple(picture[60, 60]) == WALL_LIGHT
    assert tuple(picture[60, 100]) == FLOOR
    assert tuple(picture[60 - 12, 140]) == HOLE


def test_the_nose_points_where_the_action_goes():
    still = image(GRID.layout, 5, None, cell=40).astype(int)
    for action, (dr, dc) in enumerate(GRID.layout.action_arrows):
        moved = np.abs(image(GRID.layout, 5, action, cell=40) - still).sum(axis=2)
        rows, columns = np.nonzero(moved[40:80, 80:120])
        centre = rows.mean() - 19.5, columns.mean() - 19.5
        assert centre[0] * dr + centre[1] * dc > 5
        assert abs(centre[0] * dc) + abs(centre[1] * dr) < 0.5


def test_only_the_agents_cell_changes():
    one, two = (image(GRID.layout, s, cell=24) for s in (0, 1))
    rows, columns = np.nonzero((one != two).any(axis=2))
    assert rows.max() < 24
    assert columns.max() < 48


@pytest.mark.parametrize("cell", [8, 13, 72])
def test_any_size(cell, name):
    world = make_world(name)
    picture = image(world.layout, 0, 0, cell=cell)
    assert picture.shape == (world.layout.rows * cell, world.layout.columns * cell, 3)


def test_letters_are_drawn():
    strip = make_world("MaximizationBias").layout
    assert (image(strip)[:, 72:144] == INK).all(axis=2).sum() > 100


def test_models_without_a_picture():
    model = FiniteMDP.from_function(lambda s, a: [(1.0, (s + 1) % 100, 0.0, False)], 100, 2, 0.9, start=0)
    layout = plain_layout(model)
    assert (layout.rows, layout.columns) == (4, 32)
    assert layout.glyphs[0][0] == "S"
    assert image(layout, 99, 1).ndim == 3
    small = FiniteMDP.from_function(lambda s, a: [(1.0, 1, 1.0, True)], 2, 1, 0.9, start=0)
    assert text(plain_layout(small), 0) == "[0] 1\n"


def test_bars_rise_with_the_share():
    picture = drawing.bars([0.0, 0.5, 1.0], ("rock", "paper", "scissors"))
    height = [(picture[:192, 96 * i + 48] == AGENT).all(axis=1).sum() for i in range(3)]
    assert height == [0, 90, 180]
