"""A fitted `Preprocessor` as ONNX ops, step by step what its `transform` does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.models.onnx.graph import CATEGORIES, NUMBERS, Graph
from ml.models.preprocessing import dates, statistics
from ml.models.preprocessing.state import FAR, State


def emit(graph: Graph, state: State, offsets: list[int]) -> list[str]:
    """The values whose columns make up `Encoded.dense`; `offsets` are `Preprocessor.offsets`.

    With dates, whose differences are made of two raw columns, the raw numbers are mixed, else what was made of them.
    """
    parts = []
    raw, encoded = NUMBERS, graph.mixed
    if state.options.dates and state.numbers:
        raw, encoded = graph.mixed(NUMBERS, range(len(state.numbers))), _as_it_is
    numbers, sources = [], []
    if state.varying:
        numbers, sources = [_numbers(graph, state, raw)], list(state.varying)
    for one in state.statistics:
        place = state.categories.index(one.column)
        made, own = statistics.emit(graph, one, place), [len(state.numbers) + place] * len(one.values[0])
        numbers.append(made if encoded == graph.mixed else graph.mixed(made, own))
        sources += own
    if numbers:
        parts.append(encoded(graph.concat(numbers), sources))
    if state.flagged:
        flagged = _gather(graph, raw, state.flagged, len(state.numbers))
        parts.append(encoded(graph.op("Cast", graph.op("IsNaN", flagged), to=1), state.flagged))
    if offsets[-1]:
        sizes = np.diff(offsets)
        columns = np.repeat(np.arange(len(sizes)) + len(state.numbers), sizes)
        parts.append(graph.mixed(_one_hot(graph, state, offsets), columns.tolist()))
    return parts


def _as_it_is(value: str, columns: Sequence[int]) -> str:
    return value


def _gather(graph: Graph, value: str, wanted: tuple[int, ...], available: int) -> str:
    if len(wanted) == available:
        return value
    return graph.op("Gather", value, graph.int64(*wanted), axis=1)


def _numbers(graph: Graph, state: State, raw: str) -> str:
    options, available = state.options, len(state.numbers)
    if options.dates:
        places = tuple(state.numbers.index(name) for name in options.dates)
        days = _gather(graph, raw, places, available)
        raw = graph.concat([raw, dates.emit(graph, days, len(places))])
        available += len(dates.names(options.dates))
    value = _gather(graph, raw, state.varying, available)
    if options.scaling == "none":
        return value
    value = graph.op("Where", graph.op("IsNaN", value), graph.float32(np.asarray([state.fill])), value)
    value = graph.op("Sub", value, graph.float32(np.asarray([state.center])))
    value = graph.op("Mul", value, graph.float32(np.asarray([state.factor])))
    value = graph.op("Clip", value, graph.float32(-float(FAR)), graph.float32(float(FAR)))
    if options.clip != "smooth":
        return value
    t = graph.op("Div", value, graph.float32(options.clip_at))
    square = graph.op("Add", graph.op("Mul", t, t), graph.float32(1.0))
    return graph.op("Div", value, graph.op("Sqrt", square))


def _one_hot(graph: Graph, state: State, offsets: list[int]) -> str:
    """All columns at once: "<column>␟<level>" is looked up in one table, then scattered into zeros."""
    width, n_columns = offsets[-1], len(state.categories)
    prefix = graph.text([f"{j}\x1f" for j in range(n_columns)], (1, n_columns))
    keys = [f"{j}\x1f{level}" for j, levels in enumerate(state.levels) for level in levels]
    places = [offsets[j] + i for j, levels in enumerate(state.levels) for i in range(len(levels))]
    text = graph.op("StringConcat", prefix, CATEGORIES)
    # A table without keys is not allowed; this one can match no cell.
    keys, places = (keys, places) if keys else (["\x1f"], [width])
    codes = graph.op(
        "LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=places, default_int64=-1
    )
    fallback = [offsets[j] + len(state.levels[j]) if state.other[j] else width for j in range(n_columns)]
    unknown = graph.op("Less", codes, graph.int64(0))
    codes = graph.op("Where", unknown, graph.constant(np.asarray([fallback], np.int64)), codes)
    rows = graph.op("Concat", graph.op("Shape", text, start=0, end=1), graph.int64(1), axis=0)
    zeros = graph.op("Expand", graph.float32(np.zeros((1, width + 1))), rows)
    ones = graph.op("Expand", graph.float32(np.ones((1, n_columns))), graph.op("Shape", text))
    block = graph.op("ScatterElements", zeros, codes, ones, axis=1)
    return graph.op("Slice", block, graph.int64(0), graph.int64(width), graph.int64(1))
