"""Whether the process lives, and whether it can answer."""

import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

import models

log = logging.getLogger("planner.health")
router = APIRouter(prefix="/health")
METHODS = ["GET", "HEAD"]  # the latter by some load balancers


@router.api_route("/live", methods=METHODS)
async def live() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.api_route("/ready", methods=METHODS)
async def ready(request: Request) -> JSONResponse:
    """The database answers too; 503 where it does not. Why is for the log: anybody can ask this.

    "degraded" where another process has no more to give: Redis does not answer, so that nobody can subscribe; or the
    read replica is away or too far behind, so that the primary answers all.
    """
    try:
        await models.ask_database()
    except Exception:
        log.warning("not ready: the database does not answer", exc_info=True)
        return JSONResponse({"status": "unavailable"}, status_code=503, headers={"retry-after": "1"})
    replicas, freshness = request.app.state.replicas, request.app.state.freshness
    is_whole = replicas.is_whole and (freshness is None or freshness.replica.is_usable)
    return JSONResponse({"status": "ok" if is_whole else "degraded"})
