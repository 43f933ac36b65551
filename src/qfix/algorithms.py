"""Every algorithm by name. A literal table: nothing is imported until an algorithm is used."""

from __future__ import annotations

from typing import NamedTuple

from qfix.errors import UnknownNameError, unknown_name


class Algorithm(NamedTuple):
    """Where an algorithm is and what it is."""

    summary: str  # one line for `qfix list`
    module: str  # has its `Config`
    trainer: str  # module:class that trains it


_TABLES = "qfix.tabular.trainer:TabularTrainer"
_NETWORKS = "qfix.deep.trainer:DeepTrainer"

ALGORITHMS: dict[str, Algorithm] = {
    name: Algorithm(summary, f"qfix.tabular.{name}", _TABLES)
    for name, summary in {
        "q_learning": "off-policy, one step, the best next action",
        "double_q_learning": "Q-learning without the maximisation bias: two estimates",
        "sarsa": "on-policy, one step, the next action taken",
        "expected_sarsa": "SARSA with the expectation over the next action",
        "n_step_sarsa": "on-policy, n rewards, then the value",
        "n_step_tree_backup": "off-policy over n steps without importance sampling",
        "watkins_q_lambda": "Q-learning with traces, cut where it explored",
        "sarsa_lambda": "true online SARSA(λ) with dutch traces",
        "monte_carlo": "whole returns, at the end of each episode",
        "dyna_q": "Q-learning that also learns from remembered steps",
        "prioritized_sweeping": "planning backwards from where values changed most",
    }.items()
} | {
    name: Algorithm(summary, f"qfix.deep.{name}", _NETWORKS)
    for name, summary in {
        "dqn": "Q-learning with a network, replay and a target network",
        "rainbow": "DQN with double, dueling, n-step, prioritised, noisy and distributional at once",
        "deep_sarsa": "SARSA with a network, replay and a target network",
        "deep_expected_sarsa": "expected SARSA with a network, replay and a target network",
        "pqn": "parallel Q-learning: many environments, no replay, no target network",
        "reinforce": "policy gradient from whole returns, with a baseline",
        "a2c": "a policy and its critic, one gradient step from a short rollout",
        "sac": "Q-learning of continuous actions, with a policy that finds the best one",
        "ppo": "a policy and its critic, several clipped epochs over a rollout",
    }.items()
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        UnknownNameError: there is none; suggests the nearest.
    """
    if name not in ALGORITHMS:
        if name.lower() in ALGORITHMS:
            raise UnknownNameError(f"There is no algorithm '{name}'. Did you mean '{name.lower()}'?")
        raise unknown_name("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


def names_of(family: str) -> list[str]:
    """The algorithms of a family, "tabular" or "deep"."""
    return [name for name, row in ALGORITHMS.items() if row.module.startswith(f"qfix.{family}.")]
