"""What the command line lists, as text in columns.

All but the search in timm do without torch, which takes seconds to load.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helpers.editions.jobs as jobs
import helpers.editions.notebooks as notebooks
import helpers.editions.parameters as parameters
from helpers.editions.columns import effect, table
from helpers.editions.edition import Edition
from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA, runs

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = (
    ("wardrobe", 100, 50_000, 10_240, "", "MIT (Fashion-MNIST, Zalando SE)"),
    ("digits", 10, 1_438, 359, "", "CC BY 4.0"),
    ("fashion_mnist", 10, 16_000, 4_000, "", "MIT"),
)
"""The bundled image sets, their classes and sizes; a test counts them."""
VARIANTS = ("unseen_fabrics", "unseen_backgrounds", "no_background", "sketch")
CORRUPTIONS = (
    "contrast-3", "gaussian_noise-3", "motion_blur-3", "snow-3",
    "speckle_noise-3",
)  # fmt: skip


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
    """List the bundled models, those trained here and those released.

    Their cards are read as they lie there, without torch.
    """
    from helpers.models.releases import RELEASES

    lines = [("model", "parameters", "garments: kNN", "linear", "")]
    lines += [
        (f"lab/{name}", f"{card['parameters']:,}", *_scores(card, "garment"))
        for name, card in _cards(DATA / "zoo").items()
    ]
    natural = [("model", "classes: kNN", "linear", "")]
    natural += [
        (name, *_scores(card, "class"))
        for name, card in _cards(runs() / "natural" / "zoo").items()
    ]
    released = [("model", "download", "ImageNet", "licence", "")]
    released += [
        (
            f"release/{name}",
            f"about {release.megabytes} MB",
            f"{release.top1:.1f}%" if release.top1 else "",
            release.terms,
            release.title,
        )
        for name, release in RELEASES.items()
    ]
    none = "natural/NAME: `vitscope train natural` trains these"
    parts = [
        table(lines),
        table(natural) if len(natural) > 1 else none,
        table(released),
        "Also any timm name (`vitscope models vit_small` searches),\n"
        "NAME?random for untrained weights, NAME@FILE for a checkpoint.",
    ]
    return "\n\n".join(parts)


def _cards(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "zoo.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _scores(card: dict[str, Any], target: str) -> tuple[str, str, str]:
    knn, linear = (
        f"{card['accuracy'][probe][target]:.1%}" for probe in ("knn", "linear")
    )
    return knn, linear, "draft" if card["draft"] else ""


def timm_models(pattern: str) -> str:
    """List the timm models whose name holds `pattern`; this brings torch.

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
    """List the image sets with their sizes and licences, without torch."""
    from helpers.images import hub, torchvision

    lines: list[tuple[object, ...]] = [
        ("images", "classes", "train", "test", "download", "licence")
    ]
    lines += BUNDLED
    for name, known in hub.ALIASES.items():
        sizes = (known.classes, known.train, known.test)
        lines.append((name, *sizes, f"{known.gigabytes} GB", known.licence))
    more = [("torchvision", "download", "licence")] + [
        (f"torchvision:{name}", f"{known.gigabytes} GB", known.licence)
        for name, known in torchvision.READERS.items()
    ]
    return (
        f"{table(lines)}\n\n{table(more)}\n\n"
        f"wardrobe:<variant>, one of {', '.join(VARIANTS)},\n"
        f"or a severity from 1 to 5: {', '.join(CORRUPTIONS)}\n"
        "folder:<path>, one folder per class; imagenet:<path>, ImageNet's\n"
        "parquet:<path>; hf:<owner>/<name>, parquet files of the hub\n"
        "Any but wardrobe with +<corruption>-<severity>: digits+snow-3\n"
        "Licences as the authors state them; read theirs before use."
    )


def published(pattern: str = "") -> str:
    """List published values of models whose name holds `pattern`.

    Raises:
        ValueError: there is none; names the nearest models.
    """
    from helpers.claims import published_values

    found = published_values.values()
    kept = found[found.model.str.contains(pattern, regex=False)]
    if kept.empty:
        models = dict.fromkeys(found.model)
        raise unknown("model with published values", pattern, models)
    lines = []
    for model, rows in kept.groupby("model", sort=False):
        lines.append(str(model))
        for row in rows.to_dict("records"):
            place = ", ".join(filter(None, (row["tokens"], row["norm"])))
            lines.append(
                f"    {row['measure']:10} {row['value']:.4f}  {place}"
            )
            lines.append(f"        {row['setting']}")
            lines.append(f"        {row['source']}")
    return "\n".join(lines)


def sweep(joined: "pd.DataFrame") -> str:
    """List the joined table of a sweep, effects rounded."""
    swept = [c for c in joined if c not in ("effect", "low", "high", "note")]
    lines: list[list[object]] = [[*swept, "effect"]]
    for row in joined.to_dict("records"):
        values = [row[name] for name in swept]
        shown = ["" if v is None or v != v else v for v in values]
        lines.append([*shown, effect(row)])
    return table(lines)


def claims(edition: Edition, root: Path) -> str:
    """List every claim with its verdict in the ledger of an edition."""
    path = edition.folder(root) / "ledger.json"
    pages = {}
    if path.is_file():
        pages = json.loads(path.read_text("utf-8"))["pages"]
    from helpers import claims as judged

    rows = [row for page in pages.values() for row in page["verdicts"]]
    verdicts = {row["id"]: row for row in judged.table(rows, pages)}
    lines = [("claim", "verdict", "effect", "page")]
    for name, claim in judged.claims().items():
        row = verdicts.get(name, {})
        verdict = row.get("verdict", "not run")
        lines.append((name, verdict, effect(row), claim.page))
    return table(lines)
