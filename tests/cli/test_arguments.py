"""The command line taken apart and understood."""

import doctest
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.cli import arguments as read
from qfix.cli import settings
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
    slow: bool | None = None
    """Linger, or let the algorithm decide."""


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
    assert split(line.split(), ["json", "help"])[:2] == (positional, options)


def test_an_option_given_twice_is_refused():
    with pytest.raises(OptionError, match="'--seeds' option is given twice"):
        split(["--seeds", "1", "--seeds=2"], [])


@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_line_makes_the_parser_fail_in_another_way(words):
    with suppress(OptionError):
        taken_apart = split(words, ["json"])
        given_back = read.give_back(taken_apart, OPTIONS)
        assert len(given_back.positional) + len(given_back.taken) == len(taken_apart.positional) + len(
            taken_apart.taken
        )
        understand(given_back.options, OPTIONS, "qfix train")


def test_every_field_is_an_option_with_its_docstring():
    assert {option.name: option.summary for option in OPTIONS} == {
        "gamma": "Discount of future rewards.",
        "store": "Where.",
        "lambda": "Decay.",
        "n-steps": "How many.",
        "alpha": "Step size.",
        "tile-range": "Bounds.",
        "fast": "Hurry.",
        "slow": "Linger, or let the algorithm decide.",
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


TRUE, FALSE = {"fast": True}, {"fast": False}


@pytest.mark.parametrize(
    ("line", "positional", "values"),
    [
        ("Taxi dqn --fast", "Taxi dqn", TRUE),
        ("--fast Taxi dqn", "Taxi dqn", TRUE),
        ("Taxi --fast dqn", "Taxi dqn", TRUE),
        ("Taxi dqn --fast --n-steps 3", "Taxi dqn", TRUE | {"n_steps": 3}),
        ("Taxi dqn --fast -1", "Taxi dqn -1", TRUE),
        ("--fast Taxi --slow dqn --gamma .5 more", "Taxi dqn more", TRUE | {"slow": True, "gamma": 0.5}),
        ("--slow Taxi --fast false dqn", "Taxi dqn", FALSE | {"slow": True}),
        *((f"Taxi --fast {word} dqn", "Taxi dqn", TRUE) for word in ("true", "True", "yes", "on", "1")),
        *((f"Taxi --fast={word} dqn", "Taxi dqn", TRUE) for word in ("true", "YES", "on", "1")),
        *((f"Taxi --fast {word} dqn", "Taxi dqn", FALSE) for word in ("false", "no", "off", "0")),
        *((f"Taxi --fast={word} dqn", "Taxi dqn", FALSE) for word in ("false", "NO", "off", "0")),
        ("Taxi --slow none dqn", "Taxi dqn", {"slow": None}),
        ("Taxi --fast none", "Taxi none", TRUE),
        ("Taxi --store dense dqn", "Taxi dqn", {"store": "dense"}),
    ],
)
def test_what_is_true_or_false_may_stand_alone(line, positional, values):
    words = read.give_back(split(line.split(), []), OPTIONS)
    assert words.positional == positional.split()
    assert understand(words.options, OPTIONS, "") == values


@pytest.mark.parametrize(("word", "value"), [("", True), ("=true", True), ("=false", False), ("=off", False)])
def test_a_flag_may_be_switched_off(word, value):
    assert understand(split([f"--json{word}"], ["json"]).options, [Option("json", "")], "") == {"json": value}
    with pytest.raises(OptionError, match=r"'--json' option takes no value\. Got '8'"):
        understand({"json": "8"}, [Option("json", "")], "")


class Schedule:
    """Of which a text is made elsewhere."""


@pytest.mark.parametrize(
    ("kind", "shown", "values"),
    [
        (int, "N", {"2e3": 2000}),
        (int | None, "N|none", {"2": 2, "none": None, "None": None}),
        (float, "X", {"2": 2.0}),
        (float | None, "X|none", {"2": 2.0, "none": None}),
        (bool, "[true|false]", {"yes": True, "0": False}),
        (bool | None, "[true|false|none]", {"yes": True, "none": None}),
        (str, "TEXT", {"none": "none", "2": "2"}),
        (str | None, "TEXT", {"none": None, "2": "2"}),
        (tuple[int, ...], "N,N,...", {"64,64": (64, 64), "(64, 1e3)": (64, 1000), "[8]": (8,), "": ()}),
        (tuple[float, ...], "X,X,...", {"-1,1": (-1.0, 1.0), "8,": (8.0,)}),
        (tuple[float, ...] | None, "X,X,...|none", {"-1,1": (-1.0, 1.0), "none": None}),
        (tuple[float, float], "X,X", {"-1,1": (-1.0, 1.0)}),
        (Literal["mlp", "nature"], "mlp|nature", {"mlp": "mlp"}),
        (Literal["mlp", "nature"] | None, "mlp|nature|none", {"mlp": "mlp", "none": None}),
        (Literal["auto", 4, False], "auto|4|false", {"auto": "auto", "4": 4, "False": False}),
        (Schedule | float | str | None, "X", {"0.1": 0.1, "none": None, "Linear(1,0,9)": "Linear(1,0,9)"}),
        (Schedule | float | str, "X", {"1": 1.0, "none": "none"}),
        (Schedule | str | None, "TEXT", {"vdbe(1)": "vdbe(1)", "none": None, "0.5": "0.5"}),
        (float | int, "N|X", {"2": 2, "2.5": 2.5}),
        (int | Literal["auto"], "auto|N", {"2": 2, "auto": "auto"}),
    ],
)
def test_an_annotation_says_how_its_text_is_read(kind, shown, values):
    reading = read.reading_of(kind)
    assert reading.shown == shown
    for text, value in values.items():
        found = reading.read("x", text)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (int | None, "two", "The '--x' option must be a whole number. Got 'two'. Write 100_000"),
        (
            tuple[int, ...],
            "64,a",
            "takes whole numbers with commas between them. Got '64,a'. Write --x 64,64.",
        ),
        (tuple[float, float], "1", "must have 2 values. Got '1'. Write --x X,X."),
        (bool, "perhaps", "must be true or false. Got 'perhaps'. Write --x true."),
        (Literal["mlp", "nature"], "natur", "be one of mlp, nature. Got 'natur'. Did you mean 'nature'?"),
        (Literal["mlp", "nature"] | None, "zzz", "be one of mlp, nature. Got 'zzz'. Write --x mlp."),
        (float | int, "zzz", "must be N or X. Got 'zzz'."),
    ],
)
def test_a_text_that_is_no_such_value_is_refused(kind, text, message):
    with pytest.raises(OptionError) as caught:
        read.reading_of(kind).read("x", text)
    assert message in str(caught.value)


@pytest.mark.parametrize("module", [read, settings])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


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
