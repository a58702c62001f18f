"""A way to PostgreSQL that can be made slow, or so bad that nothing passes and nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Bytes from the client pass at once. Those from PostgreSQL wait for `seconds`, and for as long as it stalls."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to, self._parts = (parts.hostname, parts.port or 5432), parts
        self.seconds = 0.0
        self._passes = asyncio.Event()
        self._passes.set()
        self._passing: set[asyncio.Task[None]] = set()
        self.url = ""

    def stalls(self) -> None:
        self._passes.clear()

    def recovers(self) -> None:
        self.seconds = 0
        self._passes.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        user = f"{self._parts.username}@" if self._parts.username else ""
        self.url = self._parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
        try:
            yield self
        finally:
            listener.close()
            for task in self._passing:
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(*self._to)
        for task in (
            asyncio.create_task(self._pass(reader, their_writer, is_answer=False)),
            asyncio.create_task(self._pass(their_reader, writer, is_answer=True)),
        ):
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with closing(writer), suppress(ConnectionError):
            while part := await reader.read(65_536):
                if is_answer:
                    await asyncio.sleep(self.seconds)
                await self._passes.wait()
                writer.write(part)
                await writer.drain()
