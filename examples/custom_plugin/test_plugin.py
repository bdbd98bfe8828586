"""The plugin is found, and reads the checkpoint its repository writes."""

import torch

from rtd_adapters import BackboneShape, get_method

SHAPE = BackboneShape(embed_dim=16, text_width=24, image_width=32)


def test_its_checkpoint_loads(tmp_path):
    method = get_method("linear")
    written = method.build_projection(SHAPE)
    torch.save({"projection": written.state_dict()}, tmp_path / "own.pt")
    read = method.load_projection(tmp_path / "own.pt", SHAPE)
    embedding = torch.randn(2, SHAPE.embed_dim)
    assert torch.equal(method.pseudo_tokens(read, embedding)[:, 0], written(embedding))


def test_its_prompts_hold_the_placeholder():
    method = get_method("linear")
    tokenizer = method.tokenizer(77)
    tokenizer.encode_prompts([method.composed_prompt.format(text="is red"), method.bare_prompt])
