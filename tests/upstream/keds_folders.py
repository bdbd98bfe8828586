"""What KEDs' evaluation script wants to find, written beside a copy of its code.

Its data lie under /home there. Banks have 40 vectors and not half a million, of any length.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch

STREAMS = {"image_stream": "image_branch", "text_stream": "text_branch"}
PARTS = ("img2text", "retrieval_fuse", "text_condition")
BANKS = {"image_bank": "cc_image_databases.pt", "text_bank": "cc_text_databases.pt"}
FAISS = '''
"""A flat index by a plain loop, as many of its queries as there are."""
import numpy
def get_num_gpus():
    return 0
def index_cpu_to_all_gpus(index):
    return index
class IndexFlatL2:
    def __init__(self, width):
        self.rows = None
    def add(self, rows):
        self.rows = rows.astype("float64")
    def search(self, queries, count):
        found = [((self.rows - query) ** 2).sum(1) for query in queries.astype("float64")]
        order = numpy.stack([distance.argsort(kind="stable")[:count] for distance in found])
        return None, order
'''


def random_projection(seed=1):
    """Both streams for a CLIP of width 64, with the repository's eight heads, and both banks."""
    from rtd_plugins.keds.dual_stream import DualStream

    torch.manual_seed(seed)
    module = DualStream(64, 64, heads=8, rows=(40, 40)).eval().requires_grad_(False)
    for name, tensor in module.state_dict().items():
        # Attention at its first weights gives nearly the same token for all neighbours.
        tensor.copy_(torch.randn(tensor.shape) / 8 if "bank" in name else 3 * tensor)
    return module


def write_common(folder):
    """What its modules read as they are imported, and the index they look neighbours up with."""
    for name in ("cc3m_have_good.pkl", "cc3m_have.pkl"):
        (folder / name).write_bytes(pickle.dumps([]))
    for name in ("cc_subject.json", "cc_other.json"):
        (folder / name).write_text(json.dumps({}))
    (folder / "src" / "faiss.py").write_text(FAISS)


def write_files(folder, module, clip, epochs=(1, 1)):
    """A checkpoint of each stream and both banks; the options of our method that name them."""
    state = module.state_dict()
    written = {}
    for (stream, branch), epoch in zip(STREAMS.items(), epochs, strict=True):
        checkpoint = {"epoch": epoch, "name": "small"}
        checkpoint["state_dict"] = {f"module.{name}": value for name, value in clip.items()}
        for part in PARTS:
            start = f"{stream}.{part}."
            checkpoint[f"state_dict_{part}"] = {
                name.removeprefix(start): tensor
                for name, tensor in state.items()
                if name.startswith(start)
            }
        path = folder / branch / "checkpoints" / f"epoch_{epoch}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)
        written[stream] = path
    (folder / "home").mkdir(exist_ok=True)
    for bank, name in BANKS.items():
        torch.save(state[bank].clone(), folder / "home" / name)
        written[bank] = folder / "home" / name
    return written


def prepare(folder, cirr, clip):
    """All that `--eval-mode cirr` wants.

    Args:
        folder: a copy of the repository's code. Its data come to lie here and not under /home; one
            epoch is evaluated of thirty; and `sd`, which is read where it was never set unless
            --distributed is given, gets a value.
        cirr: captions, image_splits and dev, by name.
        clip: tensors in OpenAI's names.

    Returns:
        The command line, and the files that our method takes.
    """
    write_common(folder)
    files = write_files(folder, random_projection(), clip)
    (folder / "home" / "database_names.txt").write_text("".join(f"{n}\n" for n in range(40)))
    (folder / "home" / "clip_cc_database_750000" / "image_feature_database").mkdir(parents=True)
    data = folder / "home" / "comp_data" / "CIRR"
    data.mkdir(parents=True)
    for name, place in cirr.items():
        (data / name).symlink_to(place)
    torch.save(dict(clip), folder / "ViT-H-14")  # a file of that name is taken for the model
    changed = {
        "eval_retrieval.py": {'"/home/': f'"{folder}/home/'},
        "eval_utils.py": {
            "range(1,31)": "range(1,2)",
            'sd_img2text = checkpoint["': 'sd = sd_img2text = checkpoint["',
        },
    }
    for name, words in changed.items():
        path = folder / "src" / name
        text = path.read_text()
        for old, new in words.items():
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)
    return command(files["image_stream"]), files


def command(resume):
    return [
        *("src/eval_retrieval.py", "--resume", str(resume), "--eval-mode", "cirr"),
        *("--precision", "fp32", "--name", "small", "--model", "ViT-H-14"),
        *("--batch-size", "8", "--workers", "0"),
    ]


def options(files):
    """Those of our method that name the files beside --projection."""
    return {name: str(Path(place)) for name, place in files.items() if name != "image_stream"}
