"""What all pages over the main screen have in common: keys, a frame, a footer."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypeVar

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

Result = TypeVar("Result")


class PageBody(VerticalScroll, can_focus=False):
    """The framed part of a page, which scrolls; the keys are the page's."""


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
        border: round $primary 60%;
        border-title-style: bold;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $primary 40%;
    }
    Page.-ascii PageBody { border: ascii $primary 60%; scrollbar-size-vertical: 0; }
    """
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = bindings(PAGE_COMMANDS)

    def __init__(self, title: str, glyphs: Glyphs) -> None:
        super().__init__(classes="-ascii" if glyphs.only_ascii else None)
        self._title = title
        self.glyphs = glyphs

    def compose(self) -> ComposeResult:
        """Frame and footer."""
        with PageBody(id="page") as body:
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

    def action_choose(self) -> None:
        """Nothing to choose on most pages."""

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
