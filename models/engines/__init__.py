"""Tortoise's two engines with three holes closed: a transaction that is cancelled while it begins or ends gives its
connection back, a full pool answers after a bounded wait, and SQLite takes its write lock at BEGIN.

Tortoise finds an engine by its module's path, and its migrations tell the dialect by "sqlite" or "asyncpg" in it.
"""
