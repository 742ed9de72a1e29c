"""Files for other runtimes give the network's own answers, at sizes that tracing did not see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_variants import Network, create_model, initialise
from resnet_variants.cli import main
from resnet_variants.export import FORMATS, check, export_model, export_program
from resnet_variants.export.formats import outputs

from .families import each_family, each_kind, representative, slow_but, small

SIZES = [(1, 32, 32), (3, 33, 97), (2, 160, 131)]


@pytest.mark.ability("torch.export, any size")
@each_kind
def test_program(family: str) -> None:
    model = small(family).eval()
    least = model.min_export_size
    program = export_program(model, torch.randn(1, 3, 224, 224)).module()
    assert "lerp" not in str(program.graph)  # which runtimes compute twice
    sizes = [(n, max(h, least), max(w, least)) for n, h, w in SIZES]
    check(model, lambda images: outputs(program(images)), sizes, tolerance=1e-5)


@pytest.mark.slow
@each_family
def test_program_of_a_whole_network(family: str) -> None:
    """Not thinned: what torch derives of sizes grows with depth."""
    model = create_model(representative(family)).eval()
    initialise(model, seed=0)
    program = export_program(model).module()
    least = model.min_export_size
    sizes = [(n, max(h, least), max(w, least)) for n, h, w in SIZES]
    check(model, lambda images: outputs(program(images)), sizes, tolerance=1e-5)


@pytest.mark.ability("ONNX, any size")
@slow_but("ResNet", "ShuffleNetV1")  # up to half a minute each
def test_onnx(family: str, tmp_path: Path) -> None:
    done = export_model(small(family), tmp_path / "network.onnx")
    assert len(done.differences) == 4
    assert all(each.error <= 1e-4 for each in done.differences)


@pytest.mark.ability("TorchScript trace")
@each_kind
def test_torchscript(family: str, tmp_path: Path) -> None:
    export_model(small(family), tmp_path / "network.ts")


@pytest.mark.slow
@pytest.mark.ability("OpenVINO, any size")
@each_family
def test_openvino(family: str, tmp_path: Path) -> None:
    export_model(small(family), tmp_path / "network.xml")


def tiny(**changes: object) -> Network:
    return create_model("resnet20_cifar", layers=(1, 1, 1), **changes)


def test_names_in_the_onnx_file(tmp_path: Path) -> None:
    import onnxruntime

    export_model(tiny(), tmp_path / "one.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx")
    assert [(each.name, each.shape) for each in session.get_inputs()] == [
        ("images", ["batch", 3, "height", "width"])
    ]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("logits", ["batch", 10])
    ]


def test_feature_pyramid(tmp_path: Path) -> None:
    model = tiny(features_only=True, out_indices=(3, 1))
    done = export_model(model, tmp_path / "pyramid.onnx")
    assert len(done.differences) == 4
    assert model.training, "the mode comes back"


def test_fixed_size(tmp_path: Path) -> None:
    done = export_model(tiny(), tmp_path / "one.onnx", dynamic=False, size=(1, 64, 64))
    assert [(d.batch, d.height, d.width) for d in done.differences] == [(1, 64, 64)]


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'network.bin' does not say.*\\.onnx"):
        export_model(small("ResNet"), tmp_path / "network.bin")
    with pytest.raises(ValueError, match="'onx'. Did you mean 'onnx'"):
        export_model(small("ResNet"), tmp_path / "network", to="onx")


def test_a_wrong_file_is_noticed() -> None:
    model, other = small("ResNet").eval(), small("ResNet", num_classes=11).eval()
    with pytest.raises(ValueError, match="At 1x32x32 shapes differ"):
        check(model, lambda images: outputs(other(images)), SIZES)
    with pytest.raises(ValueError, match="At 1x32x32 answers differ by"):
        check(model, lambda images: [model(images) + 0.01], SIZES)


@pytest.mark.parametrize("to", ["torch-export", "torchscript"])
def test_command(to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"network{FORMATS[to].suffix}"
    options = ["--to", to, "--output", str(path), "--num-classes", "4"]
    assert main(["export", "resnet20_cifar", *options]) == 0
    printed = capsys.readouterr().out
    assert str(path) in printed and "1 x 32 x 32" not in printed  # it takes 4x4 and up
    run = FORMATS[to].load(path)
    assert run(torch.zeros(1, 3, 32, 32))[0].shape == (1, 4)
