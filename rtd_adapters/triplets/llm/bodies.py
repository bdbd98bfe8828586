"""What is posted to a server: JSON, or a form with a file in it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Body:
    """Bytes in parts, which are sent one after the other and never joined."""

    kind: str
    """As Content-Type says it."""
    parts: Sequence[bytes]

    @property
    def length(self) -> int:
        """In bytes."""
        return sum(map(len, self.parts))


def json_body(value: Any) -> Body:
    """A value as JSON, in ASCII."""
    return Body("application/json", [json.dumps(value).encode()])


def form_body(fields: Mapping[str, str], filename: str, lines: Sequence[bytes]) -> Body:
    """A form of text fields and one file, `file` (RFC 7578)."""
    boundary = secrets.token_hex(16)
    disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
    texts = [f'{disposition}"{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    file = f'{disposition}"file"; filename="{filename}"\r\nContent-Type: application/jsonl\r\n\r\n'
    head, tail = "".join((*texts, file)), f"\r\n--{boundary}--\r\n"
    kind = f"multipart/form-data; boundary={boundary}"
    return Body(kind, [head.encode(), *lines, tail.encode()])
