"""What a search finds, and what it holds to be nearer."""

import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tortoise import Tortoise

import models
from errors import ValidationFailed
from models import EventList, EventOrder, EventOrderField, OrderDirection, matches
from models.reads import dialect, query
from models.search import EventText, Search, folded

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANA = "019b0000-0000-7000-8000-00000000000a"
BEST = EventOrder(EventOrderField.RELEVANCE, OrderDirection.DESC)


@pytest.fixture
async def ana(database: object) -> models.User:
    user: models.User = await models.User.create(
        id=ANA, email="a", email_key="a", username="a", username_key="a", password_hash="-", created_at=NOW
    )
    return user


class Planner:
    """Publishes, a second apart, and searches."""

    def __init__(self) -> None:
        self.events = 0

    async def publishes(self, title: str, *, tags: list[str] | None = None, location: str = "", text: str = "") -> str:
        self.events += 1
        said = models.EventInput(title=title, description=text, tags=tags or [], location=location)
        return str((await models.Event.publish(said, creator_id=ANA, now=NOW + timedelta(seconds=self.events)))["id"])

    async def finds(self, search: str | None, order: EventOrder | None = None) -> list[str]:
        events = EventList.of(search=search, order=order)
        found = [row["title"] async for chunk in events.stream(["title"], chunk=2) for row in chunk]
        (count,) = await EventList.counts([events])
        assert count == len(found)
        return found


@pytest.fixture
def planner(ana: models.User) -> Planner:
    return Planner()


@pytest.mark.parametrize(
    ("title", "search"),
    [
        ("파이썬 모임", "모임"),
        ("파이썬 모임에서 만나요", "모임"),  # a particle behind it
        ("독서모임", "모임"),  # within a word
        ("파이썬 모임", "썬"),  # one syllable
        ("파이썬 모임", "파이"),
        ("파이썬 모임", "모임 파이썬"),  # words in any order
        (normalize("NFD", "파이썬 모임"), "모임"),  # written in jamo
        ("FastAPI book launch", "stap"),
        ("FastAPI book launch", "FASTapi LAUNCH"),
        ("Café Zoë", "cafe zoe"),
        ("Cafe Zoe", "CAFÉ"),
        ("Cafe\u0301", "café"),
        ("Straße", "STRASSE"),
        ("ＧｒａｐｈＱＬ", "graphql"),
        ("C++ & C#", "c++"),
        ("50% off_now", "% f_n"),
        ("'quoted' \"twice\"", "'q \"t"),
        ("a", "a"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧"),
        ("שלום עולם", "לום"),
        ("東京の夜", "京の"),
        ("가방 やガ", "ガ"),
    ],
)
async def test_finds(planner: Planner, title: str, search: str) -> None:
    await planner.publishes(title)
    await planner.publishes("無 ㅁ xyz")

    assert await planner.finds(search) == [title]


@pytest.mark.parametrize(
    ("title", "search"),
    [
        ("파이썬 모임", "임모"),
        ("파이썬 모임", "이썬모"),  # a blank stands between
        ("파이썬 모임", "모임 루비"),  # every word must stand in it
        ("abcb bcab", "abcab"),  # all its pairs do
        ("abc", "a_c"),
        ("abc", "%"),
        ("가", "각"),
        ("か", "が"),
        ("a", "AND"),
        ("a b", "a OR c"),
    ],
)
async def test_does_not_find(planner: Planner, title: str, search: str) -> None:
    await planner.publishes(title)

    assert await planner.finds(search) == []


async def test_looks_in_title_description_location_and_tags(planner: Planner) -> None:
    await planner.publishes("In the title: 모임")
    await planner.publishes("description", text="둘째 줄\n모임에서")
    await planner.publishes("location", location="모임방")
    await planner.publishes("tags", tags=["개발 모임", "x"])
    await planner.publishes("words here and there", tags=["모"], location="임")

    assert await planner.finds("모임") == ["tags", "location", "description", "In the title: 모임"]
    assert await planner.finds("둘째 모임") == ["description"]
    assert await planner.finds("임 모") == [
        "words here and there", "tags", "location", "description", "In the title: 모임",
    ]  # fmt: skip


async def test_a_search_of_blanks_finds_everything(planner: Planner) -> None:
    await planner.publishes("A talk")

    for blank in (None, "", " \t\n ", "\u0301"):
        assert await planner.finds(blank) == ["A talk"]
        with pytest.raises(ValidationFailed) as refused:
            EventList.of(search=blank, order=BEST)
        assert refused.value.fields.keys() == {"orderBy"}


@pytest.mark.parametrize("search", ["x" * 201, "a b c d e f g h i j k", "a\0b", "\ud800", "\u0301\u0323" * 500_000])
def test_a_search_has_bounds(search: str) -> None:
    began = time.process_time()

    with pytest.raises(ValidationFailed) as refused:
        Search.of(search)

    assert refused.value.fields.keys() == {"search"}
    assert time.process_time() - began < 2


async def test_title_before_tags_before_the_rest_and_newest_first_among_equals(planner: Planner) -> None:
    await planner.publishes("모임 one")
    await planner.publishes("rest", text="모임")
    await planner.publishes("tag one", tags=["모임"])
    await planner.publishes("모임 two", text="모임 모임", tags=["모임"])
    await planner.publishes("tag two", tags=["모임"], location="모임")
    best = ["모임 two", "모임 one", "tag two", "tag one", "rest"]

    assert await planner.finds("모임", BEST) == best
    worst = EventOrder(EventOrderField.RELEVANCE, OrderDirection.ASC)
    assert await planner.finds("모임", worst) == best[::-1]
    # Of several words each counts at its best place.
    assert await planner.finds("모임 one", BEST) == ["모임 one", "tag one"]
    assert await planner.finds("모임 t", BEST) == ["모임 two", "tag two", "tag one", "rest"]


async def test_a_change_is_found_and_what_was_there_before_is_not(planner: Planner) -> None:
    event_id = await planner.publishes("파이썬", text="old 설명", tags=["tag"], location="서울")
    for change in ({"title": "루비 모임"}, {"description": "new 글"}, {"tags": ["태그"]}, {"location": "부산"}):
        await models.Event.amend(event_id, change, editor_id=ANA, now=NOW)

    for gone in ("파이썬", "old", "설명", "tag", "서울"):
        assert await planner.finds(gone) == []
    for there in ("루비", "모임", "new", "글", "태그", "부산", "루비 글 태그 부산"):
        assert await planner.finds(there) == ["루비 모임"]


async def test_what_is_gone_leaves_nothing_in_the_index(planner: Planner, ana: models.User) -> None:
    first = await planner.publishes("첫 모임")
    await planner.publishes("둘째 모임")
    await models.Event.remove(first, editor_id=ANA)

    assert await planner.finds("모임") == ["둘째 모임"]

    await ana.delete()  # and with the account its events
    assert await query("SELECT count(*) AS n FROM event_texts", []) == [{"n": 0}]
    if dialect() == "sqlite":
        await check_index()
        await query("CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, event_grams, row)", [])
        assert await query("SELECT * FROM temp.words", []) == []


async def check_index() -> None:
    """Raises where FTS5 was told something else than what stands in event_texts."""
    await query("INSERT INTO event_grams (event_grams, rank) VALUES ('integrity-check', 1)", [])


async def test_a_rewritten_file_is_still_searched(planner: Planner) -> None:
    for number in range(5):
        event_id = await planner.publishes(f"모임 {number}")
        if number % 2:
            await models.Event.remove(event_id, editor_id=ANA)
    await query("VACUUM", [])

    assert await planner.finds("모임") == ["모임 4", "모임 2", "모임 0"]
    if dialect() == "sqlite":
        await check_index()


async def test_events_from_before_there_was_a_search_are_found(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await planner.publishes(f"모임 {number}", tags=["파이썬"])
    await query("DELETE FROM event_texts", [])
    assert await planner.finds("모임") == []

    migration = import_module("models.migrations.0003_search")
    monkeypatch.setattr(migration, "BATCH", 2)
    await migration.fill_texts(None, SimpleNamespace(client=Tortoise.get_connection("default")))

    assert await planner.finds("모임 파이썬") == [f"모임 {number}" for number in (4, 3, 2, 1, 0)]


WORDS = st.text("aAáÁ\u0301ß각가임모 \n%_'\"", max_size=4)


@given(
    happened=st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5),
    searches=st.lists(WORDS, max_size=6),
    few=st.sampled_from([1, 2, matches.FEW]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_finds_what_a_look_at_every_event_would(
    ana: models.User, happened: list[tuple[str, str, str]], searches: list[str], few: int
) -> None:
    await models.Event.all().delete()
    planner = Planner()
    shown = {}
    for number, (title, tag, text) in enumerate(happened):
        title = f"{number}{''.join(title.split())}"
        tags = [tag] if tag.strip() and "\n" not in tag else []
        await planner.publishes(title, tags=tags, text=text)
        shown[title.strip()] = [folded(place) for place in (title, *tags, text)]

    for search in searches:
        words = folded(search).split()
        expected = [title for title, places in shown.items() if all(any(w in p for p in places) for w in words)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(matches, "FEW", few)  # else these are always few: see models/matches.py
            assert await planner.finds(search) == expected[::-1]
        if words:
            assert sorted(await planner.finds(search, BEST)) == sorted(expected)


async def test_taking_a_place_leaves_the_index_alone(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id = await planner.publishes("모임")

    async def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(EventText, "write", refuse)
    await models.Rsvp.take(event_id, user_id=ANA, now=NOW)
    await models.Event.amend(event_id, {"capacity": 5}, editor_id=ANA, now=NOW)
    with pytest.raises(AssertionError):
        await models.Event.amend(event_id, {"title": "Another"}, editor_id=ANA, now=NOW)
