"""Lane: a car to be steered along a winding road. Who cannot drive is off it within two seconds.

The road is its curvature κ (1/m, positive to the left) by the distance s (m) along its middle: four waves of equal
height, whose phases φ the start of an episode draws, so that no two episodes have the same road. The pace v (m/s) is
given, and swings slowly by a tenth:

    κ(s) = κ_max / 4 Σ_k sin(2π s / λ_k + φ_k)                  λ = 61, 97, 151, 233 m
    v(s) = speed (1 + 0.1 sin(2π s / 331 + φ_5))

The car is a kinematic bicycle with wheels L = 2.7 m apart. Against the road, its rear axle lies e to the left of the
middle (m) and it points ψ to the left of the road's direction (rad). The action u in [-1, 1] turns the front wheels
to δ = 0.2 u (rad, positive to the left), and stays for 0.05 s:

    s' = v cos ψ / (1 - e κ)        e' = v sin ψ        ψ' = v / L tan δ - κ s'

by semi-implicit Euler: ψ first, by where the car was, then s and e by the new ψ. With half the road's width w:

    reward = 1 - (e / w)² / 2 - u² / 4 - min(1, (Δu / 0.5)²) / 4     e after the step, Δu = u - the u of the step before

which is 1 at most and never negative: the longer on the road the better, best in its middle, without jerking the wheel
and with little force to the side, which grows with u. Without the share for u a Gaussian policy that has come to turn
the wheel from stop to stop stays with it: beyond the stops its noise costs nothing. The step that leaves the road,
|e| > w, or stands across it, |ψ| > π / 2, pays 0 and terminates.

Source: Rajamani (2012), Vehicle Dynamics and Control, 2nd ed., section 2.2 (kinematic bicycle), in the coordinates of
the road as Micaelli and Samson (1993), Trajectory tracking for unicycle-type and two-steering-wheels mobile robots,
INRIA RR-2097; Shinozuka and Deodatis (1991), Simulation of stochastic processes by spectral representation.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.core._array import namespace
from qfix.envs import lane_picture
from qfix.errors import option_error

SECONDS = 0.05  # a step
WHEELBASE = 2.7  # m
STEERING = 0.2  # rad, the most
WAVES = (61.0, 97.0, 151.0, 233.0)  # m, the lengths of the road's
SPEED_WAVE = 331.0  # m
SPEED_SWING = 0.1  # share of the speed
CHANGE = 0.5  # of the action, from which on a step's costs no more
AHEAD = (0.0, 5.0, 10.0, 20.0)  # m, where curvature is seen
N_DRAWS = 2 + len(WAVES) + 1  # that make a start
TRAIL_STEPS = 40  # in pictures

RENDER_MODES = ["ansi", "rgb_array"]


class LaneState(NamedTuple):
    """Where the car is and on which road: each () in the dtype of computation but where said."""

    distance: Any  # m along the middle of the road since the start
    offset: Any  # m to the left of the middle
    heading: Any  # rad to the left of the road's direction
    steering: Any  # the last action, in [-1, 1]
    phases: Any  # (5,) rad, of the four waves of the road and of that of the speed


@dataclass(frozen=True)
class LaneRules:
    """The definition, of which the Gymnasium environment and the one in JAX are views. What arrays come in go out:
    NumPy's or JAX's, in the dtype of the state."""

    speed: float = 20.0
    """Mean pace in m/s, in (0, 50]."""
    half_width: float = 2.5
    """From the middle of the road to its edge, in m, in [0.5, 10]."""
    max_curvature: float = 0.02
    """The most that the road bends, in 1/m, in (0, 0.06]: 0.02 is a radius of 50 m. 0.074 is the most that the car
    can."""

    def __post_init__(self) -> None:
        _require("speed", self.speed, 0.0 < self.speed <= 50.0, "in (0, 50] m/s", "Use 20.")
        width = 0.5 <= self.half_width <= 10.0
        _require("half_width", self.half_width, width, "in [0.5, 10] m", "Use 2.5, a road of 5 m.")
        remedy = "Use 0.02, bends of 50 m and more."
        _require(
            "max_curvature", self.max_curvature, 0.0 < self.max_curvature <= 0.06, "in (0, 0.06] 1/m", remedy
        )

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """(8,) float32; bounds that hold for the last observation of an episode too."""
        reach = SECONDS * self.speed * (1 + SPEED_SWING)  # m a step
        turn = reach * (math.tan(STEERING) / WHEELBASE + 2 * self.max_curvature / _room(self))
        bounds = [1 + reach / self.half_width, math.pi / 2 + turn, 1.0, 1.0, *(1.0 for _ in AHEAD)]
        high = np.array([1.001 * bound for bound in bounds], np.float32)  # rounding stays inside
        return gymnasium.spaces.Box(-high, high)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Box:
        """One steering angle, as a share of the most there is."""
        return gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def start(self, draws: Any) -> LaneState:
        """A start by `draws`, (7,) uniform in [-1, 1]: offset within a tenth of the road, heading within 0.1 rad,
        wheels straight, any phases."""
        zero = 0.0 * draws[0]
        return LaneState(zero, 0.2 * self.half_width * draws[0], 0.1 * draws[1], zero, math.pi * draws[2:])

    def curvature(self, state: LaneState, ahead: Any) -> Any:
        """κ in 1/m, (n,), at distances `ahead` (n,) of the car in m."""
        phases = state.phases[:-1]
        xp = namespace(phases)
        number = xp.asarray([2 * math.pi / length for length in WAVES], dtype=phases.dtype)
        at = state.distance + xp.asarray(ahead, dtype=phases.dtype)
        return self.max_curvature / len(WAVES) * xp.sum(xp.sin(at[:, None] * number + phases), axis=-1)

    def pace(self, state: LaneState) -> Any:
        """v in m/s, ()."""
        return self.speed * (1 + SPEED_SWING * _swing(state))

    def observe(self, state: LaneState) -> Any:
        """(8,) in the dtype of the state: offset in halves of the road's width, heading in rad, speed from a tenth
        below its mean (-1) to a tenth above (1), steering, and the curvature here and 5, 10 and 20 m ahead in shares of
        the most."""
        xp = namespace(state.phases)
        car = (state.offset / self.half_width, state.heading, _swing(state), state.steering)
        bends = self.curvature(state, AHEAD) / self.max_curvature
        return xp.concat([xp.stack([xp.asarray(part) for part in car]), bends])

    def advance(self, state: LaneState, steering: Any) -> tuple[LaneState, Any, Any]:
        """Steer for 0.05 seconds; `steering` () in [-1, 1]: (next state, reward, terminated)."""
        xp = namespace(state.phases)
        (bend,), v = self.curvature(state, AHEAD[:1]), self.pace(state)
        stretch = v / (1 - state.offset * bend)
        turn = v / WHEELBASE * xp.tan(STEERING * steering) - bend * stretch * xp.cos(state.heading)
        heading = state.heading + SECONDS * turn
        offset = state.offset + SECONDS * v * xp.sin(heading)
        distance = state.distance + SECONDS * stretch * xp.cos(heading)
        left = (xp.abs(offset) > self.half_width) | (xp.abs(heading) > math.pi / 2)
        jerk = xp.abs(steering - state.steering) / CHANGE
        jerk = xp.where(jerk < 1, jerk, 1 + 0 * jerk)
        cost = 0.5 * (offset / self.half_width) ** 2 + 0.25 * steering**2 + 0.25 * jerk**2
        reward = xp.where(left, 0 * cost, 1 - cost)
        return LaneState(distance, offset, heading, steering, state.phases), reward, left


class Lane(gymnasium.Env[Any, Any]):
    """The world as a Gymnasium environment, in float64; see the module for its equations and `LaneRules.observe` for
    the eight numbers that are seen.

    Args:
        speed: mean pace in m/s, in (0, 50].
        half_width: from the middle of the road to its edge in m, in [0.5, 10].
        max_curvature: the most that the road bends in 1/m, in (0, 0.06].
        render_mode: None, "ansi" or "rgb_array".

    Raises:
        OptionError: an option is out of range.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": round(1 / SECONDS)}  # noqa: RUF012 - a class attribute is how Gymnasium wants it

    def __init__(
        self,
        speed: float = LaneRules.speed,
        half_width: float = LaneRules.half_width,
        max_curvature: float = LaneRules.max_curvature,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *RENDER_MODES):
            rule = f"must be one of {RENDER_MODES} or None"
            raise option_error("Lane", "render_mode", rule, render_mode, "Use 'rgb_array'.")
        self.rules = LaneRules(speed, half_width, max_curvature)
        self.render_mode = render_mode
        self.observation_space = self.rules.observation_space
        self.action_space = self.rules.action_space
        self.state: LaneState | None = None
        self._trail: deque[tuple[float, float]] = deque(maxlen=TRAIL_STEPS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start on another road, near its middle."""
        super().reset(seed=seed)
        self.state = self.rules.start(self.np_random.uniform(-1.0, 1.0, N_DRAWS))
        self._trail.clear()
        return self._observed(self.state), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Steer for 0.05 seconds. An action beyond ±1 is taken for ±1.

        Raises:
            OptionError: the action is not one finite number in an array.
            gymnasium.error.ResetNeeded: called before `reset`.
        """
        if self.state is None:
            raise gymnasium.error.ResetNeeded("Call reset() before step().")
        given = np.asarray(action, np.float64)
        if given.shape != (1,) or not np.isfinite(given[0]):
            rule = "must be an array of one finite number"
            raise option_error("Lane.step", "action", rule, action, "See action_space.")
        self._trail.append((float(self.state.distance), float(self.state.offset)))
        steering = np.float64(min(max(given[0], -1.0), 1.0))
        self.state, reward, left = self.rules.advance(self.state, steering)
        return self._observed(self.state), float(reward), bool(left), False, {}

    def render(self) -> Any:
        """The road from above, as text or as a (480, 480, 3) uint8 array; None without a render mode."""
        if self.render_mode is None or self.state is None:
            return None
        scene = lane_picture.Scene(
            half_width=self.rules.half_width,
            offset=float(self.state.offset),
            heading=float(self.state.heading),
            steering=float(self.state.steering),
            wheels=STEERING * float(self.state.steering),
            speed=float(self.rules.pace(self.state)),
            distance=float(self.state.distance),
            curvature=lambda ahead: self.rules.curvature(self.state, ahead),  # type: ignore[arg-type]
            trail=np.array(self._trail, np.float64).reshape(-1, 2),
        )
        return lane_picture.text(scene) if self.render_mode == "ansi" else lane_picture.image(scene)

    def _observed(self, state: LaneState) -> NDArray[np.float32]:
        return np.asarray(self.rules.observe(state), np.float32)


def _swing(state: LaneState) -> Any:
    """How far the speed is from its mean, in [-1, 1]."""
    phase = state.phases[-1]
    return namespace(state.phases).sin(2 * math.pi / SPEED_WAVE * state.distance + phase)


def _room(rules: LaneRules) -> float:
    """The least that 1 - e κ can be on the road."""
    return 1 - rules.half_width * rules.max_curvature


def _require(name: str, value: float, holds: bool, rule: str, remedy: str) -> None:
    if not holds:
        raise option_error("Lane", name, f"must be {rule}", value, remedy)
