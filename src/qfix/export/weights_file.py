"""A greedy policy as named arrays, for whoever acts with plain NumPy or something else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from qfix.export.source import checked_target, source_of
from qfix.runs.files import write_atomically
from qfix.runs.safetensors_file import as_safetensors


def to_weights(source: Any, path: str | Path, *, seed: int | None = None, force: bool = False) -> Path:
    """Write the arrays of a greedy policy under their names.

    A network has `torso.0.weight` (in, out), `torso.0.bias`, ..., `head.weight`, `head.bias`, all float32; `value.*`
    if it is dueling, `*.scale` and `*.shift` where layers are normalised, `conv.*` (height, width, in, out), of an
    image among other parts `conv.NAME.*`; the features of all images come before the other numbers. Beside them what
    else acting takes: `normaliser.mean` and `normaliser.deviation` of observations, the `support` of c51, the `levels`
    of iqn; of a policy that was learned directly its critic, and of Box actions `log_std`, `action.centre`,
    `action.half`, `action.low` and `action.high`. A table is `q`, (S, A). Every file has `first_action`, the number of
    the first action.

    Args:
        source: a Run, or the greedy policy of one.
        path: of the file; ends in .npz (`numpy.load`) or .safetensors (`safetensors.numpy.load_file`).
        seed: which of the run's; by default its first.
        force: replace the file if there is one.

    Returns:
        The path.

    Raises:
        OptionError: the source, the seed or the path is none.
        SpaceError: a table's observations are not numbered.
        FolderError: the disk refuses.
    """
    target = checked_target("to_weights", "path", path, (".npz", ".safetensors"), force)
    found = source_of("to_weights", source, seed)
    arrays = found.family.arrays(found.policy) | {"first_action": np.int64(found.policy.first_action)}
    if target.suffix.lower() == ".npz":
        file = io.BytesIO()
        np.savez(file, **arrays)
        data = file.getvalue()
    else:
        header, pieces = as_safetensors(arrays)
        data = b"".join([header, *pieces])
    write_atomically(target, data)
    return target
