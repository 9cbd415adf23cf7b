"""TensorFlow starts without a word of its own, and errors come through.

Of a whole training test_notebook.py looks at every line.
"""

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
