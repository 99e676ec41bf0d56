# riata's commands. PYTHON chooses the interpreter: make demo PYTHON=python3.13
#
# Each interpreter has an environment of its own in .venvs/ and a build of its own under the Cargo
# target folder; .venv is a link to the one used last. Nothing is rebuilt unless a source changed.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# Goals that need no interpreter.
ifneq ($(or $(filter-out help clean conformance bench-rust test-loom valgrind,$(MAKECMDGOALS)),$(if $(MAKECMDGOALS),,$(filter-out help,$(.DEFAULT_GOAL)))),)
ifeq ($(shell command -v cargo),)
$(error Rust is missing: install it from https://rustup.rs, or your distribution's cargo, clippy and rustfmt)
endif
ifeq ($(shell command -v $(PYTHON)),)
$(error no $(PYTHON) on PATH: riata needs Python 3.11 or later; name one with make PYTHON=/path/to/python)
endif
KEY := $(shell $(PYTHON) .ci/environment.py)
ifneq ($(.SHELLSTATUS),0)
$(error $(PYTHON) cannot be used)
endif
endif

export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venvs/$(KEY)
BIN := $(CURDIR)/$(VENV)/bin
LOGS := $(CARGO_TARGET_DIR)/logs
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE \
    $(shell find crates python -name __pycache__ -prune -o -name '*.so' -o -print)

# PyO3 builds for the environment's interpreter and, as for a wheel, leaves libpython to the process that loads it.
CARGO := PYO3_PYTHON=$(BIN)/python PYO3_BUILD_EXTENSION_MODULE=1 cargo
# Optimized, as loom tries many interleavings, but linked in little time.
LOOM := RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom cargo
# No one test takes long (pytest-timeout sees to it); this ends a run whose interpreter is stuck itself.
PYTEST := timeout --kill-after=30 2700 $(BIN)/python -m pytest

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 26

.PHONY: demo
demo: build ## crawl a site with an aiohttp program, on asyncio and on riata, and with its Rust twin; compare
	cargo build --release --locked -p riata --example crawl
	$(BIN)/python examples/compare.py --rust $(CARGO_TARGET_DIR)/release/examples/crawl

.PHONY: test
test: build lint stubtest test-rust test-loom test-python ## everything that must pass: formats, lints, types, Rust's tests, Python's tests
	@echo; echo "-- cargo"; sed -nE '/^test result: /p' $(LOGS)/rust.txt $(LOGS)/loom.txt
	@echo "-- pytest"; tail -n 1 $(LOGS)/python.txt

.PHONY: check
check: test ## the same

.PHONY: lint
lint: environment ## formats, lints and types only
	cargo fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo "the engine and the Rust door know nothing of Python"; \
	    tree=$$(cargo tree --locked -p riata-engine -p riata --edges normal,build,dev); \
	    if grep -i pyo3 <<<"$$tree"; then echo "riata-engine or riata depends on pyo3" >&2; exit 1; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/mypy tests/types

.PHONY: test-rust
test-rust: environment ## the Rust tests only
	@mkdir -p $(LOGS)
	$(CARGO) test --locked --workspace --exclude riata-python 2>&1 | tee $(LOGS)/rust.txt

.PHONY: test-loom
test-loom: ## what crosses threads, under every interleaving that loom finds
	@mkdir -p $(LOGS)
	$(LOOM) test --locked --release -p riata-engine --test '*_loom' 2>&1 | tee $(LOGS)/loom.txt
	$(LOOM) test --locked --release -p riata --test '*_loom' 2>&1 | tee -a $(LOGS)/loom.txt
	@grep -qE '^test result: ok\. [1-9]' $(LOGS)/loom.txt || { echo "no loom test ran" >&2; exit 1; }

.PHONY: valgrind
valgrind: ## the Rust door's tests under valgrind: no invalid access, no leak; ARGS= names tests, as cargo test does
	crates/riata/tests/valgrind.sh $(ARGS)

.PHONY: test-python
test-python: build ## the Python tests only, CPython's own suite among them; ARGS= goes to pytest
	@mkdir -p $(LOGS)
	$(PYTEST) $(ARGS) 2>&1 | tee $(LOGS)/python.txt

.PHONY: properties
properties: build ## thousands of random programs, on asyncio and on riata; ARGS= goes to pytest
	RIATA_PROPERTIES=long $(BIN)/python -m pytest tests/properties $(ARGS)

.PHONY: stubtest
stubtest: build ## whether python/riata/_native.pyi says what the extension is
	cd $(VENV) && $(BIN)/python -m mypy.stubtest --allowlist $(CURDIR)/.ci/stubtest.txt \
	    --ignore-unused-allowlist riata._native

.PHONY: types
types: build $(VENV)/types ## what mypy --strict and pyright say of typical programs; needs package registries once
	$(BIN)/mypy tests/types
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests/types

.PHONY: wheels
wheels: environment ## the source distribution and a manylinux wheel for each Python that is there, each tried; VERSIONS="3.13"
	.ci/wheels $(BIN)/maturin $(CARGO_TARGET_DIR)/wheels $(or $(VERSIONS),3.11 3.12 3.13 3.14 3.15)

.PHONY: recipes
recipes: build $(VENV)/recipes ## the recipes of docs/frameworks, run as they stand; needs package registries once
	$(VENV)/recipes/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall $(VENV)/wheel/*.whl
	$(VENV)/recipes/bin/python -m pytest --override-ini filterwarnings=default tests/recipes $(ARGS)

.PHONY: docs
docs: environment $(VENV)/docs ## the documentation, into target/docs/index.html; needs Python 3.12 or later
	$(VENV)/docs/bin/sphinx-build --quiet --fail-on-warning --keep-going -b html docs $(CARGO_TARGET_DIR)/docs
	@echo "$(CARGO_TARGET_DIR)/docs/index.html"

.PHONY: conformance
conformance: ## CPython's own asyncio tests on riata, under Python 3.11, 3.12 and 3.13
	@status=0; for version in 3.11 3.12 3.13; do \
	    python=$$(.ci/find-python $$version) || { status=1; continue; }; \
	    $(MAKE) --no-print-directory conformance-one PYTHON="$$python" || status=1; \
	done; exit $$status

.PHONY: conformance-one
conformance-one: build ## the same under PYTHON only
	$(BIN)/python -m tests.conformance

.PHONY: ecosystem
ecosystem: build ## other projects' own test suites, and real clients against real servers, on asyncio and on riata; ARGS= chooses
	$(BIN)/python -m tests.ecosystem --wheel $(VENV)/wheel/*.whl --environments .venvs/ecosystem/$(KEY) \
	    --store $(CARGO_TARGET_DIR)/ecosystem $(ARGS)

.PHONY: gevent-tests
gevent-tests: build ## gevent's own tests on libev and on riata, compared; ARGS="test__core*" chooses files
	$(BIN)/python -m tests.gevent_suite $(ARGS)

.PHONY: gevent-debug
gevent-debug: $(VENV)/debug ## the tests of gevent and of callbacks that switch greenlets, and gevent's own, on a build with overflow and borrow checks
	$(VENV)/debug/bin/python -m pytest tests/integration/green tests/integration/test_gevent_*.py tests/integration/test_unblock.py
# Left out: it closes the loop's descriptor, and a debug build of Rust's library aborts when it finds one closed.
	$(VENV)/debug/bin/python -m tests.gevent_suite --but test__close_backend_fd $(ARGS)

SWITCHED := tests/integration tests/regression tests/faults
SWITCHING := RIATA_SWITCHING=tests.switching.partner $(VENV)/debug/bin/python

.PHONY: switching
switching: $(VENV)/debug ## tests on a build with overflow and borrow checks, another greenlet running before and after each call into Python
	$(SWITCHING) -m pytest -p tests.switching.plugin --timeout=600 $(or $(ARGS),$(SWITCHED))
	$(if $(ARGS),,$(SWITCHING) -m tests.gevent_suite --but test__close_backend_fd 'test__core*' test__loop_callback 'test__hub*')

# An environment like the one for PYTHON, with a debug build, and this folder's tests for what RIATA_SWITCHING names.
.PHONY: $(VENV)/debug
$(VENV)/debug: environment
	$(CARGO) build --locked -p riata-python
	rm -rf $(VENV)/debug
	$(PYTHON) -m venv --without-pip $(VENV)/debug
	rest=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	    site=$$($(VENV)/debug/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	    printf '%s\n' "$$rest" "$(CURDIR)" \
	        'import os; name = os.environ.get("RIATA_SWITCHING"); name and __import__(name)' > "$$site/rest.pth"; \
	    cp -r python/riata "$$site"; \
	    cp $(CARGO_TARGET_DIR)/debug/lib_native.so "$$site/riata/_native.so"

.PHONY: soak
soak: build ## everything a loop does at random, for two minutes: nothing lost, nothing kept; ARGS="--seconds 3600 --seed 7"
	$(BIN)/python -m tests.soak $(ARGS)

.PHONY: bench
bench: build $(VENV)/bench ## how fast riata is beside other loops, into docs/benchmarks; ARGS=--quick is short
	cargo build --quiet --release --locked -p riata-engine --example echo_load --example udp_load --example echo_server
	cargo build --quiet --release --locked --manifest-path benches/tls/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/benches
	$(BIN)/python -m benches --tools $(CARGO_TARGET_DIR)/release/examples \
	    --tls-load $(CARGO_TARGET_DIR)/benches/release/tls_load $(ARGS)

.PHONY: bench-gevent
bench-gevent: build ## gevent on riata's loop beside gevent on libev, by CPU time; ARGS="--only sleep --rounds 3"
	$(BIN)/python -m benches.greenlets $(ARGS)

.PHONY: bench-unblock
bench-unblock: build ## how long blocking calls hold a loop under riata.unblock(): the worst gap of a ticker beside 50 of each
	$(BIN)/python -m benches.unblocked

.PHONY: bench-rust
bench-rust: ## how fast the Rust door is beside tokio, smol and monoio; ARGS=--quick is short
	cargo build --quiet --release --manifest-path benches/rust/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/benches
	ulimit -n $$(ulimit -Hn); $(CARGO_TARGET_DIR)/benches/release/riata-benches $(ARGS)

.PHONY: build
build: environment $(VENV)/installed ## build riata and install it into the environment

.PHONY: environment
environment: $(VENV)/ready ## the environment for PYTHON, without riata
	@if [ -e .venv ] && [ ! -L .venv ]; then \
	    echo "make: .venv is not the link that this Makefile keeps there; move it away" >&2; exit 1; fi
	@[ "$$(readlink .venv)" = $(VENV) ] || ln -sfn $(VENV) .venv

$(VENV)/ready: requirements-dev.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/bench: requirements-bench.txt $(VENV)/ready
	$(BIN)/python -m pip install --quiet -r requirements-bench.txt
	@touch $@

# Apart from the rest: what builds pages has nothing to do with what runs.
$(VENV)/docs: requirements-docs.txt
	rm -rf $@
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet -r requirements-docs.txt || { rm -rf $@; false; }

$(VENV)/recipes: requirements-recipes.txt
	rm -rf $@
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet -r requirements-recipes.txt || { rm -rf $@; false; }

$(VENV)/types: requirements-types.txt $(VENV)/ready
	$(BIN)/python -m pip install --quiet -r requirements-types.txt
	@touch $@

$(VENV)/installed: $(VENV)/ready $(SOURCES)
	rm -rf $(VENV)/wheel
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/$(KEY) $(BIN)/maturin build --release --locked \
	    --interpreter $(BIN)/python --compatibility linux --out $(VENV)/wheel
	$(BIN)/python -m pip install --quiet --no-index --no-deps --force-reinstall $(VENV)/wheel/*.whl
	@touch $@

.PHONY: clean
clean: ## remove the environments and everything built
	rm -rf .venv .venvs target .mypy_cache .ruff_cache .pytest_cache
