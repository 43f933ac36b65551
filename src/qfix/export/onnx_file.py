"""A greedy policy as an ONNX model, from the observation that the environment gives to the action that it takes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from qfix.errors import OptionError
from qfix.export.agreement import require_agreement
from qfix.export.graph import STATE, STATE_AFTER, Graph
from qfix.export.source import Source, checked_target, source_of
from qfix.runs.files import write_atomically


def to_onnx(source: Any, path: str | Path, *, seed: int | None = None, force: bool = False) -> Path:
    """Write a greedy policy as an ONNX model, once it is known to do what `predict` does.

        observation (batch, ...)  ->  action_values (batch, A),  action (batch,) = start + argmax_a action_values

    Of a policy that was learned directly it is outputs (batch, n), what its distribution is made of, and the likeliest
    action (batch, ...) in the type and shape of its space.

    Of a recurrent network also state (batch, H) -> state_after (batch, H): zeros where an episode begins, and then what
    came out of the step before.

    What lies around the network is part of the model: one-hot rows of numbers, the scale and the order of channels of
    images, the normalisation of observations, the expectation of a distribution, and where actions begin. Observations
    have the type and shape of their space. Of a Tuple or Dict they are one vector: for a network that of
    `qfix.deep.observations.codec_for(space).encode`, for a table its whole numbers one after the other.

    Args:
        source: a Run, or the greedy policy of one.
        path: of the file; ends in .onnx.
        seed: which of the run's; by default its first.
        force: replace the file if there is one.

    Returns:
        The path.

    Raises:
        OptionError: the source, the seed or the path is none, or the packages that write ONNX are not installed.
        SpaceError: a table's observations are not numbered.
        FolderError: the model and the policy differ at an observation, or the disk refuses. No file is written.
    """
    target = checked_target("to_onnx", "path", path, (".onnx",), force)
    _require_packages()
    found = source_of("to_onnx", source, seed)
    model = model_of(found)
    require_agreement(model, found, target)
    write_atomically(target, model)
    return target


def model_of(source: Source) -> bytes:
    """The model, not yet held against its policy."""
    policy, family, space = source.policy, source.family, source.space
    n = family.n_actions(policy)
    graph = Graph("observation", *family.input_of(space))
    name = family.VALUES_NAME
    values = graph.add("Identity", family.draw(graph, policy, space), output=name)
    dtype, shape, said = family.add_action(graph, policy, values, n)
    told = source.told | {
        "observation_space": str(space),
        "action_space": said,
    }
    about = f"The greedy policy of a qfix run. observation -> {name} and action, the first of the best."
    outputs = {name: (family.VALUES, (n,)), "action": (dtype, shape)}
    if size := family.n_state(policy):
        outputs[STATE_AFTER] = (np.float32, (size,))
        about += f" {STATE}: zeros where an episode begins, then {STATE_AFTER} of the step before."
    return graph.model(outputs, told, about)


def _require_packages() -> None:
    for name in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as fault:
            raise OptionError(
                f"Writing ONNX needs the packages onnx and onnxruntime, and {name} is not installed. Install them: "
                f"pip install 'qfix[onnx]'."
            ) from fault
