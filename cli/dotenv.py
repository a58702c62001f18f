"""python -m cli.dotenv: writes .env from .env.example with a fresh secret, where there is none."""

import os
import secrets
import sys
from pathlib import Path

from settings import ROOT


def write(folder: Path) -> bool:
    """Whether it wrote the folder's .env; one that is there stays as it is."""
    text = (folder / ".env.example").read_text(encoding="utf-8")
    assert "\nSECRET_KEY=\n" in text  # noqa: S101 - a slip in .env.example would leave the server without a secret
    text = text.replace("\nSECRET_KEY=\n", f"\nSECRET_KEY={secrets.token_urlsafe(48)}\n")
    try:
        file = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # the secret is the owner's alone
    except FileExistsError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as env:
        env.write(text)
    return True


def main() -> None:
    if write(ROOT):
        sys.stdout.write("Wrote .env with a fresh SECRET_KEY.\n")


if __name__ == "__main__":
    main()
