"""Renew the third-party files that the site serves, from npm.

Run `python book/_site/renew_vendor.py` after a change of `VERSION`; it needs
npm and a network. `vendor/versions.json` records what was taken.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"
PACKAGE, VERSION = "mathjax", "3.2.2"
FILES = {
    "package/LICENSE": "LICENSE",
    "package/es5/tex-chtml-full.js": "tex-chtml-full.js",
}
FONTS = "package/es5/"
FONT_FOLDER = "package/es5/output/chtml/fonts/woff-v2/"


def target(member: str) -> str | None:
    """Return where a file of the package goes, or None for nowhere."""
    if member.startswith(FONT_FOLDER):
        return member.removeprefix(FONTS)
    return FILES.get(member)


def main() -> None:
    """Download the package, keep the needed files, record their hashes."""
    folder = VENDOR / PACKAGE
    shutil.rmtree(folder, ignore_errors=True)
    hashes = {}
    with tempfile.TemporaryDirectory() as scratch:
        name = f"{PACKAGE}@{VERSION}"
        command = ["npm", "pack", "--silent", name]
        subprocess.run(command, cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        source = hashlib.sha256(archive.read_bytes()).hexdigest()
        with tarfile.open(archive) as package:
            for member in package.getmembers():
                place = target(member.name)
                content = package.extractfile(member) if place else None
                if place is None or content is None:
                    continue
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                hashes[place] = digest
    record = {
        "package": PACKAGE,
        "version": VERSION,
        "licence": "Apache-2.0",
        "archive_sha256": source,
        "files_sha256": dict(sorted(hashes.items())),
    }
    text = json.dumps({PACKAGE: record}, indent=1) + "\n"
    (VENDOR / "versions.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
