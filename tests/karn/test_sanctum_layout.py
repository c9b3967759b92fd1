"""What there is room for: a wider terminal never shows less, and nothing essential is cut at 80 columns."""

from __future__ import annotations

from sanctum_screens import screen_text, viewer
from sanctum_support import fixed_recorder, read, thrashing_run, training

from esper.karn.sanctum.columns import COLUMNS, SlotRow
from esper.karn.sanctum.fitting import lay_out
from esper.leyline import LifecycleOp


def test_a_wider_table_never_has_fewer_columns(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "run"))
    rows = [SlotRow(*item) for item in read(tmp_path).slots.items()]
    before = 0
    for width in range(20, 260):
        layout = lay_out(rows, width)
        assert len(layout.columns) >= before
        assert sum(layout.widths) + layout.gap * (len(layout.widths) - 1) <= width
        before = len(layout.columns)
    assert before == len(COLUMNS)
    assert (layout.gap, layout.look.history_cells) == (2, 24)


async def test_a_wider_terminal_never_shows_fewer_columns(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "run"))
    app = viewer(tmp_path)
    shown = []
    async with app.run_test(size=(60, 40)) as pilot:
        for width in (60, 80, 110, 140, 169, 170, 200, 223, 224, 260):
            await pilot.resize_terminal(width, 40)
            await pilot.pause()
            head = next(line for line in screen_text(app).splitlines() if " Slot " in line)
            shown.append(sum(column.title in head for column in COLUMNS))
        assert "-wide" in app.screen.classes
    assert shown == sorted(shown)
    assert shown[3:] == [len(COLUMNS)] * len(shown[3:])


async def test_the_page_of_a_slot_fits_80_columns(tmp_path):
    with training(tmp_path) as recorder:
        recorder.seed_added(0, "r0c0", 1, 4)
        for epoch in range(8):
            before = 1 + epoch % 2
            op = LifecycleOp.SHRINK_INTERNAL if epoch % 2 else LifecycleOp.GROW_INTERNAL
            recorder.decision(0, "r0c0", op, probability=0.25)
            recorder.level_changed(0, "r0c0", before, 3 - before)
            recorder.epoch_end(0, epoch + 1, 1.0 + 0.5 * (-1) ** epoch, 0.5 - 0.4 * (-1) ** epoch)
    app = viewer(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        page = screen_text(app)
        assert "p: its probability as carried out" in page
        assert "…" not in page
        await pilot.press("G")
        await pilot.pause()
        lines = screen_text(app).splitlines()
    ops = [line.strip("│ ▁▂▃▄▅▆▇█") for line in lines if "→" in line]
    assert ops[0].split() == ["0", "7", "▼", "2", "→", "1", "reversal", "-1.0000", "+80.00", "0.25"]
    assert "+ germinated at level 1" in "\n".join(lines)


async def test_the_probability_of_an_op_under_a_holdout_is_called_that_of_what_was_carried_out(tmp_path):
    """The policy chose it with 0.50; the decision, and so the delta, has what the holdout left of it."""
    grow = LifecycleOp.GROW_INTERNAL
    held = {"intended_op": grow, "intended_slot": "r0c0", "holdout_probability": 0.1}
    with training(tmp_path) as recorder:
        recorder.seed_added(0, "r0c0", 1, 4)
        recorder.epoch_end(0, 1, 1.0, 0.5)
        recorder.decision(0, "r0c0", grow, probability=0.45, **held)
        recorder.level_changed(0, "r0c0", 1, 2)
        recorder.epoch_end(0, 2, 1.0, 0.5)
    app = viewer(tmp_path)
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        page = screen_text(app)
    assert "0.45" in page
    assert "p: its probability as carried out" in page
    assert "policy" not in page
