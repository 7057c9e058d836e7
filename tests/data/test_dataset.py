from collections import Counter
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from bolid.core.errors import BolidError
from bolid.core.schema import ANYBODY, Phrase, TrainingBatch
from bolid.data.caption_dropout import CaptionDropout, swap_sides
from bolid.data.dataset import LeaveOneOutDataset
from bolid.data.sampler import Draw
from bolid.data.specs import ReferenceSpec, SplitSpec
from tests.data import invariants


def make(photos, **options) -> LeaveOneOutDataset:
    """A data set of small images; options of the specs are given beside its own."""
    folder, records = photos
    spec, references = (
        kind(**{f.name: options.pop(f.name) for f in fields(kind) if f.name in options and f.name != "size"})
        for kind in (SplitSpec, ReferenceSpec)
    )
    options = {"size": (48, 32), "spec": spec, "references": references} | options
    return LeaveOneOutDataset(options.pop("records", records), folder, **options)


def same(a: TrainingBatch, b: TrainingBatch) -> bool:
    def equal(x, y) -> bool:
        if is_dataclass(x):
            return all(equal(getattr(x, f.name), getattr(y, f.name)) for f in fields(x))
        return torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y

    return equal(a, b)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("target", ["frame", "person"])
def test_invariants(photos, training, target):
    dataset = make(photos, training=training, target=target)
    invariants.check_leave_one_out(dataset)
    invariants.check_groups(dataset)
    invariants.check_ranges(TrainingBatch.cat([dataset[k] for k in range(8)]))
    invariants.check_flips(lambda p: make(photos, target=target, flip=p))


def test_a_sample_depends_on_seed_epoch_and_index_alone(photos):
    dataset, other = make(photos), make(photos)
    for k in (5, 3, 0):
        other[Draw(1, k)]  # what was drawn before makes no difference
    draws = [Draw(0, 0), Draw(0, 1), Draw(1, 0), Draw(7, 100)]
    for draw in draws:
        assert same(dataset[draw], other[draw])
    samples = [dataset[draw] for draw in draws] + [make(photos, seed=1)[Draw(0, 0)]]
    keys = {(s.file_names[0], *s.references.names[0], float(s.pictures.sum())) for s in samples}
    assert len(keys) == len(samples)


def test_evaluation_takes_every_photo_once_and_neighbours_differ(photos):
    dataset = make(photos, training=False, max=3)
    samples = [dataset[k] for k in range(len(dataset))]
    assert sorted(s.file_names[0] for s in samples) == sorted(r.file_name for r in dataset.records)
    assert all(a.identities != b.identities for a, b in pairwise(samples))
    assert all(s.references.mask.all() for s in samples)  # as many as there are
    assert same(dataset[Draw(0, 3)], dataset[3])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def in_scene(record, name):
    return replace(record, file_name=name, scene=name.replace("b.", "."), silhouette=None)


def test_another_outfit_of_the_target_is_no_reference(photos):
    folder, records = photos
    names = [f"train/worn_{k}{letter}.png" for k in range(3) for letter in ("", "b")]
    for record, name in zip(records, names, strict=False):
        (folder / name).write_bytes((folder / record.file_name).read_bytes())
    outfits = [in_scene(r, name) for r, name in zip(records, names, strict=False)]
    for training in (True, False):
        dataset = make((folder, outfits), training=training, name="outfits")
        for k in range(6):
            sample = dataset[k]
            scenes = {name.split("_")[1][0] for name in sample.references.names[0]}
            assert sample.file_names[0].split("_")[1][0] not in scenes
            assert scenes
            assert sample.outfit.mask.shape == (1, 0)
    drawn = make((folder, [replace(r, scene="") for r in outfits]), training=False, max=5, name="real")
    assert len(drawn[0].references.names[0]) == 5  # names of real photos mean nothing
    two = make((folder, outfits[:2]), name="two")
    with pytest.raises(IndexError):
        two[0]


def test_the_targets_other_outfit_is_shown_where_asked_for_and_there(photos):
    folder, records = photos
    names = [f"train/worn_{k}{letter}.png" for k in range(3) for letter in ("", "b")][:5]  # the last has no twin
    for record, name in zip(records, names, strict=False):
        (folder / name).write_bytes((folder / record.file_name).read_bytes())
    outfits = [in_scene(r, name) for r, name in zip(records, names, strict=False)]
    dataset = make((folder, outfits), training=False, target="person", size=(96, 64), name="pairs", second_outfit=True)
    samples = {sample.file_names[0]: sample for sample in map(dataset.__getitem__, range(len(dataset)))}
    for name, sample in samples.items():
        twin = samples.get(name.replace("b.", ".") if "b." in name else name.replace(".", "b."))
        assert sample.outfit.mask.tolist() == [[twin is not None]]
        assert torch.equal(sample.outfit.pictures[0, 0], torch.zeros(3, 96, 64) if twin is None else twin.pictures[0])
        assert torch.equal(sample.outfit.keypoints[0, 0], torch.zeros(17, 3) if twin is None else twin.keypoints[0])
    assert len(samples) == 5
    nobody_else = {"min": 0, "max": 0}
    alone = make((folder, outfits), training=False, name="alone", second_outfit=True, **nobody_else)
    seen = {sample.file_names[0]: sample for sample in map(alone.__getitem__, range(len(alone)))}
    assert all(torch.equal(seen[name].outfit.pictures, samples[name].outfit.pictures) for name in samples)
    trained = make((folder, outfits), target="person", size=(96, 64), name="pairs", second_outfit=True, flip=1.0)
    for k in range(12):
        mirrored, still = trained[k], samples[trained[k].file_names[0]]
        assert torch.equal(mirrored.outfit.pictures, still.outfit.pictures.flip(-1))
        assert torch.equal(mirrored.outfit.mask, still.outfit.mask)


def in_colours(records, *clothes):
    return [
        replace(r, phrases=(*r.phrases, Phrase("clothes", "dressed")), attributes={"shirt": top, "trousers": bottom})
        for r, (top, bottom) in zip(records, clothes, strict=True)
    ]


def test_references_in_new_clothes_wear_no_colour_of_the_targets(photos):
    folder, records = photos
    worn = [
        ("red", "blue"),
        ("blue", "white"),
        ("white", "black"),
        ("green", "grey"),
        ("red", "white"),
        ("red", "blue"),
    ]
    clothes = dict(zip((r.file_name for r in records[:6]), worn, strict=True))
    dressed = (folder, in_colours(records[:6], *worn))
    samples = list(map((d := make(dressed, training=False, new_clothes=True, max=5)).__getitem__, range(len(d))))
    assert {s.file_names[0] for s in samples} == set(clothes)
    for sample in samples:
        own = set(clothes[sample.file_names[0]])
        others = {name for name, colours in clothes.items() if own.isdisjoint(colours)}
        assert set(sample.references.names[0]) == others
    picky = make(dressed, training=False, new_clothes=True, min=4)
    assert len(picky) == 1  # the only one whose colours nobody else wears
    trained = make(dressed)
    seen = {(s.file_names[0], n) for s in map(trained.__getitem__, range(60)) for n in s.references.names[0]}
    assert any(set(clothes[a]) & set(clothes[b]) for a, b in seen)


def test_as_many_photos_of_a_person_are_targets_as_asked_for(photos):
    everything = make(photos, training=False)
    few = make(photos, training=False, max_targets=2)
    names = [few[i].file_names[0] for i in range(len(few))]
    assert Counter(few[i].identities[0] for i in range(len(few))) == dict.fromkeys({r.identity for r in photos[1]}, 2)
    assert names == [everything[i].file_names[0] for i in range(len(everything))][: len(few)]
    assert max(len(few[i].references.names[0]) for i in range(len(few))) == 4


def test_people_with_too_few_photos_are_no_targets(photos):
    records = photos[1][:6] + photos[1][6:7] + photos[1][12:14]  # six photos, one, and two
    assert {s.identities[0] for s in map(make(photos, records=records).__getitem__, range(20))} == {
        "p000000",
        "p000002",
    }
    assert len(make(photos, records=records, min=2, training=False)) == 6
    with pytest.raises(BolidError, match=r"references\.min"):
        make(photos, min=5)


def test_no_references_at_all(photos):
    dataset = make(photos, records=photos[1][::6], min=0, max=0)
    batch = TrainingBatch.cat([dataset[k] for k in range(4)])
    assert batch.references.pictures.shape == (4, 0, 3, 96, 64)
    assert batch.references.mask.shape == (4, 0)
    assert len(set(batch.identities)) == 4
    invariants.check_ranges(batch)


def test_silhouettes_and_faces_are_known_where_they_are(photos):
    records = [replace(r, silhouette=None) if k % 2 else r for k, r in enumerate(photos[1])]
    dataset = make(photos, records=records, training=False)
    known = {r.file_name: r.silhouette is not None for r in records}
    faces = {r.file_name: r.face_embedding for r in records}
    for k in range(12):
        sample = dataset[k]
        assert bool(sample.silhouette_known) == known[sample.file_names[0]] == bool(sample.silhouettes.any())
        for slot, name in enumerate(sample.references.names[0]):
            assert bool(sample.references.face_mask[0, slot]) == (faces[name] is not None)
            if faces[name] is not None:
                np.testing.assert_array_equal(sample.references.faces[0, slot], faces[name])


def test_the_canonical_pose_is_the_given_one_or_a_retargeted_one(photos):
    given = np.full((17, 3), 1, np.float32) * [30, 40, 1]
    records = [replace(r, keypoints_canonical=given.astype(np.float32)) for r in photos[1]]
    sample = make(photos, records=records, training=False, size=(96, 64))[0]
    assert (sample.keypoints_canonical[0] == torch.tensor([30.0, 40, 1])).all()
    plain = make(photos, flip=0.0)
    a, b = plain[Draw(0, 0)], plain[Draw(0, 0)]
    assert torch.equal(a.keypoints_canonical, b.keypoints_canonical)
    assert not torch.allclose(a.keypoints_canonical, a.keypoints, atol=0.5)


def test_time_ids(photos):
    dataset = make(
        photos, training=False, size=(32, 32)
    )  # photos of 96 x 64, cut to a square around the person's middle
    sample = dataset[0]
    (box,) = (record.box for record in dataset.records if record.file_name == sample.file_names[0])
    above = (box[1] + box[3]) / 2 - 32
    assert above > 16
    assert sample.time_ids[0].tolist() == pytest.approx([96, 64, above / 2, 0, 32, 32], abs=0.5)


def test_captions_drop_phrases_and_mirrors_swap_sides(photos):
    everything = CaptionDropout(body=1, gender=1, hair=1)
    plain, mirrored = make(photos, caption_dropout=everything, flip=0), make(photos, caption_dropout=None, flip=1)
    sample = plain[0]
    assert sample.captions == [f"{ANYBODY}, left arm raised"]
    full = "a photo of a woman, slender, narrow waist, short hair, {} arm raised"
    assert sample.full_captions == [full.format("left")]
    assert mirrored[0].captions == mirrored[0].full_captions == [full.format("right")]
    assert swap_sides("Left foot, bright RIGHT, leftover right-hand") == "Right foot, bright LEFT, leftover left-hand"


def test_caption_dropout_has_the_asked_probabilities():
    phrases = [Phrase(k, k) for k in ("gender", "build", "waist", "legs", "hair", "clothes", "text")]
    policy = CaptionDropout(body=0.3, all_body=0.3, gender=0.5, hair=0.0, clothes=0.1)
    rng = np.random.default_rng(0)
    drawn = [policy.draw(rng, phrases) for _ in range(4000)]
    share = {p.kind: np.mean([p.kind in d for d in drawn]) for p in phrases}
    expected = {"gender": 0.5, "build": 0.51, "waist": 0.51, "legs": 0.51, "hair": 0, "clothes": 0.1, "text": 0}
    assert share == pytest.approx(expected, abs=0.03)
    every_body = np.mean([{"build", "waist", "legs"} <= d for d in drawn])
    assert every_body == pytest.approx(0.3 + 0.7 * 0.3**3, abs=0.03)
    with pytest.raises(BolidError, match="hair"):
        CaptionDropout(hair=1.5)
