"""The numbers of each world, by hand or from its source, and by a naive solver of its outcomes."""

import numpy as np
import pytest

from qfix.envs.baird import behaviour_policy, features, initial_weights, target_policy
from qfix.envs.maximization_bias import standard_normal_points
from qfix.envs.windy_grid import WIND
from qfix.envs.world import make_world, model_of
from qfix.errors import OptionError, QfixError, UnknownNameError


def action_values(world, tol=1e-13, sweeps=20_000):
    """Q* (S, A) by value iteration over `outcomes`, one Bellman equation after the other."""
    v = np.zeros(world.n_states)
    q = np.zeros((world.n_states, world.n_actions))
    for _ in range(sweeps):
        for s in set(range(world.n_states)) - world.terminal:
            for a in range(world.n_actions):
                q[s, a] = sum(
                    p * (r + (0.0 if over else world.gamma * v[t])) for p, t, r, over in world.outcomes(s, a)
                )
        change = np.abs(q.max(axis=1) - v).max()
        v = q.max(axis=1)
        if change < tol:
            return q
    raise AssertionError("no convergence")


def steps_to_the_end(world):
    """Length of the shortest path to termination, by breadth first search; 1000 if there is none."""
    front, seen = set(np.flatnonzero(world.start)), set()
    for length in range(1, 1000):
        after = set()
        for s in front:
            for a in range(world.n_actions):
                for p, t, _, over in world.outcomes(s, a):
                    if p > 0 and over:
                        return length
                    after.add(t)
        seen |= front
        front = after - seen
    return 1000


def value_at_start(world):
    return float(world.start @ action_values(world).max(axis=1))


# every world -------------------------------------------------------


def test_outcomes_are_distributions_and_ending_means_terminal(name):
    world = make_world(name)
    assert world.name == name
    assert world.start.sum() == pytest.approx(1.0, abs=1e-12)
    assert not any(world.start[s] for s in world.terminal)
    for s in set(range(world.n_states)) - world.terminal:
        for a in range(world.n_actions):
            outcomes = world.outcomes(s, a)
            assert sum(p for p, *_ in outcomes) == pytest.approx(1.0, abs=1e-12)
            assert all(over == (t in world.terminal) for _, t, _, over in outcomes)


def test_known_values_are_the_solution(name):
    world = make_world(name)
    q = action_values(world)
    known = {str(cell).replace(" ", ""): q[s] for s, cell in enumerate(world.cells)}
    actions = {"up": 0, "right": 1, "down": 2, "left": 3, "leave": 1, "0": 0, "1": 1, "2": 2, "3": 3}
    if name == "MaximizationBias":
        actions = {"left": 0, "right": 1}
    for what, value in world.known_values.items():
        inside = what[2:-1]
        if what.startswith("Q("):
            cell, action = inside.rsplit(",", 1)
            found = known[cell if cell in known else f"({cell})"][actions[action]]
        else:
            found = known[inside if inside in known else f"({inside})"].max()
        assert found == pytest.approx(value, abs=1e-10), what
    assert world.known_values or name == "Warehouse"


def test_the_model_says_what_the_outcomes_say(name):
    world = make_world(name)
    model = model_of(world, 7)
    assert (model.n_states, model.n_actions, model.gamma) == (world.n_states, world.n_actions, world.gamma)
    assert model.max_episode_steps == 7
    assert set(np.flatnonzero(model.terminal)) == world.terminal
    np.testing.assert_array_equal(model.start, world.start)
    for s in set(range(world.n_states)) - world.terminal:
        for a in range(world.n_actions):
            expected = sum(p * r for p, _, r, _ in world.outcomes(s, a))
            assert model.reward[s, a] == pytest.approx(expected, abs=1e-12)


def test_states_have_names_and_a_place(name):
    world = make_world(name)
    assert [world.state(world.cell(s)) for s in range(world.n_states)] == list(range(world.n_states))
    layout = world.layout
    assert layout.cell_of_state.shape == (world.n_states, 2)
    assert len({tuple(cell) for cell in layout.cell_of_state.tolist()}) == world.n_states
    assert layout.action_arrows.shape == (world.n_actions, 2)
    assert len(layout.action_names) == world.n_actions
    for s, (row, column) in enumerate(layout.cell_of_state):
        glyph = layout.glyphs[row][column]
        assert glyph not in "# "
        assert (glyph == "S") <= (world.start[s] > 0)
        assert (glyph in "GP~") <= (s in world.terminal)


def test_a_name_that_is_none_lists_the_states():
    with pytest.raises(KeyError, match=r"Grid4x3 has no state \(2, 2\)"):
        make_world("Grid4x3").state((2, 2))


def test_unknown_worlds_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'WindyGrid'"):
        make_world("WindyGird")
    with pytest.raises(UnknownNameError, match="finite world"):
        make_world("RockPaperScissors")


# Grid4x3 -------------------------------------------------------


def test_grid4x3_numbers():
    world = make_world("Grid4x3")
    q = action_values(world)
    assert world.n_states == 11
    assert world.gamma == 0.9
    np.testing.assert_allclose(q[world.state((1, 1))].max(), 0.6561, atol=1e-12)
    np.testing.assert_allclose(q[world.state((3, 2))], [0.9, -1.0, 0.729, 0.81], atol=1e-12)
    assert q[world.state((3, 3)), 1] == 1.0


def test_grid4x3_with_slip_gives_the_textbooks_utilities():
    """Russell & Norvig, 3rd ed., Figure 17.3."""
    world = make_world("Grid4x3", slip=0.2, step_reward=-0.04, gamma=1.0)
    v = action_values(world).max(axis=1)
    book = {
        (1, 3): 0.812, (2, 3): 0.868, (3, 3): 0.918,
        (1, 2): 0.762, (3, 2): 0.660,
        (1, 1): 0.705, (2, 1): 0.655, (3, 1): 0.611, (4, 1): 0.388,
    }  # fmt: skip
    for cell, utility in book.items():
        assert v[world.state(cell)] == pytest.approx(utility, abs=5.1e-4), cell


def test_grid4x3_updates_by_hand():
    """Three visits of ((3,3), right) at alpha 0.5 and one of ((3,2), up) after the first of them."""
    world = make_world("Grid4x3")
    q = np.zeros((11, 4))

    def visit(cell, action):
        s = world.state(cell)
        ((_, t, r, over),) = world.outcomes(s, action)
        q[s, action] += 0.5 * (r + (0.0 if over else world.gamma * q[t].max()) - q[s, action])
        return q[s, action]

    assert visit((3, 3), 1) == 0.5
    assert visit((3, 2), 0) == 0.225
    assert visit((3, 3), 1) == 0.75
    assert visit((3, 3), 1) == 0.875


# the other grids -------------------------------------------------------


def test_greedy_trap_numbers():
    world = make_world("GreedyTrap")
    q = action_values(world)[world.state((2, 0))]
    assert q[1] == pytest.approx(0.81)
    assert q[0] == pytest.approx(0.531441)
    assert steps_to_the_end(world) == 3


def test_maze4x4_rewards():
    world = make_world("Maze4x4")
    up, down, left, right = range(4)
    start, above_goal = world.state((0, 0)), world.state((2, 3))
    assert world.outcomes(start, up) == [(1.0, start, -1.0, False)]
    assert world.outcomes(world.state((0, 1)), down) == [(1.0, world.state((0, 1)), -1.0, False)]
    assert world.outcomes(start, right) == [(1.0, world.state((0, 1)), -0.01, False)]
    assert world.outcomes(world.state((0, 1)), left) == [(1.0, start, -0.01, False)]
    assert world.outcomes(above_goal, down) == [(1.0, world.state((3, 3)), 1.0, True)]
    assert steps_to_the_end(world) == 6
    assert {(1, 1), (2, 2)} == set(world.layout.walls)


def test_pit4x4_numbers():
    world = make_world("Pit4x4")
    assert world.outcomes(2, 2) == [(1.0, 6, -10.0, True)]
    assert world.outcomes(11, 2) == [(1.0, 15, 10.0, True)]
    assert world.outcomes(0, 0) == [(1.0, 0, -0.1, False)]
    assert world.gamma == 0.99
    assert value_at_start(world) == pytest.approx(9.01980, abs=5e-6)


@pytest.mark.parametrize(("king_moves", "steps"), [(False, 15), (True, 7)])
def test_windy_grid_steps(king_moves, steps):
    """Sutton & Barto, Example 6.5 and Exercise 6.9."""
    world = make_world("WindyGrid", king_moves=king_moves)
    assert steps_to_the_end(world) == steps
    assert value_at_start(world) == -steps


def test_windy_grid_blows_by_the_column_it_leaves():
    world = make_world("WindyGrid")
    assert world.outcomes(world.state((3, 6)), 1) == [(1.0, world.state((1, 7)), -1.0, False)]
    assert world.outcomes(world.state((3, 9)), 3) == [(1.0, world.state((3, 8)), -1.0, False)]


def test_stochastic_wind_is_one_third_each_where_there_is_wind():
    world = make_world("WindyGrid", stochastic=True)
    for s in set(range(70)) - world.terminal:
        row, column = world.cell(s)
        outcomes = world.outcomes(s, 3)
        assert len(outcomes) == (3 if WIND[column] else 1)
        rows = [min(max(row - WIND[column] + gust, 0), 6) for gust in (1, 0, -1)]
        expected = rows if WIND[column] else rows[1:2]
        assert [world.cell(t)[0] for _, t, _, _ in outcomes] == expected
    assert value_at_start(world) < -15.0


@pytest.mark.parametrize(
    ("maze", "steps"),
    [("dyna", 14), ("blocking", 10), ("blocked", 16), ("shortcut", 16), ("shortcut_open", 10)],
)
def test_dyna_maze_steps(maze, steps):
    """Sutton & Barto, Example 8.1 (14) and Figures 8.4 and 8.5."""
    world = make_world("DynaMaze", maze=maze)
    assert steps_to_the_end(world) == steps
    assert value_at_start(world) == pytest.approx(0.95 ** (steps - 1), abs=1e-12)


def test_mazes_that_change_keep_their_cells_in_place():
    for before, after in (("blocking", "blocked"), ("shortcut", "shortcut_open")):
        one, two = make_world("DynaMaze", maze=before), make_world("DynaMaze", maze=after)
        assert one.layout.glyphs != two.layout.glyphs
        assert [c.count("#") for c in one.layout.glyphs[:3]] == [0, 0, 0]
        assert (
            one.cell(int(np.flatnonzero(one.start)[0]))
            == two.cell(int(np.flatnonzero(two.start)[0]))
            == (5, 3)
        )


# the others -------------------------------------------------------


def test_random_walk_values():
    """Sutton & Barto, Example 6.2: 1/6 to 5/6; Example 7.1: -0.9 to 0.9."""
    for options, expected in (({"n": 5}, np.arange(1, 6) / 6), ({"n": 19}, np.arange(-9, 10) / 10)):
        world = make_world("RandomWalk", **options)
        np.testing.assert_allclose(action_values(world)[1:-1, 0], expected, atol=1e-10)
        assert np.flatnonzero(world.start) == [(len(expected) + 1) // 2]


def test_maximization_bias_is_unbiased_and_half_of_the_actions_go_left():
    world = make_world("MaximizationBias")
    a, b = world.state("A"), world.state("B")
    rewards = np.array([r for _, _, r, _ in world.outcomes(b, 3)])
    assert rewards.mean() == pytest.approx(-0.1, abs=1e-12)
    assert rewards.var() == pytest.approx(1.0, abs=1e-12)
    assert [world.outcomes(a, action)[0][1] == b for action in range(10)] == [True, False] * 5
    q = action_values(world)
    np.testing.assert_allclose(q[a], np.tile([-0.1, 0.0], 5), atol=1e-12)


def test_normal_points_have_the_shape_of_a_normal():
    points = standard_normal_points(64)
    assert abs((points**3).mean()) < 1e-12
    assert (points**4).mean() == pytest.approx(3.0, abs=0.35)
    assert np.all(np.diff(points) > 0)


def test_baird_by_the_book():
    world = make_world("Baird")
    x = features()
    np.testing.assert_array_equal(x @ initial_weights(), [3, 3, 3, 3, 3, 3, 12])
    assert np.linalg.matrix_rank(x) == 7
    assert world.outcomes(2, 1) == [(1.0, 6, 0.0, False)]
    assert sorted(t for _, t, _, _ in world.outcomes(6, 0)) == list(range(6))
    behaviour = behaviour_policy()
    after = np.zeros(7)
    for a in range(2):
        for p, t, _, _ in world.outcomes(4, a):
            after[t] += behaviour[4, a] * p
    np.testing.assert_allclose(after, np.full(7, 1 / 7))
    np.testing.assert_array_equal(target_policy()[:, 1], np.ones(7))
    np.testing.assert_allclose(world.start, np.full(7, 1 / 7))


def test_time_limit_probe_tells_truncation_from_termination():
    world = make_world("ProbeTimeLimit")
    assert value_at_start(world) == pytest.approx(10.0)
    assert not world.terminal


def test_loop_probe_prefers_the_loop():
    q = action_values(make_world("ProbeLoop"))
    np.testing.assert_allclose(q[:2, 0], [0.9 / 0.19, 1 / 0.19], atol=1e-10)
    np.testing.assert_allclose(q[:2, 1], 2.0)


def test_known_values_follow_gamma():
    for name in (
        "Grid4x3",
        "GreedyTrap",
        "Maze4x4",
        "Pit4x4",
        "WindyGrid",
        "DynaMaze",
        "ProbeLoop",
        "ProbeDelay",
    ):
        world = make_world(name, gamma=0.8)
        first = next(value for what, value in world.known_values.items() if what.startswith("V("))
        assert value_at_start(world) == pytest.approx(first, abs=1e-10), name


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("Grid4x3", {"slip": 1.2}, "'slip' parameter of Grid4x3 must be in \\[0, 1\\]. Got 1.2"),
        ("Grid4x3", {"step_reward": float("nan")}, "'step_reward' parameter of Grid4x3"),
        ("RandomWalk", {"n": 4}, "'n' parameter of RandomWalk must be an odd"),
        ("MaximizationBias", {"n_actions": 3}, "'n_actions' parameter of MaximizationBias must be even"),
        ("Warehouse", {"slip": -0.1}, "'slip' parameter of Warehouse"),
    ],
)
def test_options_out_of_range_are_refused(name, options, words):
    with pytest.raises(OptionError, match=words):
        make_world(name, **options)


def test_other_bad_options():
    with pytest.raises(UnknownNameError, match="Did you mean 'blocking'"):
        make_world("DynaMaze", maze="bloking")
    with pytest.raises(QfixError, match="gamma"):
        model_of(make_world("Pit4x4", gamma=1.5))
