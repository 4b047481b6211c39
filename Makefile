# make book    run the lab edition and build its site
# make test    run every test
# make pdf     the built site as one PDF; needs Chromium and its driver
# make shell   a shell that knows vitscope and papermill
# PYTHON=...   the Python (3.11 or newer) that .venv is made with

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/.ready
HTML := _build/editions/lab/html

.PHONY: book pdf test shell notebooks serve lint bench torture colab clean

book: $(READY)
	$(BIN)/vitscope run lab --jobs 2
	$(BIN)/vitscope build lab

pdf: $(READY)
	@test -f $(HTML)/index.html || $(MAKE) book
	$(BIN)/python -m tests.print_book $(HTML) $(HTML:/html=/book.pdf)

test: $(READY)
	$(BIN)/python -m pytest

# Like `source .venv/bin/activate`, for any shell.
shell: $(READY)
	@echo "vitscope and papermill are found here; leave with exit"
	@VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(CURDIR)/$(BIN):$$PATH" $${SHELL:-sh}

notebooks: $(READY)
	$(BIN)/vitscope notebooks

serve: $(READY)
	@test -f $(HTML)/index.html || $(MAKE) book
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m tests.bench

# Kills, full disks, two runs at once and bad inputs; half an hour.
torture: $(READY)
	$(BIN)/python -m tests.torture

# The notebooks in the oldest runtime of Colab that the book supports.
colab: $(READY)
	$(BIN)/python -m tests.colab

clean:
	rm -rf _build

# Written last, so that an install broken off is done again.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[book,dev]"
	touch $@
