"""HTTP/1.1 requests as octets, written once and sent thousands of times."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_WITHOUT_BODY = b"HTTP/1.1 304 "


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        headers = {"host": "127.0.0.1", "accept": "application/json", **self.headers}
        if self.body:
            headers |= {"content-type": "application/json", "content-length": str(len(self.body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Response:
    status: int
    head: bytes
    body: bytes

    @classmethod
    def read(cls, read: bytes) -> "Response | None":
        """The response that these octets are; None while it is not whole."""
        end = read.find(b"\r\n\r\n") + 4
        if end == 3:
            return None
        if length := _LENGTH.search(read, 0, end):
            whole = len(read) >= end + int(length[1])
        elif _CHUNKED.search(read, 0, end):
            whole = read.endswith(_LAST_CHUNK)
        else:
            whole = read.startswith(_WITHOUT_BODY)
        # A chunked body is left in its chunks: they are only compared.
        return cls(int(read[9:12]), read[:end], read[end:]) if whole else None

    def header(self, name: str) -> str:
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode() if found else ""
