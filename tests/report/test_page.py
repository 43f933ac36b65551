"""report.html of real runs, in the situations in which runs are."""

import dataclasses
import os
import shutil
import signal
import threading
import warnings

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.errors import EnvironmentFault, FolderError, Interrupted
from qfix.report.dossier import gather
from qfix.report.page import page, write_page
from qfix.runs import Recorder, RunFolder, RunSpec
from qfix.runs.store import MetricStore
from qfix.stats import interval

from .pages import checked, everything, sections

LAKE, GRID = "FrozenLake-v1", "qfix/Grid4x3-v0"
ALWAYS = {"result", "learning", "values", "training", "findings", "settings", "reproduce", "history"}


def read(folder, run=None):
    return checked(write_page(folder, run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "lake"
    qfix.train(LAKE, "q_learning", seeds=10, total_steps=20_000, alpha=0.2, out=folder)
    return folder


# What it says


def test_a_finished_run_has_every_section(lake):
    root = read(lake)
    text = sections(root)
    assert set(text) == ALWAYS | {"visits"}
    assert "q_learning on FrozenLake-v1" in root.all("h1")[0].text
    assert "finished" in root.all("header")[0].text
    assert "10 seeds" in root.all("header")[0].text
    for title in ("TD error", "Range of Q", "Exploration", "Coverage", "Step size", "Length of an episode"):
        assert title in text["training"]


def test_a_film_of_the_training_is_linked(lake):
    assert read(lake).all("a") == []
    film = lake / "figures" / "stages.gif"
    film.parent.mkdir()
    film.write_bytes(b"GIF8")
    (link,) = read(lake).all("a")
    assert (link.text, link.attributes["href"]) == ("figures/stages.gif",) * 2
    film.unlink()


def test_the_result_names_n_mean_iqm_interval_method_baselines_and_budget(lake):
    run = qfix.load(lake)
    returns = run.evaluate().returns
    root = read(lake)
    table = root.all("table")[0]
    rows = {row.inside[0].text: [cell.text for cell in row.inside[1:]] for row in table.all("tr")[1:]}
    assert set(rows) == {"greedy policy", "while training", "untrained", "random actions", "optimal policy"}
    n, mean, iqm, method, how = rows["greedy policy"]
    assert (n, how) == ("10", "exact")
    assert mean.startswith(f"{returns.mean():.4g} ")
    found = interval(returns, "iqm")
    assert iqm == f"{found.estimate:.4g} {found.low:.4g} to {found.high:.4g}"
    assert method
    assert rows["optimal policy"][1] == f"{run.optimum().mean:.4g}"
    text = sections(root)["result"]
    assert "No failures among 10 seeds" in text
    assert "20,000 steps each" in root.all("header")[0].text
    assert f"qfix {qfix.__version__}" in sections(root)["settings"]


def test_every_seed_is_a_line_a_dot_and_a_row(lake):
    root = read(lake)
    (learning,) = [e for e in root.all("section") if e.attributes["id"] == "learning"]
    names = {path.text for path in learning.all("path")}
    assert {f"seed {i}" for i in range(10)} <= names
    (result,) = [e for e in root.all("section") if e.attributes["id"] == "result"]
    strip = result.all("svg")[0]
    dots = [p for p in everything(strip) if (p.attributes.get("class") or "").startswith("dot")]
    assert len(dots) == 10
    (points,) = result.all("details")
    assert [row.inside[0].text for row in points.all("tbody")[0].all("tr")] == [str(i) for i in range(10)]


def test_few_seeds_carry_the_note_and_one_has_no_interval(tmp_path):
    qfix.train(GRID, seeds=3, total_steps=3_000, out=tmp_path / "three")
    assert "Fewer than 10 seeds" in sections(read(tmp_path / "three"))["result"]
    qfix.train(GRID, total_steps=3_000, out=tmp_path / "one")
    root = read(tmp_path / "one")
    assert "One seed shows no spread" in sections(root)["result"]
    assert "One seed says little of others" in root.all("header")[0].text


def test_the_grid_shows_value_and_greedy_action_of_every_state(lake):
    root = read(lake)
    run = qfix.load(lake)
    (values,) = [e for e in root.all("section") if e.attributes["id"] == "values"]
    last = values.all("svg")[-1]
    q = run.policy().action_values(np.arange(16))
    words = ("left", "down", "right", "up")
    titles = [cell.text for g in last.all("g") for cell in g.all("title")] or [
        e.text for e in everything(last) if e.tag == "title"
    ]
    told = {text.split(":")[0]: text for text in titles}
    open_states = [s for s in range(16) if not run.model.terminal[s]]
    assert set(told) == {f"state {s}" for s in open_states}
    for s in open_states:
        assert words[q[s].argmax()] in told[f"state {s}"]


# Situations


def test_a_run_that_is_being_written_can_be_read(tmp_path):
    seen = []

    def look(made, total, seconds):
        if made >= total // 2 and not seen:
            seen.append(page(gather(tmp_path / "run")))

    qfix.train(GRID, total_steps=200_000, metrics_every=1_000, progress=look, out=tmp_path / "run")
    root = checked(seen[0])
    assert "is being trained" in root.all("header")[0].text
    assert "The run goes on" in root.all("footer")[0].text
    assert "no checkpoint yet" in sections(root)["values"]


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    def stop(made, total, seconds):
        if made > total // 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(Interrupted):
        qfix.train(GRID, total_steps=50_000_000, progress=stop, out=tmp_path / "a run")
    root = read(tmp_path / "a run")
    assert "interrupted" in root.all("header")[0].text
    assert f"qfix resume '{tmp_path}/a run'" in sections(root)["reproduce"]
    assert "where it was interrupted" in sections(root)["values"]


class Breaks(gymnasium.Wrapper):
    """Raises after some steps of its life."""

    def __init__(self, env, steps):
        super().__init__(env)
        self.left = steps

    def step(self, action):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("<script>alert(1)</script> & https://evil.example/x.js")
        return super().step(action)


def test_a_failed_run_tells_what_the_environment_said_as_text(tmp_path):
    with pytest.raises(EnvironmentFault):
        qfix.train(
            lambda: Breaks(gymnasium.make(LAKE), 2_000), seeds=2, total_steps=9_000, out=tmp_path / "run"
        )
    root = read(tmp_path / "run")
    text = sections(root)
    assert "failed" in root.all("header")[0].text
    assert "2 of 2 failed" in root.all("header")[0].text
    assert "<script>alert(1)</script> & https://evil.example/x.js" in text["findings"]
    assert "2 of 2 seeds failed" in text["result"]
    assert "could not be loaded" in text["values"]


def test_a_run_in_an_object_is_complete_if_it_is_given(tmp_path):
    run = qfix.train(gymnasium.make(LAKE), total_steps=4_000, out=tmp_path / "run")
    assert "could not be loaded" in sections(read(tmp_path / "run"))["values"]
    text = sections(read(tmp_path / "run", run))
    assert "at the end" in text["values"]
    assert "make_env" in text["reproduce"]


def test_seeds_that_failed_are_counted_and_marked(tmp_path):
    made = []

    def make():
        made.append(Breaks(gymnasium.make(LAKE), 1_000 if len(made) == 2 else 10**9))
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = qfix.train(make, seeds=3, total_steps=4_000, eval_episodes=5, out=tmp_path / "run")
    assert len(run.failures) == 1
    root = read(tmp_path / "run")
    assert "1 of 3 seeds failed" in sections(root)["result"]
    (points,) = [d for d in root.all("details") if "All points" in d.text]
    failed = [row for row in points.all("tr") if "failed:" in row.text]
    assert len(failed) == 1
    assert failed[0].attributes["class"] == "failed"
    assert any("failed" in (e.attributes.get("class") or "") for e in root.all("path"))


def test_without_checkpoints_the_rest_is_told(lake, tmp_path):
    shutil.copytree(lake, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    text = sections(read(tmp_path / "run"))
    assert "could not be loaded" in text["values"]
    assert set(text) == ALWAYS
    assert "greedy policy" in text["result"]
    assert "Range of Q" in text["training"]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(tmp_path):
    run = qfix.train(GRID, total_steps=2_000, out=tmp_path / "run")
    run.resume(4_000)
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    (newest / "state.safetensors").write_bytes(b"damaged")
    text = sections(read(tmp_path / "run"))
    assert "is damaged, and the one before it is used" in text["findings"]
    assert "at the end" not in text["values"]
    assert "where it was interrupted" in text["values"]


def test_no_episode_and_no_metric(tmp_path):
    qfix.train("Taxi-v4", total_steps=20, metrics_every=1_000, eval_episodes=0, out=tmp_path / "run")
    text = sections(read(tmp_path / "run"))
    assert "no learning curve" in text["learning"]
    assert "Nothing was measured yet" in text["training"]


def test_a_folder_before_anything_has_happened(tmp_path):
    Recorder.create(tmp_path / "run", RunSpec(GRID, {}, "q_learning", {}, (0, 1), 100, "compiled")).close()
    root = read(tmp_path / "run")
    assert "Nothing to judge yet" in root.all("header")[0].text


def test_a_box_is_a_picture_by_day_and_by_night(tmp_path):
    qfix.train("MountainCar-v0", total_steps=600, learning_starts=600, eval_episodes=1, out=tmp_path / "run")
    root = read(tmp_path / "run")
    (values,) = [e for e in root.all("section") if e.attributes["id"] == "values"]
    assert len(values.all("img")) == len(values.all("source")) >= 1
    assert "position" in values.text
    assert "velocity" in values.text
    assert "visits" not in sections(root)


def test_neither_grid_nor_box_says_so_and_counts_visits(tmp_path):
    qfix.train("Blackjack-v1", total_steps=2_000, eval_episodes=5, out=tmp_path / "run")
    text = sections(read(tmp_path / "run"))
    assert "neither on a grid nor" in text["values"]
    assert "1 to 9" in text["visits"]


def test_a_hundred_seeds_and_nothing_finite_stay_small(tmp_path):
    seeds = tuple(range(100))
    spec = RunSpec("Gone-v0", {}, "q_learning", {}, seeds, 10**6, "live")
    recorder = Recorder.create(tmp_path / "run", spec)
    rng = np.random.default_rng(0)
    names = ("return", "td_error", "q_min", "q_max", "q_bound", "coverage", "step_size")
    for step in range(1_000, 401_000, 1_000):
        values = rng.normal(size=(len(names), 100))
        values[1], values[5], values[6] = np.nan, np.inf, -np.inf
        values[4] = 1e300
        recorder.store.add_metrics(step, seeds, names, values)
    for seed in seeds:
        recorder.store.add_episodes(seed, 0, 400_000, rng.normal(size=4_000), np.full(4_000, 100))
    recorder.event(400_000, "finished")
    recorder.close()
    root = read(tmp_path / "run")
    assert (tmp_path / "run" / "report.html").stat().st_size < 1_500_000
    assert "TD error" not in sections(root)["training"]
    assert "Range of Q" in sections(root)["training"]


def test_very_many_seeds_stay_small(tmp_path):
    seeds = tuple(range(1_500))
    recorder = Recorder.create(tmp_path / "run", RunSpec("Gone-v0", {}, "q_learning", {}, seeds, 100, "live"))
    rng = np.random.default_rng(1)
    for step in (50, 100):
        recorder.store.add_metrics(step, seeds, ["td_error"], rng.normal(size=(1, 1_500)))
    for seed in seeds:
        recorder.store.add_episodes(seed, 0, 100, rng.normal(size=10), np.full(10, 10))
        recorder.event(100, "seed_failed", f"seed {seed}: it fell")
    recorder.close()
    text = sections(read(tmp_path / "run"))
    assert (tmp_path / "run" / "report.html").stat().st_size < 1_500_000
    assert "the first 1,000 of 1,500" in text["result"]
    assert "300 of 1,500 seeds drawn" in text["learning"]
    assert "the first 100 of 1,500" in text["findings"]


def test_ten_seeds_are_small(lake):
    write_page(lake)
    assert (lake / "report.html").stat().st_size < 200_000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324])
def test_no_number_breaks_a_chart(tmp_path, value):
    recorder = Recorder.create(tmp_path / "run", RunSpec("X-v0", {}, "q_learning", {}, (0, 1), 100, "live"))
    names = (
        "return",
        "td_error",
        "td_error_p05",
        "td_error_p95",
        "q_min",
        "q_max",
        "q_mean",
        "q_bound",
        "own",
    )
    for step in (10, 20, 30):
        recorder.store.add_metrics(step, [0, 1], names, np.full((len(names), 2), value))
    recorder.store.add_episodes(0, 0, 30, np.full(3, value), np.array([10, 10, 10]))
    recorder.store.add_evaluation(30, 0, "greedy", value, 0.0, exact=False, eval_seed=0, episodes=3)
    recorder.close()
    read(tmp_path / "run")


# Strangers


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;"


def test_what_a_stranger_wrote_is_text_everywhere(tmp_path):
    spec = RunSpec(
        env=HOSTILE,
        env_kwargs={HOSTILE: HOSTILE, "list": [HOSTILE]},
        algorithm="q_learning",
        config={"gamma": HOSTILE, HOSTILE: [HOSTILE]},
        seeds=(0,),
        total_steps=100,
        driver="live",
        versions={"qfix": HOSTILE, HOSTILE: "1"},
    )
    folder = tmp_path / "<i>run"
    recorder = Recorder.create(folder, spec)
    store: MetricStore = recorder.store
    store.add_metrics(10, [0], ["td_error"], np.ones((1, 1)))
    store.add_alert(10, 0, "q_dead", HOSTILE)
    store.add_event(10, "started", HOSTILE + "\x1b[31m\u202egnp.exe")
    store.add_event(20, "seed_failed", "seed 0: " + HOSTILE)
    recorder.close()
    html = write_page(folder).read_text(encoding="utf-8")
    root = checked(html)  # no script, no img without data:, no handler
    text = sections(root)
    assert "<script>alert(1)</script>" in root.all("h1")[0].text
    for section in ("findings", "settings", "history", "reproduce"):
        assert "<script>alert(1)</script>" in text[section], section
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_a_strangers_long_texts_are_cut(tmp_path):
    """Five megabytes of text in a folder, most of it in characters that take six to be shown."""
    long = "\u202e" * 40_000
    options = {f"o{i}": "<" * 10_000 for i in range(300)}
    spec = RunSpec("X-v0", options, "q_learning", options, (0,), 100, "live")
    recorder = Recorder.create(tmp_path / "run", RunSpec("X-v0", {}, "q_learning", {}, (0,), 100, "live"))
    for i in range(300):
        recorder.store.add_alert(i, 0, "q_dead", long)
        recorder.event(i, "resumed", long)
    recorder.close()
    made = dataclasses.replace(gather(tmp_path / "run"), spec=spec)
    html = page(made)
    assert len(html) < 5_000_000
    assert "the first 100 of 300" in sections(checked(html))["settings"]


def test_a_metric_of_an_unknown_name_is_a_chart_of_its_own(tmp_path):
    recorder = Recorder.create(tmp_path / "run", RunSpec("X-v0", {}, "q_learning", {}, (0,), 100, "live"))
    for step in (10, 20):
        recorder.store.add_metrics(step, [0], ["surprise"], np.full((1, 1), step / 10))
    recorder.close()
    assert "surprise" in sections(read(tmp_path / "run"))["training"]


def test_the_page_replaces_the_old_one_and_leaves_nothing_beside_it(lake):
    before = set(os.listdir(lake)) | {"report.html"}
    write_page(lake)
    write_page(lake)
    assert set(os.listdir(lake)) == before


def test_what_is_no_run_is_an_error(tmp_path):
    with pytest.raises(FolderError, match=r"no spec\.json"):
        write_page(tmp_path)


def test_the_dossier_asks_the_store_alone_where_it_must(lake, tmp_path):
    """What the store has kept and what the loaded run computes agree."""
    shutil.copytree(lake, tmp_path / "run")
    whole = gather(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    record = gather(tmp_path / "run")
    assert record.run is None
    assert record.absent
    assert whole.scores["greedy"].returns == record.scores["greedy"].returns
    assert whole.scores["random"].returns == record.scores["random"].returns
    assert whole.gap
    assert not record.gap
    assert whole.steps == record.steps == RunFolder(lake).steps
