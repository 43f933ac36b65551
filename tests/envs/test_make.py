"""Environments by id, and what is said when there is none."""

import inspect
import subprocess
import sys

import gymnasium
import pytest

from envs import broken_worlds
from qfix.envs import make
from qfix.envs.make import find_spec, make_env, options_of
from qfix.errors import EnvironmentFault, OptionError, UnknownNameError

BROKEN = f"{__package__}.broken_worlds"
assert broken_worlds.__name__ == BROKEN  # registered before a test takes back what it has registered


def test_ids_specs_and_environments():
    made = make_env("FrozenLake-v1", {"map_name": "8x8"})
    assert made.observation_space.n == 64
    assert make_env(made) is made
    assert make_env(made.spec).observation_space.n == 64
    assert make_env("qfix/Grid4x3-v0", {"slip": 0.2}).unwrapped.mdp.n_outcomes > 44
    assert make_env("qfix/Grid4x3-v0", {"max_episode_steps": 5}).spec.max_episode_steps == 5


def test_the_version_may_be_left_out():
    assert find_spec("FrozenLake").id == "FrozenLake-v1"
    assert find_spec("qfix/Maze4x4").id == "qfix/Maze4x4-v0"


def test_a_module_before_the_colon():
    assert make_env(f"{BROKEN}:tests/Fine-v0").reset(seed=0) == (0, {})
    with pytest.raises(EnvironmentFault, match="The module 'no_such_module' of the environment"):
        make_env("no_such_module:Thing-v0")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("FrozenLak-v1", "FrozenLake-v1"),
        ("frozenlake-v1", "FrozenLake-v1"),
        ("FrozenLake-v7", "FrozenLake-v1"),
        ("Grid4x3-v0", "qfix/Grid4x3-v0"),
        ("Grid4x3", "qfix/Grid4x3-v0"),
        ("qfix/WindyGird-v0", "qfix/WindyGrid-v0"),
    ],
)
def test_the_nearest_id_is_suggested(wrong, right):
    with pytest.raises(UnknownNameError, match=f"There is no environment '{wrong}'. Did you mean '{right}'"):
        make_env(wrong)


def test_nothing_near():
    with pytest.raises(UnknownNameError, match="There is no environment 'zzzzzzzzzzzzzzzzzz'") as error:
        make_env("zzzzzzzzzzzzzzzzzz")
    assert "qfix list" in str(error.value)


ATARI = ("ALE/Pong-v5", "ALE/Pong", "PongNoFrameskip-v4")


def without(monkeypatch, package):
    """As if a package were not installed, and none of its environments registered."""
    for known in [known for known, spec in gymnasium.registry.items() if package in str(spec.entry_point)]:
        monkeypatch.delitem(gymnasium.registry, known)
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize("game", ATARI)
def test_an_atari_game_without_its_package_says_what_to_install(monkeypatch, game):
    without(monkeypatch, "ale_py")
    with pytest.raises(UnknownNameError, match=rf"'{game}' yet.*pip install 'qfix\[atari\]'\."):
        find_spec(game)


@pytest.mark.parametrize("game", ATARI)
def test_an_atari_game_needs_no_prefix(monkeypatch, game):
    """The package is imported when one of its ids is asked for."""
    without(monkeypatch, "ale_py")
    monkeypatch.setattr(make, "_ATARI", f"{__package__}.arcade")
    before = set(gymnasium.registry)
    try:
        assert find_spec(game).id == ("ALE/Pong-v5" if "/" in game else game)
        assert make_env(game).reset(seed=0) == (0, {})
        with pytest.raises(UnknownNameError, match=r"Did you mean 'ALE/Pong-v5'"):
            find_spec("ALE/Pomg-v5")
    finally:
        del sys.modules[f"{__package__}.arcade"]
        for added in set(gymnasium.registry) - before:
            del gymnasium.registry[added]


def test_the_real_atari_games():
    pytest.importorskip("ale_py", reason="Atari games come with the extra `atari`")
    pytest.importorskip("cv2", reason="Atari's pictures are resized by the extra `atari`")
    # in a process of its own: it registers hundreds of environments
    program = "from qfix.envs.make import make_env; print(make_env('ALE/Pong-v5').observation_space.shape)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "(4, 84, 84)", answer.stderr


@pytest.mark.parametrize(
    ("env_id", "module", "package"),
    [
        ("LunarLander-v3", "Box2D", "gymnasium[box2d]"),
        ("HalfCheetah-v5", "mujoco", "gymnasium[mujoco]"),
        ("phys2d/CartPole-v1", "flax", "gymnasium[jax]"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"render_mode": "rgb_array"}], ids=["plain", "with options"])
def test_an_environment_without_its_package_says_what_to_install(
    monkeypatch, env_id, module, package, options
):
    family = str(find_spec(env_id).entry_point).rpartition(".")[0]
    for name in [name for name in sys.modules if name.startswith(family)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFault) as caught:
        make_env(env_id, options)
    assert str(caught.value) == (
        f"The environment '{env_id}' needs a package that is not installed. Install it: pip install '{package}'."
    )


def test_a_missing_package_is_named():
    with pytest.raises(EnvironmentFault, match=r"needs a package that is not installed.*box2d"):
        make_env(f"{BROKEN}:tests/NeedsPackage-v0")


def test_unknown_options_suggest_the_nearest():
    with pytest.raises(OptionError, match=r"'FrozenLake-v1' has no option 'map_nam'. .* 'map_name'"):
        make_env("FrozenLake-v1", {"map_nam": "8x8"})
    with pytest.raises(OptionError, match=r"'qfix/Grid4x3-v0' has no option 'slipp'. .* 'slip'") as error:
        make_env("qfix/Grid4x3-v0", {"slipp": 0.1})
    assert "step_reward" in str(error.value)
    with pytest.raises(OptionError, match="has no option 'world'"):
        make_env("qfix/Grid4x3-v0", {"world": "Pit4x4"})


def test_options_that_are_refused():
    with pytest.raises(OptionError, match=r"cannot be made with .*9x9"):
        make_env("FrozenLake-v1", {"map_name": "9x9"})
    with pytest.raises(OptionError, match="'slip' parameter of Grid4x3 must be in"):
        make_env("qfix/Grid4x3-v0", {"slip": 3.0})
    with pytest.raises(OptionError, match="needs the id of an environment"):
        make_env(gymnasium.make("FrozenLake-v1"), {"map_name": "8x8"})


def test_an_environment_that_falls_when_made():
    with pytest.raises(EnvironmentFault, match=r"cannot be made. It says: RuntimeError: it fell"):
        make_env(f"{BROKEN}:tests/Falls-v0")


def test_options_and_defaults():
    assert options_of("qfix/Grid4x3-v0") == {
        "slip": 0.0,
        "step_reward": 0.0,
        "gamma": 0.9,
        "render_mode": None,
    }
    lake = options_of("FrozenLake-v1")
    assert lake["map_name"] == "4x4"
    assert inspect.Parameter.empty not in lake.values()
