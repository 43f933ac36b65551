import numpy as np

import qfix


def test_each_estimate_has_its_own_count_of_updates():
    """van Hasselt (2010): α of the table updated. With 1/n both are plain means, and the start washes out."""
    run = qfix.train(
        "qfix/ProbeConstant-v0",
        "double_q_learning",
        total_steps=1000,
        alpha="Polynomial(1, 1, by=visit)",
        initial=10.0,
        seeds=3,
    )
    assert np.allclose(run.q[:, 0, 0], 1.0, atol=1e-12)
