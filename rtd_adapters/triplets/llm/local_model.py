"""A language model on this machine: a transformers causal model in a local folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from rtd_adapters.errors import FileError
from rtd_adapters.triplets.llm.completion import Answer, messages


class LocalModel:
    """Answers one prompt after the other; nothing is fetched, no code of the folder is run.

    Args:
        folder: as `save_pretrained` writes it, with tokenizer and safetensors weights.
        temperature: of sampling; 0 takes the likeliest token.
        max_tokens: of an answer.
        seed: one seed, one answer to a prompt.

    Raises:
        FileError: the folder does not load as such a model.
    """

    def __init__(
        self, folder: Path, temperature: float = 0.8, max_tokens: int = 200, seed: int = 0
    ) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval()
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FileError(f"{folder} does not load as a causal language model: {first}") from None
        self._temperature, self._max_tokens, self._seed = temperature, max_tokens, seed

    @torch.no_grad()
    def __call__(self, *turns: str) -> Answer:
        """The model's answer to what was said in turn; each further question has its own seed."""
        prompt = "\n".join(turns)
        if self._tokenizer.chat_template:
            prompt = self._tokenizer.apply_chat_template(
                messages(turns), tokenize=False, add_generation_prompt=True
            )
        ids = self._tokenizer(prompt, return_tensors="pt").input_ids
        set_seed(self._seed + len(turns) // 2)
        sampling = {"do_sample": True, "temperature": self._temperature}
        made = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._max_tokens,
            pad_token_id=self._tokenizer.eos_token_id,
            **(sampling if self._temperature else {"do_sample": False}),
        )[0, ids.shape[1] :]
        text = self._tokenizer.decode(made, skip_special_tokens=True)
        return Answer(text, ids.shape[1], len(made))
