"""The npm package that the explorer is made of. Its files are not committed: install.py brings them, by this hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "files"


@dataclass(frozen=True)
class Package:
    """`integrity` is the package's SHA-512 as npm writes it; `files` maps a path in the package to the name here."""

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]

    def folder(self, root: Path) -> Path:
        return root / self.version

    def is_in(self, root: Path) -> bool:
        folder = self.folder(root)
        return all((folder / name).is_file() and (folder / f"{name}.gz").is_file() for name in self.files.values())


# GraphiQL 5 in one file, with its editor and the editor's workers: it names no other machine. MIT.
# A newer one: change the version, and take its integrity from `npm view @graphql-yoga/graphiql dist.integrity`.
GRAPHIQL = Package(
    name="@graphql-yoga/graphiql",
    version="4.5.0",
    integrity="sha512-mer2/6RUdSGxNXCcE2dccKjDvcvj4DxIdYDKkggS3ltHc/MenhdBwBr/fwMreC7mqTBtn25a/q9e2Hdn36WNJg==",
    files={
        "LICENSE": "LICENSE.txt",
        "dist/graphiql.css": "graphiql.css",
        "dist/yoga-graphiql.umd.js": "graphiql.js",
        "dist/monacoeditorwork/editor.worker.bundle.js": "editor.worker.js",
        "dist/monacoeditorwork/graphql.worker..bundle.js": "graphql.worker.js",
        "dist/monacoeditorwork/json.worker.bundle.js": "json.worker.js",
    },
)
