# Everything is done in this folder: the environment in .venv, caches in .cache, a run's state in .dsp.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export TMPDIR := $(CURDIR)/.cache/tmp
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run run-obd run-cloud-local ui stop test check format lock lock-bigquery clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  then: source $(BIN)/activate && luigi --module tasks DailyPipeline --date 2026-11-21"

setup: .venv/ready ## install everything into .venv (other targets do it when needed)

.venv/ready: requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@mkdir -p $(TMPDIR)
	@echo "installing into .venv …"
	@$(PYTHON) -m venv .venv
	@# No dependencies: the lock holds all, and a pip that resolves may look at releases that are newer than the lock.
	@$(BIN)/python -m pip install --quiet --no-cache-dir --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip check --quiet
	@$(BIN)/python -m pip install --quiet --no-cache-dir --no-deps --no-build-isolation --editable .
	@touch $@

# The environment of the BigQuery stand-in; without a Python that it runs on, its tests are skipped.
.cache/bigquery/ready: console/standins/bigquery.lock | .venv/ready
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m console.standins.bigquery

# What checks monitoring/: Datadog's client, and Prometheus with its Pushgateway where Debian's packages can be had;
# tests that miss one of them are skipped.
.cache/monitoring/ready: monitoring/check.lock | .venv/ready
	@mkdir -p $(TMPDIR) $(@D)
	@$(PYTHON) -m venv $(@D)/venv
	@$(@D)/venv/bin/python -m pip install --quiet --no-cache-dir --require-hashes -r $<
	@cd $(@D) && { apt-get download prometheus prometheus-pushgateway >log 2>&1 \
	  && for package in *.deb; do dpkg -x $$package debian; done \
	  && rm *.deb || echo "without Debian's prometheus and prometheus-pushgateway some tests are skipped"; }
	@touch $@

run: .venv/ready ## simulate a few days of logs, run the whole graph under a luigid, say where things are
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m console demo

run-obd: .venv/ready ## the same on 60,000 real impressions (Open Bandit Dataset, downloaded from PyPI)
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m console open-bandit

run-cloud-local: .venv/ready .cache/bigquery/ready ## the same on an S3 and a BigQuery that run on this machine
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m console cloud-local

ui: .venv/ready ## open luigid's page again
	@$(BIN)/python -m console ui

stop: .venv/ready ## end luigid
	@$(BIN)/python -m console stop

test: .venv/ready .cache/bigquery/ready .cache/monitoring/ready ## the tests
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m pytest -n auto $(ARGS)

check: .venv/ready ## format, lint, types, layers
	@mkdir -p $(TMPDIR)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache

format: .venv/ready ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/ready ## choose newer versions of what setup.cfg allows
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m venv .cache/lock && .cache/lock/bin/pip install --quiet --no-cache-dir uv
	.cache/lock/bin/uv pip compile --quiet --no-cache --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --extra train --extra cloud --extra demo --extra dask --extra mlflow --extra metrics --extra dev \
	  --upgrade --custom-compile-command "make lock" --output-file requirements.lock setup.cfg

lock-bigquery: .venv/ready ## the same for the environment of the BigQuery stand-in
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m venv .cache/lock && .cache/lock/bin/pip install --quiet --no-cache-dir uv
	echo "duckdb==1.5.5" > .cache/lock/override
	.cache/lock/bin/uv pip compile --quiet --no-cache --universal --python-version 3.13 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --override .cache/lock/override \
	  --upgrade --custom-compile-command "make lock-bigquery" --output-file console/standins/bigquery.lock \
	  console/standins/bigquery.in

clean: ## remove the environment, caches, the simulated logs and the lake
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m console stop
	rm -rf .venv .cache .dsp lake lake-open-bandit raw build *.egg-info .mypy_cache .ruff_cache .pytest_cache
