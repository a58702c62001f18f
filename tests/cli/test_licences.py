"""The list of licences is that of what is installed, and nothing among them keeps the project from being MIT's."""

import re

from cli.licences import LISTED, table

COMPATIBLE = re.compile(r"MIT|BSD|Apache|PSF|Python Software|ISC|Mozilla|MPL|Unlicense|CC0|Zlib|0BSD", re.IGNORECASE)


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([\w.-]+) \| (.+) \|$", text.partition("|---|")[2], re.MULTILINE))


def test_the_list_is_that_of_what_is_installed() -> None:
    listed, found = rows(LISTED.read_text("utf-8")), rows(table())
    assert {"fastapi", "tortoise-orm", "uvicorn"} <= found.keys()
    assert {name: listed.get(name) for name in found} == found  # a machine of another kind may have fewer


def test_each_is_one_that_an_application_of_mits_may_use() -> None:
    assert {name: licence for name, licence in rows(table()).items() if not COMPATIBLE.search(licence)} == {}
