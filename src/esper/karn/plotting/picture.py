"""Draws levels over epochs as a picture that can be printed: one panel for each slot, worst first.

Nothing in it is told by colour alone, and names from telemetry are shown letter by letter: between two
dollar signs matplotlib would read mathematics.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING

from esper.karn.plotting.columns import columns
from esper.karn.plotting.curves import RunLevels, SlotLevels
from esper.karn.textout import clean

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PNG_BYTES = 150_000
RESOLUTIONS_DPI = (200, 150, 100, 60)
"""Tried in turn until the picture is small enough."""
COLOURS = 64
"""Of the PNG's palette: five colours, and the shades at their edges."""
MAX_NAME = 48
"""Characters of a run's name."""
MAX_SLOT_NAME = 20
"""Characters of a slot's name: a panel's title is as wide as the panel."""
MAX_STEPS = 250
"""Changes of a slot that can be told apart in a panel; more are shown as stretches ..."""
MAX_STRETCHES = 120
"""... of which a panel has this many."""
MAX_BOUNDARIES = 60
"""More boundaries between episodes than this would grey a panel over."""

LEGEND_ORDER = (
    "level",
    "fossilized",
    "reversal",
    "reversal at a bound",
    "mean level",
    "range of the level",
    "reversals an epoch, 0 to 1 (strip below)",
    "thrashes since",
    "new episode",
)

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_LEVEL, _REVERSAL, _SINCE, _QUIET = "#0072B2", "#D55E00", "#000000", "#BBBBBB"
_X_LABEL = "epochs, episodes one after the other"
_WIDTH_IN = 7.2
_PANEL_IN = 1.2


def picture(levels: RunLevels) -> bytes:
    """A PNG of at most MAX_PNG_BYTES.

    Args:
        levels: at least one slot.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed.
    """
    # Each thread of numpy's linear algebra maps memory of its own, which a query process has little of.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context({"font.family": "DejaVu Sans"}), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, which says as much.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = _draw(levels)
        FigureCanvasAgg(figure)
        png = b""
        for dpi in RESOLUTIONS_DPI:
            png = _png(figure, dpi)
            if len(png) <= MAX_PNG_BYTES:
                break
    return png


def _png(figure: Figure, dpi: int) -> bytes:
    """A palette makes it a third as large as the colours that matplotlib writes."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    image = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True, dpi=(dpi, dpi))
    return small.getvalue()


def _draw(levels: RunLevels) -> Figure:
    from matplotlib.figure import Figure

    n_columns = 1 if len(levels.slots) <= 3 else 2
    n_rows = -(-len(levels.slots) // n_columns)
    figure = Figure(figsize=(_WIDTH_IN, _PANEL_IN * n_rows + 1.0), layout="constrained", facecolor="white")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    handles: dict[str, Artist] = {}
    for place, axes in enumerate(panels.flat):
        if place < len(levels.slots):
            handles |= _panel(axes, levels.slots[place])
        else:
            axes.set_axis_off()
    for axes in panels[-1]:
        axes.set_xlabel(_X_LABEL, fontsize=8)
    if len(levels.slots) % n_columns:  # the panel above the empty place is the last of its column
        panels[-2][-1].set_xlabel(_X_LABEL, fontsize=8)
    figure.supylabel("internal level", fontsize=8)
    rest = levels.n_slots - len(levels.slots)
    more = f", the {len(levels.slots)} worst of {levels.n_slots} slots" if rest else ""
    figure.suptitle(
        f"{_name(levels.run_dir)}: {levels.label.replace('_', ' ')}{more}", fontsize=10, parse_math=False
    )
    named = sorted(handles, key=LEGEND_ORDER.index)
    figure.legend(
        [handles[name] for name in named],
        named,
        loc="outside lower center",
        ncols=min(len(named), 6),
        fontsize=7.5,
        frameon=False,
        handlelength=1.8,
        columnspacing=1.2,
    )
    return figure


def _panel(axes: Axes, slot: SlotLevels) -> dict[str, Artist]:
    """Draw one slot; what the legend must explain of it."""
    from matplotlib.ticker import MaxNLocator

    handles: dict[str, Artist] = {}
    boundaries = [episode.start for episode in slot.episodes[1:]]
    if len(boundaries) <= MAX_BOUNDARIES:
        for start in boundaries:
            handles["new episode"] = axes.axvline(start, color=_QUIET, linewidth=0.6, zorder=0)
    axes.set_xlim(0, slot.end)
    axes.set_ylim(-0.3, max(slot.max_level, 1) + 0.3)
    changes = sum(len(seed.points) for seed in slot.seeds)
    handles |= _stretches(axes, slot) if changes > MAX_STEPS else _steps(axes, slot)
    if slot.since is not None:
        axes.axvline(slot.since, color=_SINCE, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1)
        # At the edge of a panel the line alone would be lost in the axis.
        (handles["thrashes since"],) = axes.plot(
            [slot.since],
            [1.0],
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            color=_SINCE,
            linewidth=1.1,
            linestyle=(0, (4, 2)),
            marker="v",
            markersize=5,
            zorder=4,
        )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.tick_params(labelsize=7.5, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_panel_title(slot), fontsize=7.5, loc="left", pad=5, parse_math=False)
    return handles


def _steps(axes: Axes, slot: SlotLevels) -> dict[str, Artist]:
    """Every single change."""
    handles: dict[str, Artist] = {}
    for seed in slot.seeds:
        end = seed.end if seed.fossilized is None else seed.fossilized
        xs, ys = [x for x, _ in seed.points], [level for _, level in seed.points]
        (handles["level"],) = axes.plot(
            [*xs, end], [*ys, ys[-1]], color=_LEVEL, linewidth=1.3, drawstyle="steps-post", zorder=2
        )
        if seed.fossilized is not None:
            (handles["fossilized"],) = axes.plot(
                [end, seed.end], [ys[-1]] * 2, color=_LEVEL, linewidth=1.3, linestyle=(0, (1, 1.2)), zorder=2
            )
    for name, free, face in (("reversal", True, _REVERSAL), ("reversal at a bound", False, "white")):
        places = [(reversal.x, reversal.level) for reversal in slot.reversals if reversal.free is free]
        if places:
            (handles[name],) = axes.plot(
                *zip(*places, strict=True),
                linestyle="none",
                marker="o",
                markersize=3.6,
                markerfacecolor=face,
                markeredgecolor=_REVERSAL,
                markeredgewidth=0.9,
                clip_on=False,
                zorder=3,
            )
    return handles


def _stretches(axes: Axes, slot: SlotLevels) -> dict[str, Artist]:
    """Mean and range of the level over stretches of epochs, and below it how much of it was reversed."""
    (group,) = columns(slot, MAX_STRETCHES, separated=0)
    xs = [column.start for column in group] + [slot.end]
    none = float("nan")
    means = [none if column.mean is None else column.mean for column in group]
    lows = [none if column.lowest is None else column.lowest for column in group]
    highs = [none if column.highest is None else column.highest for column in group]
    band = axes.fill_between(
        xs,
        [*lows, lows[-1]],
        [*highs, highs[-1]],
        step="post",
        color=_LEVEL,
        alpha=0.25,
        linewidth=0,
        zorder=1,
    )
    (mean,) = axes.plot(
        xs, [*means, means[-1]], color=_LEVEL, linewidth=1.3, drawstyle="steps-post", zorder=2
    )
    low, high = axes.get_ylim()
    room = 0.3 * (high - low)
    rates = [column.reversals / column.length for column in group]
    bars = axes.bar(
        xs[:-1],
        [room * min(rate, 1.0) for rate in rates],
        width=[column.length for column in group],
        bottom=low - room,
        align="edge",
        color=_REVERSAL,
        linewidth=0,
        zorder=2,
    )
    axes.axhline(low, color=_QUIET, linewidth=0.6, zorder=0)
    axes.set_ylim(low - room, high)
    return {
        "mean level": mean,
        "range of the level": band,
        "reversals an epoch, 0 to 1 (strip below)": bars.patches[0],
    }


def _panel_title(slot: SlotLevels) -> str:
    env = "?" if slot.env_id is None else slot.env_id
    return (
        f"env {env} {_name(str(slot.slot_id), MAX_SLOT_NAME)}: {slot.label.replace('_', ' ')}, "
        f"{slot.n_reversals} of {slot.n_pairs} reversed"
    )


def _name(name: str, longest: int = MAX_NAME) -> str:
    text = clean(name)
    return text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
