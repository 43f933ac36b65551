"""`qfix train` as a newcomer types it."""

import importlib
import json
import sys
from pathlib import Path

import pytest

import qfix
import qfix.stats
from qfix.presets import PRESETS

SHORT = ("--total-steps", "20_000")


def test_a_first_run_says_how_good_it_is_and_where_it_is(qfix_command, tmp_path):
    answer = qfix_command("train", "FrozenLake-v1", "--seeds", "2", *SHORT)
    assert answer.code == 0
    assert answer.err == ""
    words = " ".join(answer.out.split())
    assert "q_learning on FrozenLake-v1: 2 seeds, 20,000 steps each, compiled" in words
    for name in ("seed return training gap episodes", "mean", "optimal", "random 0.014", "untrained 0.000"):
        assert name in words
    assert "exact" in words
    assert "\x1b" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "kept in runs/frozenlake-q_learning" in words
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    folder = "runs/frozenlake-q_learning"
    assert {f"{folder}/result.json", f"{folder}/spec.json", f"{folder}/metrics.db"} < kept
    assert f"{folder}/checkpoints/000000020000/state.safetensors" in kept
    assert {f"{folder}/figures/values.png", f"{folder}/figures/learning_curve.png"} < kept


def test_no_line_ends_in_spaces_where_nobody_watches(qfix_command):
    for words in (
        ("train", "FrozenLake", *SHORT),
        ("evaluate", "runs/frozenlake-q_learning"),
        ("list", "runs"),
    ):
        answer = qfix_command(*words)
        assert answer.code == 0
        assert [line for line in answer.out.splitlines() if line != line.rstrip()] == []


def test_json_is_one_document_with_all_of_it(qfix_command):
    answer = qfix_command("train", "FrozenLake-v1", "--seeds", "3,5", *SHORT, "--json", "--no-pictures")
    document = json.loads(answer.out)
    run = qfix.train("FrozenLake-v1", seeds=[3, 5], total_steps=20_000)
    assert document["spec"]["seeds"] == [3, 5]
    assert document["evaluation"]["returns"] == run.evaluate().returns.tolist()
    assert document["evaluation"]["exact"] is True
    assert document["gap"] == run.optimality_gap().tolist()
    assert document["baselines"]["optimal"]["mean"] == pytest.approx(0.74, abs=0.01)
    assert set(document["baselines"]) == {"optimal", "random", "untrained"}
    assert document["episodes"] == [len(r) for r in run.episodes.returns]
    assert document["folder"] == "runs/frozenlake-q_learning"
    assert document["figures"] == []
    assert json.loads(Path("runs/frozenlake-q_learning/result.json").read_text()) == document
    assert (document["n_seeds"], document["n_failed"], document["failures"]) == (2, 0, {})
    assert document["estimates"]["mean"] == interval_dict(run.evaluate().returns, "mean")
    assert document["estimates"]["iqm"] == interval_dict(run.evaluate().returns, "iqm")
    assert document["versions"] == qfix.RunSpec.load("runs/frozenlake-q_learning").versions
    assert (document["steps"], document["spec"]["total_steps"]) == (20_000, 20_000)
    assert document["seconds"] > 0


def interval_dict(scores, of):
    found = qfix.stats.interval(scores, of)
    assert found.n == 2
    return {**vars(found)}


def test_folders_are_numbered_and_empty_ones_used(qfix_command, tmp_path):
    (tmp_path / "runs" / "grid4x3-sarsa").mkdir(parents=True)
    for name in ("grid4x3-sarsa", "grid4x3-sarsa-2", "grid4x3-sarsa-3"):
        answer = qfix_command("train", "qfix/Grid4x3-v0", "sarsa", "--total-steps", "100", "--no-pictures")
        assert f"kept in  runs/{name}\n" in answer.out


def test_nothing_is_kept_where_nothing_is_to_be(qfix_command, tmp_path):
    answer = qfix_command("train", "qfix/Grid4x3-v0", "--total-steps", "100", "--out", "none")
    assert answer.code == 0
    assert "kept" not in answer.out
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_algorithm_and_the_environment(qfix_command):
    line = "train FrozenLake sarsa_lambda --total-steps 500 --gamma 0.9 --alpha 0.2 --lambda 0.7 --out here --json"
    answer = qfix_command(*line.split(), "--epsilon", "Linear(1, 0.05, 400)", "--env.map-name", "8x8")
    spec = json.loads(answer.out)["spec"]
    config = spec["config"]
    assert spec["algorithm"] == "sarsa_lambda"
    assert spec["env_kwargs"] == {"map_name": "8x8"}
    assert (config["gamma"], config["lambda_"]) == (0.9, 0.7)
    assert config["alpha"] == "Constant(0.2)"
    assert config["epsilon"] == "Linear(1.0, 0.05, 400)"
    assert Path("here/figures/values.png").exists()


def test_help_has_the_options_of_train_an_algorithm_and_an_environment(qfix_command):
    assert "--total-steps" in qfix_command("train", "--help").out
    own = qfix_command("train", "FrozenLake", "n_step_sarsa", "--help").out
    assert "Rewards in a target; at least 1. [4]" in own
    assert "--env.map-name" in own
    assert "--lambda" in qfix_command("train", "sarsa_lambda", "--help").out
    assert "Options of q_learning" in qfix_command("train", "FrozenLake", "--help").out


def test_help_speaks_of_the_family_of_the_algorithm(qfix_command):
    table, network, both = (
        " ".join(qfix_command("train", *words, "--help").out.split())
        for words in (("FrozenLake",), ("CartPole-v1", "dqn"), ())
    )
    assert "exactly; by default" in table
    for text, trainer in ((table, "tabular"), (network, "deep"), (both, "tabular"), (both, "deep")):
        usual = importlib.import_module(f"qfix.{trainer}.trainer")._FIRST_LOOK
        assert all(f"{steps:,}" in text for steps in usual.values())
    assert "auto, compiled (all" in table
    assert "device" not in table.partition("Options: ")[2]
    assert "rounded up to whole units" in network
    assert "auto, device (all" in network
    assert "compiled" not in network.partition("Options: ")[2]
    assert "of tables compiled" in both
    assert "of networks device" in both


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("train", 2, "Write `qfix train FrozenLake-v1`"),
        ("train FrozenLak", 2, "Did you mean 'FrozenLake-v1'?"),
        ("train FrozenLake qlearning", 2, "Did you mean 'q_learning'?"),
        ("train q_learning FrozenLake", 2, "Write `qfix train FrozenLake q_learning`"),
        ("train FrozenLake q_learning more", 2, "Got also 'more'"),
        ("train FrozenLake --alpah 0.1", 2, "Did you mean '--alpha'?"),
        (
            "train FrozenLake --alpha 2",
            2,
            "The '--alpha' option of q_learning must be in [0, 1]. Got 2.0. Use --alpha 0.1.",
        ),
        ("train FrozenLake --lr 0.1", 2, "There is no option '--lr'. Did you mean '--alpha'?"),
        ("train FrozenLake dqn --lr 1e-3", 2, "There is no option '--lr'. Did you mean '--learning-rate'?"),
        ("train FrozenLake dqn --alpha=1e-3", 2, "Did you mean '--learning-rate'?"),
        ("train FrozenLake dqn --n-envs 4", 2, "Did you mean '--num-envs'?"),
        ("train FrozenLake dqn --buffer 400", 2, "Did you mean '--buffer-size'?"),
        ("train FrozenLake ppo --gae_lambda 0.9", 2, "Did you mean '--lambda'?"),
        (
            "train FrozenLake ppo --clip-range 0.1",
            2,
            "There is no option '--clip-range'. Write --clip-low 0.1 --clip-high 0.1.",
        ),
        ("train FrozenLake ppo --batch-size 64", 2, "Did you mean '--num-minibatches'?"),
        (
            "train FrozenLake ppo --epsilon 0.1",
            2,
            "There is no option '--epsilon' of ppo. It is one of q_learning, double_q_learning, sarsa, expected_sarsa, "
            "...; ppo explores by its policy, from which it draws its actions. `qfix train ENV ppo --help` lists",
        ),
        (
            "train FrozenLake reinforce --lambda 0.9",
            2,
            "It is one of watkins_q_lambda, sarsa_lambda, pqn, a2c, ...",
        ),
        (
            "train CartPole-v1 dqn --hidden abc",
            2,
            "The '--hidden' option takes whole numbers with commas between them. Got 'abc'. Write --hidden 64,64.",
        ),
        (
            "train FrozenLake ppo --nosuchthing 1",
            2,
            "`qfix train FrozenLake ppo --help` lists those there are.",
        ),
        ("train MsPacman-v1", 2, "There is no environment 'MsPacman-v1'. "),
        ("train FrozenLake --timesteps 400", 2, "Did you mean '--total-steps'?"),
        ("train FrozenLake --total-timesteps 400", 2, "Did you mean '--total-steps'?"),
        (
            "train CartPole-v1 dqn --learning-rate abc",
            2,
            "The '--learning-rate' option of dqn cannot be used. There is no schedule 'abc'",
        ),
        (
            "train CartPole-v1 dqn --explore boltzmann(0)",
            2,
            "The '--explore' option of dqn cannot be used. The 'temperature' parameter of Boltzmann must stay above 0",
        ),
        (
            "train FrozenLake --explore ucb(-1)",
            2,
            "The '--explore' option of q_learning cannot be used. The 'c' par",
        ),
        (
            "train CartPole-v1 dqn --hidden 64x64",
            2,
            "The '--hidden' option takes whole numbers with commas between them. Got '64x64'. Write --hidden 64,64.",
        ),
        (
            "train CartPole-v1 dqn --gru 16 --batch-size 50",
            2,
            "must be a multiple of --sequence-length 16, as whole sequences are drawn. Got 50. Use --batch-size 48 or",
        ),
        (
            "train CartPole-v1 pqn --gru 8 --num-envs 64 --num-minibatches 3",
            2,
            "with gru, as a minibatch is of whole rollouts. Got 3. Use --num-minibatches 2 or 4.",
        ),
        (
            "train CartPole-v1 ppo --num-envs 4 --num-steps 5 --num-minibatches 7",
            2,
            "Use --num-minibatches 5 or 10.",
        ),
        ("train CartPole-v1 dqn --network nature", 2, "The '--network' option can be 'nature' only where"),
        (
            "train CartPole-v1 dqn --tau 0",
            2,
            "The '--tau' option of dqn must be in (0, 1]. Got 0.0. Use --tau 0.005.",
        ),
        ("train CartPole-v1 DQN", 2, "There is no algorithm 'DQN'. Did you mean 'dqn'?"),
        ("train FrozenLake --epsilon Linaer(1,0,9)", 2, "Did you mean 'Linear'?"),
        ("train FrozenLake --seeds 0", 2, "must be at least 1"),
        ("train FrozenLake --seeds 1,1", 2, "must not repeat a seed"),
        ("train FrozenLake --seeds", 2, "The '--seeds' option needs a value"),
        ("train FrozenLake --total-steps 0", 2, "The '--total-steps' option of train must be"),
        (
            "train FrozenLake --eval-episodes -1",
            2,
            "The '--eval-episodes' option of train must be a whole number, 0",
        ),
        ("train FrozenLake --metrics-every 0", 2, "The '--metrics-every' option of train must be"),
        ("train FrozenLake --workers 0", 2, "The '--workers' option of train must be"),
        ("train FrozenLake --checkpoint-seconds -1", 2, "The '--checkpoint-seconds' option of train must be"),
        ("train FrozenLake --track tensorbord", 2, "Did you mean 'tensorboard'?"),
        ("train FrozenLake --resume --out none", 2, "The '--resume' option needs a folder"),
        ("train FrozenLake --driver fast", 2, "must be one of auto, compiled, live"),
        ("train FrozenLake --env.map_nam 8x8", 2, "Did you mean '--env.map-name'?"),
        ("train FrozenLake --env.map-name", 2, "The '--env.map-name' option needs a value"),
        ("train FrozenLake --out .", 2, "this one holds something already"),
        ("train FrozenLake --out taken/x", 2, "must be a folder that can be written"),
        ("train CartPole sarsa_lambda", 2, "--tile-range low,high"),
        ("train Pendulum dqn", 2, "must be Discrete"),
        ("train FrozenLake --first-visit", 2, "There is no option '--first-visit'"),
        ("train --first-visit", 2, "`qfix train` needs an environment"),
        ("train FrozenLake monte_carlo --first-visit more", 2, "Got also 'more'"),
        ("train no_such_module:X-v0", 1, "cannot be imported"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(qfix_command, tmp_path, line, code, message):
    (tmp_path / "taken").write_text("")
    answer = qfix_command(*line.split())
    assert answer.code == code
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("FrozenLake monte_carlo --first-visit --seeds 2", True),
        ("--first-visit FrozenLake monte_carlo", True),
        ("FrozenLake --first-visit monte_carlo", True),
        ("--first-visit no FrozenLake monte_carlo", False),
        ("FrozenLake monte_carlo --first-visit=false", False),
    ],
)
def test_an_option_that_is_true_or_false_swallows_no_word(qfix_command, line, value):
    answer = qfix_command("train", *line.split(), "--total-steps", "500", "--out", "none", "--json")
    spec = json.loads(answer.out)["spec"]
    assert (spec["env"], spec["algorithm"], spec["config"]["first_visit"]) == (
        "FrozenLake-v1",
        "monte_carlo",
        value,
    )


def test_an_environment_after_an_option_of_the_algorithm_that_it_decides_on(qfix_command, monkeypatch):
    """As `qfix train --first-visit FrozenLake`, were Monte Carlo what is usual there."""
    monkeypatch.setattr("qfix.assembly.choose_algorithm", lambda *spaces: "monte_carlo")
    answer = qfix_command("train", "--first-visit", "FrozenLake", *SHORT, "--out", "none", "--json")
    assert json.loads(answer.out)["spec"]["config"]["first_visit"] is True


@pytest.mark.parametrize(
    ("env", "module", "package", "code"),
    [("ALE/Pong-v5", "ale_py", "qfix[atari]", 2), ("LunarLander-v3", "Box2D", "gymnasium[box2d]", 1)],
)
def test_an_environment_whose_package_is_missing_says_what_to_install(
    qfix_command, monkeypatch, env, module, package, code
):
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    answer = qfix_command("train", env)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.endswith(f"Install it: pip install '{package}'.\n")
    assert answer.err.count("\n") == 1


def test_the_preset_is_told(qfix_command):
    line = "train CartPole-v1 dqn --total-steps 40 --learning-starts 8 --hidden 4 --out none --no-progress"
    more = "--eval-episodes 0"
    assert "\npreset: double, n_step 3\n" in qfix_command(*line.split(), *more.split()).out
    assert "\npreset: double\n" in qfix_command(*line.split(), *more.split(), "--n-step", "2").out


def test_a_preset_is_told_as_it_is_typed_and_for_how_many_steps_it_is(qfix_command, monkeypatch):
    presets = {
        "learning_rate": "Linear(1e-3, 1e-4, 3_000)",
        "hidden": (4, 4),
        "gamma": 0.9,
        "max_grad_norm": 1.0,
    }
    monkeypatch.setitem(PRESETS, ("CartPole-v1", "a2c"), presets)
    line = "train CartPole-v1 a2c --out none --no-progress --eval-episodes 0 --total-steps"
    out = qfix_command(*line.split(), "80").out
    assert (
        "\npreset: learning_rate Linear(0.001, 0.0001, 3000), hidden 4,4, gamma 0.9, max_grad_norm 1.0\n"
        in out
    )
    assert "\nThe preset's learning_rate is for 3,000 steps, and these are 128.\n" in out
    assert "is for" not in qfix_command(*line.split(), "2800").out
    monkeypatch.setitem(PRESETS, ("CartPole-v1", "a2c"), {"learning_rate": 1e-3})
    assert "\npreset: learning_rate 0.001\n" in qfix_command(*line.split(), "80").out


def test_a_warning_is_one_line_too(qfix_command):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        line = "train qfix/Grid4x3-v0 --alpha 0.1 --require-convergence --total-steps 100 --out none --no-progress"
        answer = qfix_command(*line.split())
    assert answer.code == 0
    assert answer.err.startswith("Warning: ")
    assert answer.err.count("\n") == 1


def test_a_warning_of_gymnasium_has_no_colours(qfix_command, monkeypatch):
    import warnings

    from gymnasium import logger

    monkeypatch.setattr(
        "qfix.cli.listing.run", lambda words: logger.warn("Overriding environment %s", "X") or 0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        answer = qfix_command("list")
    assert answer.err == "Warning: Overriding environment X\n"


def test_what_was_learned_before_a_fault_is_shown_and_kept(qfix_command, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1]), *sys.path])
    answer = qfix_command("train", "crumbling:tests/Crumbles-v0", "--total-steps", "10_000")
    assert answer.code == 1
    assert answer.err.startswith(
        "Error: The environment 'tests/Crumbles-v0' failed (seed 0, episode 55, step 4)"
    )
    assert answer.err.count("\n") == 1
    words = " ".join(answer.out.split())
    assert "499 steps of 10,000 (failed)" in words
    assert "not evaluated" in words
    assert "kept in runs/crumbles-q_learning" in words
    assert json.loads(Path("runs/crumbles-q_learning/result.json").read_text())["status"] == "failed"


def test_a_fault_before_anything_was_learned_is_only_an_error(qfix_command, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1]), *sys.path])
    answer = qfix_command("train", "crumbling:tests/Crumbles-v0", "--env.at", "3")
    assert answer.code == 1
    assert answer.out == ""


def test_a_box_of_many_dimensions_has_no_value_map_but_a_curve(qfix_command):
    line = (
        "train CartPole sarsa_lambda --tile-range -2.4,2.4,-3,3,-0.21,0.21,-3,3 --tiles 3 --total-steps 1000"
    )
    line += " --eval-episodes 3"
    words = " ".join(qfix_command(*line.split()).out.split())
    assert "mean of 3 fresh episodes" in words
    assert "learning_curve.png" in words
    assert "values.png" not in words
    assert "No value map" in words


def test_a_film_of_the_training_is_kept_with_the_run(qfix_command):
    answer = qfix_command("train", "qfix/Grid4x3-v0", "--total-steps", "4_000", "--video", "--no-pictures")
    assert answer.code == 0
    film = Path("runs/grid4x3-q_learning/figures/stages.gif")
    found = film if film.exists() else film.with_suffix(".mp4")
    assert found.stat().st_size > 0
    assert f"film     {found}" in answer.out.splitlines()
    assert json.loads(Path("runs/grid4x3-q_learning/result.json").read_text())["film"] == str(found)


def test_a_film_that_nobody_would_keep_is_refused_before_the_training(qfix_command):
    answer = qfix_command("train", "qfix/Grid4x3-v0", "--out", "none", "--video")
    assert answer.code == 2
    assert "The '--video' option needs a folder" in answer.err


def test_a_world_tells_its_own_measure_of_policies(qfix_command):
    words = ("qfix/RockPaperScissors-v0", "q_learning", "--total-steps", "2_000", "--seeds", "2")
    answer = qfix_command("train", *words, "--eval-episodes", "2", "--no-pictures")
    assert "exploitability" in answer.out.split()
    assert "exploitability: what a best response wins a round" in " ".join(answer.out.split())
    document = json.loads(Path("runs/rockpaperscissors-q_learning/result.json").read_text())
    assert document["measured"] == {"exploitability": [1.0, 1.0]}
    told = "return: not to be judged by it alone: the likeliest move alone is a habit, which the opponent answers."
    assert told in " ".join(answer.out.split())
    page = Path(qfix_command("report", "runs/rockpaperscissors-q_learning").out.strip()).read_text()
    headline = page.partition('class="verdict">')[2].partition("</p>")[0]
    assert headline.startswith(
        "The exploitability is 1.000 on average over 2 seeds: what a best response wins"
    )
    assert "by which it is not to be judged: the likeliest move alone is a habit" in headline
    assert "chance" not in headline
    assert page.count("<th>exploitability</th>") + page.count(">exploitability</th>") >= 2
    assert "alert" not in answer.out
