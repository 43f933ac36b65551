"""Values, policies and visits on paper: in the page and in figures/."""

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.envs.layouts import layout_of
from qfix.report.figures import draw_figures
from qfix.report.grid_drawing import count_drawing, shown_states, value_drawing
from qfix.report.metrics_figure import metrics_figure
from qfix.report.summary import summarise
from qfix.report.theme import SIDE
from qfix.report.value_scale import ValueScale
from qfix.report.values import moments
from qfix.report.visit_figure import visit_figure
from qfix.report.visits import visits_of
from qfix.run import Metric

from .pages import everything, parsed

GRID, LAKE = "qfix/Grid4x3-v0", "FrozenLake-v1"


def cells(drawing):
    """The cells with a state: their class, title and texts, by state."""
    found = {}
    for element in everything(parsed(drawing)):
        style = element.attributes.get("class") or ""
        if element.tag == "g" and style.startswith("state "):
            title = next(e for e in element.inside if e.tag == "title").text
            texts = [e.text for e in element.inside if e.tag == "text"]
            found[int(title.split()[1].rstrip(":"))] = (style.split()[1], title, texts)
    return found


def test_a_value_drawing_by_hand():
    """Four states of a 2 by 2 lake; 3 is the goal. Values 1, -2, 0 and arrows where one is better."""
    env = gymnasium.make(LAKE, desc=["SF", "FG"])
    layout = layout_of(env)
    q = np.array([[0, 0, 1.0, 0], [-2, -2, -2, -2], [0, 0, 0, -1.0], [9, 9, 9, 9]])
    terminal = np.array([False, False, False, True])
    shown = shown_states(layout, terminal)
    drawn = value_drawing(q, layout, shown, ValueScale(np.array([1.0, -2.0, 0.0])), "said")
    found = cells(drawn)
    assert set(found) == {0, 1, 2}
    assert found[0] == ("v18", "state 0: 1, right", ["1.00", "S"])
    assert found[1] == ("v0", "state 1: −2, no preference", ["-2.00"])
    assert found[2] == (f"v{SIDE}", "state 2: 0, left/down/right", ["0"])
    assert "gem" in drawn


def test_arrows_point_where_actions_go():
    env = gymnasium.make(LAKE, desc=["SF", "FG"])
    layout = layout_of(env)
    for action, (down, right) in enumerate(layout.action_arrows):
        q = np.zeros((4, 4))
        q[0, action] = 1.0
        drawn = value_drawing(q, layout, shown_states(layout, np.arange(4) > 0), ValueScale(q), "said")
        (arrow,) = [e for e in parsed(drawn).all("path") if e.attributes.get("class") == "arrow"]
        tail, tip = (np.array(p.split(), float) for p in arrow.attributes["d"].split("M")[1].split("L"))
        assert np.sign(tip - tail).tolist() == [right, down]


def test_values_that_are_no_numbers_are_drawn_as_such():
    layout = layout_of(GRID)
    q = np.full((11, 4), np.nan)
    q[0] = 1e300
    q[1] = -np.inf
    drawn = value_drawing(q, layout, shown_states(layout, np.zeros(11, bool)), ValueScale(q), "said")
    assert cells(drawn)[2][2][0] == "NaN"
    assert cells(drawn)[0][2][0] == "1e300"


def test_a_count_drawing_by_hand():
    layout = layout_of(GRID)
    counts = np.arange(11.0) * 1_000
    found = cells(count_drawing(counts, layout, shown_states(layout, np.zeros(11, bool)), "said"))
    assert found[0][0] == "w0"
    best = max(found)
    assert found[best][0] == "w12"
    assert found[5][2][0] == "5.0k"


# Visits


@pytest.mark.parametrize("store", ["dense", "sparse"])
def test_all_updates_are_counted_by_state(store):
    """One update a step: by state they add up to the steps, and terminal states have none."""
    run = qfix.train(LAKE, total_steps=3_000, seeds=2, store=store)
    found = visits_of(run)
    assert found.numbered
    assert [int(each.sum()) for each in found.counts] == pytest.approx([3_000, 3_000], abs=2)
    assert found.by_state[run.model.terminal].sum() == 0
    assert sum(count for _, count in found.by_decade) == 2 * 4 * int((~run.model.terminal).sum())


def test_both_tables_have_the_same_visits():
    one, other = (
        visits_of(qfix.train(LAKE, total_steps=2_000, store=s)).by_state for s in ("dense", "sparse")
    )
    assert one.tolist() == other.tolist()


def test_decades_by_hand():
    run = qfix.train(GRID, total_steps=1)
    run.state.agents[0].store.counts[:] = 0
    free = np.flatnonzero(~run.model.terminal)
    run.state.agents[0].store.counts[free[0]] = [1, 9, 10, 100]
    found = dict(visits_of(run).by_decade)
    assert found == {"never": 4 * len(free) - 4, "1 to 9": 2, "10 to 99": 1, "100 to 999": 1}


def test_features_count_no_visits():
    assert visits_of(qfix.train("MountainCar-v0", total_steps=50, learning_starts=50)) is None


# Values


def test_the_last_moment_is_the_policy():
    run = qfix.train(LAKE, total_steps=5_000, snapshot_episodes=(1, 5))
    found = moments(run, np.arange(16))
    assert [m.title.split(",")[0] for m in found] == ["after 1 episode", "after 5 episodes", "at the end"]
    assert np.array_equal(found[-1].action_values, run.policy().action_values(np.arange(16)))
    assert np.array_equal(found[0].action_values, run.snapshots[0].action_values)


def test_states_may_be_numbered_from_one():
    class FromOne(gymnasium.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = gymnasium.spaces.Discrete(16, start=1)

        def observation(self, observation):
            return observation + 1

    run = qfix.train(FromOne(gymnasium.make(LAKE)), total_steps=500)
    assert np.array_equal(moments(run, np.arange(16))[-1].action_values, run.q[0])


# figures/


def test_a_grid_has_four_figures(tmp_path):
    summary = summarise(qfix.train(GRID, total_steps=20_000, seeds=3, metrics_every=500))
    names = [path.name for path in draw_figures(summary, tmp_path)]
    assert names == ["learning_curve.png", "values.png", "visits.png", "training_metrics.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_every_seed_and_the_band_are_in_the_metrics_figure():
    run = qfix.train(GRID, total_steps=20_000, seeds=3, metrics_every=500)
    figure = metrics_figure(run)
    assert len(figure.axes) == 6
    errors = figure.axes[0]
    assert len(errors.collections) == 1
    thin = [line for line in errors.lines if line.get_linewidth() < 1]
    assert [line.get_ydata().tolist() for line in thin] == run.metrics("td_error").values.tolist()


def test_nothing_measured_is_no_figure():
    run = qfix.train(GRID, total_steps=50, metrics_every=1_000)
    assert metrics_figure(run) is None


def test_values_that_diverge_are_left_out_of_the_metrics_figure():
    run = qfix.train(GRID, total_steps=2_000, metrics_every=500)
    known = run.metrics("td_error")
    for value in (np.inf, -np.inf, np.nan, 1e308):
        values = known.values.copy()
        values[:, -1] = value
        run.metrics = lambda name, values=values: Metric(known.steps, values)
        metrics_figure(run).canvas.draw()
    run.metrics = lambda name: Metric(known.steps, np.full_like(known.values, np.nan))
    assert metrics_figure(run) is None


def test_the_visit_figure_has_a_number_in_every_open_cell():
    run = qfix.train(LAKE, total_steps=2_000)
    (axes,) = visit_figure(run).axes
    numbers = [text.get_text() for text in axes.texts if text.get_text() != "S"]
    assert len(numbers) == int((~run.model.terminal).sum())
    assert visit_figure(qfix.train("Blackjack-v1", total_steps=50)) is None
