"""Fine-tuning: frozen stages, and another normalisation with the weights kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from .blocks.layers import FrozenBatchNorm2d, norm_factory
from .builders import build_on
from .config import check_count
from .network import Network, network_of

BATCH_NORMS = ("batchnorm", "sync_batchnorm", "frozen_batchnorm")


def freeze(model: Network, stages: int) -> Network:
    """Freeze the stem and the first ``stages`` stages, and give the same network back.

    Their parameters get no gradient, and they stay in eval mode after ``model.train()``:
    batch statistics do not move, and no path is dropped. ``stages=0`` freezes the stem alone;
    ``unfreeze`` takes it back. Raises ValueError for more stages than there are.
    """
    network_of(model)
    check_count("stages", stages, 0)
    if stages > len(model.stages):
        raise ValueError(f"stages={stages}: this network has {len(model.stages)} stages.")
    unfreeze(model)
    model.frozen_stages = stages
    for part in model.frozen_parts():
        part.requires_grad_(False)
    return model.train(model.training)


def unfreeze(model: Network) -> Network:
    """Let what ``freeze`` froze be trained again; ``frozen_batchnorm`` layers stay as they are."""
    network_of(model)
    for part in model.frozen_parts():
        for module in part.modules():
            if not isinstance(module, FrozenBatchNorm2d):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(True)
    model.frozen_stages = None
    return model.train(model.training)


def convert_norm(
    model: Network, norm_layer: str | Callable[..., nn.Module], **norm_args: Any
) -> Network:
    """A copy of the network with another normalisation: ``norm_layer`` and its arguments are
    those of ``create_model``.

    The kinds of batch normalisation (``batchnorm``, ``sync_batchnorm``, ``frozen_batchnorm``)
    keep everything, so outputs in eval mode stay. ``groupnorm`` keeps scale and shift, has no
    statistics over the batch, and must be trained on. Raises ValueError for a network that its
    configuration no longer describes, for instance a fused one.
    """
    model = network_of(model)
    config = model.config
    if norm_layer in BATCH_NORMS and config.norm_layer in BATCH_NORMS:
        norm_args = {**config.norm_args, **norm_args}
    like = next(model.parameters())
    converted: Network = build_on(
        config.replace(norm_layer=norm_layer, norm_args=norm_args),
        device=like.device,
        dtype=like.dtype,
    )
    _copy_weights(model, converted)
    if model.frozen_stages is not None:
        freeze(converted, model.frozen_stages)
    converted.set_grad_checkpointing(model.grad_checkpointing)
    return converted.train(model.training)


def _copy_weights(old: Network, new: Network) -> None:
    """All that does not belong to the exchanged layers, and what those have in common."""
    config = new.config
    norm = type(norm_factory(config.norm_layer, config.norm_args)(32))
    layers = dict(old.named_modules())
    exchanged = {name for name, layer in new.named_modules() if type(layer) is norm}
    state, target = old.state_dict(), new.state_dict()
    odd = {key.rpartition(".")[0] for key in state.keys() ^ target.keys()}
    odd |= {
        name for name, layer in new.named_modules() if type(layer) is not type(layers.get(name))
    }
    if odd - exchanged:
        raise ValueError(
            f"The network differs from its configuration, at {min(odd - exchanged)!r}: convert "
            "the normalisation before the network is fused or its layers are replaced."
        )
    new.load_state_dict({key: state.get(key, fresh) for key, fresh in target.items()})
    trained = dict(old.named_parameters())
    for name, parameter in new.named_parameters():
        if name.rpartition(".")[0] not in exchanged:
            parameter.requires_grad_(trained[name].requires_grad)
