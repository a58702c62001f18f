"""The planner, whole, as `planner serve` runs it."""

from fastapi import FastAPI

import app
from bench.rivals import settings_of


def create_app(database_url: str) -> FastAPI:
    return app.create_app(settings_of(database_url))
