# Targets for installing, running and checking minimoe; `make` alone prints them.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# Workers take file after file in this order: the notebooks first, which last longest.
TESTS ?= notebooks tests
BIN := $(VENV)/bin
COMMA := ,
# One thread for each test worker, unless the caller says otherwise.
THREADS := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1}
# Byte code is kept: without it every process of the tests compiles what it imports again.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $(WORKERS) \
  --dist loadscope --no-loadscope-reorder \
  --nbval --nbval-current-env --nbval-cell-timeout=120

# Environments in which the libraries compute as they would on another processor.
ROWS ?= 1 2 3 4
NOTEBOOKS ?= notebooks
ROW_1 := OMP_NUM_THREADS=1
ROW_2 := OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41
ROW_3 := OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 ONEDNN_MAX_CPU_ISA=AVX2
ROW_4 := OMP_NUM_THREADS=2 MKL_ENABLE_INSTRUCTIONS=AVX2 PYTHONHASHSEED=1

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Another Python or environment: make PYTHON=python3.12 VENV=.venv312 test"
	@echo "  Some tests only:               make TESTS=tests/test_moe.py test"
	@echo "  Some processors only:          make ROWS='2 4' matrix"

run: $(VENV)/base.stamp  ## install, then train dense against sparse and write tour/index.html
	@$(BIN)/minimoe tour

test: $(VENV)/dev.stamp  ## install, then run every test and every notebook
	@$(THREADS) $(PYTEST) $(TESTS)

play: $(VENV)/dev.stamp  ## run every lesson with other settings, guesses and answers
	@WORKERS=$(WORKERS) $(BIN)/python tests/play_notebooks.py

matrix: $(VENV)/dev.stamp  ## run every notebook on four simulated processors
	@failed=; \
	$(foreach row,$(ROWS),$(if $(ROW_$(row)),,$(error ROWS must be some of 1 2 3 4, got $(row))) \
	  echo "row $(row): $(ROW_$(row))"; \
	  env $(ROW_$(row)) $(PYTEST) $(NOTEBOOKS) || failed="$$failed $(row)";) \
	[ -z "$$failed" ] || { echo "FAILED: row$$failed" >&2; exit 1; }

lab: $(VENV)/base.stamp  ## copy the notebooks into lab/, your own, and open them in JupyterLab
	@$(BIN)/minimoe lab

notebooks: $(VENV)/dev.stamp  ## build the notebooks again from notebooks/source
	@$(BIN)/python notebooks/build.py

pages: $(VENV)/dev.stamp  ## write the notebooks as HTML pages that need no network into pages/
	@$(BIN)/python notebooks/pages.py pages

check: $(VENV)/dev.stamp  ## formatter, linter, types, import contract, then make test and play
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory play

clean:  ## remove the environment and every cache
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis dist
	find minimoe notebooks tests -name __pycache__ -prune -exec rm -rf {} +

# A stamp dates the last installation, so that one pyproject.toml is installed only once.
# Byte code is compiled afterwards: for `make run` only what it imports, which saves 40 s; for the
# tests everything, on all cores.
$(VENV)/base.stamp: pyproject.toml
	@$(call install,.)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import matplotlib.pyplot, minimoe, safetensors.torch, tqdm"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml
	@$(call install,.[dev$(COMMA)parity])
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || :
	@touch $(VENV)/base.stamp $@

define install
say() { echo "minimoe: $$*" >&2; exit 1; }; \
$(BIN)/python -c "" 2>/dev/null || { \
  command -v $(PYTHON) >/dev/null 2>&1 \
    || say "no $(PYTHON) found; install Python 3.10 or newer, or name one: make PYTHON=/path/to/python"; \
  $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" \
    || say "Python 3.10 or newer is needed, $(PYTHON) is $$($(PYTHON) -c 'import platform; print(platform.python_version())'); name another: make PYTHON=python3.12"; \
  $(PYTHON) -c "import ensurepip, venv" 2>/dev/null \
    || say "$(PYTHON) has no venv module; on Debian or Ubuntu: apt install python3-venv"; \
  $(PYTHON) -m venv --clear $(VENV) || say "could not make $(VENV)"; \
}; \
echo "installing into $(VENV); the first time takes a minute or more"; \
$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e "$(1)" 2>$(VENV)/install.log || { \
  ! grep -q "No matching distribution found for torch" $(VENV)/install.log \
    || say "torch 2.13.0 has no wheel for this system ($$($(BIN)/python -c 'import platform, sys; print(sys.platform, platform.machine(), "Python", platform.python_version())')); the README says where it has one"; \
  say "the installation failed: $$(grep '^ERROR' $(VENV)/install.log | tail -n 1) (all of it: $(VENV)/install.log)"; \
}
endef

.PHONY: help run test matrix play lab notebooks pages check clean
