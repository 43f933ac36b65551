"""Worlds are there whichever is imported first, and the import of the house costs no Gymnasium."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from qfix.envs import register_worlds, register_worlds_with_gymnasium
from qfix.envs.catalogue import CATALOGUE, definition_of, entry
from qfix.envs.make import options_of
from qfix.errors import UnknownNameError

WIRE = "from qfix.envs import register_worlds_with_gymnasium; register_worlds_with_gymnasium()"


def run(*lines):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "order",
    [("import gymnasium", WIRE), (WIRE, "import gymnasium"), (WIRE, WIRE, "import gymnasium.envs.toy_text")],
)
def test_worlds_are_there_in_any_order_of_imports(order):
    done = run(*order, "import gymnasium", "print(gymnasium.make('qfix/Grid4x3-v0').reset(seed=0)[0])")
    assert done.stdout == "7\n", done.stderr


def test_waiting_for_gymnasium_imports_nothing_heavy():
    done = run(
        WIRE, "import sys; print([m for m in ('gymnasium', 'numba', 'scipy', 'numpy') if m in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr


def test_gymnasium_keeps_its_own_loader():
    done = run(
        WIRE,
        "import gymnasium, sys, pkgutil",
        "print(type(gymnasium.__loader__).__name__, gymnasium.__spec__.loader is gymnasium.__loader__)",
        "print([f for f in sys.meta_path if type(f).__module__.startswith('qfix')])",
        "print(pkgutil.get_data('gymnasium', '__init__.py') is not None)",
    )
    assert done.stdout == "SourceFileLoader True\n[]\nTrue\n", done.stderr


def test_registering_again_changes_nothing():
    before = dict(gymnasium.registry)
    register_worlds()
    register_worlds_with_gymnasium()
    assert dict(gymnasium.registry) == before


def test_the_catalogue_is_complete():
    assert len({row.id for row in CATALOGUE}) == len(CATALOGUE)
    for row in CATALOGUE:
        assert row.id in gymnasium.registry
        assert callable(definition_of(row))
        assert definition_of(row).__doc__
        assert len(row.summary) <= 78
        assert entry(row.id) is entry(row.name) is row
    with pytest.raises(UnknownNameError, match="Did you mean 'Warehouse'"):
        entry("Werehouse")


def test_the_window_of_gymnasium_is_offered_around_ours():
    assert "rgb_array" in gymnasium.make("qfix/Grid4x3-v0").metadata["render_modes"]
    from qfix.envs.make import world_env

    assert "rgb_array" in world_env.metadata["render_modes"]


def test_the_page_of_worlds_has_them_all():
    page = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text()
    for row in CATALOGUE:
        line = next(line for line in page.splitlines() if line.startswith(f"| `{row.name}` |"))
        assert f"| {row.max_episode_steps:,} |" in line
        options = options_of(row.id)
        assert set(re.findall(r"`(\w+)=", line.split("|")[2])) == set(options) - {"gamma", "render_mode"}
