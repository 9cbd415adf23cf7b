"""--record-examples, examples.py and --init-from, on tiny runs."""

import csv
import hashlib
import json
import shutil

import h5py
import numpy as np
import pytest

import cifar10_mlp
import examples
import imdb_text
from common import cli, datasets, models, records
from common.examples import files, measures
from common.report import style

pytestmark = pytest.mark.usefixtures("sound_files")

TINY = "--dataset mnist_5k --train-size 160 --hidden 8 --batch-size 16 --epochs 4 "
FLAGS = TINY + "--label-corruption 0.5 --dropout 0.3 --quiet --record-examples"
NAME = "cifar10_mlp_mnist_5k_n160_labels0.5_hidden8_dropout0.3_batch16_epochs4_seed0"


def run(folder, flags=FLAGS, script=cifar10_mlp):
    folders = f"--results-dir {folder}/results --models-dir {folder}/models"
    record = script.main([*flags.split(), *folders.split()])
    return records.paths(record["name"], folder / "results", folder / "models"), record


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(paths, record) of one run that nobody may change."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copied(whole, tmp_path):
    """The same run in a folder of its own; returns its paths and record."""
    paths, record = whole
    shutil.copytree(paths.json.parent, tmp_path / "results")
    return records.paths(record["name"], tmp_path / "results", tmp_path), record


# What is written.


def test_the_file_says_what_the_csv_says(whole):
    paths, record = whole
    assert record["name"] == NAME
    found = files.read(paths.examples, record)
    rows = records.read_rows(paths.csv)
    assert found.predicted.shape == (4, 160) and found.num_classes == 10
    for epoch, row in enumerate(rows):
        right, kept = found.right[epoch], ~found.flipped
        shares = {
            "train_accuracy": right.mean(),
            "train_cross_entropy": found.loss[epoch].astype(float).mean(),
            "kept_accuracy": right[kept].mean(),
            "flipped_accuracy": right[~kept].mean(),
            "flipped_true_accuracy": (found.predicted[epoch] == found.true)[
                ~kept
            ].mean(),
        }
        for name, share in shares.items():
            assert float(row[name]) == pytest.approx(share, rel=1e-3), name
        assert int(row["measured"]) == 160
        right_by_margin = found.margin[epoch] > 0
        assert (right_by_margin == right).mean() > 0.99  # but for ties
    data = datasets.named("mnist_5k")
    assert (data.y_train[found.index] == found.true).all()
    assert len(set(found.index.tolist())) == 160
    assert not paths.recorded.exists()


def test_the_same_run_without_it_has_the_same_numbers(whole, tmp_path):
    paths, _ = whole
    plain, record = run(tmp_path, FLAGS.replace("--record-examples", "--measure all"))
    assert plain.model.read_bytes() == paths.model.read_bytes()
    assert "examples" not in record and not plain.examples.exists()
    with pytest.raises(cli.MendableError, match="run without --record-examples"):
        files.read(paths.examples, record)


def test_an_interrupted_run_ends_in_the_same_file(whole, tmp_path, ctrl_c):
    for epoch in (1, 3):
        with ctrl_c(epoch), pytest.raises(cli.Interrupted):
            run(tmp_path)
    paths, record = run(tmp_path)
    assert record["resumed_at"] == [1, 3]
    assert paths.examples.read_bytes() == whole[0].examples.read_bytes()


@pytest.mark.parametrize("recorded", [True, False])
def test_epochs_that_were_not_kept_are_told(tmp_path, ctrl_c, recorded):
    flags = FLAGS if recorded else FLAGS.replace("--record-examples", "")
    with ctrl_c(2), pytest.raises(cli.Interrupted):
        run(tmp_path, flags)
    kept = tmp_path / "models/.checkpoints" / f"{NAME}_examples/000001.npz"
    if recorded:
        with np.load(kept) as file:
            arrays = dict(file)
        np.savez(kept, **arrays | {"margin": arrays["margin"] + np.float16(1)})
        with pytest.raises(cli.MendableError, match="does not hold .* --no-resume"):
            run(tmp_path)
        kept.unlink()
    with pytest.raises(cli.MendableError, match="does not hold .* --no-resume"):
        run(tmp_path)


@pytest.fixture
def undrawn(monkeypatch):
    """Files of pictures without a content: test_example_figures.py looks at it."""
    monkeypatch.setattr(style, "_print_png", lambda figure, path: path.touch())


def _without_a_flipped_label(paths):
    made = examples.main([str(paths.examples), "--results-dir", str(paths.csv.parent)])
    (said,) = made.values()
    assert said["says"].startswith("Every given label of 3,600 is the true one.")
    assert said["scores"] == {} and "flipped_true" not in said["courses"]
    names = [p.stem.rpartition("_")[2] for p in paths.csv.parent.glob("figures/*.png")]
    assert sorted(names) == ["course", "gallery", "learned"]  # no ROC curve


def test_the_examples_that_are_held_out_are_not_in_it(tmp_path, undrawn):
    flags = "--early-stopping 9 --epochs 1 --dataset mnist_5k --hidden 8 --quiet"
    paths, record = run(tmp_path, f"{flags} --record-examples")
    found = files.read(paths.examples, record)
    data = datasets.named("mnist_5k")
    assert len(found.index) == 3600 and (np.diff(found.index) > 0).all()
    assert (data.y_train[found.index] == found.given).all()
    _without_a_flipped_label(paths)


# What is refused, in one line.


def rewritten(path, record, change):
    """Changes the content of a file, and its record as if it had been so."""
    with h5py.File(path, "a") as file:
        change(file)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return record | {"examples": {"sha256": sha256, "bytes": path.stat().st_size}}


def drop_epoch(file):
    file["loss"].resize(3, axis=0)


def other_type(file):
    values = file["margin"][()]
    del file["margin"]
    file["margin"] = values.astype("float64")


def rename(file):
    file.attrs["name"] = "cifar10_mlp_seed0"


def renumber(file):
    file["given"][0] = 10


def newer(file):
    file.attrs["schema"] = 2


def remove(file):
    del file["true"]


@pytest.mark.parametrize(
    "change, said",
    [
        (drop_epoch, r"loss is float16 \(3, 160\), and its record says .*\(4, 160\)"),
        (other_type, "margin is float64"),
        (rename, "it is of 'cifar10_mlp_seed0'"),
        (renumber, "given holds other classes than 0 to 9"),
        (newer, "its schema is 2: update"),
        (remove, "is no file of examples of this run"),
    ],
)
def test_a_file_of_another_shape_is_refused(copied, change, said):
    paths, record = copied
    record = rewritten(paths.examples, record, change)
    with pytest.raises(cli.MendableError, match=said) as error:
        files.read(paths.examples, record)
    assert "\n" not in str(error.value) and "--record-examples" in str(error.value)


@pytest.mark.parametrize("what", ["a byte", "its end", "all", "of another run"])
def test_a_damaged_file_is_refused(copied, what):
    paths, record = copied
    content = bytearray(paths.examples.read_bytes())
    content[len(content) // 2] ^= 1
    if what == "its end":
        content = content[:-100]
    if what == "of another run":
        given = record["examples"] | {"sha256": "0" * 64}
        paths.json.write_text(json.dumps(record | {"examples": given}))
    elif what == "all":
        paths.examples.unlink()
    else:
        paths.examples.write_bytes(content)
    said = "is not there" if what == "all" else "is damaged, or of another run"
    with pytest.raises(cli.MendableError, match=said) as error:
        examples.main([NAME, "--results-dir", str(paths.json.parent)])
    assert "\n" not in str(error.value)


def test_the_same_examples_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    n, labels = 50, {k: np.arange(50) % 7 for k in ("index", "given", "true")}
    epochs = [
        measures.measure(rng.normal(size=(n, 7)), labels["given"], labels["true"])
        for _ in range(40)
    ]
    said = [
        files.write(tmp_path / f"{i}.h5", "a", labels, 7, iter(epochs)) for i in "12"
    ]
    assert said[0] == said[1]
    record = {"name": "a", "num_classes": 7, "train_examples": n, "epochs": 40}
    found = files.read(tmp_path / "1.h5", record | {"examples": said[0]})
    for key in measures.KINDS:
        expected = [epoch[key] for epoch in epochs]
        np.testing.assert_array_equal(getattr(found, key), expected)


# examples.py.


def test_the_script_tells_of_every_file_of_a_folder(copied, capsys):
    paths, record = copied
    folder = paths.json.parent
    made = examples.main(["--results-dir", str(folder), "--el2n-epoch", "2"])[NAME]
    assert made["says"] in capsys.readouterr().out
    kept = records.read(folder / f"{NAME}_examples.json")
    assert (kept["of"], kept["el2n_epoch"], kept["epochs"]) == (NAME, 2, 4)
    found = files.read(paths.examples, record)
    assert kept["wrong"] == found.flipped.sum() > 0
    with open(folder / f"{NAME}_examples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 160
    assert [int(row["kept"]) for row in rows] == (~found.flipped).astype(int).tolist()
    aum = found.margin.astype(float).mean(0)
    np.testing.assert_allclose([float(r["aum"]) for r in rows], aum, rtol=1e-3)
    ends = "course", "gallery", "learned", "roc"
    pictures = sorted((folder / "figures").glob("*.png"))
    assert [p.name for p in pictures] == [f"{NAME}_examples_{end}.png" for end in ends]
    assert records.pictures(NAME, folder) == []  # they are of the other record


def test_text_has_no_gallery(tmp_path, capsys, undrawn):
    flags = "--dataset synthetic_text --train-size 100 --epochs 2 --quiet "
    flags += "--label-corruption 0.5 --record-examples"
    paths, _ = run(tmp_path, flags, imdb_text)
    examples.main(["--results-dir", str(paths.csv.parent)])
    assert "No picture" not in capsys.readouterr().err
    names = [p.stem.rpartition("_")[2] for p in paths.csv.parent.glob("figures/*.png")]
    assert sorted(names) == ["course", "learned", "roc"]


@pytest.mark.parametrize(
    "flags, error, said",
    [
        ("", cli.MendableError, "holds no NAME_examples.h5. Train with --record-exam"),
        ("cifar10_mlp_seed0", cli.MendableError, "does not exist: of a file of exam"),
        ("--el2n-epoch 0", cli.UsageError, "at least 1"),
        ("--data-dir /nowhere/at/all", cli.UsageError, "no such folder"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, flags, error, said):
    with pytest.raises(error, match=said):
        examples.main([*flags.split(), "--results-dir", str(tmp_path)])


def test_an_epoch_that_was_not_trained_is_refused(copied):
    folder = str(copied[0].json.parent)
    with pytest.raises(cli.UsageError, match="--el2n-epoch 5: .* has 4 epochs"):
        examples.main(["--results-dir", folder, "--el2n-epoch", "5"])


# --init-from.


def test_a_run_starts_from_saved_weights(whole, tmp_path):
    model = whole[0].model
    flags = f"{TINY} --quiet --epochs 1 --lr 1e-30 --init-from {model}"
    paths, record = run(tmp_path, f"{flags} --save-init")
    assert f"_from-{NAME}-weights_seed0" in record["name"]
    assert record["init_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    start = models.load(model).get_weights()
    for path in (paths.init, paths.model):  # a rate of nothing leaves them
        for a, b in zip(start, models.load(path).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    # Another file of that name would have the same run's name.
    shutil.copy(paths.model, other := tmp_path / model.name)
    other.write_bytes(other.read_bytes() + b" ")
    with pytest.raises(cli.MendableError, match="from other weights.*--overwrite"):
        run(tmp_path, f"{flags} --init-from {other}")
    assert run(tmp_path, flags)[1]["init_sha256"] == record["init_sha256"]


@pytest.mark.parametrize(
    "flags, said",
    [
        (
            "--hidden 9",
            r"its 4 arrays .* this network's 4: number 1 is \(784, 8\), ex"
            r"pected \(784, 9\)",
        ),
        ("--hidden 8 8", r"its 4 arrays of weights do not fit this network's 6"),
    ],
)
def test_other_shapes_are_refused(whole, tmp_path, flags, said):
    flags = f"--dataset mnist_5k --epochs 1 --quiet {flags}"
    with pytest.raises(cli.MendableError, match=said) as error:
        run(tmp_path, f"{flags} --init-from {whole[0].model}")
    assert "\n" not in str(error.value)


def test_a_start_that_is_not_there_or_no_number_is_refused(whole, tmp_path):
    with pytest.raises(cli.MendableError, match="does not exist"):
        run(tmp_path, f"{TINY} --init-from {tmp_path}/a.h5")
    shutil.copy(whole[0].model, broken := tmp_path / "b.h5")
    with h5py.File(broken, "a") as file:

        def spoil(name, item):
            if isinstance(item, h5py.Dataset):
                item[...] = np.nan

        file["model_weights"].visititems(spoil)
    with pytest.raises(cli.MendableError, match="not finite"):
        run(tmp_path, f"{TINY} --init-from {broken}")
