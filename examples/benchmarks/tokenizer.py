"""Our byte pairs against open_clip's: python examples/benchmarks/tokenizer.py [COUNT].

COUNT captions and as many hostile texts (100,000 by default), as the test of a few thousand makes
them; every difference is printed. Then what each tokenizer takes for captions not seen before.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from rtd_adapters.clip.text.byte_pairs import BytePairEncoder
from tests.clip.text.test_byte_pairs import captions, hostile, theirs


def differences(make, count: int) -> int:
    """How many texts get other ids; lone surrogates, which no tokenizer takes, are left out."""
    draw, encoder, found = random.Random(2), BytePairEncoder(), 0
    for _ in range(count):
        text = make(draw)
        try:
            expected = theirs(text)
        except UnicodeEncodeError:
            continue
        if encoder.ids(text) != expected:
            found += 1
            print(f"differs: {text!r}")
    return found


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for make in (captions, hostile):
        print(f"{number:,} {make.__name__} texts: {differences(make, number)} differ")
    draw = random.Random(3)
    texts = list(dict.fromkeys(captions(draw) for _ in range(5000)))
    for name, encode in (("open_clip's", theirs), ("ours", BytePairEncoder().ids)):
        began = time.perf_counter()
        for text in texts:
            encode(text)
        print(f"{name}: {1e6 * (time.perf_counter() - began) / len(texts):.1f} us a caption")
