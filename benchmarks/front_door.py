"""How soon a script answers: --help, a mistyped flag, and a run that is complete.

  python benchmarks/front_door.py [--rounds 5]

Wall and CPU seconds, medians over rounds in which all commands take turns, beside
`python -c pass` in the same rounds. Run it on a quiet machine.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPLETE = {  # what answers with a record of results/
    "cifar10_mlp.py": "",
    "cifar10_alexnet.py": "--random-labels",
    "cifar10_inception.py": "",
    "imdb_text.py": "--model lstm",
}


def seconds(words):
    """(wall, CPU) seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    commands = {"python -c pass": ["-c", "pass"]}
    for script in sorted(path.name for path in ROOT.glob("*.py")):
        commands[f"{script} --help"] = [script, "--help"]
        commands[f"{script} --no-such-flag"] = [script, "--no-such-flag"]
        if script in COMPLETE:
            flags = COMPLETE[script].split()
            commands[" ".join([script, *flags, "(complete)"])] = [script, *flags]
    taken = {name: [] for name in commands}
    for _ in range(rounds):
        for name, words in commands.items():
            taken[name].append(seconds(words))
    print(f"{'':48}{'wall s':>8}{'CPU s':>8}")
    for name, times in taken.items():
        wall, used = (statistics.median(x) for x in zip(*times, strict=True))
        print(f"{name:48}{wall:8.2f}{used:8.2f}")


if __name__ == "__main__":
    main()
