"""The GraphQL Foundation's own suite, the npm package graphql-http, against a running server."""

import json
import subprocess
from collections import Counter
from pathlib import Path

from tests.conftest import Server
from tests.node import NODE, with_packages

SUITE = Path(__file__).with_name("graphql_http")


def test_every_audit_passes_without_a_warning(live_server: Server, tmp_path: Path) -> None:
    suite = with_packages(SUITE, tmp_path / "suite")
    ran = subprocess.run(
        [NODE, suite / "audits.mjs", f"{live_server.url}/graphql"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr

    audits = json.loads(ran.stdout)
    # A MUST that fails counts as error, a SHOULD as warn, a MAY as notice.
    failed = [f"{a['status']}: {a['name']} ({a['id']}): {a['reason']}" for a in audits if a["status"] != "ok"]
    assert not failed, "\n".join(failed)
    assert Counter(a["status"] for a in audits) == {"ok": 61}
