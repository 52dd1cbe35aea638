# make demo    set up, train a detector on drawn scenes, test it, run it on images
# make test    set up, run every test but the slow ones
# make test-weaker  a tenth of them as weaker machines run it
# make matrix  every backbone with every neck and head, and the table of docs/matrix.md
# make check   lint, format, types, import rules, configs, fast card checks
# make VENV=DIR ... uses another environment (default .venv)

VENV ?= .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough; a shim without a version behind it does not answer.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
DEMO ?= demo
CONFIG := configs/rcnet_retinanet.py

# On two cores the tests run side by side, each on one thread, file by file in their order: by number of tests, which
# is the default, the long files of few tests would come last.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test test-weaker test-slow matrix check check-code check-types check-models format cards clean install

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python: expected 3.11, 3.12 or 3.13 on PATH, found none; install one and run again" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python tools/train.py $(CONFIG) --tiny --work-dir $(DEMO) --overwrite
	$(BIN)/python tools/test.py $(DEMO) --overwrite
	$(BIN)/python tools/infer.py $(DEMO) --out $(DEMO)/infer --overwrite \
		"$$($(BIN)/python -m visionzoo.datasets.tiny 'tiny://coco?train=16&val=8&seed=0')/val2017"
	@echo "The model's boxes are drawn on the images in $(DEMO)/infer/vis"

test: $(INSTALLED)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow"

# A tenth of the fast tests as a machine with fewer instructions or other threads runs them; see the script.
test-weaker: $(INSTALLED)
	$(BIN)/python .ci/weaker_settings.py

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# PART=K/10 runs a tenth of the cells and leaves the table as it is.
matrix: $(INSTALLED)
	$(ONE_THREAD) $(BIN)/visionzoo matrix --overwrite -q --workers $(WORKERS) $(if $(PART),--part $(PART),--markdown docs/matrix.md)

check: check-code check-types check-models

check-code: $(INSTALLED)
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check --quiet . || { echo "some files are not formatted: make format"; exit 1; }
	$(BIN)/lint-imports

check-types: $(INSTALLED)
	$(BIN)/mypy

check-models: $(INSTALLED)
	$(BIN)/visionzoo config check
	$(BIN)/visionzoo cards verify --tier fast

format: $(INSTALLED)
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
