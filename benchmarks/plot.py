"""The contenders as bars: seconds, CPU and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.compare import PART
from benchmarks.contenders import CONTENDERS
from benchmarks.results import Results, Row

PANELS = {"generation_s": "generation, s", "cpu_ms_per_image": "CPU, ms an image", "peak_mb": "peak memory, MB"}
OURS, OTHERS = "#d1495b", "#8d99ae"
WIDTH_IN, ROW_IN = 11.0, 2.6
FORMATS = ("png", "svg")
DPI = 120


def draw(results: Results, stem: Path) -> list[Path]:
    """Write the plot in both formats beside each other.

    Args:
        results: What was measured; without contenders nothing is written.
        stem: Path without its suffix.

    Returns:
        The files.
    """
    rows = results.of(PART)
    cases = list(dict.fromkeys(row.case for row in rows))
    if not cases:
        return []
    figure = Figure(figsize=(WIDTH_IN, ROW_IN * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    for line, case in enumerate(cases):
        found = [row for row in rows if row.case == case]
        for place, (name, title) in enumerate(PANELS.items()):
            axes = figure.add_subplot(len(cases), len(PANELS), line * len(PANELS) + place + 1)
            _draw_bars(axes, found, name, names_shown=place == 0)
            axes.set_title(f"{case}\n{title}" if place == 0 else title, fontsize=9, loc="left")
    files = [stem.with_suffix(f".{suffix}") for suffix in FORMATS]
    # No date and no random ids inside: the same figures give the same file.
    with rc_context({"svg.hashsalt": PART}):
        for file in files:
            figure.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _draw_bars(axes: Axes, rows: Sequence[Row], name: str, *, names_shown: bool) -> None:
    places = range(len(rows))
    middles = [row.median(name) for row in rows]
    least = [row.median(name) - min(row.figures[name]) for row in rows]
    most = [max(row.figures[name]) - row.median(name) for row in rows]
    colours = [OURS if row.subject == "imagen" else OTHERS for row in rows]
    axes.barh(places, middles, xerr=(least, most), color=colours, ecolor="#2b2d42", capsize=2)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            f"{row.median(name):,.1f}",
            (max(row.figures[name]), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(places, [CONTENDERS[row.subject].title.replace("`", "") if names_shown else "" for row in rows])
    axes.tick_params(labelsize=8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
