"""Tortoise's two engines with their holes closed: a transaction that is cancelled while it begins or ends gives its
connection back, every wait is bounded, SQLite takes its write lock at BEGIN, and what failed with nothing done (a
connection that ended, a full disk) is Unavailable.

Tortoise finds an engine by its module's path, and its migrations tell the dialect by "sqlite" or "asyncpg" in it.
"""
