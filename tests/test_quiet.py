"""TensorFlow starts without a word of its own, and errors come through."""

import os
import subprocess
import sys
from pathlib import Path

from common import quiet

ROOT = Path(__file__).resolve().parent.parent


def test_notices_are_left_out_and_errors_are_not(capfd):
    with quiet.without_notices():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is ...\n")
        os.write(2, b"I0000 00:00:1.2 3 cudart_stub.cc:31] Could not find cuda\n")
        os.write(2, b"W0000 00:00:1.2 3 gpu.cc:1] Cannot load libcudnn\n")
        os.write(2, b"a warning of Python\n")
    assert capfd.readouterr().err == (
        "W0000 00:00:1.2 3 gpu.cc:1] Cannot load libcudnn\na warning of Python\n"
    )


def test_what_goes_wrong_while_it_is_imported_is_said(capfd):
    try:
        with quiet.without_notices():
            os.write(2, b"I0000 a notice\nF0000 a failure\n")
            raise ImportError("no such library")
    except ImportError as error:
        assert str(error) == "no such library"
    assert capfd.readouterr().err == "F0000 a failure\n"


def test_the_last_words_of_a_tensorflow_that_aborts_are_seen():
    code = (
        "import os; from common import quiet\n"
        "with quiet.without_notices():\n"
        "    os.write(2, b'I0000 a notice\\nF0000 no AVX here\\n'); os.abort()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert run.returncode < 0 and run.stderr == b"F0000 no AVX here\n"


def test_a_closed_stderr_is_no_error():
    code = "from common import quiet\nwith quiet.without_notices():\n    print(1)"
    command = f"exec {sys.executable} -c '{code}' 2>&-"
    run = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.PIPE)
    assert (run.returncode, run.stdout) == (0, b"1\n")


def test_a_training_says_nothing_on_stderr(tmp_path):
    flags = "--dataset mnist_5k --train-size 100 --hidden 4 --epochs 1"
    folders = [f"--results-dir={tmp_path}", f"--models-dir={tmp_path}"]
    run = subprocess.run(
        [sys.executable, "cifar10_mlp.py", *flags.split(), *folders],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("TF_CPP")},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    # What was asked for is answered before Keras is there, and then what it is.
    first, name, *rest = run.stdout.splitlines()
    assert first.startswith("cifar10_mlp_") and "loading Keras" in first
    assert name == "cifar10_mlp_mnist_5k_n100_hidden4_epochs1_seed0"
    facts = "\n".join(rest)
    assert "mnist_5k: 100 examples to train on, 1,000 to test on" in facts
    # 784 weights a unit and one bias; 4 a class and one bias.
    assert f"mlp, {784 * 4 + 4 + 4 * 10 + 10:,} parameters" in facts
    assert "Test accuracy" in facts and "Traceback" not in facts
