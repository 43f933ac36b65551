"""Robbins-Monro answers: a table worked by hand, and a check against the schedules' own growth."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.explore import (
    Constant,
    Decay,
    Exponential,
    Inverse,
    Linear,
    Piecewise,
    Polynomial,
    convergence_warning,
    robbins_monro,
)


@pytest.mark.parametrize(
    ("schedule", "sum_diverges", "squares_converge"),
    [
        (Constant(0.1), True, False),
        (Constant(0.0), False, True),
        (Constant(0.1, by="step_in_episode"), True, False),
        (Linear(1.0, 0.01, 100), True, False),
        (Linear(0.0, 0.01, 100), True, False),
        (Linear(1.0, 0.0, 100), False, True),
        (Exponential(1.0, 0.01, 100), True, False),
        (Decay(1.0, 0.999), False, True),
        (Decay(1.0, 0.999, 0.01), True, False),
        (Inverse(1.0, 100), True, True),
        (Inverse(1.0, 100, 0.01), True, False),
        (Inverse(0.0, 100), False, True),
        (Polynomial(1.0, 0.3), True, False),
        (Polynomial(1.0, 0.5), True, False),
        (Polynomial(1.0, 0.501), True, True),
        (Polynomial(1.0, 0.8, by="visit"), True, True),
        (Polynomial(1.0, 1.0, by="episode"), True, True),
        (Polynomial(1.0, 1.001), False, True),
        (Polynomial(1.0, 0.8, end=0.01), True, False),
        (Polynomial(0.0, 0.8), False, True),
        (Polynomial(1.0, 0.8, by="step_in_episode"), True, False),
        (Decay(1.0, 0.9, by="step_in_episode"), True, False),
        (Piecewise([10], [1.0, 0.1]), True, False),
        (Piecewise([10], [1.0, 0.0]), False, True),
        (Piecewise([10], [0.0, 0.0]), False, True),
    ],
)
def test_both_answers_follow_from_the_form(schedule, sum_diverges, squares_converge):
    answer = robbins_monro(schedule)
    assert (answer.sum_diverges, answer.sum_of_squares_converges) == (sum_diverges, squares_converge)
    assert answer.holds == (sum_diverges and squares_converge)
    assert (convergence_warning(schedule) is None) == answer.holds


@settings(deadline=None)
@given(
    st.one_of(
        st.builds(Constant, st.floats(0.01, 1.0)),
        st.builds(Linear, st.floats(0.0, 1.0), st.sampled_from([0.0, 0.1]), st.integers(1, 10**6)),
        st.builds(Exponential, st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.integers(1, 10**6)),
        st.builds(Decay, st.floats(0.2, 1.0), st.floats(0.1, 0.999), st.sampled_from([0.0, 0.1])),
        st.builds(Inverse, st.floats(0.2, 1.0), st.integers(1, 10**6), st.sampled_from([0.0, 0.1])),
        st.builds(
            Polynomial,
            st.floats(0.2, 1.0),
            # At 1/2 and 1 themselves the ratio below is exactly 1; next to them it is too close to 1 to tell.
            st.sampled_from([0.25, 0.4, 0.49, 0.6, 0.75, 0.9, 0.99, 1.1, 1.5, 2.0]),
            st.floats(1.0, 100.0),
        ),
    )
)
def test_answers_agree_with_cauchy_condensation(schedule):
    """For a falling f, Σ f(n) and Σ 2^k f(2^k) converge or diverge together (Cauchy).

    Far out the condensed terms are geometric: they converge iff their ratio is below 1. Prefix sums decide
    nothing.
    """
    k = 120
    near, far = schedule(2.0**k), schedule(2.0 ** (k + 1))
    answer = robbins_monro(schedule)
    power_one = isinstance(schedule, Inverse) and schedule.end == 0.0
    ratio = 1.0 if power_one else (2.0 * far / near if near > 0.0 else 0.0)
    ratio_squares = 2.0 * (far / near) ** 2 if near > 0.0 else 0.0
    assert answer.sum_diverges == (ratio >= 1.0)
    assert answer.sum_of_squares_converges == (ratio_squares < 1.0)
    if power_one:
        assert 2.0 * far / near == pytest.approx(1.0, rel=1e-12)


def test_the_prefix_of_a_constant_looks_convergent_and_is_not():
    """The trap: after any number of steps the sum of squares is finite, here even small."""
    assert sum(Constant(1e-4)(n) ** 2 for n in range(1000)) < 1e-4
    assert not robbins_monro(Constant(1e-4)).holds


def test_the_reason_names_what_it_takes_of_the_visits():
    assert "being tried for ever" in robbins_monro(Polynomial(1.0, 0.8, by="visit")).reason
    assert "positive share of all steps" in robbins_monro(Polynomial(1.0, 0.8)).reason
    assert "bounded mean number of visits" in robbins_monro(Polynomial(1.0, 0.8, by="episode")).reason
    assert "starts again with every episode" in robbins_monro(Inverse(1.0, 9, by="step_in_episode")).reason


def test_the_claim_for_schedules_counted_by_steps():
    """A pair visited every 7th step under 1/t^w sees 7^-w / k^w: the same order of decay."""
    by_step = Polynomial(1.0, 0.8)
    for k in (10**4, 10**6, 10**8):
        assert by_step(7 * k) * k**0.8 == pytest.approx(7.0**-0.8, rel=1e-3)


def test_the_warning_says_what_fails_why_and_what_to_use():
    warning = convergence_warning(Constant(0.1))
    assert warning == (
        "alpha=Constant(0.1) does not satisfy the Robbins-Monro conditions, so convergence is not "
        "guaranteed. The step size is 0.1: its squares sum to infinity, and estimates keep moving with the "
        "noise of the targets. Only without noise (a deterministic problem) can that converge. "
        "Use alpha=Polynomial(1.0, 0.8, by='visit')."
    )
    assert convergence_warning(Constant(0.1), "beta").startswith("beta=Constant(0.1) does not")
    of_network = convergence_warning(Constant(1e-3), "learning_rate", "step")
    assert of_network.startswith("learning_rate=Constant(0.001) does not")
    assert of_network.endswith("Use learning_rate=Polynomial(0.001, 0.8).")
    assert "finite sum (10 over all counts)" in convergence_warning(Decay(1.0, 0.9))
