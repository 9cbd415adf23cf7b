"""reproduce.py: exactly the missing runs, each once, and safe to kill at any time."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import alive, events, family, wait_for

import reproduce
from common import cli, datasets, records, reviews
from common.engine import machine
from common.sweep import artefacts, commands

ROOT = Path(__file__).parents[1]
FAKE = "tests/fake_run.py"  # beside reproduce.py, wherever that is started


def jobs_of(*argv):
    args = reproduce._parser().parse_args(argv)
    return reproduce.jobs_of(args.experiments, args)


def dry_run(capsys, *argv):
    reproduce.main([*argv, "--dry-run"])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "dataset", ["synthetic", "mnist", "mnist_5k", "synthetic_text"]
)
def test_another_data_set_in_every_command(dataset):
    names = ["demo", "l2norm", "theory", "figure_2"]
    names = ["text"] if dataset in reviews.NAMES else names
    for job in jobs_of(*names, "--dataset", dataset):
        words = list(job.command)
        assert words.count("--dataset") == 1
        assert words[words.index("--dataset") + 1] == dataset
        settings, options = commands.parse(shlex.join(words))
        assert (options.name, settings.dataset) == (job.name, dataset)


def test_dry_run_prints_exactly_the_missing_runs(tmp_path, capsys, make_up):
    expected = [*artefacts.TABLE_1.values()]
    folders = f"--results-dir {tmp_path}"
    printed = dry_run(capsys, "table_1", "--results-dir", str(tmp_path))
    assert printed == [f"python {command} {folders}" for command in expected]
    for row in (1, 4, 19):
        make_up(tmp_path, artefacts.TABLE_1[row])
        expected.remove(artefacts.TABLE_1[row])
    partial = commands.name_of(artefacts.TABLE_1[2])  # interrupted: not done
    (tmp_path / f"{partial}.csv").write_text("epoch,seconds\n1,1\n")
    printed = dry_run(capsys, "table_1", "--results-dir", str(tmp_path))
    assert printed == [f"python {command} {folders}" for command in expected]


def test_a_dry_run_says_when_nothing_is_missing(tmp_path, capsys, make_up):
    for run in artefacts.ARTEFACTS["figure_2"].runs.values():
        make_up(tmp_path, run)
    reproduce.main(["figure_2", "--dry-run", "--results-dir", str(tmp_path)])
    out, error = capsys.readouterr()
    assert (out, error) == ("", "Nothing is missing: all 2 runs are done.\n")


def test_only_some_commands(tmp_path, capsys):
    flags = ["--only", "cifar10_mlp", "--results-dir", str(tmp_path)]
    printed = dry_run(capsys, "table_1", "l2norm", *flags)
    assert len(printed) == 6 and all("cifar10_mlp.py" in line for line in printed)


def test_the_flags_of_a_printed_command(capsys, tmp_path):
    data = tmp_path / "d e"
    data.mkdir()
    more = [
        "--results-dir",
        str(tmp_path),
        "--models-dir",
        "m",
        "--data-dir",
        str(data),
    ]
    lines = dry_run(capsys, "figure_2", "--seeds", "2", *more)
    assert lines[1] == (
        f"python cifar10_inception.py --seed 1 --data-dir '{data}' "
        f"--results-dir {tmp_path} --models-dir m"
    )


def test_more_flags_for_every_run(tmp_path, capsys):
    more = ["--flags", "--epochs 2 --distribute", "--results-dir", str(tmp_path)]
    jobs = jobs_of("table_2", *more, "--dataset", "synthetic")
    assert len({job.name for job in jobs}) == 7
    assert all("_synthetic_" in job.name and "_epochs2_" in job.name for job in jobs)
    lines = dry_run(capsys, "table_2", *more)
    assert all(" --epochs 2 --distribute --results-dir" in line for line in lines)
    with pytest.raises(cli.UsageError, match="min_norm.py.*unknown flag --epochs"):
        jobs_of("kernels", *more)
    (digits, _) = jobs_of("l2norm", "--flags=--seeds 3", "--seeds", "2")
    assert digits.name == "mnist_l2norm_seeds3"
    with pytest.raises(cli.UsageError, match="min_norm.py --dataset synthetic"):
        jobs_of("kernels", "--dataset", "synthetic")
    with pytest.raises(cli.UsageError, match="'cifar10_inception.py.*unknown flag"):
        jobs_of("figure_2", "--flags=--hidden 64")
    # Both MLPs become the same one, with weight decay, without, and on random labels.
    assert len(jobs_of("table_1", "--flags=--hidden 64", "--only", "cifar10_mlp")) == 3
    capsys.readouterr()
    reproduce.main(["--list", "--flags=--hidden 64"])  # what can be had
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["table_1", "3"] in [line[:2] for line in lines]
    assert "figure_2" not in [line[0] for line in lines if line]
    with pytest.raises(cli.UsageError, match="--seed is not for the runs.*--seeds"):
        jobs_of("figure_2", "--flags=--seed=3")
    # A name of somebody's own: nothing is known of its size.
    (job, *_) = jobs_of("table_2", "--flags=--dataset flowers --image-size 150")
    assert job.seconds is None and "flowers" in job.name


def test_what_changes_no_result_is_no_variation():
    assert commands.variation(None, "--distribute --no-resume") == []
    assert commands.variation(None, "--distribute h:1 --epochs 2") != []
    assert commands.variation("mnist", "--quiet") == ["--dataset=mnist"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("table_1 --only cifar_mlp", "--only cifar_mlp: no command of table_1"),
        ("table_1 --cluster auto --data-dir data", "expected a full path"),
        ("table_1 --cluster auto --gpus-per-run 1.5", "or a whole one"),
        ("table_1 --cluster auto --gpus-per-run=-1", "or a whole one"),
        ("table_1 --cluster auto --gpus-per-run nan", "or a whole one"),
    ],
)
def test_what_cannot_be_meant_is_refused(flags, reason, capsys, monkeypatch, tmp_path):
    argv = ["reproduce.py", *flags.split(), "--results-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as exit_:
        cli.run(reproduce.main)
    assert exit_.value.code == 2 and reason in capsys.readouterr().err


def test_a_command_of_two_artefacts_is_one_run():
    apart = [job.name for name in ("table_1", "figure_1") for job in jobs_of(name)]
    together = [job.name for job in jobs_of("table_1", "figure_1")]
    assert sorted(together) == sorted(set(apart)) and len(together) < len(apart)
    assert commands.name_of("cifar10_mlp.py --random-labels") in together


def test_a_sweep_typed_again_divides_the_cores_as_before(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(machine, "cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(reproduce.runner, "gpus", list)
    monkeypatch.setattr(reproduce.runner, "local", lambda jobs, n: found.append(n))
    args = reproduce._parser().parse_args(["table_1"])
    for missing, whole in ((12, 12), (1, 12), (1, 2), (1, 1)):
        reproduce._run([None] * missing, whole, args)
    assert found == [4, 4, 2, 1]


def test_seeds_are_runs_of_their_own():
    names = [job.name for job in jobs_of("figure_2", "demo", "--seeds", "3")]
    assert len(set(names)) == len(names) == 3 * 2 + 3 * 10 + 1
    assert sum(name.endswith("_seed2") for name in names) == 12


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_shards_part_the_runs(parts, tmp_path, capsys, make_up):
    argv = ["figure_1", "table_1", "--results-dir", str(tmp_path)]
    shards = [
        dry_run(capsys, *argv, "--shard", f"{i + 1}/{parts}") for i in range(parts)
    ]
    whole = dry_run(capsys, *argv)
    assert sorted(line for shard in shards for line in shard) == sorted(whole)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    # A shard stays the same while others finish.
    make_up(tmp_path, shlex.join(jobs_of("figure_1")[0].command))
    assert dry_run(capsys, *argv, "--shard", f"{parts}/{parts}") == [
        line for line in shards[-1] if line != whole[0]
    ]


def test_list_counts_and_estimates(tmp_path, capsys, monkeypatch, make_up):
    monkeypatch.setattr(reproduce, "ROOT", tmp_path / "elsewhere")
    argv = ["--list", "--results-dir", str(tmp_path)]
    reproduce.main(argv)
    out = capsys.readouterr().out
    lines = out.splitlines()[1:-2]
    assert [line.split()[0] for line in lines[::2]] == [*artefacts.ARTEFACTS]
    titles = [artefact.title for artefact in artefacts.ARTEFACTS.values()]
    assert [line.strip() for line in lines[1::2]] == titles
    assert "figure_2                       2     0   unknown\n" in out

    def took(done, **what):
        path = tmp_path / f"{done}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | what))

    done = make_up(tmp_path, "cifar10_inception.py", epochs=5)
    took(done, seconds=360.0, train_examples=10_000, device="Abacus, 2 cores")
    (tmp_path / f".{done}.1.part.json").write_text("{")  # of a run killed writing it
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.setattr(machine, "processor", lambda: "Abacus")
    reproduce.main([*argv, "figure_2", "implicit"])
    out = capsys.readouterr().out.splitlines()
    # 50 epochs of 50,000 examples are 50 times the record.
    assert out[1] == "figure_2                       2     1   about 5.0 h"
    # Two of 5,000 examples are five times the record.
    shown = "implicit                      11     0   about 60 min; unknown for 9 of 11"
    assert out[3] == shown
    assert "cifar10_inception" not in out[-1]
    monkeypatch.setattr(machine, "processor", lambda: "Abacus II")
    reproduce.main([*argv, "figure_2"])
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "Other machines' where it has none: cifar10_inception."
    done = make_up(tmp_path, "cifar10_inception.py", seed=9, epochs=5)
    took(done, seconds=36.0, train_examples=10_000, device="Abacus II, 1 core")
    reproduce.main([*argv, "figure_2"])  # this machine's alone count
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "figure_2                       2     1   about 30 min"


def test_text_is_four_models_under_eight_conditions(capsys, tmp_path):
    flags = ["--dataset", "synthetic_text", "--results-dir", str(tmp_path)]
    lines = dry_run(capsys, "text", *flags)
    assert len({job.name for job in jobs_of("text")}) == len(lines) == 4 * 8
    assert lines[7].startswith(
        "python imdb_text.py --model bag --words unigram --dataset synthetic_text "
    )


@pytest.mark.parametrize("dataset", ["mnist_5k", "synthetic"])
def test_sizes_for_the_estimates(dataset):
    data, facts = datasets.named(dataset), datasets.FACTS[dataset]
    assert (facts.train, facts.test) == (len(data.y_train), len(data.y_test))
    assert facts.shape == data.x_train.shape[1:]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ("", "no experiment was named. Name some of: table_1"),
        ("table_9", "unknown experiment 'table_9'. Expected some of: table_1"),
        ("demo --shard 0/3", "expected i/n with i from 1 to n"),
        ("demo --shard 4/3", "expected i/n"),
        ("demo --seeds 0", "expected an integer of at least 1"),
        ("demo --dataset cifar11", "invalid choice: 'cifar11'"),
        ("demo --worker 2", "unknown flag --worker. Did you mean --workers?"),
        ("demo --data-dir /nowhere", "--data-dir /nowhere: there is no such folder"),
        ("demo --workers 2 --cluster auto", "leave one of the two out"),
        ("figure_2 --dataset imdb", "imdb cannot go with cifar10_inception.py"),
        ("text --dataset mnist", "mnist cannot go with imdb_text.py, which reads text"),
    ],
)
def test_wrong_usage(argv, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *argv.split()])
    with pytest.raises(SystemExit) as exit_:
        cli.run(reproduce.main)
    assert exit_.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


# Real processes.

DRIVER = """
import json, sys
import reproduce
from types import SimpleNamespace
from common import cli
from common.sweep import artefacts, commands
parse = commands.parse
def parse_fake(command, seed=None):
    script, words = commands.split(command)
    if not script.endswith("fake_run.py"):
        return parse(command, seed)
    return SimpleNamespace(run_once=True), SimpleNamespace(name=words[0])
commands.parse = parse_fake
for name, runs in json.loads(sys.argv.pop(1)).items():
    artefacts.ARTEFACTS[name] = artefacts.Artefact(
        name, "", ("run",), {(i,): run for i, run in enumerate(runs)}
    )
cli.run(reproduce.main)
"""


@pytest.fixture
def start(tmp_path):
    """Starts reproduce.py with artefacts of its own, in tmp_path."""

    def start(grid, *argv):
        folders = [f"--{kind}-dir={tmp_path / kind}" for kind in ("results", "models")]
        command = [sys.executable, "-c", DRIVER, json.dumps(grid), *argv, *folders]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"},
            # Under nohup the tests would hand on that it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def fake(name, *flags, journal):
    return shlex.join([FAKE, name, *flags, "--journal", str(journal)])


def test_a_failure_is_told_and_the_rest_go_on(start, tmp_path):
    journal = tmp_path / "journal"
    grid = {
        "one": [fake("a", journal=journal), fake("b", "--fail", "1", journal=journal)],
        "two": [fake("b", "--fail", "1", journal=journal), fake("c", journal=journal)],
    }
    first = start(grid, "one", "two", "--workers", "2")
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 1, said
    assert "b: FAILED, exit code 1: the cause of it" in said
    assert "1 of 3 runs failed: b." in said
    assert {path.stem for path in tmp_path.glob("results/*.json")} == {"a", "c"}
    assert (tmp_path / "results/README.md").exists()  # drawn all the same
    starts = [name for name, _, what in events(journal) if what == "start"]
    assert sorted(starts) == ["a", "b", "c"]
    grid["two"] = [fake("b", journal=journal)]
    again = start(grid, "two", "one")
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "1 of 2 runs are done already." in said
    starts = [name for name, _, what in events(journal) if what == "start"]
    assert sorted(starts) == ["a", "b", "b", "c"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_stops_gently_and_says_how_to_go_on(start, tmp_path, kind):
    journal = tmp_path / "journal"
    long = "--epochs", "400", "--sleep", "0.05"
    grid = {"one": [fake(name, *long, journal=journal) for name in "abc"]}
    first = start(grid, "one", "--workers", "2")
    wait_for(lambda: {n for n, _, w in events(journal) if w == "epoch 3"} == {*"ab"})
    pids = family(first.pid)
    assert len(pids) == 3
    first.send_signal(kind)
    said, _ = first.communicate(timeout=30)
    assert first.returncode == 130
    script = ROOT.resolve() / "reproduce.py"  # typed from another folder
    again = f"python {script} one --workers 2 --results-dir="
    assert f"To continue, type: {again}" in said
    assert not alive(pids)
    assert [what for _, _, what in events(journal)].count("interrupted") == 2
    assert not list(tmp_path.glob("results/*.json"))


def test_killed_it_leaves_no_process_and_goes_on_where_it_was(start, tmp_path):
    journal, path = tmp_path / "journal", tmp_path / "results" / "a.json"
    long = "--epochs", "40", "--sleep", "0.05"
    grid = {"one": [fake("a", *long, journal=journal)]}
    first = start(grid, "one", "--workers", "1")
    wait_for(lambda: "epoch 3" in {what for _, _, what in events(journal)})
    pids = family(first.pid)
    first.kill()
    first.wait()
    wait_for(lambda: not alive(pids), seconds=3)
    assert len(pids) == 2 and not path.exists()
    done = len(path.with_suffix(".csv").read_text().splitlines()) - 1
    again = start(grid, "one", "--workers", "1")
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    record = records.read(path)
    # The checkpoint is written before the CSV: it may be an epoch ahead.
    assert record["epochs"] == 40 and record["resumed_at"][0] in (done, done + 1)
    assert (tmp_path / "models" / "a.h5").exists()  # in the folder that was asked for


def test_a_cluster_without_ray_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(cli.MendableError, match="pip install -r requirements-cluster"):
        reproduce.main(
            ["figure_2", "--cluster", "auto", "--results-dir", str(tmp_path)]
        )


# Weights that a run starts from.

MADE = "cifar10_alexnet_labels1_float32_seed0.h5"  # by a run of `examples`
TUTORIAL = "alexnet_tutorial.h5"  # by hand


@pytest.mark.parametrize(
    ("argv", "there", "expected"),
    [
        ("examples", "", f"saved_models/{MADE}"),
        ("examples", f"clone/saved_models/{MADE}", f"saved_models/{MADE}"),
        ("examples --models-dir mine", "", f"mine/{MADE}"),
        ("examples --models-dir mine", f"clone/saved_models/{MADE}", f"mine/{MADE}"),
        ("examples --only init-from --models-dir mine", f"mine/{MADE}", f"mine/{MADE}"),
        (
            "examples --only init-from --models-dir mine",
            f"clone/saved_models/{MADE}",
            f"clone/saved_models/{MADE}",
        ),
        ("unstated", "", f"saved_models/{TUTORIAL}"),
        (
            "unstated",
            f"clone/saved_models/{TUTORIAL}",
            f"clone/saved_models/{TUTORIAL}",
        ),
        ("unstated --models-dir mine", f"mine/{TUTORIAL}", f"mine/{TUTORIAL}"),
        ("figure_2 --only no-batch --flags=--init-from=a/b.h5", "", "a/b.h5"),
    ],
)
def test_where_the_weights_are_that_a_run_starts_from(
    argv, there, expected, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # not the clone
    monkeypatch.setattr(reproduce, "ROOT", tmp_path / "clone")
    if there:
        Path(there).parent.mkdir(parents=True)
        Path(there).touch()
    if expected.startswith("clone"):
        expected = f"{tmp_path}/{expected}"
    (job,) = [job for job in jobs_of(*argv.split()) if job.needs]
    assert str(job.needs) == expected
    settings, options = commands.parse(shlex.join(job.command))
    assert (settings.init_from, options.name) == (expected, job.name)


@pytest.mark.parametrize("parts", [2, 4, 11])
def test_a_shard_makes_the_weights_that_it_starts_from(parts):
    jobs = jobs_of("examples", "unstated")
    shards = [reproduce._shard(jobs, i + 1, parts) for i in range(parts)]
    assert sorted(job.name for s in shards for job in s) == sorted(
        job.name for job in jobs
    )
    (names,) = [
        {job.name for job in shard}
        for shard in shards
        if any(job.needs and job.needs.name == MADE for job in shard)
    ]
    assert MADE.removesuffix(".h5") in names


@pytest.mark.parametrize(
    ("argv", "count", "left_out"),
    [
        # People have labelled CIFAR-10 alone, and the weights are of it.
        ("examples --dataset mnist", 8, "Left out: 5 runs. The first: --dataset mnist"),
        ("examples --dataset cifar10", 13, ""),
        ("examples --dataset mnist --only corruption", 4, ""),
        ("examples --flags=--label-noise=pair", 6, "Left out: 7 runs. The first: --fl"),
        ("table_1 text --dataset synthetic_text", 32, "Left out: 19 runs. The first"),
        ("unstated --only 4e-3 --flags=--hidden=9", None, "unknown flag --hidden"),
        ("examples --only init-from --dataset mnist", None, "starts from weights that"),
    ],
)
def test_what_cannot_be_had_is_left_out_and_told(argv, count, left_out, capsys):
    if count is None:
        with pytest.raises(cli.UsageError, match=left_out):
            jobs_of(*argv.split())
        return
    assert len(jobs_of(*argv.split())) == count
    assert capsys.readouterr().err.startswith(left_out)
    jobs_of(*argv.split(), "--list")
    assert not capsys.readouterr().err
