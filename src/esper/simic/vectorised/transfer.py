"""From the device to the host, in one go: reports that wait, and of each only the rows that count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Report", "Row", "rows_of"]


@dataclass(frozen=True)
class Report:
    """What one call reported."""

    kind: str
    shape: tuple[int, ...]
    """[envs] or [envs, slots]: of its rows, in this order."""
    mask: Tensor | None
    """bool, of that shape: the rows that count; None where all do."""
    columns: dict[str, Tensor]
    """Values of each row, of that shape or with one dimension more."""
    same: dict[str, Any]
    """Values that are the same for all of its rows."""


class Row(NamedTuple):
    """One row of a report, on the host."""

    place: int
    """The env, or env * slots + slot."""
    values: dict[str, Any]


def rows_of(reports: Sequence[Report]) -> Iterator[tuple[Report, Iterator[Row]]]:
    """The rows of each report, in order.

    It waits for the device twice: for how many rows there are, and for one block of bytes with all of
    them.
    """
    counts = _counts(reports)
    pieces: list[tuple[int, str, Tensor]] = []
    for number, (report, count) in enumerate(zip(reports, counts, strict=True)):
        size = _product(report.shape)
        index = None if report.mask is None else _where(report.mask.reshape(-1), count)
        if index is not None:
            pieces.append((number, "", index))
        for name, column in report.columns.items():
            flat = column.reshape(size, *column.shape[len(report.shape) :])
            pieces.append((number, name, flat if index is None else flat.index_select(0, index)))
    lists = _to_host(pieces)
    for number, (report, count) in enumerate(zip(reports, counts, strict=True)):
        yield report, _rows(report, count, lists.get(number, {}))


def _rows(report: Report, count: int, lists: dict[str, list[Any]]) -> Iterator[Row]:
    places = lists.pop("") if "" in lists else range(count)
    for number, place in enumerate(places):
        values = {name: column[number] for name, column in lists.items()}
        yield Row(place, report.same | values)


def _counts(reports: Sequence[Report]) -> list[int]:
    masked = [report.mask.sum() for report in reports if report.mask is not None]
    found = iter(torch.stack(masked).tolist() if masked else [])
    return [_product(report.shape) if report.mask is None else next(found) for report in reports]


def _where(mask: Tensor, count: int) -> Tensor:
    """Indices of the True ones; unlike ``nonzero`` it need not ask the device how many there are."""
    place = torch.where(mask, torch.cumsum(mask, 0) - 1, count)
    every = torch.arange(mask.numel(), device=mask.device)
    return torch.zeros(count + 1, dtype=torch.int64, device=mask.device).scatter_(0, place, every)[:count]


def _to_host(pieces: list[tuple[int, str, Tensor]]) -> dict[int, dict[str, list[Any]]]:
    """Each piece as a list, by report and name."""
    # Wide numbers first: then each piece begins where its dtype may.
    pieces = sorted(pieces, key=lambda piece: -piece[2].element_size())
    block = torch.cat([tensor.contiguous().view(-1).view(torch.uint8) for _, _, tensor in pieces] or [_NONE])
    block = block.cpu()
    lists: dict[int, dict[str, list[Any]]] = {number: {} for number, _, _ in pieces}
    start = 0
    for number, name, tensor in pieces:
        end = start + tensor.numel() * tensor.element_size()
        values = block[start:end].view(tensor.dtype)
        lists[number][name] = values.view(tensor.shape).tolist()
        start = end
    return lists


_NONE = torch.zeros(0, dtype=torch.uint8)


def _product(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
