"""A config from fields and ``name=value`` texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from esper.leyline.errors import TelemetryUsageError, unknown_name
from esper.simic.config import PPOConfig, TrainConfig

__all__ = ["config_from"]

_PPO = "ppo."
_KIND = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}


def config_from(fields: dict[str, Any], settings: Iterable[str] = ()) -> TrainConfig:
    """A config of ``fields``, and of ``settings`` over them.

    Args:
        fields: of TrainConfig, by name.
        settings: texts such as ``train_images=256`` and, for the fields of PPOConfig, ``ppo.lr=0.001``.

    Raises:
        NotFoundError: if there is no such field; it names the nearest ones.
        TelemetryUsageError: if a text has no ``=``, or a value can't be.
    """
    fields, ppo = dict(fields), dict[str, Any]()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise TelemetryUsageError(f"{setting!r} is no setting: write name=value, such as lr=0.001")
        struct = PPOConfig if name.startswith(_PPO) else TrainConfig
        known = {field.name: field.type for field in msgspec.structs.fields(struct)}
        field = name.removeprefix(_PPO)
        if field not in known or known[field] is PPOConfig:
            names = [f"{_PPO}{other.name}" for other in msgspec.structs.fields(PPOConfig)]
            names += [other.name for other in msgspec.structs.fields(TrainConfig) if other.name != "ppo"]
            raise unknown_name("setting", name, names)
        (ppo if struct is PPOConfig else fields)[field] = _value(name, text, known[field])
    if ppo:
        fields["ppo"] = PPOConfig(**ppo)
    return TrainConfig(**fields)


def _value(name: str, text: str, wanted: Any) -> Any:
    if wanted == tuple[str, ...]:
        return names_of(text)
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError:
        raise TelemetryUsageError(f"{name} must be {_KIND[wanted]}, not {text!r}") from None


def names_of(text: str) -> tuple[str, ...]:
    """Names with commas between them; none of them for "none"."""
    return () if text == "none" else tuple(name.strip() for name in text.split(",") if name.strip())
