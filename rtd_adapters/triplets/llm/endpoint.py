"""A language model behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rtd_adapters.triplets.llm.bodies import json_body
from rtd_adapters.triplets.llm.completion import Answer, messages, parse_completion
from rtd_adapters.triplets.llm.secrets import identified
from rtd_adapters.triplets.llm.server import Server

PATH = "/chat/completions"


@dataclass(frozen=True)
class Endpoint:
    """Asks a server for chat completions; safe to call from many threads.

    Raises:
        UsageError: the address or the key cannot be sent.
    """

    url: str = field(repr=False)
    """As `Server` takes it, as are `key`, `timeout` and `first_wait`."""
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.8
    max_tokens: int = 200
    seed: int = 0
    timeout: float = 120.0
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        _ = self.server  # an address that is none is refused here

    @cached_property
    def server(self) -> Server:
        """Where the model is."""
        return Server(self.url, self.key, self.timeout, self.first_wait)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, to be stored: of what is secret a hash, of the key nothing."""
        return {
            "endpoint": identified(self.url),
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def __call__(self, *turns: str) -> Answer:
        """The model's answer to what was said in turn, by the user first and last.

        Raises:
            UsageError: the server refuses the request itself: wrong key, model or address.
            NoAnswerError: it did not answer in all attempts.
        """
        return self.server.ask(PATH, parse_completion, json_body(self.request(*turns)))

    def request(self, *turns: str) -> dict[str, Any]:
        """What the server is asked; each further question has a seed of its own."""
        return {
            "model": self.model,
            "messages": messages(turns),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed + len(turns) // 2,
        }
