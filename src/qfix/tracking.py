"""Mirrors of a run's metrics in other people's dashboards. The store of the run stays the original.

A mirror holds the whole run: one that is opened for a run that goes on is given its history first, so that nothing is
missing in it and nothing is there twice.
"""

from __future__ import annotations

import importlib
import math
import netrc
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qfix.errors import FolderError, OptionError, unknown_name
from qfix.runs import RunSpec


class Tracker(Protocol):
    """A place for metrics."""

    def log(self, step: int, seeds: Sequence[int], names: Sequence[str], values: np.ndarray) -> None:
        """Take the (names, seeds) values of a step; NaN and the infinities are left out."""
        ...

    def close(self) -> None:
        """Write what is there still."""
        ...


class TensorBoard:
    """Event files for TensorBoard: a run of its own for each seed, so that curves lie over one another.

    `tensorboard --logdir FOLDER/tensorboard` shows them.
    """

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        from tensorboard.summary import Writer

        home = _own_folder(folder, "tensorboard")
        if home.is_dir():
            shutil.rmtree(home)
        self._writers = {seed: Writer(str(home / f"seed_{seed}")) for seed in spec.seeds}

    def log(self, step: int, seeds: Sequence[int], names: Sequence[str], values: np.ndarray) -> None:
        """A scalar for each metric, under its name."""
        for seed, column in zip(seeds, values.T.tolist(), strict=True):
            for name, value in zip(names, column, strict=True):
                if math.isfinite(value):
                    self._writers[seed].add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is there still."""
        for writer in self._writers.values():
            writer.close()


class WandB:
    """A run of Weights & Biases: `return/seed_0` for each seed, `return` their mean, over `step`.

    Online where this machine is logged in, else offline, in FOLDER/wandb, to be sent later by `wandb sync`; the
    variable WANDB_MODE decides otherwise.
    """

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        import wandb

        _own_folder(folder, "wandb")
        mode: Any = os.environ.get("WANDB_MODE")
        logged_in = os.environ.get("WANDB_API_KEY") or _has_login("api.wandb.ai")
        self._run: Any = wandb.init(
            project="qfix",
            name=folder.name,
            dir=str(folder),
            config=spec.to_dict(),
            mode=mode or ("online" if logged_in else "offline"),
            settings=wandb.Settings(silent=True),
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, seeds: Sequence[int], names: Sequence[str], values: np.ndarray) -> None:
        """A row with every seed's values and their means."""
        row: dict[str, float] = {"step": step}
        for name, across in zip(names, values.tolist(), strict=True):
            known = {seed: x for seed, x in zip(seeds, across, strict=True) if math.isfinite(x)}
            row |= {f"{name}/seed_{seed}": x for seed, x in known.items()}
            if known:
                row[name] = sum(known.values()) / len(known)
        self._run.log(row)

    def close(self) -> None:
        """Write what is there still."""
        self._run.finish()


def _own_folder(folder: Path, name: str) -> Path:
    """A place in the run's folder; a link there could lead anywhere.

    Raises:
        FolderError: it is a link.
    """
    path = folder / name
    if path.is_symlink():
        raise FolderError(f"{path} is a link, and may lead out of the run's folder. Remove it.")
    return path


def _has_login(host: str) -> bool:
    """Whether the user's netrc has a login for a host; asking the library would have it ask for one."""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


TRACKERS: dict[str, type[TensorBoard] | type[WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}
_NEEDED = {"tensorboard": "tensorboard.summary", "wandb": "wandb"}  # modules


def check_trackers(names: Iterable[str]) -> tuple[str, ...]:
    """The names, if there are such trackers and their packages.

    Raises:
        UnknownNameError: there is none of that name.
        OptionError: its package is not installed.
    """
    known = tuple(dict.fromkeys(names))
    for name in known:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        try:
            importlib.import_module(_NEEDED[name])
        except ImportError as fault:
            raise OptionError(
                f"The 'track' parameter of train needs a package that is not installed: {name}. "
                f"Install qfix[{name}], or leave the option out."
            ) from fault
    return known


def open_tracker(name: str, folder: Path, spec: RunSpec) -> Tracker:
    """A tracker of a checked name, empty."""
    return TRACKERS[name](folder, spec)
