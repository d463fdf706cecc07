# Needs make and Python 3.11 or later. What else is needed is put into .tools and .venv, nowhere else.
#
#   make setup    the environment, from uv.lock
#   make demo     the whole system on this machine, with a sample station
#   make test     what CI runs: format, lint, types, tests
#   make servers  what tests need beside Python packages (as root on Debian): a browser and real servers
#   make chaos    200 faults over the distributed bed on real servers (SEED=…, FAULTS=…)
#   make bench-peers  ours, the tutorials' way and eKuiper (built with Go) on the same packets, after make servers
#   make bundle   an archive from which it installs without any network, into dist
#   make week     a simulated week of 200 lifts, 50 pump rooms and 100 homes, scored
#
# Kept to what make 3.81 knows, which is what macOS ships.

# Where setup looks for a Python: the first of 3.11 to 3.14, for which every package has a wheel, else the
# first that is later. `make setup PYTHON=…` names another.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python
SEED ?= 1
FAULTS ?= 200
UV_VERSION = 0.13.9
CODE = zhiwei ingest streams models scenarios alerts simulators bench tests

BIN = .venv/bin

.PHONY: help setup demo servers test check lint format soak chaos week bench bench-peers bundle clean

help:
	@sed -n 's/^#   //p' Makefile

# A uv on PATH is used; else a pinned one is installed into .tools by pip, once.
setup:
	@set -e; \
	python=; \
	for below in 15 1000; do \
		for candidate in $(PYTHON); do \
			if [ -z "$$python" ] && "$$candidate" -c \
				"import sys; sys.exit(not (3, 11) <= sys.version_info < (3, $$below))" >/dev/null 2>&1; then \
				python=$$(command -v "$$candidate"); \
			fi; \
		done; \
	done; \
	if [ -z "$$python" ]; then \
		found=$$(python3 --version 2>&1) || found="no python3"; \
		echo "Zhiwei needs Python 3.11 or later; found here: $$found." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	if command -v uv >/dev/null 2>&1; then \
		uv=uv; \
	else \
		uv=.tools/uv-$(UV_VERSION)/bin/uv; \
		if [ ! -x "$$uv" ]; then \
			rm -rf .tools/uv-$(UV_VERSION); \
			if ! "$$python" -m venv .tools/uv-$(UV_VERSION); then \
				rm -rf .tools/uv-$(UV_VERSION); \
				echo "$$python has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; \
				exit 1; \
			fi; \
			.tools/uv-$(UV_VERSION)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
		fi; \
	fi; \
	if [ -x $(BIN)/python ]; then \
		UV_PROJECT_ENVIRONMENT=.venv "$$uv" sync --frozen --quiet; \
	else \
		echo "setting up .venv, once"; \
		UV_PROJECT_ENVIRONMENT=.venv "$$uv" sync --frozen --python "$$python"; \
	fi

demo: setup
	@$(BIN)/zhiwei up --demo

servers:
	@tests/servers/install.sh

# pytest comes last: its closing line is the last line printed.
test: check
	@echo "Not run by make test: the long campaigns (make soak)."
	@$(BIN)/python -m pytest -m "not soak"

check: setup lint
	@echo "types: mypy"
	@$(BIN)/mypy

lint: setup
	@echo "format: ruff format --check"
	@$(BIN)/ruff format --check $(CODE)
	@echo "lint: ruff check"
	@$(BIN)/ruff check $(CODE)

format: setup
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

soak: setup
	@$(BIN)/python -m pytest -m soak

chaos: setup
	@$(BIN)/python -m bench.chaos --seed $(SEED) --faults $(FAULTS)

week: setup
	@$(BIN)/python -m bench.week

bench: setup
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.city

# 75 s at a rate: an entrapment is complete after 45.
bench-peers: setup
	@bench/ekuiper.sh
	@$(BIN)/python -m bench.city peers --seconds 75

bundle: setup
	@uv=$$(command -v uv || echo .tools/uv-$(UV_VERSION)/bin/uv); \
	deploy/bundle.sh "$$uv" "$$PWD/$(BIN)/python"

# All that make made; data/ is yours and stays.
clean:
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
