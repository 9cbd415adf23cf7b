"""The short form of `make faults`: some of its kills, faults and inputs."""

import subprocess
import sys
from pathlib import Path


def test_nothing_is_lost():
    script = Path(__file__).with_name("faults.py")
    # With this seed one run is killed, and after it was typed again stopped by Ctrl-C.
    command = [sys.executable, str(script), "--quick", "--seed", "12"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    counts = "kills survived: 2, other faults survived: 2, inputs refused: 5, lost: 0 "
    assert counts in run.stdout
