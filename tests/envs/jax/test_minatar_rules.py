"""The rules of the five games, each worked by hand from their description."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qfix.envs.jax.asterix import Asterix
from qfix.envs.jax.breakout import Breakout
from qfix.envs.jax.freeway import Freeway
from qfix.envs.jax.minatar import DOWN, FIRE, LEFT, NOOP, RIGHT, UP, MinAtar
from qfix.envs.jax.seaquest import Seaquest
from qfix.envs.jax.space_invaders import SpaceInvaders
from qfix.errors import OptionError

HALF = np.full(16, 0.5, np.float32)
GAMES = [Breakout(), Asterix(), Freeway(), SpaceInvaders(), Seaquest()]


class Play:
    """A game with its state, to be changed and stepped."""

    def __init__(self, game, **changes):
        self.game = game
        self.state = game.start(HALF[: game.n_start_draws])
        self.change(**changes)
        self._advance = jax.jit(game.advance)

    def change(self, **changes):
        now = self.state._asdict()
        typed = {
            name: jnp.asarray(value, now[name].dtype) if hasattr(now[name], "dtype") else value
            for name, value in changes.items()
        }
        self.state = self.state._replace(**typed)

    def act(self, *actions, u=HALF):
        """Rewards and whether it ended, of all the actions together."""
        paid, end = 0.0, False
        for action in actions:
            u = np.asarray(u, np.float32)[: self.game.n_draws]
            self.state, reward, terminated, truncated = self._advance(self.state, np.int32(action), u)
            paid, end = paid + float(reward), end or bool(terminated) or bool(truncated)
        return paid, end

    def cells(self, layer):
        """(row, column) of what is seen in a layer."""
        names = [name.split()[-1] for name in self.game.layers]
        mask = np.asarray(self.game.layers_of(self.state)[names.index(layer)])
        return [tuple(cell) for cell in np.argwhere(mask).tolist()]


# MinAtar


@pytest.mark.parametrize("game", GAMES, ids=lambda game: type(game).__name__)
def test_observations_are_layers_of_ones(game):
    env = MinAtar(game)
    state, observation = env.reset(jax.random.key(0))
    step = env.step(state, 2, jax.random.key(1))
    for seen in (observation, step.observation):
        assert env.observation_space.contains(np.asarray(seen))
    assert step.reward.dtype == np.float32
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), step.state
    )
    picture = env.render(step.state)
    assert (picture.shape, picture.dtype) == ((160, 160, 3), np.uint8)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
    assert [len(line.split()) for line in env.text(step.state).splitlines()] == [10] * 10


def test_letters_of_layers_tell_them_apart():
    for game in GAMES:
        letters = [name[0] for name in game.layers]
        assert len({*letters, "."}) == len(letters) + 1


def test_actions_stick():
    """What is played is the action before with probability 0.3: one seed, 20,000 draws, 6 standard deviations, 2e-9."""
    env = MinAtar(Breakout(), 0.3)
    state, _ = env.reset(jax.random.key(0))
    state = state._replace(action=jnp.int32(LEFT))
    step = jax.vmap(lambda key: env.step(state, RIGHT, key))(jax.random.split(jax.random.key(1), 20_000))
    played = np.asarray(step.state.action)
    assert set(played.tolist()) == {LEFT, RIGHT}
    assert np.mean(played == LEFT) == pytest.approx(0.3, abs=6 * np.sqrt(0.3 * 0.7 / 20_000))
    assert (np.asarray(step.state.game.paddle) == np.where(played == LEFT, 3, 5)).all()


@pytest.mark.parametrize(("sticky", "played"), [(0.0, RIGHT), (1.0, NOOP)])
def test_actions_never_or_always_stick(sticky, played):
    env = MinAtar(Breakout(), sticky)
    state, _ = env.reset(jax.random.key(0))
    for seed in range(20):
        state = env.step(state, RIGHT, jax.random.key(seed)).state
        assert state.action == played


@pytest.mark.parametrize("sticky", [-0.1, 1.5, float("nan")])
def test_a_probability_is_one(sticky):
    with pytest.raises(OptionError, match="sticky_action_prob"):
        MinAtar(Breakout(), sticky)


# Breakout


def test_breakout_starts_in_a_corner_flying_inwards():
    game = Breakout()
    left, right = game.start(np.float32([0.2])), game.start(np.float32([0.7]))
    assert (left.y, left.x, left.dy, left.dx) == (3, 0, 1, 1)
    assert (right.y, right.x, right.dy, right.dx) == (3, 9, 1, -1)
    assert np.argwhere(left.bricks).tolist() == [[r, c] for r in (1, 2, 3) for c in range(10)]


def test_the_ball_leaves_a_trail_and_walls_mirror_it():
    play = Play(Breakout(), y=5, x=8, dy=1, dx=1)
    play.act(NOOP)
    assert (play.cells("ball"), play.cells("trail")) == ([(6, 9)], [(5, 8)])
    play.act(NOOP)
    assert (play.cells("ball"), int(play.state.dx)) == ([(7, 9)], -1)
    play.change(y=0, x=4, dy=-1, dx=1, bricks=np.zeros((10, 10)))
    play.act(NOOP)
    assert (play.cells("ball"), int(play.state.dy)) == ([(0, 5)], 1)


def test_a_brick_breaks_and_turns_the_ball_and_the_next_one_at_once_does_not():
    play = Play(Breakout(), y=4, x=4, dy=-1, dx=1)
    assert play.act(NOOP) == (1.0, False)
    assert (3, 5) not in play.cells("brick")
    assert (play.cells("ball"), int(play.state.dy)) == ([(4, 5)], 1)
    play.change(y=4, x=5, dy=-1, dx=1)
    assert play.act(NOOP) == (0.0, False)
    assert len(play.cells("brick")) == 29
    assert play.cells("ball") == [(3, 6)]


@pytest.mark.parametrize(
    ("paddle", "dx", "ended"),
    [(4, 1, False), (5, -1, False), (6, 1, True), (3, 1, True)],
    ids=["from above", "from the side", "missed", "missed on the left"],
)
def test_the_paddle(paddle, dx, ended):
    play = Play(Breakout(), y=8, x=4, dy=1, dx=1, paddle=paddle)
    assert play.act(NOOP) == (0.0, ended)
    if not ended:
        assert (int(play.state.y), int(play.state.dy), int(play.state.dx)) == (8, -1, dx)


def test_bricks_are_set_again_when_the_ball_comes_down():
    play = Play(Breakout(), y=7, x=4, dy=1, dx=1, bricks=np.zeros((10, 10)), paddle=5)
    play.act(NOOP)
    assert play.cells("brick") == []
    play.act(NOOP)
    assert len(play.cells("brick")) == 30


def test_the_paddle_stays_on_the_field():
    play = Play(Breakout(), paddle=1)
    play.act(LEFT, LEFT, FIRE, UP)
    assert play.cells("paddle") == [(9, 0)]


# Asterix


def lane(row, column, rightward, gold):
    one = np.arange(8) == row - 1
    return {
        "there": one,
        "columns": column * one,
        "rightward": one & rightward,
        "gold": one & gold,
    }


def test_things_come_every_ten_steps_in_a_free_row():
    play = Play(Asterix())
    play.act(*[NOOP] * 10)
    assert play.cells("enemy") == play.cells("gold") == []
    play.act(NOOP, u=[0.4, 0.2, 0.99])
    assert play.cells("gold") == [(8, 1)]  # all move in steps 6, 11, 16 and so on
    play.act(*[NOOP] * 9)
    play.act(NOOP, u=[0.6, 0.4, 0.99])
    assert play.cells("enemy") == [(7, 8)]


def test_gold_pays_and_enemies_end():
    for gold, answer in ((True, (1.0, False)), (False, (0.0, True))):
        play = Play(Asterix(), **lane(5, 4, False, gold))
        assert play.act(LEFT) == answer
        assert (play.cells("gold") == []) == gold or not gold
        play = Play(Asterix(), move_timer=0, **lane(5, 4, True, gold))
        assert play.act(NOOP) == answer


def test_things_move_leave_and_trail():
    play = Play(Asterix(), move_timer=0, **lane(2, 8, True, False))
    play.act(NOOP)
    assert (play.cells("enemy"), play.cells("trail")) == ([(2, 9)], [(2, 8)])
    play.act(*[NOOP] * 4)
    assert play.cells("enemy") == [(2, 9)]
    play.act(NOOP)
    assert play.cells("enemy") == []


@pytest.mark.parametrize("ramping", [True, False])
def test_asterix_gets_harder(ramping):
    play = Play(Asterix(ramping), x=0, y=1)
    speeds = []
    for _ in range(4):
        play.act(*[NOOP] * 102, u=[0.4, 0.2, 0.5])
        speeds.append((int(play.state.spawn_speed), int(play.state.move_speed)))
    assert speeds == ([(9, 5), (8, 4), (7, 4), (6, 3)] if ramping else [(10, 5)] * 4)


# Freeway


def test_the_chicken_walks_every_third_step_and_wins_at_the_top():
    still = {"columns": np.full(8, 9), "timers": np.full(8, 99), "speeds": np.full(8, 5)}
    play = Play(Freeway(), **still)
    rows = []
    for _ in range(7):
        play.act(UP)
        rows.append(int(play.state.y))
    assert rows == [9, 9, 9, 8, 8, 8, 7]
    play.change(y=1, rest=0, **still)
    assert play.act(UP, u=[0.05, 0.95] * 4) == (1.0, False)
    assert play.cells("chicken") == [(9, 4)]
    assert play.state.speeds.tolist() == [-1, 5] * 4
    play.change(rest=0)
    play.act(DOWN)
    assert play.cells("chicken") == [(9, 4)]


def test_cars_move_wrap_and_hit():
    play = Play(
        Freeway(), y=3, columns=[9, 0, 3, 5, 0, 0, 0, 0], timers=[0] * 8, speeds=[1, -2, 3, -4, 5, 1, 1, 1]
    )
    play.act(NOOP)
    assert play.cells("car")[:4] == [(1, 0), (2, 9), (3, 4), (4, 4)]
    assert (play.cells("1")[0], play.cells("2"), play.cells("3"), play.cells("4")) == (
        (1, 9),
        [(2, 0)],
        [(3, 3)],
        [(4, 5)],
    )
    assert play.cells("chicken") == [(9, 4)]
    before = play.state.columns.tolist()
    play.act(NOOP, NOOP, NOOP)
    assert [b - a for a, b in zip(before, play.state.columns.tolist())][2] == 0
    play.act(NOOP)
    assert play.state.columns.tolist()[2] == 5


def test_freeway_is_cut_off():
    play = Play(Freeway(), steps_left=1)
    assert play.act(NOOP) == (0.0, False)
    _, _, terminated, truncated = play.game.advance(play.state, NOOP, HALF[:8])
    assert (bool(terminated), bool(truncated)) == (False, True)


# SpaceInvaders


def alone(row, column):
    mask = np.zeros((10, 10), bool)
    mask[row, column] = True
    return mask


def test_aliens_march_turn_and_come_down():
    play = Play(SpaceInvaders(), aliens=alone(2, 1), move_timer=0)
    play.act(NOOP)
    assert play.cells("left") == [(2, 0)]
    play.act(NOOP)
    assert (play.cells("right"), play.cells("left")) == ([(3, 0)], [])
    play.act(NOOP)
    assert play.cells("right") == [(3, 1)]


def test_a_full_block_moves_every_twelve_steps():
    play = Play(SpaceInvaders())
    play.act(*[NOOP] * 12)
    assert play.cells("alien")[0] == (0, 2)
    play.act(NOOP)
    assert play.cells("alien")[0] == (0, 1)


def test_a_bullet_kills_and_is_gone_and_a_new_block_is_faster():
    play = Play(SpaceInvaders(), aliens=alone(7, 5), move_timer=50)
    assert play.act(FIRE) == (0.0, False)
    assert play.cells("bullet")[0] == (8, 5)
    assert play.act(FIRE) == (1.0, False)
    assert play.cells("bullet") == []
    assert (len(play.cells("alien")), int(play.state.move_speed)) == (24, 11)
    play.act(FIRE, FIRE, FIRE)  # 5 steps after the shot
    assert play.cells("bullet") == []
    play.act(FIRE)
    assert play.cells("bullet") == [(8, 5)]


def test_the_lowest_alien_of_the_nearest_column_shoots():
    aliens = alone(1, 3) | alone(4, 3) | alone(6, 7)
    play = Play(SpaceInvaders(), aliens=aliens, bomb_timer=0, move_timer=50)
    play.act(NOOP)
    assert play.cells("bomb") == [(4, 3)]  # a tie, columns 3 and 7 from 5: the left one
    play = Play(SpaceInvaders(), aliens=aliens, bomb_timer=0, move_timer=50)
    play.act(RIGHT)
    assert play.cells("bomb") == [(6, 7)]


@pytest.mark.parametrize(
    "danger",
    [
        {"bombs": alone(8, 5)},
        {"aliens": alone(9, 4), "direction": 1, "move_timer": 0},
        {"aliens": alone(9, 9), "direction": 1, "move_timer": 0},
        {"aliens": alone(9, 5), "move_timer": 5},
    ],
    ids=["bullet", "alien", "landed", "alien there"],
)
def test_the_cannon_is_hit(danger):
    assert Play(SpaceInvaders(), **danger).act(NOOP)[1]
    assert not Play(SpaceInvaders()).act(NOOP)[1]


# Seaquest


def under_water(**changes):
    return Play(Seaquest(), **({"y": 4, "surfaced": False} | changes))


def with_enemy(play, row, column, rightward=True, submarine=False, timer=0, shot_timer=9):
    enemies = play.state.enemies
    place = enemies.place
    play.state = play.state._replace(
        enemies=enemies._replace(
            place=place._replace(
                there=place.there.at[0].set(True),
                y=place.y.at[0].set(row),
                x=place.x.at[0].set(column),
                rightward=place.rightward.at[0].set(rightward),
            ),
            submarine=enemies.submarine.at[0].set(submarine),
            timer=enemies.timer.at[0].set(timer),
            shot_timer=enemies.shot_timer.at[0].set(shot_timer),
        ),
        born=jnp.int32(1),
    )
    return play


def test_enemies_come_every_twenty_steps_and_not_against_another():
    play = under_water()
    play.act(*[NOOP] * 20)
    assert play.cells("fish") == []
    play.act(NOOP, u=[0.4, 0.5, 0.0, 0.5, 0.5])
    assert (play.cells("fish"), play.cells("submarine")) == ([(1, 0)], [])
    play.change(spawn_timer=0)
    play.act(NOOP, u=[0.6, 0.2, 0.0, 0.5, 0.5])
    assert play.cells("submarine") == []
    play.change(spawn_timer=0)
    play.act(NOOP, u=[0.6, 0.2, 0.3, 0.5, 0.5])
    assert play.cells("submarine") == [(3, 9)]


def test_a_fish_swims_every_sixth_step_and_bites():
    play = with_enemy(under_water(), 4, 3)
    play.act(NOOP)
    assert (play.cells("fish"), play.cells("trail")) == ([(4, 4)], [(4, 3)])
    assert play.act(*[NOOP] * 5) == (0.0, False)
    assert play.act(NOOP) == (0.0, True)


def test_a_bullet_hits_a_fish():
    play = with_enemy(under_water(rightward=True), 4, 7, timer=50)
    assert play.act(FIRE) == (0.0, False)
    assert play.cells("bullet")[0] == (4, 6)
    assert play.act(FIRE) == (1.0, False)
    assert play.cells("fish") == []


def test_a_submarine_shoots_and_its_bullet_hits():
    play = with_enemy(under_water(), 4, 2, submarine=True, timer=50, shot_timer=0)
    assert play.act(NOOP, NOOP) == (0.0, False)
    assert play.act(NOOP) == (0.0, True)


def test_divers_come_on_board():
    play = under_water(diver_spawn_timer=0, x=1)
    play.act(NOOP, u=[0.5, 0.5, 0.5, 0.4, 0.4])
    assert play.cells("diver") == [(4, 0)]
    play.act(*[NOOP] * 5)
    assert (play.cells("diver"), int(play.state.carried), play.cells("divers")) == ([], 1, [(9, 8)])
    play.change(carried=6, diver_spawn_timer=0)
    play.act(*[NOOP] * 7, u=[0.5, 0.5, 0.5, 0.4, 0.4])
    assert int(play.state.carried) == 6


@pytest.mark.parametrize(
    ("carried", "oxygen", "paid", "left", "ended"),
    [(0, 100, 0, 0, True), (3, 100, 0, 2, False), (6, 119, 5, -1, False), (6, 120, 6, -1, False)],
)
def test_surfacing(carried, oxygen, paid, left, ended):
    play = Play(Seaquest(), y=1, surfaced=False, carried=carried, oxygen=oxygen)
    assert play.act(UP) == (paid, ended)
    assert int(play.state.carried) == left
    if not ended:
        assert int(play.state.oxygen) == 200
        assert (int(play.state.spawn_speed), int(play.state.move_speed)) == (19, 5)
        assert play.act(NOOP) == (0.0, False)
        play.change(y=1, surfaced=False)
        play.act(UP)
        assert (int(play.state.spawn_speed), int(play.state.move_speed)) == (18, 4)


def test_oxygen_runs_out_and_is_seen():
    play = under_water(oxygen=101)
    assert play.act(NOOP) == (0.0, False)
    assert play.cells("oxygen") == [(9, c) for c in range(5)]
    play.change(oxygen=1)
    assert play.act(NOOP) == (0.0, False)
    assert play.act(NOOP) == (0.0, True)


def test_the_submarine_faces_where_it_went():
    play = under_water()
    play.act(RIGHT)
    assert (play.cells("front"), play.cells("back")) == ([(4, 6)], [(4, 5)])
    play.act(LEFT)
    assert (play.cells("front"), play.cells("back")) == ([(4, 5)], [(4, 6)])
    play.act(*[DOWN] * 6)
    assert play.cells("front") == [(8, 5)]
