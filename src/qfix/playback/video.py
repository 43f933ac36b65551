"""Films: pictures as a .gif, which needs nothing more, or as an .mp4, which needs ffmpeg. Whole, or not there."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from qfix.envs.drawing import Image
from qfix.errors import EnvironmentFault, FolderError, option_error
from qfix.runs.files import TEMPORARY, folder_error

_SHORTEST_SECONDS = 0.02  # that a picture of a .gif stays; shorter ones are shown for 0.1


def check_film(name: str | Path, owner: str = "play") -> Path:
    """The path of a film, before anything is done for it.

    Raises:
        OptionError: it is not a .gif or .mp4, there is no such folder, or nothing is installed that makes an .mp4.
    """
    path = Path(name)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise option_error(owner, "video", "must end in .gif or .mp4", str(name), "Use 'play.gif'.")
    if path.is_dir() or not path.parent.is_dir():
        rule = "must be a file in a folder that exists"
        raise option_error(owner, "video", rule, str(name), "Make the folder, or choose another name.")
    try:
        with tempfile.TemporaryFile(dir=path.parent, prefix=TEMPORARY):
            pass
    except OSError as fault:
        rule = f"must be in a folder that can be written ({fault.strerror})"
        raise option_error(owner, "video", rule, str(name), "Choose another folder.") from fault
    if kind == ".mp4" and find_ffmpeg() is None:
        rule = "can be an .mp4 only where ffmpeg is"
        remedy = "Install qfix[video], which brings it, or ffmpeg itself; or use a name that ends in .gif."
        raise option_error(owner, "video", rule, str(name), remedy)
    return path


def find_ffmpeg() -> str | None:
    """The program: of the package imageio-ffmpeg, else one that the system has."""
    try:
        program: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
        return program
    except (ImportError, RuntimeError):  # not installed, or without a program for this system
        return shutil.which("ffmpeg")


def write_film(path: Path, images: Iterable[Image], frames_a_second: float) -> None:
    """Write pictures as a film; at every moment there is the old file or the new one, whole.

    Args:
        path: as `check_film` gave it.
        images: (H, W, 3) uint8, at least one, all of the same size.
        frames_a_second: of the film.

    Raises:
        FolderError: the disk or ffmpeg refuses.
        EnvironmentFault: the pictures differ in size.
    """
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix.lower()}"
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    try:
        write(temporary, _of_one_size(images), frames_a_second)
        temporary.replace(path)
    except FolderError:
        raise
    except OSError as fault:
        raise folder_error("write", path, fault) from fault
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _of_one_size(images: Iterable[Image]) -> Iterator[Image]:
    size: tuple[int, ...] = ()
    for image in images:
        if size and image.shape != size:
            raise EnvironmentFault(
                f"The pictures of a film must be of one size. Got {size[:2]} and then {image.shape[:2]}. Make the "
                f"environment render at a fixed size."
            )
        size = image.shape
        yield image


def _write_gif(path: Path, images: Iterator[Image], frames_a_second: float) -> None:
    from PIL import Image as Pictures  # comes with matplotlib

    milliseconds = round(1_000 * max(_SHORTEST_SECONDS, 1.0 / frames_a_second))
    pictures = (
        # without dithering what stays stays, from picture to picture
        Pictures.fromarray(image).quantize(256, dither=Pictures.Dither.NONE)
        for image in images
    )
    first = next(pictures)
    with path.open("wb") as file:
        first.save(file, "GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0)


def _write_mp4(path: Path, images: Iterator[Image], frames_a_second: float) -> None:
    program = find_ffmpeg()
    if program is None:
        raise FolderError(f"Cannot write {path}: ffmpeg is gone. Install qfix[video].")
    first = next(images)
    height, width = first.shape[:2]
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{frames_a_second:g}")
    # colours are halved in both directions, so the size must be even
    pad = ("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white")
    form = ("-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4")
    command = [program, "-loglevel", "error", "-y", *source, "-i", "-", *pad, *form, str(path.absolute())]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, bufsize=0
        )
        try:
            _feed(process, itertools.chain([first], images))
            ended = process.wait()
        finally:
            if process.poll() is None:  # something else went wrong
                process.kill()
                process.wait()
        if ended != 0:
            said.seek(0)
            lines = said.read(2_000).decode(errors="replace").split("\n")
            raise FolderError(
                f"Cannot write {path.name}: ffmpeg says '{lines[0].strip()}'. Use a .gif instead."
            )


def _feed(process: subprocess.Popen[bytes], images: Iterator[Image]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # a program that has ended says why
        for image in images:
            left = memoryview(np.ascontiguousarray(image).tobytes())
            while left:
                left = left[pipe.write(left) or 0 :]
