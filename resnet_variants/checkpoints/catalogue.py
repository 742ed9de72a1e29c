"""Published weights, as data: ``catalogue.csv`` has a line for each."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..choices import nearest, unknown

PERMISSIVE = ("apache-2.0", "bsd-2-clause", "bsd-3-clause", "mit")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Published weights of one model and what is known of them."""

    model: str
    """name in this library"""
    tag: str
    """who trained them, and on what"""
    url: str
    """address of the file; ``package:`` and a path for one that is part of this package"""
    hash: str
    """``sha256:`` or ``sha1:`` and the digits of the hash of the file (of a zip archive: the file
    in it) as published, all or the first 8: these tell accidents, and that the file is the
    publisher's is for https to say; ``unknown`` where none is published"""
    dialect: str
    license: str
    """SPDX name, or ``unknown``"""
    dataset: str
    classes: int
    size: int
    """side of the image that the network sees"""
    resize: int
    """shorter side of the image before the centre crop"""
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: str = "rgb"
    """order of the image's channels, ``rgb`` or ``bgr``"""
    scale: float = 1.0
    """what white is before mean and deviation: 1, or 255"""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """fields of the model's configuration that these weights need otherwise"""
    key: str | None = None
    """key of the weights in the file, where it has several sets"""
    top1: float | None = None
    """published accuracy in per cent"""
    top5: float | None = None
    source: str = ""
    """where the numbers were published"""
    crop_mode: str = "center"
    """``center``: of the shorter side ``resize`` the middle; ``squash``: all of the image"""
    class_names: tuple[str, ...] = ()
    """names of the classes, where they do not follow from the data set"""

    @property
    def name(self) -> str:
        """What ``load_checkpoint`` and ``weights_info`` take: ``resnet50.tv_in1k``."""
        return f"{self.model}.{self.tag}"

    @property
    def verifiable(self) -> bool:
        """Whether a hash is published; other weights are taken with ``allow_unverified`` alone."""
        return self.hash != "unknown"

    @property
    def packaged(self) -> Path | None:
        """The file, where it is part of this package."""
        scheme, _, path = self.url.partition(":")
        return Path(__file__).parent / path if scheme == "package" else None

    @property
    def filename(self) -> str:
        """The file's name in the cache or in a local directory. Files whose own name says
        nothing (``model.safetensors``) are called after the weights."""
        name = urlsplit(self.url).path.rpartition("/")[2]
        return f"{self.name}.safetensors" if name == "model.safetensors" else name

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}


def weights_from_dict(values: dict[str, Any]) -> Weights:
    """The entry that ``to_dict`` wrote."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Weights(**fields)


@functools.cache
def _entries() -> dict[str, Weights]:
    text = (resources.files(__package__) / "catalogue.csv").read_text(encoding="utf-8")
    entries = [_parse(row) for row in csv.DictReader(text.splitlines())]
    return {entry.name: entry for entry in entries}


def _parse(row: dict[str, str]) -> Weights:
    values: dict[str, Any] = {}
    for each in dataclasses.fields(Weights):
        if each.name not in row:
            continue
        text = row[each.name]
        if each.name in ("mean", "std"):
            values[each.name] = tuple(map(float, text.split()))
        elif each.name == "changes":
            values[each.name] = json.loads(text) if text else {}
        elif each.name in ("classes", "size", "resize"):
            values[each.name] = int(text)
        elif each.name in ("scale", "top1", "top5"):
            values[each.name] = float(text) if text else None
        else:
            values[each.name] = text or (None if each.name == "key" else "")
    return Weights(**values)


def list_weights(name: str | None = None, license: str | None = None) -> list[Weights]:
    """Published weights: of one model (or names that match a glob), under one licence.

    ``license`` is an SPDX name, ``unknown``, or ``permissive`` for all that allow any use. The
    first entry of a model is what ``pretrained=True`` takes.

    >>> [each.tag for each in list_weights("resnet50", license="bsd-3-clause")]
    ['tv2_in1k', 'tv_in1k']
    """
    entries: Iterable[Weights] = _entries().values()
    if name is not None:
        if not any(c in name for c in "*?["):
            from ..registry import resolve_name

            name = resolve_name(name)
        entries = [each for each in entries if fnmatchcase(each.model, name)]
    if license is not None:
        known = sorted({each.license for each in _entries().values()})
        wanted = license.lower()
        if wanted != "permissive" and wanted not in known:
            raise unknown("license", license, [*known, "permissive"])
        allowed = PERMISSIVE if wanted == "permissive" else (wanted,)
        entries = [each for each in entries if each.license in allowed]
    return list(entries)


def weights_info(name: str, tag: str | None = None) -> Weights:
    """One entry: of a model and a tag, or by its full name ``resnet50.tv_in1k``.

    Without a tag the model's default. Raises ValueError for a model without published weights
    or an unknown tag, with the tags that exist.
    """
    from ..registry import is_model, resolve_name

    if tag is None and not is_model(name):
        if (found := find_weights(name)) is not None:
            return found
        if "." in name:
            name, _, tag = name.partition(".")
    name = resolve_name(name)
    entries = list_weights(name)
    if not entries:
        guess = nearest(name, {each.model for each in _entries().values()})
        hint = f" The nearest model that has some is {guess!r}." if guess else ""
        raise ValueError(
            f"No weights of {name!r} are published, as far as this library knows.{hint} For your "
            "own file: checkpoint_path=..."
        )
    if tag is None:
        return entries[0]
    for each in entries:
        if each.tag == tag:
            return each
    raise unknown(f"weights of {name}", tag, [each.tag for each in entries])


def find_weights(text: str) -> Weights | None:
    """The entry with this full name, alias or URL. None for what does not look like one.

    Raises ValueError for a URL that is not in the catalogue.
    """
    if text.startswith(("http://", "https://")):
        for each in _entries().values():
            if each.url == text:
                return each
        raise ValueError(
            f"{text} is not in the catalogue, so its hash is not known. Download it, check it, and "
            "give the path of the file."
        )
    if text in _entries():
        return _entries()[text]
    from ..registry import is_model

    model, _, tag = text.partition(".")
    if is_model(model) and not tag.endswith(
        ("pth", "pt", "bin", "th", "safetensors", "zip", "tar")
    ):
        return weights_info(model, tag or None)
    return None


def weights_by_file(filename: str) -> Weights | None:
    """The entry whose file has this name, where the name has a hash in it."""
    for each in _entries().values():
        digits = each.hash.partition(":")[2][:8]
        if not digits or digits not in filename:
            continue
        if filename in (each.filename, each.filename.removesuffix(".zip")):
            return each
    return None
