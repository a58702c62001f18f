"""What Prometheus is told, and what it asks, read as Prometheus does."""

import re
import socket
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from settings import ROOT

RULES = ROOT / "deploy/prometheus/planner.rules.yml"
_RULE = r"""      - alert: (\w+)
        expr: (.+)
        for: (\d+m)
        labels:
          severity: (critical|warning)
        annotations:
          summary: (.+)
          runbook: (.+)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Told:
    """What a server told Prometheus."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._families = [*text_string_to_metric_families(text)]

    @classmethod
    async def by(cls, port: int) -> "Told":
        async with httpx.AsyncClient() as http:
            return cls((await http.get(f"http://127.0.0.1:{port}/metrics")).text)

    @property
    def names(self) -> set[str]:
        """As expressions name them."""
        parts = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        return {one.name + part for one in self._families for part in parts.get(one.type, ("",))}

    @property
    def own(self) -> set[str]:
        """As people name them, of the planner's."""
        names = {one.name + ("_total" if one.type == "counter" else "") for one in self._families}
        return {name for name in names if name.startswith("planner_") and not name.endswith("_created")}

    def value(self, name: str, **labels: str) -> float:
        samples = [sample for one in self._families for sample in one.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def tells(self, name: str, labels: dict[str, str]) -> bool:
        samples = [sample for one in self._families for sample in one.samples if sample.name == name]
        return any(labels.items() <= sample.labels.items() for sample in samples)

    def labels(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for one in self._families for sample in one.samples if sample.name == name}


@dataclass(frozen=True)
class Rule:
    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    runbook: str


def alerts() -> list[Rule]:
    """Those of the rules' file, all of which has to be in one form: nothing here reads YAML."""
    text = RULES.read_text("utf-8")
    assert re.fullmatch(rf"(?:#.*\n)+groups:\n  - name: planner\n    rules:\n(?:{_RULE})+", text)
    return [Rule(*found) for found in re.findall(_RULE, text)]


def series_in(expression: str) -> list[tuple[str, dict[str, str]]]:
    """Names, with the labels that they are asked for by."""
    bare = re.sub(r"\[[^\]]*\]|by \([^)]*\)", " ", expression)
    found = re.findall(r"([a-z_]{2,})\b(?! *\()(?:\{([^}]*)\})?", re.sub(r"\b(?:and|or)\b", " ", bare))
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels))) for name, labels in found]
