"""python -m cli.migrations_check: fails when the models have changed and no migration says so."""

import subprocess
import sys

from settings import ROOT


def main() -> None:
    migrations = ROOT / "models" / "migrations"
    before = set(migrations.glob("*.py"))
    made = subprocess.run(
        [sys.executable, "-m", "tortoise", "makemigrations"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for file in set(migrations.glob("*.py")) - before:
        file.unlink()
    if made.returncode or "No changes detected" not in made.stdout:
        sys.stderr.write(f"The models need a migration (tortoise makemigrations):\n{made.stdout}{made.stderr}")
        sys.exit(1)


if __name__ == "__main__":
    main()
