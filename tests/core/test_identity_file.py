"""Identities on disk: what was saved comes back, and files of others are refused."""

import pytest
import torch
from safetensors.torch import save_file

from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity, mix
from bolid.core.identity_file import FORMAT, IdentityFolder, load_identity

ANN = Identity(
    {"face": Embedding(torch.linspace(-1, 1, 512), "f" * 64), "body": Embedding(torch.arange(8.0), "b" * 64)}
)


@pytest.fixture
def home(tmp_path):
    return IdentityFolder(tmp_path / "people")


def same(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(a[name].values, b[name].values) and a[name].model == b[name].model for name in a
    )


SOME = [
    ANN,
    Identity({"body": Embedding(torch.ones(64), "")}),
    Identity({"face": Embedding(torch.ones(512), ""), "hair colour": Embedding(torch.ones(4), "h" * 64)}),
    Identity(),
]


@pytest.mark.parametrize("identity", SOME)
def test_comes_back_as_it_was(home, identity):
    path = home.save("ann", identity)
    assert same(home.load("ann"), identity)
    assert [p.name for p in path.parent.iterdir()] == ["ann.safetensors"]


def test_is_listed_and_deleted_by_name(home):
    assert home.names() == []
    for name in ("ben", "ann.2"):
        home.save(name, ANN)
    assert home.names() == ["ann.2", "ben"]
    home.delete("ben")
    assert home.names() == ["ann.2"]
    with pytest.raises(BolidError, match=r"knows no ben; it knows ann\.2"):
        home.load("ben")


def test_is_replaced_only_on_demand(home):
    home.save("ann", ANN)
    with pytest.raises(BolidError, match="exists"):
        home.save("ann", Identity())
    assert same(home.load("ann"), ANN)
    home.save("ann", Identity(), replace=True)
    assert same(home.load("ann"), Identity())


@pytest.mark.parametrize("name", ["", ".", "..", "../ann", "a/b", "/etc/x", "-ann", "ann\n", "a\0b", "x" * 65, "a b"])
def test_a_name_cannot_lead_elsewhere(home, name):
    for use in (home.path, home.load, home.delete):
        with pytest.raises(BolidError, match="is no name"):
            use(name)


GOOD = {"format": FORMAT, "models": '{"body": "", "face": "", "../x": ""}'}


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"body": torch.ones(8)}, {}),
        ({"body": torch.ones(8)}, {"format": "pt"}),
        ({"body": torch.ones(8)}, {"format": FORMAT}),
        ({"body": torch.ones(8)}, GOOD | {"models": "[" * 10_000}),
        ({"body": torch.ones(8)}, GOOD | {"models": '{"body": 3}'}),
        ({"../x": torch.ones(8)}, GOOD),
        ({"hair": torch.ones(8)}, {"format": "bolid-identity-1"}),
        ({"body": torch.ones(8), "more": torch.ones(1)}, GOOD),
        ({"body": torch.ones(1, 8)}, GOOD),
        ({"face": torch.ones(512, dtype=torch.int32)}, GOOD),
        ({"body": torch.ones(0)}, GOOD),
    ],
)
def test_another_file_is_refused(tmp_path, tensors, metadata):
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    with pytest.raises(BolidError, match="none that `bolid identity create` wrote"):
        load_identity(tmp_path / "x.safetensors")


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), 3e38])
def test_numbers_that_no_network_gives_are_refused(tmp_path, number):
    save_file({"body": torch.tensor([1.0, number])}, tmp_path / "x.safetensors", GOOD)
    with pytest.raises(BolidError, match=r"x\.safetensors: body holds numbers that are not finite or beyond"):
        load_identity(tmp_path / "x.safetensors")


def test_a_broken_or_huge_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\x80\x04pickle")
    with pytest.raises(BolidError, match="not a readable safetensors file"):
        load_identity(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"0" * 2_000_000)
    with pytest.raises(BolidError, match="2000000 bytes are too many"):
        load_identity(tmp_path / "x")
    with pytest.raises(BolidError, match="no such identity file"):
        load_identity(tmp_path / "y")


def test_between_two_people():
    face, body = ANN["face"].values, ANN["body"].values
    other = Embedding(torch.full((8,), 2.0), "b" * 64)
    ben = Identity({"face": Embedding(-face, ""), "body": other})
    assert same(mix(ANN, ben, 0.0), ANN)
    quarter = mix(ANN, ben, 0.25)
    torch.testing.assert_close(quarter["body"].values, 0.75 * body + 0.5)
    torch.testing.assert_close(quarter["face"].values, 0.5 * face)
    assert quarter["body"].model == "b" * 64
    with pytest.raises(BolidError, match="body was embedded by different networks"):
        mix(ANN, ben.replace(body=Embedding(body, "c" * 64)))
    with pytest.raises(BolidError, match="body was embedded by different networks"):
        mix(ANN, ben.replace(body=Embedding(torch.ones(3), "")))
    assert mix(ANN, Identity({"body": other})).keys() == {"body"}


def test_a_file_of_the_first_format_is_read(tmp_path):
    parts = {name: found.values for name, found in ANN.items()}
    metadata = {"format": "bolid-identity-1", "face_model": "f" * 64, "body_model": "b" * 64, "image_model": ""}
    save_file(parts, tmp_path / "ann.safetensors", metadata)
    assert same(load_identity(tmp_path / "ann.safetensors"), ANN)


def test_a_file_of_a_later_format_is_named(tmp_path):
    save_file({"body": torch.ones(8)}, tmp_path / "x.safetensors", {"format": "bolid-identity-3"})
    with pytest.raises(BolidError, match=r"is of format bolid-identity-3, and this version reads bolid-identity-2"):
        load_identity(tmp_path / "x.safetensors")
