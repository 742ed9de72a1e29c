"""A network's tensors from a file's, and everything that is wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..builders import build_on
from ..choices import check_choice
from ..network import Network
from .dialects import DIALECTS, OWN, Pair
from .errors import BadTensorError, MismatchError
from .files import Checkpoint
from .matching import COUNT, HEAD, Match, fitting_models, pairs_of
from .report import LoadReport, first_few

VARIANCE = "running_var"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, *FLOATS)
MOST_CHANNELS = 4096  # of an image, in a file whose first convolution is to be adapted
FIRST_CONV = "stem.convs.0.conv.weight"
INPUT_CHANNELS = ("strict", "repeat", "mean", "zeros")


@dataclass(eq=False)
class Reader:
    """Our tensors from a file's, and everything that is wrong with them."""

    model: Network
    state: Mapping[str, Tensor]
    checkpoint: Checkpoint
    found: Match
    report: LoadReport
    classifier: str | Sequence[int]
    input_channels: str
    adopt: bool

    def __post_init__(self) -> None:
        self.misshapen: list[str] = []
        self.bad: list[str] = []
        self.missing = list(self.found.missing)
        taken = () if self.adopt else self.state.values()
        self.taken = {each.untyped_storage().data_ptr() for each in taken}

    def compare(self) -> None:
        """Refuse, by names and sizes, what is not this network's, whatever the numbers are.

        A classifier or first convolution that is to be adapted is looked at with its numbers.
        """
        theirs, prefix = self.checkpoint.tensors, self.found.prefix
        for pair in self.found.pairs:
            names = [prefix + their for their in pair.theirs]
            parts = [theirs[name] for name in names if name in theirs]
            like = self.state[pair.ours]
            whole = len(parts) == len(names) and pair.how != "count"
            if whole and not self._measures(pair, parts, like):
                self._misshapen(pair, parts, like)
        if self.misshapen or (self.missing and self.classifier == "strict"):
            self._check(self.state)

    def read(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """The network's whole state dict, by its own names, from the tensors with their numbers."""
        self.checkpoint = checkpoint
        state = self.state
        result: dict[str, Tensor] = {}
        types: dict[str, int] = {}
        counts = 0
        theirs = self.checkpoint.tensors
        for pair in self.found.pairs:
            like = state[pair.ours]
            names = [self.found.prefix + their for their in pair.theirs]
            parts = [theirs[name] for name in names if name in theirs]
            if len(parts) < len(names) or pair.how == "count":
                # Files written by hand and by other frameworks often leave the batch counts out.
                if pair.ours.endswith(COUNT):
                    result[pair.ours] = torch.zeros_like(like, device="cpu")
                    counts += 1
                continue
            if not all(map(self._usable, names, parts, [like] * len(parts))):
                continue
            tensor = None
            if self._measures(pair, parts, like):
                tensor = self._adapt(pair.ours, names, pair.read(parts, like), like)
                if tensor is None:
                    continue
            if tensor is None or tensor.shape != like.shape:
                self._misshapen(pair, parts, like)
                continue
            if tensor.dtype != like.dtype:
                change = f"{_short(tensor.dtype)} to {_short(like.dtype)}"
                types[change] = types.get(change, 0) + 1
            final = self._own(tensor, like)
            if why := _wrong_values(pair.ours, tensor, final):
                self.bad.append(f"{' + '.join(names)} {why}")
            result[pair.ours] = final
        self._check(state)
        self.report.converted += [f"{n} tensors from {change}" for change, n in types.items()]
        if counts:
            self.report.converted.append(f"{counts} batch counts set to 0, the file has none")
        return result

    def _usable(self, name: str, tensor: Tensor, like: Tensor) -> bool:
        """Whether a tensor is plain numbers; what it is otherwise is remembered."""
        why = None
        if tensor.is_nested or tensor.is_meta or type(tensor) not in (Tensor, nn.Parameter):
            why = "has no values here (a nested or meta tensor, or one of another class)"
        elif tensor.is_quantized or tensor.layout != torch.strided:
            why = "is quantised or sparse"
        elif tensor.is_complex():
            why = f"is complex ({_short(tensor.dtype)})"
        elif tensor.is_floating_point():
            if tensor.dtype not in FLOATS:
                why = f"has numbers of 8 bits ({_short(tensor.dtype)}), which need their scale"
        elif like.is_floating_point():
            why = (
                f"holds whole numbers ({_short(tensor.dtype)}): quantised weights need their scale"
            )
        elif tensor.dtype not in COUNTS:
            why = f"is no count ({_short(tensor.dtype)})"
        if why is None and not has_memory(tensor):
            why = "has no memory (it was freed, as sharded training does)"
        if why is None:
            return True
        self.bad.append(f"{name} {why}")
        return False

    def _misshapen(self, pair: Pair, parts: list[Tensor], like: Tensor) -> None:
        shown = " + ".join(str(tuple(part.shape)) for part in parts)
        where = " + ".join(pair.theirs)
        self.misshapen.append(f"{where} is {shown}, here {tuple(like.shape)}")

    def _measures(self, pair: Pair, parts: list[Tensor], like: Tensor) -> bool:
        """Whether the sizes allow to read the values: a few bytes of a file can be said to be any
        number of values. Rows of a classifier and input channels are looked at later."""
        if not parts:  # theirs is zero
            return True
        part, sizes = parts[0], sum(part.numel() for part in parts)
        if pair.ours.startswith(HEAD) and self.classifier != "strict":
            same = part.shape[1:].numel() == like.shape[1:].numel()
            return part.ndim > 0 and (same or self.classifier == "new")
        if pair.ours == FIRST_CONV and self.input_channels != "strict":
            return part.ndim == 4 and part.shape[1] <= MOST_CHANNELS
        return sizes == (like.numel() if like.ndim else len(parts))

    def _own(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A tensor in the network's type, on the CPU. Its memory is used by nothing else if it is
        to be the network's; if it is to be copied there, not by the network itself."""
        final = tensor.detach().to(device="cpu", dtype=like.dtype).contiguous()
        memory = final.untyped_storage()
        place = memory.data_ptr()
        whole = memory.nbytes() == final.nbytes and self.checkpoint.path is not None
        if (self.adopt and not whole) or place in self.taken:
            return final.clone()
        if self.adopt:
            self.taken.add(place)
        return final

    def _adapt(self, ours: str, names: list[str], tensor: Tensor, like: Tensor) -> Tensor | None:
        """Fit the classifier or the first convolution, if asked for; None leaves it out."""
        if ours.startswith(HEAD) and self.classifier != "strict":
            if self.classifier == "new":
                if tensor.shape == like.shape:
                    return tensor
                if ours.endswith("weight"):
                    self.report.adapted.append(
                        f"new classifier of {like.shape[0]} classes, the file has {tensor.shape[0]}"
                    )
                return None
            chosen = [int(c) for c in self.classifier]
            if wrong := [c for c in chosen if not 0 <= c < tensor.shape[0]]:
                raise ValueError(
                    f"classifier: the file has no classes {first_few([*map(str, wrong)])}."
                )
            if ours.endswith("weight"):
                self.report.adapted.append(f"{len(chosen)} of the file's {tensor.shape[0]} classes")
            return tensor[chosen]
        if (
            ours == FIRST_CONV
            and self.input_channels != "strict"
            and tensor.shape != like.shape
            and tensor.shape[0] == like.shape[0]
        ):
            self.report.adapted.append(
                f"first convolution from {tensor.shape[1]} to {like.shape[1]} input channels, by "
                f"{self.input_channels!r}"
            )
            return adapt_input(tensor, like.shape[1], self.input_channels)
        return tensor

    def _check(self, state: Mapping[str, Tensor]) -> None:
        found, report = self.found, self.report
        unexpected = self._without_use(found.unexpected)
        report.ignored += found.beside
        if self.bad:
            raise BadTensorError(
                f"{report.source} cannot be used, {len(self.bad)} of its tensors are no weights: "
                f"{first_few(self.bad)}. The network is as it was."
            )
        if self.classifier == "new":
            head = {t for p in found.pairs if p.ours.startswith(HEAD) for t in p.theirs}
            gone = [name for name in self.missing if name in head]
            if gone and len(gone) == len(head):
                report.adapted.append("new classifier, the file has none")
                self.missing = [name for name in self.missing if name not in head]
        if not (self.missing or unexpected or self.misshapen):
            return
        lines = [
            f"The tensors in {report.source} are not those of this network; it is as it was. "
            f"Read by {found.dialect} names"
            + (f" behind {found.prefix!r}" if found.prefix else "")
            + f", {len(state) - len(self.missing) - len(self.misshapen)} of {len(state)} fit."
        ]
        for title, items in (
            ("missing in the file", self.missing),
            ("unexpected", unexpected),
            ("misshapen", self.misshapen),
        ):
            if items:
                lines.append(f"  {title}, {len(items)}: {first_few(items)}")
        raise MismatchError("\n".join(lines) + self._hint(unexpected))

    def _hint(self, unexpected: list[str]) -> str:
        head = {t for p in self.found.pairs if p.ours.startswith(HEAD) for t in p.theirs}
        others = [each for each in self.misshapen if each.split(" is ")[0] not in head]
        if not unexpected and not self.missing and not others:
            classes = next(
                (
                    tensor.shape[0]
                    for p in self.found.pairs
                    if p.ours == HEAD + "weight"
                    and (tensor := self.checkpoint.tensors[self.found.prefix + p.theirs[0]]).ndim
                ),
                0,
            )
            return (
                f"\nOnly the classifier differs, the file has {classes} classes: create the model "
                f"with num_classes={classes}, or fill one of your own: load_checkpoint(model, ..., "
                'classifier="new"), or with the class numbers to keep (classifier=[3, 7]).'
            )
        stem = next((p.theirs[0] for p in self.found.pairs if p.ours == FIRST_CONV), None)
        only_stem = len(others) == 1 and others[0].startswith(f"{stem} is")
        if only_stem and not unexpected and not self.missing:
            return (
                "\nOnly the number of the image's channels differs: load with "
                'input_channels="repeat", "mean" or "zeros".'
            )
        return fitting_hint(self.checkpoint)

    def _without_use(self, unexpected: list[str]) -> list[str]:
        """What is unexpected for good: not what a network without head or last stages has no
        use for, nor what the dialect knows to be dead."""
        if not unexpected:
            return []
        spare: set[str] = set()
        config = self.model.config
        if config.features_only or not self.model.num_classes:
            whole = config.replace(
                features_only=False, out_indices=None, num_classes=1, global_pool="avg"
            )
            full = build_on(whole, device="meta")
            pairs = pairs_of(full, self.found.dialect, full.state_dict()) or []
            spare = {their for pair in pairs for their in pair.theirs}
        extra = "" if self.found.dialect == OWN else DIALECTS[self.found.dialect].extra
        used = {their for pair in self.found.pairs for their in pair.theirs}
        useless = [
            name
            for name in unexpected
            if name in spare
            or (extra and re.fullmatch(extra, name))
            # A normalisation without a counter, such as a frozen one, has no use for the count.
            or (name.endswith(COUNT) and name.removesuffix(COUNT) + "weight" in used)
        ]
        self.report.ignored += useless
        return [name for name in unexpected if name not in set(useless)]


def _wrong_values(name: str, tensor: Tensor, final: Tensor) -> str | None:
    """What is wrong with numbers as they are in the network's type."""
    if name.endswith(COUNT):
        value = tensor.item()
        if not isinstance(value, (int, float)) or not 0 <= value < 2**63 or value != int(value):
            return f"counts {value} batches"
        return None
    # One pass; a sum that overflows is looked at again, element by element.
    if not math.isfinite(final.sum().item()) and not torch.isfinite(final).all():
        wrong = int((~torch.isfinite(final)).sum())
        return f"has {wrong} of {final.numel()} values that are not finite numbers" + (
            f" in {_short(final.dtype)}" if final.dtype != tensor.dtype else ""
        )
    if name.endswith(VARIANCE) and final.numel() and final.min().item() < 0:
        return f"has {int((final < 0).sum())} of {final.numel()} variances below zero"
    return None


def has_memory(tensor: Tensor) -> bool:
    """Whether the memory of a dense tensor is there: reading beyond it would end the process."""
    if tensor.is_meta:
        return False
    count = tensor.numel()
    if not tensor.is_contiguous():
        count = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    end = (tensor.storage_offset() + count) * tensor.itemsize
    return tensor.numel() == 0 or int(tensor.untyped_storage().nbytes()) >= end


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def adapt_input(weight: Tensor, channels: int, how: str) -> Tensor:
    """A first convolution (O, I, h, w) for another number of input channels.

    ``repeat``: the I channels over and over, scaled so that a constant image gives what it gave;
    for a single channel that is their sum. ``mean``: each is the mean, scaled the same way.
    ``zeros``: the same ones first, zeros for further channels.
    """
    check_choice("input_channels", how, INPUT_CHANNELS[1:])
    have = weight.shape[1]
    if how == "mean":
        return weight.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (have / channels)
    if how == "zeros":
        if channels < have:
            raise ValueError(
                f'input_channels="zeros" adds channels, and {channels} are fewer than {have}: '
                'use "repeat" or "mean".'
            )
        more = weight.new_zeros(weight.shape[0], channels - have, *weight.shape[2:])
        return torch.cat((weight, more), 1)
    if channels == 1:
        return weight.sum(1, keepdim=True)
    times = -(-channels // have)
    return weight.repeat(1, times, 1, 1)[:, :channels] * (have / channels)


def fitting_hint(checkpoint: Checkpoint) -> str:
    """What the tensors could be of."""
    names = fitting_models(checkpoint.tensors)
    if not names:
        return "\nNo model of the zoo has these tensors."
    return f"\nThey fit {first_few([*map(repr, names)])}."
