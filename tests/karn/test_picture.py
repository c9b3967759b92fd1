"""Levels over epochs as a picture, and ``karn plot``, with matplotlib and without."""

from __future__ import annotations

import io

import pytest
from level_support import EXAMPLES, Lines, levels_of
from PIL import Image

from esper.karn.plotting.picture import MAX_PNG_BYTES, picture
from esper.karn.plotting.sparkline import sparkline_text
from esper.karn.store.levels import MAX_SLOTS
from support import run_python, write_run
from test_cli import error_of, karn


@pytest.fixture
def run() -> Lines:
    return Lines()


# The picture.


def decoded(png: bytes) -> Image.Image:
    assert len(png) <= MAX_PNG_BYTES
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def test_the_picture_is_a_png_with_a_light_background():
    image = decoded(picture(levels_of(EXAMPLES, "oscillate")))
    assert image.format == "PNG"
    assert image.width >= 1000
    assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    colours = {colour for _, colour in image.convert("RGB").getcolors(1_000_000)}
    assert len(colours) > 3


def test_a_full_picture_stays_small(tmp_path):
    slots = ("r0c0", "r0c1", "r0c2")
    write_run(
        tmp_path, "many", policy="random", n_envs=5, slots=slots, episodes=3, epochs=60, fossilize_at=45
    )
    levels = levels_of(tmp_path)
    assert len(levels.slots) == MAX_SLOTS
    assert decoded(picture(levels)).height > 800


def test_thousands_of_changes_are_drawn_as_stretches(tmp_path):
    write_run(tmp_path, "long", policy="random", episodes=20, epochs=100, prune_at=50, n_envs=1)
    decoded(picture(levels_of(tmp_path)))


@pytest.mark.parametrize("run_dir", [r"$\undefined$", "$$", "plain"])
def test_names_are_drawn_letter_by_letter(run_dir, tmp_path, run):
    # Read as mathematics, some of them would be errors.
    for name in (r"$\frac{$", "$x$", "<b>&amp;", "\x1b[31m", "n" * 500, "槽\U0001f331"):
        run.walk([1, 2, 1, 2], slot_id=name)
    run.epochs(5)
    levels = run.levels(tmp_path, run_dir)
    assert len(levels.slots) == 6
    decoded(picture(levels))
    assert sparkline_text(levels).replace("\n", "").isprintable()


def test_the_same_run_gives_the_same_picture():
    levels = levels_of(EXAMPLES, "heuristic")
    assert picture(levels) == picture(levels)


# The command.


def test_karn_plot_prints_sparklines_and_writes_a_picture(tmp_path):
    out = tmp_path / "levels.png"
    done = karn("plot", "oscillate", "-d", EXAMPLES, "--slot", "r0c0", "--out", out)
    assert done.returncode == 0
    assert "2 of 2 slots" in done.stdout
    assert done.stdout.endswith(f"picture: {out}\n")
    decoded(out.read_bytes())


def test_karn_plot_refuses_what_it_cannot_write(tmp_path):
    assert ".png" in error_of("plot", "-d", EXAMPLES, "--out", tmp_path / "x.pdf")
    assert "can't write" in error_of("plot", "-d", EXAMPLES, "--out", tmp_path / "none" / "x.png")
    assert "did you mean oscillate" in error_of("plot", "oscilate", "-d", EXAMPLES)


NO_MATPLOTLIB = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def test_karn_plot_without_matplotlib_names_the_extra(tmp_path):
    code = f"""{NO_MATPLOTLIB}
sys.argv = ["karn", "plot", "-d", sys.argv[1], "--out", sys.argv[2]]
from esper.cli import main
main()
"""
    done = run_python(code, EXAMPLES, tmp_path / "x.png", check=False)
    assert done.returncode == 1
    assert "pip install 'karn-telemetry[plot]'" in done.stderr


def test_an_answer_without_matplotlib_is_the_text_and_one_note():
    code = f"""{NO_MATPLOTLIB}
from pathlib import Path
from esper.karn.mcp.plot import plot_answer
from esper.karn.store.database import Store
with Store(Path(sys.argv[1]), seal=False) as store:
    store.refresh()
    answer = plot_answer(store, "oscillate", None, None)
assert answer.png is None
assert answer.text.count("karn-telemetry[plot]") == 1
assert answer.structured["warnings"] == ["no picture: pip install 'karn-telemetry[plot]'"]
assert "env 0 r0c0: thrashing since episode 0 epoch 3" in answer.text
"""
    run_python(code, EXAMPLES)
