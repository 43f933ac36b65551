"""The learning curve and the table under it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import qfix
from qfix.evaluation import Evaluation
from qfix.report.learning_curve import BINS, learning_curve, learning_figure, smoothed, steps_text
from qfix.report.summary import Summary, run_title, summarise
from qfix.report.tables import gap_text, number, result_table

GRID = "qfix/Grid4x3-v0"


def text_of(summary, width=80):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - rich needs a file
    with console.file:
        console.print(result_table(summary))
        return console.export_text()


# The curve


def test_returns_are_averaged_where_their_episodes_ended():
    """By hand: 12 steps in 2 stretches of 6; episodes end at steps 2, 6, 7, 12 with returns 1, 3, 5, 7."""
    returns, lengths = np.array([1.0, 3.0, 5.0, 7.0]), np.array([2, 4, 1, 5])
    other, long = np.array([4.0, 8.0]), np.array([3, 9])
    curve = learning_curve([returns, other], [lengths, long], 12)
    assert curve.steps.tolist() == [3.0, 9.0]
    assert curve.returns.tolist() == [[2.0, 6.0], [4.0, 8.0]]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=400), st.integers(0, 2**32))
def test_no_episode_is_lost_and_none_counted_twice(lengths, seed):
    lengths = np.array(lengths)
    returns = np.random.default_rng(seed).normal(size=len(lengths))
    curve = learning_curve([returns], [lengths], int(lengths.sum()))
    bins = len(curve.steps)
    assert bins == min(len(lengths), BINS)
    edges = np.linspace(0, lengths.sum(), bins + 1)
    ends = np.cumsum(lengths)
    for i in range(bins):
        inside = returns[(ends > edges[i]) & (ends <= edges[i + 1])]
        if len(inside):
            assert curve.returns[0, i] == pytest.approx(inside.mean())
        else:
            assert np.isnan(curve.returns[0, i])


def test_no_episodes_give_an_empty_curve():
    curve = learning_curve([np.empty(0)], [np.empty(0, np.int64)], 50)
    assert np.isnan(curve.returns).all()


def test_smoothing_is_a_moving_mean_that_skips_gaps():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert smoothed(values, 3).tolist() == [1.0, 2.0, 4.0, 4.0]
    assert np.isnan(smoothed(np.array([np.nan, np.nan]), 3)).all()


def test_every_seed_is_a_line_and_what_to_hold_it_against_too():
    summary = summarise(qfix.train(GRID, total_steps=20_000, seeds=5))
    figure = learning_figure(summary)
    (axes,) = figure.axes
    thin = [line for line in axes.lines if line.get_linewidth() < 1]
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    level = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() != "-"}
    assert (len(thin), len(thick)) == (5, 1)
    assert level == {summary.baselines["optimal"].mean, summary.baselines["random"].mean}
    assert axes.get_xlim() == (0, 20_000)
    said = " ".join(text.get_text() for text in axes.texts)
    for name in ("optimal 1", "random -0.2", "greedy policy 1", "training"):
        assert name in said
    assert axes.get_xlabel() == "steps of each seed"


@pytest.mark.parametrize("level", [-1e6, -5.0, 0.5, 0.501, 99.0])
def test_labels_do_not_overlap_whatever_the_levels(level):
    run = qfix.train(GRID, total_steps=5_000)
    one = Evaluation(np.array([level]), 0, True)
    summary = Summary(run, Evaluation(np.array([0.5]), 0, True), None, {"random": one, "optimal": one})
    figure = learning_figure(summary)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        for other in boxes[:i]:
            assert not box.overlaps(other)


@pytest.mark.parametrize(
    ("steps", "text"), [(0, "0"), (800, "800"), (50_000, "50k"), (1_500_000, "1.5M"), (2e9, "2G")]
)
def test_steps_are_short_on_the_axis(steps, text):
    assert steps_text(steps) == text


# Summary and table


def test_the_table_has_a_row_for_every_seed_and_the_mean_of_them():
    run = qfix.train("FrozenLake-v1", total_steps=50_000, seeds=3)
    summary = summarise(run)
    rows = {row.split()[0]: row.split()[1:] for row in text_of(summary).splitlines() if row.strip()}
    for i in range(3):
        returns, training, gap, episodes = rows[str(i)]
        assert returns == number(summary.evaluation.returns[i])
        assert training == number(summary.training_return[i])
        assert gap == gap_text(summary.gap[i])
        assert episodes == f"{len(run.episodes.returns[i]):,}"
    assert rows["mean"][0] == number(summary.evaluation.mean)
    assert rows["optimal"] == [number(run.optimum().mean)]
    assert rows["random"] == ["0.014"]


def test_many_seeds_are_cut_and_their_mean_is_of_all():
    summary = summarise(qfix.train(GRID, total_steps=500, seeds=30))
    text = text_of(summary)
    assert "... 16 more" in text
    seeds = [line for line in text.splitlines() if len(line.split()) == 5 and line.split()[0].isdecimal()]
    assert len(seeds) == 14


@pytest.mark.parametrize("width", [80, 60, 50])
def test_the_table_fits_narrow_terminals(width):
    summary = summarise(qfix.train(GRID, total_steps=3_000, seeds=2))
    text = text_of(summary, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_a_run_without_a_model_has_no_gap_column():
    summary = summarise(qfix.train("Blackjack-v1", total_steps=2_000), 20)
    text = text_of(summary)
    assert "gap" not in text
    assert "20 fresh episodes" in text
    assert summary.to_dict()["gap"] is None
    assert set(summary.to_dict()["baselines"]) == {"random", "untrained"}


def test_an_infinite_gap_is_said_and_null_in_json():
    run = qfix.train("CliffWalking-v1", gamma=1.0, total_steps=10)
    run.state.agents[0].store.weights[:] = [1.0, 0, 0, 0]
    summary = summarise(run)
    assert summary.to_dict()["gap"] == [None]
    assert "infinite" in text_of(summary)
    assert "cut at 10,000 steps" in " ".join(text_of(summary).split())


def test_options_of_the_environment_are_in_the_title():
    run = qfix.train("FrozenLake-v1", env_kwargs={"map_name": "8x8"}, total_steps=10)
    assert run_title(run.spec) == "q_learning on FrozenLake-v1 (map_name=8x8)"


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.73236, "0.732"),
        (-13.0, "-13.00"),
        (-771.06, "-771.1"),
        (-51673.0, "-51,673"),
        (1e12, "1.00e+12"),
        (2e-5, "2.00e-05"),
        (0.0, "0.000"),
    ],
)
def test_returns_are_written_to_be_read(x, text):
    assert number(x) == text


def test_a_seed_that_failed_early_does_not_coarsen_the_others():
    many, few = np.ones(200), np.zeros(2)
    curve = learning_curve(
        [many, few, np.empty(0)], [np.full(200, 5), np.full(2, 5), np.empty(0, int)], 1_000
    )
    assert len(curve.steps) == BINS
    assert np.isnan(curve.returns[2]).all()
