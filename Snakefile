# A sweep on a cluster, a job a cell:
#
#     snakemake --cores 8 --config pages=ssl_structure \
#         over="reconstructive=lab/mae,lab/dino seed=0,1"
#
# `pages` and `over` are those of `vitscope sweep`, separated by blanks. Also:
# edition (lab), table (_build/sweeps/sweep.csv), threads of a cell (4).
import shlex
import sys

from helpers import editions
from helpers.editions import cells


workdir: workflow.basedir


PAGES = shlex.split(config["pages"])
OVER = shlex.split(config.get("over", ""))
EDITION = config.get("edition", editions.DEFAULT)
WORDS = [*PAGES, "--edition", EDITION, *(f"--over={text}" for text in OVER)]
SWEEP = shlex.join([sys.executable, "-m", "helpers", "sweep", *WORDS])
CELLS = cells.cells(editions.load(EDITION, Path()), Path(), PAGES, OVER)


rule table:
    input: [str(cell.result) for cell in CELLS]
    output: config.get("table", "_build/sweeps/sweep.csv")
    params: sweep=SWEEP
    shell: "{params.sweep} --plan --table {output:q}"


rule cell:
    output: "_build/sweeps/{page}/{name}/executed/{page}.ipynb"
    params: sweep=SWEEP
    threads: config.get("threads", 4)
    shell: "{params.sweep} --jobs 1 --only {wildcards.name:q}"
