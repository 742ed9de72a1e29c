"""The commands on weights: ``convert`` and ``predict``."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from ..checkpoints.catalogue import Weights, find_weights, list_weights, weights_info
from ..checkpoints.dialects import OWN
from ..checkpoints.files import write_checkpoint
from ..checkpoints.loading import export_state_dict
from ..checkpoints.models import build_filled, is_deployed, load, save, weights_of
from ..checkpoints.preprocessing import class_names, transforms_for
from ..deploy import Deployed, load_deployed
from ..factory import create_model
from ..network import Network
from ..photographs import check_image, read_image
from ..registry import is_model, model_config


def convert(
    source: tyro.conf.Positional[str],
    target: tyro.conf.Positional[Path],
    *,
    model: str,
    to: str = OWN,
    dialect: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    allow_unverified: bool = False,
) -> None:
    """Translate a file of weights into another library's names, or another format.

    Args:
        source: a file, or published weights such as resnet50.tv_in1k
        target: file to write, .safetensors, .pth, .pt or .bin
        model: the network's name
        to: the dialect to write; a .safetensors file in the library's own can be loaded by itself
        dialect: the dialect of SOURCE; recognised from its names by default
        key: which set of weights, where SOURCE has several (state_dict_ema)
        prefix: which network, where names of several are in it (teacher.)
        num_classes: classes of SOURCE, where they are not the model's
        in_chans: input channels of SOURCE, where they are not the model's
        allow_unverified: take published weights without a published hash, too
    """
    asked = {"num_classes": num_classes, "in_chans": in_chans}
    config = model_config(model).replace(**{k: v for k, v in asked.items() if v is not None})
    network = build_filled(
        config, source, dialect=dialect, key=key, prefix=prefix, allow_unverified=allow_unverified
    )
    print(network.load_report)
    if to == OWN and target.suffix == ".safetensors":
        save(network, target)
    else:
        write_checkpoint(export_state_dict(network, to), target)
    print(f"wrote {target}, {to} names")


def predict(
    model: tyro.conf.Positional[str],
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")],
    *,
    checkpoint: Path | None = None,
    weights: str | None = None,
    top: int = 5,
    device: str = "cpu",
    json: bool = False,
    allow_unverified: bool = False,
    allow_code: bool = False,
) -> None:
    """Print the most probable classes of images.

    Args:
        model: a model's name, the folder of a run, or a file that resnet_variants.save or the
            command optimize wrote
        images: image files
        checkpoint: weights of the model; published ones by default
        weights: tag of the published weights; with CHECKPOINT: whose preprocessing to
            use, resnet50.tv_in1k for instance
        top: how many classes to print
        device: where to run
        json: print JSON instead
        allow_unverified: take published weights without a published hash, too
        allow_code: run the compiled code in a file of the command optimize, too
    """
    if not images:
        raise ValueError("Name at least one image.")
    for path in images:
        check_image(path)
    network: Network | Deployed
    if is_deployed(model):
        if checkpoint is not None or device != "cpu":
            raise ValueError(f"{model} is a deployed network: it runs as it is, on the CPU.")
        network = load_deployed(model, allow_code=allow_code)
        known = network.weights if weights is None else weights_info(weights)
    else:
        network, known = open_network(
            model,
            checkpoint=checkpoint,
            weights=weights,
            device=device,
            allow_unverified=allow_unverified,
        )
        network.eval()
    transform = transforms_for(network, known)
    names = class_names(known, network.num_classes)
    found: list[dict[str, Any]] = []
    for path in images:
        with torch.inference_mode():
            batch = transform(read_image(path)).unsqueeze(0).to(device)
            probabilities = network(batch).softmax(1)[0].cpu()
        best = probabilities.topk(min(top, network.num_classes))
        ranked = list(zip(best.values.tolist(), best.indices.tolist(), strict=True))
        found.append(
            {
                "image": str(path),
                "classes": [
                    {"number": number, "name": names[number], "probability": share}
                    for share, number in ranked
                ],
            }
        )
        if not json:
            lines = [f"  {100 * share:6.2f} %  {names[number]}" for share, number in ranked]
            print(path, *lines, sep="\n")
    if json:
        print(dumps(found, indent=2))


def open_network(
    model: str,
    *,
    checkpoint: Path | None,
    weights: str | None,
    device: str,
    allow_unverified: bool = False,
) -> tuple[Network, Weights | None]:
    """The network that a command names, filled, and the entry of the catalogue that says how its
    images are prepared, where one does: the options are those of ``predict``."""
    if not is_model(model) and Path(model).expanduser().exists():
        network = load(model, device=device)
    elif checkpoint is not None:
        network = create_model(model, checkpoint_path=checkpoint, device=device)
    else:
        network = create_model(
            model, pretrained=weights or True, device=device, allow_unverified=allow_unverified
        )
    known = weights_of(network)
    if known is None and weights is not None and (found := find_weights(weights)) is not None:
        known = found
    elif known is None and is_model(model) and (weights or list_weights(model)):
        known = weights_info(model, weights)
    return network, known
