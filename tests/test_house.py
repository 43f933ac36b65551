"""Rules of the house that no linter can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qfix.algorithms import ALGORITHMS, algorithm
from qfix.errors import UnknownNameError

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "qfix"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("numpy", "scipy", "numba", "gymnasium", "matplotlib", "jax", "torch")


def loaded_after(program: str) -> set[str]:
    """Top-level modules in a fresh interpreter when a program has run."""
    told = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run([sys.executable, "-c", program + told], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split())


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_in(tree: ast.AST) -> set[str]:
    """Every identifier a module introduces or reads."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name))
            ):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(asname=str(name)):
                found.add(name)
    return found


# What is loaded


@pytest.mark.parametrize(
    "program",
    [
        "import qfix",
        "import qfix; qfix.ALGORITHMS, dir(qfix), qfix.__version__",
        "from qfix.cli import main; main(['--help'])",
        "from qfix.cli import main; main(['--version'])",
    ],
)
def test_what_needs_no_library_loads_none(program):
    assert loaded_after(program).isdisjoint(HEAVY)


def test_training_a_table_loads_neither_jax_nor_torch():
    program = "import qfix; qfix.train('FrozenLake-v1', total_steps=2_000).optimality_gap()"
    assert loaded_after(program).isdisjoint({"jax", "jaxlib", "torch", "matplotlib"})


def test_the_command_line_trains_without_jax_and_torch(tmp_path):
    program = (
        f"import os; os.chdir({str(tmp_path)!r}); from qfix.cli import main; "
        "assert main(['train', 'FrozenLake-v1', '--total-steps', '2000']) == 0"
    )
    assert loaded_after(program).isdisjoint({"jax", "jaxlib", "torch"})


# Algorithms


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_algorithm_is_one_short_file_with_documented_options(name):
    row = algorithm(name)
    path = SOURCE.joinpath(*row.module.split(".")[1:]).with_suffix(".py")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 200
    tree = tree_of(path)
    equation = ast.get_docstring(tree)
    assert equation, f"{name} states its equation"
    assert "Source" in equation, f"{name} names its source"
    configs = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    assert len(configs) == 1
    assert undocumented_fields(configs[0]) == []
    assert row.summary


def undocumented_fields(config: ast.ClassDef) -> list[str]:
    """Annotated fields with no docstring under them, class variables apart."""
    bare = []
    for node, after in zip(config.body, [*config.body[1:], ast.Pass()]):
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.dump(node.annotation):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if not (told and isinstance(after.value.value, str)):
                bare.append(ast.unparse(node.target))
    return bare


def test_the_options_of_all_tables_are_documented():
    config = next(
        node
        for node in tree_of(SOURCE / "tabular" / "config.py").body
        if isinstance(node, ast.ClassDef) and node.name == "TabularConfig"
    )
    assert undocumented_fields(config) == []


def test_an_algorithm_of_another_name_is_told_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'double_q_learning'"):
        algorithm("double_qlearning")


# Names and shapes


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(SOURCE)) for p in MODULES])
def test_a_module_keeps_to_the_house(path):
    tree = tree_of(path)
    names = names_in(tree)
    assert "done" not in names, "say terminated, truncated or ended; see docs/core.md"
    assert "allow_pickle" not in names, "loading never executes code"
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert calls.isdisjoint({"eval", "exec", "compile", "__import__"}), "text is data, never code"
    assert ast.get_docstring(tree), "a module says what it is"


def test_no_drawer_for_things_without_a_place():
    parts = {part for path in MODULES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert parts.isdisjoint({"utils", "util", "common", "helpers", "misc"})
    assert not [part for part in parts if part.startswith("base_")]


def test_nothing_imports_the_package_for_its_names():
    """`from qfix import train` inside qfix would go round the layers: names have homes."""
    around = [
        f"{path.relative_to(SOURCE)}: {alias.name}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "qfix"
        for alias in node.names
        if alias.name != "__version__" and not (SOURCE / alias.name).exists()
    ]
    assert around == []


def test_public_names_are_the_same_for_people_and_for_type_checkers():
    """`qfix.__init__` lists its names twice: where they are, and under TYPE_CHECKING."""
    import qfix

    tree = tree_of(SOURCE / "__init__.py")
    guarded = next(
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    listed = {
        alias.name for node in ast.walk(guarded) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert listed == set(qfix.__all__) - {"__version__"}
    for name in qfix.__all__:
        assert getattr(qfix, name) is not None


# The front door


def test_the_readme_begins_with_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        "python -m venv .venv && .venv/bin/pip install -e . && .venv/bin/qfix train FrozenLake-v1",
        "python -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
    ):
        assert len(re.findall(rf"^{re.escape(command)}$", readme, flags=re.M)) == 1


def test_ci_runs_the_commands_of_the_readme_and_not_a_copy():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script
    assert "pip install" not in script
