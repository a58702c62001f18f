"""The explorer: GraphiQL for a browser that opens /graphql. It calls no other machine, and keeps no token."""

from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from web.graphiql.package import FOLDER, GRAPHIQL

HERE = Path(__file__).resolve().parent
OURS = frozenset({"explorer.js", "explorer.css", "icon.svg", "walk.graphql", "walk.variables.json"})
FILES = OURS | frozenset(GRAPHIQL.files.values())
MEDIA_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml; charset=utf-8",
    ".json": "application/json",
    ".graphql": "application/graphql",
    ".txt": "text/plain",
}
# Part of each file's address, so that a browser may keep the file for good.
DIGEST = sha256(b"".join([GRAPHIQL.integrity.encode(), *((HERE / name).read_bytes() for name in sorted(OURS))]))
ASSETS = f"graphql-assets/{DIGEST.hexdigest()[:16]}"

# The editor writes style elements, so those are let in; scripts come from our files alone.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
    "vary": "accept",
}
ASSET_HEADERS = {
    "content-security-policy": "default-src 'none'",  # a worker obeys its own file's policy, not the page's
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "public, max-age=31536000, immutable",
    "vary": "accept-encoding",
}


def page(folder: Path = FOLDER) -> HTMLResponse:
    """GraphiQL; or with 503, what to run where its files are not in `folder`."""
    name, status = ("explorer.html", 200) if GRAPHIQL.is_in(folder) else ("missing.html", 503)
    text = (HERE / name).read_text(encoding="utf-8").replace("{{assets}}", ASSETS)
    return HTMLResponse(text, status, PAGE_HEADERS)


def routes() -> list[BaseRoute]:
    return [Route(f"/{ASSETS}/{{name}}", asset)]


def asset(request: Request) -> Response:
    """A file of ours or of GraphiQL's; compressed where there is a compressed one and the browser takes it."""
    name = request.path_params["name"]
    file = HERE / name if name in OURS else GRAPHIQL.folder(FOLDER) / name
    if name not in FILES or not file.is_file():
        raise HTTPException(404)
    headers, compressed = dict(ASSET_HEADERS), file.with_name(f"{name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and compressed.is_file():
        headers["content-encoding"], file = "gzip", compressed
    return FileResponse(file, headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])
