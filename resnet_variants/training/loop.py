"""A run from beginning to end: one for training alone, for comparisons and for noise trials."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from ..config import NetworkConfig
from ..finetune import BATCH_NORMS
from ..profiling import Profile, profile
from ..registry import model_config
from ..storage import locked, make_folder
from .callbacks import Callback
from .data import Data, load_data
from .engine import determinism, everyone, from_main, make_accelerator, on_all
from .measure import inference_speed, training_memory
from .recipe import Recipe
from .result import Result
from .rundir import RunFolder
from .start import Start, describe, starting
from .trainer import Trainer


class RunBusy(ValueError):
    """Another process trains in the folder."""


def resolve(network: str | NetworkConfig, recipe: Recipe, data: Data) -> NetworkConfig:
    """The network's configuration for these images and this recipe."""
    config = model_config(network) if isinstance(network, str) else network
    changes = recipe.network_changes
    if "norm_layer" in changes and config.norm_layer in BATCH_NORMS:
        changes["norm_args"] = config.norm_args
    return config.replace(num_classes=data.num_classes, in_chans=data.shape[0], **changes)


def check(config: NetworkConfig, data: Data) -> Profile:
    """Count the network on these images. Raises ValueError where it cannot take them."""
    if config.features_only:
        raise ValueError("features_only=True has no classifier to train.")
    return profile(config, input_size=(data.shape[1], data.shape[2]))


def train(
    network: str | NetworkConfig,
    recipe: Recipe | None = None,
    out: str | Path | None = None,
    *,
    train_set: Dataset[Any] | None = None,
    test_set: Dataset[Any] | None = None,
    label: str | None = None,
    length: float = 1.0,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Train a network and test it.

    ``out`` is a folder of its own for the run: killed at any moment, the same call goes on from
    the last checkpoint to the same result, and a finished run is only read. Without it nothing
    is kept. ``train_set`` and ``test_set`` take the place of the recipe's data: Datasets of
    (PIL image or tensor, label). ``length`` stretches the schedule.

    ``callbacks`` are called after steps, epochs and at the end.

    Raises ValueError before the first step for what cannot work.

    >>> train("resnet20_cifar", Recipe(epochs=5), "runs/first").top1  # doctest: +SKIP
    """
    recipe = recipe or Recipe()
    label = label or (network if isinstance(network, str) else network.builder)
    run = training(
        network, recipe, out, lambda recipe: load_data(recipe, train_set, test_set),
        label=label, length=length, progress=progress, callbacks=callbacks,
    )  # fmt: skip
    # In this order: to read the random state of a GPU is to use it.
    with determinism(recipe), own_random_state():
        while True:
            try:
                next(run)
            except StopIteration as end:
                result: Result = end.value
                return result


def own_random_state() -> contextlib.AbstractContextManager[None]:
    """The user's own random state is left as it was."""
    return torch.random.fork_rng(devices=range(torch.cuda.device_count()))


def training(
    network: str | NetworkConfig,
    recipe: Recipe,
    out: str | Path | None,
    images: Callable[[Recipe], Data],
    *,
    label: str,
    length: float = 1.0,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Generator[None, None, Result]:
    """``train``, which yields after each step: several take turns and give what each gives alone.

    ``images`` gives the data of a recipe. Settings of torch are those of the run only while it
    computes; the random state is not what it was (``own_random_state``).
    """
    run = _run(network, recipe, out, images, label, length, progress, callbacks)
    while True:
        with determinism(recipe):
            try:
                next(run)
            except StopIteration as end:
                result: Result = end.value
                return result
        yield


def _run(
    network: str | NetworkConfig,
    recipe: Recipe,
    out: str | Path | None,
    images: Callable[[Recipe], Data],
    label: str,
    length: float,
    progress: bool,
    callbacks: Sequence[Callback],
) -> Generator[None, None, Result]:
    recipe, start = starting(recipe, label.partition(" ")[0])
    data = images(recipe)
    config = resolve(network, recipe, data)
    counts = check(config, data)
    what = identity(label, config, recipe, data, length, start)
    accelerator = make_accelerator(recipe)
    with contextlib.ExitStack() as stack:
        folder, writes = None, out is not None and accelerator.is_main_process
        held = writes and not stack.enter_context(locked(make_folder(Path(str(out)))))
        if from_main(held):
            raise RunBusy(f"Another process trains in {str(out)!r} at this moment.")
        if writes:
            folder = RunFolder(str(out), what)
        finished = from_main(folder.result() if folder else None)
        if finished is not None:
            return Result.from_dict(finished)
        shown = progress and accelerator.is_main_process
        with smaller_parts(config, recipe, data):
            trainer = yield from Trainer(
                config, recipe, data, accelerator, folder, length, start
            ).steps(label, shown, callbacks)
        result = _finish(trainer, label, counts, what["recipe"].get("weights"))
        for callback in callbacks:
            callback.on_end(trainer, result)
        everyone()  # what the main process wrote is there for all
        return result


def identity(
    label: str,
    config: NetworkConfig,
    recipe: Recipe,
    data: Data,
    length: float,
    start: Start | None = None,
) -> dict[str, Any]:
    """What makes a run this run and no other, as JSON values: all that decides its numbers."""
    return {
        "label": label,
        "length": length,
        "seed": recipe.seed,
        "config": config.to_dict(),
        "recipe": recipe.identity() | ({} if start is None else {"weights": start.digest}),
        "data": data.digests,
    }


def probe(config: NetworkConfig, recipe: Recipe, data: Data) -> None:
    """Do a training step on some images, and forget it. Raises what such a step raises."""
    with determinism(recipe), own_random_state():
        Trainer(config, recipe, data, make_accelerator(recipe)).try_step()


@contextlib.contextmanager
def smaller_parts(config: NetworkConfig, recipe: Recipe, data: Data) -> Iterator[None]:
    """Where a step takes more memory than there is, ValueError says in which parts it would fit.

    It is said, never done: BatchNorm takes its statistics from a part, so that the parts of all
    that is compared must be equal.
    """
    try:
        yield
        return
    except torch.OutOfMemoryError as error:
        full = str(error).partition(". ")[0]
        traceback.clear_frames(error.__traceback__)  # they hold what fills the memory
    advice = "grad_checkpointing=True takes less, too, and changes no result."
    batch, now = recipe.batch_size, recipe.accumulate
    if make_accelerator(recipe).num_processes > 1:  # one process alone cannot try
        raise ValueError(f"{full}. More parts of a batch than accumulate={now} take less. {advice}")
    for parts in (n for n in range(now + 1, batch // 2 + 1) if batch % n == 0):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        with contextlib.suppress(torch.OutOfMemoryError):
            probe(config, recipe.replace(accumulate=parts), data)
            raise ValueError(
                f"{full}. The batch of {batch} fits in parts of {batch // parts}, from each of "
                f"which BatchNorm takes its statistics: accumulate={parts}, for all that is "
                f"compared. {advice}"
            )
    raise ValueError(f"{full}, even for parts of two images. {advice}")


def _finish(trainer: Trainer, label: str, counts: Profile, start: str | None) -> Result:
    """Test on corrupted images, measure speed and memory, write the result; ``start`` is the
    digest of the weights that the training began with."""
    recipe, data, history = trainer.recipe, trainer.data, trainer.history
    last = watched = history[-1]
    if trainer.predictions is None:  # resumed after the last test, or others were watched
        last = trainer.test()
    assert trainer.predictions is not None
    predictions = dict(trainer.predictions)
    corrupted = {name: trainer.corrupted(name) for name in recipe.corruptions}
    own = None if trainer.ema is None else trainer.test(averaged=False)["top1"]
    weights = trainer.weights()
    speed, memory = _measured(trainer) if recipe.sharding == "ddp" else (None, None)
    speeds = sorted(line["images_per_s"] for line in history)
    images = recipe.batch_size * trainer.epoch_steps
    result = Result(
        label=label,
        seed=recipe.seed,
        top1=last["top1"],
        top5=last["top5"],
        test_loss=last["test_loss"],
        corrupted=corrupted,
        params=counts.params,
        macs=counts.macs,
        memory_access=counts.memory_access,
        train_speed=speeds[len(speeds) // 2],
        test_speed=speed,
        train_memory=memory,
        wait=sorted(line["wait"] for line in history)[len(history) // 2],
        epochs=trainer.epochs,
        seconds=sum(images / line["images_per_s"] for line in history),
        shape=data.shape,
        classes=data.classes,
        train_images=len(data.train),
        test_images=len(data.test),
        flipped_labels=data.flipped,
        unreadable=on_all(trainer.unreadable),
        config=trainer.config.to_dict(),
        recipe=recipe.to_dict(),
        history=history,
        val_top1=None if data.val is None else watched["top1"],
        last_top1=own,
        diverged=trainer.diverged,
        data=data.digests,
        start=start,
    )
    if trainer.folder is not None:
        known = describe(label, trainer.config, recipe, data, result.top1)
        trainer.folder.finish(result.to_dict(), weights, predictions, known)
    return result


def _measured(trainer: Trainer) -> tuple[float, int]:
    """Speed of inference in images/s, and bytes of a training step."""
    recipe, accelerator = trainer.recipe, trainer.accelerator

    def noise(batch: int) -> torch.Tensor:
        images = torch.randn(batch, *trainer.data.shape, device=trainer.device)
        return images.contiguous(memory_format=trainer.layout)

    share = recipe.batch_size // recipe.accumulate // accelerator.num_processes
    speed = inference_speed(trainer.network, noise(recipe.batch_size), accelerator.autocast)
    return speed, training_memory(
        trainer.network, noise(share), trainer.optimizer, accelerator.autocast
    )
