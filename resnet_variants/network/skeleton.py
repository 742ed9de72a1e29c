"""One skeleton for every family, with the whole contract of a model."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..blocks.head import Head
from ..blocks.layers import is_traced, reset_parameters
from ..blocks.stems import Stem
from ..choices import check_choice
from ..config import NetworkConfig
from .features import FeatureInfo, StageInfo, feature_levels, resolve_indices
from .inputs import check_images, check_single, check_size


class Network(nn.Module):
    """Stem, stages, head: an image classifier, or a feature pyramid (``features_only``).

    (N, in_chans, H, W) to (N, num_classes), or to a list of (N, C, ceil(H/r), ceil(W/r)).
    State-dict keys start with ``stem.``, ``stages.S.B.`` and ``head.``. Raises ValueError in
    forward for an image of another number of dimensions or channels, or smaller than the
    network's reduction, TypeError for one of whole numbers or that is no tensor.
    """

    def __init__(
        self,
        stem: Stem,
        stages: Sequence[nn.Module],
        head: Head,
        config: NetworkConfig,
        *,
        stage_info: Sequence[StageInfo],
    ) -> None:
        super().__init__()
        self.config = config
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.grad_checkpointing = False
        self.frozen_stages: int | None = None
        self.min_size = max(info.reduction for info in stage_info)
        # the smallest image of an exported network, where that is larger
        self.min_export_size = self.min_size
        self._levels = feature_levels(stem, stage_info)
        self.out_indices: tuple[int, ...] | None = None
        if config.zero_init_last:
            _zero_init_last(self)
        if config.features_only:
            self.out_indices = tuple(self.prune_intermediate_layers(config.out_indices))

    # What the network is ------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier, 0 without one."""
        return self.head.num_classes

    @property
    def num_features(self) -> int:
        """Channels of what the classifier sees."""
        return self.head.num_features

    @property
    def in_chans(self) -> int:
        """Channels of the images that it takes."""
        return self.config.in_chans

    @property
    def head_hidden_size(self) -> int:
        """Channels before the classifier: timm's word for ``num_features``."""
        return self.num_features

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels, reduction and module name of each level that features come from."""
        chosen = range(len(self._levels)) if self.out_indices is None else self.out_indices
        return FeatureInfo(self._levels[i] for i in chosen)

    def get_classifier(self) -> nn.Module:
        """The last layer, ``nn.Identity`` without classifier."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new, randomly initialised classifier in; 0 takes it away. A network that does not
        pool begins to, by the mean, unless ``global_pool`` says how."""
        if self.out_indices is not None:
            raise ValueError("A network with features_only=True has no classifier to reset.")
        self.head.reset(num_classes, global_pool)
        like = next(self.parameters(), None)
        if like is not None:
            self.head.fc.to(device=like.device, dtype=like.dtype)
        self.config = self.config.replace(
            num_classes=num_classes, global_pool=self.head.global_pool
        )

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns by which timm groups parameters by depth, for instance to decay learning rates
        with it: the stem, then each unit, or each stage (``coarse``), then the head."""
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" + ("" if coarse else r"\.(\d+)")}

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that should not decay, beside biases and normalisations: none."""
        return set()

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] | None = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop the stages that these feature levels do not need, and the head; gives the levels.
        ``prune_norm`` is for timm's callers."""
        kept = resolve_indices(indices, len(self._levels))
        if not kept:
            raise ValueError("out_indices=() asks for no feature level at all.")
        last = self._levels[max(kept)]
        in_stem = sum(level.module.startswith("stem") for level in self._levels)
        self.stages = self.stages[: max(last.index - in_stem + 1, 0)]
        if prune_head:
            self.head = Head(last.channels, 0)
            if last.index == 0:  # before the stem's pooling, where it has one
                self.stem.pool = nn.Identity()
        return list(kept)

    def cam_layers(self) -> list[nn.Module]:
        """The modules whose output class activation maps are made from."""
        final = self.head.final
        return [self.stages[-1] if isinstance(final, nn.Identity) else final]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in training: units are computed again in the backward pass."""
        self.grad_checkpointing = enable

    def frozen_parts(self) -> list[nn.Module]:
        """The stem and the stages that ``finetune.freeze`` froze."""
        if self.frozen_stages is None:
            return []
        return [self.stem, *self.stages[: self.frozen_stages]]

    def train(self, mode: bool = True) -> Self:
        """Training or eval mode; frozen parts stay in eval mode."""
        super().train(mode)
        for part in self.frozen_parts():
            part.eval()
        return self

    # What it computes -----------------------------------------------------------------------

    def forward(self, x: Tensor) -> Any:
        if self.out_indices is not None:
            return self.forward_intermediates(x, self.out_indices, intermediates_only=True)
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map, (N, C, H, W), before the pooling."""
        self._check(x)
        x = self.stem(x)
        for stage in self.stages:
            x = self._run(stage, x)
        return self.head.final(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From the last feature map to logits, or to what the classifier sees."""
        return self.head(x, pre_logits=pre_logits)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """``(last feature map, [levels])`` in one pass, or the levels alone.

        ``indices`` chooses levels of ``feature_info`` in the order wanted, negative ones count
        from the end, a single number n the last n, None all. ``stop_early`` leaves out what
        comes after the last level asked for; the first result is then that level. ``norm`` is for
        timm's callers: there is no normalisation apart from a level's own.
        """
        check_choice("output_fmt", output_fmt, ("NCHW",))
        self._check(x)
        wanted = resolve_indices(indices, len(self._levels))
        last = max(wanted, default=-1)
        stop_early = stop_early or intermediates_only

        maps: list[Tensor] = []
        for run, is_level in self._steps():
            x = run(x)
            if is_level:
                maps.append(x)
            if stop_early and len(maps) > last:
                break
        features = [maps[i] for i in wanted]
        if intermediates_only:
            return features
        return (x if stop_early else self.head.final(x)), features

    def _steps(self) -> Iterator[tuple[Any, bool]]:
        """Each step of the forward pass, and whether its output is a feature level."""
        yield self.stem.convs, True
        yield self.stem.pool, len(self._levels) > 1 and self._levels[1].module == "stem"
        for stage in self.stages:
            yield (lambda x, stage=stage: self._run(stage, x)), True

    def _run(self, stage: nn.Module, x: Tensor) -> Tensor:
        if not (self.grad_checkpointing and self.training and torch.is_grad_enabled()):
            return stage(x)
        for unit in stage.children():
            x = checkpoint(unit, x, use_reentrant=False, context_fn=_once(unit))
        return x

    def _make_way_for_hooks(self) -> None:
        """Stop to work in place for good once a module has backward hooks: they see its output
        through a view, which autograd lets nothing overwrite."""
        every = list(self.modules())
        if any(each._backward_hooks or each._backward_pre_hooks for each in every):
            for each in every:
                if getattr(each, "inplace", False):
                    each.inplace = False  # type: ignore[assignment]

    def _check(self, x: Tensor) -> None:
        if isinstance(x, Proxy):
            return  # traced by torch.fx: neither dimensions nor type are known
        check_images(x, self.config.in_chans)
        if is_traced(x):
            return  # sizes may be symbols there
        if torch.is_grad_enabled():
            self._make_way_for_hooks()
        check_size(x, self.min_size)
        if self.training and len(x) == 1:
            check_single(x, self, self._levels[-1], self.min_size)

    def __prepare_scriptable__(self) -> Self:
        """What ``torch.jit.script`` calls first."""
        raise NotImplementedError(
            "torch.jit.script is deprecated in torch, and not supported: "
            'resnet_variants.export.export_model(model, "model.pt2") writes the network for any '
            'image size, to="torchscript" a trace of it.'
        )


def initialise(model: nn.Module, seed: int) -> None:
    """Draw all weights anew, each module from a generator of its own, seeded by its name.

    So two networks that share a part start from the same values there, whatever else differs.
    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        for name, module in model.named_modules():
            if hasattr(module, "reset_parameters"):
                torch.manual_seed(zlib.crc32(f"{seed}.{name}".encode()))
                reset_parameters(module)
    config = getattr(model, "config", None)
    if getattr(config, "zero_init_last", False):
        _zero_init_last(model)


def _zero_init_last(model: nn.Module) -> None:
    for unit in model.modules():
        zero_init_last = getattr(unit, "zero_init_last", None)
        if callable(zero_init_last):
            zero_init_last()


def _once(unit: nn.Module) -> Any:
    """Contexts for a checkpoint, such that running statistics see a batch once, not twice."""

    @contextlib.contextmanager
    def recomputing() -> Iterator[None]:
        norms = [m for m in unit.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum = 0.0  # not track_running_stats: the same tensors must be saved
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked = norm.num_batches_tracked.clone()
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(norms, kept, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count

    return lambda: (contextlib.nullcontext(), recomputing())


def network_of(model: object) -> Network:
    """The model, if it is a network, or the network that ``torch.compile`` made it of.

    Raises TypeError for another, and says where the network is in a wrapper's (of DDP, of averaged
    weights), which is not taken by itself: its names of tensors and its hooks are others.
    """
    inner = getattr(model, "_orig_mod", model)
    if isinstance(inner, Network):
        return inner
    remedy = ""
    if isinstance(getattr(model, "module", None), Network):
        remedy = ": model.module is one"
    elif isinstance(model, str):
        remedy = f": create_model({model!r}) makes one"
    raise TypeError(f"model must be a network of this library, not {type(model).__name__}{remedy}.")
