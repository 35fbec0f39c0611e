"""What all figures are drawn with: colours, panels, texts, the picture's bytes. matplotlib is imported on drawing."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["png", "svg"]

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"


def text(value: Any, longest: int = 40) -> str:
    """Safe to draw: one line, not too long, and no dollar sign that would start a formula."""
    line = "".join(c if c.isprintable() else " " for c in str(value))
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return line.replace("\\", "\\\\").replace("$", r"\$") if "$" in line else line


def grid(n: int, *, columns: int = 1, size: tuple[float, float] = (4.4, 3.4)) -> tuple[Figure, list[Axes]]:
    """A white figure with n panels. No pyplot: nothing global, so it is safe in any thread."""
    from matplotlib.figure import Figure

    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", facecolor="white")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for ax in panels:
        ax.grid(color="#e6e6e6", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, panels


def label(ax: Axes, title: str, x: str, y: str) -> None:
    """Title and axes."""
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)


def legend(ax: Axes) -> None:
    """Where there is something to tell apart."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)


def message(words: str, kind: Kind) -> bytes:
    """A picture that says why there is none."""
    figure, (ax,) = grid(1, size=(5, 1.2))
    ax.axis("off")
    ax.text(0.5, 0.5, words, ha="center", va="center")
    return picture(figure, kind)


def cycle() -> list[str]:
    """Colours for more curves than anybody can tell apart."""
    return list(COLOURS) * 8


def picture(figure: Figure, kind: Kind) -> bytes:
    """The finished figure; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=110, metadata=metadata)
    return buffer.getvalue()
