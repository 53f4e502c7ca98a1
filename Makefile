# The table of contents one can run. `make setup` is implied by all others.
.PHONY: setup demo test test-slow check format conformance load bench figures docs constraints clean

PYTHON ?= python3.11
BIN := .venv/bin

setup: .venv/ready  ## install everything into .venv

.venv/ready: pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || python3 -m venv --clear .venv
	@echo "installing into .venv: some minutes, about 2 GB"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## serve, check, estimate, tune the bundled model, and compare before and after
	$(BIN)/python examples/demo.py

test: setup  ## the tests that fit in ten minutes on two cores
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: setup  ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

check: setup  ## style, types, layers and sizes, in under a minute
	$(BIN)/ruff format --check src tests examples recipes rescue bench
	$(BIN)/ruff check src tests examples recipes rescue bench
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_house.py

format: setup  ## let ruff write what `check` asks for
	$(BIN)/ruff format src tests examples recipes rescue bench
	$(BIN)/ruff check --fix src tests examples recipes rescue bench

conformance: setup  ## the official clients' own tests against a real server; ARGS='files -- -k create' for some
	$(BIN)/python -m pytest -q tests/conformance
	PYTHONPATH=tests $(BIN)/python -m conformance $(ARGS)

load: setup  ## the server under load, as ratios to a server that does nothing; ARGS=--quick for the short form
	PYTHONPATH=tests $(BIN)/python -m load $(ARGS)

docs: setup  ## write the parts of pages that are generated
	PYTHONPATH=tests $(BIN)/python -m conformance.compatibility

bench: setup  ## measure against the peers on a quiet machine; ARGS=--quick for the short form
	for shape in tiny 135m; do $(BIN)/python -m bench sft --shape $$shape --sweep $(ARGS) || exit 1; \
	  for name in sft dpo; do $(BIN)/python -m bench $$name --shape $$shape $(ARGS) \
	    --json docs/figures/$$name-$$shape.json || exit 1; done; done
	for name in prefix grpo jobs turnaround serve data roofline; do \
	  $(BIN)/python -m bench $$name $(ARGS) --json docs/figures/$$name.json || exit 1; done

figures: setup  ## what tuning changes, measured by slow tests and kept in docs/figures
	AFINA_FIGURES=1 $(BIN)/python -m pytest -m slow tests/e2e/test_real_pairs.py tests/e2e/test_countdown.py

constraints:  ## resolve the newest versions into constraints.txt, for every platform
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --quiet --output-file constraints.txt pyproject.toml

clean:  ## forget what was built
	rm -rf .venv build dist .pytest_cache .ruff_cache
