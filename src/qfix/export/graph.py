"""A computation as an ONNX graph: operations and constants, put down one after another.

    graph = Graph("observation", np.float32, (8,))
    y = graph.add("Gemm", graph.input, graph.constant("weight", w), graph.constant("bias", b))

An operation gives the name of its result, which is the input of the next. Nothing of the onnx package is needed until
the model is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qfix.errors import OptionError

BATCH = "batch"
"""Name of the axis that may have any length."""

STATE, STATE_AFTER = "state", "state_after"
"""What the state of a recurrent network is called where it goes in, and where it comes out."""

_OPSET = 17  # the first with LayerNormalization: runtimes since 2022 have it
_IR_VERSION = 8  # the one of that opset
_LARGEST_BYTES = 1_900_000_000  # a protobuf message ends at 2 GiB


class Graph:
    """A graph of one input, and perhaps others beside it.

    Args:
        input: its name.
        dtype: of the input.
        shape: of one input, without the batch.
    """

    def __init__(self, input: str, dtype: Any, shape: tuple[int, ...]) -> None:
        self.input = input
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self._inputs = {input: (self.dtype, shape)}
        self._nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self._constants: dict[str, np.ndarray] = {}

    def also_given(self, name: str, dtype: Any, shape: tuple[int, ...]) -> str:
        """One more input, under its name."""
        self._inputs[name] = np.dtype(dtype), shape
        return name

    def constant(self, name: str, value: Any) -> str:
        """An array that is part of the model, under its name."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        assert name not in self._constants or np.array_equal(self._constants[name], array), name
        self._constants[name] = array
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One more operation of ONNX, by its name there; returns the name of its result, by default a number."""
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append((kind, list(inputs), output, attributes))
        return output

    def cast(self, x: str, dtype: Any) -> str:
        """x in another type."""
        return self.add("Cast", x, to=np.dtype(dtype))

    def reshape(self, x: str, *shape: int) -> str:
        """(batch, *shape) of x."""
        name = "shape_" + "_".join(map(str, shape))
        return self.add("Reshape", x, self.constant(name, np.array([-1, *shape], np.int64)))

    def columns(self, x: str, place: slice) -> str:
        """(batch, stop - start) a stretch of each row of x."""
        at = [self.constant(f"at_{n}", np.array([n], np.int64)) for n in (place.start, place.stop)]
        return self.add("Slice", x, *at, self.constant("columns", np.array([1], np.int64)))

    def model(
        self, outputs: Mapping[str, tuple[Any, tuple[int, ...]]], told: Mapping[str, str], about: str
    ) -> bytes:
        """The model, as the bytes of its file.

        Args:
            outputs: type and shape, without the batch, by name.
            told: kept as metadata.
            about: kept as its documentation.

        Raises:
            OptionError: the constants do not fit into a file of this format.
        """
        from onnx import checker, helper, numpy_helper

        size = sum(array.nbytes for array in self._constants.values())
        if size > _LARGEST_BYTES:
            raise OptionError(
                f"An ONNX file holds 2 GiB at most. This policy has {size:,} bytes. Export its weights instead."
            )

        def described(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
            return helper.make_tensor_value_info(name, code(np.dtype(dtype)), [BATCH, *shape])

        def code(value: Any) -> Any:
            return helper.np_dtype_to_tensor_dtype(value) if isinstance(value, np.dtype) else value

        nodes = []
        for kind, inputs, output, attributes in self._nodes:
            told_in_code = {name: code(value) for name, value in attributes.items()}
            nodes.append(helper.make_node(kind, inputs, [output], name=output, **told_in_code))
        graph = helper.make_graph(
            nodes,
            "policy",
            [described(name, *row) for name, row in self._inputs.items()],
            [described(name, *row) for name, row in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            producer_name="qfix",
            producer_version=told["qfix_version"],
            doc_string=about,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        helper.set_model_props(model, dict(told))
        checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
