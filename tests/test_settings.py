import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import ROOT, SettingError, Settings, read_settings

SECRET = "a secret of this test alone, of more than 32 bytes"
DATABASE = "postgresql://ana:hush@127.0.0.1/planner"
Read = Callable[..., Settings]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """Reads the settings as a start does: `dotenv` is the text of .env, the rest is the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def read(dotenv: str | bytes = "", **environment: str | bytes) -> Settings:
        (tmp_path / ".env").write_bytes(dotenv.encode() if isinstance(dotenv, str) else dotenv)
        for name, value in {"SECRET_KEY": SECRET, **environment}.items():
            monkeypatch.setenv(name, os.fsdecode(value))
        return read_settings(_env_file=tmp_path / ".env")

    return read


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("PORT", "-1", "greater than or equal to 0"),
        ("BCRYPT_COST", "9", "greater than or equal to 10"),
        ("BCRYPT_QUEUE", "0", "greater than or equal to 1"),
        ("PASSWORD_MIN_LENGTH", "6", "greater than or equal to 8"),
        ("ACCESS_TOKEN_MINUTES", "1.5", "valid integer"),
        ("DATABASE_WAIT_SECONDS", "0.0004", "greater than or equal to 0.01"),  # 0 ms: PostgreSQL would wait for ever
        ("DATABASE_WAIT_SECONDS", "inf", "less than or equal to 60"),
        ("DATABASE_WAIT_SECONDS", "nan", "than or equal to"),
        ("DATABASE_STATEMENT_SECONDS", "0", "greater than or equal to 0.1"),
        ("DATABASE_STATEMENT_SECONDS", "inf", "less than or equal to 600"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("ALLOWED_ORIGINS", "https://example.org/app", "without a path"),
        ("ALLOWED_ORIGINS", "https://good.example,ftp://bad.example", "ftp://bad.example is not an origin"),
        ("ALLOWED_ORIGINS", "https://Example.org", "is not an origin"),  # browsers say it in small letters
        ("ALLOWED_ORIGINS", "https://", "is not an origin"),
        ("ALLOWED_ORIGINS", "null", "is not an origin"),
        ("PUBLIC_URL", "example.org", "an address like"),
        ("PUBLIC_URL", "https://a.example?x", "without ? and #"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "no address and no network"),
        ("ACCOUNT_GUESSES_PER_HOUR", "2", "greater than or equal to 4"),
    ],
)
def test_a_bad_value_stops_the_start_and_says_what_to_do(read: Read, key: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingError) as told:
        read(**{key: value})

    line = str(told.value)
    assert line.startswith(f"{key}='{value}': ")
    assert remedy in line
    assert ".env.example tells what it may be" in line
    assert "\n" not in line


def test_every_bad_value_is_told_at_once(read: Read) -> None:
    with pytest.raises(SettingError) as told:
        read(PORT="http", LOG_LEVEL="loud", SECRET_KEY="short")

    assert [line.partition("=")[0] for line in str(told.value).splitlines()] == ["SECRET_KEY", "PORT", "LOG_LEVEL"]


def test_without_a_secret_it_says_how_to_make_one(read: Read) -> None:
    with pytest.raises(SettingError, match=r"^SECRET_KEY is not set\. .*secrets\.token_urlsafe\(48\)"):
        read(SECRET_KEY="")


@pytest.mark.parametrize("short", ["hush", "x" * 31, "hush\udcff-" + "x" * 40], ids=["short", "31", "no UTF-8"])
def test_a_bad_secret_is_never_shown(read: Read, short: str) -> None:
    with pytest.raises(
        SettingError, match=r"^SECRET_KEY=\(not shown\): must be .*secrets\.token_urlsafe\(48\)"
    ) as told:
        read(SECRET_KEY=os.fsencode(short))

    assert short[:4] not in str(told.value)
    assert "udcff" not in str(told.value)


@pytest.mark.parametrize(
    "bad", ["mysql://ana:hush@127.0.0.1/planner", "hush", "sqlite://", "postgresql+asyncpg://hush"]
)
def test_a_bad_database_is_told_without_its_password(read: Read, bad: str) -> None:
    with pytest.raises(SettingError, match=r"^DATABASE_URL=\(not shown\): must begin with sqlite://") as told:
        read(DATABASE_URL=bad)

    assert "hush" not in str(told.value)


def test_what_is_secret_is_not_in_the_repr(read: Read) -> None:
    shown = repr(read(DATABASE_URL=DATABASE))

    assert SECRET not in shown
    assert "hush" not in shown


def test_the_environment_wins_over_dotenv(read: Read) -> None:
    settings = read("PORT=8001\nHOST=0.0.0.0\n", PORT="8002")

    assert (settings.port, settings.host) == (8002, "0.0.0.0")  # noqa: S104 - not listened on


def test_an_empty_value_counts_as_not_set(read: Read) -> None:
    settings = read("PORT=8001\nBCRYPT_COST=\n", PORT="", DATABASE_URL="", ALLOWED_ORIGINS="")

    assert (settings.port, settings.bcrypt_cost, settings.allowed_origins) == (8001, 12, ())
    assert settings.database_url == Settings.model_fields["database_url"].default


def test_dotenv_may_hold_what_is_no_setting(read: Read) -> None:
    assert read("# a note\nPGPASSWORD=hush\nexport PORT='8001'\n").port == 8001


def test_a_dotenv_that_cannot_be_read_is_told_in_a_line(read: Read) -> None:
    with pytest.raises(SettingError, match=r"^\.env cannot be read: .*UTF-8") as told:
        read(b"SECRET_KEY=hush\xff\n")

    assert "hush" not in str(told.value)


def test_several_origins_stand_between_commas(read: Read) -> None:
    settings = read(ALLOWED_ORIGINS="https://a.example, http://localhost:3000,http://[::1]:3000,")

    assert settings.allowed_origins == ("https://a.example", "http://localhost:3000", "http://[::1]:3000")


def test_settings_do_not_change(read: Read) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().port = 1  # type: ignore[misc]  # what is tested


def written(value: object) -> str:
    """A default as .env.example writes it."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


DEFAULTS = {
    name.upper(): "" if field.is_required() else written(field.default) for name, field in Settings.model_fields.items()
}


def test_the_example_has_every_setting_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert example == DEFAULTS


def test_the_example_is_a_working_dotenv(read: Read) -> None:
    assert read((ROOT / ".env.example").read_text("utf-8")) == read()


def test_the_readme_has_every_setting_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = dict(re.findall(r"^\| *`([A-Z][A-Z_]+)` *\| *([^|]*?) *\|", readme, re.MULTILINE))

    assert {name: default.strip("`") for name, default in table.items()}.keys() == DEFAULTS.keys()
    assert {name: default.strip("`") for name, default in table.items() if DEFAULTS[name]} == {
        name: default for name, default in DEFAULTS.items() if default
    }


@pytest.mark.parametrize(
    "url", ["", "redis://127.0.0.1", "redis://:hush@[::1]:6379/0", "rediss://planner:hush%2F@redis.example:6380/15"]
)
def test_a_redis_is_where_its_address_says(read: Read, url: str) -> None:
    settings = read(REDIS_URL=url)

    assert settings.redis_url == url
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    "bad",
    [
        "127.0.0.1:6379",
        "http://:hush@127.0.0.1",
        "redis://",
        "redis://:hush/hush@127.0.0.1",  # a password that is not percent-encoded
        "redis://:hush@127.0.0.1:port",
        "redis://:hush@127.0.0.1/planner",
        "redis://:hush@127.0.0.1?socket_timeout=600",  # nobody waits for Redis
    ],
)
def test_a_bad_redis_is_told_without_its_password(read: Read, bad: str) -> None:
    with pytest.raises(SettingError, match=r"^REDIS_URL=\(not shown\): must be an address like redis://") as told:
        read(REDIS_URL=bad)

    assert "hush" not in str(told.value)
