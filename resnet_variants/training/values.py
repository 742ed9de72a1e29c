"""Values of a recipe's fields, as Python, YAML and JSON give them: their types and ranges."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, get_args, get_origin

from ..choices import check_choice

_RANGE_OF_NAMES: dict[tuple[float, float], str] = {
    (0.0, 1.0): "label_noise label_smoothing momentum ema drop_path_rate drop_rate",
    (0.0, 1.0 + 1e-9): "random_erasing eval_crop layer_decay",
    (0.0, math.inf): "mixup cutmix warmup_epochs weight_decay norm_weight_decay clip_norm workers "
    "cache_mb cutout save_steps save_seconds seed val_images freeze_stages bias_weight_decay",
    (1.0, math.inf): "eval_size start_size repeats ema_every image_size train_images "
    "test_images batch_size accumulate test_every",
}
_POSITIVE = ("epochs", "lr", "eval_crop", "layer_decay")
_RANGES = {name: ends for ends, names in _RANGE_OF_NAMES.items() for name in names.split()}


def check_range(name: str, value: Any) -> None:
    """Raises ValueError for a number that is out of its field's range."""
    if value is None:
        return
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    if name in _RANGES and not low <= value < high:
        raise ValueError(f"{name} must be in [{low}, {high}), not {value!r}.")
    if name in _POSITIVE and not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be more than 0, not {value!r}.")


def typed(name: str, value: Any, hint: Any) -> Any:
    """The value in the field's type, as YAML (1e-3 is a string there) and JSON give it."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Literal:
        # YAML reads a bare no as False
        value = "no" if value is False and "no" in get_args(hint) else value
        check_choice(name, value, get_args(hint))
        return value
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(typed(name, each, get_args(hint)[0]) for each in value)
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif isinstance(value, hint if isinstance(hint, type) else ()) and (
        hint is bool or not isinstance(value, bool)
    ):
        return value
    wanted = getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)
    raise ValueError(f"{name} must be {wanted}, not {value!r}.")
