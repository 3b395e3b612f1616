"""
The report: one HTML file with a bar for each drain, and nothing that it would have to load.

It has no script, and its policy forbids one: names and reasons come from an account, and each is
escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from drainer.cli.account.screen import counted, duration
from drainer.cli.history.past import EITHER, PHASES, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, tzinfo

    from drainer.cli.history.past import Past, Span, Summary

# A browser shows so many bars without delay, and a person reads no more.
BARS_MAX = 1_000
TICKS = 4
# How a bar ends.
ENDS = (("end", "ended"), ("left", "ended with tasks left"), ("open", "open"))
# The classes of the style sheet; what it does not know is shown as `other`.
CLASSES = {phase: phase for phase in PHASES if phase != EITHER} | {EITHER: "either"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What the report is about."""

    stack: str
    region: str
    since: datetime
    now: datetime
    zone: tzinfo | None = None

    @property
    def period(self) -> str:
        """The time that the report covers."""
        return f"{self.shown(self.since)} to {self.shown(self.now)}"

    def shown(self, instant: datetime) -> str:
        """Return an instant in the report's time zone."""
        return instant.astimezone(self.zone).strftime("%Y-%m-%d %H:%M %Z")


def page(subject: Subject, drains: Sequence[Past], warnings: Sequence[str] = ()) -> str:
    """Return the whole page."""
    sums = summary_of(drains)
    shown = sorted(drains, key=lambda one: -one.seconds)[:BARS_MAX]
    longest = max((one.seconds for one in shown), default=1.0) or 1.0
    title = f"Drains of {subject.stack} in {subject.region}"
    cut = len(drains) - len(shown)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=dim>{escape(subject.period)}</p>",
        *(f"<p class=warn>{escape(text)}</p>" for text in warnings),
        _tiles(sums),
        _legend(sums),
        *_groups(subject, shown, longest),
        f"<p class=dim>Shorter, not shown: {counted(cut, 'drain')}.</p>" if cut else "",
        _slowest(sums),
    ]
    return _document(title, "\n".join(part for part in parts if part))


def _document(title: str, body: str) -> str:
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _tiles(sums: Summary) -> str:
    values = [
        ("drains", f"{sums.drains}"),
        ("open", f"{sums.open}"),
        ("median", duration(sums.p50) if sums.p50 is not None else "-"),
        ("95 % within", duration(sums.p95) if sums.p95 is not None else "-"),
        ("tasks left", f"{sums.left}"),
    ]
    tiles = (f"<div><b>{escape(value)}</b><span>{name}</span></div>" for name, value in values)
    return f"<section class=tiles>{''.join(tiles)}</section>"


def _legend(sums: Summary) -> str:
    items = (
        f"<li><i class='{_class(phase)}'></i>{escape(phase)} {share:.0%}</li>"
        for phase, share in sums.shares.items()
    )
    ends = (f"<li><b class={name}></b>{text}</li>" for name, text in ENDS)
    return f"<ul class=legend>{''.join((*items, *ends))}</ul>" if sums.shares else ""


def _groups(subject: Subject, drains: Sequence[Past], longest: float) -> Iterator[str]:
    if not drains:
        yield "<p>No records of drains in this time.</p>"
    for group in sorted({one.group for one in drains}):
        own = sorted((one for one in drains if one.group == group), key=lambda one: one.began_at)
        clusters = ", ".join(sorted({one.cluster for one in own if one.cluster}))
        where = f" <span class=dim>cluster {escape(clusters)}</span>" if clusters else ""
        yield f"<h2>{escape(group)}{where}</h2>"
        yield f"<div class=scale>{''.join(_ticks(longest))}</div>"
        yield "\n".join(_row(subject, one, longest) for one in own)


def _ticks(longest: float) -> Iterator[str]:
    for count in range(TICKS + 1):
        share = count / TICKS
        yield f"<span style='left:{share:.0%}'>{escape(duration(longest * share))}</span>"


def _row(subject: Subject, one: Past, longest: float) -> str:
    ended = (
        one.ended_at.astimezone(subject.zone).strftime("%m-%d %H:%M") if one.ended_at else "open"
    )
    took, end = duration(one.seconds), "left" if one.left and not one.is_open else "end"
    left = f", {counted(one.left, 'task')} left" if one.left else ""
    bar = "".join(_span(span, longest) for span in one.spans)
    told = ". ".join([one.reason, *(f"{what} {who}" for what, who in one.by_hand)]).strip(". ")
    return (
        f"<div class=row title='{escape(told)}'>"
        f"<div class=name><code>{escape(one.instance)}</code> <small>{escape(ended)}</small></div>"
        f"<div class=bar>{bar}<b class={end if not one.is_open else 'open'}></b></div>"
        f"<div class=how>{escape(took)} <small>{escape(one.decision + left)}</small></div></div>"
    )


def _span(span: Span, longest: float) -> str:
    share = min(1.0, span.seconds / longest)
    told = escape(f"{span.phase} {duration(span.seconds)}")
    return f"<i class='{_class(span.phase)}' style='width:{share:.3%}' title='{told}'></i>"


def _class(phase: str) -> str:
    return CLASSES.get(phase, "other")


def _slowest(sums: Summary) -> str:
    if not sums.slowest:
        return ""
    rows = "".join(
        f"<tr><td>{escape(owner)}</td><td>{escape(duration(seconds))}</td></tr>"
        for owner, seconds in sums.slowest
    )
    return (
        "<h2>Slowest to leave</h2><table><tr><th>service or family</th>"
        f"<th>median until its last task was gone</th></tr>{rows}</table>"
    )
