# `make run` shows the pipeline on real health records; `make test` proves it. Both set up what they need first.
PYTHON ?= python3.11
VENV   ?= .venv
ready   = $(VENV)/.ready

.PHONY: run test test-all up lint clean

run: $(ready)
	$(VENV)/bin/troth run life

# The fast tests; with CI=true in the environment, the slow ones too, which mostly wait for one another's processes.
# What was skipped, as where there is no browser, is listed with its reason.
all = -n 3 --dist loadfile --no-loadscope-reorder -rs

test: $(ready)
	$(VENV)/bin/python -m pytest $(if $(CI),$(all),-m "not slow")

test-all: $(ready)
	$(VENV)/bin/python -m pytest $(all)

up: $(ready)
	$(VENV)/bin/troth up

lint: $(ready)
	$(VENV)/bin/ruff check .

clean:
	rm -rf $(VENV) .troth build *.egg-info

$(ready): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Troth needs Python 3.11; set PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
