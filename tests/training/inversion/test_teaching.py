"""SEARLE's two stages: tokens against a plain float64 loop, kept and used again; concepts near
pictures; the loss of the second stage by hand."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from rtd_adapters import Concept, Described, Inverted, Lesson, LessonBatch
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import FileError, TrainingError, TripletError
from rtd_adapters.methods.installed import get_method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.inversion import InversionSettings, InversionTrainer, PictureSource
from rtd_adapters.training.inversion.concepts import nearest_concepts, usable_concepts
from rtd_adapters.training.inversion.teaching import Teacher

STEPS = 4
CONCEPTS = [
    Concept("cat", ["a cat on a mat", "the cat"]),
    Concept("dog", ["a dog barks", "one dog", "dog in the rain"]),
    Concept("star", ["a red star"]),
]


@pytest.fixture
def method():
    return get_method("searle")


@pytest.fixture
def pictures():
    return torch.randn(5, 32, generator=torch.Generator().manual_seed(2)) * 2


@pytest.fixture
def teacher(method, toy_backbone, pictures):
    """Of five pictures, two at a time."""
    teaching = copy.copy(method.projection_training.teaching)
    teaching.steps, teaching.batch_size = STEPS, 2
    nearest = torch.tensor([[0, 1], [1, 2], [2, 0], [1, 0], [0, 2]])
    source = PictureSource(pictures, CONCEPTS, nearest)
    tokenizer = method.tokenizer(toy_backbone.tower)
    return Teacher(method, teaching, toy_backbone.tower, tokenizer, source, seed=0)


def by_hand(teacher, number, place, row):
    """One picture's token, every text alone, in float64, AdamW and average written out."""
    tower = copy.deepcopy(teacher.tower).double()
    generator = torch.Generator().manual_seed(random.Random(f"0 taught {number}").getrandbits(62))
    start = torch.randn(2, 64, generator=generator)[row].double() * 0.02
    token, average = start.clone().requires_grad_(True), start.clone()
    first, second = torch.zeros(64).double(), torch.zeros(64).double()
    (described,) = teacher.source.described([place])
    picture = teacher.source._embeddings[place].double()
    for step in range(STEPS):
        draw = random.Random(f"0 taught {place} {step}")
        template, phrase = teacher.teaching.lessons(teacher.method, described, draw)
        apart = []
        for lesson, target in ((template, picture), (phrase, None)):
            count = lesson.prompt.count("$")
            ids = teacher.tokenizer.encode_prompts([lesson.prompt], [count])
            tokens = token.expand(1, count, -1)
            made = tower(ids, tokens, teacher.tokenizer.placeholder_id)[0]
            wanted = (
                tower(teacher.tokenizer.encode([lesson.target]))[0] if target is None else target
            )
            apart.append(1 - cosine_similarity(made, wanted, dim=0))
        loss = (apart[0] + 0.5 * apart[1]) / 1.5
        (gradient,) = torch.autograd.grad(loss, token)
        gradient = gradient / 2  # the mean over the batch's two pictures
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        with torch.no_grad():
            token = token * (1 - 0.02 * 0.01)
            unbiased = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            token = token - 0.02 * first / (1 - 0.9 ** (step + 1)) / unbiased
        average = 0.99 * average + 0.01 * token
        token.requires_grad_(True)
    return average


def test_tokens_are_those_of_a_plain_loop(teacher):
    found = teacher.tokens(None, "run", Processes(), True)
    assert found.shape == (5, 64)
    for place in (0, 1, 3):
        wanted = by_hand(teacher, place // 2, place, place % 2).float()
        assert (found[place] - wanted).norm() <= 1e-4 * wanted.norm()


def test_kept_tokens_are_used_again_and_those_of_another_run_refused(teacher, tmp_path):
    first = teacher.tokens(tmp_path, "run", Processes(), True)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"taught-{number:09d}.safetensors" for number in range(3)]
    (tmp_path / files[1]).unlink()
    teacher.teaching.steps = 0  # whatever is found anew would differ
    again = teacher.tokens(tmp_path, "run", Processes(), True)
    assert torch.equal(again[:2], first[:2]) and torch.equal(again[4:], first[4:])
    assert not torch.equal(again[2:4], first[2:4])
    with pytest.raises(TrainingError, match="holds tokens of another run"):
        teacher.tokens(tmp_path, "other", Processes(), True)
    content = bytearray((tmp_path / files[0]).read_bytes())
    content[-2] ^= 1
    (tmp_path / files[0]).write_bytes(content)
    with pytest.raises(FileError, match=r"is damaged\. Delete it and resume again"):
        teacher.tokens(tmp_path, "run", Processes(), True)


def test_the_lessons_of_both_stages(method):
    training, described = method.projection_training, Described(concepts=CONCEPTS[:2])
    drawn = [
        training.teaching.lessons(method, described, random.Random(seed)) for seed in range(300)
    ]
    assert all(template.target is None and "$" in template.prompt for template, _ in drawn)
    said = [phrase for _, phrase in drawn]
    assert {(lesson.prompt, lesson.target) for lesson in said} == {
        ("a $ on a mat", "a cat on a mat"),
        ("the $", "the cat"),
        ("a $ barks", "a dog barks"),
        ("one $", "one dog"),
        ("$ in the rain", "dog in the rain"),
    }
    assert 0.5 < sum("dog" in lesson.target for lesson in said) / 300 < 0.7  # three phrases of five
    told = [training.lesson(method, described, random.Random(seed)) for seed in range(300)]
    assert 0.4 < sum("dog" in lesson.target for lesson in told) / 300 < 0.6  # one concept of two
    twice = Described(concepts=[Concept("cat", ["cat and cat"])])
    assert training.lesson(method, twice, random.Random(0)) == Lesson("$ and $", "cat and cat")
    (_, once) = training.teaching.lessons(method, twice, random.Random(0))
    assert once.prompt == "$ and cat"


def test_the_first_stage_draws_from_the_nearest_concepts_alone(method):
    many = [Concept(f"c{number}", [f"a c{number}"]) for number in range(40)]
    described = Described(concepts=many)
    lessons = method.projection_training.teaching.lessons
    said = {lessons(method, described, random.Random(seed))[1].target for seed in range(500)}
    assert said == {f"a c{number}" for number in range(15)}


def test_the_loss_of_the_second_stage_by_hand(method):
    """All 2M unit tokens, each among all others; and 0.75 times one less the mean cosine."""
    made = Inverted(torch.randn(3, 1, 6), torch.randn(3, 8))
    batch = LessonBatch(torch.randn(3, 8), None, torch.randn(3, 6))
    vectors = [v / v.norm() for side in (batch.taught, made.tokens[:, 0]) for v in side]
    total = 0.0
    for row, vector in enumerate(vectors):
        others = [torch.exp(vector @ v / 0.25) for place, v in enumerate(vectors) if place != row]
        partner = torch.exp(vector @ vectors[(row + 3) % 6] / 0.25)
        total -= torch.log(partner / sum(others)).item() / 6
    cosines = [
        float(a @ b / a.norm() / b.norm())
        for a, b in zip(made.embedded, batch.targets, strict=True)
    ]
    expected = total + 0.75 * (1 - sum(cosines) / 3)
    assert method.projection_training.loss(made, batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_nearest_concepts_against_a_plain_loop(method, toy_backbone, pictures):
    tokenizer = method.tokenizer(toy_backbone.tower)
    anchors, templates = Anchors(toy_backbone.tower, tokenizer), ("a photo of {}", "{} here")
    found = nearest_concepts(CONCEPTS, pictures, templates, anchors, 2)
    names = []
    for concept in CONCEPTS:
        texts = [template.format(concept.name) for template in templates]
        vectors = toy_backbone.tower(tokenizer.encode(texts))
        names.append(normalize(normalize(vectors, dim=1).mean(0), dim=0))
    for row, picture in enumerate(pictures):
        scores = [float(picture @ name) for name in names]
        wanted = sorted(range(3), key=lambda place: -scores[place])[:2]
        assert found[row].tolist() == wanted
    assert nearest_concepts(CONCEPTS, pictures, templates, anchors, 150).shape == (5, 3)


def test_concepts_that_cannot_be_replaced_go(method, toy_tower):
    tokenizer = method.tokenizer(toy_tower)
    phrases = {"cat": ["a $cat"], "Dog": ["a dog"], "star": ["a star", "nothing"], "sun": []}
    assert usable_concepts(phrases, tokenizer) == [Concept("cat", ["a cat"])]
    with pytest.raises(TripletError, match=r"\(1 not in a phrase of their own, 1 without a name"):
        usable_concepts({"sun": [], "Dog": ["a dog"]}, tokenizer)
    with pytest.raises(TripletError, match="there was none"):
        usable_concepts({}, tokenizer)


@pytest.fixture
def train(method, toy_backbone):
    """A run of both stages on forty pictures."""

    def run(options=None, **settings):
        drawn = torch.randn(40, 32, generator=torch.Generator().manual_seed(6)) * 2
        training = copy.copy(method.projection_training)
        training.teaching = copy.copy(training.teaching)
        training.teaching.steps = 3
        trainer = InversionTrainer(
            method,
            training,
            toy_backbone,
            lambda processes, device: PictureSource(drawn),
            InversionSettings(**{"steps": 6, "batch_size": 8, "learning_rate": 1e-3} | settings),
            options or RunOptions(quiet=True),
            CONCEPTS,
        )
        projection = trainer.fresh()
        return projection, trainer.train(projection, {})

    return run


def test_a_run_killed_in_the_first_stage_ends_in_the_same_bits(train, tmp_path, monkeypatch):
    def options(name, resume=False):
        return RunOptions(tmp_path / name, resume=resume, checkpoint_every=2, quiet=True)

    whole, _ = train(options("whole"))
    kept, calls = Teacher.invert, []

    def killed(self, number, places):
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return kept(self, number, places)

    with monkeypatch.context() as patched:
        patched.setattr(Teacher, "invert", killed)
        with pytest.raises(KeyboardInterrupt):
            train(options("cut"))
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["taught-000000000.safetensors"]
    resumed, done = train(options("cut", resume=True))
    assert len(done.record.losses) == 6
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_the_projection_learns_its_teachers_tokens(train):
    _, done = train(steps=60, learning_rate=3e-3)
    assert sum(done.record.losses[-5:]) < 0.9 * sum(done.record.losses[:5])
