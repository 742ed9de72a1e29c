"""Names: from a model's name to its configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .choices import Registry, close_names, unknown
from .config import NetworkConfig
from .zoo import ENTRIES
from .zoo.entry import Entry

_MODELS: Registry[Entry] = Registry("model")
_ALIASES: dict[str, str] = {}


def model_config(name: str) -> NetworkConfig:
    """The configuration behind a name: what ``create_model`` starts from."""
    return entry(name).config


def list_models(
    filter: str | Sequence[str] = "*",
    *,
    exclude_filters: str | Sequence[str] = (),
    family: str | None = None,
) -> list[str]:
    """Names of the zoo that match a glob, or one of several, and none of ``exclude_filters``; by
    family and then size.

    >>> list_models("se*_cifar")[:2]
    ['seresnet20_cifar', 'seresnet32_cifar']
    """
    wanted, unwanted = ([f] if isinstance(f, str) else f for f in (filter, exclude_filters))
    if family is not None:
        families = list_families()
        by_fold = {each.lower(): each for each in families}
        if family.lower() not in by_fold:
            raise unknown("family", family, families)
        family = by_fold[family.lower()]
    return [
        name
        for name in _MODELS
        if any(fnmatchcase(name, each) for each in wanted)
        and not any(fnmatchcase(name, each) for each in unwanted)
        and family in (None, _MODELS[name].family)
    ]


def list_families() -> list[str]:
    """Families of the zoo, in its order."""
    return list(dict.fromkeys(_MODELS[name].family for name in _MODELS))


def image_size(name: str) -> int:
    """Side of the images that a model of the zoo is made for."""
    return entry(name).input_size


def is_model(name: str) -> bool:
    """Whether ``create_model`` knows the name."""
    return name in _MODELS or name in _ALIASES


def resolve_name(name: str) -> str:
    """The zoo's own name behind an alias."""
    return entry(name).name


def register_model(
    name: str,
    config: NetworkConfig,
    *,
    family: str = "user",
    paper: str = "",
    aliases: tuple[str, ...] = (),
    input_size: int = 224,
) -> None:
    """Add a configuration to the zoo under a name. Raises ValueError when it is taken."""
    add_entry(Entry(name, family, paper, config, {}, tuple(aliases), input_size))


def add_entry(line: Entry) -> None:
    """Add a line to the zoo."""
    for name in (line.name, *line.aliases):
        if is_model(name):
            raise ValueError(f"model {name!r} is registered already, as {entry(name).name!r}.")
    _MODELS.register(line.name, line)
    _ALIASES.update(dict.fromkeys(line.aliases, line.name))


def entry(name: str) -> Entry:
    """What the zoo says of a name or alias. Raises ValueError with the nearest names."""
    if not isinstance(name, str):
        raise TypeError(f"A model's name is a string, not {type(name).__name__}: {name!r}.")
    known = _ALIASES.get(name, name)
    if known in _MODELS:
        return _MODELS[known]
    close = close_names(name, [*_MODELS, *_ALIASES])
    relatives = list_models(f"*{re.match(r'[a-z]*', name.lower())[0]}*")  # type: ignore[index]
    valid = dict.fromkeys(close + relatives)
    raise unknown("model", name, valid, limit=8)


for _each in ENTRIES:
    add_entry(_each)
