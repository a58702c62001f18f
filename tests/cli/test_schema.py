import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import commands
from cli.schema import PUBLISHED, differences, last_release

MODULE = sys.modules["cli.schema"]  # `cli.schema` is the command
TEXT = PUBLISHED.read_text("utf-8")


def test_it_prints_what_is_published() -> None:
    assert CliRunner().invoke(commands, ["schema"]).stdout == TEXT


def test_a_release_that_the_code_serves_passes() -> None:
    assert differences(TEXT, TEXT, last_release().read_text("utf-8")) == []
    assert CliRunner().invoke(commands, ["schema", "--check"]).exit_code == 0


def test_a_schema_that_is_not_published_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(TEXT.replace("username: String!", "username: String", 1))
    monkeypatch.setattr(MODULE, "PUBLISHED", tmp_path / "schema.graphql")

    checked = CliRunner().invoke(commands, ["schema", "--check"])

    assert checked.exit_code == 1
    assert "schema.graphql differs from the code: run make schema" in checked.stderr


RELEASED = """
enum Code { GONE STAYS }
input SignupInput { email: String! }
type Account { id: ID! email: String! }
type Mutation { signup(input: SignupInput!): Account }
type Query { me(more: Boolean): Account code: Code }
"""


def changed(old: str, new: str) -> str:
    assert old in RELEASED
    return RELEASED.replace(old, new)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (changed("email: String! }\ntype M", "}\ntype M"), "Account.email was removed"),
        (changed("GONE ", ""), "Code.GONE was removed"),
        (changed("code: Code", ""), "Query.code was removed"),
        (changed("id: ID!", "id: ID"), "Account.id changed type from ID! to ID"),
        (changed("me(more: Boolean)", "me"), "Query.me(more:) was removed"),
        (changed("more: Boolean", "more: Boolean!"), "Query.me(more:) has changed type from Boolean to Boolean!"),
        (changed("{ email: String! }", "{ email: String! phone: String! }"), "A required field SignupInput.phone"),
        (changed("type Mutation { signup(input: SignupInput!): Account }", ""), "Mutation was removed"),
    ],
    ids=[
        "a field",
        "a code",
        "a query",
        "null where there was none",
        "an argument",
        "an argument narrowed",
        "an input more",
        "a type",
    ],
)
def test_what_breaks_a_client_of_the_last_release_is_told(text: str, told: str) -> None:
    problems = differences(text, text, RELEASED)

    assert any(problem.startswith("Breaks clients of the last release: ") and told in problem for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        changed("email: String! }\ntype M", "email: String! phone: String }\ntype M"),
        changed("{ email: String! }", "{ email: String! phone: String }"),
        changed("{ email: String! }", "{ email: String }"),
        changed("GONE ", "GONE NEW "),
    ],
    ids=["a field more", "an input more", "an input no longer needed", "a code more"],
)
def test_what_breaks_nobody_passes(text: str) -> None:
    assert differences(text, text, RELEASED) == []


def test_the_last_release_is_the_one_of_the_highest_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("0.2.0", "0.10.0", "0.9.1"):
        (tmp_path / f"{version}.graphql").touch()
    monkeypatch.setattr(MODULE, "RELEASES", tmp_path)

    assert last_release().name == "0.10.0.graphql"
