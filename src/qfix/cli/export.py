"""`qfix export FOLDER`: a learned policy as a file that needs no qfix."""

from __future__ import annotations

import json
import re
from pathlib import Path

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import CHECKPOINT, ENV, SEED, checkpoint_named, folder_named, load_trained
from qfix.errors import OptionError

_USAGE = "qfix export FOLDER --onnx FILE [--option value ...]"
_ABOUT = (
    "Write a learned greedy policy as an ONNX model, from the observation as the environment gives it to the action, "
    "or as named arrays for NumPy. A model is held against the policy before it is written."
)
OPTIONS = (
    Option("onnx", "The model: a name that ends in .onnx.", read.word, "FILE"),
    Option("weights", "Its arrays: a name that ends in .npz or .safetensors.", read.word, "FILE"),
    SEED,
    CHECKPOINT,
    ENV,
    Option("force", "Replace files that are there already."),
    Option("json", "Print the paths as a JSON document."),
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(arguments, OPTIONS, _USAGE, _ABOUT)
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix export", " --onnx policy.onnx")
    if own["onnx"] is None and own["weights"] is None:
        raise OptionError(
            "`qfix export` needs to know what to write. Write --onnx policy.onnx, or --weights weights.npz."
        )
    kept = load_trained(folder, own["env"], checkpoint_named(own["checkpoint"]), ".policy()")
    from qfix.export import to_onnx, to_weights

    written: dict[str, str] = {}
    for name, write in (("onnx", to_onnx), ("weights", to_weights)):
        if own[name] is None:
            continue
        try:
            written[name] = str(write(kept, Path(own[name]), seed=own["seed"], force=own["force"]))
        except OptionError as error:
            raise OptionError(_as_typed(str(error), name)) from error
    if own["json"]:
        print(json.dumps(written))
    else:
        for name, path in written.items():
            print(f"{name:<8} {path}")
    return 0


def _as_typed(message: str, name: str) -> str:
    """An error of `to_onnx` or `to_weights`, in the words of the command line."""
    message = re.sub(r"The 'path' parameter of \w+", f"The '--{name}' option of export", message)
    message = re.sub(r"\bpath='([^']*)'", rf"--{name} \1", message)
    message = re.sub(r"\bforce=True\b", "--force", message)
    return read.as_typed(message, OPTIONS).replace("option of Run ", "option of export ")
