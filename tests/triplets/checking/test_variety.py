"""In how many ways conditioning texts are worded."""

import json

import pytest

from rtd_adapters.triplets.checking.quality import measure
from rtd_adapters.triplets.checking.variety import COMPARED, frame, variety
from rtd_adapters.triplets.checking.verdict import UNIFORM, judge


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("has a red hat", "has a ..."),
        ("Has a big, round table!", "has a ..."),
        ("replace the old dog with a cat", "... the ... with a ..."),
        ("the dog's asleep", "the ..."),
        ("", ""),
    ],
)
def test_a_frame_is_a_text_without_what_it_says_of_pictures(text, left):
    assert frame(text) == left


def test_texts_whose_frame_is_their_own_are_counted():
    varied = variety(["has a cat", "has a dog", "no dog", "with the dog"])
    assert varied.alone == pytest.approx(2 / 4)
    assert varied.words == pytest.approx(11 / 4)
    assert varied.commonest[0] == ("has a ...", 0.5)


def test_a_longer_sample_is_cut_so_that_shares_compare():
    assert variety(["has a cat"] * COMPARED + ["no cat"]).alone == 0


def of_wordings(path, wording):
    """A file of as many sound triplets as are compared."""
    with path.open("w") as file:
        for row in range(COMPARED):
            colour = ("red", "blue", "green", "black")[row % 4]
            triplet = {
                "reference_caption": f"a white cat number {row} on a chair",
                "conditioning_caption": wording(row, colour),
                "target_caption": f"a {colour} cat number {row} on a chair",
            }
            file.write(json.dumps(triplet) + "\n")
    return path


def test_one_template_is_uniform_and_many_wordings_are_not(tmp_path):
    alike = of_wordings(tmp_path / "alike.jsonl", lambda row, colour: f"is {colour}")
    verdict = judge(measure(alike))
    assert verdict.word == UNIFORM
    assert '"is ..." (100%)' in verdict.reasons[0].text

    def own(row, colour):
        digits = " ".join(
            ("of", "in", "on", "at", "by", "near", "to", "from", "with", "for")[int(d)]
            for d in f"{row:03}"
        )
        return f"is {colour} {digits} it"

    varied = judge(measure(of_wordings(tmp_path / "varied.jsonl", own)))
    assert UNIFORM not in {reason.verdict for reason in varied.reasons}


def test_of_a_small_file_nothing_is_said(tmp_path):
    path = of_wordings(tmp_path / "alike.jsonl", lambda row, colour: f"is {colour}")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[: COMPARED - 1]))
    assert UNIFORM not in {reason.verdict for reason in judge(measure(path)).reasons}
