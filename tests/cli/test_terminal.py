"""What is seen on a terminal, and Ctrl-C there. In a process of its own behind a pseudo-terminal."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest

import qfix
from qfix.runs import RunFolder

pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of Unix")

# The first statement makes the pseudo-terminal the one that Ctrl-C comes from.
PROGRAM = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from qfix.cli import main; sys.exit(main(sys.argv[1:]))"
)
PATIENCE_SECONDS = 100  # for the machine, not a limit on the command


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, *words: str, **environment: str) -> None:
        variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
        self.screen, keyboard = pty.openpty()
        # not pty.fork: where another test has loaded JAX, which has threads, a fork warns of a deadlock
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            start_new_session=True,
            env=variables | {"TERM": "xterm"} | environment,
        )
        os.close(keyboard)
        self.pid = self.process.pid
        self.text = ""

    def read_until(self, pattern: str | None) -> str:
        """What has been written when it matches; with None, when the command has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while pattern is None or not re.search(pattern, self.text):
            if time.monotonic() >= deadline:
                self.process.kill()
                self.process.wait()
                raise AssertionError(self.text)
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.screen, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    break
        return self.text

    def type_ctrl_c(self) -> None:
        os.write(self.screen, b"\x03")

    def exit_code(self) -> int:
        self.read_until(None)
        os.close(self.screen)
        return self.process.wait()


def test_ctrl_c_while_learning_ends_with_what_was_learned(tmp_path):
    out = str(tmp_path / "kept")
    terminal = Terminal("train", "FrozenLake", "--total-steps", "1_000_000_000_000", "--out", out)
    terminal.read_until(r"[Mk] steps/s")
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    assert "(interrupted)" in " ".join(terminal.text.split())
    assert "optimal" in terminal.text
    assert (tmp_path / "kept" / "figures" / "values.png").exists()
    assert "Traceback" not in terminal.text
    assert terminal.text.rstrip().endswith(f"Interrupted. Go on with it: qfix resume {out}")
    assert "kept" in terminal.text


def test_sigterm_while_learning_does_too(tmp_path):
    terminal = Terminal(
        "train", "FrozenLake", "--total-steps", "1e12", "--no-pictures", "--out", str(tmp_path / "kept")
    )
    terminal.read_until(r"[Mk] steps/s")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 143
    assert "Go on with it: qfix resume" in terminal.text
    assert json.loads((tmp_path / "kept" / "result.json").read_text())["status"] == "interrupted"


def test_ctrl_c_while_resuming_ends_so_too_and_nothing_is_lost(tmp_path):
    out = str(tmp_path / "kept")
    qfix.train("FrozenLake-v1", total_steps=1_000, out=out)
    terminal = Terminal("resume", out, "--total-steps", "1e12", "--no-pictures")
    terminal.read_until(r"[Mk] steps/s")
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    assert "Restored: " in terminal.text
    assert terminal.text.rstrip().endswith(f"Interrupted. Go on with it: qfix resume {out}")
    run = qfix.load(out)
    assert run.steps > 1_000
    assert json.loads((tmp_path / "kept" / "result.json").read_text())["steps"] == run.steps


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    terminal = Terminal(
        "train", "MountainCar", "sarsa_lambda", "--total-steps", "1e9", "--out", str(tmp_path / "kept")
    )
    terminal.read_until(r"k steps/s")
    os.kill(terminal.pid, signal.SIGSTOP)  # so that both are there when it wakes up
    os.kill(terminal.pid, signal.SIGINT)
    os.kill(terminal.pid, signal.SIGTERM)
    os.kill(terminal.pid, signal.SIGCONT)
    assert terminal.exit_code() in (130, 143)
    assert "Traceback" not in terminal.text
    assert "Go on with it: qfix resume" in terminal.text
    assert qfix.load(tmp_path / "kept").status == "interrupted"


@pytest.mark.parametrize(
    "words", [("evaluate", "--episodes", "1e9"), ("play", "--episodes", "1e9", "--pause", "1")]
)
def test_ctrl_c_in_other_commands_is_one_line(tmp_path, words):
    command, *options = words
    out = str(tmp_path / "kept")
    env = "FrozenLake-v1" if command == "play" else "Blackjack-v1"
    qfix.train(env, total_steps=100, out=out, eval_episodes=0)
    terminal = Terminal(command, out, *options)
    terminal.read_until("start" if command == "play" else "evaluating")
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    assert "Traceback" not in terminal.text
    assert terminal.text.count("Interrupted.") == 1
    assert terminal.text.rstrip().endswith("Interrupted.")


def test_ctrl_c_in_the_last_evaluation_says_that_it_is_trained(tmp_path):
    out = str(tmp_path / "kept")
    terminal = Terminal(
        "train", "Blackjack-v1", "--total-steps", "100", "--eval-episodes", "1e9", "--out", out
    )
    terminal.read_until("evaluating")
    assert RunFolder(out).status == "finished"
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    assert terminal.text.rstrip().endswith(f"Interrupted. Trained, but not evaluated: qfix evaluate {out}")


def test_ctrl_c_in_the_evaluation_of_what_is_kept_nowhere_shows_the_training():
    terminal = Terminal(
        "train", "Blackjack-v1", "--total-steps", "500", "--eval-episodes", "1e9", "--out", "none"
    )
    terminal.read_until("evaluating")
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    told = " ".join(terminal.text.split())
    assert re.search(r"seed return training episodes 0 - -?\d\.\d+ \d+ return: not evaluated", told)
    assert terminal.text.rstrip().endswith("Interrupted.")


def test_ctrl_c_before_learning_is_one_line(tmp_path):
    terminal = Terminal(
        "train", "FrozenLake", "--out", str(tmp_path / "kept"), NUMBA_CACHE_DIR=str(tmp_path / "cold")
    )
    terminal.read_until("compiling")
    terminal.type_ctrl_c()
    assert terminal.exit_code() == 130
    assert "Traceback" not in terminal.text
    said = r"\x1b\[\?25h\r\x1b\[KInterrupted\. Go on with it: qfix resume \S+\s*$"
    assert re.search(said, terminal.text), "and the cursor is back"
    assert qfix.load(tmp_path / "kept").steps == 0, "nothing was learned, and it can be gone on with"
    assert RunFolder(tmp_path / "kept").status == "interrupted", "and not killed"


def test_colours_are_left_out_where_they_are_not_wanted():
    plain = Terminal("solve", "FrozenLake", NO_COLOR="1")
    assert plain.exit_code() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9;]*m", plain.text)
    assert "◆" in plain.text
    coloured = Terminal("solve", "FrozenLake")
    assert coloured.exit_code() == 0
    assert re.search(r"\x1b\[[0-9;]*4[0-9;]*m", coloured.text)


def test_no_progress_means_none():
    terminal = Terminal(
        "train", "FrozenLake", "--total-steps", "1000", "--no-progress", "--out", "none", NO_COLOR="1"
    )
    assert terminal.exit_code() == 0
    assert "━" not in terminal.text
