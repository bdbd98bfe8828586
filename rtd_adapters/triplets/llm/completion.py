"""What an OpenAI-compatible server is asked and answers; the answer is read without trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.io.json_files import parse_json


@dataclass(frozen=True)
class Answer:
    """What the model wrote, and what it cost in tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int


def messages(turns: Sequence[str]) -> list[dict[str, str]]:
    """What was said in turn, by the user first, as chat messages."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]


def parse_completion(body: bytes) -> Answer:
    """The answer in the body of a chat completion; an empty one, where the model wrote nothing.

    Raises:
        TripletError: it is no chat completion; the message says what is wrong with it.
    """
    return read_completion(parse_reply(body))


def parse_reply(body: bytes) -> Any:
    """The JSON in a server's body.

    Raises:
        TripletError: it is none.
    """
    try:
        return parse_json(body, "it")
    except FileError:
        raise TripletError("it is no JSON") from None


def read_completion(value: Any) -> Answer:
    """The answer in a chat completion, once it is parsed.

    Raises:
        TripletError: it is no chat completion; the message says what is wrong with it.
    """
    try:
        text = value["choices"][0]["message"]["content"]
        usage = value.get("usage") or {}
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (LookupError, TypeError, AttributeError) as error:
        raise TripletError(
            f"it is no chat completion: it lacks choices[0].message.content or usage ({error})"
        ) from None
    if not isinstance(text, str | None):
        raise TripletError(f"its content is a {type(text).__name__}, not a text")
    return Answer(text or "", _count(prompt), _count(completion))


def _count(tokens: Any) -> int:
    """A number of tokens; 0, where the server counts none.

    Raises:
        TripletError: it is no number of anything.
    """
    if tokens is None:
        return 0
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise TripletError(f"its usage counts {str(tokens)[:20]!r} tokens")
    return tokens
