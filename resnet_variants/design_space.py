"""Design spaces: populations of networks compared instead of single ones.

Radosavovic et al. (CVPR 2020) judge a space by the errors of networks drawn from it under one
budget: ``sample`` draws them, ``edf`` and ``plot_edf`` show their errors' distribution, and
``likely_range`` says where in a parameter good networks lie.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .blocks.stems import STEMS
from .builders.regnet import AnyNetConfig, RegNetConfig, fit_groups, quantised_width
from .choices import Registry
from .config import check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SpaceConfig = AnyNetConfig | RegNetConfig
Draw = Callable[[random.Random], SpaceConfig]

STAGES = 4
RATIOS = (1, 1 / 2, 1 / 4)  # the paper's b = 1, 2, 4
GROUP_WIDTHS = (1, 2, 4, 8, 16, 32)

SPACES: Registry[Draw] = Registry("design space")


def log_uniform(rng: random.Random, low: float, high: float, step: float) -> float:
    """A multiple of ``step`` in [low, high], its logarithm about uniform."""
    # The lowest value owns what rounds up to it, so that it is as likely as its share.
    start = low - min(step, low / 2)
    value = math.exp(rng.uniform(math.log(start), math.log(high)))
    return min(math.ceil(value / step - 1e-9) * step, high)


def _anynet(
    *, shared_ratio: bool, shared_groups: bool, wider: bool = False, deeper: bool = False
) -> Draw:
    """AnyNetX: four stages of 1 to 16 blocks, 8 to 1024 channels wide."""

    def draw(rng: random.Random) -> AnyNetConfig:
        def stages(choices: Sequence[Any], shared: bool) -> list[Any]:
            first = rng.choice(choices)
            return [first if shared or not i else rng.choice(choices) for i in range(STAGES)]

        depths = [int(log_uniform(rng, 1, 16, 1)) for _ in range(STAGES)]
        widths = [int(log_uniform(rng, 8, 1024, 8)) for _ in range(STAGES)]
        ratios, groups = stages(RATIOS, shared_ratio), stages(GROUP_WIDTHS, shared_groups)
        if wider:
            widths.sort()
        if deeper:
            depths.sort()
        fitted = [fit_groups(*each) for each in zip(widths, ratios, groups, strict=True)]
        return AnyNetConfig(
            depths=tuple(depths),
            widths=tuple(width for width, _, _ in fitted),
            bottleneck_ratio=tuple(ratios),
            group_width=tuple(group for _, _, group in fitted),
        )

    return draw


SPACES.register("anynetx_a", _anynet(shared_ratio=False, shared_groups=False))
SPACES.register("anynetx_b", _anynet(shared_ratio=True, shared_groups=False))
SPACES.register("anynetx_c", _anynet(shared_ratio=True, shared_groups=True))
SPACES.register("anynetx_d", _anynet(shared_ratio=True, shared_groups=True, wider=True))
SPACES.register(
    "anynetx_e", _anynet(shared_ratio=True, shared_groups=True, wider=True, deeper=True)
)


def _regnet(
    *, depth: int, steps: tuple[float, float], ratios: Sequence[float], attention: str | None
) -> Draw:
    """RegNets of four stages whose widths are all those that the quantisation offers."""

    def draw(rng: random.Random) -> RegNetConfig:
        while True:
            line = dict(
                depth=rng.randint(STAGES, depth),
                w_0=int(log_uniform(rng, 8, 256, 8)),
                w_a=round(log_uniform(rng, 8, 256, 0.1), 1),
                w_m=round(log_uniform(rng, *steps, 0.001), 3),
            )
            w_0, w_m = line["w_0"], line["w_m"]
            widest = w_0 + line["w_a"] * (line["depth"] - 1)
            levels = round(math.log(widest / w_0) / math.log(w_m)) + 1
            offered = {quantised_width(w_0 * w_m**s, w_0, w_m) for s in range(levels)}
            if levels != STAGES or len(offered) != STAGES:
                continue
            config = RegNetConfig(
                **line,  # type: ignore[arg-type]
                group_width=rng.choice(GROUP_WIDTHS),
                bottleneck_ratio=rng.choice(ratios),
                attention=attention,
            )
            if len(config.stage_shapes) == STAGES:
                return config

    return draw


# section 3.3, then as section 4 narrows it: no bottleneck, at most 40 blocks, w_m of 2 or more
SPACES.register("regnet", _regnet(depth=64, steps=(1.5, 3), ratios=RATIOS, attention=None))
SPACES.register("regnetx", _regnet(depth=40, steps=(2, 3), ratios=(1,), attention=None))
SPACES.register("regnety", _regnet(depth=40, steps=(2, 3), ratios=(1,), attention="se"))


def sample(
    space: str | Draw,
    n: int,
    *,
    macs: tuple[float, float] = (360e6, 400e6),
    input_size: int = 224,
    seed: int = 0,
    max_draws: int = 200_000,
    **changes: Any,
) -> list[SpaceConfig]:
    """Configurations of ``n`` networks of a design space, within a budget.

    ``space``: a name of ``SPACES`` or a function that draws a configuration from a generator;
    ``macs``: least and most multiply-accumulates for an image of ``input_size``; ``changes``:
    ``num_classes``, ``in_chans``, ``stem`` or ``stem_width`` of all networks. The same seed
    gives the same networks.

    Raises ValueError when ``max_draws`` draws do not hold ``n`` networks of that budget.
    """
    check_count("n", n, 1)
    for name in changes:
        if name not in ("num_classes", "in_chans", "stem", "stem_width"):
            raise ValueError(
                f"sample changes num_classes, in_chans, stem and stem_width, not {name!r}: "
                "config.replace() changes the rest, and with it the cost."
            )
    draw = SPACES[space] if isinstance(space, str) else space
    rng, low, high = random.Random(seed), *macs
    found: list[SpaceConfig] = []
    for _ in range(max_draws):
        config = draw(rng).replace(**changes)
        if low <= count_macs(config, input_size) <= high:
            found.append(config)
            if len(found) == n:
                return found
    raise ValueError(
        f"{max_draws} draws from {space!r} hold {len(found)} networks of {low:g} to {high:g} "
        f"multiply-accumulates, not {n}: widen macs, or raise max_draws."
    )


def count_macs(config: SpaceConfig, input_size: int = 224) -> int:
    """Multiply-accumulates of a network of a design space, without building it.

    A search looks at thousands of candidates a second; ``profile`` counts any network, a few a
    second.
    """
    return sum(_macs(config, input_size))


def _macs(config: SpaceConfig, side: int) -> Iterator[int]:
    stem = STEMS[config.stem]
    channels, width, reduction = config.in_chans, config.stem_channels, 1
    for kernel, stride, share in stem.convs:
        side, reduction = -(-side // stride), reduction * stride
        out = int(width * share)
        yield channels * out * kernel**2 * side**2
        channels = out
    if stem.pool and config.stem_pool != "none":
        side, reduction = -(-side // 2), reduction * 2
    for i, shape in enumerate(config.stage_shapes):
        stride = 2 if i or reduction == 2 else 1
        before, side = side, -(-side // stride)
        for j in range(shape.depth):
            yield channels * shape.mid * (side if j else before) ** 2
            yield 9 * shape.mid * shape.mid // shape.groups * side**2
            yield shape.mid * shape.out * side**2
            if channels != shape.out or (stride > 1 and j == 0):
                yield channels * shape.out * side**2
            if config.has_attention:
                yield 2 * shape.mid * int(config.gate_args(i, channels)["hidden"])
            channels = shape.out
    yield channels * config.num_classes


def edf(errors: Sequence[float], at: Sequence[float], *, inclusive: bool = False) -> list[float]:
    """F(e), the share of the networks with an error under e, for each e in ``at`` (equation 1).

    ``inclusive`` counts an error of exactly e too, as pycls' plots do.

    >>> edf([30, 40, 50, 60], [40, 55])
    [0.25, 0.75]
    """
    if len(errors) == 0:
        raise ValueError("A distribution needs at least one error.")
    ranks = np.searchsorted(np.sort(errors), at, side="right" if inclusive else "left")
    return [float(rank) / len(errors) for rank in ranks]


def plot_edf(populations: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw the distribution of each population's errors, with their number, minimum and mean.

    Lower and further left is a better space. ``ax``: where to draw; None: a new figure
    (matplotlib is needed).
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    for name, errors in populations.items():
        steps = np.sort(errors)
        label = f"{name}: n={len(steps)}, min={steps[0]:.3g}, mean={steps.mean():.3g}"
        ax.step(steps, edf(errors, steps.tolist(), inclusive=True), where="post", label=label)
    ax.set(xlabel="error", ylabel="cumulative probability", ylim=(0, 1))
    ax.grid(alpha=0.4)
    ax.legend()
    return ax


def likely_range(
    values: Sequence[float],
    errors: Sequence[float],
    *,
    draws: int = 2500,
    share: float = 0.25,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Where a parameter lies in good networks: 2.5, 50 and 97.5 % quantiles.

    The empirical bootstrap of the paper: of each of ``draws`` random subsets, a ``share`` of
    the networks with replacement, the best network's value is kept.
    """
    if len(values) != len(errors) or not len(values):
        raise ValueError(f"{len(values)} values for {len(errors)} errors: one each, at least one.")
    rng = np.random.default_rng(seed)
    subsets = rng.integers(len(values), size=(draws, max(round(share * len(values)), 1)))
    best = subsets[np.arange(draws), np.asarray(errors)[subsets].argmin(1)]
    low, middle, high = np.quantile(np.asarray(values)[best], (0.025, 0.5, 0.975))
    return float(low), float(middle), float(high)
