"""Forged, stolen and misused tokens. Each forged one differs from a good one in what its name says, and in nothing
else; and each is refused in the same words."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jose import jws

from tests.attacks.conftest import Attacked, on_sqlite
from tests.auth.test_tokens import ABSENT, changed, decoded, encoded, signed
from tests.conftest import SECRET
from tests.people import PASSWORD, Person

REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken account { id } } }"
DELETE = "mutation ($p: String!) { deleteAccount(password: $p) { deletedId } }"
CHANGE = """mutation ($old: String!, $new: String!) {
  changePassword(input: {currentPassword: $old, newPassword: $new}) {
    accessToken refreshToken account { sessions { current } }
  }
}"""
pytestmark = on_sqlite


@dataclass(frozen=True)
class Model:
    """A good token of ana's, and what an attacker knows of the server: its public keys."""

    text: str
    rsa: rsa.RSAPublicKey
    rsa_kid: str
    ecdsa_kid: str
    ben: str

    @property
    def header(self) -> dict[str, Any]:
        return decoded(self.text.split(".")[0])

    @property
    def claims(self) -> dict[str, Any]:
        return decoded(self.text.split(".")[1])

    def with_header(self, *, secret: str = SECRET, **changes: Any) -> str:
        return signed(changed(self.header, changes), changed(self.claims, {}), secret=secret)

    def with_claims(self, **changes: Any) -> str:
        return signed(changed(self.header, {}), changed(self.claims, changes))

    def raw(self, header: bytes | None = None, claims: bytes | None = None) -> str:
        return signed(
            changed(self.header, {}) if header is None else header,
            changed(self.claims, {}) if claims is None else claims,
        )

    def confused(self, form: bytes) -> str:
        """HS256, with the public key as its secret."""
        return self.with_header(kid=self.rsa_kid, secret=form.decode("latin-1"))

    def pem(self, form: PublicFormat) -> bytes:
        return self.rsa.public_bytes(Encoding.PEM, form)

    @property
    def own_rsa(self) -> str:
        """Signed with a key of the attacker's, in the name of the server's."""
        key = rsa.generate_private_key(65_537, 2_048)
        return _signed_by(key, "RS256", {**self.header, "kid": self.rsa_kid}, self.claims)

    @property
    def own_ecdsa(self) -> str:
        return _signed_by(
            ec.generate_private_key(ec.SECP256R1()), "ES256", {**self.header, "kid": self.ecdsa_kid}, self.claims
        )


def _signed_by(key: Any, algorithm: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return str(jws.sign(claims, key, headers={"typ": header["typ"], "kid": header["kid"]}, algorithm=algorithm))


def part(text: str, number: int, new: str) -> str:
    parts = text.split(".")
    parts[number] = new
    return ".".join(parts)


FORGED: dict[str, Callable[[Model], str]] = {
    "alg none, unsigned": lambda m: part(m.with_header(alg="none"), 2, ""),
    "alg none, signed": lambda m: m.with_header(alg="none"),
    "alg nOnE": lambda m: m.with_header(alg="nOnE"),
    "alg absent": lambda m: m.with_header(alg=ABSENT),
    "alg null": lambda m: m.with_header(alg=None),
    "alg a list": lambda m: m.with_header(alg=["HS256"]),
    "alg another HMAC": lambda m: m.with_header(alg="HS384"),
    "HS256 with RSA's public key": lambda m: m.confused(m.pem(PublicFormat.SubjectPublicKeyInfo)),
    "HS256 with RSA's public key, trimmed": lambda m: m.confused(m.pem(PublicFormat.SubjectPublicKeyInfo).strip()),
    "HS256 with RSA's public key, PKCS 1": lambda m: m.confused(m.pem(PublicFormat.PKCS1)),
    "HS256 in the name of ECDSA's key": lambda m: m.with_header(kid=m.ecdsa_kid),
    "RS256 in the name of the secret": lambda m: m.with_header(alg="RS256"),
    "RS256 with another's key": lambda m: m.own_rsa,
    "ES256 with another's key": lambda m: m.own_ecdsa,
    "ES256 with a signature of noughts": lambda m: part(
        m.with_header(alg="ES256", kid=m.ecdsa_kid), 2, encoded(bytes(64))
    ),
    "empty key": lambda m: m.with_header(secret=""),
    "another key": lambda m: m.with_header(secret=SECRET[::-1]),
    "kid absent": lambda m: m.with_header(kid=ABSENT),
    "kid null": lambda m: m.with_header(kid=None),
    "kid empty": lambda m: m.with_header(kid=""),
    "kid a number": lambda m: m.with_header(kid=0),
    "kid a list": lambda m: m.with_header(kid=[m.header["kid"]]),
    "kid an object": lambda m: m.with_header(kid={"$ne": ""}),
    "kid a path": lambda m: m.with_header(kid="../../../../../../var/empty", secret=""),
    "kid the name of the manifest": lambda m: m.with_header(kid="keys.json"),
    "kid the name of the setting": lambda m: m.with_header(kid="SECRET_KEY"),
    "kid SQL": lambda m: m.with_header(kid="' UNION SELECT 'k' --", secret="k"),
    "kid a command": lambda m: m.with_header(kid="| echo k"),
    "kid an address": lambda m: m.with_header(kid="http://127.0.0.1:9/k"),
    "kid huge": lambda m: m.with_header(kid="k" * 40_000),
    "kid with a NUL": lambda m: m.with_header(kid=m.header["kid"] + "\0"),
    "crit": lambda m: m.with_header(crit=["exp"]),
    "crit empty": lambda m: m.with_header(crit=[]),
    "crit null": lambda m: m.with_header(crit=None),
    "crit, b64 false": lambda m: m.with_header(crit=["b64"], b64=False),
    "typ JWT": lambda m: m.with_header(typ="JWT"),
    "typ absent": lambda m: m.with_header(typ=ABSENT),
    "typ of an ID token": lambda m: m.with_header(typ="id+jwt"),
    "typ a list": lambda m: m.with_header(typ=["at+jwt"]),
    "jwk": lambda m: m.with_header(jwk={"kty": "oct", "k": encoded(b"k" * 32)}, secret="k" * 32),
    "jwk in place of kid": lambda m: m.with_header(
        jwk={"kty": "oct", "k": encoded(b"k" * 32)}, kid=ABSENT, secret="k" * 32
    ),
    "jku": lambda m: m.with_header(jku="http://127.0.0.1:9/keys", secret="k" * 32),
    "x5u": lambda m: m.with_header(x5u="http://127.0.0.1:9/certificate", secret="k" * 32),
    "x5c": lambda m: m.with_header(x5c=[base64.b64encode(b"certificate").decode()], secret="k" * 32),
    "zip": lambda m: m.with_header(zip="DEF", secret="k" * 32),
    "header a list": lambda m: m.raw(header=b"[]"),
    "header deep": lambda m: m.raw(header=b'{"a":' * 1_300),
    "header deep, 40 kB": lambda m: m.raw(header=b"[" * 40_000),
    "header no UTF-8": lambda m: m.raw(header=b"\xff\xfe"),
    "header with half a surrogate pair": lambda m: m.raw(header=b'{"alg":"\\ud800","kid":"\\udfff"}'),
    "header twice the same key": lambda m: m.raw(
        header=changed(m.header, {"kid": "x"})[:-1]
        + b', "kid": '
        + json.dumps(m.header["kid"]).encode()
        + b', "crit": []}'
    ),
    "claims a list": lambda m: m.raw(claims=b"[]"),
    "claims deep": lambda m: m.raw(claims=b"[" * 1_300),
    "claims no JSON": lambda m: m.raw(claims=b"{"),
    "claims with half a surrogate pair": lambda m: m.with_claims(jti=ABSENT, **{"\ud800": "\udfff"}),
    **{
        f"{name} absent": lambda m, name=name: m.with_claims(**{name: ABSENT})  # type: ignore[misc]  # bound now
        for name in ("sub", "sid", "iat", "nbf", "exp", "iss", "aud", "jti")
    },
    "iss another": lambda m: m.with_claims(iss="elsewhere"),
    "iss a list": lambda m: m.with_claims(iss=[m.claims["iss"]]),
    "aud another": lambda m: m.with_claims(aud="elsewhere"),
    "aud a list": lambda m: m.with_claims(aud=[m.claims["aud"], "elsewhere"]),
    "aud longer": lambda m: m.with_claims(aud=m.claims["aud"] + "\0"),
    "iat ahead": lambda m: m.with_claims(iat=m.claims["iat"] + 600),
    "nbf ahead": lambda m: m.with_claims(nbf=m.claims["nbf"] + 600),
    "iat a float": lambda m: m.with_claims(iat=float(m.claims["iat"])),
    "exp text": lambda m: m.with_claims(exp=str(m.claims["exp"])),
    "exp infinite": lambda m: m.with_claims(exp=float("inf")),
    "exp true": lambda m: m.with_claims(exp=True),
    "sub SQL": lambda m: m.with_claims(sub="' OR 1=1 --"),
    "sub of somebody else, unsigned": lambda m: part(m.text, 1, encoded(changed(m.claims, {"sub": m.ben}))),
    "exp later, unsigned": lambda m: part(m.text, 1, encoded(changed(m.claims, {"exp": m.claims["exp"] + 600}))),
    "no signature": lambda m: part(m.text, 2, ""),
    "half a signature": lambda m: m.text[:-20],
    "padded signature": lambda m: m.text + "=",
    "padded claims": lambda m: part(m.text, 1, m.text.split(".")[1] + "=="),
    "signature in the other alphabet": lambda m: part(m.text, 2, m.text.split(".")[2] + "+/"),
    "a fourth part": lambda m: m.text + "." + m.text.split(".")[2],
    "JSON serialization": lambda m: json.dumps(
        dict(zip(("protected", "payload", "signature"), m.text.split("."), strict=True))
    ),
    "in quotes": lambda m: f'"{m.text}"',
    "two tokens": lambda m: f"{m.text}, {m.text}",
    "Bearer twice": lambda m: f"Bearer {m.text}",
    "oversized": lambda m: m.with_claims(more="x" * 3_000),
    "not ASCII": lambda m: m.text[:-1] + "é",
    "dots": lambda m: "..",
}


@pytest.fixture
async def model(server: Attacked, ana: Person, ben: Person) -> Model:
    assert isinstance(server.rsa_public, rsa.RSAPublicKey)
    return Model(ana.token or "", server.rsa_public, server.rsa, server.ecdsa, ben.id)


async def test_made_by_hand_a_token_is_as_good(ana: Person, model: Model) -> None:
    """So each of those below fails for what its name says."""
    for same in (model.text, model.with_header(), model.with_claims(), model.raw(), model.with_claims(more="text")):
        assert (await ana.tries_to_create(f"Bearer {same}")).code is None


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_token_is_invalid(anybody: Person, model: Model, forge: Callable[[Model], str]) -> None:
    header = b"Bearer " + forge(model).encode("latin-1")

    answer = await anybody.http.post(
        "/graphql",
        json={"query": "mutation { signout { sessionsEnded } } "},
        headers={b"authorization": header},
    )

    error = answer.json()["errors"][0]
    assert (answer.status_code, answer.json()["data"]) == (200, {"signout": None})
    assert error["extensions"] == {"code": "TOKEN_INVALID"}
    assert error["message"] == "The access token is not valid. Sign in again for a new one."


async def test_the_keys_that_an_attacker_knows_are_the_servers(server: Attacked, http: httpx.AsyncClient) -> None:
    keys = (await http.get("/.well-known/jwks.json")).json()["keys"]

    assert {key["kid"]: key["alg"] for key in keys} == {server.rsa: "RS256", server.ecdsa: "ES256"}
    assert all({"d", "p", "q", "k"}.isdisjoint(key) for key in keys)


async def test_an_expired_token_is_told_apart_from_a_forged_one(anybody: Person, model: Model) -> None:
    past = {"iat": model.claims["iat"] - 9_000, "exp": model.claims["iat"] - 31}

    assert (await anybody.tries_to_create(f"Bearer {model.with_claims(**past)}")).code == "TOKEN_EXPIRED"


async def test_a_token_names_one_session_of_one_account(anybody: Person, model: Model) -> None:
    """Signed with the right key, as if it had leaked: even so no made-up session is let in."""
    for claims in ({"sub": model.ben}, {"sid": str(uuid4())}, {"sub": str(uuid4())}):
        assert (await anybody.tries_to_create(f"Bearer {model.with_claims(**claims)}")).code == "TOKEN_REVOKED"


async def test_another_scheme_is_no_token(anybody: Person, model: Model) -> None:
    for scheme in ("Basic", "Token", "Negotiate", "Bearer:", "", "JWT"):
        assert (await anybody.tries_to_create(f"{scheme} {model.text}".strip())).code == "UNAUTHENTICATED"


async def test_a_token_is_read_from_its_header_alone(ana: Person, http: httpx.AsyncClient, server: Attacked) -> None:
    cookies = dict.fromkeys(("token", "access_token", "Authorization", "session"), ana.token or "")
    headers = dict.fromkeys(("x-authorization", "proxy-authorization", "x-access-token"), f"Bearer {ana.token}")
    me = {"query": "{ me { id } }", "accessToken": ana.token, "extensions": {"authorization": f"Bearer {ana.token}"}}

    async with server.client() as cookie_jar:
        cookie_jar.cookies.update(cookies)
        answer = await cookie_jar.post("/graphql", json=me, headers=headers)

    assert answer.json() == {"data": {"me": None}}
    assert "set-cookie" not in answer.headers


async def test_a_token_of_a_deleted_account_is_revoked(anybody: Person) -> None:
    refresh_token = (await anybody.signs_up()).data["signup"]["refreshToken"]
    assert (await anybody.asks(DELETE, p=PASSWORD)).code is None

    assert (await anybody.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await anybody.asks("{ me { id } }")).data == {"me": None}
    assert (await anybody.asks(REFRESH, t=refresh_token)).code == "TOKEN_INVALID"
    assert (await anybody.signs_in()).code == "INVALID_CREDENTIALS"


async def test_refresh_and_access_tokens_do_not_stand_in_for_each_other(anybody: Person) -> None:
    tokens = (await anybody.signs_up()).data["signup"]
    family, _, secret = tokens["refreshToken"].partition(".")

    for token in (tokens["refreshToken"], family, secret, f"{tokens['refreshToken']}.{secret}"):
        assert (await anybody.tries_to_create(f"Bearer {token}")).code == "TOKEN_INVALID"
    for token in (tokens["accessToken"], *tokens["accessToken"].split("."), family, secret, f"{secret}.{family}"):
        assert (await anybody.asks(REFRESH, t=token)).code == "TOKEN_INVALID"
    assert (await anybody.asks(REFRESH, t=tokens["refreshToken"])).code is None


@pytest.mark.parametrize(
    "bent", ["", ".", "..", "a.", ".b", "%", "\0.\0", "é.é", "\ud800.x", "x" * 100_000, "' OR '1'='1.' OR '1'='1"]
)
async def test_a_made_up_refresh_token_is_invalid(anybody: Person, bent: str) -> None:
    body = json.dumps({"query": REFRESH, "variables": {"t": bent}})

    answer = (await anybody.http.post("/graphql", content=body, headers={"content-type": "application/json"})).json()

    # Half a surrogate pair is no JSON in UTF-8.
    assert answer["errors"][0]["extensions"]["code"] == ("BAD_REQUEST" if "\ud800" in bent else "TOKEN_INVALID")


async def test_a_refresh_token_serves_its_own_account_whoever_shows_it(
    anybody: Person, ben: Person, server: Attacked
) -> None:
    """With ben's access token beside it, it does not become his."""
    token = (await anybody.signs_up()).data["signup"]["refreshToken"]

    assert (await ben.asks(REFRESH, t=token)).data["refresh"]["account"] == {"id": anybody.id}


async def test_a_refresh_token_used_again_ends_its_session_and_no_other(
    anybody: Person, http: httpx.AsyncClient
) -> None:
    first = (await anybody.signs_up()).data["signup"]["refreshToken"]
    elsewhere = Person(http, anybody.username)
    await elsewhere.signs_in()
    second = (await anybody.asks(REFRESH, t=first)).data["refresh"]
    third = (await anybody.asks(REFRESH, t=second["refreshToken"])).data["refresh"]

    assert (await Person(http).asks(REFRESH, t=first)).code == "TOKEN_REVOKED"

    assert (await anybody.asks(REFRESH, t=third["refreshToken"])).code == "TOKEN_INVALID"
    assert (await anybody.tries_to_create(f"Bearer {third['accessToken']}")).code == "TOKEN_REVOKED"
    assert (await elsewhere.tries_to_create()).code is None


async def test_a_changed_password_ends_what_the_tokens_before_it_opened(anybody: Person) -> None:
    """Also those of the session in which it was changed: it may be these that were stolen."""
    before = (await anybody.signs_up()).data["signup"]
    after = (await anybody.asks(CHANGE, old=PASSWORD, new=PASSWORD + "-new")).data["changePassword"]

    assert (await anybody.tries_to_create(f"Bearer {before['accessToken']}")).code == "TOKEN_REVOKED"
    assert (await anybody.asks(REFRESH, t=before["refreshToken"])).code == "TOKEN_INVALID"
    assert after["account"] == {"sessions": [{"current": True}]}
    assert (await anybody.tries_to_create(f"Bearer {after['accessToken']}")).code is None
    assert (await anybody.asks(REFRESH, t=after["refreshToken"])).code is None


async def test_no_two_refresh_tokens_are_alike_and_each_has_128_bits_and_more(anybody: Person) -> None:
    await anybody.signs_up()
    given = [(await anybody.signs_in()).data["signin"]["refreshToken"] for _ in range(5)]

    halves = [half for token in given for half in token.split(".")]
    assert len(set(halves)) == 10
    assert {len(base64.urlsafe_b64decode(half + "=" * (-len(half) % 4))) for half in halves} == {16, 32}
