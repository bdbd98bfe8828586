"""Optimisation-based inversion: a pseudo token for every picture, by gradient descent.

All in fp32. A picture's lessons follow from seed, picture and step, and its token's start from seed
and batch, so what a killed run had done is kept and used again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import FileError, TrainingError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_safetensors
from rtd_adapters.methods.inversion import Lesson, TokenTeaching
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Query
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.inversion.lessons import fitting
from rtd_adapters.training.inversion.sources import Source
from rtd_adapters.training.packed_texts import embed_queries
from rtd_adapters.training.run_folder import taught_path

TOKENS, RUN, CONTENT = "tokens", "run", "sha256"
"""Names within a kept file: of the tensor, of what tells its run, and of its own hash."""


@dataclass(frozen=True)
class Teacher:
    """What finds tokens.

    Args:
        method: whose prompts and placeholder they are for.
        teaching: of its projection's training.
        tower: frozen, on the run's device.
        tokenizer: the method's.
        source: pictures.
        seed: of the run.
    """

    method: Method
    teaching: TokenTeaching
    tower: TextTower
    tokenizer: Tokenizer
    source: Source
    seed: int

    def tokens(self, folder: Path | None, run: str, processes: Processes, quiet: bool) -> Tensor:
        """[N, text width] of all pictures, on the CPU, in every process.

        Args:
            folder: in which finished batches are kept; None keeps none.
            run: what tells this run from others.
            processes: who share the batches.
            quiet: no progress bar.

        Raises:
            TrainingError: what is kept is of another run, or another process has ended.
            FileError: the disk refuses, or what is kept is damaged.
        """
        size = self.teaching.batch_size
        batches = [range(len(self.source))[s : s + size] for s in range(0, len(self.source), size)]
        mine = range(len(batches))[processes.share(len(batches))]
        done = torch.zeros(len(mine), size, self.tower.config.width, device=self.tower.device)
        hidden = quiet or not processes.is_main or None
        for row, number in enumerate(tqdm(mine, desc="inverting pictures", disable=hidden)):
            found = self._kept_or_found(folder, run, number, batches[number])
            done[row, : len(found)] = found
        whole = processes.gather(done, len(batches)).flatten(0, 1)[: len(self.source)]
        return whole.cpu()

    def _kept_or_found(
        self, folder: Path | None, run: str, number: int, places: Sequence[int]
    ) -> Tensor:
        path = taught_path(folder, number) if folder else None
        if path is not None and path.is_file():
            return _read(path, run)
        found = self.invert(number, places)
        if path is not None:
            _write(path, run, found.cpu().contiguous())
        return found

    def invert(self, number: int, places: Sequence[int]) -> Tensor:
        """[B, text width] tokens of one batch of pictures, averaged over the steps."""
        teaching, device = self.teaching, self.tower.device
        generator = torch.Generator().manual_seed(_seed(self.seed, number))
        start = torch.randn(len(places), self.tower.config.width, generator=generator)
        tokens = nn.Parameter((teaching.spread * start).to(device))
        average = tokens.detach().clone()
        optimizer = torch.optim.AdamW(
            [tokens], lr=teaching.learning_rate, weight_decay=teaching.weight_decay
        )
        anchors = Anchors(self.tower, self.tokenizer)
        pictures = self.source.embeddings(places, anchors)
        for step in range(teaching.steps):
            sides = list(zip(*self._lessons(places, step), strict=True))
            embedded = self._embedded(tokens, sides)
            targets = [self._targets(side, pictures, anchors) for side in sides]
            optimizer.zero_grad()
            teaching.loss(embedded, targets).backward()
            optimizer.step()
            average.mul_(teaching.average).add_(tokens.detach(), alpha=1 - teaching.average)
        return average

    def _lessons(self, places: Sequence[int], step: int) -> Iterator[Sequence[Lesson]]:
        """Of each picture."""
        for place, described in zip(places, self.source.described(places), strict=True):
            draw = random.Random(f"{self.seed} taught {place} {step}")
            lessons = self.teaching.lessons(self.method, described, draw)
            yield [fitting(lesson, self.method, self.tokenizer) for lesson in lessons]

    def _embedded(self, tokens: Tensor, sides: Sequence[Sequence[Lesson]]) -> list[Tensor]:
        sign, queries = self.method.placeholder, []
        for side in sides:
            prompts = [lesson.prompt for lesson in side]
            most = max(prompt.count(sign) for prompt in prompts)
            queries.append(Query(prompts, tokens[:, None].expand(-1, most, -1)))
        return list(embed_queries(self.tower, self.tokenizer, queries).split(len(tokens)))

    def _targets(self, side: Sequence[Lesson], pictures: Tensor, anchors: Anchors) -> Tensor:
        if side[0].target is None:
            return pictures
        return anchors([cast(str, lesson.target) for lesson in side])


def _write(path: Path, run: str, tokens: Tensor) -> None:
    with whole_file(path) as temporary:
        save_file({TOKENS: tokens}, temporary, metadata={RUN: run, CONTENT: _content(tokens)})


def _read(path: Path, run: str) -> Tensor:
    tensors, about = read_safetensors(path)
    tokens = tensors.get(TOKENS)
    if tokens is None or about.get(CONTENT) != _content(tokens):
        raise FileError(
            f"{path} is damaged. Delete it and resume again: its tokens are found anew."
        )
    if about.get(RUN) != run:
        raise TrainingError(
            f"{path} holds tokens of another run. Repeat the first command with --resume, or start "
            "anew with --overwrite."
        )
    return tokens


def _content(tokens: Tensor) -> str:
    return hashlib.sha256(tokens.flatten().view(torch.uint8).numpy().data).hexdigest()


def _seed(seed: int, number: int) -> int:
    """Of a batch's tokens at their start."""
    return random.Random(f"{seed} taught {number}").getrandbits(62)
