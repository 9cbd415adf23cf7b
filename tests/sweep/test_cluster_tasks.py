"""A cluster's tasks in this process, without Ray: what goes to them and comes home."""

import hashlib
import itertools
import json
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import held_elsewhere

from common import records
from common.sweep import cluster, runner

FAKE = str(Path(__file__).parents[1] / "fake_run.py")
RECORD = {"name": "a", "script": "fake_run", "verdict": ""}


class _Answer:
    """Of a call: what it returned, or the error that `ray.get` raises."""

    def __init__(self, function, *args):
        self.value = self.error = None
        try:
            self.value = function(*args)
        except ChildProcessError as error:
            self.error = error

    def future(self):
        return self

    def result(self):
        if self.error:
            raise self.error
        return self.value


class _Actor:
    """Each method of an object as Ray has it: `actor.method.remote(...)`."""

    lasting = []  # nor is one removed before the sweep has ended

    def __init__(self, made):
        self.made = made
        self.lasting.append(made)

    def __getattr__(self, name):
        method = getattr(self.made, name)
        return SimpleNamespace(remote=lambda *args: _Answer(method, *args))


class _Ray:
    """Does each task when it is asked to, and has a node of one core."""

    exceptions = SimpleNamespace(RayError=ChildProcessError)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda node, soft: None
        )
    )

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 1}}]

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "", gcs_address="nowhere:1")

    def remote(self, *made, **_):
        def asked(function):
            make = _Actor if isinstance(function, type) else None

            def remote(*args):
                return make(function(*args)) if make else _Answer(function, *args)

            return SimpleNamespace(
                options=lambda **_: SimpleNamespace(remote=remote), remote=remote
            )

        return asked(*made) if made else asked

    def wait(self, answers, timeout):
        return answers[:1], answers[1:]

    def get(self, answer):
        return answer.result()

    def shutdown(self):
        pass


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Runs jobs on such a cluster, whose copy of the code is tmp_path/code."""
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.chdir(code)
    monkeypatch.setattr(cluster, "_connect", lambda address: _Ray())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.05)))
    return lambda jobs: cluster.run(jobs, "nowhere:1", 1, 0)


@pytest.fixture
def job(tmp_path):
    """Makes the job of a fake run, or of another script."""

    def make(name, *flags, script=FAKE, **fields):
        folders = tmp_path / "mine", tmp_path / "saved_models"
        return runner.Job(name, (script, name, *flags), *folders, 3, **fields)

    return make


@pytest.fixture
def starts_from(tmp_path):
    """A script that says what it starts from, then is a fake run."""
    script = tmp_path / "starts.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "at = sys.argv.index('--init-from')\n"
        "print('from', Path(sys.argv[at + 1]).read_text())\n"
        "del sys.argv[at : at + 2]\n"
        f"exec(open({FAKE!r}).read())\n"
    )
    return str(script)


def test_a_run_starts_from_weights_that_another_makes(
    sweep, job, starts_from, tmp_path
):
    weights = tmp_path / "saved_models/a.h5"
    flags = ("--init-from", str(weights))
    jobs = [job("b", *flags, script=starts_from, needs=weights), job("a")]
    assert sweep(jobs) == []
    assert "from weights\n" in jobs[0].log.read_text()
    assert weights.read_text() == "weights"


def test_without_its_weights_a_run_fails_and_the_rest_go_on(
    sweep, job, starts_from, tmp_path, capsys
):
    weights = tmp_path / "saved_models/none.h5"
    flags = (f"--init-from={weights}",)
    jobs = [job("b", *flags, script=starts_from, needs=weights), job("a")]
    assert sweep(jobs) == [jobs[0]]
    assert "FAILED, exit code 1: FileNotFoundError" in capsys.readouterr().err


def test_what_is_at_home_is_neither_written_over_nor_called_done(sweep, job, capsys):
    jobs = [job(name) for name in ("published", "damaged", "newer", "a")]
    published, damaged, newer, other = jobs
    theirs = published.results_dir.parent / "results/published.json"
    digest = hashlib.sha256(b"theirs").hexdigest()
    for path, content in {
        published.paths.model: "theirs",
        theirs: json.dumps(RECORD | {"name": "published", "model_sha256": digest}),
        damaged.paths.json: json.dumps(RECORD)[:-9],
        newer.paths.json: json.dumps(RECORD | {"name": "newer", "schema": 99}),
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert sweep(jobs) == jobs[:3] and other.done
    said = capsys.readouterr().err
    assert f"FAILED, {published.paths.model} is the model of the record" in said
    assert f"FAILED, {damaged.paths.json} is damaged" in said
    assert f"FAILED, {newer.paths.json} is not the record of newer" in said
    assert published.paths.model.read_text() == "theirs"
    assert not any(one.log.exists() for one in jobs[:3])
    over = damaged._replace(command=(*damaged.command, "--overwrite"))
    assert sweep([over]) == [over]  # a fake run has no such flag, and said so
    assert "unrecognized arguments: --overwrite" in over.log.read_text()


@pytest.mark.parametrize("killed", [False, True])
def test_what_another_process_runs_is_left_to_it(sweep, job, capsys, killed):
    one, two = job("a"), job("b")
    theirs = None if killed else RECORD | {"by": "other"}
    with held_elsewhere(one, lambda: two.done, theirs):
        assert sweep([one, two]) == []
    assert ("by" in records.read(one.paths.json)) == (not killed)
    assert "a: another process runs it" in capsys.readouterr().err


def test_what_a_cluster_runs_is_left_to_it(sweep, job, tmp_path):
    one = job("a")
    script = tmp_path / "asks.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {sys.path!r}\n"
        "from common import records\n"
        f"print(records.is_run(records.paths('a', *{tuple(map(str, one[2:4]))!r})))\n"
        f"exec(open({FAKE!r}).read())\n"
    )
    assert sweep([job("a", script=str(script))]) == []
    assert "\nTrue\n" in one.log.read_text()
    assert not records.is_run(one.paths)


def test_a_run_goes_on_from_all_that_it_has_left_and_from_nothing_else(
    sweep, job, tmp_path
):
    script = tmp_path / "looks.py"
    script.write_text(
        "from pathlib import Path\n"
        "folder = Path('saved_models/.checkpoints')\n"
        "print('there:', *sorted(map(str, folder.rglob('*.*'))))\n"
        f"exec(open({FAKE!r}).read())\n"
    )
    one = job("a", "--epochs", "3", script=str(script))
    folder = one.paths.checkpoint.parent
    left = ["a.npz", "a.json", "a_examples/000001.npz", "a_examples/000002.npz"]
    others = ["a.5.npz", "a.5_examples/000001.npz"]
    for name in left + others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("2")
    assert sweep([one]) == []
    found = sorted(f"saved_models/.checkpoints/{name}" for name in left)
    lines = one.log.read_text().splitlines()
    (there,) = [line for line in lines if line.startswith("there:")]
    assert there.split()[1:] == found
    assert records.read(one.paths.json)["resumed_at"] == [2]
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*.npz")}
    assert kept == set(others) and not one.paths.recorded.exists()


def test_a_checkpoint_never_comes_home_ahead_of_its_examples(tmp_path, monkeypatch):
    """Whatever a run writes between a look at its files and the reading of them."""
    there = records.paths("a", tmp_path / "results", tmp_path / "saved_models")
    there.recorded.mkdir(parents=True)
    there.csv.parent.mkdir()

    def epoch(number):
        (there.recorded / f"{number:06d}.npz").write_text("")
        there.checkpoint.write_text(str(number))
        there.csv.write_text(str(number))

    epoch(1)
    read, epochs = Path.read_bytes, itertools.count(2)

    def slowly(path):
        epoch(next(epochs))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", slowly)
    files = cluster._changed(tmp_path, {})
    checkpoints = "saved_models/.checkpoints/"
    known = int(files[f"{checkpoints}a.npz"])
    assert int(files["results/a.csv"]) <= known
    wanted = {f"{checkpoints}a_examples/{i + 1:06d}.npz" for i in range(known)}
    assert known > 1 and wanted <= files.keys()


def test_what_decides_the_numbers_goes_to_the_workers(monkeypatch):
    for name in cluster.PASSED:
        monkeypatch.delenv(name, raising=False)
    assert cluster._travels()["env_vars"] == {}
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("OTHER", "1")
    found = cluster._travels()
    assert found["env_vars"] == {"KERAS_BACKEND": "jax"}
    assert "/results" in found["excludes"]
    assert not {"/common", "/cifar10_mlp.py"} & {*found["excludes"]}
