"""qfix: Q-learning taken to its fixed point, with exact answers to hold it against.

    run = qfix.train("FrozenLake-v1", "q_learning", total_steps=200_000, seeds=4)
    run.policy(seed=0).predict(0), run.evaluate(), run.optimality_gap()

    mdp = qfix.FiniteMDP.from_env("FrozenLake-v1", gamma=0.99)
    qfix.solve(mdp)

Names are imported when they are first used, so that `import qfix` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qfix.envs import register_worlds_with_gymnasium

__version__ = "0.1.0"

# name to the module that has it
_HOMES = {
    name: module
    for module, names in {
        "qfix.errors": (
            "CheckpointError",
            "EnvironmentFault",
            "FolderError",
            "Interrupted",
            "LockedError",
            "ModelError",
            "OptionError",
            "QfixError",
            "SpaceError",
            "UnknownNameError",
        ),
        "qfix.mdp": (
            "FiniteMDP",
            "Solution",
            "evaluate_policy",
            "expected_return",
            "finite_horizon",
            "garnet",
            "policy_value",
            "soft_value_iteration",
            "solve",
            "start_value",
        ),
        "qfix.explore": (
            "UCB",
            "VDBE",
            "Boltzmann",
            "Constant",
            "ConstantValue",
            "CountBonus",
            "Decay",
            "EpsilonGreedy",
            "Exponential",
            "Greedy",
            "Inverse",
            "Linear",
            "Optimistic",
            "Piecewise",
            "Polynomial",
            "Schedule",
            "SmallRandom",
            "Strategy",
            "robbins_monro",
        ),
        "qfix.comparison": ("compare",),
        "qfix.experiment": ("load", "resume", "train"),
        "qfix.evaluation": ("Evaluation",),
        "qfix.run": ("Run",),
        "qfix.runs.history": ("Episodes", "Metric"),
        "qfix.runs": ("RunSpec",),
        "qfix.algorithms": ("ALGORITHMS",),
    }.items()
    for name in names
}

__all__ = sorted([*_HOMES, "__version__"])

register_worlds_with_gymnasium()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'qfix' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from qfix.algorithms import ALGORITHMS
    from qfix.comparison import compare
    from qfix.errors import (
        CheckpointError,
        EnvironmentFault,
        FolderError,
        Interrupted,
        LockedError,
        ModelError,
        OptionError,
        QfixError,
        SpaceError,
        UnknownNameError,
    )
    from qfix.evaluation import Evaluation
    from qfix.experiment import load, resume, train
    from qfix.explore import (
        UCB,
        VDBE,
        Boltzmann,
        Constant,
        ConstantValue,
        CountBonus,
        Decay,
        EpsilonGreedy,
        Exponential,
        Greedy,
        Inverse,
        Linear,
        Optimistic,
        Piecewise,
        Polynomial,
        Schedule,
        SmallRandom,
        Strategy,
        robbins_monro,
    )
    from qfix.mdp import (
        FiniteMDP,
        Solution,
        evaluate_policy,
        expected_return,
        finite_horizon,
        garnet,
        policy_value,
        soft_value_iteration,
        solve,
        start_value,
    )
    from qfix.run import Run
    from qfix.runs import RunSpec
    from qfix.runs.history import Episodes, Metric
