"""From an effect with its interval to a verdict, and the ledger of all.

- `claims`: all statements of the papers, each a `Claim`;
- `estimate`, `jackknife`, `bootstrap`, `mean`, `share`, `gap`, `trend`,
  `across`, `interval`, `curve`, `infer`: an `Estimate`, and `smallest` or
  `largest` of several, see `helpers.intervals`;
- `test`: judge a claim by its effect, or say why a run cannot;
- `judge`: compare an estimate with border and margin of its claim: a
  `Verdict`, one of `VERDICTS` (`HOLDS`, `UNTRAINED_TOO`, `NO_EFFECT`,
  `FAILS`, `REFUTED`, `UNDECIDED`, `NOT_MEASURABLE`);
- `learned`, `less_data_costs`, `equal_training`, `local_heads`: whether models
  had the treatment that a claim is about: a `Gate`;
- `not_measurable`: the verdict of a claim that was not measured;
- `show`: put verdicts on the page and into the ledger;
- `protocol`: whose experiment a page ran: exact, proxy or lab;
- `by_chance`: how many verdicts chance would give;
- `by_paper`: a line on each paper;
- `by_length`: effects against the length of the trainings;
- `ledger`: what the run that executes this page has found so far;
- `table`: verdicts joined with what is claimed; `judged`: those of all claims;
- `beside_published`: values of others beside those of a run;
- `verdicts_in`: the verdicts of an executed notebook.
"""

from helpers.claims.gates import (
    Gate,
    equal_training,
    learned,
    less_data_costs,
    local_heads,
)
from helpers.claims.ledger import judged, ledger, show, table, verdicts_in
from helpers.claims.multiplicity import by_chance
from helpers.claims.protocols import protocol
from helpers.claims.published_values import beside as beside_published
from helpers.claims.statements import Claim, claims
from helpers.claims.summaries import by_length, by_paper
from helpers.claims.verdicts import (
    FAILS,
    HOLDS,
    NO_EFFECT,
    NOT_MEASURABLE,
    REFUTED,
    UNDECIDED,
    UNTRAINED_TOO,
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
    infer,
    interval,
    jackknife,
    largest,
    mean,
    share,
    smallest,
    trend,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "NOT_MEASURABLE",
    "NO_EFFECT",
    "REFUTED",
    "UNDECIDED",
    "UNTRAINED_TOO",
    "VERDICTS",
    "Claim",
    "Estimate",
    "Gate",
    "Verdict",
    "across",
    "beside_published",
    "bootstrap",
    "by_chance",
    "by_length",
    "by_paper",
    "claims",
    "curve",
    "equal_training",
    "estimate",
    "gap",
    "infer",
    "interval",
    "jackknife",
    "judge",
    "judged",
    "largest",
    "learned",
    "ledger",
    "less_data_costs",
    "local_heads",
    "mean",
    "not_measurable",
    "protocol",
    "share",
    "show",
    "smallest",
    "table",
    "test",
    "trend",
    "verdicts_in",
]
