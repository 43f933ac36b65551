"""Runs held against each other: scores, what is left out and said, and what is refused."""

import json

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.comparison import scores_of
from qfix.runs import RunFolder

LAKE = "FrozenLake-v1"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two algorithms on the lake, one of them hopeless: it never explores and never sees the goal."""
    home = tmp_path_factory.mktemp("runs")
    qfix.train(LAKE, out=home / "good", seeds=10, total_steps=20_000)
    qfix.train(LAKE, out=home / "bad", seeds=10, total_steps=2_000, epsilon=0.0, initial=0.5, alpha=0.0)
    return [home / "good", home / "bad"]


def test_the_better_of_two_is_found_from_their_folders(folders):
    compared = qfix.compare(folders)
    good, bad = compared.runs
    assert (good.name, bad.name) == ("good", "bad")
    assert compared.statistics.best == "good"
    assert "good is better than bad" in compared.verdict
    assert len(good.scores) == 10
    assert good.exact
    assert good.mean.estimate == pytest.approx(good.scores.mean())
    assert good.baselines.keys() == {"untrained", "random", "optimal"}
    assert "budgets differ" in str(compared)


def test_budgets_that_were_rounded_to_whole_units_are_alike(tmp_path):
    for steps in (2_000, 2_096, 2_120):
        qfix.train(LAKE, out=tmp_path / f"{steps}", total_steps=steps)
    one, near, far = (tmp_path / f"{steps}" for steps in (2_000, 2_096, 2_120))
    assert "budgets differ" not in str(qfix.compare([one, near]))
    assert "budgets differ" in str(qfix.compare([one, near, far]))


def test_folders_and_runs_say_the_same(folders):
    one, other = scores_of(folders[0]), scores_of(qfix.load(folders[0]))
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.curves, other.curves)
    np.testing.assert_array_equal(one.curve_steps, other.curve_steps)
    assert (one.seeds, one.steps, one.exact) == (other.seeds, other.steps, other.exact)
    assert one.baselines == pytest.approx(other.baselines)


def test_a_comparison_is_json(folders):
    told = json.loads(json.dumps(qfix.compare(folders).to_dict(), allow_nan=False))
    assert [run["name"] for run in told["runs"]] == ["good", "bad"]
    assert told["pairs"][0]["p_value"] < 0.01


def test_a_folder_that_was_not_evaluated_is_evaluated(tmp_path):
    qfix.train(LAKE, out=tmp_path / "a", seeds=3, total_steps=1_000, eval_episodes=0)
    run = qfix.train(LAKE, out=tmp_path / "b", seeds=3, total_steps=1_000)
    assert RunFolder(tmp_path / "a").store.evaluations() == []
    a, b = qfix.compare([tmp_path / "a", run]).runs
    np.testing.assert_array_equal(a.scores, b.scores)
    assert (a.name, b.name) == ("a", "b")


def test_an_evaluation_of_fewer_steps_is_not_taken_for_the_last(tmp_path):
    qfix.train(LAKE, out=tmp_path / "a", seeds=2, total_steps=1_000)
    run = qfix.load(tmp_path / "a").resume(total_steps=5_000)
    assert scores_of(tmp_path / "a").steps == 5_000
    np.testing.assert_array_equal(scores_of(tmp_path / "a").scores, run.evaluate().returns)


def test_a_seed_that_failed_is_counted_and_has_no_score():
    class Breaks(gymnasium.Wrapper):
        """Breaks in the episode of one seed: each makes its own."""

        made = 0

        def __init__(self, env):
            super().__init__(env)
            Breaks.made += 1
            self.number, self.steps = Breaks.made, 0

        def step(self, action):
            self.steps += 1
            if self.number == 3 and self.steps > 50:
                raise RuntimeError("a wheel came off")
            return super().step(action)

    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        run = qfix.train(
            lambda: Breaks(gymnasium.make("CliffWalking-v1")),
            seeds=3,
            total_steps=200,
            driver="live",
            eval_episodes=2,
        )
    assert len(run.failures) == 1
    whole = qfix.train("CliffWalking-v1", seeds=3, total_steps=200)
    compared = qfix.compare([run, whole], names=["broken", "whole"])
    broken = compared.runs[0]
    assert len(broken.scores) == 2
    assert broken.curves.shape == (2, len(broken.curve_steps))
    assert set(broken.failures) == set(run.failures) == set(whole.spec.seeds) - set(broken.seeds)
    assert any("broken: 1 of 3 seeds failed" in note for note in compared.notes)
    assert any("Fewer than 10 seeds" in note for note in compared.notes)


def test_seeds_are_paired_by_their_numbers(tmp_path):
    a = qfix.train(LAKE, seeds=[0, 1, 2, 3], total_steps=3_000)
    b = qfix.train(LAKE, seeds=[3, 2, 1, 7], total_steps=3_000)
    compared = qfix.compare([a, b], names=["a", "b"], paired=True)
    (pair,) = compared.statistics.pairs
    assert pair.n_a == 3
    assert pair.difference == 0.0  # the same three seeds, and the same training
    assert any("Paired on the 3 seeds" in note for note in compared.notes)


def test_what_cannot_be_compared_is_refused(folders):
    with pytest.raises(qfix.OptionError, match="'runs' parameter of compare must hold at least two runs"):
        qfix.compare(folders[:1])
    with pytest.raises(qfix.OptionError, match="must hold at least two runs"):
        qfix.compare(str(folders[0]))
    with pytest.raises(qfix.OptionError, match="'names' parameter of compare must be 2 different names"):
        qfix.compare(folders, names=["x", "x"])
    with pytest.raises(qfix.OptionError, match="must be of one environment"):
        qfix.compare([folders[0], qfix.train("CliffWalking-v1", total_steps=100)])
    with pytest.raises(qfix.FolderError, match="There is no folder"):
        qfix.compare([folders[0], folders[0] / "nowhere"])


def test_runs_of_one_name_are_numbered():
    runs = [qfix.train(LAKE, total_steps=500, seeds=2) for _ in range(2)]
    assert [run.name for run in qfix.compare(runs).runs] == ["q_learning (1)", "q_learning (2)"]
