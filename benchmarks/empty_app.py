"""A Textual app with nothing on it: what any viewer costs at least."""

from __future__ import annotations

from textual.app import App


class EmptyApp(App[None]):
    """Shows nothing, and waits for keys."""


if __name__ == "__main__":
    EmptyApp().run()
