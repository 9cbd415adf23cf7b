"""Stands in for a training script: epochs that only sleep, and the same files.

  python fake_run.py NAME --epochs 5 --sleep 0.1 --journal FILE

The journal gets a line `NAME PID what` when it starts, after each epoch, and when the
record is there.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--sleep", type=float, default=0)
parser.add_argument("--fail", type=int)
parser.add_argument("--journal", default=os.devnull)
parser.add_argument("--results-dir", type=Path, default="results")
parser.add_argument("--models-dir", type=Path, default="saved_models")
args = parser.parse_args()


def note(what):
    with open(args.journal, "a") as file:
        file.write(f"{args.name} {os.getpid()} {what}\n")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


note("start")
print("some words")
if args.fail is not None:
    print("the cause of it", file=sys.stderr)
    sys.exit(args.fail)
checkpoint = args.models_dir / ".checkpoints" / f"{args.name}.npz"
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
resumed_at = [done] if done else []
try:
    while done < args.epochs:
        time.sleep(args.sleep)
        done += 1
        write(checkpoint, str(done))
        rows = "".join(f"{i + 1},{args.sleep}\n" for i in range(done))
        write(args.results_dir / f"{args.name}.csv", "epoch,seconds\n" + rows)
        note(f"epoch {done}")
except KeyboardInterrupt:
    note("interrupted")
    sys.exit(130)
write(args.models_dir / f"{args.name}.h5", "weights")
record = {"name": args.name, "script": "fake_run", "verdict": "It slept."}
record |= {"epochs": done, "resumed_at": resumed_at}
record |= {"git": {"commit": None}, "cores": len(os.sched_getaffinity(0))}
write(args.results_dir / f"{args.name}.json", json.dumps(record))
checkpoint.unlink(missing_ok=True)
note("record")
