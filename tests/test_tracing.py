"""Every family can be traced by torch.fx, walked by hooks, and vectorised by torch.func."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from resnet_variants import create_model

from .families import each_family, each_kind, small

SIZES = ((2, 64, 64), (3, 97, 70))


@each_kind
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_fx_traces_it_for_any_size(family: str, training: bool) -> None:
    model = small(family).train(training)
    traced = torch.fx.symbolic_trace(model)
    for batch, height, width in SIZES:
        x = torch.randn(batch, 3, height, width)
        twin = copy.deepcopy(model)  # batch statistics move in training
        torch.testing.assert_close(traced(x), twin(x), rtol=0, atol=0)
        model.load_state_dict(twin.state_dict())


@each_kind
def test_feature_extractor_by_names_a_person_can_guess(family: str) -> None:
    model = small(family).eval()
    names, _ = get_graph_node_names(model)
    assert {
        f"{name}.conv"
        for name, each in model.named_modules()
        if hasattr(each, "norm") and hasattr(each, "conv")
    } <= set(names)
    assert "head.fc" in names
    wanted = ["stem.convs", *(f"stages.{i}" for i in range(len(model.stages)))]
    extractor = create_feature_extractor(model, wanted)
    x = torch.randn(2, 3, 75, 97)
    with torch.no_grad():
        found = extractor(x)
        levels = model.forward_intermediates(x, intermediates_only=True)
    assert list(found) == wanted
    torch.testing.assert_close(found["stem.convs"], levels[0], rtol=0, atol=0)
    torch.testing.assert_close(found[wanted[-1]], levels[-1], rtol=0, atol=0)


@each_kind
def test_backward_hooks_on_every_module_change_nothing(family: str) -> None:
    model = small(family).eval().double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    twin = copy.deepcopy(model)
    twin(x).square().sum().backward()
    seen = set()
    for name, module in model.named_modules():
        module.register_full_backward_hook(lambda *_, name=name: seen.add(name))
    model(x.requires_grad_()).square().sum().backward()
    for (name, ours), plain in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-7, atol=1e-10, msg=name)
    assert {n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.ReLU))} <= seen


@each_kind
def test_layers_are_registered_as_they_run(family: str) -> None:
    """What grad-cam's FullGrad takes a network's layers to do."""
    model, ran = small(family).eval(), []
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        model(torch.randn(1, 3, 96, 96))
    owners = dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters())
    assert set(ran) == set(owners)
    if family not in ("RAN", "Gates"):  # a mask's levels go down and up; CBAM's MLP runs twice
        assert ran == list(owners)


@each_family
def test_layers_are_torchs_own(family: str) -> None:
    """Tools find them by exact type."""
    for name, module in small(family).named_modules():
        for kind in (nn.Conv2d, nn.Linear, nn.ReLU):
            assert type(module) is kind or not isinstance(module, kind), name


@each_kind
def test_vmap_over_an_ensemble(family: str) -> None:
    models = [small(family).eval() for _ in range(2)]
    weights, buffers = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    x = torch.randn(2, 3, 64, 64)

    def run(weights: object, buffers: object) -> torch.Tensor:
        return torch.func.functional_call(models[0], (weights, buffers), (x,))  # type: ignore

    with torch.no_grad():
        together = torch.func.vmap(run)(weights, buffers)
        alone = models[0](x)
    torch.testing.assert_close(together[1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "divide by 255 and normalise"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), "images.float()"),
        ([[0.0]], "not list"),
    ],
)
def test_images_of_the_wrong_type_are_refused(images: object, message: str) -> None:
    model = create_model("resnet20_cifar")
    backbone = create_model("resnet20_cifar", features_only=True)
    for entrance in (model, model.forward_features, model.forward_intermediates, backbone):
        with pytest.raises(TypeError, match="(?s)Expected .*") as error:
            entrance(images)
        assert message in str(error.value)


def test_scripting_is_answered_with_the_alternative() -> None:
    with pytest.raises(NotImplementedError, match="export_model"):
        torch.jit.script(create_model("resnet20_cifar"))
