# make demo · make labs · make test · make bench · make lint …: each makes its own .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := --results-dir demo --models-dir demo

.PHONY: demo labs address archive test bench faults oldest fuzz lint format

demo: .venv/installed  ## real digits and synthetic images, true and random labels; minutes
	$(BIN)/python reproduce.py demo $(DEMO)

labs: .venv/installed-dev  ## executes every notebook and its solution, offline, into mine/labs/; LABS="1 2"
	$(BIN)/python notebooks/labs.py run $(LABS)

address: .venv/installed-dev  ## URL=https://github.com/…: into README's badge, the notebooks, CITATION.cff
	$(BIN)/python notebooks/labs.py address "$(URL)"

archive:  ## rethinking.zip: code, records and models as one file, which a notebook unpacks
	git archive --format=zip --prefix=rethinking/ -o rethinking.zip HEAD

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
