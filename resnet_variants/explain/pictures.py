"""Pictures: class activation maps, gates laid over the photograph, channel weights by depth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..choices import check_choice
from .capture import AttentionRecord
from .watching import evaluating

METHODS = ("GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "EigenCAM", "ScoreCAM")

WIDTH, COLUMNS = 8.0, 4  # of a figure in inches, panels in a row
COLORS = ("#4a6fa5", "#e9a23b", "#5b8c5a", "#a0527a", "#7d7d7d")


def class_activation_map(
    model: nn.Module,
    images: Tensor,
    target: int | None = None,
    *,
    layers: Sequence[nn.Module] | None = None,
    method: str = "GradCAM",
) -> Tensor:
    """Where in each image a class is seen: (N, H, W) from 0 to 1, by the grad-cam package.

    ``target`` is the class, each image's most probable one by default; ``layers`` the modules
    whose outputs are weighed, ``model.cam_layers()`` by default; ``method`` one of ``METHODS``.
    The model's modes and gradients stay as they are. Raises ValueError for a model without
    classes or a class that it lacks, ImportError when grad-cam is not installed.
    """
    check_choice("method", method, METHODS)
    classes = getattr(model, "num_classes", None)
    if classes == 0:
        raise ValueError("A class activation map needs classes: this network has num_classes=0.")
    if classes is not None and target is not None and not 0 <= target < classes:
        raise ValueError(f"target={target}: this network has classes 0 to {classes - 1}.")
    try:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ModuleNotFoundError as error:
        raise ImportError(
            f'Class activation maps need grad-cam ({error}): pip install "resnet-variants[explain]"'
        ) from error
    if layers is None:
        layers = model.cam_layers()  # type: ignore[operator]
    kept = {each: (each.requires_grad, each.grad) for each in model.parameters()}
    targets = None if target is None else [ClassifierOutputTarget(target)] * len(images)
    try:
        with (
            evaluating(model),
            torch.enable_grad(),
            getattr(pytorch_grad_cam, method)(model=model, target_layers=list(layers)) as cam,
        ):
            # The gradient goes through the layers to the image: no weight needs one.
            model.requires_grad_(False)
            maps = cam(images.detach().clone().requires_grad_(), targets)
    finally:
        for parameter, (needs, grad) in kept.items():
            parameter.requires_grad_(needs).grad = grad
    return torch.from_numpy(maps)


def activation_figure(photograph: Tensor, activation: Tensor, title: str, note: str) -> Figure:
    """A photograph (3, H, W) from 0 to 1, and its class activation map (H, W) laid over it."""
    figure = Figure(figsize=(WIDTH, WIDTH / 2 + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    _overlay(left, photograph, None)
    left.set_title("the image, as the network sees it", fontsize=9)
    _overlay(right, photograph, activation)
    right.set_title(textwrap.fill(note, 50), fontsize=9)
    return figure


def attention_figures(
    model: nn.Module, record: AttentionRecord, photograph: Tensor, title: str
) -> dict[str, Figure]:
    """The gates of a record of ``model``, for the first image of the pass: a figure of each
    kind that there is.

    ``maps``: those with a place (SSA, salient, masks, self-calibration) over ``photograph``
    (3, H, W); ``channels``: one weight a channel, by depth; ``branches``: the share of each
    branch (selective kernels, split attention), by depth.
    """
    found: dict[str, dict[str, Tensor]] = {"maps": {}, "channels": {}, "branches": {}}
    for name, weights in record.items():
        first = weights[0].float().cpu()
        place = name.removesuffix(".attention").removesuffix(".selection")
        if first.ndim == 3 and first[0].numel() > 1:
            found["maps"][place] = first.mean(0)
            continue
        shares = first if first.ndim == 2 else first.view(1, -1)
        if getattr(model.get_submodule(name), "branches", 1) == 2:
            shares = torch.cat((shares, 1 - shares))
        found["branches" if len(shares) > 1 else "channels"][place] = shares
    figures = {}
    if found["maps"]:
        figures["maps"] = _maps_figure(found["maps"], photograph, title)
    for kind in ("channels", "branches"):
        if found[kind]:
            figures[kind] = _weights_figure(found[kind], title)
    return figures


def _maps_figure(maps: Mapping[str, Tensor], photograph: Tensor, title: str) -> Figure:
    figure, panels = _grid(len(maps) + 1, WIDTH / COLUMNS + 0.3, title)
    _overlay(panels[0], photograph, None)
    panels[0].set_title("the image", fontsize=8)
    for axes, (name, weights) in zip(panels[1:], maps.items(), strict=True):
        low, high = weights.min(), weights.max()
        _overlay(axes, photograph, (weights - low) / (high - low).clamp(min=1e-12))
        axes.set_title(f"{name}\n{low:.2f} (blue) to {high:.2f} (red)", fontsize=8)
    return figure


def _weights_figure(weights: Mapping[str, Tensor], title: str) -> Figure:
    """Bars of the mean of each gate by depth, and a panel a gate with a bar a channel."""
    figure, panels = _grid(len(weights), 1.35, title, above=2.1)
    top = figure.axes[-1]
    branches = max(len(shares) for shares in weights.values())
    for depth, (axes, (name, shares)) in enumerate(zip(panels, weights.items(), strict=True), 1):
        below = torch.zeros(shares.shape[1])
        for i, share in enumerate(shares):
            color = COLORS[i % len(COLORS)]
            label = f"branch {i + 1}" if depth == 1 else None
            bottom = float(below.mean())
            top.bar(depth, float(share.mean()), bottom=bottom, color=color, width=0.7, label=label)
            above = (below + share).tolist()
            axes.stairs(
                above, list(range(len(share) + 1)), baseline=below.tolist(), fill=True, color=color
            )
            below = below + share
        if branches == 1:
            spread = shares[0].quantile(torch.tensor([0.1, 0.9])).tolist()
            top.plot([depth, depth], spread, color="black", linewidth=1)
        axes.set_xlim(0, shares.shape[1])
        axes.set_ylim(0, max(1.0, float(below.max())))
        axes.set_title(f"{depth}: {name}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_xticks([0, shares.shape[1]])
    step = -(-len(weights) // 25)
    top.set_xticks(range(1, len(weights) + 1, step))
    top.tick_params(labelsize=8)
    top.set_ylim(0, max(1.0, top.get_ylim()[1]))
    top.set_xlabel("gate, from the image to the classifier", fontsize=8)
    if branches == 1:
        top.set_ylabel("mean weight", fontsize=8)
        top.set_title("bars: mean over the channels; lines: 10 to 90 % of them", fontsize=8)
    else:
        top.set_ylabel("mean share", fontsize=8)
        top.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=branches, fontsize=8, frameon=False
        )
    figure.supxlabel("each gate's channels, a bar each", fontsize=8)
    return figure


def _grid(count: int, height: float, title: str, above: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of that height in inches, and if ``above`` is not
    zero a panel of that height over them, the last of the figure's axes."""
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(WIDTH, rows * height + above + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    ratios = [above, *[height] * rows] if above else [height] * rows
    grid = figure.add_gridspec(len(ratios), COLUMNS, height_ratios=ratios)
    first = 1 if above else 0
    panels = [figure.add_subplot(grid[first + i // COLUMNS, i % COLUMNS]) for i in range(count)]
    if above:
        figure.add_subplot(grid[0, :])
    return figure, panels


def _overlay(axes: Axes, photograph: Tensor, weights: Tensor | None) -> None:
    """A photograph, with weights (h, w) from 0 to 1 over it, enlarged to its size."""
    axes.imshow(photograph.permute(1, 2, 0).clamp(0, 1).cpu().numpy())
    if weights is not None:
        size = photograph.shape[1:]
        large = F.interpolate(weights[None, None].cpu(), size, mode="bilinear")[0, 0]
        axes.imshow(large.numpy(), cmap="turbo", alpha=0.5, vmin=0, vmax=1)
    axes.axis("off")
