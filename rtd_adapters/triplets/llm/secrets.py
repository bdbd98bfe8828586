"""Keeps keys and passwords out of every text that leaves: messages, settings, logs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

HIDDEN = "***"
SHORTEST = 8
"""Characters. A shorter value of a query is no key, and to hide each `1` would garble a message."""


def hide(text: str, secrets: Iterable[str]) -> str:
    """A text in which every secret is replaced, in whatever form it stands there.

    Found are the secret itself, each of its characters as it is or escaped for a URL, for JSON or
    for HTML, in either case of letters, and its base64.

    Args:
        text: whole; a secret that a cut has halved is not found.
        secrets: keys and passwords; an empty one hides nothing.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")
        forms = (re.escape(encoded) + "=*", "".join(map(_forms, secret)))
        text = re.sub("|".join(forms), HIDDEN, text, flags=re.IGNORECASE)
    return text


def secrets_in(url: str) -> tuple[str, ...]:
    """What of an address is to be hidden: name and password before its host, and its query."""
    account = account_in(url)
    name, _, password = account.partition(":")
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    perhaps = (name, *(value or key for key, value in query))
    return (
        *filter(None, (account, password or name)),
        *(text for text in perhaps if len(text) >= SHORTEST),
    )


def without_secrets(url: str) -> str:
    """An address to be shown: its host and path."""
    parts = urlsplit(url)
    account, _, host = parts.netloc.rpartition("@")
    before = f"{HIDDEN}@" if account else ""
    return urlunsplit((parts.scheme, before + host, parts.path, HIDDEN if parts.query else "", ""))


def identified(url: str) -> str:
    """An address to be stored: as it is shown, and told by a hash from others that show alike."""
    shown = without_secrets(url)
    if shown == url:
        return url
    return f"{shown}#sha256-{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()}"


def account_in(url: str) -> str:
    """`name:password` before the host of an address; nothing, where there is neither."""
    account = urlsplit(url).netloc.rpartition("@")[0]
    name, _, password = (unquote(piece) for piece in account.partition(":"))
    return f"{name}:{password}" if account else ""


def _forms(character: str) -> str:
    """A pattern of one character: as it is, or escaped."""
    code, units = ord(character), character.encode("utf-16-be", "surrogatepass")
    forms = [
        rf"\\*{re.escape(character)}",
        "".join(rf"%(?:25)*{b:02x}" for b in character.encode("utf-8", "surrogatepass")),
        "".join(rf"\\+u{units[n : n + 2].hex()}" for n in range(0, len(units), 2)),
        re.escape(escape(character)),
        rf"&#0*{code};",
        rf"&#x0*{code:x};",
    ]
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
