"""A replayed episode is the recorded one or an error; a played one is what an evaluation samples; films are whole."""

import contextlib
import io
import os
import re
import shutil
import sqlite3
import sys
import textwrap
import threading

import gymnasium
import numpy as np
import pytest
from PIL import Image, ImageSequence

import qfix
from qfix.envs import drawing
from qfix.envs.layouts import layout_of
from qfix.envs.make import make_env
from qfix.errors import EnvironmentFault, FolderError, OptionError
from qfix.evaluation import evaluate_by_playing
from qfix.playback import play, replay, show, texts
from qfix.playback.scene import plain
from qfix.playback.video import check_film, find_ffmpeg, write_film

CART = {"tile_range": (-2.4, 2.4, -3.0, 3.0, -0.21, 0.21, -3.0, 3.0)}
RUNS = {
    "lake": ("FrozenLake-v1", "q_learning", {"total_steps": 20_000, "seeds": [4, 7, 9]}),
    "grid": ("qfix/Grid4x3-v0", "sarsa", {"total_steps": 4_000, "env_kwargs": {"slip": 0.2}}),
    "taxi": ("Taxi-v4", "q_learning", {"total_steps": 20_000}),
    "cart": ("CartPole-v1", "sarsa_lambda", {"total_steps": 1_500, "seeds": 2, **CART}),
    "cards": ("Blackjack-v1", "monte_carlo", {"total_steps": 1_500, "seeds": 2}),
    "live": ("FrozenLake-v1", "q_learning", {"total_steps": 1_500, "driver": "live"}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each run, trained when it is first asked for and kept in a folder."""
    made = {}

    class Runs:
        def __getitem__(self, name):
            if name not in made:
                env, algorithm, options = RUNS[name]
                out = tmp_path_factory.mktemp("runs") / name
                made[name] = qfix.train(env, algorithm, out=out, eval_episodes=0, **options)
            return made[name]

    return Runs()


class Walk(gymnasium.Env):
    """A walk along a line that a coin disturbs; renders as text and as pixels of an odd size."""

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Discrete(6, start=2)
    action_space = gymnasium.spaces.Discrete(2, start=1)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 4
        return self.at, {}

    def step(self, action):
        move = 1 if action == 2 else -1
        self.at = int(np.clip(self.at + move * (1 if self.np_random.random() < 0.8 else -1), 2, 7))
        return self.at, float(self.at == 7), self.at in (2, 7), False, {}

    def render(self):
        if self.render_mode == "ansi":
            return "." * (self.at - 2) + "x\n" + "------\n"
        image = np.zeros((31, 45, 3), np.uint8)
        image[:, 5 * self.at] = 255
        return image


class Sealed(Walk):
    """Cannot be copied, as a simulator may not."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Moody(Walk):
    """Does not obey its seed: every one that is made ends episodes differently."""

    made = 0

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        type(self).made += 1
        self.rng = np.random.default_rng(type(self).made)

    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, bool(self.rng.random() < 0.3), info


def walked(tmp_path, env=Walk, **options):
    return qfix.train(env, "q_learning", total_steps=600, out=tmp_path / "walk", eval_episodes=0, **options)


# Replaying


@pytest.mark.parametrize("name", RUNS)
def test_episodes_come_out_as_they_were_recorded(runs, name):
    run = runs[name]
    for i, seed in enumerate(run.spec.seeds):
        returns, lengths = run.episodes.returns[i], run.episodes.lengths[i]
        for episode in {0, 1, len(returns) // 2, len(returns) - 1}:
            for source in (run, run.folder):
                again = replay(source, seed, episode)
                assert (again.seed, again.episode) == (seed, episode)
                assert again.total == returns[episode]
                assert len(again.steps) == lengths[episode]
                assert again.steps[0].number == lengths[:episode].sum()
                assert again.steps[-1].terminated or again.steps[-1].truncated


@pytest.mark.parametrize("name", ["lake", "grid", "live"])
def test_the_values_of_an_episode_are_those_of_the_moment(runs, name):
    """Against the snapshots, which training itself has kept: after 1, 50 and 500 episodes."""
    run = runs[name]
    assert len(run.snapshots) >= 2
    for shot in run.snapshots:
        first = replay(run.folder, episode=shot.episode).steps[0]
        np.testing.assert_array_equal(first.values, shot.action_values[first.observation])
        assert first.number == shot.step


def test_the_first_seed_and_the_last_episode_are_what_is_replayed_unless_another_is_asked_for(runs):
    run = runs["lake"]
    again = replay(run)
    assert (again.seed, again.episode) == (4, len(run.episodes.returns[0]) - 1)
    assert repr(again).startswith(f"Replay(FrozenLake-v1, seed 4, episode {again.episode}: ")


def test_an_episode_is_replayed_when_all_checkpoints_are_lost(runs, tmp_path):
    folder = shutil.copytree(runs["cards"].folder, tmp_path / "copy")
    shutil.rmtree(folder / "checkpoints")
    returns = runs["cards"].episodes.returns[1]
    assert [replay(folder, 1, k).total for k in (0, 40)] == returns[[0, 40]].tolist()


@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_episodes_of_a_run_that_was_resumed_and_extended_are_replayed(driver, tmp_path):
    options = {"total_steps": 700, "seeds": [3, 5], "driver": driver, "eval_episodes": 0}
    qfix.train("qfix/Grid4x3-v0", "monte_carlo", out=tmp_path / "run", **options)
    run = qfix.resume(tmp_path / "run", 1_500)
    for episode in range(len(run.episodes.returns[1]) - 40, len(run.episodes.returns[1])):
        assert replay(tmp_path / "run", 5, episode).total == run.episodes.returns[1][episode]


def test_features_are_taken_from_a_checkpoint(tmp_path):
    features = np.random.default_rng(0).normal(size=(16, 5))
    options = {"total_steps": 2_000, "alpha": 0.01, "features": features, "eval_episodes": 0}
    run = qfix.train("FrozenLake-v1", "sarsa", out=tmp_path / "run", **options)
    assert replay(tmp_path / "run").steps[0].values.tolist() == replay(run).steps[0].values.tolist()


@pytest.mark.parametrize("env", [Walk, Sealed])
def test_a_run_in_memory_goes_on_as_if_nothing_had_been_replayed(env):
    """Also where the environment is the only one there is."""
    watched, other = (qfix.train(env(), "sarsa", total_steps=501, seeds=1) for _ in range(2))
    assert replay(watched, episode=3).total == watched.episodes.returns[0][3]
    play(watched, file=io.StringIO())
    for run in (watched, other):
        run.resume(1_000)
    np.testing.assert_array_equal(watched.q, other.q)
    np.testing.assert_array_equal(watched.episodes.returns[0], other.episodes.returns[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"seed": 5},
            r"'seed' parameter of replay must be one of \[4, 7, 9\] of the run. Got 5. Use seed=4.",
        ),
        ({"seed": True}, r"'seed' parameter of replay must be one of \[4, 7, 9\]"),
        ({"episode": -1}, r"'episode' parameter of replay must be in 0..\d+: seed 4 has finished so many."),
        (
            {"seed": 7, "episode": 10**9},
            r"must be in 0..\d+: seed 7 has finished so many. Got 1000000000. Use",
        ),
        ({"episode": 2.5}, r"'episode' parameter of replay must be in 0..\d+"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(runs, options, said):
    for source in (runs["lake"], runs["lake"].folder):
        with pytest.raises(OptionError, match=said):
            replay(source, **options)


def test_a_seed_without_a_finished_episode_is_told(tmp_path):
    qfix.train("qfix/Grid4x3-v0", total_steps=2, out=tmp_path / "run", eval_episodes=0)
    with pytest.raises(OptionError, match="must be finished, and seed 0 has finished none"):
        replay(tmp_path / "run")
    with pytest.raises(FolderError, match="There is no folder"):
        replay(tmp_path / "nothing")


def test_a_folder_does_not_say_how_an_object_is_made(tmp_path):
    run = walked(tmp_path)
    for function in (replay, play):
        told = r"'env' parameter of (replay|load) must be given.*passed as an object"
        with pytest.raises(OptionError, match=told):
            function(tmp_path / "walk")
    assert replay(tmp_path / "walk", episode=2, env=Walk).total == run.episodes.returns[0][2]


def tampered(run, folder, k, change):
    """The folder of a run with another return or another length of episode k of its first seed."""
    run.save(folder)
    with contextlib.closing(sqlite3.connect(folder / "metrics.db")) as link:
        query = "SELECT rowid, returns, lengths, returns_type, lengths_type FROM episodes WHERE seed = 4"
        row, returns, lengths, *kinds = link.execute(query).fetchone()
        assert kinds == ["i1", "u1"]
        returns, lengths = bytearray(returns), bytearray(lengths)
        if change == "return":
            returns[k] = 1 - returns[k]
        else:
            lengths[k] += 1
            lengths[k + 1] -= 1
        values = (bytes(returns), bytes(lengths), row)
        link.execute("UPDATE episodes SET returns = ?, lengths = ? WHERE rowid = ?", values)
        link.commit()
    return folder


@pytest.mark.parametrize("change", ["return", "length"])
@pytest.mark.parametrize("k", [0, 11, 30])
def test_a_record_that_is_not_of_this_training_is_refused(runs, tmp_path, k, change):
    """One number changed, of the episode or of one before it."""
    folder = tampered(runs["lake"], tmp_path / "run", k, change)
    with pytest.raises(FolderError, match=f"Episode {k} of seed 4 does not come out as it was recorded: "):
        replay(folder, 4, 30)
    if k == 30:
        assert replay(folder, 4, 29).total == runs["lake"].episodes.returns[0][29]


def test_other_versions_are_told(runs, tmp_path):
    folder = tampered(runs["lake"], tmp_path / "run", 2, "return")
    with pytest.raises(FolderError, match=r"the environment or this version of qfix has changed since"):
        replay(folder)
    spec = (folder / "spec.json").read_text()
    (folder / "spec.json").write_text(re.sub(r'"numpy": "[^"]+"', '"numpy": "1.0"', spec))
    with pytest.raises(FolderError, match=r"It was made with other versions \(numpy 1\.0"):
        replay(folder)


def test_an_environment_that_does_not_repeat_itself_is_told(tmp_path):
    walked(tmp_path, Moody)
    with pytest.raises(FolderError, match=r"does not come out as it was recorded: .*reset\(seed=...\)"):
        replay(tmp_path / "walk", env=Moody)


def test_an_episode_that_was_given_up_on_the_way_is_told(tmp_path):
    """A fault in the middle of an episode; the environment is mended, the run resumed, and the episode begun again."""

    class Falls(Walk):
        sound = False
        steps = 0

        def step(self, action):
            Falls.steps += 1
            if Falls.steps == 398 and not Falls.sound:
                raise RuntimeError("fell over")
            return super().step(action)

    with pytest.raises(EnvironmentFault, match="fell over") as fault:
        walked(tmp_path, Falls)
    before = len(fault.value.run.episodes.returns[0])
    assert fault.value.run.episodes.lengths[0].sum() < 397  # it was in the middle
    Falls.sound = True
    run = qfix.resume(tmp_path / "walk", env=Falls)
    assert len(run.episodes.returns[0]) > before + 1
    for episode in range(before):
        assert replay(tmp_path / "walk", episode=episode, env=Falls).total == run.episodes.returns[0][episode]
    with pytest.raises(FolderError, match="an episode was given up on the way, as after a fault"):
        replay(tmp_path / "walk", env=Falls)


# On the terminal


def cells_in(pieces):
    """Row and column of the brackets in each picture."""
    found = []
    for piece in pieces:
        rows = piece.split("\n")[:-1]
        at = [(r, re.search(r"\[(.+?)\]", row).start() // 3) for r, row in enumerate(rows) if "[" in row]
        if rows:
            assert len(at) == 1
            found += at
    return found


@pytest.mark.parametrize("name", ["lake", "live"])
def test_a_grid_is_drawn_at_every_step(runs, name):
    again = replay(runs[name])
    title, *pieces = texts(again)
    assert title == (
        f"q_learning on FrozenLake-v1, seed {again.seed}, episode {again.episode}: {len(again.steps)} steps, "
        f"return {again.total:g}"
    )
    states = [again.steps[0].observation, *(step.next_observation for step in again.steps)]
    assert cells_in(pieces) == [divmod(int(s), 4) for s in states]
    words = ("left", "down", "right", "up")
    for i, (piece, step) in enumerate(zip(pieces[1:], again.steps, strict=True)):
        line = piece.split("\n")[-1]
        assert line.startswith(f"{i + 1}: {words[step.action]}, reward {step.reward:g}, return ")
        assert (", exploratory" in line) == step.explored
    assert pieces[-1].endswith(f"return {again.total:g}{pieces[-1].partition(f'return {again.total:g}')[2]}")
    assert pieces[-1].endswith(("terminated", "truncated"))


def test_taxi_is_drawn_as_it_draws_itself(runs):
    again = replay(runs["taxi"])
    world = gymnasium.make("Taxi-v4").unwrapped
    _, *pieces = texts(again)
    assert len(pieces) == len(again.steps) + 1
    for piece, step in zip(pieces, again.steps):
        row, column, *_ = world.decode(step.observation)
        line = piece.split("\n")[1 + row]
        before = re.split(r"\x1b\[4[23]m", line)  # the taxi is highlighted
        assert len(re.sub(r"\x1b\[[0-9;]*m", "", before[0])) == 1 + 2 * column


@pytest.mark.parametrize("name", ["cart", "cards"])
def test_steps_without_a_picture_are_listed(runs, name):
    again = replay(runs[name])
    out = io.StringIO()
    show(again, file=out)
    _, *lines = out.getvalue().splitlines()
    assert len(lines) == len(again.steps)
    total = 0.0
    for i, (line, step) in enumerate(zip(lines, again.steps)):
        total += step.reward
        start = f"{i + 1}: at {plain(step.observation)} action {step.action}, reward {step.reward:g}, "
        assert line.startswith(f"{start}return {total:g}, value {step.values[step.action]:.4g}")


def test_a_live_environment_that_renders_text_is_stepped_again(tmp_path):
    walked(tmp_path)
    again = replay(tmp_path / "walk", env=Walk, episode=30)
    _, *pieces = texts(again, lambda: Walk("ansi"))
    states = [again.steps[0].observation, *(step.next_observation for step in again.steps)]
    assert [piece.split("\n")[0] for piece in pieces] == ["." * (s - 2) + "x" for s in states]
    value = again.steps[0].values[again.steps[0].action - 1]
    assert f"1: action {again.steps[0].action}, reward 0, return 0, value {value:.4g}" in pieces[1]
    _, *lines = texts(again)
    assert lines[0].startswith("1: at 4 action ")

    class Other(Walk):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, reward + 1.0, *rest

    with pytest.raises(EnvironmentFault, match="has not repeated episode 30 of seed 0 to be drawn: step 1"):
        list(texts(again, lambda: Other("ansi")))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_with_a_pause_a_terminal_shows_pictures_in_one_place(runs):
    again = replay(runs["lake"])
    still, moving = Terminal(), Terminal()
    show(again, file=still)
    show(again, file=moving, pause_seconds=1e-6)
    up = "\x1b[5F\x1b[J"  # four rows of the lake and a line
    assert moving.getvalue().count(up) == len(again.steps)
    assert moving.getvalue().replace(up, "") == still.getvalue()
    listed = Terminal()
    show(replay(runs["cart"]), file=listed, pause_seconds=1e-6)
    assert "\x1b" not in listed.getvalue()


# Playing


@pytest.mark.parametrize("name", ["cart", "cards", "live", "grid"])
@pytest.mark.parametrize("policy", ["greedy", "exploratory"])
def test_what_is_played_is_what_an_evaluation_samples(runs, name, policy):
    run = runs[name]
    seed = run.spec.seeds[-1]
    acting = run.policy(seed, exploratory=policy == "exploratory")
    env = make_env(run.spec.env, run.spec.env_kwargs)
    expected = evaluate_by_playing(env, [acting], 4, 3, policy).samples[0]
    for source in (run, run.folder):
        played = play(source, seed, 4, policy, eval_seed=3, file=io.StringIO())
        assert played.returns == expected.tolist()
        assert played.path is None
        assert len(played.lengths) == 4


class Gate(Walk):
    """One action of three is allowed at each place; the others are an error."""

    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return observation, {"action_mask": self.allowed()}

    def allowed(self):
        return np.arange(3) == self.at % 3

    def step(self, action):
        assert self.allowed()[action]
        observation, reward, terminated, truncated, _ = super().step(2)
        return observation, reward, terminated, truncated, {"action_mask": self.allowed()}


@pytest.mark.parametrize("policy", ["greedy", "exploratory"])
def test_what_is_played_keeps_to_allowed_actions(policy):
    run = qfix.train(Gate, "dqn", total_steps=50, hidden=(4,), learning_starts=10, eval_episodes=0)
    expected = evaluate_by_playing(Gate(), [run.policy(exploratory=policy != "greedy")], 4, 3, policy).samples
    assert (
        play(run, episodes=4, policy=policy, eval_seed=3, file=io.StringIO()).returns == expected[0].tolist()
    )


def test_a_played_grid_is_drawn_and_a_played_cart_is_listed(runs):
    out = io.StringIO()
    played = play(runs["grid"], episodes=2, file=out)
    text = out.getvalue()
    assert text.count("[") == sum(played.lengths) + 2
    assert text.startswith("sarsa on qfix/Grid4x3-v0, episode 1 of 2\n")
    assert text.endswith(f"return {played.returns[1]:g} after {played.lengths[1]} steps\n")
    out = io.StringIO()
    played = play(runs["cart"].folder, file=out)
    assert len(out.getvalue().splitlines()) == played.lengths[0] + 2
    out = io.StringIO()
    play(runs["taxi"], file=out)
    assert "+---------+" in out.getvalue()


def test_a_policy_that_never_ends_is_cut(monkeypatch, tmp_path):
    monkeypatch.setattr("qfix.playback.playing.LONGEST_EPISODE", 20)

    class Endless(Walk):
        def step(self, action):
            observation, reward, _, _, info = super().step(action)
            return observation, reward, False, False, info

    run = qfix.train(Endless(), "q_learning", total_steps=100)
    assert play(run, episodes=2, file=io.StringIO()).lengths == [20, 20]


def test_an_environment_that_fails_while_it_is_played_is_named(runs):
    class Falls(Walk):
        def step(self, action):
            raise RuntimeError("fell over")

    run = qfix.train(Walk(), "q_learning", total_steps=100)
    with pytest.raises(
        EnvironmentFault, match=r"failed while it was played \(seed 0, episode 0, step 0\).*fell"
    ):
        play(run, env=Falls(), file=io.StringIO())
    with pytest.raises(OptionError, match="'env' parameter of play must be 'CartPole-v1'"):
        play(runs["cart"], env=gymnasium.make("Blackjack-v1"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 0}, "'episodes' parameter of play must be at least 1"),
        ({"policy": "best"}, "'policy' parameter of play must be 'greedy' or 'exploratory'"),
        ({"eval_seed": -1}, "'eval_seed' parameter of play must be a whole number"),
        ({"seed": 99}, "'seed' parameter of Run must be one of"),
        ({"video": "film.avi"}, r"'video' parameter of play must end in \.gif or \.mp4. Got 'film.avi'"),
        ({"video": "no/such/film.gif"}, "'video' parameter of play must be a file in a folder that exists"),
    ],
)
def test_options_are_checked_before_anything_is_done(runs, options, said):
    with pytest.raises(OptionError, match=said):
        play(runs["lake"], **options)


# Films


@pytest.fixture
def no_pygame(monkeypatch):
    """As on a machine without it."""
    monkeypatch.setitem(sys.modules, "pygame", None)


def frames_of(path):
    with Image.open(path) as film:
        return [
            (np.asarray(frame.convert("RGB")), frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]


@pytest.mark.parametrize("name", ["grid", "lake"])
def test_a_gif_shows_every_step(runs, name, tmp_path, no_pygame):
    """A grid is drawn by our own hand where the environment cannot, four steps a second, and its last picture stays."""
    run, path = runs[name], tmp_path / "film.gif"
    path.write_bytes(b"what was there before")
    played = play(run.folder, video=path)
    assert played.path == path
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]
    frames = frames_of(path)
    assert sum(duration for _, duration in frames) == 250 * (played.lengths[0] + 1) + 1_000
    layout = layout_of(run.env)
    start = int(np.flatnonzero(run.model.start)[0])
    assert np.abs(frames[0][0].astype(int) - drawing.image(layout, start)).max() < 12  # 256 colours
    assert len({frame.tobytes() for frame, _ in frames}) > 2


def test_an_environment_draws_its_own_film(tmp_path):
    run = walked(tmp_path)
    played = play(run, env=lambda: Walk("rgb_array"), episodes=2, video=tmp_path / "film.gif")
    frames = frames_of(tmp_path / "film.gif")
    assert frames[0][0].shape == (31, 45, 3)
    assert np.flatnonzero(frames[0][0][0, :, 0]).tolist() == [20]
    assert sum(duration for _, duration in frames) == 100 * (sum(played.lengths) + 2) + 2_000
    with pytest.raises(OptionError, match=r"must be made with render_mode='rgb_array' for a film.*Give env="):
        play(run, video=tmp_path / "film.gif")


def test_what_cannot_be_filmed_says_why(runs, tmp_path, no_pygame):
    for name, extra in (("cart", "classic-control"), ("cards", "toy-text"), ("taxi", "toy-text")):
        with pytest.raises(EnvironmentFault, match=rf"not installed. Install 'gymnasium\[{extra}\]', or"):
            play(runs[name], video=tmp_path / "film.gif")

    class Odd(Walk):
        def render(self):
            return self.picture()

    run = qfix.train(Walk(), "q_learning", total_steps=100)
    rng = np.random.default_rng(0)
    for picture, said in (
        (lambda: None, r"must render \(H, W, 3\) uint8 for a film. Got NoneType"),
        (lambda: np.zeros((4, 4)), r"must render .* Got float64 \(4, 4\)"),
        (lambda: 1 / 0, "cannot be drawn: it raised ZeroDivisionError"),
        (lambda: np.zeros((rng.integers(1, 99), 8, 3), np.uint8), "must be of one size"),
    ):
        env = Odd("rgb_array")
        env.picture = picture
        with pytest.raises(EnvironmentFault, match=said):
            play(run, env=env, video=tmp_path / "film.gif")

    class Blind(Walk):
        metadata = {"render_modes": []}

    with pytest.raises(OptionError, match=r"'video' parameter of play needs pictures, and '.*' draws none"):
        play(run, env=Blind(), video=tmp_path / "film.gif")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_film_leaves_the_old_one(tmp_path):
    path = tmp_path / "film.gif"
    path.write_bytes(b"the old one")

    def pictures():
        yield np.zeros((8, 8, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(path, pictures(), 4.0)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


PICTURES = [np.full((31, 45, 3), 10 * k, np.uint8) for k in range(6)]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A function that puts a program called ffmpeg, of some lines of Python, into the only folder of PATH."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(lines):
        program = folder / "ffmpeg"
        program.write_text(f"#!{sys.executable}\nimport sys\n{textwrap.dedent(lines)}")
        program.chmod(0o755)

    return install


def test_an_mp4_needs_ffmpeg_and_says_so(stand_in, runs, tmp_path):
    with pytest.raises(OptionError, match=r"can be an \.mp4 only where ffmpeg is.*qfix\[video\].*\.gif"):
        play(runs["lake"], video=tmp_path / "film.mp4")


def test_ffmpeg_is_given_every_pixel(stand_in, tmp_path):
    stand_in("open(sys.argv[-1], 'wb').write(' '.join(sys.argv).encode() + b'|' + sys.stdin.buffer.read())")
    path = check_film(tmp_path / "film.mp4")
    write_film(path, PICTURES, 12.5)
    command, _, pixels = path.read_bytes().partition(b"|")
    assert pixels == b"".join(picture.tobytes() for picture in PICTURES)
    assert b"-pix_fmt rgb24 -s 45x31 -r 12.5 -i -" in command
    assert {p.name for p in tmp_path.iterdir()} == {"film.mp4", "bin"}


@pytest.mark.parametrize("before", ["", "sys.stdin.buffer.read()\n"])
def test_what_ffmpeg_refuses_is_said_in_its_words(stand_in, tmp_path, before):
    stand_in(before + "sys.exit('Unknown encoder libx264')")
    many = (np.zeros((310, 450, 3), np.uint8) for _ in range(20))  # more than a pipe takes
    with pytest.raises(FolderError, match=r"Cannot write .*mp4: ffmpeg says 'Unknown encoder libx264'"):
        write_film(tmp_path / "film.mp4", many, 4.0)
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


def test_ffmpeg_is_ended_with_the_film(stand_in, tmp_path):
    stand_in("sys.stdin.buffer.read(1); import time; time.sleep(600)")

    def pictures():
        yield PICTURES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "film.mp4", pictures(), 4.0)
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


@pytest.mark.skipif(find_ffmpeg() is None, reason="needs ffmpeg, which qfix[video] brings")
def test_an_mp4_can_be_watched(tmp_path):
    """Of an odd size, which the form does not allow; decoded again, it has every picture."""
    import subprocess

    path = tmp_path / "film.mp4"
    write_film(path, PICTURES, 10.0)
    command = [
        find_ffmpeg(),
        "-loglevel",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    decoded = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    decoded = decoded.reshape(-1, 32, 46, 3)
    assert len(decoded) == len(PICTURES)
    for seen, picture in zip(decoded, PICTURES):
        assert np.abs(seen[:28, :42].astype(int) - picture[0, 0, 0]).max() <= 6


# Stages


@pytest.mark.parametrize("policy", ["greedy", "exploratory"])
def test_a_stage_is_what_a_shorter_training_learns(policy):
    options = {"total_steps": 6_400, "seeds": [3, 5], "epsilon": 0.3}
    run = qfix.train("qfix/Grid4x3-v0", "q_learning", **options)
    before = run.q.copy()
    played = play(run, seed=5, stages=4, episodes=2, policy=policy, file=io.StringIO())
    returns = []
    for steps in (400, 1_600, 6_400):
        short = qfix.train("qfix/Grid4x3-v0", "q_learning", **options | {"total_steps": steps})
        returns += play(short, seed=5, episodes=2, policy=policy, file=io.StringIO()).returns
    assert played.returns[2:] == returns
    assert np.array_equal(run.q, before)


def test_a_network_is_shown_in_stages_and_says_when():
    run = qfix.train("qfix/Lane-v0", "ppo", total_steps=2_048, hidden=8)
    out = io.StringIO()
    played = play(run, stages=2, file=out)
    assert "ppo on qfix/Lane-v0, after 0 steps of training, episode 1 of 1" in out.getvalue()
    assert "ppo on qfix/Lane-v0, after 2,048 steps of training, episode 1 of 1" in out.getvalue()
    assert played.lengths[1] == play(run, file=io.StringIO()).lengths[0]


def test_a_film_of_stages_has_a_line_above_and_leaves_out_the_middle(tmp_path):
    run = qfix.train(Walk, "q_learning", total_steps=64)
    plain_film, stages = tmp_path / "plain.gif", tmp_path / "stages.gif"
    play(run, env=lambda: Walk("rgb_array"), video=plain_film)
    play(run, env=lambda: Walk("rgb_array"), video=stages, stages=3)
    with Image.open(plain_film) as one, Image.open(stages) as three:
        assert three.size[0] == one.size[0]
        assert three.size[1] == one.size[1] + 14


class Screen(Walk):
    """A quick one that is wide, and looks at what SDL would."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    drivers: set = set()

    def step(self, action):
        return self.at, 0.0, False, False, {}

    def render(self):
        self.drivers.add(os.environ.get("SDL_VIDEODRIVER"))
        image = np.zeros((301, 500, 3), np.uint8)
        image[self.np_random.integers(301)] = 255
        return image


def test_a_gif_of_stages_is_small_and_says_what_it_is_at(tmp_path, monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    run = qfix.train(Walk, "q_learning", total_steps=64)
    said, stages = [], tmp_path / "stages.gif"

    def make():
        return gymnasium.wrappers.TimeLimit(Screen("rgb_array"), 100)

    play(run, env=make, video=stages, stages=3, tell=said.append)
    with Image.open(stages) as film:
        assert film.size == (250, 150 + 28)
        seconds = 0
        for k in range(film.n_frames):
            film.seek(k)
            seconds += film.info["duration"] / 1_000
        assert film.n_frames == 3 * 35  # the start, 33 of 99 steps, the last one
        assert seconds == pytest.approx(3 * (35 + 10) / 10)
    assert said[1:] == [f"drawing stage {k} of 3" for k in (1, 2, 3)]
    assert Screen.drivers == {"dummy"}
    assert "SDL_VIDEODRIVER" not in os.environ


def test_stages_that_are_none_are_refused(runs):
    with pytest.raises(
        OptionError, match=r"'stages' parameter of play must be a whole number in 1\.\.20. Got 0"
    ):
        play(runs["grid"], stages=0)
