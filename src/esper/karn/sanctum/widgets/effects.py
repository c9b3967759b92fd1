"""The counterfactual panel: what GROW and SHRINK did against NOOP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from esper.karn.diagnosis import Effect
from esper.karn.sanctum.effects import SUBTITLE, TITLE, effect_line, effect_lines
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.widgets.lines import Lines


class EffectsWidget(Lines):
    """A line for each op, or one line for both where it is given no more."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._glyphs = glyphs
        self._effects: Sequence[Effect] = ()
        self.border_title = TITLE
        self.border_subtitle = SUBTITLE

    def show_effects(self, effects: Sequence[Effect]) -> None:
        """Show these."""
        self._effects = effects
        self._fill()

    def on_resize(self) -> None:
        """Use the room that there is now."""
        self._fill()

    def _fill(self) -> None:
        one_each = self.content_size.height > 1
        self.show(effect_lines(self._effects) if one_each else effect_line(self._effects, self._glyphs))
