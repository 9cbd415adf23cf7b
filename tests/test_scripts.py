"""The training scripts as a user meets them: files, verdicts, errors, exit codes."""

import ast
import difflib
import io
import pickle
import subprocess
import sys
import tarfile
import urllib.error
from pathlib import Path

import keras
import numpy as np
import pytest

import cifar10_alexnet
import cifar10_inception
import cifar10_mlp
import cifar10_wide_resnet
from common import cli, datasets, models, records, training, verdicts
from common.engine.history import History
from common.sources import archives
from common.sweep import commands

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    script.__name__: script
    for script in (
        cifar10_mlp,
        cifar10_alexnet,
        cifar10_inception,
        cifar10_wide_resnet,
    )
}
TINY = "--dataset mnist_5k --train-size 100 --hidden 8 --epochs 1 --quiet".split()


def folders(path):
    return [
        "--results-dir",
        str(path / "results"),
        "--models-dir",
        str(path / "models"),
    ]


def paths_of(record, path):
    return records.paths(record["name"], path / "results", path / "models")


# What a script does when it is told nothing (Zhang et al. 2017, appendix A; the
# epochs and the batch are ours).


@pytest.mark.parametrize(
    "script, lr, epochs",
    [
        ("cifar10_mlp.py", 0.01, 100),
        ("cifar10_alexnet.py", 0.01, 50),
        ("cifar10_inception.py", 0.1, 50),
    ],
)
def test_the_papers_settings_are_the_defaults(script, lr, epochs):
    regime, _ = commands.parse(script)
    assert (regime.dataset, regime.train_size) == ("cifar10", None)
    assert (regime.optimizer, regime.lr, regime.momentum) == ("sgd", lr, 0.9)
    assert (regime.lr_decay, regime.batch_size) == (0.95, 128)
    assert (regime.epochs, regime.stop_at, regime.early_stopping) == (
        epochs,
        None,
        None,
    )
    assert (regime.wd, regime.dropout, regime.augment) == (0, 0, ())
    assert (regime.label_corruption, regime.pixels) == (0, "true")
    assert (regime.label_noise, regime.precision) == ("uniform", "auto")


# What a run leaves.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{script: (record, paths, what its network in memory said of test images)}"""
    path, said, runs = tmp_path_factory.mktemp("trained"), [], {}
    run, feeds, load = training.run, [], datasets.load

    def few(*args):  # Inception takes its time for each; TensorFlow, for each number
        data = load(*args)
        return data._replace(x_test=data.x_test[:40], y_test=data.y_test[:40])

    def noting(build, feed, regime, options):
        feeds.append(feed)
        return run(build, feed, regime, options)

    final_weights = History.final_weights

    def spy(history):
        images = feeds[-1].x_test[:20]  # eagerly, here and there: nothing is traced
        said.append(np.array(history.built(images, training=False)))
        return final_weights(history)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "final_weights", spy)
        patch.setattr(training, "run", noting)
        patch.setattr(datasets, "load", few)
        for name, script in SCRIPTS.items():
            flags = "--dataset synthetic --train-size 40 --epochs 1 --quiet "
            flags += "--precision float32"
            small = ["--depth", "10"] if script is cifar10_wide_resnet else []
            record = script.main([*flags.split(), *small, *folders(path)])
            runs[name] = record, paths_of(record, path), said[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", few)  # for what is run again
        yield runs


@pytest.mark.parametrize("name", SCRIPTS)
def test_one_epoch_leaves_its_files(trained, name):
    record, paths, _ = trained[name]
    depth = "_depth10" if name == "cifar10_wide_resnet" else ""
    assert record["name"] == f"{name}_synthetic_n40{depth}_epochs1_float32_seed0"
    assert record["script"] == name and record["epochs"] == 1
    assert paths.csv.read_text().count("\n") == 2
    assert records.read(paths.json)["final"] == record["final"]
    assert paths.model.exists() and not paths.checkpoint.exists()


def test_saved_models_say_the_same_in_a_fresh_process(trained, tmp_path):
    code = (
        "import sys\n"
        f"__file__ = {str(ROOT / 'analyze.py')!r}\n"  # as in a script
        "import numpy as np\n"
        "from common import datasets, models, pipelines\n"
        "images = pipelines.prepare(datasets.named('synthetic').x_test[:20])\n"
        "np.savez(sys.argv[1],\n"
        "    *[models.load(path)(images, training=False) for path in sys.argv[2:]])\n"
        # What Keras and TensorFlow would import, and no script needs.
        "assert not {'IPython', 'jax', 'matplotlib', 'pandas'} & {*sys.modules}\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "said.npz")]
    command += [str(paths.model) for _, paths, _ in trained.values()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with np.load(tmp_path / "said.npz") as file:
        for (_, _, said), again in zip(trained.values(), file.values(), strict=True):
            assert said.shape == (20, 10)
            np.testing.assert_allclose(again, said, rtol=1e-5, atol=1e-5)


def test_a_complete_run_is_not_run_again(trained, monkeypatch, capsys):
    record, paths, _ = trained["cifar10_mlp"]
    before = [path.stat().st_mtime_ns for path in paths[:3]]
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", _must_not_be_called)
        again = cifar10_mlp.main(list(record["argv"]))
    assert again == records.read(paths.json)
    out = capsys.readouterr().out
    assert "is complete; --overwrite runs it again" in out
    assert verdicts.verdict(record) in out and str(paths.model) in out
    assert [path.stat().st_mtime_ns for path in paths[:3]] == before
    # A fresh clone has records and no models.
    hidden = paths.model.with_suffix(".hidden")
    paths.model.rename(hidden)
    cifar10_mlp.main(list(record["argv"]))
    out = capsys.readouterr().out
    assert "--results-dir mine" in out and str(paths.model) not in out
    hidden.rename(paths.model)
    overwritten = cifar10_mlp.main([*record["argv"], "--overwrite"])
    after = [path.stat().st_mtime_ns for path in paths[:3]]
    assert all(new > old for new, old in zip(after, before, strict=True))
    assert overwritten["final"] | {"seconds": 0} == record["final"] | {"seconds": 0}


def _must_not_be_called(*args, **kwargs):
    raise AssertionError("the network was trained again")


# The files themselves.


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_page(name):
    lines = (ROOT / f"{name}.py").read_text().splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 88


@pytest.mark.parametrize("name", sorted({*SCRIPTS} - {"cifar10_mlp"}))
def test_scripts_differ_only_in_the_science(name):
    """The network's import, its defaults and its arguments."""
    one, other = (code_of(f"{script}.py") for script in ("cifar10_mlp", name))
    differing = [line for line in difflib.ndiff(one, other) if line[0] in "+-"]
    assert len(differing) <= 12, "\n".join(differing)


def code_of(file):
    """The lines after the docstring."""
    text = (ROOT / file).read_text()
    return text.splitlines()[ast.parse(text).body[0].end_lineno :]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_shows_the_examples_and_both_groups(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        SCRIPTS[name].main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert SCRIPTS[name].__doc__.strip() in out
    assert out.index("what is measured") < out.index("how it is run")


# What goes wrong.


@pytest.fixture
def fails(monkeypatch, capsys, tmp_path):
    """Runs a script like the shell does; returns its exit code and its error line."""

    def run(*flags, script=cifar10_mlp, results=tmp_path):
        argv = [f"{script.__name__}.py", *flags, *folders(results)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as exit_:
            cli.run(script.main)
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith(f"{script.__name__}.py: ")
        assert len(lines) == 1 or lines[0].startswith("usage: ")  # no traceback
        if results.is_dir():  # and nothing left behind
            left = [p for p in results.rglob("*") if p.is_file()]
            assert not [p for p in left if script.__name__ in p.name]
        return exit_.value.code, lines[-1]

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty place for data sets, on a machine without network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    return tmp_path / "keras" / "datasets"


def test_no_data(fails, cache):
    code, line = fails()
    assert code == 1
    for hint in ("cifar-10-python.tar.gz", str(cache), "no network", "--dataset synth"):
        assert hint in line
    assert not any(cache.iterdir())


def _archive(files):
    """The bytes of a .tar.gz."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _batches():
    content = {b"data": np.zeros((20, 3072), np.uint8), b"labels": [0, 1] * 10}
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(content, protocol=2)
        for name in datasets.FACTS["cifar10"].source.files
    }


def test_truncated_archive(fails, cache, monkeypatch):
    whole = _archive(_batches())
    (cache / "cifar-10-python.tar.gz").write_bytes(whole[: len(whole) // 2])
    code, line = fails()
    assert code == 1 and "truncated" in line and str(cache) in line


def test_wrong_checksum(fails, cache):
    (cache / "cifar-10-python.tar.gz").write_bytes(_archive(_batches()))
    code, line = fails()
    assert code == 1 and "not the official file" in line and "Move it away" in line


def test_malicious_pickle(fails, cache, tmp_path, monkeypatch):
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "attacked",)

    files = _batches()
    files["cifar-10-batches-py/data_batch_1"] = pickle.dumps(Attack())
    for name, content in files.items():
        (cache / name).parent.mkdir(exist_ok=True)
        (cache / name).write_bytes(content)
    code, line = fails()  # stopped by its checksum
    assert code == 1 and "data_batch_1 is damaged" in line
    monkeypatch.setattr(archives, "verified", lambda path, *_: path.read_bytes())
    code, line = fails()  # and, had it the right one, when it is read
    assert code == 1 and "refused" in line
    assert not (tmp_path / "attacked").exists()


def test_unwritable_results(fails, tmp_path):
    code, line = fails(*TINY, results=Path("/proc/below"))  # not even for root
    assert code == 1 and "cannot write" in line and "--results-dir" in line
    (tmp_path / "file").write_text("not a folder")
    code, line = fails(*TINY, results=tmp_path / "file" / "below")
    assert code == 2 and f"expected a folder: {tmp_path / 'file'} is a file" in line
    assert (tmp_path / "file").read_text() == "not a folder"


def test_another_process_runs_the_same(fails, tmp_path):
    lock = tmp_path / "models/.checkpoints"
    lock.mkdir(parents=True)
    lock /= "cifar10_mlp_mnist_5k_n100_hidden8_epochs1_seed0.lock"
    code = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        command = [*TINY, *folders(tmp_path)]
        with pytest.raises(cli.MendableError, match="being run by another process"):
            cifar10_mlp.main(command)
        other.stdin.close()
    assert not any(p.suffix != ".lock" for p in tmp_path.rglob("*") if p.is_file())
    assert cifar10_mlp.main(command)["epochs"] == 1  # free again


def test_damaged_record(tmp_path):
    record = cifar10_mlp.main([*TINY, *folders(tmp_path)])
    paths = paths_of(record, tmp_path)
    paths.json.write_text(paths.json.read_text()[:100])
    with pytest.raises(cli.MendableError, match="is damaged.*--overwrite"):
        cifar10_mlp.main([*TINY, *folders(tmp_path)])
    assert cifar10_mlp.main([*TINY, *folders(tmp_path), "--overwrite"])["epochs"] == 1


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--weight-decay 1", "unknown flag --weight-decay"),
        ("--rand", "unknown flag --rand."),
        ("--quiet false", "unexpected word 'false'"),
        ("--random-labels false", "unexpected word 'false'"),
        ("--dataset cifar11", "unknown data set 'cifar11'"),
        ("--epochs 0", "expected an integer of at least 1"),
        ("--label-corruption 1.5", "at most 1"),
        ("--lr nan", "expected a number"),
        ("--lr inf", "expected a number"),
        ("--batch-size half", "expected an integer"),
        ("--augment crop,blur", "blur"),
        ("--random-crop --pixels shuffled", "no window is left to draw"),
        ("--random-labels --label-corruption 0.5", "leave one out"),
        ("--dataset mnist_5k --random-crop", "28 pixels wide"),
        ("--dataset mnist_5k --train-size 90 --early-stopping 3", "--train-size 100"),
        ("--dataset mnist_5k --train-size 4001", "4000 training examples"),
        ("--no-batch-norm", "this script has not"),
        ("--optimizer adam --momentum 0.9", "no meaning for the optimizer adam"),
    ],
)
def test_wrong_usage_and_impossible_settings(fails, flags, reason):
    code, line = fails(*flags.split())
    assert code == 2
    assert reason in line


def test_alexnet_has_no_hidden_units_to_choose(fails):
    code, line = fails("--hidden", "8", script=cifar10_alexnet)
    assert code == 2 and "unknown flag --hidden" in line


def test_a_missing_model_is_one_line(tmp_path):
    with pytest.raises(cli.MendableError, match="does not exist"):
        models.load(tmp_path / "nothing.h5")
