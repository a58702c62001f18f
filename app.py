"""The application, put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import Route

import models
from auth import Accounts
from schema import schema
from settings import Settings, read_settings
from web import graphiql, health
from web.graphql import GraphQLEndpoint


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Its lifespan opens the database, which `planner migrate` has made ready."""
    logging.getLogger("planner").setLevel(settings.log_level.upper())
    accounts = Accounts(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await models.open_database(settings)
        try:
            await accounts.passwords.warm()
            yield
        finally:
            accounts.passwords.close()
            await models.close_database()

    app = FastAPI(title="Planner", lifespan=lifespan, openapi_url=None)
    endpoint = GraphQLEndpoint(schema, accounts, max_body_bytes=settings.max_body_bytes, page=graphiql.page)
    app.router.routes.append(Route("/graphql", endpoint))
    app.router.routes.extend(graphiql.routes())
    app.include_router(health.router)
    app.router.routes.append(Route("/", lambda _: RedirectResponse("/graphql")))
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["x-request-id", "retry-after"],
            max_age=600,
        )
    return app


def __getattr__(name: str) -> Any:
    # `uvicorn app:app` finds it; importing this module alone reads no environment.
    if name == "app":
        return create_app(read_settings())
    raise AttributeError(name)
