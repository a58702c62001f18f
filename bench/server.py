"""A rival's server, in a process of its own: uvicorn with uvloop and httptools, one process, no access log."""

import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from bench.cores import Cores
from bench.rivals import Rival
from settings import ROOT


class Server:
    """Runs inside `with`. It may be asked at once: what comes before it is ready waits in the listener."""

    def __init__(self, rival: Rival, database_url: str, cores: Cores) -> None:
        self.rival = rival
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            self.port: int = listener.getsockname()[1]
            command = [sys.executable, "-m", "bench.server", rival.module, str(listener.fileno()), database_url]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])  # noqa: S603 - our own
        cores.pin_server(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float | None:
        """What it has used so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime: proc(5)

    def memory_kib(self) -> float | None:
        """Its memory, but for the files it has mapped; None where the system does not tell."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except FileNotFoundError:
            return None
        return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon:"))  # proc(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(module: str, listener: int, database_url: str) -> None:
    config = uvicorn.Config(
        importlib.import_module(module).create_app(database_url),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener)])


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
