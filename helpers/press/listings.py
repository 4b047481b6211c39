"""What the command line lists, as text in columns."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from helpers import editions
from helpers.choices import unknown
from helpers.editions import Edition, Job
from helpers.press import notebooks, outlook, parameters, results, stock

WIDTH = 79


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
    """List what a run would do with each page, and what that would take.

    Args:
        edition: what would run.
        root: the checkout.
        pages: only these; all of them when empty.
    """
    folder = edition.folder(root)
    jobs = editions.plan(edition, root, pages)
    rows = results.ledger(edition, folder, jobs)["pages"]
    due, text = [], []
    for job in jobs:
        if not pages or job.page in pages:
            why = ", ".join(results.changes(folder, job, rows))
            seconds = results.record(folder, job).get("seconds")
            last = f"; last {seconds:.0f} s" if seconds else ""
            state = f"run: {why}" if why else "up to date"
            text += [f"{job.page}  {state}{last}", *_details(job)]
            due += [job] if why else []
    if not pages:
        text += [
            f"{p}  left out: {why}" for p, why in edition.left_out.items()
        ]
    return "\n".join([*text, "", _totals(due)])


def _details(job: Job) -> Iterator[str]:
    """Say what a page works on, and what it would take."""
    models = outlook.unique(outlook.specs(job, "model spec"))
    images = outlook.unique(outlook.specs(job, "image spec"))
    own = parameters.of(job.notebook, job.page)
    numbers = [
        f"{name}={value!r}"
        for name, value in job.overrides.items()
        if not own[name].help.startswith(("model spec", "image spec"))
    ]
    fetched = gigabytes(sum(item.missing for item in _items([job])))
    needs = outlook.needs(job)
    costs = [
        f"{duration(needs.seconds)}, {gigabytes(needs.device)} of device and "
        f"{gigabytes(needs.main)} of main memory, {fetched} to fetch"
    ]
    lines = {"models": models, "images": images, "set": numbers}
    for name, values in (lines | {"about": costs}).items():
        if values:
            yield textwrap.fill(
                ", ".join(values),
                WIDTH,
                initial_indent=f"    {name:8}",
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )


def _items(jobs: Sequence[Job]) -> list[stock.Item]:
    """List what pages would fetch, each thing once."""
    named = [outlook.unique(outlook.specs(j, "model spec")) for j in jobs]
    asked: dict[str, list[stock.Draw]] = {}
    for job in jobs:
        for draw in outlook.draws(job):
            asked.setdefault(draw.spec, []).append(draw)
    found = [
        stock.of_model(spec, outlook.outline(spec).model.num_parameters)
        for spec in sorted({spec for specs in named for spec in specs})
    ]
    found += [stock.of_images(spec, each) for spec, each in asked.items()]
    return [item for item in found if item]


def _totals(jobs: Sequence[Job]) -> str:
    """Add up what pages would take and fetch."""
    items = _items(jobs)
    lines = [("to fetch", "about", "here", "")]
    for item in items:
        size = "unknown" if item.size is None else gigabytes(item.size)
        here = gigabytes(item.here) if item.here else ""
        lines.append((item.what, size, here, item.note))
    every = [outlook.needs(job) for job in jobs]
    seconds = duration(sum(needs.seconds for needs in every))
    device = gigabytes(max([needs.device for needs in every], default=0))
    main = gigabytes(max([needs.main for needs in every], default=0))
    fetched = gigabytes(sum(item.missing for item in items))
    total = (
        f"{len(jobs)} pages to run, about {seconds} on this machine, one "
        f"after the other;\nat most {device} of device memory and {main} of "
        f"main memory; {fetched} to fetch.\n"
        "These are rough: forward passes at the speed of this machine, "
        "without probes\nand downloads. Allow for a factor of three."
    )
    return "\n\n".join([table(lines), total] if items else [total])


def gigabytes(size: float) -> str:
    """Write a number of bytes to two digits."""
    amount = size / stock.GB
    return f"{amount:.0f} GB" if amount >= 10 else f"{amount:.2g} GB"


def duration(seconds: float) -> str:
    """Write a time to two digits, in the unit that suits it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} s"


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
        f"{table(lines)}\n\n{_natural()}\n\n{_releases()}\n\n"
        "Also any timm name (`vitscope models vit_small` searches),\n"
        "NAME?random for untrained weights, NAME@FILE for a checkpoint."
    )


def _natural() -> str:
    """List the models that were trained on photographs here."""
    from helpers.architectures import NATURAL
    from helpers.zoo import cards

    lines = [("model", "classes: kNN", "linear", "")]
    for name, card in cards(NATURAL).items():
        knn, linear = (
            f"{card['accuracy'][probe]['class']:.1%}"
            for probe in ("knn", "linear")
        )
        lines.append((name, knn, linear, "draft" if card["draft"] else ""))
    if len(lines) == 1:
        return "natural/NAME: `vitscope train natural` trains these"
    return table(lines)


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
    from helpers import hub, images, torchsets, wardrobe

    lines: list[tuple[object, ...]] = [
        ("images", "classes", "train", "test", "download", "licence")
    ]
    for spec in ("wardrobe", *images.BUNDLED):
        train, test = (images.load(spec, split) for split in images.SPLITS)
        sizes = (len(test.class_names), len(train), len(test))
        lines.append((spec, *sizes, "", test.licence))
    for name, known in hub.ALIASES.items():
        sizes = (known.classes, known.train, known.test)
        lines.append((name, *sizes, known.size, known.licence))
    more = [("torchvision", "download", "licence")] + [
        (f"torchvision:{name}", known.size, known.licence)
        for name, known in torchsets.READERS.items()
    ]
    variants = ", ".join(v for v in wardrobe.VARIANTS if v != "none")
    return (
        f"{table(lines)}\n\n{table(more)}\n\n"
        f"wardrobe:<variant>, one of {variants}\n"
        "folder:<path>, one folder a class; imagenet:<path>, ImageNet's\n"
        "parquet:<path>; hf:<owner>/<name>, parquet files of the hub\n"
        "Licences as the authors state them; read theirs before use."
    )


def sweep(joined: pd.DataFrame) -> str:
    """List the joined table of a sweep, effects rounded."""
    swept = [c for c in joined if c not in ("effect", "low", "high", "note")]
    lines: list[list[object]] = [[*swept, "effect"]]
    for row in joined.to_dict("records"):
        values = [row[name] for name in swept]
        effect = ""
        if pd.notna(row["effect"]):
            effect = (
                f"{row['effect']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            )
        lines.append(
            ["" if v is None or v != v else v for v in values] + [effect]
        )
    return table(lines)


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
