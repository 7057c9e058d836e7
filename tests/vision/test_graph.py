"""Networks described by a layout: computed as by hand, kept in one file, refused when broken."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.vision.graph import LAYOUTS, GraphNetwork, Layout, Node, depth_to_space, load_network, packed

CONV = {"channels": [3, 4], "kernel": [3, 3], "stride": [2, 2], "pad": [0, 1, 0, 1], "activation": "relu6"}
NODES = (
    Node("convolution", (0,), CONV),
    Node("convolution", (1,), {"channels": [4, 4], "kernel": [3, 3], "stride": [1, 1], "pad": [1] * 4, "groups": 4}),
    Node("add", (1, 2), {"activation": "relu"}),
    Node("reshape", (3,), {"shape": [-1, 2]}),
)
LAYOUT = Layout((8, 8), NODES, (4, 1))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return GraphNetwork(LAYOUT).eval()


def test_layers_compute_what_they_say(network):
    x = torch.randn(2, 3, 8, 8)
    first, second = (network.layers[k].body for k in (0, 1))
    a = F.relu6(F.conv2d(F.pad(x, [0, 1, 0, 1]), first.weight, first.bias, stride=2))
    b = F.relu(a + F.conv2d(a, second.weight, second.bias, padding=1, groups=4))
    flat, early = network(x)
    torch.testing.assert_close(early, a)
    torch.testing.assert_close(flat, b.permute(0, 2, 3, 1).reshape(2, -1, 2))  # channels last, as the files mean it


def test_gradients_reach_the_picture(network):
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: network.double()(v)[0], x, fast_mode=True)


def test_depth_to_space_puts_a_blocks_channels_outermost():
    x = torch.arange(2 * 12 * 2 * 3).reshape(2, 12, 2, 3).float()
    found = depth_to_space(x, 2)
    for b, c, y, z in np.ndindex(2, 3, 4, 6):
        assert found[b, c, y, z] == x[b, ((y % 2) * 2 + z % 2) * 3 + c, y // 2, z // 2]


def test_several_networks_go_into_one_file_and_come_back(network, tmp_path):
    other = GraphNetwork(replace(LAYOUT, outputs=(3,)))
    state, metadata = packed({"one": network, "two": other})
    save_file(state, tmp_path / "both.safetensors", metadata)
    x = torch.randn(1, 3, 8, 8)
    for name, net in (("one", network), ("two", other)):
        back = load_network(tmp_path / "both.safetensors", name)
        assert back.layout == net.layout
        assert not any(weight.requires_grad for weight in back.parameters())
        for found, truth in zip(back(x), net(x), strict=True):
            torch.testing.assert_close(found, truth)


@pytest.mark.parametrize(
    "node",
    [
        Node("eval", (0,)),
        Node("__import__", (0,)),
        Node("add", (0, 2)),  # its own output
        Node("relu", (-1,)),
    ],
)
def test_layers_that_are_not_known_or_not_there_yet_are_refused(node):
    with pytest.raises(BolidError, match="broken at node 1"):
        GraphNetwork(Layout((8, 8), (Node("relu", (0,)), node), (1,)))


def test_outputs_must_be_there():
    with pytest.raises(BolidError, match="no outputs"):
        GraphNetwork(Layout((8, 8), NODES, (5,)))


def write(path, network, change):
    state, metadata = packed({"it": network})
    layouts = json.loads(metadata[LAYOUTS])
    text = change(layouts)
    save_file(state, path, {LAYOUTS: json.dumps(layouts) if text is None else text})
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda layouts: "{",
        lambda layouts: "[" * 100_000,
        lambda layouts: "7",
        lambda layouts: layouts["it"].pop("nodes") and None,
        lambda layouts: layouts.update(it=3),
        lambda layouts: layouts["it"]["nodes"][0]["options"].update(channels=[3, 10**9]),  # before memory is taken
        lambda layouts: layouts["it"]["nodes"][0]["options"].update(channels=[-3, 4]),
        lambda layouts: layouts["it"]["nodes"][0]["options"].update(stride=["2", "2"]),
        lambda layouts: layouts["it"]["nodes"][0]["options"].update(device="meta"),
        lambda layouts: layouts["it"]["nodes"][2]["options"].update(activation="os.system"),
        lambda layouts: layouts["it"]["nodes"][2].update(inputs=[1, "2"]),
        lambda layouts: layouts["it"].update(outputs=[None]),
    ],
)
def test_broken_layouts_are_refused(network, tmp_path, change):
    path = write(tmp_path / "broken.safetensors", network, change)
    with pytest.raises(BolidError, match="broken"):
        load_network(path, "it")


def test_weights_must_be_the_layouts(network, tmp_path):
    state, metadata = packed({"it": network})
    save_file({k: v for k, v in state.items() if "layers.0" not in k}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(BolidError, match="fetch it anew"):
        load_network(tmp_path / "a.safetensors", "it")
    with pytest.raises(BolidError, match="fetch it anew"):
        load_network(tmp_path / "a.safetensors", "another")
    save_file(state, tmp_path / "b.safetensors")
    with pytest.raises(BolidError, match="fetch it anew"):
        load_network(tmp_path / "b.safetensors", "it")
    assert asdict(network.layout)["size"] == (8, 8)
