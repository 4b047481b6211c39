"""An edition becomes executed pages and a site.

- `Edition`: a title and parameter values;
- `names`, `load`: the editions there are, and one of them;
- `amend`: an edition of one's own, from parameters given as text;
- `Job`, `plan`: the pages of an edition, their parameters checked;
- `select`: tell editions from pages on the command line;
- `sources`: the pages that have code;
- `DEFAULT`: the edition that is run when none is named.

Pages do not use this package.
"""

from helpers.editions.edition import DEFAULT, Edition, load, names
from helpers.editions.jobs import Job, amend, plan, select, sources

__all__ = [
    "DEFAULT",
    "Edition",
    "Job",
    "amend",
    "load",
    "names",
    "plan",
    "select",
    "sources",
]
