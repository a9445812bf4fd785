# Depositaire: the tasks of a clone. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix dev bench soak docs lock clean

export LC_ALL := C.UTF-8
export DAGSTER_DISABLE_TELEMETRY := yes
export GX_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PYTHONUTF8 := 1

BIN := .venv/bin
PACKAGES := schemas connectors ledger store retention pipelines portal
# What a home does is the same whichever database it has; this part of it does not depend on that, or has its own.
ON_BOTH := tests/functional tests/generative tests/faults tests/unit/retention
ONCE := functional/host functional/test_object_inbox.py functional/test_summary_pdf.py \
	$(patsubst %,functional/cli/test_%.py,anchoring help memory policy words) \
	$(patsubst %,functional/web/test_%.py,bodies description limits named provider provider_refused signing_in twenty) \
	$(patsubst %,functional/dagster/test_%.py,definitions interrupted looking_through_files quality) \
	$(patsubst %,generative/test_%.py,evidence_tampering fold_model guesses) faults/test_hostile.py faults/test_hostile_inbox.py \
	$(patsubst %,unit/retention/test_%.py,carry_out due files objects plan)
# Of the rest, what looks hardest at the store; `make soak` runs all of it on both.
HARDEST := $(patsubst %,tests/functional/test_%.py,absence canary crew night_books portal_erased reconcile samples silence unchanged) \
	$(patsubst %,tests/functional/cli/test_%.py,leaving looking store syncing) \
	$(patsubst %,tests/functional/dagster/test_%.py,database events trace) $(patsubst %,tests/functional/web/test_%.py,audit evidence_packs pages) \
	$(patsubst %,tests/generative/test_%.py,log_gate_store shelf_model) tests/faults/test_kill.py tests/unit/retention
CHECKED := $(PACKAGES) tests $(wildcard benchmarks scripts)

help: ## List the tasks
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make or refresh the environment in .venv
	@scripts/setup.sh

demo: ## Run the whole chain on made-up agencies, from exports to an erasure
	@scripts/setup.sh run
	@scripts/system-packages.sh demo
	@$(BIN)/python scripts/demo.py

test: ## Run the tests
	@scripts/setup.sh
	@scripts/system-packages.sh test
	@$(BIN)/python -m pytest -n 3
	@$(BIN)/python -m pytest -n 3 --store postgresql $(HARDEST) $(patsubst %,--ignore=tests/%,$(ONCE))

check: ## Check style, types and the import rules
	@scripts/setup.sh
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(CHECKED)
	@$(BIN)/lint-imports --no-cache

fix: ## Repair what the style checks can repair on their own
	@scripts/setup.sh
	@$(BIN)/ruff check --fix . || true
	@$(BIN)/ruff format .

dev: ## Serve the pipelines on this machine with Dagster's web page
	@scripts/setup.sh run
	@DAGSTER_HOME="$(CURDIR)" $(BIN)/dagster dev

bench: ## Measure the speed of the pipelines
	@scripts/setup.sh run
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.evidence
	@$(BIN)/python -m benchmarks.door
	@scripts/setup.sh
	@test -x .venv-bench/bin/python || $(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements-bench.lock
	@$(BIN)/python -m benchmarks.thousands --to benchmarks/results/thousands.json
	@.venv-bench/bin/python -m benchmarks.plot --to benchmarks/results/thousands.svg benchmarks/results/thousands.json
	@$(BIN)/python -m benchmarks.peers --dlt .venv-bench/bin/python

soak: ## Run the long tests that `make test` leaves out
	@scripts/setup.sh
	@scripts/system-packages.sh test
	@$(BIN)/python -m pytest -m soak
	@$(BIN)/python -m pytest -n 2 --store postgresql $(ON_BOTH) $(patsubst %,--ignore=tests/%,$(ONCE))

docs: ## Rewrite the reference pages of docs/ from the code
	@scripts/setup.sh run
	@$(BIN)/python scripts/docs.py

lock: ## Compile the lock files again from requirements*.in
	@scripts/setup.sh
	@for name in requirements requirements-dev requirements-bench; do \
	    CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url \
	        --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe \
	        --output-file $$name.lock $$name.in || exit 1; \
	done

clean: ## Remove caches, build products, the demo's and the local Dagster's files
	@rm -rf .demo .walks .dagster .logs_queue logs .nux .telemetry .tmp_dagster_home_* build dist *.egg-info
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find . -path ./.venv -prune -o -path ./.git -prune -o -name __pycache__ -type d -print | xargs -r rm -rf
