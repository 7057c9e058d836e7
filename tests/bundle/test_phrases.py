"""A text encoder that was taught phrases hears all of them equally well; then it grades bodies."""

import copy
from itertools import product

import pytest
import torch

from bolid.bundle.new import new_text_encoder, train_tokenizer
from bolid.bundle.phrases import has_pieces, pieces, teach_grades, teach_phrases, tokenize
from bolid.synthetic.wording import body_grades

SHIRTS = ("red", "blue", "green", "black", "white")
POSES = ("standing", "taking a step", "with both arms up", "sitting on a box")
VIEWS = ("seen from behind", "facing the camera")
CAPTIONS = [
    f"a photo of a person, wearing a {shirt} shirt and {trousers} trousers, {pose}, {view}"
    for shirt, trousers, pose, view in product(SHIRTS, SHIRTS, POSES, VIEWS)
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS)


def encoder(tokenizer):
    torch.manual_seed(0)
    return new_text_encoder(tokenizer, 32)


def teach(tokenizer, captions, seed=0, steps=60):
    taught = encoder(tokenizer)
    teach_phrases(taught, tokenizer, captions, steps, batch_size=32, learning_rate=5e-3, seed=seed)
    return taught


def heard(network, tokenizer, learnt, held_out, names):
    """How often a linear map, fitted to the end states of some captions, tells which of `names` another has: 0..1."""
    number = {name: row for row, name in enumerate(names)}

    def states(captions):
        with torch.no_grad():
            ends = network(tokenize(tokenizer, captions)).pooler_output
        return torch.cat([ends, torch.ones(len(captions), 1)], 1)

    def which(captions):
        return torch.tensor([next(number[p] for p in pieces(caption) if p in number) for caption in captions])

    probe = torch.linalg.lstsq(states(learnt), torch.eye(len(names))[which(learnt)]).solution
    return ((states(held_out) @ probe).argmax(1) == which(held_out)).float().mean().item()


def test_what_captions_never_seen_say_is_learnt_from_few_others(tokenizer):
    order = torch.randperm(len(CAPTIONS), generator=torch.Generator().manual_seed(0)).tolist()
    learnt, held_out = ([CAPTIONS[i] for i in part] for part in (order[:120], order[120:]))
    taught, untaught = teach(tokenizer, learnt, steps=300), encoder(tokenizer)
    shirts = [f"wearing a {colour} shirt" for colour in SHIRTS]
    trousers = [f"{colour} trousers" for colour in SHIRTS]
    for names in (shirts, trousers, POSES, VIEWS):
        assert heard(taught, tokenizer, learnt[:40], held_out, names) > 0.95
    assert heard(untaught, tokenizer, learnt[:40], held_out, trousers) < 0.7


def test_the_same_seed_teaches_the_same(tokenizer):
    states = [teach(tokenizer, CAPTIONS, seed, 3).state_dict() for seed in (0, 0, 1)]
    same = [all(torch.equal(states[0][name], other[name]) for name in other) for other in states]
    assert same == [True, True, False]


BODIES = [
    ", ".join(["a photo of a person", *(p for p in parts if p)])
    for parts in product(("", "very thin", "thin", "slim", "stout", "heavy"), ("", "tall", "short"),
                         ("", "with long legs", "with short legs"), POSES)
]  # fmt: skip


def test_grades_are_written_after_the_end_and_all_else_stays():
    tokenizer = train_tokenizer(BODIES)
    order = torch.randperm(len(BODIES), generator=torch.Generator().manual_seed(0)).tolist()
    learnt, held_out = ([BODIES[i] for i in part] for part in (order[:160], order[160:]))
    taught = teach(tokenizer, learnt)
    before = copy.deepcopy(taught)
    teach_grades(taught, tokenizer, learnt, 400, 32, 5e-3, scale=2.0)
    tokens = tokenize(tokenizer, held_out)
    with torch.no_grad():
        states, old = (network(tokens).last_hidden_state for network in (taught, before))
    ended = (tokens == tokenizer.eos_token_id).cumsum(1) > 0
    wanted = 2 * torch.tensor([body_grades(caption) for caption in held_out])[:, None].expand(-1, 77, -1)
    near = ended & (ended.cumsum(1) <= 3)
    written, meant = states[..., -6:][near], wanted[near]
    assert (written - meant).square().mean() < 0.05 * meant.square().mean()
    assert (states - old)[..., :-6].square().mean() < 0.05 * old[..., :-6].var()
    assert (states - old)[~ended].square().mean() < 0.05 * old.var()  # nothing is said before it is heard


def test_the_pieces_of_a_caption():
    assert pieces("a photo of a man, in a red shirt and blue jeans, standing") == [
        "a photo of a man", "in a red shirt", "blue jeans", "standing",
    ]  # fmt: skip
    said = has_pieces(["a, b and a", "c"], {"a": 0, "b": 1, "c": 2})
    assert said.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_a_companion_is_taken_apart_and_other_phrases_stay_whole():
    caption = (
        "a photo of a man, with long legs, in a red coat and blue jeans, with a slim woman in a green dress on the left"
    )
    assert pieces(caption) == [
        "a photo of a man", "with long legs", "in a red coat", "blue jeans",
        "with a slim woman", "in a green dress", "on the left",
    ]  # fmt: skip
