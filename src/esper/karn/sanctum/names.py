"""Numbers for names, so that each is held once."""

from __future__ import annotations


class Names:
    """Texts and their numbers; 0 is no name."""

    __slots__ = ("_numbers", "_texts")

    def __init__(self) -> None:
        self._texts: list[str | None] = [None]
        self._numbers: dict[str | None, int] = {None: 0}

    def number(self, text: str | None) -> int:
        """The number of a text."""
        if text not in self._numbers:
            self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return self._numbers[text]

    def text(self, number: int) -> str | None:
        """The text of a number."""
        return self._texts[number]
