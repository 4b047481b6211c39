"""From an effect with its interval to a verdict, and the ledger of all.

- `claims`: all statements of the papers, each a `Claim`;
- `estimate`, `jackknife`, `bootstrap`, `mean`, `share`, `gap`, `trend`,
  `across`, `interval`, `curve`: an `Estimate`, see `helpers.intervals`;
- `judge`: compare an effect with the border of its claim: a `Verdict`, one of
  `VERDICTS` (`HOLDS`, `FAILS`, `UNDECIDED`, `NOT_MEASURABLE`);
- `test`: judge a claim by its effect, or say why a run cannot;
- `not_measurable`: the verdict of a claim that was not measured;
- `show`: put verdicts on the page and into the ledger;
- `ledger`: what the run that executes this page has found so far;
- `table`: verdicts joined with what is claimed;
- `verdicts_in`: the verdicts of an executed notebook.
"""

from helpers.claims.ledger import ledger, show, table, verdicts_in
from helpers.claims.statements import Claim, claims
from helpers.claims.verdicts import (
    FAILS,
    HOLDS,
    NOT_MEASURABLE,
    UNDECIDED,
    VERDICTS,
    Verdict,
    judge,
    not_measurable,
    test,
)
from helpers.intervals import (
    Estimate,
    across,
    bootstrap,
    curve,
    estimate,
    gap,
    interval,
    jackknife,
    mean,
    share,
    trend,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "NOT_MEASURABLE",
    "UNDECIDED",
    "VERDICTS",
    "Claim",
    "Estimate",
    "Verdict",
    "across",
    "bootstrap",
    "claims",
    "curve",
    "estimate",
    "gap",
    "interval",
    "jackknife",
    "judge",
    "ledger",
    "mean",
    "not_measurable",
    "share",
    "show",
    "table",
    "test",
    "trend",
    "verdicts_in",
]
