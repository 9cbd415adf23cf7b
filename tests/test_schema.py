"""What may be in a file that says it is a record, and what its readers then do."""

import json
import math
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import report
import reproduce
from common import records, resumable, schema, verdicts
from common.cli import MendableError
from common.report import reading, table_rows

RESULTS = Path(__file__).resolve().parent.parent / "results"
ALEXNET = "cifar10_alexnet.py"
NAME = "cifar10_alexnet_seed0"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_every_record_we_have_passes(path):
    record = records.read(path)
    assert record == json.loads(path.read_text())
    if record["script"] == "examples":  # whose CSV is long, and so compressed here
        assert path.with_suffix(".csv.gz").exists()
        return
    # That of analyze.py is of models, not of one run.
    ours = record if "name" in record else None
    assert records.read_rows(path.with_suffix(".csv"), ours)


# What a record may not say, each with what the reader is told.
ALTERED = {  # key, or keys: value, and words
    "final.train_accuracy": [(7, "<= 1.0 - at `$.final.train_accuracy`")]
    + [(-3, ">= 0.0"), (None, "got `null`"), ("0.5", "got `str`"), (True, "`bool`")],
    "final.val_accuracy": [(1.0001, "<= 1.0"), (math.inf, "damaged")],
    "final.loss": [([], "got `array`")],
    "final": [(None, "got `null`"), ([], "got `array`"), ({}, "missing required")],
    "epochs": [(0, ">= 1"), (2.5, "got `float`"), ("5", "got `str`"), (10**13, "<=")],
    "epochs_to_fit": [(6, "epochs_to_fit is 6, of 5 epochs"), (0, ">= 1")],
    "num_classes": [(0, ">= 1"), (math.nan, "damaged")],
    "realized_label_noise": [(1.5, "<= 1.0")],
    "stopped_because": [("tired", "Invalid enum value"), ("stop_at", "its regime has")],
    "argv": [("--wd", "got `str`"), ([1], "got `int`")],
    "seconds": [(-1, ">= 0.0"), (None, "got `null`")],
    "device": [({}, "got `object`")],
    "verdict": [([], "got `array`")],
    "name": [("cifar10_mlp_seed0", "it is of 'cifar10_mlp_seed0'"), (1, "got `int`")],
    "script": [
        ("cifar10_mlp", "those of"),
        ([], "got `array`"),
        ("analyze", "its script is"),
    ],
    "schema": [(2, "this version reads up to 1: update"), (0, ">= 1"), ("1", "`str`")],
    "regime": [([], "got `array`"), ({}, "missing augment"), (None, "got `null`")],
    "regime.wd": [(5e-4, "those of 'cifar10_alexnet_wd0.0005_seed0'"), ("0", "`str`")],
    "regime.seed": [(1, "those of 'cifar10_alexnet_seed1'"), (-1, "received '-1'")],
    "regime.seed ": [(1, None)],  # a setting of another version
    "regime.label_corruption": [(7, "received '7'"), (-0.5, "received")],
    "regime.pixels": [("<b>", "pixels is '<b>'")],
    "regime.augment": [(["crop", "melt"], "received 'melt'"), (["crop"], "those of")],
    "regime.dataset": [("a\x1b[2J", "dataset is")],
    "regime.hidden": [([[512]], "array"), (["512"], "str"), ([512], "those of")],
    "regime.batch_size": [(0, "received '0'"), ([], "got `array`")],
    "regime.deep": [([[[]]], "array"), ({"a": 1}, "object")],
    "more": [({"of": [{"another": "version"}]}, None)],
}
CASES = [(key, *case) for key, cases in ALTERED.items() for case in cases]


def altered(record, keys, value):
    """A copy of a record with one value replaced."""
    copy = json.loads(json.dumps(record))
    *outer, last = keys.split(".")
    place = copy
    for key in outer:
        place = place[key]
    place[last] = value
    return copy


@pytest.mark.parametrize("keys, value, told", CASES, ids=lambda x: str(x)[:30])
def test_a_record_is_refused_in_one_line(tmp_path, make_up, keys, value, told):
    path = tmp_path / f"{make_up(tmp_path, ALEXNET)}.json"
    record = altered(json.loads(path.read_text()), keys, value)
    path.write_text(json.dumps(record))
    if told is None:
        assert records.read(path) == record
        return
    with pytest.raises(MendableError) as error:
        records.read(path)
    said = str(error.value)
    assert told in said and str(path) in said and "--overwrite" in said
    assert "\n" not in said and len(said) < 500
    assert "\x1b" not in said


@pytest.mark.parametrize("missing", sorted(schema.Training.__struct_fields__))
def test_what_a_record_may_lack(tmp_path, make_up, missing):
    path = tmp_path / f"{make_up(tmp_path, ALEXNET)}.json"
    record = json.loads(path.read_text())
    record.pop(missing, None)
    path.write_text(json.dumps(record))
    needed = {f for f in schema.Training.__struct_fields__ if f in record} | {missing}
    if missing in needed - set(schema.Training.__struct_fields__[-8:]):
        with pytest.raises(MendableError, match=f"`{missing}`|not the record"):
            records.read(path)
    else:
        records.read(path)
        reading.load(tmp_path)[NAME]


DAMAGED = {
    "empty": b"",
    "half": b'{"name": "a"',
    "utf-16": '{"name": "a"}'.encode("utf-16"),
    "latin-1": '{"name": "\xe9"}'.encode("latin-1"),
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "1e999": b'{"a": 1e999}',
    "a digit too many": b'{"a": %s}' % (b"9" * 5000),
    "a lone surrogate": rb'{"a": "\ud800 and more"}',
    "a lone low one": rb'{"a": "\udfff and more"}',
    "10,000 lists": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "notes": b'{"todo": ["buy milk"]}',
    "of another script": b'{"name": "x", "script": "y", "verdict": 1}',
    "no settings": b'{"name": "x", "script": "min_norm", "argv": [], "verdict": ""}',
}


@pytest.fixture
def folder(tmp_path, make_up):
    """A folder of one record among files that are none."""
    make_up(tmp_path, ALEXNET, test=0.7607)
    for name, content in DAMAGED.items():
        (tmp_path / f"{name}.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "gone.json").symlink_to("nowhere")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    (tmp_path / "\x1b[31m\nred.json").write_text("{}")
    name = make_up(tmp_path, f"{ALEXNET} --random-labels")
    shutil.copy(tmp_path / f"{NAME}.csv", tmp_path / f"{name}.csv")
    name = make_up(tmp_path, "mnist_l2norm.py")
    (tmp_path / f"{name}.csv").write_text("size,labels\n128,true\n")
    (tmp_path / "analysis.csv").write_text("model,trace\na\n")
    return tmp_path


def assert_named(said, folder, but=()):
    lines = said.splitlines()
    assert all(line.startswith("Left out: ") and len(line) < 500 for line in lines)
    bad = [*DAMAGED, "folder", "gone", "endless", r"\x1b[31m\nred"]
    bad += ["cifar10_alexnet_labels1_seed0", "mnist_l2norm", "analysis"]
    for name in set(bad) - {*but}:
        found = [x for x in lines if f"{folder}/{name}." in x]
        assert len(found) == 1, name


def test_the_report_names_what_is_no_record_and_draws_the_rest(folder, capsys):
    report.main(["--results-dir", str(folder)])
    assert_named(capsys.readouterr().err, folder)
    text = (folder / "report.html").read_text()
    assert "<b>within</b>" not in text and "76.07" in text
    assert 'id="run-cifar10_alexnet_seed0"' in text
    assert "cifar10_alexnet_labels1" not in text and "milk" not in text


@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_a_sweep_names_what_is_no_record_and_goes_on(folder, capsys, flag):
    argv = ["implicit", "table_1", flag, "--only", "alexnet"]
    reproduce.main([*argv, "--results-dir", str(folder)])
    out, error = capsys.readouterr()
    # A run whose CSV alone is of another is done.
    csv_only = "cifar10_alexnet_labels1_seed0", "mnist_l2norm", "analysis"
    assert_named(error, folder, but=csv_only)
    if flag == "--list":
        assert "table_1                        5     2 " in out
    else:
        assert len(out.splitlines()) == 3


def test_a_folder_of_no_record_is_told(tmp_path, capsys):
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(MendableError, match="holds no record"):
        report.main(["--results-dir", str(tmp_path)])
    assert "notes.json" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"notes.json"}


def test_a_record_of_another_run_is_not_called_complete(tmp_path, make_up, capsys):
    from common import command_line

    other = tmp_path / f"{make_up(tmp_path, f'{ALEXNET} --wd 5e-4')}.json"
    other.rename(tmp_path / f"{NAME}.json")
    argv = ("--results-dir", str(tmp_path))
    ((regime, options),) = command_line.read("cifar10_alexnet", argv).values()
    with pytest.raises(
        MendableError, match="it is of 'cifar10_alexnet_wd0.0005_seed0'"
    ):
        verdicts.finished(regime, options)
    assert "complete" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_finished_parts_that_are_damaged_say_what_helps(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(MendableError, match="is damaged.*delete it") as error:
        resumable.Finished(path, tmp_path / "old.json", {})
    assert "--overwrite" not in str(error.value)


# A CSV beside a record.


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda text: text, None),
        (lambda text: "", "it has no line"),
        (lambda text: text.rpartition("\n5,")[0] + "\n", "epochs are not 1 to 5"),
        (lambda text: text.replace("\n5,", "\n6,"), "epochs are not 1 to 5"),
        (lambda text: text.replace(",0.5,", ",0.75,"), "0.75, and 0.5 in its record"),
        (lambda text: text.replace(",0.5,", ",7,"), "line 2: Expected"),
        (lambda text: text.replace(",0.5,", ",nan,"), "line 2: Expected"),
        (lambda text: text.replace(",0.01,", ",x,"), "line 2: Expected"),
        (lambda text: text.replace("val_accuracy", "accuracy_2"), "`val_accuracy`"),
        (lambda text: text.replace(",0.01,", ",0.01,0.02,"), "not equally long"),
        (lambda text: text.replace("\n3,", '\n"3,'), "damaged"),
        (lambda text: text.replace("0.01", "\xe9"), "line 2"),
    ],
)
def test_a_csv_has_to_be_of_its_record(tmp_path, make_up, change, told, capsys):
    path = tmp_path / f"{make_up(tmp_path, ALEXNET)}.csv"
    path.write_text(change(path.read_text()), encoding="utf-8")
    loaded, said = reading.load(tmp_path), capsys.readouterr().err
    if told is None:
        assert [*loaded] == [NAME] and not said
    else:
        assert not loaded and told in said and len(said.splitlines()) == 1


# Any JSON.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ANY = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
SAMPLES = [
    json.loads((RESULTS / f"{name}.json").read_text())
    for name in ("cifar10_mlp_seed0", "mnist_l2norm", "min_norm_mnist_seed0")
    + ("expressivity_theorem_seed0", "analysis")
]


def places(value, path=()):
    """The keys that lead to every value of a record."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))


@ANY
@given(st.data())
def test_any_json_is_read_or_refused_in_one_line(tmp_path, data):
    """A record of ours with any JSON in one of its places: drawn, or a line."""
    record = json.loads(json.dumps(data.draw(st.sampled_from(SAMPLES))))
    name = record.get("name", "analysis")
    where = data.draw(st.sampled_from(list(places(record))))
    value, place = data.draw(JSON), record
    for key in where[:-1]:
        place = place[key]
    if where:
        place[where[-1]] = value
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(record if where else value))
    try:
        kept = records.read(path)
    except MendableError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return
    if "regime" in kept:
        assert verdicts.verdict(kept)
        run = reading.Run(name, kept, {"epoch": [1.0]})
        (row,) = table_rows.by_setting({name: run})
        assert table_rows.verdict(row) and table_rows.epochs_to_fit(row)
        assert 0 <= row.final("test_accuracy").mean <= 100
