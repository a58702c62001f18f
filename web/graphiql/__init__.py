from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute


def page() -> HTMLResponse:
    return HTMLResponse("x")


def routes() -> list[BaseRoute]:
    return []
