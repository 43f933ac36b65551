"""The games follow the authors' own program, action by action, where it is installed (`pip install minatar`).

Each chance that their program takes is noted and handed to ours as the uniform that stands for it. Skipped otherwise:
the rules are held by hand in `test_minatar_rules.py`.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qfix.envs.jax.asterix import Asterix
from qfix.envs.jax.breakout import Breakout
from qfix.envs.jax.freeway import Freeway
from qfix.envs.jax.seaquest import Seaquest
from qfix.envs.jax.space_invaders import SpaceInvaders

pytest.importorskip("minatar", reason="the authors' program is not installed")

STEPS = 30_000  # a game


class Noting:
    """A random stream that notes what it gives as uniforms in the middle of what would give the same."""

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        self.noted = []

    def rand(self, *shape):
        drawn = self.random.rand(*shape)
        self.noted.extend(np.ravel(drawn))
        return drawn

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        drawn = self.random.randint(low, high, size)
        self.noted.extend((np.ravel(drawn) - low + 0.5) / (high - low))
        return drawn


def of_seaquest(theirs, before, noted):
    """Enemy: side, kind, row; diver: side, row. Either may be missing."""
    u = np.zeros(5)
    noted = list(noted)
    if before[0] == 0:
        u[:3], noted = noted[:3], noted[3:]
    if before[1] == 0:
        u[3:], noted = noted[:2], noted[2:]
    assert not noted
    return u


def padded(n):
    def draws(theirs, before, noted):
        assert len(noted) <= n
        return np.array([*noted, *[0.0] * (n - len(noted))])

    return draws


def of_freeway(theirs, before, noted):
    """Speeds and directions apart; ours in one number each: -1 to -5, then 1 to 5."""
    if not noted:
        return np.zeros(8)
    speed, right = np.floor(5 * np.array(noted[:8])), np.array(noted[8:]) >= 0.5
    return (5 * right + speed + 0.5) / 10


def timers(theirs):
    return (theirs.e_spawn_timer, theirs.d_spawn_timer) if hasattr(theirs, "e_spawn_timer") else None


# ours, its draws from what was noted, and how likely each action is: so that games last and all rules come into play
GAMES = {
    "breakout": (Breakout(), padded(0), None),
    "asterix": (Asterix(), padded(3), None),
    "freeway": (Freeway(), of_freeway, [0.1, 0.05, 0.6, 0.05, 0.15, 0.05]),
    "space_invaders": (SpaceInvaders(), padded(0), [0.05, 0.25, 0.05, 0.25, 0.05, 0.35]),
    "seaquest": (Seaquest(), of_seaquest, [0.05, 0.2, 0.2, 0.2, 0.15, 0.2]),
    "asterix, no ramp": (Asterix(False), padded(3), None),
    "space_invaders, no ramp": (SpaceInvaders(False), padded(0), [0.05, 0.25, 0.05, 0.25, 0.05, 0.35]),
    "seaquest, no ramp": (Seaquest(False), of_seaquest, [0.05, 0.2, 0.2, 0.2, 0.15, 0.2]),
}


@pytest.mark.parametrize("name", GAMES)
def test_it_follows_the_authors_program(name):
    ours, draws, chances = GAMES[name]
    module, _, option = name.partition(", ")
    theirs = importlib.import_module(f"minatar.environments.{module}").Env(ramping=not option)
    theirs.random = stream = Noting(3)
    actions = np.random.default_rng(4).choice(6, STEPS, p=chances)
    advance = jax.jit(ours.advance)
    see = jax.jit(lambda state: jnp.stack(ours.layers_of(state), -1))
    immortal = module in (
        "asterix",
        "seaquest",
        "space_invaders",
    )  # go on after an end, to come into the late game
    state = None
    rewards = ends = 0
    for t, action in enumerate(actions):
        if state is None:
            stream.noted.clear()
            theirs.reset()
            noted = of_freeway(None, None, stream.noted) if module == "freeway" else [*stream.noted, 0.0]
            state = ours.start(np.float32(noted[: ours.n_start_draws]))
            np.testing.assert_array_equal(see(state), theirs.state())
        stream.noted.clear()
        before = timers(theirs)
        if immortal:
            theirs.terminal = False
        if module == "space_invaders" or module == "breakout":
            action = guided(module, theirs, action, t)
        reward, end = theirs.act(action)
        u = np.float32(draws(theirs, before, stream.noted))
        state, paid, terminated, truncated = advance(state, action, u)
        assert float(paid) == reward, t
        assert bool(terminated | truncated) == bool(end), t
        np.testing.assert_array_equal(see(state), theirs.state(), err_msg=str(t))
        rewards += reward
        ends += end
        if end and (not immortal or t % 5_000 < 50):
            state = None
    assert rewards > 50
    assert ends > 5


def guided(module, theirs, action, t):
    """Mostly keep the ball in play, or dodge, so that walls and blocks are cleared."""
    if t % 40 == 0 or t % 2_000 > 1_700:
        return action
    if module == "breakout":
        want = theirs.ball_x + (theirs.ball_y > 5 and t % 3 == 0) * (1 if theirs.ball_dir in (1, 2) else -1)
        return 1 if want < theirs.pos else 3 if want > theirs.pos else 0
    column = theirs.e_bullet_map[5:9, theirs.pos]
    return (1 if theirs.pos > 4 else 3) if column.any() else action
