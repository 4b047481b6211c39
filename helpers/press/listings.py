"""What the command line lists, as text in columns."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers import editions
from helpers.choices import unknown
from helpers.editions import Edition
from helpers.press import notebooks, parameters, results


def table(rows: Iterable[Sequence[object]]) -> str:
    """Write rows in columns; the first row is the head."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True))
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in lines)


def plan(edition: Edition, root: Path, pages: Sequence[str]) -> str:
    """List what a run would do with each page, and why.

    Args:
        edition: what would run.
        root: the checkout.
        pages: only these; all of them when empty.
    """
    folder = edition.folder(root)
    jobs = editions.plan(edition, root, pages)
    rows = results.ledger(edition, folder, jobs)["pages"]
    lines = [("page", "", "last", "parameters")]
    for job in jobs:
        if not pages or job.page in pages:
            why = ", ".join(results.changes(folder, job, rows))
            seconds = results.record(folder, job).get("seconds")
            values = [f"{k}={v!r}" for k, v in job.overrides.items()]
            state = f"run: {why}" if why else "up to date"
            last = f"{seconds:.0f} s" if seconds else ""
            lines.append((job.page, state, last, " ".join(values)))
    return table(lines)


def chapters(root: Path) -> str:
    """List the pages with their titles and parameters."""
    code = editions.sources(root)
    lines = []
    for page, source in notebooks.contents(root).items():
        lines.append(f"{page}: {notebooks.title(source)}")
        if page in code:
            lines += [
                f"    {own.name}: {own.kind} = {own.default!r}  # {own.help}"
                for own in parameters.of(code[page][1], page).values()
            ]
    return "\n".join(lines)


def zoo() -> str:
    """List the bundled models with their size and accuracies."""
    from helpers.zoo import cards

    lines = [("model", "parameters", "garments: kNN", "linear", "")]
    for name, card in cards().items():
        knn, linear = (
            f"{card['accuracy'][probe]['garment']:.1%}"
            for probe in ("knn", "linear")
        )
        size = f"{card['parameters']:,}"
        draft = "draft" if card["draft"] else ""
        lines.append((f"lab/{name}", size, knn, linear, draft))
    return (
        f"{table(lines)}\n\n{_releases()}\n\n"
        "Also any timm name (`vitscope models vit_small` searches),\n"
        "NAME?random for untrained weights, NAME@FILE for a checkpoint."
    )


def _releases() -> str:
    """List the authors' checkpoints with size, accuracy and licence."""
    from helpers.releases import RELEASES

    lines = [("model", "download", "ImageNet", "licence", "")]
    for name, release in RELEASES.items():
        lines.append(
            (
                f"release/{name}",
                f"about {release.megabytes} MB",
                f"{release.top1:.1f}%" if release.top1 else "",
                release.terms,
                release.title,
            )
        )
    return table(lines)


def timm_models(pattern: str) -> str:
    """List the timm models whose name holds `pattern`.

    Raises:
        ValueError: there is none; names the nearest.
    """
    import timm

    found = timm.list_models(f"*{pattern}*")
    if not found:
        raise unknown("timm model", pattern, timm.list_models())
    tagged = timm.list_models(f"*{pattern}*", pretrained=True)
    return "\n".join(sorted({*found, *tagged}))


def datasets() -> str:
    """List the image sets with their sizes and licences."""
    from helpers import images, wardrobe

    lines: list[tuple[str, ...]] = [
        ("images", "classes", "train", "test", "licence")
    ]
    for spec in ("wardrobe", *images.BUNDLED):
        train, test = (images.load(spec, split) for split in images.SPLITS)
        sizes = (len(test.class_names), len(train), len(test))
        lines.append((spec, *map(str, sizes), test.licence))
    variants = ", ".join(v for v in wardrobe.VARIANTS if v != "none")
    return (
        f"{table(lines)}\n\nwardrobe:<variant>, one of {variants}\n"
        "folder:<path>, one folder a class; parquet:<path>"
    )


def claims(edition: Edition, root: Path) -> str:
    """List every claim with its verdict in the ledger of an edition."""
    from helpers.claims import claims as stated

    path = edition.folder(root) / "ledger.json"
    pages = {}
    if path.is_file():
        pages = json.loads(path.read_text("utf-8"))["pages"]
    verdicts = {
        row["claim"]: row
        for page in pages.values()
        for row in page["verdicts"]
    }
    lines = [("claim", "verdict", "effect", "page")]
    for name, claim in stated().items():
        row = verdicts.get(name, {})
        effect = ""
        if row.get("effect") is not None:
            low, high = f"{row['low']:.3f}", f"{row['high']:.3f}"
            effect = f"{row['effect']:.3f} [{low}, {high}]"
        verdict = row.get("verdict", "not run")
        lines.append((name, verdict, effect, claim.page))
    return table(lines)
