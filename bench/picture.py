"""A report as a picture: for each work, how many requests a second a server answers, as a share of the limit's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from bench.report import Line, Section

_COLOURS = {"limit": "#c9ced6", "ours": "#2563a8", "plain": "#d98324", "rest": "#7a9a3f"}
_SAID = {"limit": "the limit", "ours": "the planner", "plain": "Strawberry + Tortoise", "rest": "FastAPI + Tortoise"}
_WIDTH, _LEFT, _RIGHT = 760, 120, 130
_SCALE = _WIDTH - _LEFT - _RIGHT  # pixels of the limit
_BAR, _GAP, _TOP = 12, 12, 84
_INK = "#22262c"


@dataclass(frozen=True)
class _Bar:
    line: "Line"
    top: int

    def drawn(self) -> Iterator[str]:
        line, share = self.line, self.line.of_limit
        width = round(_SCALE * (1 if share is None else min(share, 1.15)), 1)
        colour = "none" if share is None else _COLOURS[line.rival]
        outline = f' stroke="{_COLOURS[line.rival]}" stroke-dasharray="3 3"' if share is None else ""
        yield f'<rect x="{_LEFT}" y="{self.top}" width="{width}" height="{_BAR - 2}" fill="{colour}"{outline}/>'
        if line.cpu_over_limit and line.rival != "limit":
            x = round(_LEFT + _SCALE / line.cpu_over_limit, 1)
            yield f'<path d="M{x} {self.top - 1}v{_BAR}" stroke="{_INK}" stroke-width="2"/>'
        told = f"{line.rate:,.0f}/s" + ("" if share is None or line.rival == "limit" else f"  {share:.2f}")
        yield _text(_LEFT + width + 6, self.top + 9, told, size=10)


def picture(section: "Section") -> str:
    """The section as SVG. Each work has its name, a bar for each server, and a mark where its share by CPU ends."""
    parts, top = list(_head(section)), _TOP
    for work, lines in groupby(section.lines, key=lambda line: line.work):
        bars = [_Bar(line, top + number * _BAR) for number, line in enumerate(lines)]
        parts.append(_text(_LEFT - 8, top + 9, work, anchor="end"))
        parts += [piece for bar in bars for piece in bar.drawn()]
        top += len(bars) * _BAR + _GAP
    for fact in section.facts:
        top += 16
        parts.append(_text(16, top, f"{fact.name}: {fact.median:,.2f} {fact.unit}"))
    return _svg(parts, top + 20)


def _head(section: "Section") -> Iterator[str]:
    yield _text(
        16,
        24,
        f"Requests a second as a share of the limit, on {section.conditions['database'].partition(' (')[0]}",
        size=14,
    )
    x = 16
    for rival in dict.fromkeys(line.rival for line in section.lines):
        yield f'<rect x="{x}" y="38" width="12" height="10" fill="{_COLOURS[rival]}"/>'
        yield _text(x + 17, 47, _SAID[rival])
        x += 40 + 7 * len(_SAID[rival])
    yield f'<path d="M{x} 37v12" stroke="{_INK}" stroke-width="2"/>'
    yield _text(x + 8, 47, "the share by CPU")
    yield _text(16, 68, "Dashed where there is no limit to measure against.", size=10)


def _text(x: float, y: float, said: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{_INK}">{escape(said)}</text>'


def _svg(parts: Sequence[str], height: int) -> str:
    root = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return "\n".join(
        [f'{root} font-family="sans-serif">', '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""]
    )
