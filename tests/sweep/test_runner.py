"""Many processes at a time: what they get, what they leave, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, events, held_elsewhere, wait_for

from common import records
from common.sweep import runner

ROOT = Path(__file__).resolve().parents[2]
FAKE = str(ROOT / "tests" / "fake_run.py")


@pytest.fixture
def job(tmp_path):
    """Makes the job of a fake run."""

    def make(name, *flags, script=FAKE):
        words = (script, name, *flags, "--journal", str(tmp_path / "journal"))
        return runner.Job(name, words, tmp_path / "results", tmp_path / "models", 3)

    return make


def test_all_runs_leave_their_records(job, capsys):
    jobs = [job(name, "--epochs", "3") for name in "abcde"]
    assert runner.local(jobs, workers=2) == []
    for one in jobs:
        assert records.read(one.paths.json)["epochs"] == 3
        assert one.log.read_text().splitlines()[-1] == "some words"
    said = capsys.readouterr().err

    assert all(f"{name}: done in" in said for name in "abcde")


def test_a_failed_run_is_named_and_the_rest_go_on(job, tmp_path, capsys):
    empty = tmp_path / "empty.py"
    empty.write_text("print('nothing to do')")
    jobs = [job("a", "--fail", "3"), job("b", script=str(empty)), job("c")]
    assert runner.local(jobs, workers=1) == jobs[:2]
    assert jobs[2].paths.json.exists()
    said = capsys.readouterr().err
    assert f"a: FAILED, exit code 3: the cause of it\n  all it said: {jobs[0].log}" in (
        said
    )
    assert "b: FAILED, exit code 0, but no record: nothing to do" in said


def test_a_run_that_is_run_elsewhere_says_so(job):
    one = job("a")
    one.log.parent.mkdir(parents=True)
    one.log.write_text(
        "$ python fake_run.py a\nfake_run.py: of an earlier start\n"
        "$ python fake_run.py a\nEpoch 7\nfake_run.py: another process\nEpoch 8\n"
    )
    assert runner.why_failed(1, one) == "exit code 1: fake_run.py: another process"
    with one.log.open("a") as log:
        log.write("$ python fake_run.py a\nValueError: a defect\n")
    assert runner.why_failed(1, one) == "exit code 1: ValueError: a defect"


@pytest.mark.parametrize("killed", [False, True])
def test_what_another_process_runs_is_left_to_it(job, tmp_path, capsys, killed):
    one, two = job("a"), job("b")
    theirs = {"name": "a", "script": "x", "verdict": "", "by": "other"}
    with held_elsewhere(one, two.paths.json.exists, None if killed else theirs):
        assert runner.local([one, two], workers=1) == []
    record = records.read(one.paths.json)
    assert ("by" in record) == (not killed)
    assert "a: another process runs it" in capsys.readouterr().err
    started = [
        name for name, _, what in events(tmp_path / "journal") if what == "start"
    ]
    assert started == (["b", "a"] if killed else ["b"])


def test_a_run_that_came_second_by_a_moment_waits(job, tmp_path, capsys, monkeypatch):
    script = tmp_path / "second.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        f"if not Path({str(tmp_path / 'tried')!r}).exists():\n"
        f"    Path({str(tmp_path / 'tried')!r}).touch()\n"
        f"    sys.exit('second.py: a {records.BUSY} (it holds x).')\n"
        f"sys.argv[0] = {FAKE!r}\nexec(open({FAKE!r}).read())\n"
    )
    assert runner.local([job("a", script=str(script))], workers=1) == []
    assert "a: another process runs it" in capsys.readouterr().err


def test_a_removed_folder_fails_its_run_and_no_other(job, tmp_path, capsys):
    code = "import shutil, sys; shutil.rmtree(sys.argv[3]); sys.exit(1)"
    script = tmp_path / "removes.py"
    script.write_text(code)
    words = (str(script), "a", "--results-dir", str(tmp_path / "results"))
    first = job("a")._replace(command=words)
    assert runner.local([first, job("b")], workers=1) == [first]
    said = capsys.readouterr().err
    assert "a: FAILED, exit code 1: what it said is gone" in said
    assert "b: done in" in said


def test_threads_are_of_the_run_and_not_of_its_slot(job, monkeypatch):
    monkeypatch.setattr(runner.machine, "cores", lambda: [2, 3, 4, 5, 9])
    found, start = set(), runner.start

    def spy(words, log, share, gpu, threads):
        found.add(threads)
        return start(words, log, os.sched_getaffinity(0), gpu, threads)

    monkeypatch.setattr(runner, "start", spy)
    assert runner.local([job(name) for name in "abc"], workers=2) == []
    assert found == {2}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_the_cores_are_divided(job):
    ours = os.sched_getaffinity(0)
    jobs = [job(name) for name in "ab"]
    runner.local(jobs, workers=2)
    got = [records.read(one.paths.json)["cores"] for one in jobs]
    half = max(1, len(ours) // 2)
    assert got == [half, max(half, len(ours) - half)]
    assert os.sched_getaffinity(0) == ours


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
def test_shares_are_disjoint_unless_there_are_too_few(workers, monkeypatch):
    monkeypatch.setattr(runner, "gpus", lambda: ["0", "1"])
    ours = [2, 3, 4, 5, 9]
    shares = [runner._share(worker, workers, ours) for worker in range(workers)]
    cores = [core for share, _ in shares for core in share]
    assert set(cores) == {2, 3, 4, 5, 9} and all(share for share, _ in shares)
    assert len(cores) == max(5, workers)
    expected = [str(i % 2) for i in range(workers)] if workers > 1 else ["0,1"]
    assert [gpu for _, gpu in shares] == expected


def test_only_visible_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert runner.gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert runner.gpus() == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_runs_end_with_their_parent(kind, tmp_path):
    journal = tmp_path / "journal"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from common.sweep import runner\n"
        "name, *words = sys.argv[1:]\n"
        "job = runner.Job(name, tuple(words), Path('results'), Path('models'), 100)\n"
        "runner.local([job], 1)\n"
    )
    flags = ["--epochs", "1000", "--sleep", "0.05", "--journal", str(journal)]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, "long", FAKE, "long", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(events(journal)) > 3)
    pid = events(journal)[0][1]
    assert alive([pid])
    os.kill(parent.pid, kind)
    parent.wait(20)
    wait_for(lambda: not alive([pid]), seconds=2)
    told = events(journal)[-1][2] == "interrupted"
    assert told == (kind == signal.SIGINT)
    assert (tmp_path / "models/.checkpoints/long.npz").exists()


# What is told.


def test_time_left(job, capsys, monkeypatch):
    jobs = [job("a")._replace(epochs=10), job("b")._replace(epochs=10), job("c")]
    progress = runner.Progress(jobs, workers=2)
    progress.begin(jobs[0])
    progress.begin(jobs[1])
    jobs[0].paths.csv.parent.mkdir()
    records.write_csv(
        jobs[0].paths.csv, [{"epoch": i, "seconds": s} for i, s in ((1, 20), (2, 30))]
    )
    assert runner._so_far(jobs[0], progress.begun[jobs[0]] - 1) == (2, 25.0)
    progress.begun[jobs[0]] -= 1
    capsys.readouterr()
    progress.show()
    assert capsys.readouterr().err == ""  # a line a minute is enough for a log
    progress.shown -= 60
    progress.show()
    # 8 epochs of 25 s; the two others are taken to be alike.
    assert capsys.readouterr().err.splitlines() == [
        "  a: epoch 2 of 10, about 3 min left",
        "  b: starting",
        "0 of 3 runs done, about 5 min left",
    ]


def test_nothing_is_said_of_the_time_when_nothing_is_known(job, capsys):
    progress = runner.Progress([job("a")], workers=1)
    progress.begin(job("a"))
    progress.shown -= 60
    progress.show()
    assert capsys.readouterr().err.splitlines()[-1] == "0 of 1 runs done"


def test_an_earlier_csv_is_not_progress(job):
    one = job("a")
    one.paths.csv.parent.mkdir()
    records.write_csv(one.paths.csv, [{"epoch": 1, "seconds": 1}])
    assert runner._so_far(one, time.time() + 10) == (0, 0)


def test_lines_are_redrawn_in_place_on_a_terminal(job, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    progress = runner.Progress([job("a" * 50)], workers=1)
    progress.begin(progress.left[0])
    for _ in range(2):
        progress.shown -= 1
        progress.show()
    first, second = capsys.readouterr().err.split("\x1b[2F\x1b[J")
    assert first == second
    assert first.splitlines() == ["  " + "a" * 17, "0 of 1 runs done"]


# What is done.


@pytest.mark.parametrize(
    ("content", "done"),
    [
        ('{"name": "a", "script": "fake_run", "verdict": ""}', True),
        ('{"name": "a", "script": "fake_run"', False),
        ('{"name": "b", "script": "fake_run", "verdict": ""}', False),
        ('{"name": "a", "script": "fake_run", "verdict": "", "schema": 99}', False),
        (None, False),
    ],
    ids=["whole", "cut off", "of another run", "of a newer version", "none"],
)
def test_a_run_is_done_when_its_record_can_be_read(job, capsys, content, done):
    one = job("a")
    one.log.parent.mkdir(parents=True)
    one.log.write_text("$ python fake_run.py a\nfake_run.py: its words\n")
    if content:
        one.paths.json.write_text(content)
    assert one.done == done
    for code in (0, 1):  # 1: it diverged, or it said what is wrong with the record
        assert (runner.why_failed(code, one) == "") == done
    waiting, progress = [], runner.Progress([one], 1)
    assert runner.came_back(one, waiting, progress)  # another process ran it
    assert waiting == ([] if done else [one])


# What starts from another's weights.


def test_a_run_waits_for_the_weights_that_another_makes(job, tmp_path):
    one = job("a", "--epochs", "3", "--sleep", "0.05")
    two = job("b")._replace(needs=one.paths.model)
    three = job("c")._replace(needs=job("not of these").paths.model)
    assert runner.startable([two, one, three], []) == [one, three]
    assert runner.startable([two, three], [one]) == [three]
    assert runner.local([two, one], workers=2) == []
    told = [(name, what) for name, _, what in events(tmp_path / "journal")]
    assert told.index(("b", "start")) > told.index(("a", "record"))


def test_a_run_does_not_wait_for_weights_for_ever(job, capsys):
    one = job("a", "--fail", "1")
    two = job("b")._replace(needs=one.paths.model)
    assert runner.local([two, one], workers=2) == [one]
    assert two.done  # it did not need them after all
