"""Charts: data to SVG, once. MLflow, the bundle, the service's pages and the demonstration draw with this.

Standard library only; no text of its own but in `figures`; every text of others is escaped.

| module | what is in it |
|---|---|
| `chart` | the record of a chart, escaping, short names and numbers |
| `line_chart` | two axes: lines, bands, dots, events, regions |
| `categories` | bars, signed bars, dots on a common scale, the confusion matrix |
| `histograms` | before and after: two sides in the same bins or levels |
| `timeline` | lanes with marks and spans |
| `model_quality` | ROC, precision and recall, calibration, confusion, importance |
| `search_history` | training curves, convergence, comparison and search space of the trials |
| `document` | charts as a stand-alone SVG file, with colours and legends |
| `figures` | a version's figures for MLflow and the bundle |
"""

from ml.charts.categories import bars, dot_plot, matrix, share_bar, signed_bars
from ml.charts.chart import Chart, Key, Localise
from ml.charts.histograms import Histogram, histogram, paired_bars
from ml.charts.line_chart import Event, Region, Series, line_chart
from ml.charts.timeline import Mark, Span, lanes

__all__ = [
    "Chart",
    "Event",
    "Histogram",
    "Key",
    "Localise",
    "Mark",
    "Region",
    "Series",
    "Span",
    "bars",
    "dot_plot",
    "histogram",
    "lanes",
    "line_chart",
    "matrix",
    "paired_bars",
    "share_bar",
    "signed_bars",
]
