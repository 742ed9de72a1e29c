"""Names of tensors, from this library's to another's and back, by tables.

A table is text, a line a rule::

    [resnet: stem=conv7|cifar]        networks of this builder whose configuration has these values
    stem.convs.0.conv = conv1         a module: its tensors keep their last word
    in stages.{s}.{b}. = layer{s+1}.{b}.        what all rules below, in this section, begin with
    conv{i}.norm = bn{i}

``{s}`` and ``{b}`` are the numbers of a stage and of a unit in it, other braces any number.
Theirs may count otherwise (``{s+1}``) or in letters (``{i:a}``, ``{s:A}``), and may also use
``{n}``, the unit's number in the whole network, ``{pool}``, 1 where the unit's shortcut pools, and
``{last}``, the number of the last unit in the stage before (for the head: in the last stage).
``{affine}`` is a normalisation's weight or bias. The first rule that fits a name is taken. What
else can differ stands in brackets, or theirs are several::

    head.fc.bias = (zero)                       they have none: it must be zero
    attention.fc1 = se.fc1 (1x1)                theirs is a 1x1 convolution of the same matrix
    norm = ln (places)                          theirs has a row and a column of one place
    conv1.conv = conv1_a + conv1_b              ours are theirs one behind the other
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ...network import Network

_KINDS = {"affine": "weight|bias"}
_NUMBER = r"\d+"
_BRACE = re.compile(r"\{(\w+?)([+-]\d+)?(?::(\w))?\}")


@dataclass(frozen=True)
class Pair:
    """A tensor here and what it is there: several tensors, one, or none."""

    ours: str
    theirs: tuple[str, ...]
    how: str = ""

    def read(self, tensors: list[Tensor], like: Tensor) -> Tensor:
        """Our tensor from theirs; ``like`` has its shape."""
        if not tensors:
            return torch.zeros_like(like, device="cpu")
        tensor = tensors[0]
        if len(tensors) > 1 and tensor.ndim:
            tensor = torch.cat(tensors)
        if tensor.shape != like.shape and _squeezed(tensor.shape) == _squeezed(like.shape):
            return tensor.reshape(like.shape)  # a linear layer and a 1x1 convolution
        return tensor

    def write(self, tensor: Tensor) -> list[Tensor]:
        """Their tensors from ours. Raises ValueError for what they have no place for."""
        if self.how == "zero":
            if not tensor.is_meta and tensor.any():
                raise ValueError(f"{self.ours} is not zero, and there is no such tensor there")
            return []
        if self.how == "1x1" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        if self.how == "places":
            tensor = tensor[:, None, None]
        if len(self.theirs) == 1 or not tensor.ndim:
            return [tensor] * len(self.theirs)
        return [part.clone() for part in tensor.chunk(len(self.theirs))]


def _squeezed(shape: torch.Size) -> tuple[int, ...]:
    sizes = tuple(shape)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


@dataclass(frozen=True)
class Rule:
    """A line of a table."""

    ours: re.Pattern[str]
    theirs: tuple[str, ...]
    how: str

    @classmethod
    def parse(cls, line: str, inside: tuple[str, str] = ("", "")) -> Rule:
        """A rule from its line; ``inside``: what both its sides begin with."""
        ours, _, theirs = line.partition("=")
        ours = inside[0] + ours.strip()
        names, _, how = theirs.partition("(")
        parts = [inside[1] + name.strip() for name in names.split("+ ") if name.strip()]
        pattern, end = "", 0
        seen: set[str] = set()
        for brace in _BRACE.finditer(ours):
            name = brace[1]
            kind = _KINDS.get(name, _NUMBER)
            group = f"(?P={name})" if name in seen else f"(?P<{name}>{kind})"
            pattern += re.escape(ours[end : brace.start()]) + group
            seen.add(name)
            end = brace.end()
        pattern += re.escape(ours[end:]) + r"(?P<rest>\..*)?"
        return cls(re.compile(pattern), tuple(parts), how.strip(") "))


@dataclass(frozen=True)
class Section:
    """Rules for the networks of some builders whose configuration has certain values."""

    builders: tuple[str, ...]
    conditions: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...]

    def fits(self, config: Any) -> bool:
        """Whether the rules are for the network of this configuration."""
        return config.builder in self.builders and all(
            _has(getattr(config, name), values) for name, values in self.conditions.items()
        )


def _has(value: Any, values: tuple[str, ...]) -> bool:
    many = value if isinstance(value, tuple) else (value,)
    return any(str(each) in values for each in many)


def parse(table: str) -> tuple[Section, ...]:
    """The sections of a table."""
    sections: list[tuple[str, dict[str, tuple[str, ...]], list[Rule]]] = []
    inside = ("", "")
    for line in table.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            builder, _, conditions = line.strip("[]").partition(":")
            pairs = (each.split("=") for each in conditions.split())
            sections.append((builder, {k: tuple(v.split("|")) for k, v in pairs}, []))
            inside = ("", "")
        elif line.startswith("in "):
            ours, _, theirs = line.removeprefix("in ").partition("=")
            inside = (ours.strip(), theirs.strip())
        elif line:
            sections[-1][2].append(Rule.parse(line, inside))
    return tuple(Section(tuple(b.split("|")), c, tuple(rules)) for b, c, rules in sections)


@dataclass(frozen=True)
class Dialect:
    """Another library's names for the networks that this one builds."""

    name: str
    source: str
    """where the names come from: a package or a repository"""
    table: str
    batch_counts: bool = True
    """whether normalisations count batches (``num_batches_tracked``)"""
    extra: str = ""
    """names there that are nothing here (a pattern): weights that no output depends on"""

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        return parse(self.table)

    def asks(self, model: Network, names: Collection[str]) -> list[str]:
        """What a network's configuration would have to say for this dialect to have most of
        ``names``; nothing when they are not its names, or it says so already."""
        sections = [each for each in self.sections if model.config.builder in each.builders]
        rules = [rule for section in sections for rule in section.rules]
        keys = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
        pairs = self._pairs(model, rules, keys)
        hits = sum(all(their in names for their in pair.theirs) for pair in pairs)
        if 2 * hits < len(keys):
            return []
        return [
            f"{name}={' or '.join(values)}"
            for section in sections
            for name, values in section.conditions.items()
            if not _has(getattr(model.config, name), values)
        ]

    def pairs(self, model: Network, keys: Collection[str]) -> list[Pair] | None:
        """What the tensors ``keys`` of a network are called there; None when the dialect has no
        name for one of them."""
        rules = [
            rule
            for section in self.sections
            if section.fits(model.config)
            for rule in section.rules
        ]
        if not rules:
            return None
        pairs = self._pairs(model, rules, keys)
        return pairs if len(pairs) == len(keys) else None

    def _pairs(self, model: Network, rules: list[Rule], keys: Iterable[str]) -> list[Pair]:
        """The keys that a rule fits."""
        units, last = _units(model)
        # Units mostly differ in their numbers alone; a rule is then looked for once for all.
        alike = not any(re.match(r"stages\\\.(\(\?P<s>.{4}\\\.)?\d", r.ours.pattern) for r in rules)
        found: dict[str, tuple[Rule, dict[str, str]] | None] = {}
        pairs = []
        for key in keys:
            place = re.match(r"stages\.(\d+)\.(\d+)\.", key)
            kind = f"stages.0.0.{key[place.end() :]}" if place and alike else key
            if kind not in found:
                found[kind] = _first(rules, kind)
            if (match := found[kind]) is None:
                continue
            rule, words = match
            if place:
                s, b = int(place[1]), int(place[2])
                words = {**words, "s": place[1], "b": place[2], **units[s, b]}
            else:
                words = {**words, "last": last}
            if key.endswith("num_batches_tracked") and not self.batch_counts:
                pairs.append(Pair(key, (), "count"))
                continue
            pairs.append(Pair(key, tuple(_render(each, words) for each in rule.theirs), rule.how))
        return pairs


def _first(rules: list[Rule], key: str) -> tuple[Rule, dict[str, str]] | None:
    for rule in rules:
        if match := rule.ours.fullmatch(key):
            return rule, {name: word or "" for name, word in match.groupdict().items()}
    return None


def _units(model: Network) -> tuple[dict[tuple[int, int], dict[str, str]], str]:
    """What can be said of each unit beside its numbers, and the last unit's number."""
    units: dict[tuple[int, int], dict[str, str]] = {}
    last = "0"
    for s, stage in enumerate(model.stages):
        for b, unit in enumerate(stage.children()):
            pool = getattr(getattr(unit, "shortcut", None), "pool", None)
            pools = pool is not None and not isinstance(pool, nn.Identity)
            units[s, b] = {"n": str(len(units)), "pool": str(int(pools)), "last": last}
        last = str(len(list(stage.children())) - 1)
    return units, last


def _render(template: str, words: Mapping[str, str]) -> str:
    def fill(brace: re.Match[str]) -> str:
        name, plus, letters = brace.groups()
        if not plus and not letters:
            return words[name]
        number = int(words[name]) + int(plus or 0)
        return chr(ord(letters) + number) if letters else str(number)

    return _BRACE.sub(fill, template) + words["rest"]


def strip_prefixes(names: Iterable[str], least: int) -> Iterator[tuple[str, list[str]]]:
    """Prefixes that wrappers of a network may have put before its names (``module.``,
    ``model.backbone.``), each with the names that have it, without it; first none at all. A prefix
    is one that most names have, or ``least`` of them: those of two networks in one file."""
    level = [("", list(names))]
    for _ in range(5):
        yield from level
        below = []
        for prefix, rest in level:
            inside: dict[str, list[str]] = {}
            for name in rest:
                word, dot, end = name.partition(".")
                if dot:
                    inside.setdefault(word, []).append(end)
            for word, ends in inside.items():
                if 2 * len(ends) >= len(rest) or len(ends) >= least:
                    below.append((f"{prefix}{word}.", ends))
        level = below
