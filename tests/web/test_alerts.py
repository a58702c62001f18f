"""deploy/prometheus/planner.rules.yml, and the pages that speak of it. test_metrics.py holds that what it asks for is
told, and from the start."""

import re

from replicas.redis import Why
from settings import ROOT
from tests.prometheus import RULES, alerts, series_in
from tests.test_docs import headings

MONITORING = (ROOT / "docs/monitoring.md").read_text("utf-8")
OPERATIONS = ROOT / "docs/operations.md"


def test_series_are_found_in_an_expression() -> None:
    one = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{code="X"}[5m]))) / b_total > 1 and up{job="$job"} == 0'

    assert series_in(one) == [("a_bucket", {"code": "X"}), ("b_total", {}), ("up", {"job": "$job"})]


def test_each_rule_is_read() -> None:
    rules = alerts()

    assert len(rules) == RULES.read_text("utf-8").count("alert:") > 10
    assert len({rule.name for rule in rules}) == len(rules)


def test_the_page_shows_the_rules() -> None:
    shown = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| `(.+?)` \| (\w+) \| (\w+) \|$", MONITORING, re.MULTILINE)

    rules = [(rule.summary, rule.runbook, rule.expression, rule.lasts, rule.severity) for rule in alerts()]
    assert [(said, f"docs/{link}", *others) for said, link, *others in shown] == rules


def test_each_alert_leads_to_what_is_to_be_done() -> None:
    to_do = headings(OPERATIONS.read_text("utf-8").partition("## When something is wrong")[2])

    assert {rule.runbook for rule in alerts()} <= {f"docs/operations.md#{heading}" for heading in to_do}


def test_each_reason_for_missing_changes_is_explained() -> None:
    section = OPERATIONS.read_text("utf-8").partition("### Word of changes is missed")[2].partition("\n### ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {*Why}
