"""Checkpoints that were damaged or lost: named, and the one before is used; without any, what is left can be read."""

import shutil

import numpy as np
import pytest

import qfix
from faults.killing import differences
from qfix.runs import RunFolder, StoreReader, list_checkpoints, recorder

STEPS = 600
OPTIONS = {
    "env": "FrozenLake",
    "algorithm": "sarsa",
    "driver": "live",
    "total_steps": STEPS,
    "seeds": 2,
    "metrics_every": 50,
    "epsilon": 0.3,
    "eval_episodes": 5,
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A run with checkpoints on the way, and one with more steps, never interrupted."""
    within = tmp_path_factory.mktemp("honest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "COST_SHARE", 1e9)
        patch.setattr("qfix.loop._CHUNK_SECONDS", 1e-9)
        qfix.train(out=within / "run", checkpoint_seconds=1e-6, **OPTIONS)
    return within / "run"


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def lose(path):
    path.unlink()


def lose_folder(path):
    shutil.rmtree(path.parent)
    path.parent.mkdir()


@pytest.mark.parametrize(
    ("damage", "name", "how_many"),
    [
        (cut, "state.safetensors", 1),
        (cut, "manifest.json", 1),
        (empty, "state.safetensors", 1),
        (flip, "state.safetensors", 2),
        (flip, "manifest.json", 1),
        (lose, "state.safetensors", 1),
        (lose, "manifest.json", 1),
        (lose_folder, "manifest.json", 2),
    ],
)
def test_the_checkpoint_before_is_used_and_the_damaged_are_named(honest, tmp_path, damage, name, how_many):
    folder = shutil.copytree(honest, tmp_path / "run")
    steps = list_checkpoints(folder)
    assert steps[-1] == STEPS
    assert len(steps) >= 3
    for step in steps[-how_many:]:
        damage(folder / "checkpoints" / f"{step:012d}" / name)
    with pytest.warns(UserWarning, match="is damaged, and the one before it is used") as told:
        run = qfix.load(folder)
    assert [f"{step:012d}" in str(one.message) for step, one in zip(steps[::-1], told)] == [True] * how_many
    assert run.steps == steps[-1 - how_many]
    run.resume()
    qfix.experiment.keep_evaluations(run, 5)
    assert list(differences(folder, honest)) == []


def test_a_run_of_damaged_checkpoints_only_can_be_read_and_not_loaded(honest, tmp_path):
    folder = shutil.copytree(honest, tmp_path / "run")
    for step in list_checkpoints(folder):
        flip(folder / "checkpoints" / f"{step:012d}" / "state.safetensors")
    with pytest.raises(qfix.CheckpointError, match="no intact checkpoint") as told:
        qfix.load(folder)
    assert "metrics.db can still be read" in str(told.value)
    assert all(f"{step:012d}" in str(told.value) for step in list_checkpoints(folder))
    can_be_read(folder, honest)


@pytest.mark.parametrize("whole_folder", [True, False])
def test_a_run_that_has_lost_its_checkpoints_can_be_read_and_not_loaded(honest, tmp_path, whole_folder):
    folder = shutil.copytree(honest, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    if not whole_folder:
        (folder / "checkpoints").mkdir()
    for ask in (qfix.load, qfix.resume):
        with pytest.raises(qfix.CheckpointError, match=r"metrics\.db can still be read"):
            ask(folder)
    can_be_read(folder, honest)


def can_be_read(folder, honest):
    one, other = StoreReader(folder / "metrics.db"), StoreReader(honest / "metrics.db")
    assert np.array_equal(one.metric("return").values, other.metric("return").values, equal_nan=True)
    assert one.all_episodes().keys() == {0, 1}
    assert RunFolder(folder).status == "finished"
    assert len(RunFolder(folder).evaluations()) == 2


def test_a_store_that_is_older_than_the_checkpoint_is_told(honest, tmp_path):
    folder = shutil.copytree(honest, tmp_path / "run")
    (folder / "metrics.db").unlink()
    with pytest.raises(qfix.FolderError, match=r"has lost its metrics\.db"):
        qfix.load(folder)


# Killed before there was a checkpoint: found by the campaign


def test_a_run_that_was_killed_between_its_first_two_files_is_begun_anew(honest, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("spec.json", "lock"):
        shutil.copy(honest / name, folder / name)
    assert RunFolder(folder).status == "killed"
    assert "starts anew" in qfix.load(folder).restored[0]
    qfix.resume(folder)
    assert list(differences(folder, honest)) == []


def test_a_run_that_was_killed_in_its_first_checkpoint_is_begun_anew(honest, tmp_path, monkeypatch):
    """The folder as it is when the rows are on the disk and the checkpoint is not."""
    folder = tmp_path / "run"
    write = recorder.write_checkpoint

    def keep(within, *given, **more):
        if not folder.exists():
            shutil.copytree(within, folder)
        return write(within, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "write_checkpoint", keep)
        qfix.train(out=tmp_path / "other", **OPTIONS)
    assert len(StoreReader(folder / "metrics.db").all_episodes()) == 2
    assert not list_checkpoints(folder)
    assert qfix.resume(folder).steps == STEPS
    assert list(differences(folder, honest)) == []
