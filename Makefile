# Everything below installs what it needs into .venv first: Python 3.11 or later and make are enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# make lock UPGRADE=--upgrade takes the newest releases that pyproject.toml allows.
UPGRADE ?=
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-annotate --custom-compile-command "make lock" $(UPGRADE)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint format bench faults outage mutation client lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install Andon and its tools, pinned by hash, into .venv

$(INSTALLED): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Andon needs Python 3.11 or later, and $(PYTHON) is not: make PYTHON=/path/to/python …" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) …"
	@$(PIP) install --require-hashes --requirement requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Run all four SOPs on a sample organisation, with everything embedded
	@$(BIN)/andon demo

test: $(INSTALLED) ## Run all tests in parallel, on real PostgreSQL, Redis and workers
	@$(BIN)/pytest --numprocesses auto --dist worksteal

test-fast: $(INSTALLED) ## Run the unit tests alone
	@$(BIN)/pytest tests/unit

lint: $(INSTALLED) ## Check style, types, layers, and that migrations and contract match the models
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m console.schema_check
	$(BIN)/andon contract --out docs/contract --check

format: $(INSTALLED) ## Format the code, and repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# make bench ARGS="--quick"; docs/performance.md says what there is.
bench: $(INSTALLED) ## Measure throughput, latency, growth and memory, beside Celery's own
	@$(BIN)/python -m benchmarks $(ARGS)

# make faults REQUESTS=100000 SEED=7 ENGINE=redis; ENGINE may be both, FAULTS=200 sets how many there are at least,
# ARGS="--kinds copies garbage" which.
# 20,000 take about two minutes. For RabbitMQ, name one in ANDON_TEST_AMQP_URL.
REQUESTS ?= 20000
ENGINE ?= redis

faults: $(INSTALLED) ## Kill, stop, cut and stall everything under load, then account for every request
	@$(BIN)/python -m tests.acceptance.faults --requests $(REQUESTS) --engine $(ENGINE) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

# make outage SECONDS=60, for a minute each
SECONDS ?= 600

outage: $(INSTALLED) ## Have PostgreSQL, then Redis away for ten minutes under load, and account for every request
	@echo "PostgreSQL is away for $(SECONDS) s, then Redis; with ANDON_TEST_AMQP_URL, PostgreSQL from a worker on RabbitMQ too."
	@ANDON_TEST_OUTAGE_SECONDS=$(SECONDS) $(BIN)/pytest --capture=no --verbose -k long tests/acceptance/test_outages.py

mutation: $(INSTALLED) ## Change the policy's code in every way and see that a test notices
	@$(BIN)/mutmut run

client: $(INSTALLED) ## Build the distribution andon-client into dist
	@cd client && ../$(BIN)/python -m hatchling build --directory ../dist

lock: $(INSTALLED) ## Pin every dependency with its hashes again
	$(COMPILE) --extra embedded --extra dev --output-file requirements/dev.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --output-file requirements/runtime.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --output-file requirements/build.lock requirements/build.in

clean: ## Remove .venv and everything that tools left behind; data in .andon stays
	rm -rf $(VENV) dist mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
