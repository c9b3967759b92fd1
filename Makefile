PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

CLIENTS := tests/clients
INSTALLED := $(CLIENTS)/node_modules/.clients $(CLIENTS)/.venv/.clients

BENCHMARKS := store ingest cold growth process mcp sanctum emit trackers effects
PEERS := benchmarks/.venv

.PHONY: demo test test-clients bench peers runs schema figures picture experiment readme questions clean

demo: $(VENV)/.demo ## what an assistant sees, over a real MCP connection
	@$(BIN)/python examples/demo.py

# Without its cache: a remembered file's imports keep their order although a module that they name has moved.
test: $(VENV)/.dev ## lint, types, import contracts, all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

test-clients: $(VENV)/.dev $(INSTALLED) ## the MCP server with clients that nobody here wrote
	$(BIN)/pytest $(CLIENTS)

# BENCH="--events 10000 --rounds 1" makes it quick; BENCH=--large adds 10 million events.
bench: $(VENV)/.dev ## measure Karn beside the same work without it
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.bench_$$name $(BENCH) || exit 1; done

peers: ## install what bench_emit compares with, apart from the project
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-emit.txt

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A folder whose stamp is older than the project's own list of needs is brought up to date.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[mcp]"
	@touch $@

# torch by its exact version first: any other way of asking for it may bring gigabytes of GPU libraries.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch==2.13.0
	$(PIP) -e ".[all,dev]"
	@touch $@ $(VENV)/.demo

# One of the packages is Node itself: the clients need a newer one than most systems have.
$(CLIENTS)/node_modules/.clients: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	@command -v npm > /dev/null || { echo "make test-clients needs npm, and found none" >&2; exit 1; }
	npm ci --prefix $(CLIENTS) --no-audit --no-fund --loglevel=error
	@touch $@

# fastmcp apart from the project: it brings its own version of the SDK.
$(CLIENTS)/.venv/.clients: $(CLIENTS)/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)/.venv
	$(CLIENTS)/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

runs: $(VENV)/.dev ## record the example runs anew
	$(BIN)/python examples/record_runs.py

schema: $(VENV)/.dev ## write docs/events.schema.json from the contracts
	$(BIN)/karn schema > docs/events.schema.json

figures: $(VENV)/.dev ## draw the figures of docs/metrics.md
	$(BIN)/python docs/make_figures.py

experiment: $(VENV)/.dev ## train the policies, draw docs/learning.png, judge the ladder by the exit gates (half an hour)
	$(BIN)/python docs/make_experiment.py

picture: $(VENV)/.dev ## draw Sanctum's picture for the README from a recorded run
	$(BIN)/python docs/make_picture.py

readme: $(VENV)/.dev ## fill the README's answer and tables from the program
	$(BIN)/python docs/make_readme.py

questions: $(VENV)/.dev ## fill docs/questions.md by asking the server
	PYTHONPATH=tests:tests/karn/mcp $(BIN)/python docs/make_questions.py

clean:
	rm -rf $(VENV) $(PEERS) $(CLIENTS)/.venv $(CLIENTS)/node_modules build dist
