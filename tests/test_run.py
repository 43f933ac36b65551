"""What can be asked of a run."""

import re

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.envs.table_env import TableEnv
from qfix.errors import OptionError
from qfix.evaluation import RandomPolicy

GRID = "qfix/Grid4x3-v0"


class Opaque(gymnasium.Wrapper):
    """Hides the table, so that everything must be sampled."""


@pytest.fixture(scope="module")
def grid():
    return qfix.train(GRID, "q_learning", gamma=0.9, alpha=0.5, epsilon=0.5, total_steps=20_000, seeds=[3, 8])


@pytest.fixture(scope="module")
def lake():
    return qfix.train("FrozenLake-v1", total_steps=100_000, seeds=3)


def with_values(run, q):
    """The run, had it learned these values."""
    for agent in run.state.agents:
        agent.store.weights[:] = q
    return run


def test_an_evaluation_carries_what_the_world_tells():
    run = qfix.train("qfix/RockPaperScissors-v0", "ppo", total_steps=1_024, eval_episodes=0)
    found = run.evaluate(2)
    mix = run.policy().probabilities(0)
    assert found.measured["exploitability"] == pytest.approx(
        [max(mix @ [0, -1, 1], mix @ [1, 0, -1], mix @ [-1, 1, 0])]
    )
    assert f"1 seed, 2 episodes a seed, exploitability {found.measured['exploitability'][0]:.3g})" in repr(
        found
    )
    chance = run.baselines(2)["random"]
    assert chance.measured["exploitability"] == pytest.approx([0.0], abs=1e-12)


def test_one_is_told_as_one_and_a_history_as_what_it_has():
    run = qfix.train("FrozenLake-v1", "q_learning", total_steps=1_000)
    assert repr(run).endswith("1 seed x 1,000 steps, finished)")
    assert repr(run.episodes) == f"Episodes({len(run.episodes.returns[0])} for 1 seed)"
    told = rf"History\(1 seed, {len(run.episodes.returns[0])} episodes, \d+ measurements of \d+ metrics, "
    assert re.fullmatch(told + r"2 snapshots, 0 alerts\)", repr(run.history))


@pytest.mark.parametrize(("algorithm", "options"), [("q_learning", {}), ("ppo", {"hidden": 4})])
def test_the_order_of_another_library_is_named(algorithm, options):
    policy = qfix.train("FrozenLake-v1", algorithm, total_steps=8, eval_episodes=0, **options).policy()
    with pytest.raises(OptionError, match=r"must be True or False. Got None. .*Stable-Baselines3's"):
        policy.predict(0, None, None)
    with pytest.raises(OptionError, match=r"'deterministic' parameter of predict must be True.*Got 'no'"):
        policy.predict(0, "no")
    with pytest.raises(OptionError, match=r"'rng' parameter of predict must be"):
        policy.predict(0, True, 5)
    assert policy.predict(0, True) == policy.predict(0, np.True_)
    assert policy.predict(0, False, np.random.default_rng(0)) in range(4)


def test_a_policy_is_told_in_one_line():
    run = qfix.train("Pendulum-v1", "ppo", total_steps=8, hidden=4, eval_episodes=0)
    assert "\n" not in repr(run.policy())
    assert repr(run.policy()).startswith("ActorPolicy(Box([-1. -1. -8.], ")
    with pytest.raises(
        OptionError, match="'action_mask' parameter of predict must be None where actions are arrays"
    ):
        run.policy().predict(np.zeros(3), True, None, True)


def test_the_unit_that_compiles_has_no_speed():
    run = qfix.train("CartPole-v1", "a2c", total_steps=30, num_envs=8, num_steps=5)
    assert run.steps == 40
    assert (run.speed, run.to_dict()["steps_per_second"]) == (0.0, None)
    run.resume(80)
    assert run.speed > 0.0


def test_values_have_a_row_for_every_state(grid, lake):
    assert grid.q.shape == (2, 11, 4)
    assert lake.q.shape == (3, 16, 4)
    assert "2 seeds x 20,000 steps, finished" in repr(grid)


def test_episodes_are_those_that_ended(grid):
    returns, lengths = grid.episodes.returns, grid.episodes.lengths
    assert len(returns) == len(lengths) == 2
    for r, n in zip(returns, lengths):
        assert r.shape == n.shape
        assert set(np.unique(r)) <= {-1.0, 0.0, 1.0}
        assert ((n == 100) | (r != 0)).all()
        assert n.sum() <= 20_000


def test_a_policy_answers_one_observation_and_a_batch(grid):
    policy = grid.policy(seed=8)
    one = policy.predict(0)
    batch = policy.predict(np.array([0, 1, 2]))
    assert isinstance(one, int)
    assert batch.shape == (3,)
    assert batch[0] == one
    assert np.array_equal(policy.action_values(0), grid.q[1][0])
    assert policy.probabilities(np.arange(11)).shape == (11, 4)
    with pytest.raises(qfix.OptionError, match="'seed' parameter of Run must be one of"):
        grid.policy(seed=0)


# Evaluation


def test_an_exact_evaluation_agrees_with_a_sampled_one(lake):
    """Returns lie in [0, 1]: by Hoeffding 2000 episodes are off by 0.06 with a probability below 2e-6 a seed."""
    exact = lake.evaluate()
    assert exact.exact
    assert exact.episodes == 0
    lake.model, model = None, lake.model
    try:
        sampled = lake.evaluate(episodes=2_000)
    finally:
        lake.model = model
    assert not sampled.exact
    assert sampled.episodes == 2_000
    assert np.abs(sampled.returns - exact.returns).max() < 0.06
    assert "exact" in repr(exact)
    assert "2000 episodes a seed" in repr(sampled)


def test_a_known_policy_is_evaluated_to_its_known_return(grid):
    """The greedy policy of Grid4x3 delivers +1; undiscounted, under the time limit of 100."""
    assert grid.evaluate().returns.tolist() == [1.0, 1.0]


def test_evaluation_leaves_training_alone():
    one = qfix.train(Opaque(gymnasium.make(GRID)), total_steps=1_000)
    before = one.q.copy()
    first = one.evaluate(episodes=20)
    assert np.array_equal(one.evaluate(episodes=20).returns, first.returns)
    assert np.array_equal(one.q, before)
    one.advance(500)
    assert np.array_equal(
        one.q, qfix.train(Opaque(gymnasium.make(GRID)), total_steps=1_500, epsilon="Linear(1, 0.05, 500)").q
    )


def test_no_episodes_are_no_evaluation(lake):
    with pytest.raises(qfix.OptionError, match="'episodes' parameter of evaluate must be at least 1"):
        lake.evaluate(episodes=0)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"seed": 1.5}, {"seed": 2**64}, {"seed": True}, {"episodes": 2.0}]
)
@pytest.mark.parametrize("exact", [True, False])
def test_evaluations_are_of_whole_numbers(lake, wrong, exact):
    model = lake.model
    lake.model = model if exact else None
    try:
        for ask in (lake.evaluate, lake.baselines):
            with pytest.raises(
                qfix.OptionError, match=f"'{next(iter(wrong))}' parameter of evaluate must be"
            ):
                ask(**wrong)
    finally:
        lake.model = model


def test_baselines_are_the_values_before_training_and_random_actions(lake):
    """Frozen lake by hand: untrained, always left from the corner, never arrives; random is the walk's own chance."""
    baselines = lake.baselines()
    assert baselines["untrained"].returns.tolist() == [0.0, 0.0, 0.0]
    uniform = np.full((16, 4), 0.25)
    assert baselines["random"].mean == pytest.approx(qfix.expected_return(lake.model, uniform), abs=1e-12)
    assert lake.optimum().mean >= lake.evaluate().mean


def test_random_actions_are_uniform():
    """Chi-squared with 3 degrees of freedom: above 30 with a probability of 1.4e-6."""
    policy = RandomPolicy(gymnasium.spaces.Discrete(4, start=2))
    drawn = np.bincount([policy.predict(0) - 2 for _ in range(4_000)], minlength=4)
    assert ((drawn - 1_000) ** 2 / 1_000).sum() < 30


def test_an_environment_that_breaks_under_evaluation_is_named():
    class Brittle(gymnasium.Wrapper):
        strong = True

        def step(self, action):
            if not Brittle.strong:
                raise ValueError("snap")
            return super().step(action)

    run = qfix.train(Brittle(gymnasium.make("FrozenLake-v1")), total_steps=50)
    Brittle.strong = False
    with pytest.raises(
        qfix.EnvironmentFault, match=r"failed in an evaluation.*episode 0, step 1.*ValueError: snap"
    ):
        run.evaluate(episodes=3)


# The gap


def test_the_gap_of_the_optimal_table_is_zero():
    run = qfix.train("FrozenLake-v1", total_steps=10, seeds=2)
    with_values(run, run.solution.q)
    assert run.optimality_gap() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_gap_is_what_the_policy_loses_at_the_start():
    """Grid4x3 by hand: always north from (1,1) ends in a corner and earns nothing, so the gap is 0.9^4."""
    run = qfix.train(GRID, gamma=0.9, total_steps=10)
    with_values(run, np.array([1.0, 0, 0, 0]))
    assert run.optimality_gap() == pytest.approx([0.9**4], abs=1e-9)


def test_the_gap_of_a_policy_that_never_ends_is_infinite():
    """Undiscounted, always up on the cliff walk stays at the top for -1 a step, for ever."""
    run = qfix.train("CliffWalking-v1", gamma=1.0, total_steps=10)
    with_values(run, np.array([1.0, 0, 0, 0]))
    assert run.optimality_gap().tolist() == [np.inf]


def test_the_gap_looks_only_where_episodes_go():
    """Undiscounted, a step down and right into the goal of the cliff walk; elsewhere the policy walks in place."""
    run = qfix.train("CliffWalking-v1", gamma=1.0, total_steps=10)
    best = np.tile([1.0, 0, 0, 0], (48, 1))
    best[24:35] = [0, 1.0, 0, 0]  # right, one row above the cliff
    best[35] = [0, 0, 1.0, 0]  # down
    with_values(run, best)
    assert run.optimality_gap() == pytest.approx([0.0], abs=1e-9)
    best[24] = [0, 0, 0, 1.0]  # into the wall
    with_values(run, best)
    assert run.optimality_gap().tolist() == [np.inf]


def test_to_rest_for_nothing_is_no_loss_where_the_end_costs():
    """Action 0 stays for 0, action 1 ends for -1: terminating policies get -1, resting gets 0."""
    p = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    mdp = qfix.FiniteMDP.from_arrays(p, np.array([[0.0, -1.0], [0.0, 0.0]]), 1.0, terminal=[1])
    run = qfix.train(TableEnv(mdp), gamma=1.0, total_steps=10)
    assert run.solution.v[0] == -1.0
    for q in ([1.0, 0.0], [0.0, 1.0]):
        with_values(run, np.array(q))
        assert run.optimality_gap().tolist() == [0.0]


def test_without_a_model_there_is_no_gap():
    run = qfix.train(Opaque(gymnasium.make("FrozenLake-v1")), total_steps=100)
    assert run.spec.driver == "live"
    for ask in (run.optimality_gap, run.optimum, lambda: run.solution):
        with pytest.raises(qfix.ModelError, match="has no finite model"):
            ask()


# Snapshots and JSON


def test_snapshots_are_taken_when_their_episodes_are_over():
    run = qfix.train(GRID, total_steps=20_000, snapshot_episodes=(1, 7), seeds=2)
    assert [shot.episode for shot in run.snapshots] == [1, 7]
    assert [shot.step for shot in run.snapshots] == [int(run.episodes.lengths[0][:n].sum()) for n in (1, 7)]
    assert np.array_equal(
        run.snapshots[1].action_values,
        qfix.train(GRID, total_steps=run.snapshots[1].step, epsilon="Linear(1, 0.05, 10_000)").q[0],
    )


def test_the_result_in_json_counts_what_happened(grid):
    result = grid.to_dict()
    assert result["steps"] == 20_000
    assert result["episodes"] == [len(r) for r in grid.episodes.returns]
    tail = grid.episodes.returns[0]
    tail = tail[-(len(tail) // 10) :]
    assert result["training_return"][0] == pytest.approx(tail.mean())
    assert result["spec"]["seeds"] == [3, 8]
