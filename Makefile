# One short command per intention, the same here and in CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup run test check docs screenshots bench soak fuzz lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP) ## .venv with everything, from the hash-pinned requirements

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "turnout needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else echo "Python can't make virtual environments: sudo apt-get install python3-venv"; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start the server with a demo site
	@echo "Try it, in another terminal:"
	@echo "  curl -i 'http://$(or $(TURNOUT_COLLECT),127.0.0.1:8080)/events?tc_s=29&token=7183b9d4-1031-11ee-be56-0242ac120002' \\"
	@echo "    -H 'Content-Type: application/json' -d '{\"event_name\": \"login\", \"user\": {\"id\": \"42\"}}'"
	@echo "  $(BIN)/turnout tail --last 10"
	@echo "Or let a simulated shop send events:"
	@echo "  $(BIN)/turnout demo"
	@echo "Source key of the demo shop: 7183b9d4-1031-11ee-be56-0242ac120002"
	$(BIN)/turnout serve --config examples/demo.yaml

test: setup check ## the whole test suite
	@tools/system.sh curl:curl gcc:gcc /usr/include/stdio.h:libc6-dev chromium:chromium nginx:nginx-light caddy:caddy openssl:openssl
	$(BIN)/pytest -n auto --dist loadfile

check: setup ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check src tests tools bench fuzz
	$(BIN)/ruff check src tests tools bench fuzz
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## renew the generated reference and the output that the pages show
	$(BIN)/python tools/reference.py
	UPDATE_DOCS=1 $(BIN)/pytest tests/docs/test_snippets.py

screenshots: setup ## pictures of every page of the interface: make screenshots TO=folder
	@tools/system.sh chromium:chromium
	$(BIN)/python -m tests.ui.screenshots $(or $(TO),screenshots)

bench: setup ## what this machine can do, as ratios to references in the same run
	@tools/system.sh wrk:wrk nginx:nginx-light
	$(BIN)/python -m bench.run $(ROWS)

soak: setup ## crash rounds for as long as asked: make soak ROUNDS=500
	TURNOUT_CRASH_ROUNDS=$(or $(ROUNDS),200) $(BIN)/pytest tests/crash/test_crash.py --timeout 0

fuzz: setup ## hostile bytes, guided by coverage: make fuzz SECONDS=600 TARGETS="wire query"
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	$(BIN)/python -m fuzz $(or $(SECONDS),60) $(TARGETS)

lock: setup ## renew requirements-dev.txt from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev pyproject.toml -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
