"""The command `planner`. The rooms are imported from this folder, before any library that has the same name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    from cli import main as run  # after the line above, which decides where `cli` is found

    run()


if __name__ == "__main__":
    main()
