"""A spec comes back from its file as it was, and no file makes another one."""

from __future__ import annotations

import dataclasses
import enum
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import FolderError, OptionError
from qfix.runs import RunSpec
from qfix.runs.spec import as_json, survives_json

SPEC = RunSpec(
    env="FrozenLake-v1",
    env_kwargs={"map_name": "8x8", "slip": 0.1, "rows": ["SF", "FG"]},
    algorithm="q_learning",
    config={"gamma": 0.99, "alpha": "Constant(0.1)", "initial": {"value": 0.0}, "explore": None},
    seeds=(0, 7, 2**63 - 1),
    total_steps=100_000,
    driver="compiled",
    metrics_every=500,
    snapshot_episodes=(1, 50),
    eval_episodes=10,
    env_given="object",
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# There and back


def test_a_spec_comes_back_from_its_folder(tmp_path):
    assert SPEC.save(tmp_path) == tmp_path / "spec.json"
    assert json.loads((tmp_path / "spec.json").read_text())["format"] == 1
    back = RunSpec.load(tmp_path)
    assert back == SPEC
    assert back.digest == SPEC.digest
    assert isinstance(back.seeds, tuple)
    assert isinstance(back.snapshot_episodes, tuple)
    assert back.differences(SPEC) == back.version_differences(SPEC) == []


@settings(deadline=None)
@given(st.dictionaries(st.text(), PLAIN, max_size=4))
def test_plain_options_come_back_as_they_were(tmp_path_factory, options):
    spec = dataclasses.replace(SPEC, env_kwargs=options, config=options)
    folder = tmp_path_factory.mktemp("run")
    spec.save(folder)
    back = RunSpec.load(folder)
    assert repr(back) == repr(spec)
    assert back.digest == spec.digest
    assert survives_json(options)


def test_the_new_fields_have_defaults():
    old = RunSpec("FrozenLake-v1", {}, "q_learning", {}, (0,), 10, "compiled")
    assert (old.metrics_every, old.eval_episodes, old.env_given) == (1_000, 0, "id")
    assert RunSpec.from_dict(old.to_dict()) == old


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    spec = dataclasses.replace(
        SPEC,
        env_kwargs={"size": np.int64(4), "slip": np.float32(0.5), "on": np.bool_(True)},
        seeds=(np.int64(3), np.int64(1)),
        total_steps=np.int64(7),
    )
    spec.save(tmp_path)
    back = RunSpec.load(tmp_path)
    assert back.env_kwargs == {"size": 4, "slip": 0.5, "on": True}
    assert (back.seeds, back.total_steps) == ((3, 1), 7)
    assert back.digest == spec.digest


def test_the_module_of_an_environment_is_told_and_counts_for_nothing(tmp_path):
    spec = dataclasses.replace(SPEC, env="Lake-v0", env_module="mypack.lakes")
    spec.save(tmp_path)
    assert RunSpec.load(tmp_path) == spec
    assert spec.typed_env == "mypack.lakes:Lake-v0"
    without = dataclasses.replace(spec, env_module="")
    assert without.typed_env == "Lake-v0"
    assert "env_module" not in without.to_dict()  # so that what was kept before is as it was
    assert (spec.digest, spec.differences(without)) == (without.digest, [])


# The digest


class Colour(enum.IntEnum):
    RED = 1


VALUES = [
    1,
    1.0,
    True,
    "1",
    None,
    "None",
    float("inf"),
    "inf",
    {"a": 1},
    {1: "a"},
    {"1": "a"},
    [1],
    np.arange(2_000.0),
    np.arange(2_000.0) + (np.arange(2_000) == 1_000),
    np.arange(2_000, dtype=np.float32),
    np.arange(2_000.0).reshape(2, 1_000),
    "x" * 2_000,
    frozenset(["x" * 2_000]),
    frozenset(["x" * 1_999 + "y"]),
]


def test_different_options_have_different_digests():
    """Also where JSON, or the repr of a long array, would make them the same."""
    digests = {dataclasses.replace(SPEC, env_kwargs={"x": value}).digest for value in VALUES}
    assert len(digests) == len(VALUES)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(RunSpec) if f.name != "env_module"])
def test_every_field_counts_in_the_digest(field):
    other = {
        "env": "Taxi-v3",
        "algorithm": "sarsa",
        "driver": "live",
        "env_given": "id",
        "seeds": (0, 7),
        "snapshot_episodes": (1,),
    }
    was = getattr(SPEC, field)
    now = other.get(field, was | {"new": "1"} if isinstance(was, dict) else 3)
    changed = dataclasses.replace(SPEC, **{field: now})
    assert changed.digest != SPEC.digest
    told = changed.differences(SPEC)
    if field == "versions":
        assert told == []
    else:
        assert told == [f"{field}.new" if isinstance(was, dict) else field]
    assert SPEC.differences(changed) == told


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        float("nan"),
        {1: "a"},
        (1, 2),
        Colour.RED,
        np.float64(1),
        np.eye(2),
        {"a": {2: 3}},
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_file_changes_is_told(value):
    """An environment with such options cannot be made again from its spec, or not the same."""
    assert not survives_json({"x": value})


def test_what_survives_a_file():
    assert survives_json({})
    assert survives_json({"a": [1, 2.5, None, True, {"b": "c"}]})
    assert not survives_json({"a": float("nan")})
    assert as_json({"a": Colour.RED, "b": (1, (2,))}) == {"a": 1, "b": [1, [2]]}


# Against another


def test_differences_are_named():
    other = dataclasses.replace(
        SPEC, config=SPEC.config | {"gamma": 0.9, "initial": {"value": 1.0}, "new": None}, seeds=(0,)
    )
    del other.config["explore"]
    assert SPEC.differences(other) == [
        "config.explore",
        "config.gamma",
        "config.initial",
        "config.new",
        "seeds",
    ]


def test_a_number_of_another_kind_is_a_difference():
    assert dataclasses.replace(SPEC, env_kwargs=SPEC.env_kwargs | {"slip": 1}).differences(
        dataclasses.replace(SPEC, env_kwargs=SPEC.env_kwargs | {"slip": True})
    ) == ["env_kwargs.slip"]


def test_versions_are_compared_apart():
    other = dataclasses.replace(SPEC, versions={"python": "3.0", "jax": "1"})
    told = SPEC.version_differences(other)
    assert f"python {SPEC.versions['python']}, there 3.0" in told
    assert "jax none, there 1" in told
    assert f"numpy {SPEC.versions['numpy']}, there none" in told


def test_a_longer_run_differs_in_its_length_alone():
    longer = SPEC.with_total_steps(200_000)
    assert longer.differences(SPEC) == ["total_steps"]
    assert longer.total_steps == 200_000
    for wrong in (0, -1, 2**62 + 1, 1.5, True, "7"):
        with pytest.raises(OptionError, match="'total_steps' parameter of RunSpec"):
            SPEC.with_total_steps(wrong)


# Strangers


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


WRONG = {
    "env": ["", 7, None, "a\nb", "a\x1b[31mb", "\ud800", "x" * 1_001, ["a"]],
    "env_kwargs": [None, [], "x", nested(16), {"a": "x" * 1_000_001}, {"a": 10**40}],
    "algorithm": ["", "Q", "../x", "a b", "a\n", 7, "a" * 65, "os.system", "1a"],
    "config": [None, [1], nested(100), {"a": [[]] * 1_000_001}, {"a": float("nan")}, {1: 2}, {"a": {1}}],
    "seeds": [[], None, 7, "12", [-1], [2**63], [1.0], [True], [1, 1], ["1"], [[1]], list(range(100_001))],
    "total_steps": [0, -1, 2**62 + 1, 1.0, True, "7", None],
    "driver": ["", "Live", 7, "a/b", None],
    "versions": [None, [], {"numpy": 2}, {"": "1"}, {"a": "b\n"}, {str(i): "1" for i in range(101)}],
    "metrics_every": [0, -1, 1.5, False, 2**62 + 1, None],
    "snapshot_episodes": [None, 1, [0], [1, 1], [1.5], [True], [2**62 + 1], list(range(1, 10_002))],
    "eval_episodes": [-1, 1.5, True, None, 10**9 + 1],
    "env_given": ["", "ID", None, 7, ["id"]],
    "env_module": [None, 7, "a b", "a:b", ".a", "a.", "a..b", "1a", "a/b", "-a", "a\n", "a" * 201],
}


def test_every_field_has_its_wrong_values():
    assert set(WRONG) == {f.name for f in dataclasses.fields(RunSpec)}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values], ids=str)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field, value, request):
    with pytest.raises(OptionError, match=f"'{field}' parameter of RunSpec must be") as told:
        RunSpec.from_dict(SPEC.to_dict() | {field: value})
    assert len(str(told.value)) < 500
    assert str(told.value).isprintable()


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(RunSpec) if f.name != "env_module"])
def test_a_missing_field_is_named(field):
    data = SPEC.to_dict()
    del data[field]
    with pytest.raises(OptionError, match=f"'{field}' parameter of RunSpec is missing"):
        RunSpec.from_dict(data)


def test_an_unknown_field_is_named():
    with pytest.raises(OptionError, match="no field 'gamma'"):
        RunSpec.from_dict(SPEC.to_dict() | {"gamma": 1})
    with pytest.raises(OptionError, match="table of its fields"):
        RunSpec.from_dict([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no 'format'"),
        ("{}", "no 'format'"),
        ('{"format": true}', "no 'format'"),
        ('{"format": 2}', "Update qfix"),
        ('{"format": 1}', "does not describe a run.*'env' parameter of RunSpec is missing"),
        ("{", "not the JSON"),
        ('{"format": 1, "format": 1}', "key is there twice"),
        ("[" * 100_000, "not the JSON"),
        (" " * (4 << 20) + "{}", "more than"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_spec_is_a_folder_error(tmp_path, text, said):
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(FolderError, match=said):
        RunSpec.load(tmp_path)


def test_no_file_no_spec(tmp_path):
    with pytest.raises(FolderError, match="No such file"):
        RunSpec.load(tmp_path)
    (tmp_path / "away").write_text("{}")
    (tmp_path / "spec.json").symlink_to("away")
    with pytest.raises(FolderError, match="symbolic link"):
        RunSpec.load(tmp_path)


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    for wrong in (
        {"env": "a\nb"},
        {"env_kwargs": {"a": nested(20)}},
        {"env_kwargs": {"a": ["x" * 999_999] * 5}},
    ):
        with pytest.raises(OptionError, match=f"'{next(iter(wrong))}' parameter of RunSpec"):
            dataclasses.replace(SPEC, **wrong).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.data())
def test_any_mutation_of_a_spec_is_a_spec_or_an_error(tmp_path_factory, data):
    """And what is accepted comes back as it was."""
    plain = SPEC.to_dict()
    field = data.draw(st.sampled_from(sorted(plain)))
    plain[field] = data.draw(PLAIN)
    folder = tmp_path_factory.mktemp("run")
    (folder / "spec.json").write_text(json.dumps({"format": 1} | plain))
    try:
        spec = RunSpec.load(folder)
    except FolderError as fault:
        told = str(fault)
    else:
        told = field
        assert RunSpec.from_dict(spec.to_dict()) == spec
    assert field in told
