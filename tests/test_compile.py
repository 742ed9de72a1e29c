"""``torch.compile``: one graph for the whole network, forward and backward."""

from __future__ import annotations

import pytest
import torch

from .families import each_family, each_kind, small


@pytest.mark.ability("compile, one graph")
@each_kind
def test_one_graph(family: str) -> None:
    model = small(family).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.ability("compile, training")
@each_family
def test_training_graph(family: str) -> None:
    plain, compiled = small(family).double(), small(family).double()
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    plain(x).square().sum().backward()
    step = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    step(x).square().sum().backward()
    for (name, one), (_, two) in zip(
        plain.named_parameters(), compiled.named_parameters(), strict=True
    ):
        error = (one.grad - two.grad).norm()  # type: ignore[operator, union-attr]
        assert error <= 1e-9 * one.grad.norm() + 1e-12, name  # type: ignore[union-attr]
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.ability("inductor")
@each_family
def test_inductor(family: str) -> None:
    model = small(family).eval()
    compiled = torch.compile(model, fullgraph=True)
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-3, atol=1e-4)
    torch.compiler.reset()
