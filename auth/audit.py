"""What happens to accounts, a line each, for who watches over the server: `event=signin account=... session=...`.

Ids and addresses alone: no e-mail, since people type passwords into that field, and nothing that opens anything.
"""

import logging

log = logging.getLogger("planner.audit")


def note(event: str, **facts: object) -> None:
    """In logfmt; a fact that is None is left out."""
    log.info(" ".join([f"event={event}", *(f"{name}={fact}" for name, fact in facts.items() if fact is not None)]))
