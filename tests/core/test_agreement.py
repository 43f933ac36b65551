"""One source, four backends: NumPy, the array API standard's strict reference, JAX (compiled) and torch."""

from __future__ import annotations

import numpy as np
import pytest

from qfix.core import bellman, distributions, losses, policies, returns, surrogates, td

from .conftest import Backend, random_rollout


def cases():
    """Every public function with arguments that separate its terms: one row here is every test below."""
    rng = np.random.default_rng(7)
    r = random_rollout(rng)
    reward, discount, q_next = r.reward, r.discount, r.q_next
    step = {"reward": reward, "discount": discount, "q_next": q_next}
    rows = {"reward": reward, "discount": discount, "continues": r.continues}
    values = {**rows, "value_next": r.value_next}
    branch = {**rows, "q_next": q_next, "action_next": r.action_next, "lambda_": 0.8}
    log_prob, log_prob_old = -rng.exponential(size=(2, 5))
    model = {
        "transition": rng.dirichlet(np.ones(4), (4, 3)),
        "reward": rng.normal(size=(4, 3)),
        "discount": np.where(rng.random((4, 3)) < 0.2, 0.0, 0.9),
        "value": rng.normal(size=4),
    }
    q, error = rng.normal(size=(5, 4)), 2 * rng.normal(size=9)
    counts = rng.integers(0, 9, size=(5, 4))
    atoms = np.linspace(-2, 2, 6)
    return {
        "q_learning": (td.q_learning, step),
        "sarsa": (td.sarsa, {**step, "action_next": r.action_next}),
        "expected_sarsa": (td.expected_sarsa, {**step, "policy_next": r.policy_next}),
        "double_q": (td.double_q, {**step, "q_select": rng.normal(size=q_next.shape)}),
        "soft_value": (td.soft_value, {"q": q, "temperature": 0.3}),
        "soft": (td.soft, {**step, "temperature": 0.3}),
        "munchausen": (
            td.munchausen,
            {
                **step,
                "q": rng.normal(size=q_next.shape),
                "action": r.action_next,
                "temperature": 0.3,
                "bonus_weight": 0.9,
                "bonus_floor": -0.5,
            },
        ),
        "lambda_returns": (returns.lambda_returns, {**values, "lambda_": 0.8}),
        "lambda_returns, scalars": (
            returns.lambda_returns,
            {**values, "lambda_": 0.8, "discount": 0.9, "continues": 1},
        ),
        "lambda_returns, rows": (returns.lambda_returns, {**values, "lambda_": rng.random(reward.shape)}),
        "discounted": (returns.discounted, values),
        "n_step": (returns.n_step, {**values, "n": 3}),
        "watkins": (returns.watkins, branch),
        "tree_backup": (returns.tree_backup, {**branch, "policy_next": r.policy_next}),
        "retrace": (returns.retrace, {**branch, "policy_next": r.policy_next, "ratio_next": r.ratio}),
        "gae": (returns.gae, {**values, "value": r.value, "lambda_": 0.8}),
        "v_trace": (
            returns.v_trace,
            {**values, "value": r.value, "ratio": r.ratio, "lambda_": 0.8, "clip_rho": 1.5, "clip_c": 0.9},
        ),
        "greedy": (policies.greedy, {"q": q}),
        "epsilon_greedy": (policies.epsilon_greedy, {"q": q, "epsilon": 0.2}),
        "epsilon_greedy, rows": (policies.epsilon_greedy, {"q": q, "epsilon": rng.random(5)}),
        "log_softmax": (policies.log_softmax, {"logits": q}),
        "boltzmann": (policies.boltzmann, {"q": q, "temperature": 0.3}),
        "best": (policies.best, {"q": np.round(q), "u": rng.random(q.shape)}),
        "draw": (policies.draw, {"probabilities": np.abs(np.round(q)) + 0.1, "u": rng.random(q.shape[:-1])}),
        "ucb": (policies.ucb, {"q": q, "counts": counts, "exploration": 1.4}),
        "policy_gradient": (
            surrogates.policy_gradient,
            {"log_prob": log_prob, "advantage": rng.normal(size=5)},
        ),
        "clipped_surrogate": (
            surrogates.clipped_surrogate,
            {
                "log_prob": log_prob,
                "log_prob_old": log_prob_old,
                "advantage": rng.normal(size=5),
                "eps_low": 0.2,
                "eps_high": 0.3,
            },
        ),
        "entropy": (surrogates.entropy, {"logits": q}),
        "kl_k1": (surrogates.kl_k1, {"log_prob": log_prob, "log_prob_ref": log_prob_old}),
        "kl_k2": (surrogates.kl_k2, {"log_prob": log_prob, "log_prob_ref": log_prob_old}),
        "kl_k3": (surrogates.kl_k3, {"log_prob": log_prob, "log_prob_ref": log_prob_old}),
        "group_advantage": (surrogates.group_advantage, {"reward": q, "scale": True, "eps": 0.1}),
        "categorical_log_prob": (
            distributions.categorical_log_prob,
            {"logits": q, "action": rng.integers(q.shape[-1], size=5)},
        ),
        "gaussian_log_prob": (
            distributions.gaussian_log_prob,
            {"x": rng.normal(size=5), "mean": rng.normal(size=5), "log_std": rng.normal(size=5)},
        ),
        "gaussian_entropy": (distributions.gaussian_entropy, {"log_std": rng.normal(size=5)}),
        "squash_log_slope": (distributions.squash_log_slope, {"x": 3 * rng.normal(size=5)}),
        "squashed_gaussian_entropy": (
            distributions.squashed_gaussian_entropy,
            {"mean": rng.normal(size=5), "log_std": 0.5 * rng.normal(size=5)},
        ),
        "squared": (losses.squared, {"error": error}),
        "clipped_prediction": (
            losses.clipped_prediction,
            {"prediction": rng.normal(size=5), "prediction_old": rng.normal(size=5), "clip": 0.4},
        ),
        "explained_variance": (
            losses.explained_variance,
            {"prediction": rng.normal(size=5), "target": rng.normal(size=5)},
        ),
        "huber": (losses.huber, {"error": error, "delta": 0.8}),
        "expectile": (losses.expectile, {"error": error, "tau": 0.7}),
        "quantile_huber": (
            losses.quantile_huber,
            {"quantile": q, "target": rng.normal(size=(5, 3)), "tau": rng.random(4), "kappa": 0.8},
        ),
        "categorical_projection": (
            losses.categorical_projection,
            {
                "probs_next": rng.dirichlet(np.ones(6), 3),
                "atoms_next": rng.normal(size=(3, 6)),
                "atoms": atoms,
            },
        ),
        "backup": (bellman.backup, model),
        "expectation": (bellman.expectation, {**model, "policy": rng.dirichlet(np.ones(3), 4)}),
        "optimality": (bellman.optimality, model),
        "residual": (
            lambda value: bellman.residual(lambda v: 0.3 * v, value),
            {"value": rng.normal(size=4)},
        ),
        "contraction": (
            lambda value, other: bellman.contraction(lambda v: 0.3 * v, value, other),
            {"value": rng.normal(size=4), "other": rng.normal(size=4)},
        ),
    }


CASES = cases()


def public_functions():
    array_modules = (td, returns, policies, surrogates, distributions, losses, bellman)
    return {
        name
        for module in array_modules
        for name, thing in vars(module).items()
        if callable(thing) and getattr(thing, "__module__", "") == module.__name__ and name[0].islower()
    }


OF_NUMBERS = ("best", "draw")  # their results are numbers of actions: there is no gradient
OPERATOR_ONLY = {
    "one_step",
    "td_error",
    "step_towards",
    "epsilon_greedy_value",
    "lambda_step",
    "tree_backup_step",
    "retrace_step",
    "gae_step",
    "v_trace_step",
}


def test_every_public_function_has_its_row():
    assert public_functions() - OPERATOR_ONLY == {name.split(",")[0] for name in CASES}


def as_arrays(result):
    return [np.asarray(x) for x in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("name", CASES)
def test_backend_agrees_with_numpy(name, backend: Backend):
    function, arguments = CASES[name]
    expected = as_arrays(function(**arguments))
    actual = as_arrays(backend.call(function, arguments))
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=backend.rtol, atol=backend.rtol)


@pytest.mark.parametrize("name", [name for name in CASES if name not in OF_NUMBERS])
def test_torch_keeps_single_precision_and_finite_gradients(name):
    torch = pytest.importorskip("torch", reason="torch is a test-only dependency and is not installed")
    function, arguments = CASES[name]
    given = {k: torch.asarray(x) if isinstance(x, np.ndarray) else x for k, x in arguments.items()}
    given = {
        k: x.to(torch.float32).requires_grad_() if torch.is_tensor(x) and x.dtype == torch.float64 else x
        for k, x in given.items()
    }
    result = function(**given)
    outputs = result if isinstance(result, tuple) else (result,)
    assert all(x.dtype == torch.float32 for x in outputs)
    if name == "greedy" or name.startswith("epsilon_greedy") or name == "ucb":
        return  # no gradient passes through a choice
    sum(x.sum() for x in outputs).backward()
    gradients = [x.grad for x in given.values() if torch.is_tensor(x) and x.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)
