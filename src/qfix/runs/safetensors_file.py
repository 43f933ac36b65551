"""Arrays in one file, as the safetensors library would write them, hashed while they are written and read.

    8 bytes                length of the header, little-endian
    header                 JSON: {name: {"dtype": "F64", "shape": [3, 4], "data_offsets": [0, 96]}}
    arrays                 one after the other, little-endian, in C order

Each array is read once, straight into memory of its own, by one thread while another takes the hash. What is read may
be a stranger's: no size is believed before it is compared with the file's real one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from qfix.errors import CheckpointError, is_whole, option_error
from qfix.runs.files import read_into, strict_json, write_new

LONGEST_HEADER = 16 << 20

_DTYPES = {
    "BOOL": np.dtype("bool"),
    "I8": np.dtype("<i1"),
    "U8": np.dtype("<u1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_PIECE = 8 << 20  # bytes that are read before they are handed to the thread that hashes
_MOST_DIMENSIONS = 32


# Writing


def as_safetensors(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, list[memoryview]]:
    """Header and contents of a safetensors file; the contents are the arrays' own memory where it is in order."""
    described: dict[str, Any] = {}
    kept: list[np.ndarray] = []
    at = 0
    for name in sorted(arrays, key=lambda name: -np.asarray(arrays[name]).dtype.itemsize):
        array = np.asarray(arrays[name], order="C")
        dtype = array.dtype.newbyteorder("<")
        if not isinstance(name, str) or name == "__metadata__" or dtype not in _CODES:
            rule = "must have names and hold booleans, whole numbers or floats of 16 to 64 bits"
            remedy = "Convert it first, for example with .astype(np.float64)."
            raise option_error("write_checkpoint", "arrays", rule, f"{name}: {array.dtype}", remedy)
        array = array.astype(dtype, copy=False)
        offsets = [at, at := at + array.nbytes]
        described[name] = {"dtype": _CODES[dtype], "shape": list(array.shape), "data_offsets": offsets}
        kept.append(array)
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays begin where they are aligned
    if len(text) > LONGEST_HEADER:
        rule = f"must be few enough to be named in {LONGEST_HEADER:,} bytes"
        raise option_error("write_checkpoint", "arrays", rule, len(arrays), "Stack arrays of the same kind.")
    pieces = [array.reshape(-1).view(np.uint8).data for array in kept]
    return len(text).to_bytes(8, "little") + text, pieces


def write_hashed(path: Path, *pieces: bytes | memoryview) -> str:
    """Write a file while a second thread takes the hash."""
    hashed = hashlib.sha256()

    def take() -> None:
        for piece in pieces:
            hashed.update(piece)

    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(take)
        write_new(path, *pieces)
        taken.result()
    return hashed.hexdigest()


# Reading


def read_hashed(descriptor: int, size: int, path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """SHA-256 and arrays of an open file, each read once, straight into its memory; a second thread takes the hash."""
    start = bytearray(8)
    if size < 8:
        raise CheckpointError(f"{path} is damaged: {size} bytes are no safetensors file.")
    read_into(descriptor, memoryview(start), path)
    length = int.from_bytes(start, "little")
    if length > min(size - 8, LONGEST_HEADER):
        raise CheckpointError(f"{path} is damaged: its header says that it has {length:,} bytes.")
    if size > _memory_bytes():
        raise MemoryError
    text = bytearray(length)
    read_into(descriptor, memoryview(text), path)
    layout = list(_layout(strict_json(bytes(text), path), size - 8 - length, path))
    arrays: dict[str, np.ndarray] = {}
    hashed = hashlib.sha256(start + text)
    with ThreadPoolExecutor(1) as thread:
        for name, dtype, shape in layout:
            arrays[name] = np.empty(shape, dtype)
            view = arrays[name].reshape(-1).view(np.uint8).data
            for at in range(0, len(view), _PIECE):
                read_into(descriptor, view[at : at + _PIECE], path)
                thread.submit(hashed.update, view[at : at + _PIECE])
    return hashed.hexdigest(), arrays


def require_truths(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse an array of booleans that holds anything else.

    Raises:
        CheckpointError: names the array.
    """
    for name, array in arrays.items():
        if array.dtype == bool and array.size and array.reshape(-1).view(np.uint8).max() > 1:
            raise CheckpointError(
                f"{path} is damaged: the array {name!r} holds what is neither true nor false."
            )


def _layout(header: Any, size: int, path: Path) -> Iterator[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    """Name, type and shape of each array, in the order in which they lie in the file, which they fill.

    To be gone through to its end before anything of it is believed.

    Raises:
        CheckpointError: the header does not describe `size` bytes, each in one array.
    """
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is no table of arrays.")
    rows = []
    for name, row in header.items():
        if name == "__metadata__":
            continue
        code, shape, offsets = _fields(row)
        if (
            not isinstance(code, str)
            or code not in _DTYPES
            or not _are_sizes(shape, _MOST_DIMENSIONS)
            or not _are_sizes(offsets, 2)
            or len(offsets) != 2
            or math.prod(shape) * _DTYPES[code].itemsize != offsets[1] - offsets[0]
            or math.prod(n for n in shape if n) >= 2**60
        ):
            raise CheckpointError(f"{path} is damaged: its header describes no array under {name[:80]!r}.")
        rows.append((offsets, name, _DTYPES[code], tuple(shape)))
    at = 0
    for (begin, end), name, dtype, shape in sorted(rows):
        if begin != at:
            raise CheckpointError(
                f"{path} is damaged: the array {name[:80]!r} is not where the one before ends."
            )
        at = end
        yield name, dtype, shape
    if at != size:
        raise CheckpointError(f"{path} is damaged: its arrays have {at:,} bytes, not {size:,}.")


def _fields(row: Any) -> tuple[Any, Any, Any]:
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        return None, None, None
    return row["dtype"], row["shape"], row["data_offsets"]


def is_size(value: Any) -> bool:
    """Whether a number from JSON may be a count of bytes or the length of an axis."""
    return is_whole(value) and 0 <= value < 2**60


def _are_sizes(value: Any, most: int) -> bool:
    return isinstance(value, list) and len(value) <= most and all(map(is_size, value))


def _memory_bytes() -> float:
    """Memory of this machine; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf
