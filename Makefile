# Everything is done in this folder: the environment in .venv, caches in .cache, a run's state in .dsp.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export TMPDIR := $(CURDIR)/.cache/tmp
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run run-obd run-cloud-local ui stop test test-faults audit bench bench-full check format uv lock lock-bigquery clean \
  image scan push up down plan plan-comment apply smoke run-task lint-infra test-infra lock-infra

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

bench: .venv/ready ## measure beside bare engines and other libraries: a table, and a page in bench/results/
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m bench $(ARGS)

bench-full: .venv/ready ## the same with the sizes that the targets are set for; hours
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m bench --full $(ARGS)

SEED ?= 1
MINUTES ?= 120

test-faults: .venv/ready .cache/bigquery/ready ## kill, cut off and confuse everything, hundreds of times (SEED=1 MINUTES=120)
	@mkdir -p $(TMPDIR)
	@DSP_FAULTS=full DSP_FAULTS_SEED=$(SEED) DSP_FAULTS_MINUTES=$(MINUTES) \
	  $(BIN)/python -m pytest -v -n auto --basetemp=.cache/pytest-faults tests/faults $(ARGS)

audit: .venv/ready ## ask the advisory database whether what we install has known holes
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m venv .cache/audit && .cache/audit/bin/pip install --quiet --no-cache-dir pip-audit==2.10.1
	@DSP_AUDIT=1 $(BIN)/python -m pytest -p no:xdist --basetemp=.cache/pytest-audit tests/security/test_dependencies.py -rs $(ARGS)

check: .venv/ready ## format, lint, types, layers
	@mkdir -p $(TMPDIR)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache

format: .venv/ready ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

PIN := .cache/lock/bin/uv pip compile --quiet --no-cache --universal --generate-hashes --no-emit-index-url --no-emit-find-links

uv: .venv/ready
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m venv .cache/lock && .cache/lock/bin/pip install --quiet --no-cache-dir uv

lock: uv ## choose newer versions of what setup.cfg allows
	$(PIN) --python-version 3.11 --extra train --extra cloud --extra demo --extra dask --extra mlflow --extra metrics --extra luigid --extra dev \
	  --upgrade --custom-compile-command "make lock" --output-file requirements.lock setup.cfg
	@# What each image holds of it, in the same versions.
	$(PIN) --python-version 3.11 --constraint requirements.lock --custom-compile-command "make lock" \
	  --extra train --extra cloud --extra metrics --output-file docker/pipeline.lock setup.cfg
	$(PIN) --python-version 3.11 --constraint requirements.lock --custom-compile-command "make lock" \
	  --output-file docker/luigid.lock docker/luigid.in

lock-bigquery: uv ## the same for the environment of the BigQuery stand-in
	echo "duckdb==1.5.5" > .cache/lock/override
	$(PIN) --python-version 3.13 --override .cache/lock/override \
	  --upgrade --custom-compile-command "make lock-bigquery" --output-file console/standins/bigquery.lock \
	  console/standins/bigquery.in

lock-infra: uv ## the same for the tools that check images, Terraform and workflows
	$(PIN) --python-version 3.11 --upgrade --custom-compile-command "make lock-infra" \
	  --output-file tests/infra/tools.txt tests/infra/tools.in

# Images and delivery. `docker` builds and runs them, or podman: DOCKER=podman. CA_BUNDLE names the certificates of a
# network that has an authority of its own; they reach the build and no layer.
comma := ,
DOCKER ?= docker
REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*')
# A branch may be called `a$(b)`: never a part of a command, it goes through the environment, as it is.
ifndef BRANCH
BRANCH := $(shell git rev-parse --abbrev-ref HEAD)
endif
export BRANCH
# A tag means the same bytes for ever. Those of a branch, which know its name, are not those of main.
TAG ?= $(if $(filter main,$(value BRANCH)),,branch-)$(REVISION)
IMAGE = $(if $(REGISTRY),$(REGISTRY)/)dsp/$(1):$(TAG)
TRIVY ?= docker.io/aquasec/trivy:0.69.3
RELEASE ?= .cache/release.tfvars.json

image: ## build the images of the tasks and of luigid
	@for image in pipeline luigid; do \
	  BUILDAH_FORMAT=docker $(DOCKER) build --file docker/$$image.Dockerfile --tag $(call IMAGE,$$image) \
	    $(if $(CA_BUNDLE),--secret id=ca_bundle$(comma)src=$(CA_BUNDLE)) \
	    --build-arg REVISION=$(REVISION) --build-arg BRANCH="$$BRANCH" . || exit; done

scan: ## look for known holes and for secrets in the images
	@mkdir -p .cache/scan
	@for image in pipeline luigid; do \
	  $(DOCKER) save --output .cache/scan/$$image.tar $(call IMAGE,$$image) || exit; \
	  $(DOCKER) run --rm --volume $(CURDIR)/.cache/scan:/scan $(TRIVY) image --input /scan/$$image.tar --cache-dir /scan/cache \
	    --scanners vuln,secret --severity HIGH,CRITICAL --ignore-unfixed --exit-code 1 --no-progress || exit; done

push: ## push them (REGISTRY=…), and note their digests for `make plan`
	@case "$(REVISION)" in *-dirty) echo "error: there are changes that no revision names; commit them first" >&2; exit 1;; esac
	@[ -n "$(REGISTRY)" ] || { echo "error: say where to, as REGISTRY=123456789012.dkr.ecr.eu-central-1.amazonaws.com" >&2; exit 1; }
	@case "$(REGISTRY)" in *.amazonaws.com) \
	  aws ecr get-login-password | $(DOCKER) login --username AWS --password-stdin $(REGISTRY);; esac
	@# What is there under a tag stays: a build that is run again takes it as it is.
	@for image in pipeline luigid; do tag=$(call IMAGE,$$image); \
	  $(DOCKER) pull --quiet $$tag >/dev/null 2>&1 || { $(DOCKER) push --quiet $$tag && $(DOCKER) pull --quiet $$tag; } || exit; done
	@# Of the digests that the image has had, the one that can be pulled is the registry's.
	@digest() { for there in $$($(DOCKER) image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' $(REGISTRY)/dsp/$$1:$(TAG) \
	    | grep "^$(REGISTRY)/dsp/$$1@"); do $(DOCKER) pull --quiet $$there >/dev/null 2>&1 && echo $${there#*@} && break; done; }; \
	  printf '{"revision": "%s", "digests": {"pipeline": "%s", "luigid": "%s"}}\n' \
	    $(REVISION) "$$(digest pipeline)" "$$(digest luigid)" | tee $(RELEASE)

up: image ## run luigid, an S3 and a worker in containers; luigid's page is at http://127.0.0.1:8082
	@PIPELINE=$(call IMAGE,pipeline) LUIGID=$(call IMAGE,luigid) $(DOCKER) compose --file docker/compose.yaml up --detach
	@PIPELINE=$(call IMAGE,pipeline) LUIGID=$(call IMAGE,luigid) $(DOCKER) compose --file docker/compose.yaml logs --follow worker

down: ## end them, and remove what they held
	@PIPELINE=- LUIGID=- $(DOCKER) compose --file docker/compose.yaml down --volumes

plan: ## what Terraform would change so that production runs what was pushed last
	@terraform -chdir=terraform init -input=false >/dev/null
	@terraform -chdir=terraform plan -input=false -lock-timeout=5m -var-file=../$(RELEASE) -out=../.cache/plan >/dev/null
	@terraform -chdir=terraform show -no-color ../.cache/plan >.cache/plan.txt
	@cat .cache/plan.txt

run-task: .venv/ready ## run a task in production (TASK="DailyPipeline --date 2026-11-21"), show its lines, end as it ends
	@$(BIN)/python -m console run-task --size $(or $(SIZE),medium) --role $(or $(ROLE),export) $(if $(IMAGE_TAG),--tag $(IMAGE_TAG)) $(TASK)

plan-comment: ## tell a pull request what `make plan` has shown (PULL_REQUEST=7)
	@{ echo 'What `terraform plan` says of this:'; echo '```'; head -c 60000 .cache/plan.txt; echo; echo '```'; } >.cache/plan.md
	@gh pr comment $(PULL_REQUEST) --edit-last --create-if-none --body-file .cache/plan.md

smoke: ## run a task in production that writes nothing: its image, settings, S3 and luigid are there
	@$(MAKE) --no-print-directory run-task ROLE=ingest SIZE=small TASK="LateLogs --date yesterday"

apply: ## change just what `make plan` has shown
	@terraform -chdir=terraform apply -input=false ../.cache/plan

# Checkers in an environment of their own; where it can (Debian, root), also podman with what a build starts from.
.cache/infra/ready: tests/infra/tools.txt tests/infra/containers.sh | .venv/ready
	@mkdir -p $(TMPDIR) $(@D)
	@$(BIN)/python -m venv $(@D)/tools
	@$(@D)/tools/bin/python -m pip install --quiet --no-cache-dir --no-deps --require-hashes -r $<
	@command -v java >/dev/null && npm install --silent --no-audit --no-fund --prefix $(@D)/npm npm-groovy-lint@16.2.0 >$(@D)/npm.log 2>&1 \
	  || echo "without npm and java the Jenkinsfile is not linted"
	@bash tests/infra/containers.sh $(@D)
	@touch $@

GROOVY := $(CURDIR)/.cache/infra/npm/node_modules/.bin/npm-groovy-lint

lint-infra: .cache/infra/ready ## lint Dockerfiles, shell scripts, workflows and the Jenkinsfile
	@.cache/infra/tools/bin/hadolint docker/*.Dockerfile
	@.cache/infra/tools/bin/shellcheck .ci/run tests/infra/*.sh
	@.cache/infra/tools/bin/actionlint
	@# In a folder of its own, for it looks at all files of the one that it is in.
	@mkdir -p .cache/infra/jenkins && cp Jenkinsfile tests/infra/groovylint.json .cache/infra/jenkins
	@[ ! -x $(GROOVY) ] || (cd .cache/infra/jenkins \
	  && $(GROOVY) --noserver --config groovylint.json --failon warning --loglevel warning Jenkinsfile)

test-infra: .venv/ready .cache/infra/ready ## build the images and run them, apply Terraform to a stand-in, and lint both
	@mkdir -p $(TMPDIR)
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/infra $(ARGS)

clean: ## remove the environment, caches, the simulated logs and the lake
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m console stop
	rm -rf .venv .cache .dsp lake lake-open-bandit raw build *.egg-info .mypy_cache .ruff_cache .pytest_cache
