"""Learners on networks, in JAX: one file an algorithm, and two drivers that feed them.

An algorithm is pure functions over explicit state: `init`, `act`, `update`. `drivers/device.py` scans environments
written in JAX; `drivers/host.py` steps whatever Gymnasium has. `trainer.py` is what a run is made with.
"""

from qfix.deep._runtime import prepare

prepare()
