"""What the documents say is there, is there; what they show, works."""

import asyncio
import os
import re
import signal
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import build_schema, parse, validate
from tortoise import Tortoise
from typer.core import TyperGroup
from typer.main import get_command

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
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]
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
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "architecture.md", "clients.md"} <= names
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@each_document
def test_the_files_it_names_are_there(document: Path) -> None:
    rooms = {entry.name for entry in ROOT.iterdir() if entry.is_dir()}
    # A test is named as pytest names it; tests/attacks/test_asvs.py looks for what stands behind the file.
    words = [
        word.partition("::")[0].rstrip("/.")
        for text in code(document)
        if "://" not in text
        for word in WORD.findall(text)
    ]
    named = {word for word in words if PATH.fullmatch(word) or word.partition("/")[0] in rooms}

    missing = [
        name
        for name in named - set(DECISION_NAMES)
        if not name.startswith(MADE_LATER)
        and not any(list(folder.glob(name)) for folder in (ROOT, document.parent))
        and not list(ROOT.glob(f"*/{name}"))  # where a room is spoken of
    ]

    assert not missing


@each_document
def test_its_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        path, _, heading = target.partition("#")
        if "://" not in target:
            linked = document.parent / path if path else document
            assert linked.exists(), target
            assert not heading or heading in headings(linked.read_text("utf-8")), target


def headings(text: str) -> set[str]:
    """As GitHub writes them into addresses."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@each_document
def test_its_make_targets_and_commands_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in code(document):
        # At its beginning, behind a path or settings of the environment, or behind another command.
        if used := re.fullmatch(
            r"(?:\S+=\S+ |.*&& |sudo deploy/as-planner )*(?:[\w.-]+/)*(make|planner)((?: [\w=./-]+)+)", text
        ):
            words = [word for word in used[2].split() if "=" not in word]
            assert {word for word in words if word[0] != "-"} <= targets if used[1] == "make" else knows(words), text


def knows(words: list[str]) -> bool:
    """Whether `planner` has the command, with these options and as many arguments."""
    command = get_command(commands)
    while isinstance(command, TyperGroup) and words:
        if words[0] not in command.commands:
            return False
        command, words = command.commands[words[0]], words[1:]
    options = {name: parameter for parameter in command.params for name in parameter.opts if name[0] == "-"}
    arguments, rest = len(command.params) - len(options), iter(words)
    for word in rest:
        if word[0] != "-":
            arguments -= 1
        elif word not in options:
            return False
        elif not getattr(options[word], "is_flag", False):
            next(rest, None)  # its value
    return arguments >= 0


def test_it_notices_a_command_that_there_is_not() -> None:
    assert knows(["stress", "--clients", "50"])
    assert knows(["keys", "use", "KID", "--now"])
    assert not knows(["keys", "mend"])
    assert not knows(["serve", "50"])
    assert not knows(["serve", "--clients", "50"])


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
    extras = project["project"]["optional-dependencies"].values()
    groups = [project["project"]["dependencies"], *extras, *project["dependency-groups"].values()]
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


async def test_the_readmes_tour_works(live_server: Server) -> None:
    """Its shell blocks with curl, as they stand: only the address, and what a reader pastes, are this test's."""
    block = r"```sh\n([^`]*?curl[^`]*?)```\n(?:\n```(json|text)\n(.*?)```)?"
    shown = re.findall(block, README.read_text("utf-8"), re.DOTALL)
    assert [kind for _, kind, _ in shown] == ["json", "json", "json", "text", "", "json", "json"]
    pasted: dict[str, str] = {}
    async with AsyncExitStack() as until_the_end:
        for shell, kind, expected in shown:
            shell = shell.replace("http://127.0.0.1:8000", live_server.url)
            for name, value in pasted.items():
                shell = shell.replace(f"paste the {name} here", value)
            output = await until_the_end.enter_async_context(output_of(shell))
            if not kind:
                stream = output  # it stays open while the tour goes on
                await stream.readline()  # sent before it is subscribed, which takes no time beside a request
            elif kind == "json":
                answer = orjson.loads(await output.read())
                assert without_what_is_new(answer) == without_what_is_new(orjson.loads(expected))
                pasted |= texts(answer)
            else:
                lines = iter((await output.read()).decode().splitlines())
                assert all(line in lines for line in expected.splitlines() if not line.startswith("UID:"))  # in order
        told = await stream.readuntil(b"}\n\n")

    assert told.decode().strip() in [text.strip() for text in blocks(README, "text")]


@asynccontextmanager
async def output_of(shell: str) -> AsyncIterator[asyncio.StreamReader]:
    """What it prints, for 30 seconds at most."""
    ran = await asyncio.create_subprocess_exec(
        "sh", "-euc", shell, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(30):
            assert ran.stdout is not None
            yield ran.stdout
    finally:
        with suppress(ProcessLookupError):
            os.killpg(ran.pid, signal.SIGTERM)
        await ran.wait()


def texts(value: Any) -> dict[str, str]:
    """By their names, however deep they stand."""
    named = value if isinstance(value, dict) else dict(enumerate(value))
    found = {str(name): one for name, one in named.items() if isinstance(one, str)}
    for one in named.values():
        found |= texts(one) if isinstance(one, dict | list) else {}
    return found


NEW = {"accessToken", "refreshToken", "expiresAt", "id", "icsUrl"}


def without_what_is_new(value: Any) -> Any:
    """The answer, but for what is another in each run."""
    if isinstance(value, dict):
        return {key: type(one) if key in NEW else without_what_is_new(one) for key, one in value.items()}
    return [without_what_is_new(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_the_architectures_select_is_the_one_sent(anybody: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    [document], [select] = blocks(ARCHITECTURE, "graphql"), blocks(ARCHITECTURE, "sql")
    connection = Tortoise.get_connection("default")
    fetch: Any = connection.fetch  # type: ignore[attr-defined]  # models/engines has it
    sent = []

    async def listen(sql: str, values: list[Any]) -> Any:
        sent.append((sql, values))
        return await fetch(sql, values)

    monkeypatch.setattr(connection, "fetch", listen)
    await anybody.asks(document)

    assert sent == [(" ".join(select.split()), [21])]
