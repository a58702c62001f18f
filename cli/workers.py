"""Processes that serve one address together, and what becomes of one that ends.

One that dies is started anew, whatever is amiss meanwhile: it serves without the database, as those do that lose it,
and where it cannot start at all, the others go on and it is tried again. Only a first start fails as a whole. Where
the process that watches over them is gone, they end as if they had been asked to.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing.process import BaseProcess

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app import create_app
from settings import SettingError, read_settings

BEGIN_SECONDS = 60.0  # until it serves
RETRY_SECONDS = 5.0  # a start takes a core for two

log = logging.getLogger("uvicorn.error")


def app() -> FastAPI:
    """What each of them makes for itself. Whether the database is ready has been asked before."""
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=[parent], daemon=True).start()
    try:
        return create_app(read_settings(), needs_database=False)
    except SettingError as error:
        sys.exit(str(error))  # in a line, as the command does


def _end_after(parent: BaseProcess) -> None:
    parent.join()  # killed too: the pipe between the two closes with it
    log.warning("The parent process is gone: ending.")
    os.kill(os.getpid(), signal.SIGTERM)  # else they keep the port, and no other server can start


def serve_together(config: uvicorn.Config, listener: socket.socket) -> None:
    """Returns when it was asked to end; exits with 1 where a first start fails."""
    supervisor = _Supervisor(config, [listener])
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(1)


class _Supervisor(Multiprocess):
    """uvicorn's ends them all where one cannot start, whenever that is; and gives one that starts no more time to
    answer than one that serves, which on a busy machine is too short to import everything: it is killed over and over.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.has_failed = False
        self._has_served = False  # so that it can start, as it is set up
        self._begun_at: dict[Process, float] = {}
        self._serving: set[Process] = set()
        self._next_start = 0.0

    def keep_subprocess_alive(self) -> None:
        for process in [*self.processes]:
            if not self._is_well(process):
                self._bury(process)
        if self.has_failed:
            self.should_exit.set()
            return
        self._serving.intersection_update(self.processes)
        while len(self.processes) < self.processes_num and time.monotonic() >= self._next_start:
            process = Process(self.config, self.sockets)
            process.start()
            self.processes.append(process)

    def _is_well(self, process: Process) -> bool:
        if process in self._serving:
            return process.is_alive(timeout=self.config.timeout_worker_healthcheck)
        return process.process.is_alive() and self._begins(process)

    def _begins(self, process: Process) -> bool:
        pipe, now = process.parent_conn, time.monotonic()
        if process not in self._begun_at:
            self._begun_at[process] = now
            pipe.send(b"ping")
        elif pipe.poll():
            if pipe.recv():
                self._serving.add(process)
                self._has_served = True
                del self._begun_at[process]
                log.info("Child process [%s] serves", process.pid)
                return True
            pipe.send(b"ping")
        return now - self._begun_at[process] < BEGIN_SECONDS

    def _bury(self, process: Process) -> None:
        process.kill()  # it may hang
        process.join()
        self.processes.remove(process)
        self._begun_at.pop(process, None)
        was_killed = (process.exitcode or 0) < 0
        if was_killed or process in self._serving:
            log.warning("Child process [%s] died", process.pid)
        elif self._has_served:
            log.error("Child process [%s] failed to start; another try in %.0f s", process.pid, RETRY_SECONDS)
            self._next_start = time.monotonic() + RETRY_SECONDS
        else:
            log.error("Child process [%s] failed to start, stopping the parent process.", process.pid)
            self.has_failed = True
