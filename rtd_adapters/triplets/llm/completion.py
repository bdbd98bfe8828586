"""What an OpenAI-compatible server answers, read without trust."""

from __future__ import annotations

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


def parse_completion(body: bytes) -> Answer:
    """The answer in the body of a chat completion; an empty one, where the model wrote nothing.

    Raises:
        TripletError: it is no chat completion; the message says what is wrong with it.
    """
    try:
        value = parse_json(body, "it")
        text = value["choices"][0]["message"]["content"]
        usage = value.get("usage") or {}
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except FileError:
        raise TripletError("it is no JSON") from None
    except (LookupError, TypeError, AttributeError) as error:
        raise TripletError(f"it lacks choices[0].message.content or usage ({error})") from None
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
