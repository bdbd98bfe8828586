"""Which half precisions a CPU has units for, from what Linux or torch says of it."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.compute import half_precision
from rtd_adapters.compute.half_precision import emulated, emulation_note

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """Makes this a machine whose /proc/cpuinfo says so; None is one without it."""

    def processor(text):
        path = tmp_path / "cpuinfo"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        monkeypatch.setattr(half_precision, "CPUINFO", path)
        half_precision._features.cache_clear()

    yield processor
    half_precision._features.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 f16c\n", {"bf16", "fp16"}),
        ("flags\t\t: avx512f avx512_bf16\nflags\t\t: avx512f\n", {"fp16"}),
        ("flags : amx_bf16 avx512_fp16\n", set()),
        ("Features\t: fp asimd fphp asimdhp bf16\n", set()),
        ("Features\t: fp asimd\n", {"bf16", "fp16"}),
    ],
)
def test_what_linux_says(processor, text, expected):
    processor(text)
    assert {p for p in ("no", "fp32", "tf32", "bf16", "fp16") if emulated(p)} == expected


@pytest.mark.parametrize(
    ("capability", "has", "expected"),
    [("AVX2", False, True), ("AVX512", True, False), ("NEON", False, False)],
)
def test_what_torch_says_elsewhere(processor, monkeypatch, capability, has, expected):
    processor(None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for name in {name for names in half_precision.PROBES.values() for name in names}:
        monkeypatch.setattr(torch.cpu, name, lambda: has, raising=False)
    assert emulated("bf16") is expected
    assert emulated("fp16") is expected


def test_the_note_names_the_option_and_is_for_cpus_alone(processor):
    processor("flags : avx2\n")
    asked = [("--mixed-precision", "bf16"), ("--frozen-precision", "fp32")]
    note = emulation_note(asked, CPU)
    assert "no units for --mixed-precision bf16 and emulates it" in note
    assert emulation_note(asked, GPU) is None
    assert emulation_note([("--mixed-precision", "no")], CPU) is None
    processor("flags : avx512_bf16\n")
    assert emulation_note(asked, CPU) is None


def test_a_run_says_it(processor, miniature_clip, tmp_path, toy_triplets):
    from rtd_adapters import PatchJob, TrainingSettings, write_triplets
    from rtd_adapters.jobs.inputs import load_inputs
    from rtd_adapters.training import RunOptions

    processor("flags : avx2\n")
    write_triplets(tmp_path / "t.jsonl", toy_triplets[:40])
    said = []
    job = PatchJob(
        "searle",
        tmp_path / "out",
        triplets=tmp_path / "t.jsonl",
        settings=TrainingSettings(mixed_precision="bf16", batch_size=4),
        options=RunOptions(device="cpu"),
        **miniature_clip,
    )
    load_inputs(job, said.append)
    assert any("no units for --mixed-precision bf16" in line for line in said)
