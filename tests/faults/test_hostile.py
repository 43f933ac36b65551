"""A stranger's folder gives qfix errors or a run, and touches nothing else. The campaign: benchmarks/faults.py."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qfix
from faults import hostile
from faults.hostile import CANARY, sign


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest") / "run"
    qfix.train("FrozenLake", "q_learning", total_steps=500, out=folder, metrics_every=50, eval_episodes=0)
    return folder


@pytest.fixture
def folder(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child for each case")
def test_mutated_folders_are_opened_or_refused(tmp_path):
    command = [sys.executable, hostile.__file__, tmp_path, "--quick", "--cases", "40", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 folders" in done.stdout


def test_the_watch_sees_what_it_is_there_for(tmp_path):
    """Each in a child of its own, as a hook cannot be taken off again."""
    script = """
import os, subprocess, sys
from pathlib import Path
from faults.hostile import Watch
within = Path(sys.argv[1])
watch = Watch(within / "run")
sys.addaudithook(watch)
{act}
print(len(watch.found))
"""
    for name in ("run", hostile.OUTSIDE):
        (tmp_path / name).mkdir()
    (tmp_path / hostile.OUTSIDE / "secret").write_text("secret")
    (tmp_path / "run" / "link").symlink_to(tmp_path / hostile.OUTSIDE / "secret")
    acts = {
        "(within / 'run' / 'own').write_text('x')": False,
        "import json.tool": False,
        "(within / 'outside' / 'secret').read_text()": True,
        "(within / 'run' / 'link').read_text()": True,
        "(within / 'beside').write_text('x')": True,
        "os.rename(within / 'run', within / 'away')": True,
        "subprocess.run(['true'])": True,
        f"__import__('importlib').util.find_spec('x')\ntry:\n    import {CANARY}\nexcept ImportError:\n    pass": True,
    }
    for act, is_seen in acts.items():
        done = subprocess.run(
            [sys.executable, "-c", "import importlib.util" + script.format(act=act), tmp_path],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parent.parent,
        )
        assert done.returncode == 0, done.stderr
        assert (int(done.stdout) > 0) == is_seen, act


# What the campaign has found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("episodes", None),
        ("episodes", {}),
        ("episodes", {"0": "many"}),
        ("episodes", {"0": -1}),
        ("episodes", {"0": 2**63}),
        ("episodes", {"0": 3, "1": 3}),
        ("seconds", "long"),
        ("seconds", -1.0),
        ("seconds", 10**400),
        ("first", 1.0),
        ("first", ["a", 1.0]),
        ("first", [1]),
        ("score", "good"),
        ("score", True),
    ],
)
def test_a_checkpoint_that_says_what_no_run_says_is_refused(folder, name, value):
    path = folder / "checkpoints" / "000000000500"
    content = json.loads((path / "manifest.json").read_text())
    content["info"][name] = value
    sign(path, content)
    with pytest.raises(qfix.FolderError):
        qfix.load(folder)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM events)",
        "UPDATE metrics SET value = 9e999",
        "UPDATE metrics SET value = -9e999",
        "UPDATE metrics SET value = NULL",
    ],
)
def test_numbers_without_end_in_the_store_do_no_harm(folder, statement):
    hostile.sqlite3.connect(folder / "metrics.db").executescript(statement).close()
    with contextlib.suppress(qfix.QfixError):
        assert qfix.load(folder).resume(600).steps == 600


def spec_with(folder, **changes):
    path = folder / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("env", [f"{CANARY}:Canary-v0", "os:FrozenLake-v1"])
def test_a_module_that_a_folder_names_is_not_imported(folder, env, tmp_path, monkeypatch):
    (tmp_path / f"{CANARY}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    spec_with(folder, env=env)
    with pytest.raises(qfix.OptionError, match="which imports a module"):
        qfix.load(folder)
    assert CANARY not in sys.modules


@pytest.mark.parametrize(
    "kwargs",
    [
        {"map_name": "/etc/passwd"},
        {"desc": ["../x"]},
        {"desc": {"a": [["C:\\x"]]}},
        {"desc": {"module:name": 1}},
        {"desc": ".."},
    ],
)
def test_an_option_that_may_be_a_path_is_not_believed(folder, kwargs):
    spec_with(folder, env_kwargs=kwargs)
    with pytest.raises(qfix.OptionError, match="a run's folder alone is not trusted with that"):
        qfix.load(folder)


def test_an_error_does_not_repeat_all_that_a_stranger_wrote(folder):
    config = json.loads((folder / "spec.json").read_text())["config"]
    spec_with(folder, config=config | {"gamma": list(range(100_000))})
    with pytest.raises(qfix.OptionError, match="cannot be loaded") as told:
        qfix.load(folder)
    assert len(str(told.value)) < 5_000
