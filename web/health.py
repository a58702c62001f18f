"""Whether the process lives, and whether it can answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

import models
from errors import Unavailable

ASK_SECONDS = 5.0  # from one answer to the next question, and for an answer

log = logging.getLogger("planner.health")
router = APIRouter(prefix="/health")
METHODS = ["GET", "HEAD"]  # the latter by some load balancers


@router.api_route("/live", methods=METHODS)
async def live() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.api_route("/ready", methods=METHODS)
async def ready(request: Request) -> JSONResponse:
    """The database answers too; 503 where it does not, and where the process is about to end. Why is for the log:
    anybody can ask this.

    "degraded" where another process has no more to give: the database takes no writes, as after a failover or with
    a full disk; Redis does not answer, so that nobody can subscribe; it takes nothing, so that each process counts
    tries for itself; or the read replica is away or too far behind, so that the primary answers all.
    """
    if request.app.state.stopping.is_set():
        return _not_ready("stopping")
    try:
        await models.ask_database()
        takes_writes = await models.takes_writes()
    except Unavailable as error:
        log.warning("not ready: the database does not answer: %s", error.__cause__ or error)
        return _not_ready("unavailable")
    except Exception:
        log.warning("not ready: the database does not answer", exc_info=True)
        return _not_ready("unavailable")
    state = request.app.state
    is_whole = takes_writes and state.replicas.is_whole
    is_whole &= state.freshness is None or state.freshness.replica.is_usable
    is_whole = is_whole and await state.rates.are_shared()  # last: it would wait for a Redis that is known to be silent
    return JSONResponse({"status": "ok" if is_whole else "degraded"})


class DatabaseWatch:
    """Asks the database now and then what /ready asks when it is asked, so that metrics know without having to wait."""

    def __init__(self, ask: Callable[[], Awaitable[None]] = models.ask_database, seconds: float = ASK_SECONDS) -> None:
        self._ask, self._seconds = ask, seconds
        self.answers = True  # else the server does not start

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._ask()
            except Exception:
                if self.answers:  # told once, and not at each question
                    log.warning("the database does not answer", exc_info=True)
                self.answers = False
            else:
                if not self.answers:
                    log.info("the database answers again")
                self.answers = True
            await asyncio.sleep(self._seconds)


def _not_ready(status: str) -> JSONResponse:
    return JSONResponse({"status": status}, status_code=503, headers={"retry-after": "1"})
