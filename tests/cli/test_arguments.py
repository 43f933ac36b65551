"""The command line taken apart and understood."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.cli import arguments as read
from qfix.cli.arguments import Option, as_typed, options_of_config, split, understand
from qfix.errors import OptionError


@dataclass(frozen=True)
class Basic:
    gamma: float = 0.9
    """Discount of
    future rewards."""
    store: Literal["auto", "dense"] = "auto"
    """Where."""


@dataclass(frozen=True)
class Config(Basic):
    lambda_: float = 0.8
    """Decay."""
    n_steps: int = 4
    """How many."""
    alpha: Basic | float | str | None = None
    """Step size."""
    tile_range: tuple[float, ...] = ()
    """Bounds."""
    fast: bool = False
    """Hurry."""


OPTIONS = options_of_config(Config)


@pytest.mark.parametrize(
    ("line", "positional", "options"),
    [
        ("Taxi sarsa --seeds 8", ["Taxi", "sarsa"], {"seeds": "8"}),
        ("--seeds 8 Taxi sarsa", ["Taxi", "sarsa"], {"seeds": "8"}),
        ("Taxi --json sarsa --total_steps=1e6", ["Taxi", "sarsa"], {"json": "", "total-steps": "1e6"}),
        ("Taxi --initial -1.5", ["Taxi"], {"initial": "-1.5"}),
        ("CartPole --tile-range -2.4,2.4,-3,3", ["CartPole"], {"tile-range": "-2.4,2.4,-3,3"}),
        ("Taxi --seeds --json", ["Taxi"], {"seeds": None, "json": ""}),
        ("Taxi --seeds", ["Taxi"], {"seeds": None}),
        ("-h", [], {"help": ""}),
        ("Taxi --out=a=b", ["Taxi"], {"out": "a=b"}),
        ("Taxi --out=", ["Taxi"], {"out": ""}),
        ("", [], {}),
    ],
)
def test_a_line_is_taken_apart(line, positional, options):
    assert split(line.split(), ["json", "help"]) == (positional, options)


def test_an_option_given_twice_is_refused():
    with pytest.raises(OptionError, match="'--seeds' option is given twice"):
        split(["--seeds", "1", "--seeds=2"], [])


@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_line_makes_the_parser_fail_in_another_way(words):
    with suppress(OptionError):
        understand(split(words, ["json"]).options, OPTIONS, "qfix train")


def test_every_field_is_an_option_with_its_docstring():
    assert {option.name: option.summary for option in OPTIONS} == {
        "gamma": "Discount of future rewards.",
        "store": "Where.",
        "lambda": "Decay.",
        "n-steps": "How many.",
        "alpha": "Step size.",
        "tile-range": "Bounds.",
        "fast": "Hurry.",
    }


def test_values_are_read_by_their_annotation():
    line = "--gamma .5 --store dense --lambda 1 --n-steps 1_000 --alpha Linear(1,0.1,10) --tile-range -1,1 --fast yes"
    assert understand(split(line.split(), []).options, OPTIONS, "") == {
        "gamma": 0.5,
        "store": "dense",
        "lambda_": 1.0,
        "n_steps": 1000,
        "alpha": "Linear(1,0.1,10)",
        "tile_range": (-1.0, 1.0),
        "fast": True,
    }


@pytest.mark.parametrize(("text", "value"), [("0.1", 0.1), ("none", None), ("vdbe(1)", "vdbe(1)")])
def test_a_schedule_is_a_number_or_a_text(text, value):
    assert understand({"alpha": text}, OPTIONS, "") == {"alpha": value}


@pytest.mark.parametrize(
    ("text", "value"), [("2000000", 2_000_000), ("2_000_000", 2_000_000), ("2e6", 2_000_000)]
)
def test_a_whole_number_may_be_written_in_three_ways(text, value):
    number = read.whole("n", text)
    assert number == value
    assert isinstance(number, int)


@pytest.mark.parametrize("text", ["1.5", "many", "nan", "inf", "1e400", ""])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(OptionError, match="'--n' option must be a whole number"):
        read.whole("n", text)


def test_a_large_whole_number_keeps_its_last_digit():
    assert read.whole("n", "9007199254740993") == 9007199254740993


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8x8", "8x8"),
        ("true", True),
        ("False", False),
        ("3", 3),
        ("-0.04", -0.04),
        ("none", None),
        ("[1, 2]", [1, 2]),
    ],
)
def test_an_option_of_an_environment_is_a_literal_or_a_text(text, value):
    assert read.literal("x", text) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gama": "1"}, "There is no option '--gama'. Did you mean '--gamma'?"),
        ({"n-step": "1"}, "Did you mean '--n-steps'?"),
        ({"tile": "1"}, "Did you mean '--tile-range'?"),
        ({"zzz": "1"}, "`qfix train X --help` lists those there are"),
        ({"gamma": None}, "The '--gamma' option needs a value. Got none. Write --gamma 0.9."),
        ({"gamma": "a"}, "The '--gamma' option must be a number. Got 'a'"),
        ({"fast": "perhaps"}, "must be true or false. Got 'perhaps'"),
    ],
)
def test_a_mistake_is_answered_with_what_to_type(options, message):
    with pytest.raises(OptionError) as caught:
        understand(options, OPTIONS, "qfix train X")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        (
            "The 'lambda_' parameter of x is bad. Use lambda_=0.9.",
            "The '--lambda' option of x is bad. Use --lambda 0.9.",
        ),
        ("Give tile_range=(low, high, ...), 4 pairs.", "Give --tile-range low,high,..., 4 pairs."),
        ("Use store='auto'.", "Use --store auto."),
        ("Use alpha=Linear(1, 0.1, 10).", "Use --alpha 'Linear(1,0.1,10)'."),
        ("Use n_steps=None to go on.", "Use --n-steps none to go on."),
        ("Nothing to say.", "Nothing to say."),
    ],
)
def test_errors_speak_of_options_as_they_are_typed(said, typed):
    assert as_typed(said, OPTIONS) == typed


def test_help_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    long = Option("long-name-of-an-option", "Words " * 30, read.word, "VALUE", "x")
    text = read.help_text("qfix x", "About " * 20, {"Options": [long, *OPTIONS]})
    assert max(map(len, text.splitlines())) <= 60
    assert "--lambda X" in text
    assert "[0.8]" in text
