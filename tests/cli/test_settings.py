"""Options of `qfix train` from a TOML file."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "runs.md"
FILE = """
total_steps = 2_000
seeds = [0, 5]
no-pictures = true
json = true
out = "none"
gamma = 0.9
alpha = "Polynomial(1, 0.6, by=visit)"
first-visit = true
lambda = 0.7

[env]
map-name = "8x8"
is_slippery = false
"""


@pytest.fixture
def train(qfix_command, tmp_path):
    """Trains on FrozenLake with a file of this text."""

    def run(text, *words):
        (tmp_path / "my.toml").write_text(text)
        return qfix_command("train", "FrozenLake", *words, "--config", "my.toml")

    return run


def without(*keys):
    return "\n".join(line for line in FILE.splitlines() if not line.startswith(keys))


def spec_of(answer):
    assert answer.code == 0
    return json.loads(answer.out)["spec"]


def test_options_of_train_the_algorithm_and_the_environment(train):
    spec = spec_of(train(without("lambda"), "monte_carlo"))
    assert (spec["algorithm"], spec["total_steps"], spec["seeds"]) == ("monte_carlo", 2_000, [0, 5])
    assert spec["env_kwargs"] == {"map_name": "8x8", "is_slippery": False}
    config = spec["config"]
    assert (config["gamma"], config["first_visit"]) == (0.9, True)
    assert config["alpha"] == "Polynomial(1.0, 0.6, by='visit')"
    spec = spec_of(train(without("first-visit"), "sarsa_lambda"))
    assert spec["config"]["lambda_"] == 0.7


def test_the_command_line_has_the_last_word(train):
    line = "monte_carlo --gamma 0.8 --seeds 3 --env.map_name 4x4 --first_visit no --total-steps=1000"
    spec = spec_of(train(without("lambda"), *line.split()))
    assert (spec["total_steps"], spec["seeds"]) == (1_000, [0, 1, 2])
    assert spec["env_kwargs"] == {"map_name": "4x4", "is_slippery": False}
    assert (spec["config"]["gamma"], spec["config"]["first_visit"]) == (0.8, False)
    answer = train(without("lambda"), "monte_carlo", "--json=false")
    assert answer.out.startswith("monte_carlo on FrozenLake-v1")


@pytest.mark.parametrize(("seeds", "kept"), [("3", [0, 1, 2]), ("[3]", [3]), ('"3,5"', [3, 5])])
def test_seeds_are_a_count_or_a_list(train, seeds, kept):
    text = f"seeds = {seeds}\n" + without("seeds", "lambda", "first-visit")
    assert spec_of(train(text))["seeds"] == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama = 0.9", "In 'my.toml', there is no option 'gama'. Did you mean 'gamma'?"),
        ("lr = 0.1", "In 'my.toml', there is no option 'lr'. Did you mean 'alpha'?"),
        ("total_step = 9", "In 'my.toml', there is no option 'total_step'. Did you mean 'total_steps'?"),
        ("zzz = 1", "In 'my.toml', there is no option 'zzz'. There are: total_steps, seeds, "),
        ("config = 'x'", "In 'my.toml', there is no option 'config'."),
        ("gamma = true", "In 'my.toml', 'gamma' must be a number. Got 'true'. Write 0.1."),
        ("total_steps = 'many'", "In 'my.toml', 'total_steps' must be a whole number. Got 'many'."),
        ("total-steps = [1, 2]", "In 'my.toml', 'total-steps' must be a whole number. Got '1,2'."),
        ("tilings = 2.5", "In 'my.toml', 'tilings' must be a whole number. Got '2.5'."),
        ("json = 1", "In 'my.toml', 'json' must be true or false. Got 1. Write json = true."),
        ("store = 'dens'", "In 'my.toml', 'store' must be one of auto, dense, sparse, tiled. Got 'dens'. Did you mean"),
        ("alpha = 2", "In 'my.toml', 'alpha' of q_learning must be in [0, 1]. Got 2.0. Use alpha = 0.1."),
        ("seeds = 0", "In 'my.toml', 'seeds' of train must be at least 1"),
        ("gamma = 0.9\nn_steps = 4", "In 'my.toml', there is no option 'n_steps'."),
        ("total_steps = 9\ntotal-steps = 9", "'total_steps' and 'total-steps' are the same option. Leave one out."),
        ("[q_learning]\ngamma = 0.9", "In 'my.toml', 'q_learning' must be a value, not a table."),
        ("env = 'x'", "In 'my.toml', 'env' must be a table of the environment's options. Got 'x'. Environment and"),
        ("algorithm = 'x'", "In 'my.toml', 'algorithm' is not an option. Environment and algorithm are typed on the"),
        ("[env]\nmap_nam = '8x8'", "In 'my.toml': The environment 'FrozenLake-v1' has no option 'env.map_nam'. "
         "Did you mean 'env.map_name'?"),
        ("[env]\nmap_name = '9x9'", "There are options of it in 'my.toml', table [env]."),
        ("[env]\nis_slippery = 'perhaps'", "In 'my.toml', 'env.is_slippery' must be true or false. Got 'perhaps'."),
        ("[env]\ngamma = 0.9", "In 'my.toml', 'env.gamma' is not the environment's to choose. Write gamma above"),
        ("[env]\ndesc = [1979-05-27]", "In 'my.toml', 'env.desc' must be a number, a text"),
        ("gamma = ", "The file 'my.toml' is no TOML: Invalid value (at end of document). A line is such as gamma ="),
        ("a = " + "[" * 10_000, "The file 'my.toml' is no TOML: nested too deep."),
    ],
)  # fmt: skip
def test_a_mistake_names_the_file_the_key_and_the_remedy(train, tmp_path, text, message):
    answer = train(text, "q_learning")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]


def test_what_is_overridden_is_not_looked_at(train):
    assert spec_of(train("gamma = 2\n" + without("gamma", "lambda", "first-visit"), "--gamma", "0.7"))


def test_an_error_of_the_command_line_is_not_blamed_on_the_file(train):
    answer = train("gamma = 0.9", "--alpha", "2")
    assert "The '--alpha' option of q_learning must be in [0, 1]. Got 2.0. Use --alpha 0.1." in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--config", "none.toml"],
            "The '--config' option must be a file that can be read. Got 'none.toml': No such",
        ),
        (["--config", "."], "must be a file that can be read. Got '.': Is a directory."),
        (["--config"], "The '--config' option needs a value. Got none. Write --config settings.toml."),
        (["--config", "bytes.toml"], "The file 'bytes.toml' is no TOML: 'utf-8' codec can't decode"),
    ],
)
def test_a_file_that_cannot_be_read(qfix_command, tmp_path, words, message):
    (tmp_path / "bytes.toml").write_bytes(b"gamma = \xff")
    answer = qfix_command("train", "FrozenLake", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_help_has_the_example_of_the_page(qfix_command):
    """tests/cli/test_runs_page.py follows the page."""
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    help_text = qfix_command("train", "--help").out
    assert "\n".join(f"  {line}".rstrip() for line in example.splitlines()) in help_text
