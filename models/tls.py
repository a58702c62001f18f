"""TLS to PostgreSQL: what sslmode, and the files that are named beside it in an address, ask for, as libpq means them.

The files are read here to be refused with the setting's name, and by asyncpg for each connection: a certificate that
is replaced in its place needs no restart.
"""

import ssl
from pathlib import Path
from urllib.parse import urlencode

from settings import ROOT, SettingError

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERIFYING = _MODES[3:]  # `require` does too, where a root is named
_FILES = ("sslrootcert", "sslcert", "sslkey")


def asked_for(key: str, options: dict[str, str]) -> dict[str, str]:
    """What asyncpg is to be told, made of the options of `key`'s address, which it takes out of them. Raises
    SettingError."""
    mode = options.pop("sslmode", "prefer")
    if mode not in _MODES:
        raise SettingError(f"{key}: sslmode must be {', '.join(_MODES[:-1])} or {_MODES[-1]}.")
    files = {option: ROOT / options.pop(option) for option in _FILES if option in options}
    if not files:
        return {"ssl": mode}
    if mode not in _VERIFYING:
        raise SettingError(f"{key}: {', '.join(files)} would not be looked at. Set sslmode=verify-full beside it.")
    if ("sslcert" in files) != ("sslkey" in files):
        raise SettingError(f"{key}: sslcert and sslkey go together. Name both, or neither.")
    for option, file in files.items():
        _refuse_unreadable(key, option, file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "sslrootcert" in files:
        try:
            context.load_verify_locations(cafile=files["sslrootcert"])
        except ssl.SSLError:
            raise SettingError(
                f"{key}: sslrootcert={files['sslrootcert']} holds no certificate. Name a file with those to trust, in"
                " PEM."
            ) from None
    if "sslcert" in files:
        try:
            context.load_cert_chain(files["sslcert"], files["sslkey"], password="")  # else it would ask at the terminal
        except ssl.SSLError:
            raise SettingError(
                f"{key}: sslcert={files['sslcert']} and sslkey={files['sslkey']} do not fit. Name a certificate and"
                " its key, both in PEM, the key without a password."
            ) from None
    # asyncpg takes the files' names in an address alone; what is passed beside one goes before what stands in it.
    return {"ssl": mode, "dsn": f"postgresql://?{urlencode(files)}"}


def _refuse_unreadable(key: str, option: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise SettingError(
            f"{key}: {option}={file} cannot be read: {error.strerror}. Name a file that the user of this process may"
            " read."
        ) from None
