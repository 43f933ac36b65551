"""What an actor descends: losses of a policy, and the quantities they are made of.

Every function works element by element unless it says that it takes the last axis; none reduces over the
batch and none stops a gradient. Probabilities come as logarithms.
"""

from __future__ import annotations

from qfix.core._array import Array, namespace, require_range, require_shape, shape_of
from qfix.core.policies import log_softmax
from qfix.errors import option_error


def policy_gradient(log_prob: Array, advantage: Array) -> Array:
    """Loss whose descent makes actions likelier in proportion to their advantage.

        L = −A·log π(a|s)

    Args:
        log_prob: log π(a|s) of the action taken; any shape.
        advantage: shape of `log_prob`; stop its gradient.

    Returns:
        The loss; shape of `log_prob`.

    Raises:
        OptionError: shapes do not match.

    Source: Williams (1992), Simple statistical gradient-following algorithms; Sutton & Barto (2018), eq.
    13.11.
    """
    require_shape("policy_gradient", "advantage", advantage, shape_of(log_prob), "log_prob")
    return -advantage * log_prob


def clipped_surrogate(
    log_prob: Array, log_prob_old: Array, advantage: Array, eps_low: Array, eps_high: Array
) -> Array:
    """Loss of PPO: the policy gradient, until the ratio of new to old has moved far enough the advantage's
    way.

        L = −min(ρ·A, clip(ρ, 1 − ε_low, 1 + ε_high)·A),   ρ = π(a|s)/π_old(a|s)

    Reduces to −A, with the gradient of `policy_gradient`, where the two policies agree; to −ρ·A for wide
    bounds.

    Args:
        log_prob: log π(a|s) of the action taken; any shape.
        log_prob_old: the same under the policy that acted; shape of `log_prob`.
        advantage: shape of `log_prob`; stop its gradient.
        eps_low: in [0, 1], scalar (PPO: 0.2).
        eps_high: >= 0, scalar (PPO: 0.2; DAPO: 0.28, so that rare actions may rise).

    Returns:
        The loss; shape of `log_prob`.

    Raises:
        OptionError: shapes do not match, or a bound is out of range.

    Source: Schulman et al. (2017), Proximal policy optimization algorithms, eq. 7; Yu et al. (2025), DAPO,
    section 3.1, for the two bounds.
    """
    owner = "clipped_surrogate"
    require_shape(owner, "log_prob_old", log_prob_old, shape_of(log_prob), "log_prob")
    require_shape(owner, "advantage", advantage, shape_of(log_prob), "log_prob")
    require_range(owner, "eps_low", eps_low, 0.0, 1.0, "Use eps_low=0.2 as in PPO.")
    require_range(owner, "eps_high", eps_high, 0.0, float("inf"), "Use eps_high=0.2 as in PPO.")
    xp = namespace(log_prob, log_prob_old, advantage)
    ratio = xp.exp(log_prob - log_prob_old)
    return -xp.minimum(ratio * advantage, xp.clip(ratio, 1.0 - eps_low, 1.0 + eps_high) * advantage)


def entropy(logits: Array) -> Array:
    """Entropy of the distribution that is proportional to exp(logits), along the last axis.

        H = −Σ_a π(a)·log π(a),   π = softmax(logits)

    0 for a certain action, log A for the uniform one; unchanged when a constant is added to all logits, so
    log-probabilities serve as well.

    Args:
        logits: (..., A); −inf for an action that is not allowed.

    Returns:
        (...), in nats.

    Source: Shannon (1948), A mathematical theory of communication, section 6.
    """
    xp = namespace(logits)
    log_prob = log_softmax(logits)
    prob = xp.exp(log_prob)
    return -xp.sum(prob * xp.where(prob > 0, log_prob, xp.zeros_like(log_prob)), axis=-1)


def kl_k1(log_prob: Array, log_prob_ref: Array) -> Array:
    """The plain estimate of KL(π‖π_ref) from one sample of π: unbiased, noisy, often negative.

        k1 = log π(a) − log π_ref(a)

    Args:
        log_prob: log π(a), of an action drawn from π; any shape.
        log_prob_ref: log π_ref(a); shape of `log_prob`.

    Returns:
        The estimate; shape of `log_prob`, in nats.

    Raises:
        OptionError: shapes do not match.

    Source: Schulman (2020), Approximating KL divergence.
    """
    require_shape("kl_k1", "log_prob_ref", log_prob_ref, shape_of(log_prob), "log_prob")
    return log_prob - log_prob_ref


def kl_k2(log_prob: Array, log_prob_ref: Array) -> Array:
    """An estimate of KL(π‖π_ref) from one sample of π: never negative, biased, right to second order.

        k2 = (log π(a) − log π_ref(a))²/2

    Args:
        log_prob: log π(a), of an action drawn from π; any shape.
        log_prob_ref: log π_ref(a); shape of `log_prob`.

    Returns:
        The estimate; shape of `log_prob`, in nats.

    Raises:
        OptionError: shapes do not match.

    Source: Schulman (2020), Approximating KL divergence.
    """
    require_shape("kl_k2", "log_prob_ref", log_prob_ref, shape_of(log_prob), "log_prob")
    log_ratio = log_prob - log_prob_ref
    return 0.5 * log_ratio * log_ratio


def kl_k3(log_prob: Array, log_prob_ref: Array) -> Array:
    """An estimate of KL(π‖π_ref) from one sample of π: unbiased and never negative.

        k3 = (r − 1) − log r,   r = π_ref(a)/π(a)

    It is k1 plus r − 1, whose mean under π is 0.

    Args:
        log_prob: log π(a), of an action drawn from π; any shape.
        log_prob_ref: log π_ref(a); shape of `log_prob`.

    Returns:
        The estimate; shape of `log_prob`, in nats.

    Raises:
        OptionError: shapes do not match.

    Source: Schulman (2020), Approximating KL divergence.
    """
    require_shape("kl_k3", "log_prob_ref", log_prob_ref, shape_of(log_prob), "log_prob")
    log_r = log_prob_ref - log_prob
    return namespace(log_prob, log_prob_ref).expm1(log_r) - log_r


def group_advantage(reward: Array, scale: bool, eps: float) -> Array:
    """How much better each answer is than the others to the same question.

        A_i = (r_i − mean(r)) / (std(r) + ε), or without the division

    0 throughout a group whose rewards are all the same.

    Args:
        reward: (..., G), rewards of the G >= 2 members of a group.
        scale: whether to divide by the group's (population) standard deviation. Undivided, questions that
            are nearly always or never answered do not weigh more than others.
        eps: >= 0, added to the deviation, in units of reward; above 0 where a group may agree.

    Returns:
        (..., G), advantages.

    Raises:
        OptionError: a group has fewer than two members, or eps is negative.

    Source: Shao et al. (2024), DeepSeekMath, section 4.1.2 (scaled); Liu et al. (2025), Understanding
    R1-Zero-like training (unscaled).
    """
    shape = shape_of(reward)
    if not shape or shape[-1] < 2:
        rule, remedy = "must have at least 2 members along its last axis", "Sample several for each question."
        raise option_error("group_advantage", "reward", rule, shape, remedy)
    require_range("group_advantage", "eps", eps, 0.0, float("inf"), "Use eps=1e-4.")
    xp = namespace(reward)
    centred = reward - xp.mean(reward, axis=-1, keepdims=True)
    if not scale:
        return centred
    return centred / (xp.std(reward, axis=-1, keepdims=True) + eps)
