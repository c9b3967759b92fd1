"""The token that clients of the HTTP server must show: where it comes from, never the command line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import MutableMapping
from pathlib import Path

from esper.leyline.errors import TelemetryUsageError

TOKEN_VARIABLE = "KARN_MCP_TOKEN"
MIN_CHARACTERS = 16
_MAX_BYTES = 4096
_NEW_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe())' makes one"


def take_token(token_file: Path | None, environment: MutableMapping[str, str] = os.environ) -> bytes | None:
    """The token of a file, else of KARN_MCP_TOKEN, else None.

    The variable is taken out of the environment, which query processes inherit.

    Args:
        token_file: holds the token, and may end in one newline; nobody but its owner may read it.
        environment: for the variable.

    Raises:
        TelemetryUsageError: if the file can't be used or what it or the variable holds is no good token.
    """
    variable = environment.pop(TOKEN_VARIABLE, None)
    if token_file is not None:
        return _checked(_read(token_file), str(token_file))
    if variable is not None:
        return _checked(os.fsencode(variable), TOKEN_VARIABLE)
    return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise TelemetryUsageError(
                    f"the token file {path} is open to other users (mode {mode:o}); chmod 600 it"
                )
            text = file.read(_MAX_BYTES)
    except OSError as error:
        raise TelemetryUsageError(f"can't read the token file {path}: {error.strerror}") from error
    return text.removesuffix(b"\n").removesuffix(b"\r")


def _checked(token: bytes, source: str) -> bytes:
    # The texts never show what was found: it may be a good token with one character too many.
    if len(token) < MIN_CHARACTERS:
        raise TelemetryUsageError(
            f"the token of {source} has fewer than {MIN_CHARACTERS} characters; {_NEW_TOKEN}"
        )
    if len(token) >= _MAX_BYTES or not re.fullmatch(rb"[\x21-\x7e]+", token):
        raise TelemetryUsageError(
            f"the token of {source} must be one line of visible ASCII characters without spaces, as clients "
            f"send it in a header; {_NEW_TOKEN}"
        )
    return token
