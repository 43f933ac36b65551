"""How JAX is set up, once, before it is first used.

- A program runs in the thread that calls it, one operation after another. Networks of this size lose more by handing
  work to other threads than they gain (`benchmarks/deep.py`), and seeds run side by side instead.
- Programs that take long to compile are kept on disk, so that only the first run on a machine waits for the compiler.

Whatever a user has set is left alone, and so is a JAX that is in use already.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qfix.errors import OptionError

_FLAGS = ("xla_cpu_multi_thread_eigen", "xla_cpu_enable_concurrency_optimized_scheduler")
_KNOWN = ((0, 5), (0, 10))  # versions of jaxlib that were seen to have both: an unknown flag ends the process
_WORTH_KEEPING = 0.3  # seconds of compilation


def prepare() -> None:
    """Set up JAX."""
    import jax
    import jaxlib

    version = tuple(map(int, jaxlib.__version__.split(".")[:2]))
    if _KNOWN[0] <= version <= _KNOWN[1]:
        given = os.environ.get("XLA_FLAGS", "")
        mine = [f"--{name}=false" for name in _FLAGS if name not in given]
        os.environ["XLA_FLAGS"] = " ".join([given, *mine]).strip()
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        _try_setting("jax_cpu_enable_async_dispatch", False)
    config: Any = jax.config
    if config.jax_compilation_cache_dir is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.update("jax_compilation_cache_dir", str(cache_folder()))
        config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)


def require_single_precision() -> None:
    """Refuse to train where JAX computes in double precision: what is kept of a run is in single.

    Raises:
        OptionError: it does.
    """
    import jax

    config: Any = jax.config
    if config.jax_enable_x64:
        raise OptionError(
            "Networks are trained in single precision, and JAX is set to double precision (JAX_ENABLE_X64, "
            "jax_enable_x64). Unset JAX_ENABLE_X64, or call jax.config.update('jax_enable_x64', False) before."
        )


def _try_setting(name: str, value: bool) -> None:
    import jax

    try:
        jax.config.update(name, value)
    except AttributeError:  # not all versions have it
        return


def cache_folder() -> Path:
    """Where compiled programs are kept: in the user's cache, by the version of JAX."""
    import jax

    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "qfix" / f"jax-{jax.__version__}"
