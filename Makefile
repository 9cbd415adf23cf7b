# make demo · make test · make bench · make faults · make lint: each makes its own .venv first.
PYTHON ?= python3
BIN := .venv/bin
DEMO := --results-dir demo --models-dir demo

.PHONY: demo test bench faults oldest fuzz lint format

demo: .venv/installed  ## real digits and synthetic images, true and random labels; minutes
	$(BIN)/python reproduce.py demo $(DEMO)

test: .venv/installed-dev  ## the whole suite, on a CPU, without network
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

bench: .venv/installed-bench  ## against plain Keras and PyTorch; BENCH="--quick" takes minutes
	$(BIN)/python benchmarks/bench.py $(BENCH)

faults: .venv/installed-dev  ## kills, signals, full disks, bad inputs; FAULTS="--seed 7 --only min_norm"
	$(BIN)/python tests/faults.py $(FAULTS)

fuzz: .venv/installed-dev  ## readers of foreign files, a minute each; not in CI
	$(BIN)/pip install --quiet atheris
	$(BIN)/python -m tests.fuzz.readers

oldest:  ## saved models under the oldest packages allowed (Python 3.10, a download)
	tests/oldest.sh

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

.venv/installed-bench: .venv/installed requirements-bench.txt
	$(BIN)/pip install --quiet -r requirements-bench.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-cluster.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt -r requirements-cluster.txt
	touch $@
