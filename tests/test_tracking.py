"""Mirrors of the metrics: what arrives in them is what the run has, once, also of a run that was resumed."""

import numpy as np
import pytest

import qfix

OPTIONS = {"total_steps": 400, "seeds": 2, "metrics_every": 100, "eval_episodes": 0}


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def assert_mirrored(run, folder):
    for i, seed in enumerate(run.spec.seeds):
        found = scalars(folder / "tensorboard" / f"seed_{seed}")
        for name in run.metric_names:
            steps, values = run.metrics(name)
            known = np.isfinite(values[i])
            assert [s for s, _ in found.get(name, [])] == steps[known].tolist()
            np.testing.assert_allclose([x for _, x in found.get(name, [])], values[i][known], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_every_measurement_once_also_after_a_resume(tmp_path):
    run = qfix.train("FrozenLake-v1", out=tmp_path / "a", track="tensorboard", **OPTIONS)
    assert_mirrored(run, tmp_path / "a")
    run = qfix.resume(tmp_path / "a", total_steps=700, track="tensorboard")
    assert run.metrics("return").steps[-1] == 700
    assert_mirrored(run, tmp_path / "a")


@pytest.mark.filterwarnings("ignore")
def test_wandb_runs_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run = qfix.train("FrozenLake-v1", out=tmp_path / "a", track=["wandb"], **OPTIONS)
    (file,) = (tmp_path / "a" / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    for text in (b"td_error/seed_1", b"exploration_rate", b"q_learning"):
        assert text in content
    assert run.mirrors == []


def test_what_cannot_be_tracked_is_told_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(qfix.UnknownNameError, match="Did you mean 'tensorboard'"):
        qfix.train("FrozenLake-v1", out=tmp_path / "a", track="tensorbord")
    with pytest.raises(qfix.OptionError, match="'track' parameter of train needs a folder"):
        qfix.train("FrozenLake-v1", track="tensorboard")
    with pytest.raises(qfix.OptionError, match="'track' parameter of resume needs a run that is kept"):
        qfix.train("FrozenLake-v1", total_steps=10).resume(20, track=["tensorboard"])
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("package", ["tensorboard.summary", "wandb"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    name = package.partition(".")[0]
    with pytest.raises(qfix.OptionError, match=rf"not installed: {name}. Install qfix\[{name}\]"):
        qfix.train("FrozenLake-v1", out=tmp_path / "a", track=name, **OPTIONS)
    assert not (tmp_path / "a").exists()


def test_a_tracker_that_fails_does_no_harm(tmp_path, monkeypatch):
    from qfix.tracking import TensorBoard

    def fail(self, step, *_):
        if step >= 200:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoard, "log", fail)
    with pytest.warns(UserWarning, match="tensorboard has failed, and gets no more metrics"):
        run = qfix.train("FrozenLake-v1", out=tmp_path / "a", track="tensorboard", **OPTIONS)
    assert run.status == "finished"
    assert run.metrics("return").steps.tolist() == [100, 200, 300, 400]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
@pytest.mark.filterwarnings("ignore")
def test_a_link_in_the_folder_is_not_followed(tmp_path, name):
    qfix.train("FrozenLake-v1", out=tmp_path / "a", **OPTIONS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(qfix.FolderError, match="is a link"):
        qfix.resume(tmp_path / "a", total_steps=500, track=name)
    assert list((tmp_path / "elsewhere").iterdir()) == []
