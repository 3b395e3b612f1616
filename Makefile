# Two commands suffice on a fresh machine with Python 3.11 or later: `make demo` and `make test`.
# PYTHON makes the environment in VENV and counts only then: name another VENV for another Python.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= drain
# As the demo itself names them, read before there is a Python that could be asked.
SCENARIOS = $(shell sed -n 's/^    [A-Z_]* = "\([a-z-]*\)"$$/\1/p' drainer/cli/demo/scenarios.py)
# And the causes that can be planted: SCENARIO=stuck-CAUSE, or several with + between them.
CAUSES = three $(shell sed -n 's/^    Cause\.\([A-Z_]*\): _.*/\1/p' drainer/cli/demo/stuck/plants.py \
  | tr 'A-Z_' 'a-z-')
PLANTED = $(subst +, ,$(patsubst stuck-%,%,$(filter stuck-%,$(SCENARIO))))
ZIP := build/drainer.zip
# What goes into the zip, and what builds it. Folders are named for what is deleted from them.
ZIP_SOURCES = infra/package.py requirements.txt $(shell find drainer -name __pycache__ -prune -o \
  -path drainer/cli -prune -o -path drainer/simulation -prune -o \( -name '*.py' -o -type d \) -print)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE ?=
# What an interrupted build has left is no zip.
.DELETE_ON_ERROR:

# Installs what a file of requirements names: a dot each second, and pip's own words if it fails.
define install
	@echo "installing $(2) into $(VENV), once ..."
	@$(BIN)/python -m pip install --requirement $(1) >$(VENV)/pip.log 2>&1 & pip=$$!; \
	  trap 'kill $$pip' INT TERM; \
	  while kill -0 $$pip 2>/dev/null; do printf .; sleep 1; done; echo; \
	  wait $$pip || { tail -n 20 $(VENV)/pip.log >&2; \
	    echo "error: pip failed: see $(VENV)/pip.log" >&2; exit 1; }
endef

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed: use make PYTHON=python3.13 ..." >&2; exit 1; }
	@echo "making the Python environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "error: no environment could be made in $(VENV):" \
	  "install Python's venv (Debian: python3-venv), delete $(VENV) and try again" >&2; exit 1; }

# An environment whose Python was upgraded or moved, or that was made without pip.
.PHONY: environment
environment: | $(BIN)/python
	@$(BIN)/python -c 'import pip' 2>/dev/null || { echo "error: the Python environment $(VENV)" \
	  "is broken: delete it (rm -rf $(VENV)) and try again" >&2; exit 1; }

$(VENV)/.demo: requirements.txt | environment
	@sed '/^# -- development/,$$d' requirements.txt > $(VENV)/demo.txt
	$(call install,$(VENV)/demo.txt,what the demo needs)
	@touch $@

$(VENV)/.development: requirements.txt | environment
	$(call install,requirements.txt,what development needs)
	@touch $(VENV)/.demo $@

.PHONY: setup
setup: $(VENV)/.development ## Make the environment for development

.PHONY: arguments
arguments:
	@test -n "$(PLANTED)" || case " $(SCENARIOS) " in *" $(SCENARIO) "*) ;; \
	  *) echo "error: SCENARIO=$(SCENARIO) is not one of: $(SCENARIOS) stuck-CAUSE" >&2; exit 2;; esac
	@test -z "$(filter-out $(CAUSES),$(PLANTED))" || { echo "error: $(filter-out $(CAUSES),$(PLANTED))" \
	  "is no cause that SCENARIO=stuck-CAUSE can plant, which are: $(CAUSES)" >&2; exit 2; }
	@test -n "$(PLANTED)" || test -z "$(filter-out 0,$(KEEP) $(MANAGED))" || \
	  { echo "error: KEEP and MANAGED are for SCENARIO=stuck-CAUSE" >&2; exit 2; }
	@test -z "$(FACTOR)" || \
	  awk -v factor="$(FACTOR)" 'BEGIN { exit factor !~ /^[0-9.]+$$/ || factor < 1 || factor > 40 }' || \
	  { echo "error: FACTOR=$(FACTOR) is no number from 1 to 40" >&2; exit 2; }

.PHONY: demo
demo: arguments $(if $(PLANTED),$(VENV)/.demo,package) ## Watch a drain on an embedded account (SCENARIO=drain, stuck, crowd, spot, fargate-spot, spot-fleet, refresh, or stuck-CAUSE with KEEP=1, MANAGED=1)
	@$(BIN)/python -m drainer demo --scenario $(SCENARIO) $(if $(FACTOR),--factor $(FACTOR)) \
	  $(if $(filter-out 0,$(KEEP)),--keep $(if $(MINUTES),--minutes $(MINUTES))) $(if $(filter-out 0,$(MANAGED)),--managed)

# Each worker, and each program that tests start, would else compile all sources again.
.PHONY: test
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.development ## Run all tests
	@$(BIN)/python -m pytest -n 4 --dist loadscope $(TESTS)

.PHONY: lint
lint: $(VENV)/.development ## Check style, types and templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/cfn-lint infra/*.yaml infra/examples/*.yaml

.PHONY: format
format: $(VENV)/.development ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

.PHONY: simulate
simulate: $(VENV)/.demo ## Inject faults into thousands of simulated accounts (SEEDS=2000, or SEED=7 to replay one)
	@$(BIN)/python -m drainer.cli.simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000))

.PHONY: simulate-requests
simulate-requests: $(VENV)/.demo ## Do the same for requests of CloudFormation (SEEDS=2000, or SEED=7)
	@$(BIN)/python -m drainer.cli.simulate --requests $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000))

.PHONY: simulate-mutations
simulate-mutations: $(VENV)/.demo ## Show that the checkers catch each deliberate bug, and after how many seeds
	@$(BIN)/python -m drainer.cli.simulate --mutations

.PHONY: adopt-seeds
adopt-seeds: $(VENV)/.development ## Change the hooks of five old drainers while instances drain (SEEDS=200, or SEED=7)
	@$(BIN)/python -m tests.adopt $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200))

.PHONY: simulate-lag
simulate-lag: $(VENV)/.demo ## Show the seconds from the last task to the answer, with and without the fast path
	@$(BIN)/python -m drainer.cli.simulate --lag

.PHONY: simulate-explain
simulate-explain: $(VENV)/.demo ## Judge `drainer explain` by simulated accounts (SEEDS=200, or SEED=7 to replay one)
	@$(BIN)/python -m drainer.cli.simulate --explain $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200))

.PHONY: model
model: $(VENV)/.development ## Try the protocol of the drain's record in every order of steps and faults (DEEP=1, ONLY=two, WITHOUT=no-takeover, RULES=1)
	@$(BIN)/python -m tests.model $(if $(DEEP),--deep) $(if $(RULES),--rules) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(WITHOUT),--without $(WITHOUT))

.PHONY: fuzz
fuzz: $(VENV)/.development ## Fuzz the reading of events, guided by coverage (SECONDS=60)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet atheris==3.0.0
	@$(BIN)/python -m tests.fuzz.fuzz_events $(or $(SECONDS),60)

.PHONY: mutate
mutate: $(VENV)/.development ## Change one place of the code at a time and run its unit tests (FILES=..., SAMPLE=200)
	@$(BIN)/python -m tests.mutation $(if $(FILES),--files $(FILES)) $(if $(SAMPLE),--sample $(SAMPLE)) \
	  $(if $(JOBS),--jobs $(JOBS)) $(if $(AT_LEAST),--at-least $(AT_LEAST))

.PHONY: redrive
redrive: $(VENV)/.demo ## Send the messages in the dead-letter queue again (STACK=drainer)
	@$(BIN)/python -m drainer redrive --stack $(or $(STACK),drainer)

.PHONY: log
log: ## Show the function's log of the last hour with the AWS CLI (STACK=drainer, FIND=unseen)
	@aws logs filter-log-events --query 'events[].message' --output text \
	  --log-group-name "$$(aws cloudformation describe-stacks --stack-name $(or $(STACK),drainer) \
	    --query "Stacks[0].Outputs[?OutputKey=='LogGroupName'].OutputValue" --output text)" \
	  --start-time "$$(($$(date +%s) - 3600))000" --filter-pattern '$(FIND)'

.PHONY: bench
bench: $(VENV)/.demo ## Drain one account with the drainer, with aws-cdk and with the sample style, and compare (WHAT="--help")
	@$(BIN)/python -m drainer.cli.bench $(WHAT)

.PHONY: docs
docs: $(VENV)/.development ## Write the generated parts and pictures of README.md and docs/ again
	@$(BIN)/python -m drainer.cli.readme
	@$(BIN)/python -m tests.operator.pictures

# The folder of a file system mirror of providers, in one of the places where software is kept.
# https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories
TF_PLUGIN_DIR ?= $(shell find "$$HOME/.terraform.d" "$$HOME/.local/share/terraform" /usr/local/share \
  /usr/share/terraform /opt -name 'terraform-provider-aws*' -path '*/registry.terraform.io/*' \
  2>/dev/null | sed -n '1s|/registry.terraform.io/.*||p')

.PHONY: terraform
terraform: $(VENV)/.demo ## Write the Terraform modules from the templates again
	@$(BIN)/python -m drainer.cli.terraform

.PHONY: terraform-test
terraform-test: $(VENV)/.development ## Run Terraform on the modules (TF_PLUGIN_DIR: where the AWS provider is)
	@TF_PLUGIN_DIR="$(TF_PLUGIN_DIR)" $(BIN)/python -m pytest -rs tests/terraform

.PHONY: cdk-test
cdk-test: $(VENV)/.development ## Fetch aws-cdk-lib with npm and compile the example of docs/cdk.md
	@npm install --no-save --no-audit --no-fund --loglevel=error --prefix build/cdk aws-cdk-lib@2.276.0 constructs@10.8.1
	@$(BIN)/python -m pytest -rs tests/terraform/test_cdk.py

.PHONY: package
package: $(ZIP) ## Build build/drainer.zip if something has changed, the same bytes every time

$(ZIP): $(ZIP_SOURCES) | $(VENV)/.demo
	@echo "building $@ ..."
	@$(BIN)/python infra/package.py --output $@

# Building the wheel takes setuptools, which is among what development needs.
.PHONY: release
release: $(VENV)/.development package ## Build build/release/drainer-VERSION.tar.gz, the same bytes for the same commit (SOURCE_URL=...)
	@$(BIN)/python infra/release.py --zip build/drainer.zip --output build/release \
	  $(if $(SOURCE_URL),--source-url $(SOURCE_URL))

.PHONY: bucket
bucket:
	@test -n "$(BUCKET)" || { echo "error: no S3 bucket for the zip: use make deploy BUCKET=..." >&2; exit 2; }

.PHONY: deploy
deploy: bucket package ## Deploy the stack with the AWS CLI (BUCKET=..., optional: STACK, PARAMETERS)
	aws cloudformation package --template-file infra/drainer.yaml --s3-bucket $(BUCKET) \
	  --output-template-file build/drainer.packaged.yaml
	aws cloudformation deploy --template-file build/drainer.packaged.yaml --s3-bucket $(BUCKET) \
	  --stack-name $(or $(STACK),drainer) --capabilities CAPABILITY_IAM \
	  --no-fail-on-empty-changeset \
	  $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

.PHONY: clean
clean: ## Remove what was built
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
