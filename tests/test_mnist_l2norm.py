"""What mnist_l2norm.py leaves, and how it is told what to do."""

import functools
import sys

import numpy as np
import pandas as pd
import pytest

import analyze
import mnist_l2norm
from common import cli, datasets, models, records
from common.analysis import spectrum

pytestmark = pytest.mark.usefixtures("sound_files")

FLAGS = "--dataset mnist_5k --size 32 16 --seeds 2 --target-loss 0.05 --quiet".split()
NAME = "mnist_l2norm_mnist_5k_loss0.05_seeds2_n16-32"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, record, table) of a run interrupted after a size, and continued."""
    path = tmp_path_factory.mktemp("l2norm")
    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path / "models")]
    one_size, trained = mnist_l2norm.one_size, []

    def interrupted(args, size, *others):
        if size == 32 and not trained.count(32):
            trained.append(size)
            raise KeyboardInterrupt
        trained.append(size)
        return one_size(args, size, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_l2norm, "one_size", interrupted)
        rough = functools.partial(spectrum.trace, num_products=12)  # of 60, 16 times
        patch.setattr(spectrum, "trace", rough)
        with pytest.raises(
            cli.Interrupted, match="1 finished part is.*mnist_l2norm.py --d"
        ):
            mnist_l2norm.main(flags)
        assert not (path / f"{NAME}.json").exists()
        record = mnist_l2norm.main(flags)
    assert trained == [16, 32, 32]
    return path, record, pd.read_csv(path / f"{NAME}.csv")


def test_csv(finished):
    _, _, table = finished
    keys = ["size", "labels", "seed", "stop"]
    norms = [f"{kind}_{i}" for kind in ("l2_norm", "spectral_norm") for i in (1, 2, 3)]
    assert list(table.columns) == [
        *keys,
        *("reached", "epochs", "updates"),
        *("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        *("l2_norm", *norms[:3], "product_of_norms"),
        *(*norms[3:], "product_of_spectral_norms"),
        *("distance", "margin_min", "margin_10"),
        *("product_of_norms_per_margin", "product_of_spectral_norms_per_margin"),
        *(f"eigenvalue_{i}" for i in range(1, 6)),
        *("trace", "trace_standard_error", "jacobian_norm"),
    ]
    assert len(table) == len(table[keys].drop_duplicates()) == 2 * 2 * 2 * 2
    assert table.reached.all() and (table.train_accuracy == 1).all()
    assert (table.margin_min > 0).all() and (table.updates == table.epochs).all()
    late = table[table.stop == "loss"]
    assert (late.train_loss < 0.0501).all() and (late.distance > 0).all()
    assert table.eigenvalue_1.nunique() == table.trace.nunique() == len(table)
    # The trace is at least the top eigenvalues, but for what is negative.
    top = table[[f"eigenvalue_{i}" for i in range(1, 6)]]
    assert (np.diff(top) <= 1e-6).all() and (top.sum(axis=1) > 0.2 * table.trace).all()


def test_record_models_and_figures(finished):
    path, record, table = finished
    assert record == records.read(path / f"{NAME}.json")
    assert record["name"] == NAME and record["resumed_at"] == ["16"]
    assert record["settings"]["sizes"] == [16, 32] and record["replicas"] == 8
    assert record["censored"] == 0 and record["parameters"] == 55050
    assert "With random labels against true ones, 32 images take" in record["verdict"]
    saved = sorted(p.name for p in (path / "models").glob("*.h5"))
    assert len(saved) == 8 and f"{NAME}_16_random_loss_seed0.h5" in saved
    row = table.query("size == 32 and labels == 'true' and stop == 'accuracy'").iloc[0]
    model = models.load(path / f"models/{NAME}_32_true_accuracy_seed0.h5")
    kernels = model.get_weights()[::2]
    squares = [float((k.astype(float) ** 2).sum()) for k in kernels]
    assert row.l2_norm == pytest.approx(np.sqrt(sum(squares)), rel=1e-6)
    assert row.product_of_norms == pytest.approx(np.prod(squares), rel=1e-6)
    test = datasets.named("mnist_5k")
    said = np.array(model(test.x_test.astype(float) / 255)).argmax(1)
    assert row.test_accuracy == pytest.approx((said == test.y_test).mean(), abs=0.002)
    figures = sorted(p.name for p in (path / "figures").iterdir())
    assert figures == [f"{NAME}_curvature.png", f"{NAME}_norms.png"]


def test_a_model_that_is_not_the_recorded_one_is_refused(finished, tmp_path):
    path, _, _ = finished
    name = f"{NAME}_32_true_accuracy_seed0.h5"
    damaged = tmp_path / name
    content = bytearray((path / "models" / name).read_bytes())
    content[len(content) // 2] ^= 1  # a bit of a weight: HDF5 does not see it
    damaged.write_bytes(content)
    assert models.load(damaged).count_params() == 55050
    with pytest.raises(cli.MendableError, match="is not the model of its record"):
        models.load(damaged, results_dir=path)
    (tmp_path / f"{NAME}.json").write_bytes((path / f"{NAME}.json").read_bytes())
    with pytest.raises(cli.MendableError, match="is not the model of its record"):
        models.load(damaged)


def test_a_complete_run_is_not_run_again(finished, monkeypatch):
    path, record, _ = finished
    monkeypatch.setattr(mnist_l2norm, "one_size", None)
    figure = path / f"figures/{NAME}_norms.png"
    before = figure.read_bytes()
    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path / "models")]
    assert mnist_l2norm.main(flags) == record
    assert figure.read_bytes() == before


def test_names_tell_settings_apart():
    for flags, name in (
        ("", "mnist_l2norm"),
        ("--max-size 1024 --quiet --random-labels", "mnist_l2norm_random"),
        ("--no-random-labels --opt sgd", "mnist_l2norm_sgd_true"),
        ("--step 300 --max-size 700", "mnist_l2norm_n300-600"),
        ("--label-noise exclusive --seed 3", "mnist_l2norm_exclusive_seed3"),
        ("--inputs whitened --max-epochs 9", "mnist_l2norm_whitened_epochs9"),
    ):
        assert mnist_l2norm.parse(flags.split())[1] == name


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--size 4001 --dataset mnist_5k", "4000 training examples"),
        ("--dataset cifar11", "unknown data set"),
        ("--max-size 100", "no size is left"),
        ("--step 9 --max-size 8", "no size is left"),
        ("--size 1", "at least 2"),
        ("--target-loss 0", "more than 0"),
        ("--seeds 0", "at least 1"),
        ("--opt lamb", "invalid choice"),
        ("--label-noise pair", "invalid choice"),
        ("--rand", "unknown flag"),
    ],
)
def test_wrong_usage(flags, reason, tmp_path, monkeypatch, capsys):
    folders = ["--results-dir", str(tmp_path), "--models-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["mnist_l2norm.py", *flags.split(), *folders])
    with pytest.raises(SystemExit) as exit_:
        cli.run(mnist_l2norm.main)
    assert exit_.value.code == 2 and reason in capsys.readouterr().err


def test_analyze_says_the_same_of_one_of_its_models(finished):
    folder, _, table = finished
    (path,) = folder.rglob("*_32_random_loss_seed0.h5")
    flags = ["--results-dir", str(folder), "--examples", "32", "--quiet"]
    row = analyze.main([str(path), *flags]).iloc[0]
    which = "size == 32 and labels == 'random' and stop == 'loss' and seed == 0"
    measured = table.query(which).iloc[0]
    # The same inputs, pixels / 255, and the same random labels.
    assert row.train_loss == pytest.approx(measured.train_loss, rel=1e-4)
    assert row.test_accuracy == pytest.approx(measured.test_accuracy)
    assert row.margin_10 == pytest.approx(measured.margin_10, rel=1e-4)
    assert row.eigenvalue_1 == pytest.approx(measured.eigenvalue_1, rel=1e-3)
    assert row.jacobian_norm == pytest.approx(measured.jacobian_norm, rel=1e-4)
