"""`analyze.py` on a model of ours, and on classifiers made elsewhere."""

import contextlib
import io
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import analyze
import cifar10_mlp
import mnist_l2norm
from common import cli, datasets, models, pipelines, records
from common.analysis import hessian, norms, spectrum
from common.analysis.measured import Measured
from common.report import model_figures
from expressivity import main as theory

RESULTS = Path(__file__).resolve().parents[1] / "results"

pytestmark = pytest.mark.usefixtures("sound_files")

FOLDERS = "--results-dir {0} --models-dir {0}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained MLP with its record."""
    folder = tmp_path_factory.mktemp("runs")
    flags = "--dataset mnist_5k --train-size 100 --hidden 8 --epochs 3 --quiet "
    flags += "--random-labels " + FOLDERS.format(folder)
    cifar10_mlp.main(flags.split())
    return folder


@pytest.fixture
def briefly(monkeypatch):
    """For what is measured again and again: few products, and no picture."""
    trace, density = spectrum.trace, spectrum.spectral_density
    monkeypatch.setattr(spectrum, "trace", lambda operator: trace(operator, 6))
    monkeypatch.setattr(
        spectrum, "spectral_density", lambda operator, **_: density(operator, 1, 3)
    )
    monkeypatch.setattr(model_figures, "draw", lambda *args: None)


@pytest.fixture(scope="module")
def row(folder):
    """That MLP measured: its row of the table, after what was said and left."""
    path, said = next(folder.glob("cifar10_mlp*.h5")), io.StringIO()
    flags = [str(path), "--results-dir", str(folder), "--examples", "50", "--quiet"]
    with contextlib.redirect_stdout(said):
        row = analyze.main([*flags, "--per-layer"]).iloc[0]
    lines = said.getvalue().splitlines()
    (line,) = (line for line in lines if line.split()[:1] == [path.stem])
    assert f"{row.trace:.4g}" in line and f"{row.test_accuracy:.4g}" in line
    saved = pd.read_csv(folder / "analysis.csv").iloc[0]
    assert saved.trace == pytest.approx(row.trace)
    assert (folder / "figures" / "analysis.png").stat().st_size > 5000
    assert records.read(folder / "analysis.json")["argv"][0] == str(path)
    return row


def test_a_row_is_what_the_functions_say(folder, row):
    path = next(folder.glob("cifar10_mlp*.h5"))
    record = folder / f"{path.stem}.csv"
    last = pd.read_csv(record).iloc[-1]
    # The labels it was trained on are the corrupted ones, as in its own history.
    assert row.train_accuracy == pytest.approx(last.train_accuracy)
    assert row.train_loss == pytest.approx(last.train_cross_entropy, rel=1e-4)
    assert row.test_accuracy == pytest.approx(last.val_accuracy)
    model = models.load(path)
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    assert row.frobenius == pytest.approx(np.sqrt(sum((w**2).sum() for w in kernels)))
    top = [np.linalg.norm(w, 2) for w in kernels]
    assert row.log10_product_spectral == pytest.approx(np.log10(np.prod(top)), rel=1e-4)
    assert row.eigenvalue_1 >= row.logits_eigenvalue_1 > 0  # a block of the whole


def test_a_softmax_is_taken_off():
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(inputs)
    plain = keras.Model(inputs, keras.layers.Dense(10, name="last")(x))
    soft = keras.Model(inputs, keras.layers.Dense(10, "softmax", name="last")(x))
    soft.set_weights(plain.get_weights())
    data = datasets.named("mnist_5k", 20)
    x, y = pipelines.prepare(data.x_train), data.y_train
    opened, notes = models.logits_of(soft)
    assert notes == ["softmax output taken off"]
    np.testing.assert_allclose(
        norms.margins(opened, x, y), norms.margins(plain, x, y), atol=1e-5
    )
    traces = [
        spectrum.trace(hessian.Hessian(model, x, y), 6).value
        for model in (opened, plain)
    ]
    assert traces[0] == pytest.approx(traces[1], rel=1e-4)


def test_half_precision_is_lifted():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="mixed_bfloat16")(inputs))
    opened, notes = models.logits_of(model)
    assert notes == ["computed in float32, saved under half or mixed precision"]
    assert {layer.compute_dtype for layer in opened.layers} == {"float32"}
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(opened.predict(x, verbose=0), x @ kernel + bias, 1e-5)


@pytest.mark.parametrize("end", ["softmax", "sigmoid", "layer"])
def test_models_inside_a_model_are_measured_as_their_layers(end, tmp_path):
    """A transferred network: a body and a head, each a model of its own."""
    keras.utils.set_random_seed(0)

    def parts(activation):
        body = keras.layers.Dense(6, "relu", name="body", dtype="mixed_bfloat16")
        return body, keras.layers.Dense(10, activation, name="head")

    flat = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    for layer in parts("linear"):
        flat.add(layer)
    body, head = parts(None if end == "layer" else end)
    start = keras.Input((784,))
    body = keras.Model(start, body(start), name="inner")
    ends = [keras.layers.Softmax()] if end == "layer" else []
    head = keras.Sequential([keras.Input((6,)), head, *ends])
    start = keras.Input((28, 28, 1))
    nested = keras.Model(start, head(body(keras.layers.Flatten()(start))))
    nested.set_weights(flat.get_weights())
    nested.save(tmp_path / "nested.h5")
    (opened, notes), (plain, _) = (
        models.logits_of(model) for model in (models.load(tmp_path / "nested.h5"), flat)
    )
    shown = "softmax" if end == "layer" else end
    assert f"{shown} output taken off" in notes and len(notes) == 2
    data = datasets.named("mnist_5k", 20)
    x, y = pipelines.prepare(data.x_train), data.y_train
    for measure in (
        lambda model: norms.margins(model, x, y),
        norms.path_norm,
        lambda model: [r["spectral"] for r in norms.layer_norms(model)],
        lambda model: hessian.Hessian(model, x, y, layer="body") @ np.ones(785 * 6),
    ):
        np.testing.assert_allclose(measure(opened), measure(plain), 1e-4, 1e-5)


def test_normalization_is_folded_in_a_sequential_from_a_file(tmp_path):
    layers = [keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 2)]
    layers += [keras.layers.BatchNormalization(), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    model.layers[1].gamma.assign([5.0, 6.0, 7.0])
    model.save(tmp_path / "model.h5")
    opened, _ = models.logits_of(models.load(tmp_path / "model.h5"))
    scale = np.array([5, 6, 7]) / np.sqrt(1 + 1e-3)
    exact = np.linalg.norm(np.asarray(model.layers[0].kernel) * scale)
    assert norms.layer_norms(opened)[0]["frobenius"] == pytest.approx(exact)


@pytest.mark.parametrize(
    "end, weight, reason",
    [("tanh", 1.0, "ends with tanh"), ("linear", np.nan, "not finite.*--lr")],
)
def test_what_has_no_logits_is_refused(end, weight, reason):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, end)])
    model.layers[0].kernel.assign(np.full((4, 3), weight))
    with pytest.raises(ValueError, match=reason):
        models.logits_of(model)


def test_a_network_of_norm_0_is_measured(tmp_path):
    layers = [keras.Input((28, 28, 1)), keras.layers.Conv2D(2, 5, strides=5)]
    layers += [keras.layers.BatchNormalization(), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    model.layers[1].gamma.assign([0.0, 0.0])  # as some initialize it
    model.save(tmp_path / "zero.h5")
    flags = ["--dataset", "mnist_5k", "--examples", "10", "--quiet", "--per-layer"]
    flags += ["--results-dir", str(tmp_path)]
    row = analyze.main([str(tmp_path / "zero.h5"), *flags]).iloc[0]
    assert row.log10_product_spectral == row.log10_spectral_complexity == -np.inf
    assert row.path_1 == 0 and row.train_accuracy == pytest.approx(0.1, abs=0.02)


def test_true_and_random_labels_share_a_row_of_the_figure(folder, row, monkeypatch):
    grids, subplots = [], model_figures.Figure.subplots
    monkeypatch.setattr(
        model_figures.Figure,
        "subplots",
        lambda figure, *a, **k: grids.append(a) or subplots(figure, *a, **k),
    )
    row = row.to_dict()
    assert row["label_corruption"] == 1
    density = spectrum.SpectralDensity(*[np.arange(1.0, 4.0)] * 5)
    one = Measured(row, np.ones(5), density, np.arange(9.0), np.arange(9.0))
    names = ("a_labels1_wd0.1_seed0", "a_wd0.1_seed0", "a_labels0.5_wd0.1_seed0")
    names += ("mnist_l2norm_128_true_loss_seed0", "mnist_l2norm_128_random_loss_seed0")
    # Random pixels are another experiment.
    names += ("a_labels1_wd0.1_seed1", "a_random_wd0.1_seed1")
    models = [one._replace(row=row | {"model": name}) for name in names]
    model_figures.draw([one], folder / "figures" / "alone.png")
    model_figures.draw(models, folder / "figures" / "together.png")
    assert [grid[0] for grid in grids] == [1, 4]


def test_without_a_record_the_data_must_be_named(folder, tmp_path):
    path = next(folder.glob("cifar10_mlp*.h5"))
    stranger = tmp_path / "stranger.h5"
    stranger.write_bytes(path.read_bytes())
    with pytest.raises(cli.MendableError, match="stranger.*--results-dir.*--dataset"):
        analyze.main([str(stranger), "--results-dir", str(tmp_path)])
    with pytest.raises(cli.UsageError, match="_init"):
        analyze.main(["some_init.h5"])


def test_what_cannot_be_measured_is_left_out_and_told(
    folder, tmp_path, capsys, monkeypatch, briefly
):
    path, measured = next(folder.glob("cifar10_mlp*.h5")), []
    whole = analyze.analyze

    def once(model, arguments):  # of the one that can be, again and again
        if model != path:
            return whole(model, arguments)
        measured.extend([] if measured else [whole(path, arguments)])
        return measured[0]

    monkeypatch.setattr(analyze, "analyze", once)
    stranger, colour = tmp_path / "stranger.h5", tmp_path / "colour.h5"
    stranger.write_bytes(path.read_bytes())
    start = keras.Input((28, 28, 3))
    last = keras.layers.Dense(10)(keras.layers.Flatten()(start))
    keras.Model(start, last).save(colour)
    flags = ["--results-dir", str(folder), "--examples", "20", "--quiet"]
    with pytest.raises(cli.MendableError, match="1 of 2 models were left out"):
        analyze.main([str(stranger), str(path), *flags])
    said = capsys.readouterr()
    assert "Left out:" in said.err and str(stranger) in said.err
    assert list(pd.read_csv(folder / "analysis.csv").model) == [path.stem]
    flags = ["--dataset", "mnist_5k", *flags]
    with pytest.raises(cli.MendableError, match="1 of 2 models were left out"):
        analyze.main([str(colour), str(path), *flags])
    assert "28x28x1" in capsys.readouterr().err
    record = records.read(folder / f"{path.stem}.json")
    record["regime"]["dataset"] = "imagenet"  # which is not in memory
    record |= {"name": "stranger", "script": "stranger"}
    records.write_json(tmp_path / "stranger.json", record)
    (tmp_path / f"{path.stem}.json").write_bytes(
        (folder / f"{path.stem}.json").read_bytes()
    )
    with pytest.raises(cli.MendableError, match="1 of 2 models were left out"):
        analyze.main(
            [str(stranger), str(path), *flags[2:], "--results-dir", str(tmp_path)]
        )
    assert "unknown data set" in capsys.readouterr().err
    with pytest.raises(cli.MendableError, match="none of the models"):
        analyze.main([str(colour), str(colour), *flags, "--overwrite"])
    assert capsys.readouterr().err.count("Left out") == 1  # for one reason


def test_the_classes_are_those_of_the_data(tmp_path):
    start = keras.Input((28, 28, 1))
    last = keras.layers.Dense(3)(keras.layers.Flatten()(start))
    path = tmp_path / "three.h5"
    keras.Model(start, last).save(path)
    with pytest.raises(cli.MendableError, match="3 classes.*mnist_5k has 10"):
        flags = ["--dataset", "mnist_5k", "--results-dir", str(tmp_path)]
        analyze.main([str(path), *flags])


@pytest.mark.parametrize(
    "shape, dataset, inputs",
    [
        ((32, 32, 3), "synthetic", "unit"),
        ((3072,), "synthetic", "unit"),
        ((28, 28), "mnist_5k", "unit"),
        ((784,), "mnist_5k", "whitened"),
    ],
)
def test_a_network_made_elsewhere(shape, dataset, inputs, tmp_path, briefly):
    start = keras.Input(shape)
    last = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(start))
    model = keras.Model(start, last)
    path = tmp_path / "other.h5"
    model.save(path)
    flags = f"--dataset {dataset} --inputs {inputs} --examples 10 --eigenvalues 1 "
    flags += "--quiet"
    row = analyze.main([str(path), *flags.split(), "--results-dir", str(tmp_path)])
    data = datasets.named(dataset)
    x = pipelines.whiten(data.x_test) if inputs == "whitened" else data.x_test / 255
    kernel, bias = model.get_weights()
    guess = (x.reshape(len(x), -1) @ kernel + bias).argmax(1)
    assert row.test_accuracy[0] == pytest.approx(
        (guess == data.y_test).mean(), abs=2e-3
    )


@pytest.mark.parametrize(
    "main, flags",
    [
        (analyze.main, "x.h5 --results-dir {0}"),
        (mnist_l2norm.main, FOLDERS),
        (theory, f"memorize {FOLDERS}"),
    ],
)
def test_another_backend_is_refused(main, flags, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(cli.UsageError, match="KERAS_BACKEND is jax.*unset it"):
        main(flags.format(tmp_path).split())


def test_data_of_another_shape_are_refused(folder, tmp_path):
    start = keras.Input((3, 32, 32))  # channels first: as many pixels, other places
    last = keras.layers.Dense(10)(keras.layers.Flatten()(start))
    keras.Model(start, last).save(tmp_path / "first.h5")
    flags = ["--results-dir", str(tmp_path), "--dataset", "synthetic", "--quiet"]
    with pytest.raises(cli.MendableError, match="32x32x3, whole or their 28x28 centre"):
        analyze.main([str(tmp_path / "first.h5"), *flags])
    path = next(folder.glob("cifar10_mlp*.h5"))
    flags = [str(path), "--results-dir", str(tmp_path), "--dataset", "synthetic"]
    with pytest.raises(cli.MendableError, match="another --dataset"):
        analyze.main([*flags, "--quiet"])


def test_a_new_table_is_not_told_of_by_the_record_of_another(tmp_path, monkeypatch):
    (tmp_path / "analysis.json").write_text("{}")
    (tmp_path / "a.h5").write_bytes(b"")

    def interrupted(measured, picture):
        raise KeyboardInterrupt

    found = Measured({"model": "a"}, None, None, None, None)
    monkeypatch.setattr(analyze, "analyze", lambda *args: found)
    monkeypatch.setattr(model_figures, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze.main([str(tmp_path / "a.h5"), "--results-dir", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "analysis.csv"}


@pytest.fixture
def known(tmp_path, monkeypatch):
    """Measures models of these names at once; returns the names of the table then."""

    def measured(path, _):
        if path.read_bytes() == b"broken":
            raise cli.MendableError(f"{path} is broken")
        row = dict.fromkeys(analyze.SHOWN, 1) | {"model": path.stem, "notes": ""}
        return Measured(row, *[None] * 4)

    monkeypatch.setattr(analyze, "analyze", measured)
    monkeypatch.setattr(model_figures, "draw", lambda *args: None)

    def measure(names, *flags):
        paths = [tmp_path / f"{name}.h5" for name in names]
        for path in paths:
            path.touch()
        folder = ["--results-dir", str(tmp_path), "--quiet"]
        analyze.main([*map(str, paths), *folder, *flags])
        return list(pd.read_csv(tmp_path / "analysis.csv").model)

    return measure


def test_a_table_of_other_models_is_replaced_only_when_told_so(known, tmp_path):
    assert known("ab") == ["a", "b"]
    kept = (tmp_path / "analysis.csv").read_bytes()
    with pytest.raises(cli.MendableError, match="has 1 other model, such as a: .*over"):
        known("b")
    assert (tmp_path / "analysis.csv").read_bytes() == kept
    assert known("abc") == ["a", "b", "c"]  # nothing is lost
    assert known("b", "--overwrite") == ["b"]


def test_a_table_is_kept_where_one_of_its_models_cannot_be_measured(known, tmp_path):
    known("ab")
    kept = [(tmp_path / f"analysis.{end}").read_bytes() for end in ("csv", "json")]
    (tmp_path / "b.h5").write_bytes(b"broken")
    with pytest.raises(cli.MendableError, match="stays as it was: it has b"):
        known("abc")
    assert kept == [
        (tmp_path / f"analysis.{end}").read_bytes() for end in ("csv", "json")
    ]
    with pytest.raises(cli.MendableError, match="1 of 2 models were left out"):
        known("ab", "--overwrite")
    assert list(pd.read_csv(tmp_path / "analysis.csv").model) == ["a"]


@pytest.mark.parametrize(
    "content, said",
    [("model,trace\na,1\nb\n", "is damaged"), ("x,y\n1,2\n", "is no table of anal")],
)
def test_what_is_no_table_is_not_replaced_without_a_word(
    known, tmp_path, content, said
):
    (tmp_path / "analysis.csv").write_text(content)
    with pytest.raises(cli.MendableError, match=f"{said}.*--overwrite"):
        known("a")
    assert (tmp_path / "analysis.csv").read_text() == content
    assert known("a", "--overwrite") == ["a"]


def test_the_record_of_the_very_file_is_found_beside_it_too(tmp_path):
    for folder in ("mine", "models", "results"):
        (tmp_path / folder).mkdir()
    path, mine = tmp_path / "models/cifar10_mlp_seed0.h5", tmp_path / "mine"
    path.write_bytes(b"weights")
    ours = records.read(RESULTS / "cifar10_mlp_seed0.json")
    ours["model_sha256"] = records.sha256_of(path)
    others = ours | {"model_sha256": "0" * 64}
    assert analyze.records_of(path, mine) is None
    records.write_json(mine / "cifar10_mlp_seed0.json", others)
    assert analyze.records_of(path, mine) == mine  # of its name at least
    (path.parent / "cifar10_mlp_seed0.json").write_text("{}")  # no record of ours
    records.write_json(tmp_path / "results/cifar10_mlp_seed0.json", ours)
    assert analyze.records_of(path, mine) == tmp_path / "results"
    records.write_json(mine / "cifar10_mlp_seed0.json", ours)
    assert analyze.records_of(path, mine) == mine
