"""Driving the shipped learners in tests, and the small worlds they are tested on."""

from importlib import import_module

import gymnasium
import numpy as np

from qfix.envs.make import make_env
from qfix.envs.table_env import TableEnv
from qfix.mdp import FiniteMDP
from qfix.tabular.trainer import TabularTrainer

ALGORITHMS = (
    "q_learning",
    "double_q_learning",
    "sarsa",
    "expected_sarsa",
    "n_step_sarsa",
    "n_step_tree_backup",
    "watkins_q_lambda",
    "sarsa_lambda",
    "monte_carlo",
    "dyna_q",
    "prioritized_sweeping",
)
TABLES_ONLY = ("dyna_q", "prioritized_sweeping")

# Values that tell algorithms apart: none is 0, 1/2 or 1.
SEPARATING = {
    "n_step_sarsa": {"n": 3},
    "n_step_tree_backup": {"n": 3, "target_epsilon": 0.15},
    "watkins_q_lambda": {"lambda_": 0.7},
    "sarsa_lambda": {"lambda_": 0.7},
    "dyna_q": {"planning_steps": 3},
    "prioritized_sweeping": {"planning_steps": 3, "theta": 0.01},
}


def config_of(algorithm, **options):
    """The algorithm's own Config."""
    return import_module(f"qfix.tabular.{algorithm}").Config(**options)


def separating(algorithm, **options):
    """A Config whose numbers tell algorithms apart."""
    chosen = {"gamma": 0.93, "alpha": 0.37, "epsilon": 0.23} | SEPARATING.get(algorithm, {}) | options
    return config_of(algorithm, **chosen)


def trainer_on(model, config, seeds=(0,), driver="compiled", **options):
    """A trainer on a finite model; its live environments honour the model's time limit."""
    env = env_of(model)
    return TabularTrainer(config, env, lambda: env_of(model), model, seeds, driver, **options)


def env_of(model):
    """The Gymnasium view of a model, time limit included."""
    env = TableEnv(model)
    if model.max_episode_steps is None:
        return env
    return gymnasium.wrappers.TimeLimit(env, model.max_episode_steps)


def named_model(name, gamma=None, **options):
    """The model of an environment by its id, or of a qfix world by its name."""
    env_id = name if "-v" in name else f"qfix/{name}-v0"
    env = make_env(env_id, options)
    return FiniteMDP.from_env(env, gamma=env.unwrapped.mdp.gamma if gamma is None else gamma)


def train(model, config, steps, seeds=(0,), driver="compiled", **options):
    """Train from the start: (trainer, state, records)."""
    trainer = trainer_on(model, config, seeds, driver, **options)
    state, records = trainer.advance(trainer.start(), steps)
    return trainer, state, records


def flat(pieces):
    """What a seed's record says, as one array."""
    return np.concatenate(pieces) if pieces else np.zeros(0)


def greedy_route(model, q, start, longest=200):
    """States that the first greedy action visits from a state of a deterministic model."""
    route = [start]
    while not model.terminal[route[-1]] and len(route) <= longest:
        row = route[-1] * model.n_actions + int(q[route[-1]].argmax())
        i = model.indptr[row]
        route.append(int(model.next_state[i]))
        if model.terminated[i]:
            break
    return route


def optimal_values(model, tolerance=1e-10):
    """Q* by plain value iteration, (S, A)."""
    p, gamma = model.probability, model.gamma * ~model.terminated
    q = np.zeros((model.n_states, model.n_actions))
    while True:
        backed = np.add.reduceat(p * gamma * q.max(axis=1)[model.next_state], model.indptr[:-1])
        new = model.reward + backed.reshape(q.shape)
        new[model.terminal] = 0.0
        if np.abs(new - q).max() < tolerance * (1.0 - model.gamma):
            return new
        q = new


def reachable(model):
    """(S,) bool: states that some policy can be in when it takes an action."""
    seen = model.start > 0
    while True:
        source = np.repeat(np.arange(model.n_states * model.n_actions), np.diff(model.indptr))
        entered = model.next_state[
            seen[source // model.n_actions] & ~model.terminated & (model.probability > 0)
        ]
        grown = seen.copy()
        grown[entered] = True
        grown &= ~model.terminal
        if (grown == seen).all():
            return seen
        seen = grown


# Worlds


def random_world(seed=5, n_states=6, n_actions=3, max_episode_steps=7, start=0, p_end=0.1):
    """A random stochastic world whose episodes end by termination and, more often, by the time limit.

    Every reward is different, so values do not tie by accident.
    """
    rng = np.random.default_rng(seed)
    table = {}
    for s in range(n_states):
        for a in range(n_actions):
            following = rng.choice(n_states, 3, replace=False)
            share = rng.dirichlet(np.ones(3)) * (1.0 - p_end)
            outcomes = [(float(p), int(t), float(rng.normal()), False) for p, t in zip(share, following)]
            table[s, a] = [
                *outcomes,
                (1.0 - sum(o[0] for o in outcomes), n_states, float(rng.normal()), True),
            ]
    return FiniteMDP.from_function(
        lambda s, a: table[s, a],
        n_states + 1,
        n_actions,
        0.93,
        start=start,
        terminal=[n_states],
        max_episode_steps=max_episode_steps,
    )


def ring_world(n_states=5, n_actions=3):
    """A world without end, time limit or steps in place."""
    rng = np.random.default_rng(3)
    table = {
        (s, a): [
            (0.3, (s + 1) % n_states, float(rng.normal()), False),
            (
                0.7,
                (s + 1 + a) % n_states if (1 + a) % n_states else (s + 1) % n_states,
                float(rng.normal()),
                False,
            ),
        ]
        for s in range(n_states)
        for a in range(n_actions)
    }
    return FiniteMDP.from_function(lambda s, a: table[s, a], n_states, n_actions, 0.93, start=0)


def layered_world(layers=4, width=3, n_actions=2):
    """A world in which no state can be met twice in an episode."""
    rng = np.random.default_rng(8)
    n = layers * width
    table = {}
    for s in range(n):
        deep = s // width + 1
        for a in range(n_actions):
            after = [n] if deep == layers else range(deep * width, (deep + 1) * width)
            table[s, a] = [(1.0 / len(after), t, float(rng.normal()), t == n) for t in after]
    return FiniteMDP.from_function(lambda s, a: table[s, a], n + 1, n_actions, 0.93, start=1, terminal=[n])
