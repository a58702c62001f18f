from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from auth.keys import KeyFolder
from auth.rotation import KeyRefused, Manifest, told
from auth.tokens import longest_life
from settings import Settings, read_settings

keys = typer.Typer(no_args_is_help=True, help="Make, list, use and retire the keys that sign access tokens.")
Kid = Annotated[str, typer.Argument(metavar="KID", help="As planner keys list shows it.")]


class Algorithm(StrEnum):
    ES256 = "ES256"
    RS256 = "RS256"


@keys.command()
def new(
    algorithm: Annotated[Algorithm, typer.Option(help="RS256 for services that know no other.")] = Algorithm.ES256,
) -> None:
    """Publish a new key: it verifies, JWKS shows it, and it does not sign yet."""
    folder = _folder(read_settings())
    kid = folder.publish(algorithm, _now())
    ready = folder.manifest().ready_at(kid)
    typer.echo(f"Published {kid}. From {told(ready)} on, have it sign with: planner keys use {kid}")


@keys.command("list")
def show() -> None:
    """List the keys, and what can be done with each."""
    settings = read_settings()
    now = _now()
    folder = KeyFolder(settings) if settings.keys_folder else None
    if folder and folder.is_empty:
        typer.echo(
            f"{folder}: there is no key yet, and no server starts with it. Make the first with planner keys new, or "
            "leave KEYS_FOLDER empty: SECRET_KEY then signs."
        )
        return
    manifest = folder.manifest() if folder else Manifest.first(now)
    for name, entry in manifest.keys.items():
        typer.echo(f"{name:16}  {entry.algorithm}  {_state(manifest, name, settings, now)}")


def _state(manifest: Manifest, name: str, settings: Settings, now: datetime) -> str:
    entry = manifest.keys[name]
    if name == manifest.signing:
        return "signs"
    if entry.signed_until is None:
        ready = manifest.ready_at(name)
        return f"published; can sign {'now' if ready <= now else f'from {told(ready)} on'}"
    retirable = manifest.retirable_at(name, longest_life(settings))
    return f"verifies; can be retired {'now' if retirable <= now else f'from {told(retirable)} on'}"


@keys.command()
def use(
    kid: Kid,
    at_once: Annotated[bool, typer.Option("--now", help="Though the key may not be known everywhere.")] = False,
) -> None:
    """Have a published key sign. The one before goes on verifying."""
    settings = read_settings()
    folder = _folder(settings)
    before = folder.manifest().signing
    folder.use(kid, _now(), at_once=at_once)
    retirable = folder.manifest().retirable_at(before, longest_life(settings))
    typer.echo(f"{kid} signs. From {told(retirable)} on, retire the one before with: planner keys retire {before}")


@keys.command()
def retire(
    kid: Kid,
    at_once: Annotated[bool, typer.Option("--now", help="Its tokens are refused: for a key that has leaked.")] = False,
) -> None:
    """End a key that no longer signs, and delete its file."""
    settings = read_settings()
    _folder(settings).retire(kid, _now(), longest_life=longest_life(settings), at_once=at_once)
    typer.echo(f"Retired {kid}.")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # what is told to the second is then true to the second


def _folder(settings: Settings) -> KeyFolder:
    if not settings.keys_folder:
        raise KeyRefused(
            "KEYS_FOLDER is not set. Name a folder for the keys, such as var/keys, in .env or the environment, "
            "here and for every server."
        )
    return KeyFolder(settings)
