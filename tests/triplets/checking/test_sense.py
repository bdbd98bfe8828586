"""What is likely by a corpus, a corpus in bounded memory, and what a sample of triplets shows."""

from __future__ import annotations

import random

import pytest
import torch

from rtd_adapters.demo.captions import SYNONYMS
from rtd_adapters.demo.scenes import GROUNDS
from rtd_adapters.demo.triplets import demo_triplets
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.check import CheckJob, run_check
from rtd_adapters.triplets import Triplet, read_triplets, write_triplets
from rtd_adapters.triplets.checking import corpus as corpus_module
from rtd_adapters.triplets.checking.changes import change_of
from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.filter import caption_filter
from rtd_adapters.triplets.checking.findings import SHOWN, findings
from rtd_adapters.triplets.checking.flaws import UNCHANGED
from rtd_adapters.triplets.checking.plausible import ODD, Likelihood
from rtd_adapters.triplets.checking.quality import (
    NEAREST_REFERENCE,
    NEAREST_TARGET,
    far_share,
    similarities,
)
from rtd_adapters.triplets.checking.sense import (
    IMPLAUSIBLE,
    MIXED,
    UNANSWERED,
    UNGRAMMATICAL,
    UNNATURAL,
    Sense,
)

SUBJECTS = {
    "dog": ("runs on the grass", "sleeps in a kennel", "chews a bone"),
    "boat": ("sails on a lake", "rests in a harbor", "floats past a lighthouse"),
}


def captions(count: int, seed: int = 0) -> list[str]:
    """Dogs do what dogs do, and boats what boats do."""
    draw = random.Random(seed)
    subjects = [draw.choice(list(SUBJECTS)) for _ in range(count)]
    return [f"a {subject} {draw.choice(SUBJECTS[subject])}" for subject in subjects]


@pytest.fixture(scope="module")
def corpus():
    return Corpus().add(captions(1500))


def implausible(sense: Sense, target: str, reference: str = "a bird") -> bool:
    return IMPLAUSIBLE in sense.faults(Triplet(reference, "x", target))


def test_what_stands_together_is_likely(corpus):
    sense = Sense(corpus)
    assert sense.knows_pictures
    assert not implausible(sense, "a dog chews a bone", "a cat chews a bone")
    assert not implausible(sense, "a dog chews a bone", "a lamp chews a bone"), "often enough"
    assert implausible(sense, "a boat chews a bone", "a dog chews a bone")
    assert implausible(sense, "a dog sails on a lake", "a boat sails on a lake")
    assert not implausible(sense, "a unicorn sails on a lake", "a boat sails on a lake")


def test_a_word_of_the_same_kind_is_believed_sooner(corpus, monkeypatch):
    likelihood = Likelihood(corpus.company, corpus.usage, corpus.sample)
    changes = [
        change_of(Triplet("a dog sleeps", "x", f"a {word} sleeps"), corpus.kinds)
        for word in ("cat", "lamp")
    ]
    for score, believed in ((-0.1, [False, False]), (0.5, [True, False]), (1.1, [True, True])):
        monkeypatch.setattr(likelihood, "score", lambda phrase, sentence, s=score: s)
        assert [likelihood.is_plausible(c, corpus.kinds) for c in changes] == believed


def test_few_captions_say_nothing():
    sense = Sense(Corpus().add(captions(50)))
    assert not sense.knows_pictures
    assert "too few" in sense.means
    assert not implausible(sense, "a boat chews a bone", "a dog chews a bone")


def test_as_many_real_phrases_are_unlikely_as_is_said(corpus):
    """Captions whose words are drawn at random, so that no two phrases are alike."""
    draw = random.Random(0)
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(300)]
    lines = [
        f"a {draw.choice(words)} on the {draw.choice(words)} with a {draw.choice(words)}"
        for _ in range(2000)
    ]
    counted = Corpus().add(lines)
    likelihood = Likelihood(counted.company, counted.usage, counted.sample, seed=1)
    scores = [likelihood.score((s[1],), s, less=1) for s in counted.sample]
    below = sum(score < likelihood.threshold for score in scores)
    assert below / len(scores) == pytest.approx(ODD / 100, abs=0.05)


def test_a_corpus_counts_all_captions_and_later_fewer(monkeypatch):
    monkeypatch.setattr(corpus_module, "THIN_FROM", 100)
    monkeypatch.setattr(corpus_module, "SAMPLE", 20)
    corpus = Corpus().add(f"a w{chr(97 + n % 26)} number {n}" for n in range(99))
    assert corpus.company.captions == corpus.seen == 99
    corpus.add(["a dog on a bench"] * 10_000)
    assert corpus.seen == 10_099
    assert 300 < corpus.company.captions < 800, "a hundred for each doubling, or half of it"
    assert len(corpus.sample) == 20


def test_the_sample_is_drawn_from_all(monkeypatch):
    monkeypatch.setattr(corpus_module, "SAMPLE", 50)
    corpus = Corpus().add([*["a dog"] * 500, *["a boat"] * 500])
    boats = sum(sentence[1].text == "boat" for sentence in corpus.sample)
    assert 10 < boats < 40


def test_what_is_made_is_checked_by_its_captions():
    wrong = caption_filter(captions(1500))
    kept = Triplet("a dog chews a bone", "is a puppy", "a puppy chews a bone")
    assert wrong(kept) == []
    assert IMPLAUSIBLE in wrong(Triplet("a dog chews a bone", "is a boat", "a boat chews a bone"))
    assert wrong(Triplet("a dog", "is a boat", "a dog")) == [UNCHANGED], "a flaw is enough"


def test_words_of_ones_own_field(tmp_path):
    """Of the built-in world: without its names of grounds a snowy one is no white one."""
    lines = [", ".join(words) + " | " for name, words in SYNONYMS.items() if name in GROUNDS]
    own = tmp_path / "kinds.txt"
    own.write_text(f"ground adjective: {''.join(lines)}")
    path = tmp_path / "demo.jsonl"
    write_triplets(path, demo_triplets(1100, 0))
    plain, told = (
        run_check(CheckJob(str(path), kinds=kinds)).measures.sense for kinds in (None, own)
    )
    assert told.share(UNANSWERED) < plain.share(UNANSWERED) / 2
    assert told.sound > plain.sound


def test_english_counts_beyond_what_chance_brings(corpus):
    good, bad = "a dog sleeps in a kennel", "an dog sleeps in a kennel"
    sense = Sense(corpus)
    worse, better = Triplet(good, "is it", bad), Triplet(bad, "is it", good)
    assert sense.faults(worse) == [UNGRAMMATICAL]
    assert sense.faults(better) == sense.faults(Triplet(bad, "is it", bad)) == []
    assert findings([worse] * 3 + [better], sense).share(UNGRAMMATICAL) == 0.5
    assert findings([worse] + [better] * 3, sense).share(UNGRAMMATICAL) == 0


def test_findings_show_different_triplets_of_each_fault(corpus):
    def bad(n):
        return Triplet(f"a dog chews a bone {n}", "is boat", f"a boat chews a bone {n}")

    found = findings([bad(n) for n in range(20)], Sense(corpus))
    assert (found.judged, found.sound) == (20, 0)
    assert found.faults == {IMPLAUSIBLE: 20, MIXED: 20, UNNATURAL: 20}
    shown = [t for examples in found.examples.values() for t in examples]
    assert len(set(shown)) == len(shown) == 3 * SHOWN


def test_targets_far_from_every_other_caption():
    """Angles on a circle: neighbours of a reference are one degree away."""
    triplets = [Triplet(str(n), "x", f"target {n}") for n in range(120)]

    def embed(texts):
        angles = [
            float(t) if t[:1].isdigit() and " " not in t else 300.0 if t.endswith("7") else 0.5
            for t in texts
        ]
        radians = torch.tensor(angles).deg2rad()
        return torch.stack([radians.cos(), radians.sin()], dim=1)

    found = similarities(triplets, embed)
    one = float(torch.tensor(1.0).deg2rad().cos())
    assert found[NEAREST_REFERENCE] == pytest.approx([one] * 120, abs=1e-5)
    assert found[NEAREST_TARGET][7] == pytest.approx(float(torch.tensor(60.0).deg2rad().cos()))
    assert far_share(found) >= 12 / 120
    assert far_share(similarities(triplets[:50], embed)) == 0, "too few to say"


def test_a_clean_copy_without_faults(tmp_path):
    lines = [f"{caption} {n}" for n, caption in enumerate(captions(1500))]
    good = [Triplet(line, "in a photo", f"{line} in a photo") for line in lines]
    bad = Triplet("a dog chews a bone 9999", "is boat", "a boat chews a bone 9999")
    path, out = tmp_path / "t.jsonl", tmp_path / "clean.jsonl"
    write_triplets(path, [*good, bad])
    run_check(CheckJob(str(path), fix=out))
    assert set(read_triplets(out)) == {*good, bad}
    result = run_check(CheckJob(str(path), fix=out, drop_faults=True, overwrite=True))
    kept = set(read_triplets(out))
    assert bad not in kept
    assert len(kept) == result.kept > 1200
    with pytest.raises(UsageError, match="--fix"):
        run_check(CheckJob(str(path), drop_faults=True))
