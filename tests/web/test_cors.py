import httpx

from app import create_app
from settings import Settings

FROM = {"origin": "https://app.example.org"}


async def test_allowed_origins_may_call_it(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"allowed_origins": ("https://app.example.org",)}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as http,
    ):
        asked = await http.options(
            "/graphql",
            headers={
                **FROM,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type",
            },
        )
        answered = await http.post("/graphql", json={"query": "{ __typename }"}, headers=FROM)
        other = await http.post("/graphql", json={"query": "{ __typename }"}, headers={"origin": "https://evil.org"})

    assert asked.status_code == 200
    assert answered.headers["access-control-allow-origin"] == "https://app.example.org"
    assert answered.headers["access-control-expose-headers"] == "x-request-id, retry-after"
    assert "access-control-allow-origin" not in other.headers
