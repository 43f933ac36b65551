"""What comes of a training, first or resumed: the result shown and kept, and the exit code."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import command_on, lacks_evaluation, resume_command
from qfix.cli.signals import EXIT_CODES, say_when_stopped
from qfix.cli.tables import put_table
from qfix.errors import EnvironmentFault, FolderError, Interrupted, LockedError, OptionError, QfixError

OPTIONS = (
    Option(
        "workers",
        "Processes that train seeds at the same time; results do not depend on it. By default one a core where that "
        "is quicker.",
        read.whole,
        "N",
    ),
    Option(
        "checkpoint-seconds",
        "Time between two checkpoints; longer where one takes long to write.",
        read.number,
        "X",
        "10",
    ),
    Option(
        "step-time-limit",
        "Seconds that a step of an environment may take before its seed has failed, where it is stepped from Python "
        "(drivers live and host).",
        read.number,
        "X",
        "60",
    ),
    Option(
        "track",
        "Mirror the metrics: tensorboard (files in the folder of the run), wandb, or both with a comma.",
        read.word,
        "NAME",
    ),
    Option("json", "Print the result as one JSON document."),
    Option("no-progress", "No progress bar."),
    Option("no-pictures", "Draw nothing."),
)
VIDEO = Option(
    "video",
    "When it is trained, make a film of four stages of the first seed, from untrained to the end, as it acted then: "
    "figures/stages.mp4, or .gif where there is no ffmpeg.",
)
_OF_TRAINING = ("workers", "checkpoint_seconds", "step_time_limit")
_STAGES = 4  # of a film
_SAME_SPAN = 1.5  # factor between a budget and the steps of a preset's schedule, from which it is told
_MOST_FAILURES = 3  # that are told in full; result.json has all


class Wishes(NamedTuple):
    """How the result is to be given."""

    folder: Path | None
    """Of the run; None where it is kept in memory."""
    env: str | None
    """Id of the environment, as it was typed."""
    json: bool
    progress: bool
    pictures: bool
    film: bool
    """Of the stages of the training."""

    @classmethod
    def of(cls, own: dict[str, Any], folder: Path | None, env: str | None) -> Wishes:
        """From the values of `OPTIONS`, and of `--video` where a command has it."""
        shown = bool(own["json"]), not own["no_progress"], not own["no_pictures"]
        return cls(folder, env, *shown, bool(own.get("video")))

    @property
    def how_to_go_on(self) -> str:
        """Where the run is, and what to type; empty where it is kept nowhere."""
        return "" if self.folder is None else f"Go on with it: {self.to_go_on}"

    @property
    def to_go_on(self) -> str:
        """What to type; of a finished run it makes the film, if one was asked for."""
        assert self.folder is not None
        return resume_command(self.folder, self.env, *(["--video"] if self.film else []))

    @property
    def farewell(self) -> str:
        """For a signal at any moment: whether there is something to go on with is known only then."""
        if self.folder is None or not (self.folder / "spec.json").exists():
            return "Interrupted."
        with suppress(Exception):  # whatever a signal cut off, the process ends with a line
            _note_interruption(self.folder)
            if lacks_evaluation(self.folder):
                return f"Interrupted. Trained, but not evaluated: {command_on('evaluate', self.folder, self.env)}"
            from qfix.runs import RunFolder

            if RunFolder(self.folder).status == "finished":
                film = f"; for its film: {self.to_go_on}" if self.film else ""
                return f"Interrupted. The run is finished, and kept in {self.folder}{film}"
        return f"Interrupted. {self.how_to_go_on}"


def _note_interruption(folder: Path) -> None:
    """Note in the folder of a run that this process is writing, and is about to leave, that it was stopped."""
    from qfix.runs import RunFolder
    from qfix.runs.folder import ENDINGS
    from qfix.runs.lock import LOCK
    from qfix.runs.spec import STORE
    from qfix.runs.store import MetricStore

    run = RunFolder(folder)
    if run.status != "running" or not (folder / LOCK).read_text().startswith(f"{os.getpid()} "):
        return
    told = [event.kind for event in run.store.events() if event.kind in (*ENDINGS, "started", "resumed")]
    if told and told[-1] in ("started", "resumed"):
        with MetricStore(folder / STORE) as store:
            store.add_event(run.steps, "interrupted", "at once; goes on from the last checkpoint")


def of_training(own: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of `train` and `resume` that do not change what comes out, as far as they were given."""
    given = {name: own[name] for name in _OF_TRAINING if own[name] is not None}
    if own["track"]:
        given["track"] = [name.strip() for name in own["track"].split(",") if name.strip()]
    return given


def conclude(training: Callable[[], Any], wishes: Wishes, begun_at: int = 0) -> int:
    """Train, show and keep the result, and say with which code to exit.

    Args:
        training: gives a run, or raises as `qfix.train` does.
        wishes: how the result is to be given.
        begun_at: step at which it begins; where a fault lets nothing be trained, there is only the error.
    """
    fault: QfixError | None = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ of \d+ seeds failed")  # told with the result
            run = training()
    except Interrupted as stopped:
        run = stopped.run
    except (EnvironmentFault, FolderError) as stopped:
        run = stopped.run if stopped.run is not None else _trained(stopped, wishes)
        if run is None or run.steps <= begun_at or not any(len(r) for r in run.episodes.returns):
            raise
        fault = stopped
    errors = [str(error) for error in _show(run, wishes, fault)]
    if run.failures and not isinstance(fault, EnvironmentFault):
        errors.append(_failures(run))
    for error in errors:
        print("Error:", " ".join(error.split()), file=sys.stderr)
    if run.signal is not None and fault is None:
        print(wishes.farewell, file=sys.stderr)
        return EXIT_CODES[run.signal]
    return 1 if errors else 0


def keep_evaluated(run: Any) -> None:
    """Evaluate a run and keep that, as its spec has it; what is raised carries the run."""
    from qfix.experiment import keep_evaluations

    if not run.spec.eval_episodes:
        return
    try:
        keep_evaluations(run, run.spec.eval_episodes)
    except (EnvironmentFault, FolderError) as fault:
        fault.run = run
        raise


def _trained(fault: QfixError, wishes: Wishes) -> Any:
    """A run whose training has ended, though its evaluation has failed; None where there is none."""
    from qfix.cli.kept import load_run
    from qfix.runs import RunFolder

    if wishes.folder is None or isinstance(fault, LockedError):
        return None
    try:
        if RunFolder(wishes.folder).status != "finished":
            return None
        return load_run(wishes.folder, wishes.env)
    except QfixError:
        return None


def _show(run: Any, wishes: Wishes, fault: QfixError | None) -> list[QfixError]:
    """Show a result and keep it; gives what went wrong before and meanwhile."""
    from qfix.loop import evaluating
    from qfix.report.summary import summarise

    errors = [] if fault is None else [fault]
    unevaluated = ""
    if isinstance(fault, EnvironmentFault) and run.status != "failed":
        unevaluated = "as the environment failed"
    elif run.status == "interrupted" and run.model is None and wishes.folder is not None:
        unevaluated = (
            f"as the training was interrupted; `{command_on('evaluate', wishes.folder, wishes.env)}` does it"
        )
    try:
        if run.model is None and not unevaluated and wishes.folder is None and not wishes.json:
            # it is nowhere else, and may be asked for before the evaluation ends
            table = _unevaluated(run)
            say_when_stopped(f"{table}\n{wishes.farewell}")
        with evaluating(run.model is None and not unevaluated and wishes.progress):
            summary = summarise(run, unevaluated=unevaluated)
    except EnvironmentFault as failed:
        errors.append(failed)
        summary = summarise(run, unevaluated="as the environment failed")
    folder = None if wishes.folder is None else str(wishes.folder)
    keep = wishes.folder is not None and not isinstance(fault, FolderError)
    document = summary.to_dict() | {"folder": folder, "figures": [], "restored": run.restored}
    if wishes.folder is not None and keep:
        remove_film(wishes.folder)  # it would show what the run was before
    document |= {"film": None} if wishes.film else {}
    if wishes.film and wishes.folder is not None and keep and run.status == "finished":
        errors += film(run, document, wishes.folder, wishes.progress)
    if wishes.folder is not None and keep:
        errors += _keep(summary, document, wishes.folder, wishes.pictures)
    if wishes.json:
        print(json.dumps(document, indent=1))
    else:
        _print_result(summary, document, keep)
        if wishes.film and keep and run.status != "finished":
            print(f"film     none before the training is finished: {wishes.to_go_on}")
    return errors


def check_filmable(env: Any, folder: Path | None) -> None:
    """That a film can be made, before anything is trained for it.

    Raises:
        OptionError: there is no folder to keep it in, or the environment draws no pictures.
    """
    if folder is None:
        raise OptionError("The '--video' option needs a folder. Got --out none. Leave one of them out.")
    if "rgb_array" not in (env.metadata.get("render_modes") or ()):
        name = env.spec.id if env.spec is not None else str(env)
        raise OptionError(f"The '--video' option needs pictures, and '{name}' draws none. Leave it out.")


def remove_film(folder: Path) -> None:
    """Remove the films that are in the folder of a run."""
    from qfix.runs.spec import FILMS

    for name in FILMS:
        with suppress(OSError):
            (folder / name).unlink()


def film(run: Any, document: dict[str, Any], folder: Path, progress: bool = False) -> Iterator[QfixError]:
    """The film of the stages of a run, as far as it can be drawn; `document` is told of it."""
    from qfix.loop import telling
    from qfix.playback import play
    from qfix.playback.video import find_ffmpeg
    from qfix.runs.spec import FILMS

    path = folder / FILMS[0 if find_ffmpeg() is not None else 1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with telling(progress) as tell:
            played = play(run, policy="exploratory", video=path, stages=_STAGES, tell=tell)
        document["film"] = str(played.path)
    except QfixError as refused:
        yield refused
    except OSError as refused:
        from qfix.runs.files import folder_error

        yield folder_error("draw into", path.parent, refused)


def _keep(summary: Any, document: dict[str, Any], folder: Path, pictures: bool) -> Iterator[FolderError]:
    """Pictures and result.json, as far as the disk takes them; `document` is told of the pictures."""
    from qfix.runs.files import folder_error, write_atomically

    try:
        if pictures:
            from qfix.report.figures import draw_figures

            document["figures"] = [str(path) for path in draw_figures(summary, folder / "figures")]
        write_atomically(folder / "result.json", (json.dumps(document, indent=1) + "\n").encode())
    except FolderError as refused:
        yield refused
    except OSError as refused:
        yield folder_error("draw into", folder / "figures", refused)


def _unevaluated(run: Any) -> str:
    """The result as far as it is known without an evaluation."""
    from qfix.report.summary import Summary

    out = io.StringIO()
    summary = Summary(run, None, None, {}, "as that was interrupted")
    _print_result(summary, {"folder": None, "figures": []}, False, out)
    return out.getvalue()


def _print_result(summary: Any, document: dict[str, Any], kept: bool, file: TextIO | None = None) -> None:
    from rich.console import Console
    from rich.markup import escape

    from qfix.assembly import preset_of, preset_span
    from qfix.loop import alert_text, speed_text
    from qfix.report.summary import run_title
    from qfix.report.tables import result_table

    run, spec = summary.run, summary.run.spec
    console = Console(highlight=False, file=file)
    n = len(spec.seeds)
    each = f"{n} seeds, {run.steps:,} steps each" if n > 1 else f"{run.steps:,} steps"
    if run.status != "finished":
        each += f" of {spec.total_steps:,} ({run.status})"
    console.print(f"[bold]{escape(run_title(spec))}[/]: {each}, {spec.driver}")
    trained = run.seconds - run.compiling_seconds
    first = f", after {run.compiling_seconds:.1f} s of compiling" if run.compiling_seconds > 1 else ""
    timed = f"{trained:.2f} s, {speed_text(run.speed)}{first}"
    console.print(timed if run.speed else f"{run.seconds:.2f} s, compiling included", style="dim")
    preset = preset_of(spec)
    if preset:
        told = ", ".join(
            name if value is True else f"{name} {_plain(value)}" for name, value in preset.items()
        )
        console.print(f"preset: {told}", style="dim", markup=False, soft_wrap=True)
        if not 1 / _SAME_SPAN < spec.total_steps / (preset_span(spec) or spec.total_steps) < _SAME_SPAN:
            said = f"The preset's learning_rate is for {preset_span(spec):,} steps, and these are {spec.total_steps:,}."
            console.print(said, style="dim", soft_wrap=True)
    for line in run.trainer.about:
        console.print(line, style="dim", markup=False)
    console.print()
    put_table(console, result_table(summary))
    if run.alerts:
        console.print()
        number = f"{len(run.alerts)} alerts, the last of" if len(run.alerts) > 1 else "1 alert, of"
        console.print(f"{number} {alert_text(run.alerts[-1])}", style="yellow", markup=False)
    if document["folder"] is None or not kept:
        return
    console.print()
    console.print(f"kept in  {document['folder']}", soft_wrap=True, markup=False)
    if document.get("film"):
        console.print(f"film     {document['film']}", soft_wrap=True, markup=False)
    for path in document["figures"]:
        console.print(f"picture  {path}", soft_wrap=True, markup=False)
    if document["figures"] and not any(path.endswith("values.png") for path in document["figures"]):
        why = "the states lie neither on a grid nor in two dimensions"
        if run.trainer.remembers:
            why = "a recurrent network values what it has seen so far"
        console.print(f"No value map: {why}.", style="dim")


def _plain(option: Any) -> str:
    """An option in JSON form, as it would be typed."""
    text = ",".join(map(str, option)) if isinstance(option, list) else str(option)
    return re.sub(r"^Constant\((.*)\)$", r"\1", text)


def _failures(run: Any) -> str:
    """Which seeds failed, and why, in a line."""
    failures = list(run.failures.items())
    told = "; ".join(f"seed {seed}: {said}" for seed, said in failures[:_MOST_FAILURES])
    more = f"; and {len(failures) - _MOST_FAILURES} more" if len(failures) > _MOST_FAILURES else ""
    seeds = f"{len(run.spec.seeds)} seed" + ("s" if len(run.spec.seeds) > 1 else "")
    return " ".join(f"{len(failures)} of {seeds} failed. {told}{more}".split())
