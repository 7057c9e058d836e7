"""Whom training shows in which order, and which photos belong together."""

from collections import Counter
from dataclasses import replace

import numpy as np

from bolid.core.schema import Phrase, TrainingBatch
from bolid.data.caption_dropout import CaptionDropout
from tests.data import invariants
from tests.data.fabricate import fabricate
from tests.data.test_dataset import make


def test_rounds_meet_everybody_once_and_targets_are_uniform(photos):
    dataset = make(photos)
    people, targets, counts = [], Counter(), Counter()
    for index in range(600):
        rng = np.random.default_rng([0, 1, 0, index])
        row = dataset._rounds.target(0, index, rng)
        references = dataset._choose(row, rng)
        people.append(dataset._records[row].identity)
        targets[row] += 1
        counts[len(references)] += 1
    assert all(len(set(people[k : k + 4])) == 4 for k in range(0, 600, 4))
    assert len({tuple(people[k : k + 4]) for k in range(0, 600, 4)}) > 10
    assert len(targets) == 24
    assert max(targets.values()) < 25 + 5 * 25**0.5  # five standard deviations
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 100


def test_families_follow_each_other(photos):
    records = [replace(r, family="7" if r.identity in ("p000000", "p000002") else "") for r in photos[1]]
    dataset = make(photos, records=records)
    orders = set()
    for rounds in range(20):
        samples = [dataset[rounds * 4 + k] for k in range(4)]
        people = [sample.identities[0] for sample in samples]
        assert len(set(people)) == 4
        assert people.index("p000002") == people.index("p000000") + 1
        assert {s.families[0] for s in samples} == {"7", "p000001", "p000003"}
        orders.add(tuple(people))
    assert len(orders) == 6  # of three families


def in_pairs(records):
    """p000000 and p000001 belong together photo by photo, and so do p000002 and p000003."""
    return [replace(r, group=f"{int(r.identity[1:]) // 2}/{r.file_name[-5]}") for r in records]


def test_groups_are_shown_in_the_same_scene_without_the_same_phrases(photos):
    folder, records = photos
    average = ("p000001", "p000003")  # whose waists nobody mentions
    records = in_pairs(
        replace(r, phrases=[p for p in r.phrases if p.kind != "waist"]) if r.identity in average else r for r in records
    )
    dataset = make((folder, records), caption_dropout=CaptionDropout(body=0.5, hair=0.5, pose=0.5))
    assert (dataset.group_size, dataset.left_out, len(dataset)) == (2, 0, 24)
    numbers, hidden = Counter(), Counter()
    for place in range(0, 200, 2):
        number, lacks = check_pair(dataset, records, place)
        numbers[number] += 1
        hidden[lacks] += 1
    assert len(numbers) == 6
    assert len(hidden) == 4
    evaluated = make((folder, records), training=False)
    assert len({sample.file_names[0] for sample in evaluated}) == 24
    assert len(set(TrainingBatch.cat([*evaluated]).groups.tolist())) == 24


def check_pair(dataset, records, place):
    """The number of the photo at two neighbouring places, and what both captions leave out."""
    one, other = dataset[place], dataset[place + 1]
    assert {*one.identities, *other.identities} in ({"p000000", "p000001"}, {"p000002", "p000003"})
    assert one.groups.tolist() == other.groups.tolist()
    number, another = (sample.file_names[0][-5] for sample in (one, other))
    assert number == another
    lacks = [
        tuple(kind for kind in ("hair", "pose") if dict(said(records, sample))[kind] not in sample.captions[0])
        for sample in (one, other)
    ]
    assert lacks[0] == lacks[1]
    return number, lacks[0]


def test_a_missing_photo_takes_its_group_with_it_and_shifts_no_other(tmp_path):
    records = in_pairs(fabricate(tmp_path, {"train": 4}, photos=6))
    (tmp_path / "train/p000001_2.png").write_bytes(b"broken")
    dropout = CaptionDropout(body=0.5, hair=0.5, pose=0.5)
    dataset = make((tmp_path, records), caption_dropout=dropout)
    assert (dataset.group_size, dataset.left_out, len(dataset)) == (2, 1, 22)
    for place in range(0, 32, 2):  # 32 of 32 are true pairs
        check_pair(dataset, records, place)
    invariants.check_groups(dataset)
    invariants.check_leave_one_out(dataset)
    shown = {dataset[place].file_names[0] for place in range(400)}
    assert not shown & {"train/p000000_2.png", "train/p000001_2.png"}
    assert len(shown) == 22


def test_a_missing_person_takes_the_pair_along_and_shifts_no_other(photos):
    folder, records = photos
    kept = in_pairs(r for r in records if r.identity != "p000000")
    dataset = make((folder, kept), caption_dropout=CaptionDropout(body=0.5, hair=0.5, pose=0.5))
    assert (dataset.group_size, dataset.left_out, len(dataset)) == (2, 6, 12)
    for place in range(0, 32, 2):
        check_pair(dataset, kept, place)
    assert {dataset[place].identities[0] for place in range(32)} == {"p000002", "p000003"}


def test_a_partner_with_too_few_other_photos_takes_the_pair_along(photos):
    folder, records = photos
    few = in_pairs(r for r in records if r.identity != "p000001" or r.file_name.endswith("_3.png"))
    dataset = make((folder, few))
    assert {dataset[place].identities[0] for place in range(32)} == {"p000002", "p000003"}
    assert dataset.left_out == 6


def said(records, sample) -> list[Phrase]:
    """The phrases of a sample's target."""
    return next(r.phrases for r in records if r.file_name == sample.file_names[0])
