"""Multi-step targets: what a stretch of experience says the values along it should be.

The first functions are the steps of the recursions. They are made of operators alone, take scalars or arrays
alike, and compile unchanged under `numba.njit`. The array functions below run these very steps over the
leading time axis.

The rule at the end of an episode is the same everywhere. Each step brings the values of its *own* next
observation, the final one where the episode ended with it, and two numbers:

- `discount = gamma * (1 - terminated)`: 0 where there is nothing left to earn;
- `continues = 1 - (terminated or truncated)`: 0 where the next row belongs to another episode.

So a truncated step bootstraps from its final observation, and no return leaks into it from the episode
after. The last row always bootstraps. Nothing here stops a gradient: callers do that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qfix.core import td
from qfix.core._array import (
    Array,
    is_scalar,
    like,
    namespace,
    require_actions_axis,
    require_range,
    require_scalar_or_shape,
    require_shape,
    scan_reverse,
    shape_of,
    take_last,
)
from qfix.core.traces import dutch_trace_increment as dutch_trace_increment
from qfix.core.traces import gradient_auxiliary_step as gradient_auxiliary_step
from qfix.core.traces import gradient_correction as gradient_correction
from qfix.core.traces import trace_decay as trace_decay
from qfix.core.traces import true_online_feature_step as true_online_feature_step
from qfix.core.traces import true_online_trace_step as true_online_trace_step
from qfix.errors import option_error


def lambda_step(
    reward: Array, discount: Array, lambda_: Array, value_next: Array, return_next: Array
) -> Array:
    """One step back of the λ-return.

        G_t = r_t + γ_t·((1 − λ)·v'_t + λ·G_{t+1})

    Reduces to `one_step` at λ = 0 and to the discounted return at λ = 1.

    Args:
        reward: reward of step t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        lambda_: weight of the longer return, in [0, 1]; 0 where the episode ends with step t, however it
            does.
        value_next: value of step t's own next observation.
        return_next: G_{t+1}.

    Returns:
        G_t; shape of `reward`.

    Source: Sutton & Barto (2018), eq. 12.18 (λ-return with a varying λ; its λ_{t+1} is `lambda_` here).
    """
    return reward + discount * ((1.0 - lambda_) * value_next + lambda_ * return_next)


def tree_backup_step(
    reward: Array,
    discount: Array,
    expected_q_next: Array,
    prob_next: Array,
    q_next: Array,
    return_next: Array,
) -> Array:
    """One step back of the tree backup: the taken branch's value is replaced by its return.

        G_t = r_t + γ_t·(E_π[q'] + π(a'|s')·(G_{t+1} − q'(a')))

    Reduces to expected SARSA where `prob_next` is 0. With another branch weight in the place of `prob_next`
    it is the step of every return-based off-policy target: λ for Q^π(λ), λ·min(1, ρ') for Retrace(λ).

    Args:
        reward: reward of step t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        expected_q_next: Σ_a π(a|s')·q'(a).
        prob_next: π(a'|s'), in [0, 1]; 0 where the episode ends with step t, however it ends.
        q_next: q'(a'), value of the action taken next.
        return_next: G_{t+1}.

    Returns:
        G_t; shape of `reward`.

    Source: Sutton & Barto (2018), eq. 7.16, with its sum over a ≠ a' written as E_π[q'] − π(a')·q'(a').
    """
    return reward + discount * (expected_q_next + prob_next * (return_next - q_next))


# Retrace(λ) is this same recursion with the branch weight c' = λ·min(1, ρ') (Munos et al. 2016, eq. 3).
retrace_step = tree_backup_step


def gae_step(td_error: Array, discount: Array, lambda_: Array, advantage_next: Array) -> Array:
    """One step back of the generalised advantage: this step's TD error and the decayed rest.

        A_t = δ_t + γ_t·λ·A_{t+1}

    Reduces to the TD error at λ = 0. With c_t in the place of λ it is the step of V-trace.

    Args:
        td_error: δ_t = r_t + γ_t·v'_t − v_t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        lambda_: in [0, 1]; 0 where the episode ends with step t, however it ends.
        advantage_next: A_{t+1}.

    Returns:
        A_t; shape of `td_error`.

    Source: Schulman et al. (2016), High-dimensional continuous control using generalized advantage
    estimation, eq. 16.
    """
    return td_error + discount * lambda_ * advantage_next


# V-trace's v_t − V(x_t) = ρ_t·δ_t + γ_t·c_t·(v_{t+1} − V(x_{t+1})) is this same recursion
# (Espeholt et al. 2018, remark 1).
v_trace_step = gae_step


def lambda_returns(
    reward: Array, discount: Array, value_next: Array, continues: Array, lambda_: Array
) -> Array:
    """λ-returns: at every step, the mixture of all the n-step returns that follow.

        G_t = r_t + γ_t·((1 − λ_t)·v'_t + λ_t·G_{t+1}),   λ_t = 0 where the episode ends and at the last row

    Reduces to one-step targets r_t + γ_t·v'_t at λ = 0 and to `discounted` at λ = 1. What v' is makes the
    algorithm: max_a q'(a) gives Peng's Q(λ), Σ_a π(a)·q'(a) expected SARSA(λ), a critic's value the target
    of TD(λ).

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        value_next: (T, ...), value of each step's own next observation.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1]; row t weighs the return of step t + 1.

    Returns:
        (T, ...), the targets G_t.

    Raises:
        OptionError: shapes do not match, or lambda_ is out of range.

    Source: Sutton & Barto (2018), eqs. 12.2 and 12.18.
    """
    owner = "lambda_returns"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    require_shape(owner, "value_next", value_next, shape_of(reward), "reward")
    _require_lambda(owner, lambda_)
    xp = namespace(reward, discount, value_next, continues, lambda_)

    def step(return_next: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, trace, value_next = row
        target = lambda_step(reward, discount, trace, value_next, return_next)
        return target, target

    trace = lambda_ * like(xp, continues, value_next)
    return _backward(xp, step, value_next, (reward, like(xp, discount, reward), trace, value_next))


def discounted(reward: Array, discount: Array, value_next: Array, continues: Array) -> Array:
    """Discounted returns: all reward to the end of the episode, then the value of where a truncated one was.

        G_t = r_t + γ_t·r_{t+1} + γ_t·γ_{t+1}·r_{t+2} + ... + (Π γ)·v'_end

    Reduces to the Monte Carlo return where the episode terminates: v' of its end then weighs 0.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        value_next: (T, ...), value of each step's own next observation; read at truncated rows and the last
            one.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.

    Returns:
        (T, ...), the returns G_t.

    Raises:
        OptionError: shapes do not match.

    Source: Sutton & Barto (2018), eq. 3.9.
    """
    _require_rows("discounted", reward, discount=discount, continues=continues)
    require_shape("discounted", "value_next", value_next, shape_of(reward), "reward")
    return lambda_returns(reward, discount, value_next, continues, 1.0)


def n_step(reward: Array, discount: Array, value_next: Array, continues: Array, n: int) -> Array:
    """n-step returns: n rewards, or as many as the episode or data have, then the value of where they led.

        G_t^{(1)} = r_t + γ_t·v'_t
        G_t^{(n)} = r_t + γ_t·G_{t+1}^{(n−1)}, and G_t^{(1)} where the episode ends

    Reduces to one-step targets at n = 1 and to `discounted` at n >= T.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        value_next: (T, ...), value of each step's own next observation.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        n: how many rewards, at least 1 (a Python integer).

    Returns:
        (T, ...), the targets.

    Raises:
        OptionError: shapes do not match, or n is below 1.

    Source: Sutton & Barto (2018), eq. 7.1.
    """
    _require_rows("n_step", reward, discount=discount, continues=continues)
    require_shape("n_step", "value_next", value_next, shape_of(reward), "reward")
    if n < 1:
        raise option_error("n_step", "n", "must be at least 1", n, "Use n=1 for one-step targets.")
    xp = namespace(reward, discount, value_next, continues)
    discount, continues = like(xp, discount, reward), like(xp, continues, value_next)

    def lengthen(target: Array, _: tuple[Array, ...]) -> tuple[Array, None]:
        follow = xp.concat([target[1:, ...], value_next[-1:, ...]], axis=0)
        return lambda_step(reward, discount, continues, value_next, follow), None

    shortest = td.one_step(reward, discount, value_next)
    rounds = min(n, reward.shape[0]) - 1
    if rounds == 0:
        return shortest
    return scan_reverse(lengthen, shortest, (xp.arange(rounds),))[0]


def watkins(
    reward: Array, discount: Array, q_next: Array, action_next: Array, continues: Array, lambda_: Array
) -> Array:
    """Targets of Watkins's Q(λ): λ-returns of the greedy policy, cut at the first action that is not greedy.

        G_t = r_t + γ_t·((1 − λ·g)·max_a q'(a) + λ·g·G_{t+1}),   g = 1 if a' is greedy (ties are), else 0

    Reduces to Q-learning at λ = 0 and to Peng's Q(λ) while every action is greedy.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (T, ..., A), action values at each step's own next observation.
        action_next: (T, ...) integer, the action taken there, in [0, A); any where the episode or data end.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1].

    Returns:
        (T, ...), the targets.

    Raises:
        OptionError: shapes do not match, or lambda_ is out of range.

    Source: Watkins (1989), Learning from delayed rewards; Sutton & Barto (2018), section 12.10.
    """
    owner = "watkins"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    _require_next(owner, reward, q_next, action_next)
    _require_lambda(owner, lambda_)
    xp = namespace(reward, q_next, action_next)
    value_next = xp.max(q_next, axis=-1)
    greedy = take_last(xp, q_next, action_next) == value_next
    return lambda_returns(reward, discount, value_next, continues, lambda_ * like(xp, greedy, value_next))


def tree_backup(
    reward: Array,
    discount: Array,
    q_next: Array,
    policy_next: Array,
    action_next: Array,
    continues: Array,
    lambda_: Array,
) -> Array:
    """Targets of tree backup: off-policy, and no need to know the policy that acted.

        G_t = r_t + γ_t·(Σ_a π(a|s')·q'(a) + λ·π(a'|s')·(G_{t+1} − q'(a')))

    Reduces to expected SARSA at λ = 0, and at λ = 1 to the plain tree backup along the whole episode; for a
    greedy π without ties to `watkins`.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (T, ..., A), action values at each step's own next observation.
        policy_next: (T, ..., A), probabilities there under the policy that is learned about.
        action_next: (T, ...) integer, the action taken there, in [0, A); any where the episode or data end.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1].

    Returns:
        (T, ...), the targets.

    Raises:
        OptionError: shapes do not match, or lambda_ is out of range.

    Source: Precup, Sutton & Singh (2000), Eligibility traces for off-policy policy evaluation, section 4;
    Sutton & Barto (2018), eq. 7.16 and section 12.10.
    """
    owner = "tree_backup"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    _require_next(owner, reward, q_next, action_next, policy_next)
    _require_lambda(owner, lambda_)
    prob_next = take_last(namespace(policy_next, action_next), policy_next, action_next)
    trace = lambda_ * prob_next
    return _branch_returns(reward, discount, q_next, policy_next, action_next, continues, trace)


def retrace(
    reward: Array,
    discount: Array,
    q_next: Array,
    policy_next: Array,
    action_next: Array,
    ratio_next: Array,
    continues: Array,
    lambda_: Array,
) -> Array:
    """Targets of Retrace(λ): off-policy, safe for any behaviour, and uncut while behaviour and target agree.

        G_t = r_t + γ_t·(Σ_a π(a|s')·q'(a) + c'·(G_{t+1} − q'(a'))),   c' = λ·min(1, π(a'|s') / μ(a'|s'))

    Reduces to expected SARSA at λ = 0 and to `tree_backup` for a behaviour μ ≡ 1 (ratio π).

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (T, ..., A), action values at each step's own next observation.
        policy_next: (T, ..., A), probabilities there under the policy that is learned about.
        action_next: (T, ...) integer, the action taken there, in [0, A); any where the episode or data end.
        ratio_next: (T, ...), π(a'|s') / μ(a'|s') of that action, >= 0; any finite one where the episode or
            data end.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1].

    Returns:
        (T, ...), the targets.

    Raises:
        OptionError: shapes do not match, or lambda_ is out of range.

    Source: Munos et al. (2016), Safe and efficient off-policy reinforcement learning, eq. 3 and section 3.
    """
    owner = "retrace"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    _require_next(owner, reward, q_next, action_next, policy_next)
    require_shape(owner, "ratio_next", ratio_next, shape_of(reward), "reward")
    _require_lambda(owner, lambda_)
    trace = lambda_ * namespace(ratio_next).clip(ratio_next, None, 1.0)
    return _branch_returns(reward, discount, q_next, policy_next, action_next, continues, trace)


def gae(
    reward: Array, discount: Array, value: Array, value_next: Array, continues: Array, lambda_: Array
) -> Array:
    """Generalised advantages: how much better the actions did than the critic thought.

        A_t = δ_t + γ_t·λ·A_{t+1},   δ_t = r_t + γ_t·v'_t − v_t,   cut where the episode ends

    Reduces to TD errors at λ = 0 and to `discounted` − value at λ = 1; A + value are the λ-returns, if each
    v'_t is the next row's value wherever the episode goes on.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        value: (T, ...), value of each step's observation.
        value_next: (T, ...), value of each step's own next observation.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1].

    Returns:
        (T, ...), the advantages.

    Raises:
        OptionError: shapes do not match, or lambda_ is out of range.

    Source: Schulman et al. (2016), eqs. 11 and 16.
    """
    owner = "gae"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    require_shape(owner, "value", value, shape_of(reward), "reward")
    require_shape(owner, "value_next", value_next, shape_of(reward), "reward")
    _require_lambda(owner, lambda_)
    xp = namespace(reward, value, value_next)
    error = td.td_error(td.one_step(reward, discount, value_next), value)
    return _accumulate(xp, error, discount, lambda_ * like(xp, continues, value_next))


class VTrace(NamedTuple):
    """Targets of the critic and advantages of the actor, both (T, ...)."""

    target: Array
    advantage: Array


def v_trace(
    reward: Array,
    discount: Array,
    value: Array,
    value_next: Array,
    ratio: Array,
    continues: Array,
    lambda_: Array,
    clip_rho: float,
    clip_c: float,
) -> VTrace:
    """V-trace: values of a policy from another's experience, with truncated importance weights.

        v_t − V_t = ρ_t·δ_t + γ_t·c_t·(v_{t+1} − V_{t+1}),   δ_t = r_t + γ_t·V'_t − V_t
        ρ_t = min(ρ̄, π/μ),   c_t = λ·min(c̄, π/μ),   advantage_t = ρ_t·(r_t + γ_t·v'_t − V_t)

    where v'_t is v_{t+1}, or V'_t where the episode or the data end. Reduces to λ-returns (V + GAE) where
    the two policies agree and both clips are at least 1. `clip_rho` sets which policy is valued: π at
    infinity, μ near 0; `clip_c` only the speed.

    Args:
        reward: (T, ...), floating.
        discount: (T, ...) or scalar, gamma * (1 - terminated), in [0, 1].
        value: (T, ...), V of each step's observation.
        value_next: (T, ...), V' of each step's own next observation.
        ratio: (T, ...), π(a|s) / μ(a|s) of the action taken, >= 0.
        continues: (T, ...) flags, false where the episode ends with the step; or 1 if it never does.
        lambda_: scalar or (T, ...), in [0, 1].
        clip_rho: ρ̄ > 0 (the paper: 1).
        clip_c: c̄ > 0, at most ρ̄ (the paper: 1).

    Returns:
        The targets v and the advantages, each (T, ...).

    Raises:
        OptionError: shapes do not match, or lambda_ or a clip is out of range.

    Source: Espeholt et al. (2018), IMPALA, eq. 1, remarks 1 and 2, and section 4.2 for the advantage.
    1. The advantage takes the clip of the targets; the paper allows it one of its own.
    """
    owner = "v_trace"
    _require_rows(owner, reward, discount=discount, continues=continues, lambda_=lambda_)
    for name, x in (("value", value), ("value_next", value_next), ("ratio", ratio)):
        require_shape(owner, name, x, shape_of(reward), "reward")
    _require_lambda(owner, lambda_)
    remedy = "Use clip_rho=1.0 and clip_c=1.0 as in the paper."
    require_range(owner, "clip_rho", clip_rho, 0.0, float("inf"), remedy, open_low=True)
    require_range(owner, "clip_c", clip_c, 0.0, clip_rho, remedy, open_low=True)
    xp = namespace(reward, value, value_next, ratio)
    continues = like(xp, continues, value_next)
    rho = xp.clip(ratio, None, clip_rho)
    error = rho * td.td_error(td.one_step(reward, discount, value_next), value)
    excess = _accumulate(xp, error, discount, lambda_ * continues * xp.clip(ratio, None, clip_c))
    excess_next = xp.concat([excess[1:, ...], xp.zeros_like(excess[-1:, ...])], axis=0)
    target_next = value_next + continues * excess_next
    advantage = rho * td.td_error(td.one_step(reward, discount, target_next), value)
    return VTrace(value + excess, advantage)


def _branch_returns(
    reward: Array,
    discount: Array,
    q_next: Array,
    policy_next: Array,
    action_next: Array,
    continues: Array,
    trace: Array,
) -> Array:
    xp = namespace(reward, q_next, policy_next, action_next, trace)
    expected_q_next = xp.sum(policy_next * q_next, axis=-1)
    taken_q_next = take_last(xp, q_next, action_next)
    trace = trace * like(xp, continues, taken_q_next)

    def step(return_next: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, expected_q_next, trace, taken_q_next = row
        target = tree_backup_step(reward, discount, expected_q_next, trace, taken_q_next, return_next)
        return target, target

    rows = (reward, like(xp, discount, reward), expected_q_next, trace, taken_q_next)
    return _backward(xp, step, taken_q_next, rows)


def _accumulate(xp: Any, error: Array, discount: Array, trace: Array) -> Array:
    def step(advantage_next: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        error, discount, trace = row
        advantage = gae_step(error, discount, trace, advantage_next)
        return advantage, advantage

    return _backward(xp, step, xp.zeros_like(error), (error, like(xp, discount, error), trace))


def _backward(
    xp: Any,
    step: Callable[[Array, tuple[Array, ...]], tuple[Array, Array]],
    last: Array,
    rows: tuple[Array, ...],
) -> Array:
    # A scan wants the carry to keep its dtype, so it starts in the one that the rows promote to.
    init = xp.astype(last[-1, ...], xp.result_type(last, *rows))
    return scan_reverse(step, init, rows)[1]


def _require_rows(owner: str, reward: Array, **rows: Array) -> None:
    if is_scalar(reward) or reward.shape[0] == 0:
        raise option_error(
            owner,
            "reward",
            "must have time as its leading axis, of length T >= 1",
            shape_of(reward),
            "Stack the steps of a stretch of experience along axis 0.",
        )
    for name, row in rows.items():
        require_scalar_or_shape(owner, name, row, shape_of(reward), "reward")


def _require_next(
    owner: str, reward: Array, q_next: Array, action_next: Array, policy_next: Array | None = None
) -> None:
    require_actions_axis(owner, "q_next", q_next, shape_of(reward), "reward")
    require_shape(owner, "action_next", action_next, shape_of(reward), "reward")
    if policy_next is not None:
        require_shape(owner, "policy_next", policy_next, shape_of(q_next), "q_next")


def _require_lambda(owner: str, lambda_: Array) -> None:
    require_range(owner, "lambda_", lambda_, 0.0, 1.0, "Use lambda_=0.9 to trade bias for variance.")
