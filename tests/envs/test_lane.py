"""Lane: who cannot drive leaves the road at once, a simple controller stays, and smooth driving pays best."""

import math
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from qfix.envs.drawing import AGENT, HOLE
from qfix.envs.lane import SPEED_WAVE, STEERING, WAVES, WHEELBASE, LaneRules, LaneState
from qfix.envs.lane_picture import ASPHALT, GRASS, GRASS_DARK, TRAIL
from qfix.errors import OptionError

SECOND = 20  # steps


def lane(**options):
    return gymnasium.make("qfix/Lane-v0", **options)


def controller(seen, rules):
    """Proportional and derivative: follow the bend, and steer against offset and heading."""
    bend = seen[4] * rules.max_curvature
    angle = math.atan(WHEELBASE * bend) - 0.04 * rules.half_width * seen[0] - 0.5 * seen[1]
    return np.array([angle / STEERING])


def drive(policy, seed, **options):
    """Steps until the end, return, whether it terminated, and the largest offset."""
    env = lane(**options)
    seen, _ = env.reset(seed=seed)
    rewards, offsets = [], []
    while True:
        seen, reward, terminated, truncated, _ = env.step(policy(seen, len(rewards), env.unwrapped.rules))
        assert env.observation_space.contains(seen)
        rewards.append(reward)
        offsets.append(abs(env.unwrapped.state.offset))
        if terminated or truncated:
            return len(rewards), sum(rewards), terminated, max(offsets)


def state_of(**parts):
    plain = {"distance": 0.0, "offset": 0.0, "heading": 0.0, "steering": 0.0, "phases": np.zeros(5)}
    return LaneState(**{name: np.asarray(value, np.float64)[()] for name, value in (plain | parts).items()})


# driving


@pytest.mark.parametrize("name", ["random", "untrained", "straight on"])
def test_who_cannot_drive_leaves_the_road_at_once(name):
    """50 roads: half of them within 2 seconds, and all within 10 of the 30. One seed, nothing else drawn."""
    rng = np.random.default_rng(0)
    policy = {
        "random": lambda *_: rng.uniform(-1, 1, 1),
        "untrained": lambda *_: rng.normal(0, 1, 1),  # a Gaussian policy at its start
        "straight on": lambda *_: np.zeros(1),
    }[name]
    steps = []
    for seed in range(50):
        n, _, terminated, _ = drive(policy, seed)
        assert terminated
        steps.append(n)
    assert np.median(steps) < 2 * SECOND
    assert max(steps) < 10 * SECOND


@pytest.mark.parametrize(
    "options",
    [{}, {"speed": 30.0}, {"half_width": 1.0}, {"max_curvature": 0.04, "speed": 12.0}],
    ids=["as it is", "fast", "narrow", "winding"],
)
def test_a_simple_controller_drives_to_the_limit(options):
    for seed in range(5):
        steps, total, terminated, offset = drive(
            lambda seen, t, rules: controller(seen, rules), seed, **options
        )
        assert (steps, terminated) == (600, False)
        assert total > 590
        assert offset < 0.8


def test_smooth_driving_in_the_middle_pays_best():
    """The same controller with a jerk of the wheel, and to a side of the road: both stay, both earn less."""

    def jerking(seen, t, rules):
        return controller(seen, rules) + 0.1 * (-1) ** t

    def aside(seen, t, rules):
        return controller(seen - np.float32([0.4, 0, 0, 0, 0, 0, 0, 0]), rules)

    for seed in range(3):
        best = drive(lambda seen, t, rules: controller(seen, rules), seed)
        for policy, most in ((jerking, 0.98), (aside, 0.95)):
            steps, total, terminated, _ = drive(policy, seed)
            assert (steps, terminated) == (600, False)
            assert total < most * best[1]


# the equations


def test_a_step_by_hand():
    """On a straight piece: all phases 0 and s = 0, so that κ = 0 and v = 20; ψ first, then e and s."""
    rules = LaneRules()
    after, reward, left = rules.advance(state_of(offset=0.5, heading=0.1, steering=0.2), np.float64(0.3))
    heading = 0.1 + 0.05 * 20 / 2.7 * math.tan(0.06)
    offset = 0.5 + 0.05 * 20 * math.sin(heading)
    assert after.heading == pytest.approx(heading, abs=1e-14)
    assert after.offset == pytest.approx(offset, abs=1e-14)
    assert after.distance == pytest.approx(math.cos(heading), abs=1e-14)
    assert after.steering == 0.3
    assert reward == pytest.approx(1 - (offset / 2.5) ** 2 / 2 - 0.3**2 / 4 - 0.2**2 / 4, abs=1e-14)
    assert not left


def test_a_bend_turns_away_under_the_car():
    """All waves at their crest: κ = 0.02, radius 50 m. One metre to its inside the road passes by faster."""
    rules = LaneRules()
    crest = state_of(offset=1.0, phases=[math.pi / 2] * 4 + [0.0])
    assert rules.curvature(crest, [0.0]) == pytest.approx(0.02, abs=1e-15)
    after, _, _ = rules.advance(crest, np.float64(0.0))
    heading = -0.05 * 0.02 * 20 / (1 - 0.02)
    assert after.heading == pytest.approx(heading, abs=1e-14)
    assert after.distance == pytest.approx(math.cos(heading) / 0.98, abs=1e-14)


def test_the_angle_that_fits_a_bend_keeps_the_distance():
    """tan δ = L κ along the middle: heading and offset stay, as a bicycle's circle has radius L / tan δ."""
    rules = LaneRules()
    crest = state_of(phases=[math.pi / 2] * 4 + [0.0])
    after, _, _ = rules.advance(crest, math.atan(WHEELBASE * 0.02) / STEERING)
    assert abs(after.heading) < 1e-14
    assert abs(after.offset) < 1e-14


def test_the_road_is_the_sum_of_its_waves():
    rules = LaneRules(max_curvature=0.05)
    state = state_of(distance=123.4, phases=[0.3, -1.2, 2.0, 0.7, -0.4])
    ahead = [0.0, 7.0, 31.0]
    for found, d in zip(rules.curvature(state, ahead), ahead):
        waves = [math.sin(2 * math.pi * (123.4 + d) / w + p) for w, p in zip(WAVES, state.phases)]
        assert found == pytest.approx(0.05 * sum(waves) / 4, abs=1e-15)
    swing = math.sin(2 * math.pi * 123.4 / SPEED_WAVE - 0.4)
    assert rules.pace(state) == pytest.approx(20 * (1 + 0.1 * swing), abs=1e-12)
    seen = rules.observe(state._replace(offset=-1.0, heading=0.07, steering=-0.6))
    np.testing.assert_allclose(seen[:4], [-0.4, 0.07, swing, -0.6], atol=1e-14)
    np.testing.assert_allclose(seen[4:] * 0.05, rules.curvature(state, [0, 5, 10, 20]), atol=1e-15)


def test_every_way_to_end_pays_nothing():
    rules = LaneRules()
    for state in (
        state_of(offset=2.45, heading=0.1),
        state_of(offset=-2.45, heading=-0.1),
        state_of(heading=1.57),
    ):
        after, reward, left = rules.advance(state, np.float64(1.0) * np.sign(state.heading))
        assert left
        assert reward == 0.0
        assert abs(after.offset) > 2.5 or abs(after.heading) > math.pi / 2


def test_what_the_wheel_costs():
    """A quarter of u², and of (Δu / 0.5)² up to 1; next to nothing for the offset of one step."""
    rules = LaneRules()
    for before, now, cost in ((-0.125, 0.125, 0.0625), (0.3, -0.2, 0.25), (-0.9, 0.9, 0.25), (0.8, 0.8, 0.0)):
        reward = rules.advance(state_of(steering=before), np.float64(now))[1]
        assert reward == pytest.approx(1 - now**2 / 4 - cost, abs=1e-3)


def test_a_start_is_drawn_by_the_seed_and_near_the_middle():
    env = lane().unwrapped
    starts = []
    for seed in range(200):
        env.reset(seed=seed)
        starts.append(np.concatenate([np.array(env.state[:4]), env.state.phases]))
    starts = np.array(starts)
    assert len(np.unique(starts[:, 4])) == 200
    np.testing.assert_array_equal(starts[:, [0, 3]], 0.0)
    for column, most in ((1, 0.5), (2, 0.1), (4, math.pi), (8, math.pi)):
        assert 0.95 * most < np.abs(starts[:, column]).max() <= most
    env.reset(seed=7)
    np.testing.assert_array_equal(np.concatenate([np.array(env.state[:4]), env.state.phases]), starts[7])


# Gymnasium's contract


@pytest.mark.parametrize("mode", [None, "ansi", "rgb_array"])
@pytest.mark.parametrize("options", [{}, {"speed": 50.0, "half_width": 0.5, "max_curvature": 0.06}])
def test_it_passes_gymnasiums_checker(mode, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(lane(render_mode=mode, **options).unwrapped, skip_render_check=True)


def test_the_limit_is_a_truncation():
    env = lane(max_episode_steps=5)
    env.reset(seed=0)
    assert [env.step(np.zeros(1))[2:4] for _ in range(5)][-1] == (False, True)


def test_actions_beyond_the_limits_are_the_limits():
    one, two = lane().unwrapped, lane().unwrapped
    one.reset(seed=1)
    two.reset(seed=1)
    for far, near in ((5.0, 1.0), (-1.5, -1.0)):
        np.testing.assert_array_equal(one.step(np.array([far]))[0], two.step(np.array([near]))[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": 0.0}, r"'speed' parameter of Lane must be in \(0, 50\] m/s. Got 0.0. Use 20"),
        ({"speed": float("nan")}, "'speed'"),
        ({"half_width": 0.2}, r"'half_width' parameter of Lane must be in \[0.5, 10\] m. Got 0.2"),
        ({"max_curvature": 0.2}, "'max_curvature' parameter of Lane"),
        ({"render_mode": "human"}, "'render_mode' parameter of Lane"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    from qfix.envs.lane import Lane

    with pytest.raises(OptionError, match=words):
        Lane(**options)


def test_wrong_calls():
    env = lane().unwrapped
    assert env.render() is None
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(1))
    env.reset(seed=0)
    for action in (0.0, np.zeros(2), [float("nan")], [float("inf")]):
        with pytest.raises(OptionError, match=r"'action' parameter of Lane.step"):
            env.step(action)


# pictures


def colour_at(picture, forwards, left):
    """Of the pixel so many metres from the point of the road beside the car."""
    return tuple(int(x) for x in picture[round((480 / 9 - 18 - forwards) * 9), round((480 / 18 - left) * 9)])


def test_pixels_are_where_things_are():
    env = lane(render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.state = state_of(phases=[0.0, math.pi, 0.0, math.pi, 0.0])
    for _ in range(20):
        env.step(np.zeros(1))
    picture = env.render()
    assert picture.shape == (480, 480, 3)
    assert picture.dtype == np.uint8
    car = env.state.offset
    assert colour_at(picture, 0.8, car) == AGENT
    assert colour_at(picture, 6.0, 1.0) == ASPHALT
    assert colour_at(picture, 6.0, -1.0) == ASPHALT
    assert colour_at(picture, 6.0, 6.0) in (GRASS, GRASS_DARK)
    behind = np.array(colour_at(picture, -1.5, env._trail[-2][1]))
    assert np.abs(behind - TRAIL).max() < 40


def test_a_car_off_the_road_is_another_colour():
    env = lane(render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.state = state_of(offset=3.0)
    assert colour_at(env.render(), 0.8, 3.0) == HOLE


def test_the_picture_bends_with_the_road():
    """A bend of radius 50 m to the left: 20 m along it, its middle is 3.95 m to the left."""
    env = lane(render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    pictures = {}
    for side in (1, -1):
        env.state = state_of(phases=[side * math.pi / 2] * 4 + [0.0])
        pictures[side] = env.render()
        for left in (-1.5, 1.5):
            assert colour_at(pictures[side], 19.3, side * 3.6 + left) == ASPHALT
        assert colour_at(pictures[side], 19.3, -side * 2.5) != ASPHALT
    assert (pictures[1] != pictures[-1]).any()


def test_text():
    env = lane(render_mode="ansi").unwrapped
    env.reset(seed=0)
    env.state = state_of(phases=[0.0, math.pi, 0.0, math.pi, 0.0], offset=1.0)
    lines = env.render().splitlines()
    assert len(lines) == 11
    assert lines[9].strip() == "|A: |"
    assert lines[9].index(":") == 30
    assert lines[10] == "0 m, 20.0 m/s, offset +1.00 m, heading +0.0 deg, steering +0.00"
    env.state = state_of(offset=-4.0)
    assert env.render().splitlines()[9].strip() == "| : | X"
