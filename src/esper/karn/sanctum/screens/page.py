"""What all pages over the main screen have in common: keys, a frame, a footer."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Footer

from esper.karn.sanctum.commands import PAGE_COMMANDS, bindings
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.widgets.scrolled import fit_bar

Result = TypeVar("Result")
FRAME_CELLS, BAR_CELLS = 5, 1
"""What a page's frame and scrollbar take of the width, and the scrollbar alone."""
LOW = 9
"""Rows of a terminal below which there is no frame."""


class PageBody(VerticalScroll, can_focus=False):
    """The framed part of a page, which scrolls; the keys are the page's."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="page")
        self._glyphs = glyphs

    def on_mount(self) -> None:
        """Tell how much more there is."""
        fit_bar(self, self._glyphs)


class Page(ModalScreen[Result]):
    """A page over the main screen.

    Args:
        title: in the frame.
        glyphs: to draw with.
    """

    DEFAULT_CSS = """
    Page { background: $background; }
    Page PageBody {
        height: 1fr;
        border: round $primary 75%;
        border-title-style: bold;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $primary 75%;
    }
    Page.-ascii PageBody { border: ascii $primary 75%; }
    Page.-tiny PageBody { border: none; padding: 0; }
    Page.-tiny Footer { display: none; }
    """
    AUTO_FOCUS = ""
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (LOW, "-normal")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = bindings(PAGE_COMMANDS)

    def __init__(self, title: str, glyphs: Glyphs) -> None:
        super().__init__(classes="-ascii" if glyphs.only_ascii else None)
        self._title = title
        self.glyphs = glyphs

    async def on_event(self, event: events.Event) -> None:
        """Fill no page of an app that was told to end: what it is made of is never put in."""
        if not (self.app._exit and isinstance(event, events.Mount | events.Resize)):
            await super().on_event(event)

    def compose(self) -> ComposeResult:
        """Frame and footer."""
        with PageBody(self.glyphs) as body:
            body.border_title = Content(self._title)  # a str would be read as markup
            yield from self.compose_body()
        yield Footer(show_command_palette=False)

    def compose_body(self) -> ComposeResult:
        """What stands in the frame."""
        raise NotImplementedError

    def tick(self, snapshot: SanctumSnapshot, now: datetime) -> None:
        """Look again at what may have changed.

        Args:
            snapshot: what the main screen shows.
            now: UTC.
        """

    def action_close(self) -> None:
        """Back to the main screen."""
        self.dismiss(None)

    async def action_help(self) -> None:
        """Open the help over this page."""
        await self.app.run_action("help")

    def action_page(self, where: str) -> None:
        """Scroll."""
        scroll(self.query_one("#page"), where)


def scroll(widget: Widget, where: str) -> None:
    """Scroll a widget: down, up, page_down, page_up, home or end."""
    match where:
        case "down":
            widget.scroll_down(animate=False)
        case "up":
            widget.scroll_up(animate=False)
        case "page_down":
            widget.scroll_page_down(animate=False)
        case "page_up":
            widget.scroll_page_up(animate=False)
        case "home":
            widget.scroll_home(animate=False)
        case "end":
            widget.scroll_end(animate=False)
