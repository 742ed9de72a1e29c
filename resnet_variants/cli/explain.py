"""The commands ``explain`` and ``draw``."""

from __future__ import annotations

import dataclasses
from html import escape
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torchvision.transforms import v2

from ..checkpoints.catalogue import Weights, list_weights, weights_info
from ..checkpoints.preprocessing import class_names, transforms_for
from ..choices import unknown
from ..explain.capture import capture_attention, gates
from ..explain.draw import draw as draw_networks
from ..explain.pictures import activation_figure, attention_figures, class_activation_map
from ..factory import create_model
from ..network import Network, initialise
from ..photographs import read_image
from ..registry import image_size, is_model
from ..storage import check_place, make_folder
from .weights import open_network


def explain(
    model: tyro.conf.Positional[str],
    image: tyro.conf.Positional[Path],
    *,
    out: Path = Path("explained"),
    checkpoint: Path | None = None,
    weights: str | None = None,
    target: str | None = None,
    size: int | None = None,
    method: str = "GradCAM",
    device: str = "cpu",
) -> None:
    """Write pictures of what a network looks at: where it sees a class, and what its gates do.

    Args:
        model: a model's name, the folder of a run, or a file that resnet_variants.save wrote
        image: an image file
        out: folder for the pictures
        checkpoint: weights of the model; published ones by default, random ones where none are
        weights: tag of the published weights, or none for random ones; with CHECKPOINT: whose
            preprocessing to use
        target: class whose place is shown, a number or a name; the most probable by default
        size: side of the square that the network sees; what the weights are for by default
        method: of the class activation map, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM,
            EigenCAM or ScoreCAM
        device: where to run
    """
    opened = read_image(image)
    check_place(out)
    named = is_model(model) and checkpoint is None
    network: Network
    known: Weights | None
    if named and (weights == "none" or (weights is None and not list_weights(model))):
        network, known = _random(model)
        network.to(device)
        kind = "random weights"
        why = "as asked" if weights == "none" else "none are published"
        print(f"{model}: random weights ({why}), so the pictures show chance, nothing learned")
    else:
        network, known = open_network(model, checkpoint=checkpoint, weights=weights, device=device)
        kind = checkpoint.name if checkpoint else known.tag if known and named else "own weights"
    if known is not None and size is not None:
        resize = max(size, round(known.resize * size / known.size))
        known = dataclasses.replace(known, size=size, resize=resize)
    photograph, batch = _prepared(transforms_for(network, known), opened)
    batch = batch.to(device)
    names = class_names(known, network.num_classes)
    chosen = None if target is None else _class(target, names)

    network.eval()
    title = f"{Path(model).name}, {kind}"
    figures = {}
    if gates(network):
        with capture_attention(network) as record, torch.inference_mode():
            logits = network(batch)
        figures = attention_figures(network, record, photograph, title)
    else:
        print(f"{model} has no gates: a class activation map is all there is to show")
        with torch.inference_mode():
            logits = network(batch)
    probabilities = logits[0].softmax(0)
    best = int(probabilities.argmax()) if chosen is None else chosen
    activation = class_activation_map(network, batch, best, method=method)[0]
    note = f"{method} of '{names[best]}', {probabilities[best]:.1%}"
    figures = {"activation": activation_figure(photograph, activation, title, note)} | figures

    print(f"{image}: {names[best]}, {probabilities[best]:.1%}")
    make_folder(out)
    for name, figure in figures.items():
        path = out / f"{name}.png"
        figure.savefig(path, dpi=150)
        print(f"wrote {path}: {_SHOWS[name]}")
    page = out / "index.html"
    text = _page(title, f"{image.name}: {note}", list(figures))
    page.write_text(text, encoding="utf-8", errors="backslashreplace")
    print(f"wrote {page}: all of them")


def _page(title: str, note: str, figures: list[str]) -> str:
    """The pictures on one page, which lies beside them."""
    shown = "\n".join(
        f'<h2>{_SHOWS[name].capitalize()}</h2>\n<img src="{name}.png" alt="{_SHOWS[name]}">'
        for name in figures
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>
<style>body {{ font: 16px sans-serif; max-width: 60em; margin: 2em auto }}
img {{ max-width: 100% }}</style>
<h1>What {escape(title)} looks at</h1>
<p>{escape(note)}</p>
{shown}
</html>
"""


_SHOWS = {
    "activation": "where the class is seen",
    "maps": "gates with a place, over the image",
    "channels": "weights of channels by depth",
    "branches": "shares of branches by depth",
}


def draw(
    names: tuple[str, ...],
    /,
    *,
    stage: int | None = None,
    block: int = 0,
    input_size: int | None = None,
    out: Path = Path("network.png"),
) -> None:
    """Draw a network and one of its units, or two side by side with what differs marked.

    Args:
        names: one or two models
        stage: the stage, from 0, whose unit is drawn; by default the second one
        block: the unit of that stage, from 0
        input_size: side of the image; by default the one that the first model is for
        out: file to write, .svg or .png
    """
    path = draw_networks(*names, stage=stage, block=block, input_size=input_size, out=out)
    print(f"wrote {path}")


def _random(model: str) -> tuple[Network, Weights]:
    """A network with random weights, the same each time, and how images come to it: as to its
    published weights, or as to ImageNet's in the size that it is for."""
    network = create_model(model)
    initialise(network, seed=0)
    published = list_weights(model)
    if published:
        return network, published[0]
    size = image_size(model)
    usual = weights_info("resnet50.tv_in1k")
    return network, dataclasses.replace(usual, size=size, resize=round(size / 0.875))


def _prepared(transform: v2.Compose, image: object) -> tuple[Tensor, Tensor]:
    """What the network sees of an image, (3, H, W) from 0 to 1, and its batch of one."""
    steps = transform.transforms
    pixels = 1 + next(i for i, step in enumerate(steps) if isinstance(step, v2.ToDtype))
    photograph = v2.Compose(steps[:pixels])(image)
    return photograph, v2.Compose(steps[pixels:])(photograph).unsqueeze(0)


def _class(target: str, names: list[str]) -> int:
    """The number of a class by its number or name."""
    if target.isdecimal():
        if int(target) >= len(names):
            raise ValueError(f"target={target}: there are classes 0 to {len(names) - 1}.")
        return int(target)
    folded = [name.lower() for name in names]
    if target.lower() not in folded:
        raise unknown("class", target, names)
    return folded.index(target.lower())
