"""The one table of worlds: name, definition, time limit and a line on each. Everything that lists worlds
reads it.

It imports no world and no Gymnasium, so that listing worlds and `import qfix` stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from qfix.errors import unknown_name


class Measure(NamedTuple):
    """What a world tells of a policy beside its return."""

    name: str
    """A word, for the head of a column."""
    function: str
    """`module:function` from a policy to a number."""
    meaning: str
    """One line below the table."""
    caution: str
    """Why the return of the greedy policy alone says little; another line."""

    def __call__(self, policy: Any) -> float:
        """Of a policy, whatever has learned it."""
        module, _, name = self.function.partition(":")
        return float(getattr(import_module(module), name)(policy))


class Entry(NamedTuple):
    """One world of the catalogue."""

    name: str
    """As in `qfix/<name>-v0`."""
    definition: str
    """`module:function` from options to a `World`; to the environment where there is no finite model."""
    max_episode_steps: int
    """Time limit, a truncation."""
    summary: str
    """One line for `qfix list`."""
    finite: bool = True
    """Whether there is an exact model."""
    version: int = 0
    """Raised whenever the dynamics change."""
    measure: Measure | None = None
    """What is told of a policy beside its return."""

    @property
    def id(self) -> str:
        """The id under which Gymnasium knows it."""
        return f"qfix/{self.name}-v{self.version}"


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "Grid4x3", "qfix.envs.grid4x3:grid4x3", 100, "11 cells round a wall, a diamond (+1) and a pit (-1)"
    ),
    Entry(
        "GreedyTrap",
        "qfix.envs.greedy_trap:greedy_trap",
        100,
        "a corridor of 3 moves and a detour of 7 to the same +1",
    ),
    Entry("Maze4x4", "qfix.envs.maze4x4:maze4x4", 100, "a maze that charges 1 for bumping into a wall"),
    Entry("Pit4x4", "qfix.envs.pit4x4:pit4x4", 100, "16 cells, goal +10, pit -10, every other step -0.1"),
    Entry(
        "MaximizationBias",
        "qfix.envs.maximization_bias:maximization_bias",
        10,
        "noisy rewards that lure Q-learning left, and Double Q-learning not",
    ),
    Entry(
        "RandomWalk",
        "qfix.envs.random_walk:random_walk",
        10_000,
        "prediction on a row of n states, values known",
    ),
    Entry(
        "WindyGrid", "qfix.envs.windy_grid:windy_grid", 5_000, "7 x 10 cells in a crosswind, 15 steps at best"
    ),
    Entry("DynaMaze", "qfix.envs.dyna_maze:dyna_maze", 10_000, "a maze for planning, and two that change"),
    Entry("Baird", "qfix.envs.baird:baird", 1_000, "seven states on which off-policy semi-gradients diverge"),
    Entry(
        "RockPaperScissors",
        "qfix.envs.rock_paper_scissors:RockPaperScissors",
        100,
        "against an opponent that answers your habits; only 1/3 each is safe",
        finite=False,
        measure=Measure(
            "exploitability",
            "qfix.envs.rock_paper_scissors:policy_exploitability",
            "what a best response wins a round from the policy as it draws its moves; 0 of 1/3 each, 1 of a pure one",
            "the likeliest move alone is a habit, which the opponent answers",
        ),
    ),
    Entry(
        "Lane",
        "qfix.envs.lane:Lane",
        600,
        "steer a car along a winding road, smoothly and in the middle",
        finite=False,
    ),
    Entry(
        "Warehouse",
        "qfix.envs.warehouse:warehouse",
        300,
        "shelves, slip and two routes, the obvious one clearly worse",
    ),
    Entry(
        "Breakout",
        "qfix.envs.jax.breakout:breakout",
        5_000,
        "MinAtar: keep the ball in play, +1 a brick (needs jax)",
        finite=False,
    ),
    Entry(
        "Asterix",
        "qfix.envs.jax.asterix:asterix",
        5_000,
        "MinAtar: collect gold, touch no enemy (needs jax)",
        finite=False,
    ),
    Entry(
        "Freeway",
        "qfix.envs.jax.freeway:freeway",
        5_000,
        "MinAtar: cross eight lanes of cars, +1 each time (needs jax)",
        finite=False,
    ),
    Entry(
        "SpaceInvaders",
        "qfix.envs.jax.space_invaders:space_invaders",
        5_000,
        "MinAtar: shoot the aliens, +1 each (needs jax)",
        finite=False,
    ),
    Entry(
        "Seaquest",
        "qfix.envs.jax.seaquest:seaquest",
        5_000,
        "MinAtar: shoot, fetch divers and come up for air (needs jax)",
        finite=False,
    ),
    Entry("ProbeConstant", "qfix.envs.probes:probe_constant", 10, "probe: is a reward learned at all?"),
    Entry("ProbeObservation", "qfix.envs.probes:probe_observation", 10, "probe: are states told apart?"),
    Entry("ProbeDelay", "qfix.envs.probes:probe_delay", 10, "probe: does value flow back, discounted once?"),
    Entry("ProbeAction", "qfix.envs.probes:probe_action", 10, "probe: are actions told apart?"),
    Entry(
        "ProbeBoth", "qfix.envs.probes:probe_both", 10, "probe: are states and actions told apart together?"
    ),
    Entry(
        "ProbeTimeLimit", "qfix.envs.probes:probe_time_limit", 10, "probe: does a truncated step bootstrap?"
    ),
    Entry(
        "ProbeLoop",
        "qfix.envs.probes:probe_loop",
        200,
        "probe: does value flow round a loop, past a tempting exit?",
    ),
    Entry("ProbeBandit", "qfix.envs.probes:probe_bandit", 10, "probe: are noisy rewards averaged?"),
)


def entry(name: str) -> Entry:
    """The row of a world, by its name or its id.

    Raises:
        UnknownNameError: no world is called so; suggests the nearest.
    """
    for row in CATALOGUE:
        if name in (row.name, row.id):
            return row
    raise unknown_name("world", name, [row.name for row in CATALOGUE])


def measure_of(env_id: str) -> Measure | None:
    """What the world of an id tells of a policy beside its return; None of most."""
    return next((row.measure for row in CATALOGUE if row.id == env_id), None)


def definition_of(row: Entry) -> Callable[..., Any]:
    """The function (or the environment class) that a row names."""
    module, _, attribute = row.definition.partition(":")
    return getattr(import_module(module), attribute)
