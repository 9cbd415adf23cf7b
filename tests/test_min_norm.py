"""min_norm.py: its solutions against other solvers, its names, files, refusals."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.kernel_ridge import KernelRidge

import min_norm
from common import cli, corruptions, datasets, models, records
from common.engine import machine
from common.report import (
    published,
    reading,
    table_rows,
    tables,
)
from common.theory import features, least_squares, random_features
from common.theory import min_norm as theory

pytestmark = pytest.mark.usefixtures("sound_files", "blank_pictures")


def solve(folder, flags):
    """(record, table) of a run in a folder."""
    flags = [*flags.split(), "--quiet"]
    folders = ["--results-dir", str(folder), "--models-dir", str(folder / "models")]
    record = min_norm.main([*flags, *folders])
    return record, pd.read_csv(folder / f"{record['name']}.csv")


def test_ridge_path_against_kernel_ridge(tmp_path):
    record, table = solve(tmp_path, "--dataset mnist_5k --train-size 200 --ridge 1 0")
    assert record["name"] == "min_norm_mnist_5k_n200_ridge0-1_seed0"
    data = datasets.named("mnist_5k", 200)
    x, new = (features.unit(a).astype(float) for a in (data.x_train, data.x_test))
    y = np.eye(10)[data.y_train]
    assert list(table.ridge) == [0, 1] and (table.residual < 1e-7).all()
    for row in table.itertuples():
        other = KernelRidge(alpha=row.ridge or 1e-300, kernel="rbf", gamma=0.02)
        other.fit(x, y)
        wrong = (other.predict(new).argmax(1) != data.y_test).mean()
        assert row.test_error == pytest.approx(wrong, abs=1e-9)
        fitted, alpha = other.predict(x), other.dual_coef_
        assert row.rkhs_norm == pytest.approx(np.sqrt((alpha * fitted).sum()), rel=1e-6)
        assert row.train_error == (fitted.argmax(1) != data.y_train).mean()
        signed = KernelRidge(alpha=row.ridge or 1e-300, kernel="rbf", gamma=0.02)
        signed.fit(x, 2 * y - 1)
        norm = np.sqrt((signed.dual_coef_ * signed.predict(x)).sum())
        assert row.rkhs_norm_signed == pytest.approx(norm, rel=1e-6)
    assert table.train_error[0] == 0
    drawn = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert drawn == [f"{record['name']}_{x}.png" for x in ("ridge", "rkhs_norm")]


def test_fewer_images_than_classes(tmp_path):
    record, table = solve(tmp_path, "--dataset mnist_5k --train-size 5")
    assert table.train_error[0] == 0 and table.misfit[0] < 1e-7
    assert record["verdict"].startswith("Interpolated")


def test_equal_images_of_different_labels(tmp_path, monkeypatch):
    load = datasets.named

    def doubled(*args):
        data = load(*args)
        x = np.concatenate([data.x_train, data.x_train[:3]])
        y = np.concatenate([data.y_train, (data.y_train[:3] + 1) % 10])
        return data._replace(x_train=x, y_train=y, y_train_true=y)

    monkeypatch.setattr(datasets, "named", doubled)
    flags = "--dataset mnist_5k --train-size 60"
    with pytest.raises(cli.MendableError, match="different labels.*--ridge"):
        solve(tmp_path, flags)
    assert not list(tmp_path.glob("*.json"))
    record, table = solve(tmp_path, f"{flags} --ridge 0.01")
    assert table.train_error[0] == pytest.approx(3 / 63, abs=0.03)


def test_more_images_than_their_rank_are_not_interpolated(tmp_path):
    flags = "--dataset mnist_5k --train-size 600"
    record, table = solve(tmp_path, f"{flags} --kernel linear")
    data = datasets.named("mnist_5k", 600)
    x, y = features.unit(data.x_train).reshape(600, -1), np.eye(10)[data.y_train]
    left = y - x @ np.linalg.lstsq(x.astype(float), y, rcond=None)[0]
    exact = np.linalg.norm(left) / np.linalg.norm(y)
    assert table.misfit[0] == pytest.approx(exact, rel=1e-6) and exact > 0.05
    assert "Did not interpolate (relative misfit 1.1e-01)" in record["verdict"]
    with pytest.raises(cli.UsageError, match="600 have rank 5"):
        solve(tmp_path, f"{flags} --sgd")


def test_random_labels_interpolate_and_stay_at_chance(tmp_path):
    flags = "--dataset mnist_5k --train-size 400 --random-labels"
    record, table = solve(tmp_path, flags)
    assert table.train_error[0] == 0 and 0.8 < table.test_error[0] < 0.97
    data = datasets.named("mnist_5k", 400)
    labels = corruptions.corrupt_labels(data.y_train, 1.0, 10, 0)
    assert record["realized_label_noise"] == (labels != data.y_train).mean()
    assert record["data_sha256"] == records.sha256(data.x_train, labels)
    assert "Interpolated without gradient descent: 400 images" in record["verdict"]


def few_to_test_on(data):
    """Data with a fifth of the test set."""
    return data._replace(x_test=data.x_test[:200], y_test=data.y_test[:200])


def test_random_convolutions_and_paths_share_filters(tmp_path, monkeypatch):
    load = theory.load
    monkeypatch.setattr(theory, "load", lambda *given: few_to_test_on(load(*given)))
    flags = "--dataset synthetic --train-size 100 --features random_conv --filters"
    record, table = solve(tmp_path, f"{flags} 32 16 --ridge 0 0.1")
    assert list(table.filters) == [16, 16, 32, 32]
    assert (table.residual < 1e-6).all()
    assert (table.train_error[table.ridge == 0] == 0).all()
    assert (table.test_error < 0.87).all()  # chance is 0.9
    record, alone = solve(tmp_path, f"{flags} 32 --ridge 0.1")
    assert record["verdict"].startswith("Solved with a ridge of 0.1, which need not")
    assert alone.rkhs_norm[0] == pytest.approx(table.rkhs_norm[3], rel=1e-4)
    data = few_to_test_on(datasets.named("synthetic", 100))
    train, test = features.RandomConvolution(data.x_train, 0).pair(
        data.x_train, data.x_test, 0, 32
    )
    train, test = train.astype(float), test.astype(float)
    gram = train @ train.T / 256 + 1
    alpha = np.linalg.solve(gram + 0.1 * np.eye(100), np.eye(10)[data.y_train])
    wrong = ((test @ train.T / 256 + 1) @ alpha).argmax(1) != data.y_test
    assert alone.test_error[0] == pytest.approx(wrong.mean(), abs=0.002)


def test_a_norm_that_rounding_decides_is_told():
    args, _ = min_norm.parse("--features random_conv --filters 25 50".split())
    data = datasets.named("synthetic", 200)
    data = data._replace(x_test=data.x_test[:5], y_test=data.y_test[:5])
    layer, y = features.RandomConvolution(data.x_train, 0), np.eye(10)[data.y_train]
    rows, off = [*theory.path(data, args, theory.grid(args), None, True)], {}
    for row in rows:
        count = row["filters"]
        x = layer.pair(data.x_train, data.x_test, 0, count)[0].astype(float)
        x = np.append(x / np.sqrt(8 * count), np.ones((200, 1)), axis=1)
        exact = np.linalg.norm(np.linalg.lstsq(x, y, rcond=None)[0])
        off[count] = abs(row["rkhs_norm"] / exact - 1)
    assert off[25] > 0.01 > 0.001 > off[50]  # 200 features, and 400
    said = theory.verdict(rows, args, 200)
    assert "the norm with 25 filters may be off by 100 %" in said


def test_linear_model_is_saved(tmp_path):
    flags = "--dataset mnist_5k --train-size 150 --kernel linear"
    record, table = solve(tmp_path, flags)
    model = models.load(tmp_path / f"models/{record['name']}.h5")
    (weights,) = model.get_weights()
    assert table.rkhs_norm[0] == pytest.approx(np.linalg.norm(weights), rel=1e-6)
    data = datasets.named("mnist_5k", 150)
    scores = np.array(model(data.x_test.astype(np.float32) / 255))
    wrong = (np.asarray(scores).argmax(1) != data.y_test).mean()
    assert table.test_error[0] == pytest.approx(wrong, abs=0.002)


def test_held_out_images_are_training_images_not_fitted(tmp_path, monkeypatch):
    args, name = min_norm.parse(
        "--dataset mnist_5k --train-size 300 --held-out 50 --data-seed 1".split()
    )
    assert name == "min_norm_mnist_5k_n300_heldout50_dataseed1_seed0"
    whole, data = datasets.named("mnist_5k"), theory.load(args)
    every = {image.tobytes() for image in whole.x_train}
    kept = {image.tobytes() for image in data.x_train}
    other = {image.tobytes() for image in data.x_test}
    assert len(kept) == 300 and len(other) == 50
    assert kept | other <= every and not kept & other
    np.testing.assert_array_equal(
        data.x_train, datasets.named("mnist_5k", 300, 1).x_train
    )


def test_sgd_run(tmp_path, monkeypatch):
    short = least_squares.sgd_path
    monkeypatch.setattr(least_squares, "sgd_path", lambda *a: short(*a, passes=400))
    record, table = solve(tmp_path, "--sgd --dataset mnist_5k --train-size 20")
    assert record["name"] == "min_norm_sgd_mnist_5k_n20_seed0"
    last = table.groupby("start").last()
    assert last.distance["zero"] < 0.05 < 0.5 < last.distance["random"]
    assert (last.train_loss < 0.01).all() and (last.step == 400 * 20).all()
    assert "fits as well" in record["verdict"]
    early = table[table.step <= 100].to_dict("records")
    args, _ = min_norm.parse(["--sgd"])
    assert "has not fitted yet" in theory.verdict(early, args, 20)
    assert record["hessian_difference"] < 1e-6
    assert (tmp_path / "figures" / f"{record['name']}_step.png").exists()


def test_random_features_in_draws_that_go_on(tmp_path, monkeypatch):
    flags = "--dataset mnist_5k --train-size 50 --features fourier --draws 2"
    block, calls = random_features.Draw.block, []

    def interrupted(draw, x, first):
        if draw.stream[-1] == 1 and not calls:
            calls.append(first)
            raise KeyboardInterrupt
        return block(draw, x, first)

    monkeypatch.setattr(random_features, "BLOCK", 100)
    monkeypatch.setattr(random_features.Draw, "block", interrupted)
    with pytest.raises(cli.Interrupted, match="1 finished part is saved"):
        solve(tmp_path, flags)
    assert not list(tmp_path.glob("*.json"))
    record, table = solve(tmp_path, flags)
    assert record["name"] == "min_norm_mnist_5k_n50_fourier_draws2_seed0"
    assert record["resumed_at"] == ["0"] and len(record["seconds"]) == 2
    numbers = [1, 5, 15, 30, 45, 50, 55, 70, 100, 200, 300]
    assert list(table.num_features.unique()) == numbers
    assert len(table) == (len(numbers) + numbers.index(70) + 1) * 3
    assert (table.train_error[table.num_features >= 50] == 0).all()
    assert (table.misfit[table.num_features >= 50] < 1e-6).all()
    ends = (
        table[table.num_features == 300].groupby("label_corruption").test_error.mean()
    )
    assert ends[0] < 0.45 < 0.8 < ends[1]
    assert (tmp_path / "figures" / f"{record['name']}_descent.png").exists()
    solve(tmp_path, f"{flags} --overwrite")
    after = pd.read_csv(tmp_path / f"{record['name']}.csv")
    pd.testing.assert_frame_equal(table, after)
    record, table = solve(tmp_path, f"{flags} --draws 1 --num-features 20 --levels 1")
    assert record["name"].endswith("_fourier_features20_draws1_labels1_seed0")
    both = after[(after.draw == 0) & (after.label_corruption == 1)]
    assert len(table) == 1 and both.num_features.eq(30).sum() == 1
    assert record["verdict"].startswith("50 images, label corruption 1, 1 draw of")


def test_leave_one_out_run(tmp_path):
    record, table = solve(
        tmp_path, "--leave-one-out --dataset mnist_5k --train-size 60"
    )
    assert record["name"] == "min_norm_mnist_5k_n60_leave_one_out_seed0"
    assert list(table.labels) == ["all", "all", "true", "wrong", "all", "true", "wrong"]
    assert table.examples[0] == 60 and len(record["helped"]) == 16
    assert record["verdict"].startswith("Memorized, that is predicted wrongly without")
    assert (tmp_path / "figures" / f"{record['name']}_left_out.png").exists()


def test_an_interrupted_path_goes_on(tmp_path, monkeypatch):
    flags = "--dataset mnist_5k --train-size 60 --ridge 0 1 2"
    solved, calls = theory._solved, []

    def interrupted(setting, *others):
        calls.append(setting[2])
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return solved(setting, *others)

    monkeypatch.setattr(theory, "_solved", interrupted)
    with pytest.raises(cli.Interrupted, match="1 finished part is saved"):
        solve(tmp_path, flags)
    assert not list(tmp_path.glob("*.json"))
    record, table = solve(tmp_path, flags)
    assert calls == [0, 1, 1, 2] and len(record["resumed_at"]) == 1
    assert list(table.ridge) == [0, 1, 2]
    assert solve(tmp_path, flags)[0] == record and len(calls) == 4  # complete
    solve(tmp_path, f"{flags} --overwrite")
    assert len(calls) == 7
    after = pd.read_csv(tmp_path / f"{record['name']}.csv")
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), after.drop(columns="seconds")
    )


def test_random_filters_are_summed_alike_whatever_is_done():
    flags = "--dataset mnist_5k --train-size 60 --features random_conv --quiet "
    args, _ = min_norm.parse((flags + "--filters 30 150").split())
    data, grid = few_to_test_on(theory.load(args)), theory.grid(args)
    whole, rest = (
        [row | {"seconds": 0} for row in theory.path(data, args, waiting, None, True)]
        for waiting in (grid, grid[1:])
    )
    assert whole[1:] == rest  # to the last bit


def ends_with(flags, folder, monkeypatch, capsys):
    folders = ["--results-dir", str(folder), "--models-dir", str(folder)]
    monkeypatch.setattr(sys, "argv", ["min_norm.py", *flags.split(), *folders])
    with pytest.raises(SystemExit) as exit_:
        cli.run(min_norm.main)
    return exit_.value.code, capsys.readouterr().err


def test_too_large_is_refused_with_what_fits(tmp_path, monkeypatch, capsys):
    free = 0.95e9
    monkeypatch.setattr(machine, "available_memory", lambda: free)
    flags = "--dataset mnist_5k"
    code, said = ends_with(flags, tmp_path, monkeypatch, capsys)
    assert code == 1 and "4000 images need" in said and "0.9 GB are free" in said
    size = int(said.rsplit("--train-size ", 1)[1].strip(" .\n"))
    data = datasets.named("mnist_5k")
    assert 500 < size < 4000 and size % 100 == 0
    fits, larger = (theory._bytes(data, "raw", n) for n in (size, size + 100))
    assert fits <= free < larger


@pytest.mark.parametrize("flags", ["--features relu", "--leave-one-out"])
def test_square_matrices_that_do_not_fit_are_refused(
    flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(machine, "available_memory", lambda: 1.6e9)
    monkeypatch.setattr(machine, "free_swap", lambda: 0)
    flags = f"{flags} --train-size 60000"
    code, said = ends_with(flags, tmp_path, monkeypatch, capsys)
    assert code == 2 and "--train-size 60000 needs 57.6 GB" in said
    assert "at most 10000 may fit" in said


def test_sixty_thousand_digits_need_less_than_24_gb():
    data = datasets.named("mnist_5k")
    data = data._replace(y_test=np.zeros(10_000))
    assert 7.2e9 < theory._bytes(data, "raw", 60_000) < 16e9


def test_names_tell_settings_apart():
    for flags, name in (
        ("", "mnist"),
        ("--quiet --bandwidth 0.02 --ridge 0", "mnist"),
        ("--features gabor", "mnist_gabor"),
        ("--dataset cifar10 --train-size 9 --kernel linear", "cifar10_n9_linear"),
        ("--dataset cifar10 --bandwidth 0.02", "cifar10_bandwidth0.02"),
        ("--random-labels --label-noise exact", "mnist_labels1_exact"),
        ("--features random_conv", "mnist_random_conv"),
        ("--features random_conv --filters 9 3", "mnist_random_conv_filters3-9"),
        ("--sgd", "sgd_mnist"),
        ("--features fourier", "mnist_fourier"),
        ("--features fourier --train-size 10000 --draws 3", "mnist_fourier"),
        ("--features fourier --bandwidth 0.02 --levels 1 0 0.2", "mnist_fourier"),
        ("--features relu --dataset cifar10 --train-size 99", "cifar10_n99_relu"),
        ("--features relu --num-features 9 3", "mnist_relu_features3-9"),
        ("--leave-one-out", "mnist_leave_one_out"),
        ("--leave-one-out --train-size 5000", "mnist_leave_one_out"),
    ):
        assert min_norm.parse(flags.split())[1] == f"min_norm_{name}_seed0"
    assert min_norm.parse(["--sgd", "--seed", "2"])[1] == "min_norm_sgd_mnist_seed2"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--dataset mnist_5k --train-size 4001", "4000 training examples"),
        ("--dataset cifar11", "unknown data set"),
        ("--dataset mnist_5k --held-out 4000", "some are fitted"),
        ("--features random_conv --kernel gaussian", "linear kernel only"),
        ("--filters 9", "belongs to --features random_conv"),
        ("--kernel linear --bandwidth 1", "belongs to the Gaussian"),
        ("--sgd --features gabor", "linear model of pixels"),
        ("--sgd --dataset mnist_5k --train-size 784", "linearly independent images"),
        ("--random-labels --label-corruption 0.5", "leave one out"),
        ("--random-labels --label-corruption 0", "leave one out"),
        ("--bandwidth 0", "more than 0"),
        ("--ridge -1", "expected"),
        ("--features wavelet", "invalid choice"),
        ("--features fourier --num-features 0", "at least 1"),
        ("--features relu --draws 0", "at least 1"),
        ("--features fourier --kernel gaussian", "linear kernel only"),
        ("--features relu --bandwidth 1", "belongs to the Gaussian"),
        ("--features fourier --ridge 1", "the norm itself is"),
        ("--features fourier --random-labels", "say --levels 1"),
        ("--features fourier --train-size 60001", "60000 training examples"),
        ("--features fourier --train-size 9", "mnist has 10 classes"),
        ("--leave-one-out --train-size 9", "mnist has 10 classes"),
        ("--leave-one-out --kernel linear", "about the Gaussian kernel of one"),
        ("--leave-one-out --features fourier", "about the Gaussian kernel of one"),
        ("--leave-one-out --bandwidth 1 2", "about the Gaussian kernel of one"),
        ("--leave-one-out --ridge 1", "the interpolator"),
        ("--num-features 9", "belongs to --features fourier or relu"),
        ("--draws 9", "belongs to --features fourier or relu"),
        ("--levels 0", "belongs to --features fourier or relu, and --leave"),
        ("--dataset mnist_5k --features random_conv --filters 9", "too few to inter"),
        ("--rand", "unknown flag"),
        ("--seed 3", "--seed 3 has no meaning here"),
        ("--features gabor --seed 4", "--seed 4 has no meaning here"),
        ("--leave-one-out --train-size 99 --seed 1", "are --data-seed's"),
    ],
)
def test_wrong_usage(flags, reason, tmp_path, monkeypatch, capsys):
    code, said = ends_with(flags, tmp_path, monkeypatch, capsys)
    assert code == 2 and reason in " ".join(said.split())


def test_table_of_random_features_beside_the_published(tmp_path):
    line = {"train_error": 0.1, "rkhs_norm": 8.0, "num_features": 200}
    rows = [
        line | {"label_corruption": p, "test_error": e, "draw": d}
        for p, e, d in ((0.0, 0.15, 0), (0.0, 0.17, 1), (1.0, 0.9, 0))
    ]
    setting = "MNIST, random Fourier features"
    run = reading.Run("x", {"rows": rows}, {})
    row = table_rows.Row({"setting": setting}, "", (run,), {})
    kernel = {"rows": [{"train_error": 0, "test_error": 0.024, "rkhs_norm": 61.6}]}
    itself = "MNIST, the Gaussian kernel itself"
    runs = (reading.Run("y", kernel, {}),)
    other = table_rows.Row({"setting": itself}, "", runs, {})
    _, lines = tables.random_features([row, row._replace(runs=()), other])
    assert lines == [
        [setting, "0", "200", "2", "10.00", "16.00 (15.00–17.00)", "15.3", "+0.70"]
        + ["8 (8–8)", "7.5"],
        [setting, "1", "200", "1", "10.00", "90.00", "", "", "8", ""],
        [itself, "0", "the kernel", "", "0.00", "2.40", "2.29", "+0.11", "61.6", "62"],
    ]
    said = published.features()
    assert said[setting][10_000]["norm"].value == 445
    assert {value.certainty for _, value in published.of(published.FEATURES)} == (
        {"related"}
    )


def test_table_beside_the_paper(tmp_path):
    rows = [
        {"ridge": 0.0, "train_error": 0.0, "test_error": 0.2, "rkhs_norm": 9.0},
        {"ridge": 0.1, "train_error": 0.01, "test_error": 0.164, "rkhs_norm": 5.0},
    ]
    run = reading.Run("x", {"rows": rows, "train_size": 50_000}, {})
    setting = "CIFAR-10, random convolutional net of 32000 filters"
    done = table_rows.Row({"setting": setting}, "", (run,), {})
    other = {"setting": "MNIST, Gaussian kernel on pixels"}
    waiting = table_rows.Row(other, "", (), {})
    unknown = table_rows.Row({"setting": "ours"}, "", (), {})
    _, lines = tables.kernels([done, waiting, unknown])
    assert lines == [
        [setting, "50000", "0.00", "20.00", "17", "+3.00", "outside ±1.10", "9", ""],
        [f"{setting}, with l2", "50000", "1.00", "16.40", "15", "+1.40"]
        + ["outside ±1.03", "5", ""],
        ["MNIST, Gaussian kernel on pixels", "", "", "not yet run", "1.2"]
        + ["", "not yet run", "", "220"],
    ]
    # Before it is run, a setting shows both of the paper's values.
    _, lines = tables.kernels([done._replace(runs=())])
    assert [line[4] for line in lines] == ["17", "15"]
