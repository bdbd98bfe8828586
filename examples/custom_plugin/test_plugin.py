"""The plugin keeps the promises of a method, and reads the checkpoint its repository writes."""

import torch

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.testing import check_imports, check_method

SHAPE = BackboneShape(embed_dim=16, text_width=24, image_width=32)


def test_it_keeps_the_promises_of_a_method():
    check_method(get_method("linear"))
    check_imports("rtd_linear")


def test_its_checkpoint_loads(tmp_path):
    method = get_method("linear")
    written = method.build_projection(SHAPE)
    torch.save({"projection": written.state_dict()}, tmp_path / "own.pt")
    read = method.load_projection(tmp_path / "own.pt", SHAPE)
    embedding = torch.randn(2, SHAPE.embed_dim)
    assert torch.equal(method.pseudo_tokens(read, embedding)[:, 0], written(embedding))
