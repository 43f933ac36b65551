"""Every compiled learner against its plain-Python twin, on the same random stream.

The world is stochastic, starts from random values, and its time limit of 7 truncates most episodes: an
error in a target, in the order of draws, at an end or at a truncation sends the two apart for good.
"""

import numpy as np
import pytest

from qfix.explore import Linear, Polynomial
from tabular.running import ALGORITHMS, SEPARATING, env_of, flat, random_world, separating, train, trainer_on
from tabular.twins import TWINS

STEPS = 4_000


def twin_of(algorithm, model, config, seed, alpha, epsilon, **options):
    """The twin with the same starting values, before its first step."""
    trainer = trainer_on(model, config, [seed])
    q = trainer.action_values(trainer.start())
    chosen = SEPARATING.get(algorithm, {}) | options
    return TWINS[algorithm](q, config.gamma, alpha, epsilon, seed, **chosen)


def run_twin(algorithm, model, *args, **options):
    """The twin after as many steps as the learner."""
    return twin_of(algorithm, model, *args, **options).run(env_of(model), STEPS)


def assert_agrees(trainer, state, records, twin):
    np.testing.assert_array_equal(flat(records.lengths[0]), twin.lengths)
    np.testing.assert_allclose(flat(records.returns[0]), twin.returns, rtol=0, atol=1e-12)
    q = trainer.action_values(state)
    np.testing.assert_allclose(q, [twin.row(s) for s in range(len(q))], rtol=0, atol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learner_agrees_with_its_twin(algorithm):
    model = random_world()
    config = separating(algorithm, initial="SmallRandom(0.5)")
    trainer, state, records = train(model, config, STEPS, seeds=[11])
    twin = run_twin(algorithm, model, config, 11, lambda *_: 0.37, lambda *_: 0.23)
    ends = np.array(twin.lengths)
    assert (ends == 7).sum() > 100, "few truncations"
    assert (ends < 7).sum() > 100, "few terminations"
    assert_agrees(trainer, state, records, twin)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learner_agrees_with_its_twin_under_schedules(algorithm):
    """Step size by visits of the pair, epsilon by episodes; zero values, where every choice begins with ties."""
    alpha, epsilon = Polynomial(0.9, 0.6, by="visit"), Linear(1.0, 0.1, 400, by="episode")
    model = random_world(seed=6)
    config = separating(algorithm, alpha=alpha, epsilon=epsilon)
    trainer, state, records = train(model, config, STEPS, seeds=[3])
    twin = run_twin(
        algorithm,
        model,
        config,
        3,
        lambda n, *_: 0.9 / (n + 1) ** 0.6,
        lambda n, episode, *_: 1.0 - 0.9 * min(episode / 400, 1.0),
    )
    assert_agrees(trainer, state, records, twin)


def test_first_visit_monte_carlo_agrees_with_its_twin():
    model = random_world()
    config = separating("monte_carlo", first_visit=True, initial="SmallRandom(0.5)")
    trainer, state, records = train(model, config, STEPS)
    twin = run_twin("monte_carlo", model, config, 0, lambda *_: 0.37, lambda *_: 0.23, first_visit=True)
    assert_agrees(trainer, state, records, twin)
    every = train(model, separating("monte_carlo", initial="SmallRandom(0.5)"), STEPS)
    assert not np.array_equal(every[0].action_values(every[1]), trainer.action_values(state))


COUNTERS = {
    "step": lambda n, episode, step, t: step,
    "episode": lambda n, episode, step, t: episode,
    "visit": lambda n, episode, step, t: n,
    "step_in_episode": lambda n, episode, step, t: t,
}


@pytest.mark.parametrize("by", COUNTERS)
@pytest.mark.parametrize("algorithm", ["q_learning", "sarsa", "expected_sarsa"])
def test_epsilon_follows_its_counter(algorithm, by):
    """A learner that acts after its update, one that acts before, and one whose target holds epsilon."""
    schedule = Linear(1.0, 0.05, 6 if by == "step_in_episode" else 500, by=by)
    model = random_world()
    config = separating(algorithm, epsilon=schedule, initial="SmallRandom(0.5)")
    trainer, state, records = train(model, config, STEPS)
    count = COUNTERS[by]
    twin = run_twin(algorithm, model, config, 0, lambda *_: 0.37, lambda *n: schedule(count(*n)))
    assert_agrees(trainer, state, records, twin)


@pytest.mark.parametrize("by", ["step", "episode", "step_in_episode"])
def test_alpha_follows_its_counter(by):
    """By visit: see the test under schedules."""
    schedule = Linear(0.9, 0.1, 6 if by == "step_in_episode" else 300, by=by)
    model = random_world()
    config = separating("q_learning", alpha=schedule, initial="SmallRandom(0.5)")
    trainer, state, records = train(model, config, STEPS)
    twin = twin_of("q_learning", model, config, 0, None, lambda *_: 0.23)
    twin.alpha = lambda n, episode, step: schedule(COUNTERS[by](n, episode, step, twin.t))
    assert_agrees(trainer, state, records, twin.run(env_of(model), STEPS))
