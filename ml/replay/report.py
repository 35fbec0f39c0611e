"""What came of a replay: a record, a text for the terminal, a page and a picture of it."""

from __future__ import annotations

import functools
import gettext
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ml.charts import Chart, Event, Localise, Series, line_chart
from ml.charts.chart import escape
from ml.charts.document import document
from ml.commands import ROOT
from ml.messages import Message, Text, dates, message
from ml.messages.catalogue import TEMPLATES
from ml.messages.message import fill
from ml.storage.files import replace_folder, to_json

Translate = Callable[[Text], str]

NEVER, SCHEDULE, EVERY, LOOP = "never", "schedule", "every", "refit"
TITLES = {
    NEVER: "replay.strategy_never",
    SCHEDULE: "replay.strategy_schedule",
    EVERY: "replay.strategy_every",
    LOOP: "replay.strategy_refit",
}
HEADS = (
    "replay.head_strategy",
    "replay.head_retrainings",
    "replay.head_accuracy",
    "replay.head_log_loss",
    "replay.head_cost",
)
DECISION_HEADS = ("replay.head_until", "replay.head_retrained", "replay.head_why")
WIDTH = 900  # of the charts, pixels


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of retraining came to over all scored windows, and in each of them.

    `accuracy` is a share, `log_loss` is in nats a row, `cost` in the unit of `tune.costs` (of all rows, each answered
    with the class of the least expected cost; None without costs).
    """

    name: str
    retrainings: int
    accuracy: float
    log_loss: float
    cost: float | None
    accuracy_by_window: list[float]
    log_loss_by_window: list[float]
    cost_by_window: list[float] | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop decided at the end of a window. `promoted` is None where it did not retrain."""

    window: int
    until: str
    verdict: str
    sentence: Text
    promoted: bool | None = None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A whole replay. `rows` have labels, `unlabelled` have none and are left out;
    `windows` are the ends of the scored ones, as text; `delay` is as it was given."""

    table: str
    rows: int
    first_rows: int
    unlabelled: int
    windows: list[str]
    delay: str
    families: list[str]
    strategies: list[Strategy]
    decisions: list[Decision]

    def strategy(self, name: str) -> Strategy:
        """The one of that name."""
        return next(one for one in self.strategies if one.name == name)


def summary(result: Replay) -> list[Message]:
    """In sentences: what the loop came to, against never and against always retraining."""
    loop, never, every = (result.strategy(name) for name in (LOOP, NEVER, EVERY))
    windows = len(result.windows)
    told = [
        message("replay.retrained", n=loop.retrainings, windows=windows, every=every.retrainings),
        message(
            "replay.log_loss", loop=loop.log_loss, never=never.log_loss, every=every.log_loss,
        ),
        message("replay.accuracy", loop=loop.accuracy, never=never.accuracy, every=every.accuracy),
    ]  # fmt: skip
    if loop.cost is not None and never.cost is not None and every.cost is not None:
        told.append(message("replay.cost", loop=loop.cost, never=never.cost, every=every.cost))
    gain = never.log_loss - every.log_loss
    if gain > 0:
        told.append(message("replay.share", share=(never.log_loss - loop.log_loss) / gain))
    else:
        told.append(message("replay.no_gain"))
    return [*told, *caveats(result)]


def caveats(result: Replay) -> list[Message]:
    """What these figures are not."""
    return [
        message("replay.untuned", families=result.families),
        message("replay.first", n=result.first_rows),
        message("replay.clock"),
        message("replay.marks"),
        *([message("replay.late", delay=result.delay)] if result.delay != "0" else []),
        *([message("replay.unlabelled", n=result.unlabelled)] if result.unlabelled else []),
    ]


def text(result: Replay) -> str:
    """For a terminal."""
    costs = result.strategies[0].cost is not None
    head = f"{'strategy':<38}{'retrainings':>12}{'accuracy':>10}{'log-loss':>10}{'cost':>14}"
    lines = [head if costs else head[:-14]]
    for one in result.strategies:
        cost = f"{one.cost:>14,.0f}" if one.cost is not None else ""
        title = str(_title(one.name))
        lines.append(f"{title:<38}{one.retrainings:>12}{one.accuracy:>10.1%}{one.log_loss:>10.4f}{cost}")
    return "\n".join([*lines, "", *map(str, summary(result))])


def write(result: Replay, folder: Path, language: str = "en") -> None:
    """`replay.html`, `replay.svg` and `replay.json`: `folder` is replaced as a whole. `language` is en or vi."""
    fresh = folder.with_name(f".{folder.name}.new")
    fresh.mkdir(parents=True, exist_ok=True)
    translate = translator(language)
    (fresh / "replay.json").write_bytes(to_json(result))
    (fresh / "replay.svg").write_bytes(picture(result, translate, language))
    (fresh / "replay.html").write_text(page(result, translate, language), encoding="utf-8")
    replace_folder(fresh, folder)


def localiser(language: str) -> Localise:
    """Numbers as Python writes them, with the signs of the language."""
    return (lambda number: number.translate({ord(","): ".", ord("."): ","})) if language == "vi" else str


def translator(language: str) -> Translate:
    """Messages in English, or by the catalogue of the pages in another language."""
    catalogue = gettext.translation(
        "messages", ROOT / "serving" / "translations", [language], fallback=language == "en"
    )

    def translate(told: Text) -> str:
        if not isinstance(told, Message):
            return told
        return fill(
            catalogue.gettext(TEMPLATES[told.code]),
            told.values,
            translate=translate,
            localise=localiser(language),
            date=functools.partial(dates.told, language=language),
        )

    return translate


def picture(result: Replay, translate: Translate = str, language: str = "en") -> bytes:
    """The charts as one SVG file; `language` for the signs of its numbers."""
    return document(_charts(result, translate, language), title=translate(message("replay.title", table=result.table)))


def _charts(result: Replay, translate: Translate, language: str) -> list[Chart]:
    measures = [
        ("replay.chart_log_loss", "replay.axis_log_loss", lambda one: one.log_loss_by_window),
        ("replay.chart_accuracy", "replay.axis_accuracy", lambda one: one.accuracy_by_window),
    ]
    if result.strategies[0].cost_by_window is not None:
        measures.insert(0, ("replay.chart_cost", "replay.axis_cost", lambda one: one.cost_by_window))
    return [_chart(result, translate, language, title, axis, values) for title, axis, values in measures]


def _chart(
    result: Replay,
    translate: Translate,
    language: str,
    title: str,
    axis: str,
    values: Callable[[Strategy], Sequence[float] | None],
) -> Chart:
    series = [
        Series(
            name=translate(_title(one.name)),
            points=tuple((float(i), value) for i, value in enumerate(values(one) or ())),
        )
        for one in result.strategies
    ]
    events = [
        Event(
            x=float(decision.window),
            text=f"{dates.told(decision.until, language)}: {translate(_outcome(decision))}",
            kind="promoted" if decision.promoted else "drift",
        )
        for decision in result.decisions
        if decision.promoted is not None
    ]
    last = len(result.windows) - 1
    places = sorted({0, last // 3, 2 * last // 3, last})
    return line_chart(
        series, title=translate(message(title)), x_label=translate(message("replay.axis_time")),
        y_label=translate(message(axis)), events=events, width=WIDTH, localise=localiser(language),
        x_names=[(float(place), dates.told(result.windows[place], language)) for place in places],
    )  # fmt: skip


@functools.cache
def _title(name: str) -> Message:
    return message(TITLES[name])


def _outcome(decision: Decision) -> Message:
    return message("replay.promoted" if decision.promoted else "replay.refused")


STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:0 auto;padding:1rem;background:Canvas;color:CanvasText}
h1,li{overflow-wrap:anywhere}
svg{max-width:100%;height:auto}
@media (prefers-color-scheme:dark){svg{filter:invert(.93) hue-rotate(180deg)}}
.wide{overflow-x:auto}
table{border-collapse:collapse}
th,td{padding:.3rem .8rem;border-bottom:1px solid GrayText;text-align:right;vertical-align:top}
th:first-child,td:first-child,.words th,.words td{text-align:left}
.words td:first-child{white-space:nowrap}
.words td:last-child{min-width:16rem}
"""


def page(result: Replay, translate: Translate = str, language: str = "en") -> str:
    """A page of its own, without scripts, and with nothing from elsewhere; `language` as HTML names it."""
    title = translate(message("replay.title", table=result.table))
    sentences = "".join(f"<li>{escape(translate(one))}</li>" for one in summary(result))
    decisions = [
        [dates.told(one.until, language), translate(_verdict(one)), translate(one.sentence)] for one in result.decisions
    ]
    heads = [translate(message(code)) for code in DECISION_HEADS]
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1><ul>{sentences}</ul>{_comparison(result, translate, localiser(language))}"
        f'<div class="wide" tabindex="0">{picture(result, translate, language).decode()}</div>'
        f"<h2>{escape(translate(message('replay.decisions')))}</h2>{_table([heads, *decisions], 'words')}"
        "</main></body></html>\n"
    )


def _verdict(decision: Decision) -> Message:
    return message("replay.not_retrained") if decision.promoted is None else _outcome(decision)


def _comparison(result: Replay, translate: Translate, localise: Localise) -> str:
    costs = result.strategies[0].cost is not None
    rows = [[translate(message(code)) for code in (HEADS if costs else HEADS[:-1])]]
    for one in result.strategies:
        figures = [str(one.retrainings), f"{one.accuracy:.1%}", f"{one.log_loss:.4f}"]
        figures += [f"{one.cost:,.0f}"] if one.cost is not None else []
        rows.append([translate(_title(one.name)), *map(localise, figures)])
    return _table(rows)


def _table(rows: list[list[str]], kind: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return (
        f'<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
