"""A cluster's tasks in this process, without Ray: what goes to them and comes home."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.sweep import cluster, runner

FAKE = str(Path(__file__).parents[1] / "fake_run.py")


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

    def __init__(self, made):
        self.made = made

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
    monkeypatch.setattr(cluster.time, "sleep", lambda s: os.sched_yield())
    return lambda jobs: cluster.run(jobs, "nowhere:1", 1, 0)


@pytest.fixture
def job(tmp_path):
    """Makes the job of a fake run, or of another script."""

    def make(name, *flags, script=FAKE, **fields):
        folders = tmp_path / "mine", tmp_path / "models"
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
    weights = tmp_path / "models/a.h5"
    flags = ("--init-from", str(weights))
    jobs = [job("b", *flags, script=starts_from, needs=weights), job("a")]
    assert sweep(jobs) == []
    assert "from weights\n" in jobs[0].log.read_text()
    assert weights.read_text() == "weights"


def test_without_its_weights_a_run_fails_and_the_rest_go_on(
    sweep, job, starts_from, tmp_path, capsys
):
    weights = tmp_path / "models/none.h5"
    flags = (f"--init-from={weights}",)
    jobs = [job("b", *flags, script=starts_from, needs=weights), job("a")]
    assert sweep(jobs) == [jobs[0]]
    assert "FAILED, exit code 1: FileNotFoundError" in capsys.readouterr().err
