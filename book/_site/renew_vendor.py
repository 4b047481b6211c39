"""Renew the third-party files that the site serves, from npm.

Run `python book/_site/renew_vendor.py` after a change of `PACKAGES`; it needs
npm and a network. `vendor/versions.json` records what was taken.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parent / "vendor"


@dataclass(frozen=True)
class Package:
    """What the site needs of a package.

    Attributes:
        name: on npm.
        version: exactly this one.
        licence: its SPDX identifier.
        files: pattern of a path in the package to its place in the folder.
    """

    name: str
    version: str
    licence: str
    files: dict[str, str]

    def place(self, member: str) -> str | None:
        """Return where a file of the package goes, or None for nowhere."""
        path = member.removeprefix("package/")
        for pattern, place in self.files.items():
            if match := re.fullmatch(pattern, path):
                return match.expand(place)
        return None


PACKAGES = {
    "mathjax": Package(
        "mathjax",
        "3.2.2",
        "Apache-2.0",
        {
            "LICENSE": "LICENSE",
            r"es5/(tex-chtml-full\.js)": r"\1",
            r"es5/(output/chtml/fonts/woff-v2/.+)": r"\1",
        },
    ),
    "popper": Package(
        "@popperjs/core",
        "2.11.8",
        "MIT",
        {r"LICENSE\.md": "LICENSE", r"dist/umd/(popper\.min\.js)": r"\1"},
    ),
    "tippy": Package(
        "tippy.js",
        "6.3.7",
        "MIT",
        {"LICENSE": "LICENSE", r"dist/(tippy-bundle\.umd\.min\.js)": r"\1"},
    ),
}
"""Folder in `vendor` to the package that fills it."""


def renew(folder: Path, package: Package) -> dict[str, Any]:
    """Download a package, keep the needed files, and return their hashes."""
    shutil.rmtree(folder, ignore_errors=True)
    hashes = {}
    with tempfile.TemporaryDirectory() as scratch:
        name = f"{package.name}@{package.version}"
        command = ["npm", "pack", "--silent", name]
        subprocess.run(command, cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        source = hashlib.sha256(archive.read_bytes()).hexdigest()
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                place = package.place(member.name)
                content = packed.extractfile(member) if place else None
                if place is None or content is None:
                    continue
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                # A map of the source is for developers and is not served.
                code = re.sub(rb"//# sourceMap.*\n?", b"", content.read())
                path.write_bytes(code)
                hashes[place] = hashlib.sha256(code).hexdigest()
    return {
        "package": package.name,
        "version": package.version,
        "licence": package.licence,
        "archive_sha256": source,
        "files_sha256": dict(sorted(hashes.items())),
    }


def main() -> None:
    """Renew all packages, and the record of them."""
    record = {
        name: renew(VENDOR / name, package)
        for name, package in PACKAGES.items()
    }
    text = json.dumps(record, indent=1) + "\n"
    (VENDOR / "versions.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
