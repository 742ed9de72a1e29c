"""Diagrams: what they say, that they can be read, and what wrong words get."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from resnet_variants import Network, build, create_model
from resnet_variants.cli import main
from resnet_variants.explain.boxes import network_column, trace, unit_column
from resnet_variants.explain.draw import MARKED, draw, figure_of

from .families import each_family, each_kind, representative, small_config

SVG = "{http://www.w3.org/2000/svg}"


def _thin(family: str, **changes: Any) -> Network:
    return build(small_config(family, **changes))


def _check_layout(figure: Figure) -> None:
    """Each text stands inside its box, no box covers another, and all are on the page."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox
    for axes in figure.axes:
        boxes = [p.get_window_extent(renderer) for p in axes.patches if _is_box(p)]
        for i, box in enumerate(boxes):
            assert page.x0 <= box.x0 and box.x1 <= page.x1
            assert page.y0 <= box.y0 and box.y1 <= page.y1
            assert not any(box.overlaps(other) for other in boxes[:i])
        title, *texts = axes.texts
        places = [text.get_window_extent(renderer) for text in texts]
        for text, place in zip(texts, places, strict=True):
            around = [b for b in boxes if b.contains(place.x0, (place.y0 + place.y1) / 2)]
            assert len(around) == 1, text.get_text()
            assert place.x1 <= around[0].x1, text.get_text()
            assert around[0].y0 <= place.y0 and place.y1 <= around[0].y1, text.get_text()
        for i, place in enumerate(places):
            assert not any(place.overlaps(other) for other in places[:i])
        assert title.get_window_extent(renderer).x1 <= axes.bbox.x1


def _is_box(patch: Any) -> bool:
    return isinstance(patch, FancyBboxPatch)


def _marked(figure: Figure, panel: int) -> list[str]:
    """The names on the marked boxes of a panel."""
    axes = figure.axes[panel]
    boxes = [p for p in axes.patches if _is_box(p) and to_hex(p.get_facecolor()) == MARKED[0]]
    found = []
    for box in boxes:
        x, top = box.get_x(), box.get_y() + box.get_height()
        names = (t for t in axes.texts if t.get_weight() == "bold" and t.get_position()[0] > x)
        found.append(min(names, key=lambda text: abs(text.get_position()[1] - top)).get_text())
    return found


@each_family
def test_every_unit_has_its_slots(family: str) -> None:
    model = _thin(family)
    shapes = trace(model, 64)
    column = network_column(family, model, shapes)
    names = [box.slot for box in column.boxes]
    stages = [f"stage {i}" for i in range(len(model.stages))]
    assert names == ["image", "stem", *stages, "head"]
    for i, stage in enumerate(model.stages):
        for j, unit in enumerate(stage.children()):
            column = unit_column(family, model, shapes, i, j)
            slots = [box.slot for box in column.boxes]
            assert column.title == f"stages.{i}.{j}: {type(unit).__name__}"
            assert len(set(slots)) == len(slots) > 0
            main_way = [box for box in column.boxes if not box.side]
            gives = " × ".join(map(str, shapes[f"stages.{i}.{j}"][1:]))
            assert main_way[-1].lines[-1] == f"→ {gives}"
            assert not column.joins_at or column.joins_at in slots
            assert not column.leaves_after or column.leaves_after in slots
            assert not any(box.side for box in column.boxes) or column.joins_at


@each_family
def test_diagram_of_each_family_can_be_read(family: str) -> None:
    figure = figure_of({representative(family): _thin(family)}, stage=0, input_size=64)
    _check_layout(figure)
    assert figure.get_figwidth() < 8.5  # read at the width of a page


@each_kind
def test_diagram_is_svg(family: str) -> None:
    figure = figure_of({representative(family): _thin(family)}, input_size=64)
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    root = ElementTree.fromstring(file.getvalue())
    assert root.tag == f"{SVG}svg"
    assert len(root.findall(f".//{SVG}path")) > 20


def _figure(one: str, other: str, **options: Any) -> Figure:
    models = {name: create_model(name, device="meta") for name in (one, other)}
    return figure_of(models, **options)


def test_two_networks_mark_what_differs() -> None:
    figure = _figure("resnet50", "seresnet50")
    _check_layout(figure)
    assert len(figure.axes) == 4
    stages = ["stage 0", "stage 1", "stage 2", "stage 3"]
    assert _marked(figure, 0) == _marked(figure, 1) == stages
    assert (_marked(figure, 2), _marked(figure, 3)) == ([], ["attention"])


@pytest.mark.parametrize(
    ("one", "other", "stem", "unit"),
    [
        ("resnet50", "resnet50c", True, []),
        ("resnet50", "resnet50a", False, ["conv1", "conv2"]),
        ("resnet50c", "resnet50d", False, ["shortcut"]),
        ("resnet50", "res2net50_26w_4s", False, ["conv1", "conv2", "conv3"]),
        ("resnet18", "resnet18", False, []),
    ],
)
def test_marks_by_hand(one: str, other: str, stem: bool, unit: list[str]) -> None:
    models = [create_model(name, device="meta") for name in (one, other)]
    figure = figure_of(dict(zip(("one", "other"), models, strict=True)), stage=1, input_size=64)
    assert ("stem" in _marked(figure, 0)) == ("stem" in _marked(figure, 1)) == stem
    assert _marked(figure, 2) == _marked(figure, 3) == unit


@pytest.mark.parametrize("at", ["standard", "inner", "pre", "post", "identity"])
def test_the_gate_stands_where_it_runs(at: str) -> None:
    model = _thin("SE-ResNet", block="bottleneck", attention_at=at)
    column = unit_column("", model, trace(model, 64), 1, 0)
    main_way = [box.slot for box in column.boxes if not box.side]
    place = {
        "standard": ["conv1", "conv2", "conv3", "attention", "add", "act"],
        "inner": ["conv1", "conv2", "attention", "conv3", "add", "act"],
        "pre": ["attention", "conv1", "conv2", "conv3", "add", "act"],
        "post": ["conv1", "conv2", "conv3", "add", "act", "attention"],
        "identity": ["conv1", "conv2", "conv3", "add", "act"],
    }
    assert main_way == place[at]
    side = [box.slot for box in column.boxes if box.side]
    assert side == (["attention", "shortcut"] if at == "identity" else ["shortcut"])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_files(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / f"net{suffix}"
    assert draw("resnet20_cifar", out=out) == out
    first = out.read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(first).tag == f"{SVG}svg"
    else:
        assert Image.open(out).width == 1260
    models = {"resnet20_cifar": create_model("resnet20_cifar", device="meta")}
    texts = [text.get_text() for text in figure_of(models, input_size=32).axes[0].texts]
    assert "3 × 32 × 32" in [text.replace("\u00a0", " ") for text in texts]  # its own size
    draw("resnet20_cifar", out=out)
    assert suffix == ".png" or out.read_bytes() == first


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "two.svg"
    names = ["resnet20_cifar", "seresnet20_cifar"]
    assert main(["draw", *names, "--stage", "2", "--block", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert ElementTree.parse(out).getroot().tag == f"{SVG}svg"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet51"], "Did you mean 'resnet50'"),
        (["resnet18", "--stage", "4"], "stage=4: resnet18 has stages 0 to 3"),
        (["resnet18", "--stage", "0", "--block", "2"], "stage 0 of resnet18 has units 0 to 1"),
        (["resnet18", "resnet20_cifar", "--stage", "3"], "resnet20_cifar has stages 0 to 2"),
        (["resnet18", "resnet18"], "One network or two different ones"),
        (["resnet18", "resnet34", "resnet50"], "One network or two different ones"),
        (["resnet18", "--out", "net.jpg"], "must be a .png or an .svg"),
    ],
)
def test_wrong_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", *words]) == 2
    assert message in capsys.readouterr().err
