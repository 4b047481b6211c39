"""What was tried in a campaign, and what passed."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts by category, and what was wrong."""

    tried: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(
        self, category: str, faults: Iterable[str], count: int = 1
    ) -> None:
        """Note a case; none of its `count` tries passed if it has faults."""
        self.tried[category] = self.tried.get(category, 0) + count
        told = "; ".join(faults)
        self.wrong.setdefault(category, [])
        self.wrong[category] += [told] * count if told else []
        mark = f"FAILED: {told}" if told else "ok"
        print(f"{category}, {self.tried[category]}: {mark}", flush=True)

    def skip(self, category: str, reason: str) -> None:
        """Note that a campaign cannot be had on this machine."""
        self.skipped[category] = reason

    @property
    def failed(self) -> int:
        """The number of tries that did not pass."""
        return sum(map(len, self.wrong.values()))

    def __str__(self) -> str:
        """Return the table."""
        rows = [("category", "tried", "passed", "")]
        rows += [
            (name, str(count), str(count - len(self.wrong[name])), "")
            for name, count in self.tried.items()
        ]
        rows += [
            (name, "0", "0", f"left out: {reason}")
            for name, reason in self.skipped.items()
        ]
        wide = max(len(name) for name, *_ in rows)
        return "\n".join(
            f"{name:{wide}}  {tried:>6}  {passed:>6}  {note}".rstrip()
            for name, tried, passed, note in rows
        )
