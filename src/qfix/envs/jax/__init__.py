"""Environments for the device: pure functions that a driver vmaps and scans.

    from qfix.envs.jax import jax_env_of                  the twin of a Gymnasium environment
    from qfix.envs.jax.protocol import JaxEnv, Step       what a driver needs of an environment
    from qfix.envs.jax.finite import FiniteMDPEnv         any finite model
    from qfix.envs.jax.view import JaxEnvView             one as a Gymnasium environment
    from qfix.envs.jax.gymnax_adapter import from_gymnax  one of gymnax's make

This module imports no JAX, nor does `jax_env_of` for an environment that has no twin. Inside the package `import jax`
is the library: imports are absolute.
"""

from qfix.envs.jax.twins import jax_env_of

__all__ = ["jax_env_of"]
