"""Pictures of gates and class activation maps, and the command ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from resnet_variants import save
from resnet_variants.checkpoints import write_checkpoint
from resnet_variants.cli import main
from resnet_variants.explain import capture_attention
from resnet_variants.explain.pictures import activation_figure, attention_figures

from .families import small


def images(n: int = 1, side: int = 48) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


# Pictures --------------------------------------------------------------------------------------


def _titles(figure: Any) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_figures_show_what_was_captured() -> None:
    model = small("SCNet", attention="se").eval()
    with torch.no_grad(), capture_attention(model) as record:
        model(images(1, 64))
    figures = attention_figures(model, record, torch.rand(3, 64, 64), "scnet with se")
    assert list(figures) == ["maps", "channels"]
    gate = record["stages.0.0.attention"][0]
    bar = figures["channels"].axes[-1].patches[0]
    assert bar.get_height() == pytest.approx(gate.mean().item(), abs=1e-6)
    panel = figures["channels"].axes[0]
    assert panel.get_title() == "1: stages.0.0"
    shown = panel.patches[0].get_data()
    np.testing.assert_allclose(shown.values, gate.numpy(), rtol=1e-6)
    weights = record["stages.0.0.conv2"][0].mean(0)
    low, high = weights.min(), weights.max()
    title = f"stages.0.0.conv2\n{low:.2f} (blue) to {high:.2f} (red)"
    assert _titles(figures["maps"])[:2] == ["the image", title]
    over = figures["maps"].axes[1].images[1].get_array()
    assert over.shape == (64, 64) and 0 <= over.min() < over.max() <= 1


@pytest.mark.parametrize("branches", [2, 3])
def test_figures_of_branches_add_up_to_one(branches: int) -> None:
    model = small("SK-Net", conv_args={"branches": branches}).eval()
    with torch.no_grad(), capture_attention(model) as record:
        model(images())
    figure = attention_figures(model, record, torch.rand(3, 48, 48), "sk")["branches"]
    bars = figure.axes[-1].patches
    assert len(bars) == branches * len(record)
    tops = [bar.get_y() + bar.get_height() for bar in bars]
    assert tops[branches - 1 :: branches] == pytest.approx([1] * len(record), abs=1e-5)
    labels = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert labels == [f"branch {i + 1}" for i in range(branches)]


def _boxes(figure: Any) -> list[Any]:
    """Where texts stand that are outside of what axes show."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [axes.title for axes in figure.axes] + [figure._suptitle, *figure.texts]
    texts += [axes.xaxis.label for axes in figure.axes]
    shown = [text for text in dict.fromkeys(texts) if text is not None and text.get_text()]
    return [text.get_window_extent(renderer) for text in shown]


@pytest.mark.parametrize("family", ["SSANet", "SE-ResNeXt", "ResNeSt", "RAN", "SE-ShuffleNetV2"])
def test_no_text_of_a_figure_covers_another(family: str) -> None:
    model = small(family).eval()
    photograph = torch.rand(3, 64, 64)
    with torch.no_grad(), capture_attention(model) as record:
        model(images(1, 64))
    figures = attention_figures(model, record, photograph, f"{family}, random weights")
    note = "GradCAM of 'a class with a rather long name, as ImageNet has', 12.3%"
    figures["activation"] = activation_figure(photograph, torch.rand(64, 64), family, note)
    for figure in figures.values():
        boxes = _boxes(figure)
        width = figure.bbox.width
        assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])


# The command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("ssaresnet20_cifar", ["activation", "maps"]),
        ("seresnet20_cifar", ["activation", "channels"]),
    ],
)
def test_explain_without_weights_says_so(
    name: str,
    figures: list[str],
    photograph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "pictures"
    assert main(["explain", name, str(photograph), "--out", str(out), "--weights", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{name}: random weights (as asked)")
    assert lines[1].startswith(f"{photograph}: ")
    assert sorted(path.stem for path in out.iterdir()) == sorted([*figures, "index"])
    page = (out / "index.html").read_text()
    assert all(f'src="{figure}.png"' in page for figure in figures) and lines[-1].startswith(
        "wrote"
    )
    for line, figure in zip(lines[2:-1], figures, strict=True):
        assert line.startswith(f"wrote {out / figure}.png: ")
        assert Image.open(out / f"{figure}.png").width == 1200


def test_explain_a_model_without_published_weights(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", "ssaresnet18", str(photograph), "--size", "64", "--target", "tench"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "ssaresnet18: random weights (none are published)" in shown
    assert f"{photograph}: tench, " in shown


def test_explain_own_weights(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small("CIFAR ResNet", layers=(3, 3, 3))
    checkpoint = write_checkpoint(model.state_dict(), tmp_path / "w.pth")
    arguments = ["explain", "resnet20_cifar", str(photograph), "--checkpoint", str(checkpoint)]
    assert main([*arguments, "--out", str(tmp_path), "--target", "3"]) == 0
    shown = capsys.readouterr().out
    assert "random" not in shown
    assert "has no gates" in shown
    assert f"{photograph}: cat, " in shown
    path = save(model, tmp_path / "own.safetensors")
    arguments = ["explain", str(path), str(photograph), "--out", str(tmp_path / "b")]
    assert main(arguments) == 2
    assert "how images were prepared" in capsys.readouterr().err
    assert main([*arguments, "--weights", "resnet50.tv_in1k", "--size", "64"]) == 0
    assert (tmp_path / "b" / "activation.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "kat"], "Unknown class 'kat'. Did you mean 'cat'?"),
        (["--target", "10"], "target=10: there are classes 0 to 9"),
        (["--method", "GradCam"], "Did you mean 'GradCAM'?"),
    ],
)
def test_explain_says_what_is_wrong(
    options: list[str],
    message: str,
    photograph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "pictures"
    command = ["explain", "resnet20_cifar", str(photograph), "--weights", "none", "--out", str(out)]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_explain_wrong_names(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "ssaresnet19", str(photograph), "--out", str(tmp_path)]) == 2
    assert "Did you mean 'ssaresnet18'" in capsys.readouterr().err
    assert main(["explain", "ssaresnet18", str(tmp_path / "gone.png")]) == 2
    assert "There is no image" in capsys.readouterr().err
