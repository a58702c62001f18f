"""Whether the process lives, and whether it can answer."""

import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

import models

log = logging.getLogger("planner.health")
router = APIRouter(prefix="/health")


@router.get("/live")
async def live() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """The database answers too; 503 where it does not. Why is for the log: anybody can ask this.

    "degraded" where all is answered but subscriptions, since Redis does not answer: another process has no more of it.
    """
    try:
        await models.ask_database()
    except Exception:
        log.warning("not ready: the database does not answer", exc_info=True)
        return JSONResponse({"status": "unavailable"}, status_code=503, headers={"retry-after": "1"})
    return JSONResponse({"status": "ok" if request.app.state.replicas.is_whole else "degraded"})
