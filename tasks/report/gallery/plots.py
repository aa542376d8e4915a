"""The summary's plots, as SVG in a light and a dark dress; matplotlib draws them, where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tasks.core.money import MICROS_PER_USD
from tasks.report.gallery.figures import Figures
from tasks.store.output import NewFile, Output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = "gallery/plots"
# Inches; the page scales them.
SIZE_IN = (6.4, 3.2)
# Bars over the whole time of the batch, whatever that is.
BINS = 60
MODELS_SHOWN = 8
"""The costliest; the others are one colour."""
MOST_SCORES = 12
"""Plots of scores."""
LINES_SHOWN = 10
"""Backends with the most images, and the most frequent kinds of failures: what fits below each other."""
# Characters beside a bar; a model's name may be longer than the plot is wide.
NAME_CHARACTERS = 28
DAY_S = 86_400
"""Matplotlib counts days since 1970."""
COLOURS = ("#4f7cff", "#f2994a", "#2fa37c", "#d1495b", "#9b6dff", "#d9a800", "#3fa7d6", "#8d99ae", "#6b7280")
INK = {"light": "#4a4d57", "dark": "#b9bdc9"}


def can_plot() -> bool:
    """True if matplotlib is there: it comes with the extra `gallery`."""
    return find_spec("matplotlib") is not None


async def write_plots(figures: Figures, out: Output) -> dict[str, str]:
    """Draw what there is something to draw of.

    Returns:
        File names by the plot's title: the part before `-light.svg` and `-dark.svg`.

    Raises:
        BatchStopped: A file could not be written.
    """
    drawn = {}
    for name, title, draw in _choose_plots(figures):
        drawn[title] = name
        for theme, ink in INK.items():
            # Drawn here, not in a thread: matplotlib's settings are the whole process'.
            await out.write(partial(NewFile, get_file_name(name, theme), _render_svg(draw, ink)))
    return drawn


def get_file_name(name: str, theme: str) -> str:
    """Name of a plot's file in the output."""
    return f"{FOLDER}/{name}-{theme}.svg"


def _choose_plots(figures: Figures) -> Iterator[tuple[str, str, Callable[[Axes], None]]]:
    if figures.completed_us:
        yield "throughput", "Images over time (UTC)", lambda axes: _draw_throughput(axes, figures)
    if figures.latency_ms:
        yield "latency", "Latency by backend, seconds", lambda axes: _draw_latency(axes, figures)
    if any(cost.cost_micros for cost in figures.costs.values()):
        yield "cost", "Cost by day and model, US dollars", lambda axes: _draw_cost(axes, figures)
    # Yes and no make no boxes; the table has their shares.
    drawn = [group for group in figures.scores.list_groups() if group[0] not in figures.scores.answers]
    for number, (name, column, values) in enumerate(drawn[:MOST_SCORES], start=1):
        # By number: a name of another package's score would be a part of a file's name.
        title = f"{_shorten(name)} by {_shorten(column)}"
        yield f"score-{number}", title, partial(_draw_boxes, values=values, starts_at_0=False)
    if figures.failures:
        yield "failures", "Failures by kind", lambda axes: _draw_failures(axes, figures)


def _render_svg(draw: Callable[[Axes], None], ink: str) -> bytes:
    from matplotlib import rc_context  # noqa: PLC0415  an extra, and half a second to load
    from matplotlib.figure import Figure  # noqa: PLC0415  likewise

    lines = [f"{part}.color" for part in ("text", "xtick", "ytick", "boxplot.whiskerprops", "boxplot.capprops")]
    lines += ["axes.edgecolor", "axes.labelcolor", "boxplot.boxprops.color", "boxplot.flierprops.markeredgecolor"]
    # The browser's own sans serif, and neither random ids nor a date: the same figures give the same file.
    style: dict[Any, Any] = dict.fromkeys(lines, ink) | {
        "svg.fonttype": "none",
        "svg.hashsalt": "imagen",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.parse_math": False,  # a model's name may hold a $
        "timezone": "UTC",
    }
    file = BytesIO()
    with rc_context(style), warnings.catch_warnings():
        # The browser has letters that the font by which matplotlib measures has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def _draw_throughput(axes: Axes, figures: Figures) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415  likewise

    axes.hist([us / 1e6 / DAY_S for us in figures.completed_us], bins=BINS, color=COLOURS[0])
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]  # the library's gap
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # likewise
    axes.set_ylabel("images")
    axes.grid(axis="y", alpha=0.2)


def _draw_latency(axes: Axes, figures: Figures) -> None:
    seconds = {name: [ms / 1000 for ms in values] for name, values in figures.latency_ms.items()}
    _draw_boxes(axes, values=seconds, starts_at_0=True)


def _draw_boxes(axes: Axes, *, values: Mapping[str, Sequence[float]], starts_at_0: bool) -> None:
    """A box for each name, those with the most values."""
    names = sorted(values, key=lambda name: len(values[name]))[-LINES_SHOWN:]
    lines = [list(values[name]) for name in names]
    boxes = axes.boxplot(lines, orientation="horizontal", patch_artist=True, widths=0.4, flierprops={"markersize": 2})
    for box in boxes["boxes"]:
        box.set(facecolor=COLOURS[0], alpha=0.6)
    axes.set_ylim(0, len(names) + 1)
    axes.set_yticks(range(1, len(names) + 1), [_shorten(name) for name in names])
    if starts_at_0:
        axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.2)


def _draw_cost(axes: Axes, figures: Figures) -> None:
    of_model: dict[str, int] = {}
    for (_, model), cost in figures.costs.items():
        of_model[model] = of_model.get(model, 0) + cost.cost_micros
    shown = sorted(of_model, key=lambda model: -of_model[model])[:MODELS_SHOWN]
    days = sorted({day for day, _ in figures.costs})
    base = [0.0] * len(days)
    for colour, group in zip(COLOURS, [*([model] for model in shown), sorted(of_model.keys() - shown)], strict=False):
        micros = [sum(figures.costs[day, m].cost_micros for m in group if (day, m) in figures.costs) for day in days]
        heights = [amount / MICROS_PER_USD for amount in micros]
        label = _shorten(group[0]) if len(group) == 1 else f"{len(group)} others"
        if group:
            axes.bar(days, heights, bottom=base, color=colour, label=label, width=0.6)
        base = [low + height for low, height in zip(base, heights, strict=True)]
    # At least four days wide: one bar over the whole plot would say nothing.
    axes.set_xlim(-1, max(len(days), 4))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(axis="y", alpha=0.2)
    axes.tick_params(axis="x", rotation=0 if len(days) <= 6 else 60)  # noqa: PLR2004  more do not fit side by side


def _draw_failures(axes: Axes, figures: Figures) -> None:
    kinds = figures.failures.most_common(LINES_SHOWN)
    places = range(len(kinds))
    bars = axes.barh(places, [jobs for _, jobs in kinds], color=COLOURS[3], height=0.6)
    axes.set_yticks(places, [_shorten(kind) for kind, _ in kinds])
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)


def _shorten(name: str) -> str:
    """A name that leaves room for the plot; one line, without what a drawing cannot show."""
    # A control character in a name would end the SVG's text.
    shown = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    return shown if len(shown) <= NAME_CHARACTERS else f"{shown[: NAME_CHARACTERS - 1]}…"
