"""Atari games as they are made by their ids, against Gymnasium's own wrappers put together by hand."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

import qfix
from qfix.assembly import env_for
from qfix.envs.make import find_spec, make_env, options_of
from qfix.errors import OptionError
from qfix.runs import RunSpec

pytestmark = pytest.mark.xdist_group("atari")

PONG = "ALE/Pong-v5"


@pytest.fixture(scope="module", autouse=True)
def games():
    """The games are registered while these tests run, and forgotten after: there are hundreds of them."""
    pytest.importorskip("ale_py", reason="Atari games come with the extra `atari`")
    pytest.importorskip("cv2", reason="Atari's pictures are resized by the extra `atari`")
    before = set(gymnasium.registry)
    find_spec(PONG)
    yield
    for added in set(gymnasium.registry) - before:
        del gymnasium.registry[added]
    for module in [name for name in sys.modules if name.partition(".")[0] == "ale_py"]:
        if module != "ale_py._ale_py":  # compiled: it cannot be loaded a second time
            del sys.modules[module]


def walk(env, seed, count=60):
    """Observations and rewards of an episode by a fixed line of actions, and what follows its end."""
    rng = np.random.default_rng(5)
    seen = [env.reset(seed=seed)[0]]
    for action in rng.integers(0, env.action_space.n, count):
        obs, reward, terminated, truncated, _ = env.step(int(action))
        seen += [obs, reward]
        if terminated or truncated:
            seen.append(env.reset()[0])
    return seen


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


def by_hand(game, **preprocessing):
    raw = gymnasium.make(game, frameskip=1)
    return FrameStackObservation(AtariPreprocessing(raw, **preprocessing), 4)


def test_a_game_is_what_the_usual_wrappers_make_of_it():
    env = make_env(PONG)
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.spec.id == PONG
    assert env.unwrapped.ale.getFloat("repeat_action_probability") == 0.25
    assert same(walk(env, 3), walk(by_hand(PONG, noop_max=0), 3))  # sticky: no no-ops
    assert same(walk(make_env(find_spec(PONG)), 3), walk(env, 3))  # what a worker is given


def test_without_sticky_actions_an_episode_begins_with_no_ops():
    old = walk(make_env("PongNoFrameskip-v4"), 3)
    assert same(old, walk(by_hand("PongNoFrameskip-v4"), 3))
    assert not same(old, walk(by_hand("PongNoFrameskip-v4", noop_max=0), 3))
    plain = make_env(PONG, {"repeat_action_probability": 0.0})
    assert same(walk(plain, 3), old)
    none = make_env(PONG, {"repeat_action_probability": 0.0, "noop_max": 0})
    assert same(walk(none, 3), walk(by_hand("PongNoFrameskip-v4", noop_max=0), 3))


def test_episodes_are_addressable():
    """ALE's own chance is drawn from the seed of the episode, whatever was played before."""
    one, other = make_env(PONG), make_env(PONG)
    expected = walk(one, 7)
    walk(other, 8)
    assert same(walk(other, 7), expected)
    assert not same(walk(other, 8), expected)


def test_options_reach_the_game_and_the_wrappers():
    options = {"frameskip": 2, "frame_stack": 3, "screen_size": 42, "mode": 1, "full_action_space": True}
    env = make_env(PONG, options | {"max_episode_steps": 5, "terminal_on_life_loss": True})
    assert env.observation_space.shape == (3, 42, 42)
    assert env.action_space.n == 18
    assert env.unwrapped._game_mode == 1
    env.reset(seed=0)
    ends = [env.step(0)[3] for _ in range(5)]  # of the agent, each of two frames
    assert ends == [False] * 4 + [True]
    assert env.unwrapped.ale.getEpisodeFrameNumber() == 11  # ALE counts from 1
    assert options_of(PONG).items() >= {"preprocessing": True, "frame_stack": 4, "frameskip": 4}.items()


def test_preprocessing_can_be_left_out():
    assert make_env(PONG, {"preprocessing": False}).observation_space.shape == (210, 160, 3)
    assert make_env(PONG, {"obs_type": "ram"}).observation_space.shape == (128,)
    made = gymnasium.make(PONG)
    assert make_env(made) is made
    wrapped = by_hand(PONG)
    assert make_env(wrapped.spec).observation_space == wrapped.observation_space
    assert make_env("Pong-v4").observation_space.shape == (210, 160, 3)  # it skips frames by chance


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frameskip": (2, 5)}, "'frameskip'.*preprocessing=False"),
        ({"frameskip": 0}, "'frameskip'"),
        ({"frame_stack": 0}, "'frame_stack'"),
        ({"obs_type": "ram", "screen_size": 42}, "'screen_size'.*no obs_type"),
        ({"preprocessing": False, "noop_max": 3}, "'noop_max'"),
        ({"frame_stacks": 4}, "Did you mean 'frame_stack'"),
        ({"screen_size": -1}, "screen_size"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        make_env(PONG, options)


def test_a_game_without_cv2_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(qfix.EnvironmentFault, match=r"pip install 'qfix\[atari\]'"):
        make_env(PONG)


def test_a_run_is_trained_kept_and_restored_in_the_middle_of_an_episode(tmp_path):
    options = {"network": "mlp", "hidden": (4,), "learning_starts": 20, "buffer_size": 40, "num_envs": 2}
    options |= {"batch_size": 8, "reward_clip": 1.0, "eval_episodes": 0, "epsilon": 0.5, "train_every": 1}
    qfix.train(PONG, "dqn", total_steps=70, seeds=1, out=tmp_path / "run", **options)
    run = qfix.load(tmp_path / "run")
    assert run.restored[1:] == [
        "seed 0: 2 environments restored in the middle of their episodes, 70 steps replayed"
    ]
    run.resume(80)  # frames that did not follow those in the memory would be refused
    kept = run.trainer.pack(run.state)
    assert kept["0.memory.frames"].shape == (2 * (20 + 3), 84 * 84)
    assert not kept["0.memory.ended"].any()
    spec = RunSpec.load(tmp_path / "run")
    assert spec.env == PONG
    assert spec.env_kwargs == {}
    shown = env_for(spec, render_mode="rgb_array")
    assert shown.observation_space == run.env.observation_space
    shown.reset(seed=0)
    assert shown.render().shape == (210, 160, 3)
