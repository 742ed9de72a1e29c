"""Devices and processes: what accelerate gives, and batch statistics over all processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import AveragedModel

from ..blocks.layers import FrozenBatchNorm2d
from .recipe import Recipe


def make_accelerator(recipe: Recipe) -> Accelerator:
    """One process or several (``torchrun``, ``accelerate launch``), on what the recipe says.

    Raises ValueError where the machine cannot do it.
    """
    _same_sums(recipe)
    cpu = recipe.device == "cpu" or not torch.accelerator.is_available()
    if recipe.precision == "fp16" and cpu:
        raise ValueError("precision='fp16' needs an accelerator; a CPU computes in 'bf16' or 'no'.")
    AcceleratorState._reset_state()  # an earlier run's precision would be kept otherwise
    accelerator = Accelerator(
        cpu=cpu, mixed_precision=recipe.precision, gradient_accumulation_steps=recipe.accumulate
    )
    world = accelerator.num_processes
    if recipe.batch_size % (world * recipe.accumulate):
        raise ValueError(
            f"batch_size={recipe.batch_size} cannot be shared by {world} processes in accumulate="
            f"{recipe.accumulate} parts."
        )
    share = recipe.batch_size // (world * recipe.accumulate)
    if recipe.augment == "batches" and (recipe.mixup or recipe.cutmix) and share % 2:
        raise ValueError(
            f"augment='batches' mixes images in pairs, and batch_size={recipe.batch_size} leaves "
            f"{share} for each of {world} processes in accumulate={recipe.accumulate} parts."
        )
    if recipe.sharding == "fsdp" and world == 1:
        raise ValueError(
            "sharding='fsdp' shards over several processes, and there is one: start it with "
            "torchrun or accelerate launch."
        )
    return accelerator


WORKSPACE, FIXED = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")
"""what cuBLAS reads when a GPU is first used, and its values that give the same sums each time"""


def _same_sums(recipe: Recipe) -> None:
    """What must be set before a GPU is used; refuse, where it was, what cannot be had any more."""
    if recipe.deterministic and os.environ.get(WORKSPACE) not in FIXED:
        if recipe.device != "cpu" and torch.cuda.is_initialized():
            raise ValueError(
                f"deterministic=True: the GPU was used before, without {WORKSPACE}={FIXED[0]} in "
                f"the environment ({os.environ.get(WORKSPACE)!r} is there), and computes sums in "
                "any order. Set it before Python starts."
            )
        os.environ[WORKSPACE] = FIXED[0]


@contextlib.contextmanager
def determinism(recipe: Recipe) -> Iterator[None]:
    """torch as the recipe's ``deterministic`` says, for a while; on a GPU before it is used."""
    _same_sums(recipe)
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(recipe.deterministic)
    torch.backends.cudnn.benchmark = not recipe.deterministic
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]


class CpuSyncBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batch of all processes on CPUs, which torch's own refuses."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes = [0, 2, 3]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = all_reduce(x.sum(axes)) / count
        centred = x - mean.view(1, -1, 1, 1)
        var = all_reduce(centred.square().sum(axes)) / count
        if self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None and self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            rate = self.momentum
            if rate is None:  # a cumulative mean
                rate = 1 / float(self.num_batches_tracked)
            with torch.no_grad():
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(var * count / (count - 1), rate)
        out: Tensor = centred * (var + self.eps).rsqrt().view(1, -1, 1, 1)
        if self.affine:
            out = out * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return out


def sync_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Let batch normalisation see the batch of all processes: the result of one process."""
    synced = CpuSyncBatchNorm2d if device.type == "cpu" else nn.SyncBatchNorm
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, FrozenBatchNorm2d):
            module.__class__ = synced  # type: ignore[assignment]
            module.process_group = None  # type: ignore[assignment]


def distribute(network: nn.Module, accelerator: Accelerator, recipe: Recipe) -> nn.Module:
    """The network on its device, wrapped (DDP) or sharded (FSDP) for several processes."""
    if accelerator.num_processes > 1:
        sync_batch_norm(network, accelerator.device)
    if recipe.sharding == "ddp":
        if accelerator.num_processes == 1:
            return network.to(accelerator.device)
        wrapped: nn.Module = accelerator.prepare_model(network)
        return wrapped
    return shard(network, accelerator)


def shard(network: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Each process keeps a part of the parameters, gathered stage by stage (FSDP2)."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    network.to(accelerator.device)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for stage in getattr(network, "stages", ()):
        fully_shard(stage, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


class Average(AveragedModel):
    """A copy of the network whose weights and statistics follow it, as a moving average.

    The decay ``rises`` with the step t to ``decay``, as (1 + t) / (10 + t): start values, of which
    a constant one would keep a share for 1 / (1 - decay) steps, are forgotten at once.
    """

    def __init__(self, network: nn.Module, decay: float, *, rises: bool = True) -> None:
        super().__init__(network, use_buffers=True)
        self.decay, self.rises = decay, rises

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Follow the network after a step. (torch's own waits for the device in each.)"""
        done = int(self.n_averaged)  # counted on the CPU
        rate = min(self.decay, (1 + done) / (10 + done)) if self.rises else self.decay
        pairs = [*zip(_local(self.module), _local(model), strict=True)]
        # Counts of batches are no mean of any.
        means = [pair for pair in pairs if done and pair[0].is_floating_point()]
        copies = [pair for pair in pairs if not (done and pair[0].is_floating_point())]
        if means:
            torch._foreach_lerp_([a for a, _ in means], [b for _, b in means], 1 - rate)
        if copies:
            torch._foreach_copy_([a for a, _ in copies], [b for _, b in copies])
        self.n_averaged += 1


def _local(network: nn.Module) -> list[Tensor]:
    """Parameters and buffers, or this process's parts of them."""
    tensors = (each.detach() for each in (*network.parameters(), *network.buffers()))
    return [each.to_local() if isinstance(each, DTensor) else each for each in tensors]


def on_all(values: dict[Any, Any]) -> dict[Any, Any]:
    """The union of what the processes found."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, values)
    return {key: value for each in found for key, value in each.items()}


def everyone() -> None:
    """Wait until all processes are here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def from_main(value: Any) -> Any:
    """What the main process has, on all of them."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    found = [value]
    dist.broadcast_object_list(found, src=0)
    return found[0]
