"""What the documents say is there, is there; what they show, works."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import build_schema, parse, validate
from tortoise import Tortoise

import errors
from cli import commands
from errors import ErrorCode, Refusal
from settings import ROOT, Settings
from tests.conftest import Server
from tests.people import Person

README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DECISION_NAMES = [file.name for file in DECISIONS]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ARCHITECTURE, *DECISIONS, ROOT / "examples" / "README.md"]
MADE_LATER = (".env", ".venv/", "var/")  # by make
PATH = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:py|md|graphql|toml|txt|sh|js|mjs)|\.env\.example|\.ci/run")
WORD = re.compile(r"[\w./:*-]+")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks in that language, also those inside a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def code(document: Path) -> list[str]:
    """What is set as code: spans, and the lines of shell blocks."""
    prose = re.sub(r"^ *```.*?^ *```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(document, "sh") for line in block.splitlines()]
    return [*re.findall(r"`([^`]+)`", prose), *lines]


def test_there_are_documents() -> None:
    names = {file.name for file in DOCUMENTS}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "architecture.md"} <= names
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@each_document
def test_the_files_it_names_are_there(document: Path) -> None:
    rooms = {entry.name for entry in ROOT.iterdir() if entry.is_dir()}
    words = [word.rstrip("/.") for text in code(document) if "://" not in text for word in WORD.findall(text)]
    named = {word for word in words if PATH.fullmatch(word) or word.partition("/")[0] in rooms}

    missing = [
        name
        for name in named - set(DECISION_NAMES)
        if not name.startswith(MADE_LATER) and not list(ROOT.glob(name)) and not list(document.parent.glob(name))
    ]

    assert not missing


@each_document
def test_its_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        path, _, heading = target.partition("#")
        if "://" not in target:
            linked = document.parent / path if path else document
            assert linked.exists(), target
            assert not heading or heading in headings(linked), target


def headings(document: Path) -> set[str]:
    """As GitHub writes them into addresses."""
    found = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@each_document
def test_its_make_targets_and_commands_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    planner = {getattr(command.callback, "__name__", None) for command in commands.registered_commands}
    for text in code(document):
        for tool, known in (("make", targets), ("planner", planner)):
            # At its beginning, behind a path or settings of the environment, or behind another command.
            if used := re.fullmatch(rf"(?:\S+=\S+ |.*&& )*(?:[\w.-]+/)*{tool}((?: [\w=./-]+)+)", text):
                words = [word for word in used[1].split() if "=" not in word and not word.startswith("-")]
                assert set(words) <= known, text


@each_document
def test_its_graphql_fits_the_schema(document: Path) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text("utf-8"))

    for text in blocks(document, "graphql"):
        assert validate(schema, parse(text)) == []


@each_document
def test_its_names_in_capitals_occur_in_the_code(document: Path) -> None:
    """Settings, error codes, variables of the environment."""
    sources = [file for room in ROOT.iterdir() if (room / "__init__.py").exists() for file in room.rglob("*.py")]
    sources += [*ROOT.glob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    known = {name.upper() for name in Settings.model_fields} | set(ErrorCode)
    known |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", "\n".join(file.read_text("utf-8") for file in sources)))

    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", document.read_text("utf-8")))

    assert named <= known


def test_each_decision_has_its_page_and_is_reached() -> None:
    linked = set(re.findall(r"\(decisions/([^)]+)\)", ARCHITECTURE.read_text("utf-8")))
    assert linked == set(DECISION_NAMES)
    for file in [*ROOT.glob("*/*.py"), *ROOT.glob("*/*/*.py"), ROOT / "pyproject.toml"]:
        if ".venv" not in file.parts:
            for page in re.findall(r"docs/[\w./-]+\.md", file.read_text("utf-8")):
                assert (ROOT / page).is_file(), f"{file}: {page}"


def test_each_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    names = {re.split(r"[^\w-]", requirement)[0] for group in groups for requirement in group}

    said = set(re.findall(r"\*\*([\w-]+)\*\*", (ROOT / "docs/decisions/0001-dependencies.md").read_text("utf-8")))

    assert names <= said


def test_the_readme_explains_each_code_that_an_answer_can_have() -> None:
    text = README.read_text("utf-8")
    explained = set(re.findall(r"^\| ([A-Z_]+) \|", text, re.MULTILINE))
    refusals = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}

    assert issubclass(errors.Unauthenticated, Refusal)
    assert explained == refusals | {ErrorCode.GRAPHQL_INVALID, ErrorCode.INTERNAL}
    assert all(re.search(rf"\b{code_}\b", text) for code_ in ErrorCode)  # those that no answer has yet, too


async def test_the_readmes_walk_works(live_server: Server) -> None:
    """Its shell blocks with curl, as they stand: only the address and the token pasted are this test's."""
    shown = re.findall(r"```sh\n([^`]*?curl[^`]*?)```\n\n```json\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(shown) == 3
    token = ""
    for shell, expected in shown:
        shell = shell.replace("http://127.0.0.1:8000", live_server.url).replace("paste the accessToken here", token)
        ran = subprocess.run(["sh", "-euc", shell], capture_output=True, text=True, timeout=30, check=True)  # noqa: ASYNC221, S607 - as a reader runs it
        answer = orjson.loads(ran.stdout)
        token = answer["data"].get("signup", {}).get("accessToken", token)
        assert without_what_is_new(answer) == without_what_is_new(orjson.loads(expected))


def without_what_is_new(value: Any) -> Any:
    """The answer, but for what is another in each run."""
    if isinstance(value, dict):
        return {
            key: type(one) if key in {"accessToken", "expiresAt"} else without_what_is_new(one)
            for key, one in value.items()
        }
    return [without_what_is_new(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_the_architectures_select_is_the_one_sent(anybody: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    [document], [select] = blocks(ARCHITECTURE, "graphql"), blocks(ARCHITECTURE, "sql")
    connection = Tortoise.get_connection("default")
    execute, sent = connection.execute_query, []

    async def listen(sql: str, values: list[Any] | None = None) -> Any:
        sent.append((sql, values))
        return await execute(sql, values)

    monkeypatch.setattr(connection, "execute_query", listen)
    await anybody.asks(document)

    assert sent == [(" ".join(select.split()), [21])]
