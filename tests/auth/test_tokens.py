"""Attacks on the access token. Each is refused in the same words, and none reaches a 500."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import example, given
from hypothesis import strategies as st

from auth import AccessTokens
from auth.keys import KeyFolder
from auth.tokens import LEEWAY_SECONDS, LONGEST
from errors import TokenExpired, TokenInvalid
from tests.conftest import SECRET, settings_of

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
SETTINGS = settings_of("sqlite://unused.sqlite3")
TOKENS = AccessTokens(SETTINGS)
USER, SESSION = str(uuid4()), str(uuid4())
ABSENT = object()


def issued(tokens: AccessTokens = TOKENS, now: datetime = NOW) -> str:
    return tokens.issue(user_id=USER, session_id=SESSION, now=now)[0]


def decoded(part: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


GENUINE_HEADER, GENUINE_CLAIMS = (decoded(part) for part in issued().split(".")[:2])


def changed(genuine: dict[str, Any], changes: dict[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in (genuine | changes).items() if v is not ABSENT}).encode()


def signed(header: bytes, claims: bytes, *, secret: str = SECRET, digest: Callable[..., Any] = hashlib.sha256) -> str:
    """A token made by hand: unlike `issue`, it signs anything."""
    both = f"{encoded(header)}.{encoded(claims)}"
    return f"{both}.{encoded(hmac.new(secret.encode(), both.encode(), digest).digest())}"


def with_header(**changes: Any) -> str:
    return signed(changed(GENUINE_HEADER, changes), changed(GENUINE_CLAIMS, {}))


def with_claims(**changes: Any) -> str:
    return signed(changed(GENUINE_HEADER, {}), changed(GENUINE_CLAIMS, changes))


def test_a_genuine_token_says_whose_it_is() -> None:
    claims = TOKENS.verify(issued(), NOW)

    assert (claims.user_id, claims.session_id) == (USER, SESSION)
    # Made by hand it is as good: what follows fails for what is changed, and for nothing else.
    assert TOKENS.verify(with_claims(), NOW) == claims


def test_no_two_tokens_are_alike_and_none_holds_more_than_it_must() -> None:
    assert issued() != issued()
    assert GENUINE_HEADER.keys() == {"alg", "typ", "kid"}
    assert GENUINE_CLAIMS.keys() == {"sub", "sid", "iat", "nbf", "exp", "iss", "aud", "jti"}
    assert SECRET not in json.dumps(GENUINE_HEADER)


SECONDS = int(NOW.timestamp())
CLAIMS = changed(GENUINE_CLAIMS, {})
HEADER = changed(GENUINE_HEADER, {})
GENUINE = issued()
FORGED = {
    "unsigned": with_header(alg="none").rpartition(".")[0] + ".",
    "unsigned, in capitals": with_header(alg="NONE"),
    "another key": signed(HEADER, CLAIMS, secret=SECRET + "!"),
    "no key": signed(HEADER, CLAIMS, secret=""),
    "RS256": with_header(alg="RS256"),
    "HS512": signed(changed(GENUINE_HEADER, {"alg": "HS512"}), CLAIMS, digest=hashlib.sha512),
    "HS512 in truth, HS256 in word": signed(HEADER, CLAIMS, digest=hashlib.sha512),
    "no alg": with_header(alg=ABSENT),
    "alg a list": with_header(alg=["HS256"]),
    "typ JWT": with_header(typ="JWT"),
    "no typ": with_header(typ=ABSENT),
    "another kid": with_header(kid="1"),
    "kid a path": with_header(kid="../../dev/null"),
    "no kid": with_header(kid=ABSENT),
    "crit": with_header(crit=["exp"]),
    "crit empty": with_header(crit=[]),
    "the key that it brings": signed(
        changed(GENUINE_HEADER, {"jwk": {"kty": "oct", "k": encoded(b"k" * 32)}, "jku": "http://127.0.0.1:1/keys"}),
        CLAIMS,
        secret="k" * 32,
    ),
    "header a list": signed(b"[]", CLAIMS),
    "header no JSON": signed(b"{", CLAIMS),
    "header no UTF-8": signed(b"\xff", CLAIMS),
    "header deep": signed(b"[" * 1_200, b"{}"),
    "claims a list": signed(HEADER, b"[]"),
    "claims a number": signed(HEADER, b"1"),
    "claims no JSON": signed(HEADER, b"{"),
    "claims no UTF-8": signed(HEADER, b"\xff"),
    "claims deep": signed(HEADER, b"[" * 1_200),
    "claims empty": signed(HEADER, b""),
    **{f"no {name}": with_claims(**{name: ABSENT}) for name in GENUINE_CLAIMS},
    **{f"{name} null": with_claims(**{name: None}) for name in GENUINE_CLAIMS},
    "another iss": with_claims(iss="elsewhere"),
    "another aud": with_claims(aud="elsewhere"),
    "aud a list": with_claims(aud=["planner"]),
    "sub no id": with_claims(sub="ana"),
    "sub a number": with_claims(sub=1),
    "sid no id": with_claims(sid=""),
    "jti a number": with_claims(jti=1),
    "iat ahead": with_claims(iat=SECONDS + LEEWAY_SECONDS + 1),
    "nbf ahead": with_claims(nbf=SECONDS + LEEWAY_SECONDS + 1),
    **{
        f"{name} {value!r}": with_claims(**{name: value})
        for name in ("iat", "nbf", "exp")
        for value in (str(SECONDS + 60), SECONDS + 0.5, True, [SECONDS], float("nan"), float("inf"))
    },
    "too long": with_claims(more="x" * LONGEST),
    "too long, of one character": "x" * 1_000_000,
    "a lone surrogate": GENUINE + "\ud800",
    "not ASCII": GENUINE[:-1] + "é",
    "a digit of another script": GENUINE[:-1] + "٣",
    "padded": GENUINE + "=",
    "strewn with other characters": GENUINE.replace(".", "!.", 1),
    "a line break at the end": GENUINE + "\n",
    "a blank inside": GENUINE.replace(".", ". "),
    "four parts": GENUINE + ".x",
    "five parts": "a.b.c.d.e",
    "two parts": GENUINE.rpartition(".")[0],
    "a dot more": GENUINE + ".",
    "no signature": GENUINE.rpartition(".")[0] + ".",
    "half a signature": GENUINE[:-20],
    "claims of another token": ".".join(
        [issued().split(".")[0], issued(now=NOW + timedelta(hours=1)).split(".")[1], GENUINE.split(".")[2]]
    ),
    "dots": "..",
    "xyz": "xyz",
    "empty": "",
    "NUL": "\0",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_invalid(forged: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.verify(forged, NOW)


@pytest.mark.parametrize(
    "changes",
    [{"secret_key": SECRET[::-1]}, {"token_issuer": "staging"}, {"token_audience": "billing"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_of_another_service_is_invalid(changes: dict[str, Any]) -> None:
    elsewhere = AccessTokens(SETTINGS.model_copy(update=changes))

    with pytest.raises(TokenInvalid):
        TOKENS.verify(issued(elsewhere), NOW)


def test_it_expires_when_the_clocks_of_two_servers_must_agree_that_it_has() -> None:
    token, expires_at = TOKENS.issue(user_id=USER, session_id=SESSION, now=NOW)
    leeway = timedelta(seconds=LEEWAY_SECONDS)

    assert expires_at == NOW + timedelta(minutes=SETTINGS.access_token_minutes)
    assert TOKENS.verify(token, expires_at + leeway - timedelta(milliseconds=1))
    with pytest.raises(TokenExpired):
        TOKENS.verify(token, expires_at + leeway)


def test_it_is_valid_at_once_on_a_server_whose_clock_is_a_little_late() -> None:
    assert TOKENS.verify(issued(), NOW - timedelta(seconds=LEEWAY_SECONDS))


def test_an_expired_token_of_a_forger_is_invalid_not_expired() -> None:
    for forged in (with_claims(exp=1, iss="elsewhere"), signed(HEADER, changed(GENUINE_CLAIMS, {"exp": 1}), secret="")):
        with pytest.raises(TokenInvalid):
            TOKENS.verify(forged, NOW)


@pytest.mark.parametrize("exp", [0, -1, -(10**30)])
def test_a_token_that_was_never_valid_has_expired(exp: int) -> None:
    with pytest.raises(TokenExpired):
        TOKENS.verify(with_claims(exp=exp), NOW)


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates too
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def outcome(token: str) -> str:
    """`verify` knows three: it answers, or raises one of these. Whatever else it raises fails the test."""
    try:
        TOKENS.verify(token, NOW)
    except (TokenInvalid, TokenExpired) as refused:
        return type(refused).__name__
    return "valid"


@given(ANY_TEXT | st.binary().map(lambda raw: raw.decode("latin-1")) | st.from_regex(r"\A[\w-]+\.[\w-]+\.[\w-]+\Z"))
def test_whatever_is_sent_is_invalid(token: str) -> None:
    assert outcome(token) == "TokenInvalid"


@given(st.sampled_from(sorted(GENUINE_HEADER)) | st.text(max_size=5), JSON_VALUES)
@example("crit", None)
def test_whatever_the_header_says_it_is_read_or_refused(name: str, value: Any) -> None:
    same = GENUINE_HEADER.get(name, ABSENT) == value
    expected = "valid" if same or name not in {*GENUINE_HEADER, "crit"} else "TokenInvalid"

    assert outcome(with_header(**{name: value})) in {expected, "TokenInvalid"}


@given(st.sampled_from(sorted(GENUINE_CLAIMS)), JSON_VALUES)
def test_whatever_a_claim_says_it_is_read_or_refused(name: str, value: Any) -> None:
    assert outcome(with_claims(**{name: value})) in {"valid", "TokenInvalid", "TokenExpired"}


@given(st.integers(0, len(GENUINE) - 1), st.characters(codec="latin-1"))
def test_one_character_changed_is_one_too_many(at: int, character: str) -> None:
    token = GENUINE[:at] + character + GENUINE[at + 1 :]
    # The signature's last character has two bits to spare, which no token needs: lists go by jti (never by the text).
    assert at == len(GENUINE) - 1 or (outcome(token) == "TokenInvalid") == (token != GENUINE)


def test_the_key_is_not_in_what_it_shows(caplog: pytest.LogCaptureFixture) -> None:
    for forged in FORGED.values():
        with pytest.raises(TokenInvalid) as refused:
            TOKENS.verify(forged, NOW)
        assert str(refused.value) == str(TokenInvalid())
    assert caplog.text == ""


def test_a_setting_chooses_the_life() -> None:
    an_hour = AccessTokens(SETTINGS.model_copy(update={"access_token_minutes": 60}))

    assert an_hour.verify(issued(an_hour), NOW).expires_at == int(NOW.timestamp()) + 3_600


@pytest.fixture(scope="module", params=["ES256", "RS256"])
def signed_by_a_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AccessTokens:
    """Of a server whose key is a file. SECRET_KEY is in its ring too, and verifies."""
    settings = SETTINGS.model_copy(update={"keys_folder": str(tmp_path_factory.mktemp("keys"))})
    folder = KeyFolder(settings)
    folder.use(folder.publish(request.param, NOW), NOW, at_once=True)
    return AccessTokens(settings)


def test_a_token_of_a_key_from_a_file_says_whose_it_is(signed_by_a_file: AccessTokens) -> None:
    token = issued(signed_by_a_file)
    header = decoded(token.split(".")[0])

    assert header == {"alg": header["alg"], "kid": signed_by_a_file.keys.ring.signing.kid, "typ": "at+jwt"}
    assert header["alg"] in {"ES256", "RS256"}
    assert signed_by_a_file.verify(token, NOW).user_id == USER
    assert signed_by_a_file.verify(GENUINE, NOW).user_id == USER  # from before the rotation
    with pytest.raises(TokenInvalid):
        TOKENS.verify(token, NOW)  # a server that does not have the key
    assert len(token) < LONGEST


def test_a_public_key_is_no_secret(signed_by_a_file: AccessTokens) -> None:
    """The confusion of HS256 with RS256: everybody has the public key, and signs with it as HMAC's secret."""
    key = signed_by_a_file.keys.ring.signing
    public = key.verifier.prepared_key
    forms = [
        public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
    ]
    forms += [forms[0].rstrip(b"\n"), json.dumps(signed_by_a_file.keys.ring.jwks["keys"][0]).encode()]
    for form in forms:
        for kid in (key.kid, GENUINE_HEADER["kid"]):
            for alg in ("HS256", key.algorithm):
                both = f"{encoded(changed(GENUINE_HEADER, {'kid': kid, 'alg': alg}))}.{encoded(CLAIMS)}"
                forged = f"{both}.{encoded(hmac.new(form, both.encode(), hashlib.sha256).digest())}"
                with pytest.raises(TokenInvalid):
                    signed_by_a_file.verify(forged, NOW)


def test_a_key_verifies_with_its_own_algorithm_alone(signed_by_a_file: AccessTokens) -> None:
    kid = signed_by_a_file.keys.ring.signing.kid
    body, signature = issued(signed_by_a_file).split(".")[1:]
    for alg in ("none", "HS256", "HS512", "RS512", "ES384", "PS256", "ES256", "RS256"):
        for name in (kid, GENUINE_HEADER["kid"]):
            header = changed(GENUINE_HEADER, {"kid": name, "alg": alg})
            for forged in (signed(header, CLAIMS), f"{encoded(header)}.{body}.{signature}"):
                with_its_own = name == GENUINE_HEADER["kid"] and alg == "HS256" and forged == signed(header, CLAIMS)
                assert with_its_own == (forged_is_valid(signed_by_a_file, forged)), (alg, name)


def forged_is_valid(tokens: AccessTokens, token: str) -> bool:
    try:
        tokens.verify(token, NOW)
    except TokenInvalid:
        return False
    return True


@pytest.mark.parametrize("kid", ["unknown", "", None, 0, [], {}, ["k"], "SECRET_KEY", "../keys.json", "0" * 16])
def test_an_unknown_kid_is_invalid(signed_by_a_file: AccessTokens, kid: object) -> None:
    with pytest.raises(TokenInvalid):
        signed_by_a_file.verify(with_header(kid=kid), NOW)


def test_no_key_is_parsed_for_a_token(signed_by_a_file: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """From text, each signature of RSA's would cost 39 ms."""

    def parse(*_: object, **__: object) -> None:
        raise AssertionError("a key was parsed")

    for module in ("cryptography.hazmat.primitives.serialization", "jose.backends.cryptography_backend"):
        for name in ("load_pem_private_key", "load_pem_public_key"):
            monkeypatch.setattr(f"{module}.{name}", parse)
    monkeypatch.setattr("jose.jwk.construct", parse)

    assert signed_by_a_file.verify(issued(signed_by_a_file), NOW)


def test_a_retired_keys_tokens_are_invalid(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"keys_folder": str(tmp_path)})
    folder = KeyFolder(settings)
    first, second = folder.publish("ES256", NOW), folder.publish("ES256", NOW)
    folder.use(first, NOW, at_once=True)
    tokens = AccessTokens(settings)
    token = issued(tokens)
    folder.use(second, NOW, at_once=True)
    tokens.keys.look()
    assert tokens.verify(token, NOW)

    folder.retire(first, NOW, longest_life=timedelta(minutes=15), at_once=True)
    tokens.keys.look()

    with pytest.raises(TokenInvalid):
        tokens.verify(token, NOW)
