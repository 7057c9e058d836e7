"""Small networks with BlazePose's and BlazeFace's shapes and random weights, in files as the fetched ones are."""

import pytest
import torch
from safetensors.torch import save_file

from bolid.vision.graph import GraphNetwork, Layout, Node, packed
from bolid.vision.networks import SOURCE, entry, is_here


def fetched(*names):
    """Skips a test of networks that are not in the cache folder."""
    missing = [name for name in names if not is_here(name)]
    return pytest.mark.skipif(bool(missing), reason=f"bolid networks get {' '.join(missing)}")


def pooled(side):
    """Nodes that bring a picture to 8 x 8, and the side of the window that does."""
    return Node("max_pool", (0,), {"kernel": [side // 8, side // 8], "stride": [side // 8, side // 8]})


def convolution(value, outputs, kernel=8):
    options = {"channels": [3, outputs], "kernel": [kernel, kernel], "stride": [1, 1], "pad": [0, 0, 0, 0]}
    return Node("convolution", (value,), options)


def landmarks(side=256, seed=0):
    """Answers as the landmark network does: 39 landmarks, score, mask, heat maps, world."""
    nodes = [pooled(side)]
    outputs = []
    for size in (195, 1, 117):
        nodes += [convolution(1, size), Node("reshape", (len(nodes) + 1,), {"shape": [size]})]
        outputs.append(len(nodes))
    nodes.append(Node("sigmoid", (outputs[1],)))
    score = len(nodes)
    nodes.append(convolution(0, 1, 1))
    mask = len(nodes)
    nodes += [convolution(0, 39, 1), Node("max_pool", (mask + 1,), {"kernel": [4, 4], "stride": [4, 4]})]
    layout = Layout((side, side), tuple(nodes), (outputs[0], score, mask, len(nodes), outputs[2]))
    return filled(GraphNetwork(layout), seed)


def detector(side, anchors, values, seed=0):
    """Answers as a detector: (B, A, values) and (B, A, 1)."""
    nodes = [pooled(side)]
    for size in (values, 1):
        nodes += [convolution(1, anchors * size), Node("reshape", (len(nodes) + 1,), {"shape": [anchors, size]})]
    return filled(GraphNetwork(Layout((side, side), tuple(nodes), (3, 5))), seed)


def filled(network, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.1, generator=generator)
    return network.eval()


def saved(path, **networks):
    state, metadata = packed(networks)
    save_file(state, path, metadata)
    return path


def pose_files(folder):
    """Arguments of PoseLandmarks and BlazePose."""
    path = saved(folder / "pose.safetensors", detector=detector(224, 2254, 12), landmarks=landmarks())
    return {"detector_weights": path, "weights": path}


def in_cache(folder):
    """A cache folder, `$BOLID_CACHE`, with small networks under the names of the fetched ones."""
    folder.mkdir(parents=True, exist_ok=True)
    state, metadata = packed({"detector": detector(224, 2254, 12), "landmarks": landmarks()})
    save_file(state, folder / "blazepose.safetensors", {**metadata, SOURCE: entry("blazepose").source})
    return folder
