"""What the command line lists, as text in columns."""

import json
from pathlib import Path

import pandas as pd

import helpers.editions.jobs as jobs
import helpers.editions.notebooks as notebooks
import helpers.editions.parameters as parameters
from helpers.editions.columns import table
from helpers.editions.edition import Edition
from helpers.runtime.errors import unknown


def chapters(root: Path) -> str:
    """List the pages with their titles and parameters."""
    code = jobs.sources(root)
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
    from helpers.models.zoo import cards

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
    from helpers.lab.architectures import NATURAL
    from helpers.models.zoo import cards

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
    from helpers.models.releases import RELEASES

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
    from helpers import images
    from helpers.images import hub, lab, specs, torchvision
    from helpers.lab import wardrobe

    lines: list[tuple[object, ...]] = [
        ("images", "classes", "train", "test", "download", "licence")
    ]
    for spec in ("wardrobe", *lab.BUNDLED):
        train, test = (images.load(spec, split) for split in specs.SPLITS)
        sizes = (len(test.class_names), len(train), len(test))
        lines.append((spec, *sizes, "", test.licence))
    for name, known in hub.ALIASES.items():
        sizes = (known.classes, known.train, known.test)
        lines.append((name, *sizes, f"{known.gigabytes} GB", known.licence))
    more = [("torchvision", "download", "licence")] + [
        (f"torchvision:{name}", f"{known.gigabytes} GB", known.licence)
        for name, known in torchvision.READERS.items()
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
    from helpers.claims.statements import claims as stated

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
