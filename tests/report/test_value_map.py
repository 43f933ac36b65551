"""Value maps: what the pictures show, and the facts behind those of Grid4x3."""

import gymnasium
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.quiver import Quiver

import qfix
from qfix.envs.layouts import layout_of
from qfix.envs.world import make_world
from qfix.report.figures import draw_figures, value_figure
from qfix.report.summary import summarise
from qfix.report.value_map import grid_figure
from qfix.report.value_scale import FLOOR, INK, ValueScale, greedy_actions, rgb
from qfix.report.values import Moment, moments

GRID = "qfix/Grid4x3-v0"
DIAMOND = "#2f9e62"


@pytest.fixture(scope="module")
def grid():
    return qfix.train(GRID, "q_learning", gamma=0.9, alpha=0.5, epsilon=0.5, total_steps=20_000)


def panels_of(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def arrows_of(axes):
    """(column, row) of each arrow's cell to the set of (right, down) it points to."""
    found: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for quiver in (artist for artist in axes.collections if isinstance(artist, Quiver)):
        for x, y, u, v in zip(quiver.X, quiver.Y, quiver.U, quiver.V):
            middle = int(x + u / 2), int(y + v / 2)
            found.setdefault(middle, set()).add((int(np.sign(u)), int(np.sign(v))))
    return found


def texts_of(axes):
    return {(int(t.get_position()[0]), int(t.get_position()[1])): t.get_text() for t in axes.texts}


# The pictures of Grid4x3, fact by fact


def test_after_one_success_a_single_cell_is_lit_beside_the_diamond(grid):
    assert grid.episodes.returns[0][0] == 1.0, "the first episode of this seed is a success"
    axes = panels_of(value_figure(grid))[0]
    assert axes.get_title(loc="left") == "after 1 episode"
    values = {cell: text for cell, text in texts_of(axes).items() if text not in ("0", "S")}
    assert values == {(2, 0): "0.50"}
    assert arrows_of(axes) == {(2, 0): {(1, 0)}}


def test_after_50_episodes_the_glow_spreads_back_from_the_diamond(grid):
    world, best = make_world("Grid4x3"), grid.snapshots[1].action_values.max(axis=1)
    first = grid.snapshots[0].action_values.max(axis=1)
    assert np.count_nonzero(first) == 1 < np.count_nonzero(best)
    assert best[world.state((3, 3))] == pytest.approx(1.0, abs=1e-6)
    assert 0 < best[world.state((1, 1))] <= 0.9**4 + 1e-12
    assert (best <= grid.solution.v + 1e-12).all(), "from zero, values rise to the truth from below"


def test_after_500_episodes_values_are_powers_of_the_distance_and_arrows_shortest_ways(grid):
    axes = panels_of(value_figure(grid))[2]
    assert axes.get_title(loc="left") == "after 500 episodes"
    distance = {
        (0, 0): 2,
        (1, 0): 1,
        (2, 0): 0,
        (0, 1): 3,
        (2, 1): 1,
        (0, 2): 4,
        (1, 2): 3,
        (2, 2): 2,
        (3, 2): 3,
    }
    texts = texts_of(axes)
    for cell, moves in distance.items():
        shown = texts[cell]
        assert shown in (f"{0.9**moves:.2f}", "S")
    arrows = arrows_of(axes)
    assert set(arrows) == set(distance)
    for (column, row), directions in arrows.items():
        for right, down in directions:
            after = (column + right, row + down)
            closer = distance.get(after, -1 if after == (3, 0) else 99)
            assert closer == distance[column, row] - 1
    assert arrows[0, 2] == {(0, -1), (1, 0)}, "two shortest ways lead from the start"


def test_walls_the_diamond_and_the_pit_are_drawn_and_carry_no_value(grid):
    axes = panels_of(value_figure(grid))[3]
    image = axes.images[0].get_array()
    assert image.shape[:2] == (3, 4)
    assert np.asarray(image[1, 1]) == pytest.approx(np.array((67, 76, 94)) / 255, abs=1e-9)
    assert {(3, 0), (3, 1), (1, 1)}.isdisjoint(texts_of(axes))
    marks = {
        tuple(c.get_offsets()[0].astype(int)): tuple(c.get_facecolor()[0][:3]) for c in axes.collections[:2]
    }
    assert marks[3, 0] == pytest.approx(to_rgb(DIAMOND), abs=0.01)


def test_all_panels_share_one_scale(grid):
    first, *_, last = (axes.images[0].get_array() for axes in panels_of(value_figure(grid)))
    paper, scale = np.array(rgb(FLOOR)), ValueScale(np.array([1.0]))
    for image, cell, colour in ((first, 0, paper), (first, 2, scale.paint(0.5)), (last, 2, scale.paint(1.0))):
        assert np.asarray(image[0, cell]) == pytest.approx(colour, abs=1e-9)


# Scale and ties


def test_zero_is_paper_good_is_blue_bad_is_red():
    scale = ValueScale(np.array([-2.0, 1.0]))
    assert scale.paint(0.0) == pytest.approx(rgb(FLOOR))
    good, bad = scale.paint(1.0), scale.paint(-1.0)
    assert good[2] > good[0]
    assert bad[0] > bad[2]
    assert (scale.low, scale.high) == (-2.0, 1.0)
    assert ValueScale(np.zeros(3)).paint(0.0) == pytest.approx(rgb(FLOOR))
    assert ValueScale(np.array([np.nan])).text(0.0) == "0"


@pytest.mark.parametrize("value", np.linspace(-1, 1, 21))
def test_ink_can_be_read_on_every_colour(value):
    """At least 2.9 to 1 by the formula of WCAG 2."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    paper, ink = ValueScale(np.array([1.0])).colours(value)
    light, dark = sorted((luminance(paper), luminance(ink)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 2.9
    assert ink in (INK, "#ffffff")


@pytest.mark.parametrize(
    ("q", "best"),
    [
        ([0.0, 1.0, 0.5], [1]),
        ([1.0, 1.0, 0.5], [0, 1]),
        ([1.0, 1.0 - 1e-12, 0.5], [0, 1]),
        ([1.0, 1.0 - 1e-6, 0.5], [0]),
        ([2.0, 2.0, 2.0], []),
    ],
)
def test_equally_good_actions_are_all_shown_and_none_where_all_are(q, best):
    assert greedy_actions(np.array(q), 1.0).tolist() == best


def test_digits_suit_the_size():
    assert ValueScale(np.array([0.7])).text(0.6561) == "0.66"
    assert ValueScale(np.array([-13.0])).text(-12.25) == "-12.2"
    assert ValueScale(np.array([500.0])).text(123.4) == "123"
    assert ValueScale(np.array([1.0])).text(-0.001) == "0.00"


# Every world that has a place on paper


@pytest.mark.parametrize(
    "env",
    [
        "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", GRID, "qfix/GreedyTrap-v0", "qfix/WindyGrid-v0", "qfix/Baird-v0",
        "qfix/DynaMaze-v0", "qfix/Warehouse-v0", "qfix/MaximizationBias-v0", "qfix/RandomWalk-v0", "qfix/Pit4x4-v0",
    ],
)  # fmt: skip
def test_the_map_shows_every_state_that_has_a_value(env):
    made = gymnasium.make(env)
    model = qfix.FiniteMDP.from_env(made, 0.9)
    layout = layout_of(made)
    q = qfix.solve(model).q
    figure = grid_figure([Moment("optimal", q)], layout, model.terminal, "title", "note")
    (axes,) = panels_of(figure)
    valued = {
        (int(column), int(row))
        for s, (row, column) in enumerate(layout.cell_of_state)
        if row >= 0 and not model.terminal[s] and layout.glyphs[row][column] != "P"
    }
    assert valued <= set(texts_of(axes)) | set(arrows_of(axes))
    figure.canvas.draw()
    inside = figure.bbox
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1


def test_a_large_grid_leaves_the_numbers_out():
    layout = layout_of("FrozenLake-v1", {"desc": ["S" + "F" * 19] + ["F" * 20] * 18 + ["F" * 19 + "G"]})
    q = np.random.default_rng(0).random((400, 4))
    terminal = np.arange(400) == 399
    (axes,) = panels_of(grid_figure([Moment("optimal", q)], layout, terminal, ""))
    assert [t.get_text() for t in axes.texts] == ["S"]
    assert len(arrows_of(axes)) == 399


# Stores, snapshots, boxes


@pytest.mark.parametrize("store", ["dense", "sparse"])
def test_a_snapshot_is_shown_as_the_policy_was_then(store):
    options = {"gamma": 0.9, "alpha": 0.5, "epsilon": 0.5, "store": store}
    run = qfix.train(GRID, "q_learning", total_steps=5_000, **options)
    states = np.arange(11)
    *earlier, last = moments(run, states)
    for shot, moment in zip(run.snapshots, earlier, strict=True):
        then = qfix.train(GRID, "q_learning", total_steps=shot.step, **options)
        assert np.array_equal(moment.action_values, then.policy().action_values(states))
    assert np.array_equal(last.action_values, run.policy().action_values(states))


def test_features_are_shown_as_values_of_states():
    """One-hot features are a table."""
    run = qfix.train(GRID, "q_learning", total_steps=2_000, features=np.eye(11), alpha=0.5, epsilon=0.5)
    *earlier, last = moments(run, np.arange(11))
    assert np.array_equal(last.action_values, run.q[0])
    assert [np.array_equal(a.action_values, b.action_values) for a, b in zip(earlier, run.snapshots)]


def test_moments_are_named_by_their_episodes(grid):
    n = len(grid.episodes.returns[0])
    titles = [moment.title for moment in moments(grid, np.arange(11))]
    assert titles == [
        "after 1 episode",
        "after 50 episodes",
        "after 500 episodes",
        f"at the end, {n:,} episodes",
    ]


def test_a_box_of_two_dimensions_is_mapped_with_its_axes_named():
    run = qfix.train("MountainCar-v0", total_steps=3_000)
    figure = value_figure(run)
    panels = panels_of(figure)
    assert [axes.get_xlabel() for axes in panels] == ["position"] * len(panels)
    assert {axes.get_ylabel() for axes in panels} == {"velocity"}
    axes = panels[-1]
    assert axes.get_xlim() == pytest.approx((-1.2, 0.6))
    assert axes.get_ylim() == pytest.approx((-0.07, 0.07))
    # the picture's point at the bottom of the valley is the policy's own value there
    points = np.linspace(-1.2, 0.6, 48), np.linspace(-0.07, 0.07, 48)
    column, row = int(np.abs(points[0] + 0.5).argmin()), 24
    value = run.policy().action_values(np.array([points[0][column], points[1][row]])).max()
    assert value < 0
    colour = axes.images[0].get_array()[row, column]
    assert colour[0] > colour[2], "a cost is red"


def test_where_there_is_no_place_on_paper_there_is_no_map(tmp_path):
    run = qfix.train("Blackjack-v1", total_steps=200)
    assert value_figure(run) is None
    assert [path.name for path in draw_figures(summarise(run, 2), tmp_path)] == [
        "learning_curve.png",
        "training_metrics.png",
    ]


def test_figures_are_files_of_some_size(grid, tmp_path):
    for path in draw_figures(summarise(grid), tmp_path / "deep" / "down"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 15_000
