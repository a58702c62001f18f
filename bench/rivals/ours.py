"""The planner, whole, as `planner serve` runs it."""

import secrets

from fastapi import FastAPI

import app
from bench.rivals import POOL_SIZE
from settings import Settings


def create_app(database_url: str) -> FastAPI:
    # Without .env: its owner's settings must not enter into the figures.
    return app.create_app(
        Settings(
            _env_file=None,
            secret_key=secrets.token_urlsafe(48),
            database_url=database_url,
            database_pool_size=POOL_SIZE,
            log_level="warning",
        )
    )
