"""A composed query without torch: onnxruntime, numpy and Hugging Face's tokenizers.

    rtd export weights.safetensors --for onnx --projection SEARLE_ViT-L14.pt --out exported
    python onnx_serving.py exported embeddings.npy "is red" --out query.npy

`embeddings.npy` holds [N, embed_dim] embeddings of the reference pictures as the image tower gives
them, not normalised (`CompositionEncoder.see`); `query.npy` gets [N, embed_dim] unit vectors to
search with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Composer:
    """Queries of an exported text tower and projection."""

    def __init__(self, folder: Path) -> None:
        self.tower = onnxruntime.InferenceSession(str(folder / "text_tower.onnx"))
        self.projection = onnxruntime.InferenceSession(str(folder / "projection.onnx"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        about = self.tower.get_modelmeta().custom_metadata_map
        self.prompt, self.sign = about["rtd.composed_prompt"], about["rtd.placeholder"]

    def composed(self, embeddings: np.ndarray, texts: list[str]) -> np.ndarray:
        """[N, embed_dim] unit queries of reference pictures' embeddings and conditioning texts."""
        tokens = self.projection.run(None, {"image_embedding": embeddings})[0]
        cleaned = [text.replace(self.sign, "") for text in texts]  # one placeholder is the prompt's
        return self._asked([self.prompt.format(text=text) for text in cleaned], tokens)

    def plain(self, texts: list[str]) -> np.ndarray:
        """[N, embed_dim] unit queries of texts alone: zeros leave every token as it is. What a base
        tower (`rtd export --strength 0`) makes of them is text-to-image search without a patch."""
        (_, width) = self.projection.get_outputs()[0].shape[1:]
        return self._asked(texts, np.zeros((len(texts), 1, width), np.float32))

    def _asked(self, texts: list[str], tokens: np.ndarray) -> np.ndarray:
        ids = np.array([encoding.ids for encoding in self.tokenizer.encode_batch(texts)])
        found = self.tower.run(None, {"ids": ids, "pseudo_tokens": tokens})[0]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that rtd export --for onnx wrote")
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("text")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    embeddings = np.load(options.embeddings)
    queries = Composer(options.folder).composed(embeddings, [options.text] * len(embeddings))
    np.save(options.out, queries)


if __name__ == "__main__":
    main()
