"""What a launcher such as torchrun tells each process of a run."""

from __future__ import annotations

import socket


def ranks(count: int) -> list[dict[str, str]]:
    """Environment variables of each of so many processes; none for one alone."""
    if count == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    places = ({"RANK": rank, "LOCAL_RANK": rank, **shared} for rank in range(count))
    return [{name: str(value) for name, value in place.items()} for place in places]
