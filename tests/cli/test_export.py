"""`qfix export`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import qfix

LAKE = "runs/lake"


@pytest.fixture
def lake(qfix_command):
    return qfix.train("FrozenLake-v1", total_steps=3_000, seeds=2, out=LAKE, eval_episodes=0)


def values_in(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["action_values"], {"observation": np.arange(16)})[0], session.get_modelmeta()


def test_a_policy_is_written_and_told(qfix_command, lake):
    answer = qfix_command("export", LAKE, "--onnx", "lake.onnx", "--weights", "lake.npz", "--seed", "1")
    assert answer == (0, "onnx     lake.onnx\nweights  lake.npz\n", "")
    values, meta = values_in("lake.onnx")
    assert np.array_equal(values, lake.q[1])
    assert np.array_equal(np.load("lake.npz")["q"], lake.q[1])
    assert (meta.custom_metadata_map["seed"], meta.custom_metadata_map["step"]) == ("1", "3000")


def test_paths_are_told_to_machines(qfix_command, lake):
    answer = qfix_command("export", LAKE, "--weights", "lake.safetensors", "--json")
    assert json.loads(answer.out) == {"weights": "lake.safetensors"}


def test_an_earlier_checkpoint_can_be_exported(qfix_command, lake):
    before = lake.q[0].copy()
    lake.resume(60_000)
    assert qfix_command("export", LAKE, "--onnx", "early.onnx", "--checkpoint", "3000").code == 0
    values, meta = values_in("early.onnx")
    assert np.array_equal(values, before)
    assert meta.custom_metadata_map["step"] == "3000"
    assert qfix_command("export", LAKE, "--onnx", "late.onnx").code == 0
    assert not np.array_equal(values_in("late.onnx")[0], before)


def test_a_network_is_exported(qfix_command):
    small = {"total_steps": 64, "learning_starts": 32, "hidden": (8,)}
    run = qfix.train("qfix/Grid4x3-v0", "dqn", out="runs/grid", eval_episodes=0, **small)
    answer = qfix_command("export", "runs/grid", "--onnx", "grid.onnx")
    assert (answer.code, answer.err) == (0, "")
    session = onnxruntime.InferenceSession("grid.onnx", providers=["CPUExecutionProvider"])
    states = np.arange(run.env.observation_space.n)
    values, actions = session.run(["action_values", "action"], {"observation": states})
    assert np.array_equal(actions, run.policy().predict(states))
    assert np.allclose(values, run.policy().action_values(states), atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["algorithm"] == "dqn"


def test_a_file_that_is_there_is_kept_unless_forced(qfix_command, lake):
    Path("lake.onnx").write_text("dear to me")
    answer = qfix_command("export", LAKE, "--onnx", "lake.onnx")
    assert answer == (
        2,
        "",
        "Error: The file lake.onnx is there already. Choose another name, or use --force to replace it.\n",
    )
    assert qfix_command("export", LAKE, "--onnx", "lake.onnx", "--force").code == 0
    assert np.array_equal(values_in("lake.onnx")[0], lake.q[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "export",
            "`qfix export` needs the folder of a run. Write `qfix export runs/frozenlake-q_learning --onnx",
        ),
        ("export runs/lake", "Write --onnx policy.onnx, or --weights weights.npz."),
        (
            "export runs/lake --onnx a.pb",
            "The '--onnx' option of export must end in .onnx. Got 'a.pb'. Use --onnx policy.onnx",
        ),
        (
            "export runs/lake --weights a.pkl",
            "The '--weights' option of export must end in .npz or .safetensors",
        ),
        (
            "export runs/lake --onnx no/a.onnx",
            "The '--onnx' option of export must be a file in a folder that exists",
        ),
        ("export runs/lake --onnx a.onnx --seed 7", "The '--seed' option of export must be one of [0, 1]"),
        ("export runs/lake --onnx a.onnx --checkpoint 7", "no intact checkpoint of step 7"),
        ("export nowhere --onnx a.onnx", "There is no folder nowhere"),
        ("export . --onnx a.onnx", ". is not the folder of a run"),
        ("export runs/lake --onxn a.onnx", "Did you mean '--onnx'?"),
    ],
)
def test_a_mistake_is_one_line(qfix_command, lake, words, message):
    answer = qfix_command(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not Path("a.onnx").exists()


def test_a_run_without_a_checkpoint_has_nothing_to_export(qfix_command, lake):
    Path("begun").mkdir()
    shutil.copy(f"{LAKE}/spec.json", "begun")
    answer = qfix_command("export", "begun", "--onnx", "a.onnx")
    assert answer.code == 2
    assert "has no checkpoint yet" in answer.err


def test_a_package_that_is_missing_is_the_users_to_install(qfix_command, lake, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    answer = qfix_command("export", LAKE, "--onnx", "a.onnx")
    assert answer.code == 2
    assert "pip install 'qfix[onnx]'" in answer.err


def test_a_table_is_exported_without_jax(qfix_command, lake):
    program = (
        "import sys; from qfix.cli import main; "
        f"assert main(['export', {LAKE!r}, '--onnx', 'a.onnx']) == 0; print('jax' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.endswith("False\n"), answer.stderr
