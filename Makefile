# Everything a developer does here; `make` alone lists it.
PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
WHAT := -c constraints.txt -e '.[local,airflow,server,postgres,snowflake,databricks,docs,dev]'
SPARK := -c constraints.txt -e '.[spark]'
FAST := $(addprefix tests/,codec compile contracts plan project sql state testing test_house.py) -k "not databricks"
DELTA_JARS := .venv/delta-jars
DELTA_POM := tests/endpoints/databricks/pom.xml

# uv brings its own certificates: behind a proxy that signs for itself it must be told where the machine's are.
SYSTEM_CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt)
ifeq ($(SSL_CERT_FILE),)
ifneq ($(SYSTEM_CERTIFICATES),)
export SSL_CERT_FILE := $(SYSTEM_CERTIFICATES)
endif
endif

# Thousands of processes start in the tests: what they import is compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup measures demo airflow snowflake databricks spark test python3.12 python3.13 driver5 kills interleavings \
	verify parity price lint docs bench bench-online lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## install everything into .venv, at the versions of constraints.txt

# pip follows its own settings (mirrors, local folders) that uv does not read, so it takes over where uv cannot.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt uv || true
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(WHAT) || $(BIN)/python -m pip install --quiet $(WHAT)
	@touch $@

demo: setup ## the first example from end to end, on this machine
	$(BIN)/python examples/01-flights/demo.py

airflow: setup ## the same, and Airflow stays up to be looked at
	$(BIN)/python examples/01-flights/demo.py --keep-airflow

snowflake: setup ## the same definitions in Snowflake and DuckDB, compared; on a local endpoint, or in your account
	$(BIN)/python examples/05-warehouses/demo.py snowflake

databricks: setup spark ## the same in Databricks
	$(BIN)/python examples/05-warehouses/demo.py databricks

spark: $(DELTA_JARS)/.copied ## the engine of the tests' own Databricks, with Delta Lake's jars; 550 MB

$(DELTA_JARS)/.copied: $(INSTALLED) $(DELTA_POM)
	@if command -v java >/dev/null && command -v mvn >/dev/null; then set -e; \
		$(BIN)/uv pip install --quiet --python $(BIN)/python $(SPARK) || $(BIN)/python -m pip install --quiet $(SPARK); \
		copy="mvn --quiet --batch-mode --file $(DELTA_POM) dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory=$(abspath $(DELTA_JARS)) -DincludeGroupIds=io.delta"; \
		$$copy || $$copy || $$copy; \
		touch $@; \
	else echo "no java or no mvn here: the tests of Databricks have no engine"; fi

test: setup spark ## all tests, in one process more than there are cores
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=25

python3.12: setup ## the quick tests on this interpreter
python3.13: setup ## the same
python3.12 python3.13:
	$@ -m venv .venv/$@
	$(BIN)/uv pip install --quiet --python .venv/$@/bin/python $(WHAT)
	.venv/$@/bin/python -m pytest -p no:xdist $(FAST)

driver5: setup ## the Snowflake connector's tests over line 5 of its driver, beside which Airflow's provider cannot live
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .venv/driver5 'snowflake-connector-python==5.2.0'
	PYTHONPATH=.venv/driver5 $(BIN)/python -m pytest -p no:xdist tests/connectors/test_snowflake.py \
		tests/connectors/test_snowflake_rows.py tests/connectors/test_snowflake_sessions.py

kills: setup ## writers of the online store killed at random points; KILLS= (how many), KEYS= (over how many)
	KILLS=$(or $(KILLS),50) KEYS=$(or $(KEYS),200000) $(BIN)/python -m pytest -p no:xdist tests/connectors/test_redis_kill.py

interleavings: setup ## runs, healings and overlapping syncs in random order, then Redis against the warehouse; CASES=
	CASES=$(or $(CASES),1000) $(BIN)/python -m pytest -p no:xdist tests/engine/test_interleavings.py

verify: setup ## random definitions against brute force; SEED=, CASES=, CASE= (one of them), MUTANTS=1
	$(BIN)/python -m tests.verify $(if $(SEED),--seed $(SEED)) $(if $(CASES),--cases $(CASES)) \
		$(if $(CASE),--case $(CASE)) $(if $(MUTANTS),--mutants)

parity: setup $(if $(filter-out snowflake,$(or $(ENGINES),databricks)),spark) ## random definitions on Snowflake's and Databricks' endpoints; SEED=, CASES=, CASE=, ENGINES=, JOBS=, MUTANTS=1
	$(BIN)/python -m tests.parity $(if $(SEED),--seed $(SEED)) $(if $(CASES),--cases $(CASES)) \
		$(if $(CASE),--case $(CASE)) $(if $(ENGINES),--engines $(ENGINES)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(MUTANTS),--mutants)

price: setup ## small additions to a copy of the tree, with each of their files forgotten once; TOYS= (some of them)
	$(BIN)/python -m tests.price $(TOYS)

lint: setup ## style, types and the rooms' order
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

measures: setup ## how the code is built, in numbers; AGAINST= (a commit to compare with)
	$(BIN)/python -m tests.measures $(if $(AGAINST),--against $(AGAINST))

docs: setup ## the documentation site, from the pages and the docstrings; a broken link fails
	$(BIN)/python -m sphinx --quiet --fresh-env --write-all --fail-on-warning --keep-going \
		--conf-dir docs . build/docs
	@echo "the first page is build/docs/index.html"

bench: setup ## the measured speeds; ONLY="increment plan" for some of them, JSON=path for a line a row
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-online: setup ## those of the online store: writing, reading and serving; JSON=path
	$(BIN)/python -m bench --only online reading serving $(if $(JSON),--json $(JSON))

lock: setup ## choose the newest versions that agree, for constraints.txt
	echo '# Made by `make lock`: one version of everything, extras and constraints.in included.' > constraints.new
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --upgrade pyproject.toml constraints.in >> constraints.new
	mv constraints.new constraints.txt

clean: ## remove what was installed, built and cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
