# FreeRelay's commands. Everything is installed into .venv, which may be deleted at any time.
#
#   make run [PORT=8600]           install if need be, then start FreeRelay in the foreground
#   make test [PYTEST_ARGS=...]    install the test extras if need be, then run the whole suite
#   make lint | types | layers     one check each
#   make check                     all of them
#   make screenshots               take the pictures in docs/screenshots
#   make mutation [MUTANTS=...]    change what decides, line by line, and see that a test fails each time (an hour or two)
#   make malformed [REQUESTS=...]  send broken requests to a running server: no 5xx, no hang, no stall (some minutes)
#   make fuzz [EXAMPLES=...]       send what the OpenAPI document allows and forbids: only answers that it foresees (a minute)
#   make faults                    10,000 requests through providers of which half are ill; OpenAI's client on broken streams;
#                                  the cheapest provider browned out, and all of them down; clients that leave,
#                                  and clients that read or send nothing (some minutes)
#   make restarts [LIMIT_S=30]     stop a server with 500 streams open; restart two in turn behind haproxy (a minute)
#   make outage                    PostgreSQL killed, stalled and slow under load; clients that leave by the thousand
#   make lock                      renew the locked requirements from pyproject.toml
#
# PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3

.PHONY: run test lint types layers check screenshots mutation malformed fuzz faults restarts outage lock

# The names of the stamps say what was installed, so nothing is installed twice and nothing stale is kept: another
# interpreter or a moved checkout makes a new .venv, a changed lock or a changed way to install it installs again.
python_version := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3] if sys.version_info >= (3, 11) else "")' 2>/dev/null)
checksum = $(firstword $(shell $(1) | cksum))
venv := .venv/python-$(python_version)-$(call checksum,pwd)
for_run := .venv/run-$(call checksum,cat Makefile requirements.txt)
for_test := .venv/test-$(call checksum,cat Makefile requirements-test.txt)
in_venv := .venv/bin/python -m
export PIP_DISABLE_PIP_VERSION_CHECK := 1

run: $(for_run)
	@exec .venv/bin/freerelay serve $(if $(PORT),--port $(PORT))

# Each process keeps a run of neighbouring files, which share servers and browsers, and takes from the others at the end.
# Three, because a test waits for servers and browsers as long as it computes: on two cores two take 15 % longer.
test: $(for_test)
	$(in_venv) pytest --numprocesses 3 --dist worksteal $(PYTEST_ARGS)

lint: $(for_test)
	$(in_venv) ruff check .
	$(in_venv) ruff format --check .

types: $(for_test)
	$(in_venv) mypy

layers: $(for_test)
	.venv/bin/lint-imports

check: lint types layers test

screenshots: $(for_test)
	.venv/bin/python docs/take_screenshots.py

# Not in the lock: nobody else needs it. `.venv/bin/mutmut show NAME` prints a mutant that no test noticed.
mutation: $(for_test)
	$(in_venv) pip install --quiet mutmut==3.8.1
	.venv/bin/mutmut run --max-children 2 $(MUTANTS)
	.venv/bin/mutmut results

malformed: $(for_run)
	.venv/bin/python benchmarks/malformed.py $(if $(REQUESTS),--requests $(REQUESTS))

# Apart from the lock and in an environment of its own: it would change the versions of what it tests.
fuzz_version := 4.32.5
for_fuzz := .venv-fuzz/schemathesis-$(fuzz_version)

fuzz: $(for_run) $(for_fuzz)
	.venv/bin/python benchmarks/fuzz.py --schemathesis .venv-fuzz/bin/schemathesis $(if $(EXAMPLES),--examples $(EXAMPLES))

$(for_fuzz):
	@$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet schemathesis==$(fuzz_version)
	@touch $@

faults: $(for_test)
	.venv/bin/python benchmarks/faults.py
	.venv/bin/python benchmarks/brownout.py
	.venv/bin/python benchmarks/disconnect.py
	.venv/bin/python benchmarks/slow_clients.py

restarts: $(for_test)
	.venv/bin/python benchmarks/drain.py $(if $(LIMIT_S),--limit-s $(LIMIT_S))

outage: $(for_test)
	.venv/bin/python benchmarks/outage.py

# One lock for every platform and Python from 3.11 on, with hashes. It names packages, never where they were found.
compile = $(in_venv) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: $(for_test)
	$(in_venv) pip install --quiet --require-hashes --requirement requirements-installer.txt
	$(compile) --output-file requirements.txt pyproject.toml
	$(compile) --output-file requirements-test.txt --constraint requirements.txt --group test pyproject.toml
	$(compile) --output-file requirements-installer.txt --group installer

$(for_run): $(venv)
	$(call install,requirements.txt)

$(for_test): $(venv)
	$(call install,requirements-test.txt)

$(venv):
	@test -n "$(python_version)" || { echo "FreeRelay needs Python 3.11 or newer, and '$(PYTHON)' is not: name another one with PYTHON=python3.12." >&2; exit 1; }
	@echo "Making .venv for Python $(python_version)" >&2
	@$(PYTHON) -m venv --clear .venv || { echo "'$(PYTHON) -m venv' must work first; on Debian: apt-get install python3-venv." >&2; exit 1; }
	@touch $@

# Installs the locked file $(1) and the command `freerelay`. uv takes 9 s where pip takes 40, so: the machine's own uv, or
# one in .venv; where neither works (no uv for the platform, a certificate that only pip knows) pip does it all.
# The path file makes the checkout importable from any folder.
define install
	@echo "Installing $(1) (150 MB are downloaded the first time)" >&2
	@if uv --version >/dev/null 2>&1; then uv=uv; else uv="$(in_venv) uv"; \
		$(in_venv) pip install --quiet --require-hashes --requirement requirements-installer.txt || uv=false; fi; \
	$$uv pip install --quiet --python .venv/bin/python --compile-bytecode $(locked) --requirement $(1) || \
	{ echo "Installing with pip instead" >&2; $(in_venv) pip install --quiet $(locked) --requirement $(1); }
	@.venv/bin/python -c 'import os, sysconfig; open(sysconfig.get_path("purelib") + "/freerelay.pth", "w").write(os.getcwd())'
	@printf '#!/bin/sh\nexec "%s/.venv/bin/python" -P -m freerelay_core.cli "$$@"\n' "$$(pwd)" > .venv/bin/freerelay
	@chmod +x .venv/bin/freerelay
	@touch $@
endef
locked := --require-hashes --no-deps
