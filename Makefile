# Two commands suffice on a fresh machine with Python 3.11 or later: `make demo` and `make test`.
# PYTHON makes the environment in VENV and counts only then: name another VENV for another Python.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= drain
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE ?=

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed: use make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements.txt | $(BIN)/python
	@echo "installing what the demo needs into $(VENV) ..."
	@sed '/^# -- development/,$$d' requirements.txt > $(VENV)/demo.txt
	@$(BIN)/python -m pip install --quiet --requirement $(VENV)/demo.txt
	@touch $@

$(VENV)/.development: requirements.txt | $(BIN)/python
	@echo "installing what development needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $(VENV)/.demo $@

.PHONY: setup
setup: $(VENV)/.development ## Make the environment for development

.PHONY: demo
demo: package ## Watch a drain on an embedded account (SCENARIO=drain, stuck, crowd, spot, fargate-spot, spot-fleet or refresh)
	@$(BIN)/python -m drainer demo --scenario $(SCENARIO) $(if $(FACTOR),--factor $(FACTOR))

# Each worker, and each program that tests start, would else compile all sources again.
.PHONY: test
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.development ## Run all tests
	@$(BIN)/python -m pytest -n 3 --dist loadscope $(TESTS)

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

.PHONY: simulate-lag
simulate-lag: $(VENV)/.demo ## Show the seconds from the last task to the answer, with and without the fast path
	@$(BIN)/python -m drainer.cli.simulate --lag

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
docs: $(VENV)/.development ## Write the generated parts of the README again
	@$(BIN)/python -m drainer.cli.readme README.md

.PHONY: package
package: $(VENV)/.demo ## Build build/drainer.zip, the same bytes every time
	@$(BIN)/python infra/package.py --output build/drainer.zip

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
