# The few commands that one needs. `make demo` and `make test` do all set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-slow lint types docs bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The main job, start to end, on 1,797 real pictures: data, split, training, evaluation, curves.
demo: $(READY)
	@test -d data/digits_raw || $(BIN)/cnntrain data digits data/digits_raw
	$(BIN)/cnntrain split data/digits_raw data/digits --ratios 0.7,0.15,0.15 --overwrite
	$(BIN)/cnntrain fit configs/digits.yaml --overwrite
	$(BIN)/cnntrain evaluate runs/digits
	$(BIN)/cnntrain plot runs/digits

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -n auto --dist load

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

# The parts of docs/ that are made from the code.
docs: $(READY)
	$(BIN)/python -m cnntrain.config.reference > docs/configuration.md

# The short comparisons, an hour on two cores; benchmarks/README.md names the long ones.
bench: $(READY)
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.first_batch --rounds 5
	$(BIN)/python -m benchmarks.training_step --rounds 3
	$(BIN)/python -m benchmarks.epoch --images 320 --rounds 3
	$(BIN)/python -m benchmarks.augmentation
	$(BIN)/python -m benchmarks.answering
	$(BIN)/python -m benchmarks.feature_pass
	$(BIN)/python -m benchmarks.bank_steps --rounds 3
	$(BIN)/python -m benchmarks.bank_memory
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.scanning
	$(BIN)/python -m benchmarks.splitting
	$(BIN)/python -m benchmarks.pipeline_scale

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
