"""The loop: one for training alone, for comparisons and for noise trials."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..builders import build
from ..checkpoints.models import described
from ..config import NetworkConfig
from ..finetune import BATCH_NORMS, freeze
from ..network import initialise
from ..profiling import Profile, profile
from ..registry import model_config
from ..storage import locked, make_folder
from .augment import Normalise, batch_mix, evaluation_transform
from .callbacks import Callback
from .captured import captured_step
from .criterion import make_loss
from .data import Data, load_data
from .engine import averaged, distribute, everyone, from_main, make_accelerator, on_all, shard
from .evaluate import evaluate, finite
from .images import Batch, Images
from .measure import inference_speed, training_memory
from .optim import learning_rate, make_optimizer
from .recipe import Recipe
from .result import Result
from .rundir import BEST, CHECKPOINT, RunFolder
from .start import Start, describe, fill, starting

_LOG = logging.getLogger(__name__)
WATCH_STEPS = 100
"""after so many steps it is looked whether the loss is still a number"""


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
    label = label or (network if isinstance(network, str) else network.builder)
    recipe, start = starting(recipe or Recipe(), label.partition(" ")[0])
    data = load_data(recipe, train_set, test_set)
    config = resolve(network, recipe, data)
    counts = check(config, data)
    accelerator = make_accelerator(recipe)
    with contextlib.ExitStack() as stack:
        folder, writes = None, out is not None and accelerator.is_main_process
        held = writes and not stack.enter_context(locked(make_folder(Path(str(out)))))
        if from_main(held):
            raise RunBusy(f"Another process trains in {str(out)!r} at this moment.")
        if writes:
            folder = RunFolder(str(out), identity(label, config, recipe, data, length, start))
        finished = from_main(folder.result() if folder else None)
        if finished is not None:
            return Result.from_dict(finished)
        # the user's own random state is left as it was
        gpus = range(torch.cuda.device_count())
        stack.enter_context(torch.random.fork_rng(devices=gpus))
        stack.enter_context(_determinism(recipe))
        trainer = Trainer(config, recipe, data, accelerator, folder, length, start)
        trainer.callbacks = callbacks
        trainer.run(label, progress and accelerator.is_main_process)
        result = trainer.finish(label, counts)
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
        "recipe": recipe.identity() | ({} if start is None else {"weights": start.digest()}),
        "data": data.digests,
    }


def _next(batches: Iterator[Batch]) -> Batch:
    """The next batch. An error in a loader process is told in one line."""
    try:
        return next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ValueError(
            "A loader process ended from outside (killed, or out of memory): the same command goes "
            "on from the last checkpoint; fewer --workers need less memory."
        ) from error
    except ValueError as error:
        if "in DataLoader worker" not in str(error):
            raise
        raise ValueError(
            str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        ) from error


@contextlib.contextmanager
def _determinism(recipe: Recipe) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(recipe.deterministic)
    torch.backends.cudnn.benchmark = not recipe.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


class Trainer:
    """A network in training, at a step of its schedule.

    Order of data, augmentation, dropout and learning rate are functions of the seed and the
    step, so that the step is all that a checkpoint has to say of them.
    """

    def __init__(
        self,
        config: NetworkConfig,
        recipe: Recipe,
        data: Data,
        accelerator: Any,
        folder: RunFolder | None = None,
        length: float = 1.0,
        start: Start | None = None,
    ) -> None:
        self.config, self.recipe, self.data = config, recipe, data
        self.accelerator, self.folder = accelerator, folder
        self.device = accelerator.device
        self.length, self.epochs = length, recipe.epochs * length
        self.epoch_steps = len(data.train) // recipe.batch_size
        self.total_steps = max(1, round(self.epochs * self.epoch_steps))

        network = build(config)
        initialise(network, recipe.seed)
        if start is not None:
            new = fill(network, start, recipe, data.classes)
            _LOG.info("starts from %s%s", start.name, f", with {' and '.join(new)}" * bool(new))
        if recipe.freeze_stages is not None:
            freeze(network, recipe.freeze_stages)
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.layout = layout
        network.to(device=self.device, memory_format=layout)
        network.set_grad_checkpointing(recipe.grad_checkpointing)
        self.network = network
        self.ema = None
        if recipe.ema:
            self.ema = averaged(network, recipe.ema, rises=recipe.ema_start == "rise")
            if recipe.sharding == "fsdp":
                shard(self.ema.module, accelerator)
        self.model = distribute(network, accelerator, recipe)
        if recipe.compile:
            self.model.compile()
        self.optimizer = make_optimizer(network, recipe)
        self.stepper = accelerator.prepare_optimizer(self.optimizer)
        self.criterion = make_loss(recipe)
        self.mix = batch_mix(recipe, data.num_classes)
        self.normalise = Normalise(data.mean, data.std, self.device)

        rank, world = accelerator.process_index, accelerator.num_processes
        part = recipe.batch_size // recipe.accumulate
        self.loader, self.sampler = data.loader(
            data.train,
            part,
            rank,
            world,
            seed=recipe.seed,
            repeats=recipe.repeats,
            device=self.device,
        )
        self.test_loader = self._test_loader(data.test)
        self.watched_loader = self.test_loader if data.val is None else self._test_loader(data.val)
        self.predictions: dict[str, Tensor] | None = None
        """``label`` and ``predicted`` of the test images, of the last test of all of them"""
        self.diverged: int | None = None

        self.callbacks: Sequence[Callback] = ()
        self.step = 0
        self.loss = torch.zeros((), device=self.device)
        """the sum of the epoch's losses in this process"""
        self.history: list[dict[str, Any]] = []
        self.unreadable: dict[str, str] = {}
        self._start_epoch()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._resume()
        self.captured = captured_step(self, self.loader.dataset)

    # Training -----------------------------------------------------------------------------

    def run(self, label: str, progress: bool) -> None:
        """Go on to the end of the schedule."""
        bar = tqdm(
            total=self.total_steps, initial=self.step, desc=label, unit="step", leave=False,
            disable=not progress, dynamic_ncols=True,
        )  # fmt: skip
        with bar:
            while self.step < self.total_steps and self.diverged is None:
                self._epoch(bar, label)
                last = self.history[-1]
                if last["top1"] is not None:
                    bar.set_postfix(
                        loss=f"{last['train_loss'] or math.nan:.3f}", top1=f"{last['top1']:.2f}"
                    )
        if self.diverged is not None:
            warnings.warn(
                f"{label} seed {self.recipe.seed}: the loss is no number any more after step "
                f"{self.diverged} of {self.total_steps}; the training ended there.",
                stacklevel=2,
            )

    def _mean_loss(self) -> Tensor:
        """The sum of the epoch's losses, of all processes."""
        return self.accelerator.reduce(self.loss, "mean")

    def _start_epoch(self) -> None:
        self.loss.zero_()
        self.waited, self.worked = 0.0, 0.0

    def _epoch(self, bar: tqdm[Any], label: str) -> None:
        """From the step where the last checkpoint left it to the end of the epoch."""
        epoch, first = divmod(self.step, self.epoch_steps)
        last = min(self.total_steps - epoch * self.epoch_steps, self.epoch_steps)
        self.sampler.epoch = epoch
        self.sampler.start = first * self.recipe.accumulate
        self.sampler.stop = last * self.recipe.accumulate
        self.model.train()
        batches = self._batches()
        started = time.perf_counter()
        for done in range(first + 1, last + 1):
            self._step(batches)
            bar.update()
            if self.step % WATCH_STEPS == 0 and not math.isfinite(float(self._mean_loss())):
                last = done
                break
            if self.recipe.save_steps and self.step % self.recipe.save_steps == 0 and done < last:
                self.worked += time.perf_counter() - started
                self.save()
                started = time.perf_counter()
        train_loss = float(self._mean_loss()) / last  # waits for the device
        self.worked += time.perf_counter() - started
        if not math.isfinite(train_loss):
            self.diverged = self.step
        ended = self.step == self.total_steps or self.diverged is not None
        tested = ended or (epoch + 1) % self.recipe.test_every == 0
        watched = self.watched_loader
        scores = self.test(watched) if tested else dict.fromkeys(("top1", "top5", "test_loss"))
        self.history.append(
            {
                "epoch": epoch + 1,
                "step": self.step,
                "lr": float(max(group["lr"] for group in self.optimizer.param_groups)),
                "train_loss": finite(train_loss),
                **scores,
                "images_per_s": last * self.recipe.batch_size / self.worked,
                "wait": self.waited / self.worked,
            }
        )
        if self.recipe.keep_best != "none" and tested:
            self._keep_best(label)
        for callback in self.callbacks:
            callback.on_epoch(self, self.history[-1])
        self._start_epoch()
        self.save()

    def _batches(self) -> Iterator[Batch]:
        """The batches of the sampler's epoch; captured steps bring their own."""
        if self.captured is None:
            return iter(self.loader)
        self.captured.start(self.sampler)
        return iter(())

    def _step(self, batches: Iterator[Batch]) -> None:
        """One step of the optimiser."""
        recipe = self.recipe
        rate = learning_rate(recipe, self.step, self.total_steps, self.epoch_steps, self.length)
        for group in self.optimizer.param_groups:
            own = rate * group["lr_scale"]
            if torch.is_tensor(group["lr"]):
                group["lr"].fill_(own)
            else:
                group["lr"] = own
        # dropout, drop path and mixing draw from the position, not from what came before, and each
        # process draws for its own images
        rank = self.accelerator.process_index
        of_rank = f".{rank}" if rank else ""
        seed = zlib.crc32(f"{recipe.seed}.step.{self.step}{of_rank}".encode())
        # torch.manual_seed would note it for all devices, with a stack trace each
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        if self.captured is not None:
            self.captured()
        else:
            for part in range(recipe.accumulate):
                asked = time.perf_counter()
                batch = _next(batches)
                self.waited += time.perf_counter() - asked
                self._note(batch)
                images, labels = self.inputs(batch)
                if self.mix is not None:
                    images, labels = self.mix(images, labels)
                self.part(images, labels, part)
        if self.ema is not None and self.step % self.epoch_steps % recipe.ema_every == 0:
            self.ema.update_parameters(self.network)
            rising = recipe.warmup_epochs * self.length * self.epoch_steps
            if recipe.ema_start == "warmup" and self.step < rising:
                self.ema.n_averaged.zero_()  # the next update copies the weights
        self.step += 1
        for callback in self.callbacks:
            callback.on_step(self)

    def part(self, images: Tensor, labels: Tensor, part: int) -> None:
        """Compute one part of a batch; with the last one the optimiser takes its step."""
        recipe, accelerator = self.recipe, self.accelerator
        with accelerator.accumulate(self.model):
            with accelerator.autocast():
                loss = self.criterion(self.model(images), labels)
            if part == 0:  # here their memory is at once that of the new ones
                self.optimizer.zero_grad()
            accelerator.backward(loss)
            if recipe.clip_norm and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
            self.stepper.step()
        self.loss += loss.detach() / recipe.accumulate

    def try_step(self) -> None:
        """One step on the first images, without order, cache or loader processes."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        share = self.recipe.batch_size // self.recipe.accumulate // world
        keys = [(0, position) for position in range(rank * share, (rank + 1) * share)]
        batch = self.data.train.__getitems__(keys)
        self._step(iter([batch] * self.recipe.accumulate))

    def time_step(self) -> float:
        """Seconds of one step; the training goes on from it."""
        self.sampler.epoch, self.sampler.start, self.sampler.stop = 0, 0, self.recipe.accumulate
        started = time.perf_counter()
        self._step(self._batches())
        float(self.loss)  # waits for the device
        return time.perf_counter() - started

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch on the device, normalised, in the memory format of the recipe."""
        images = self.normalise(batch.images.to(self.device, non_blocking=True))
        labels = batch.labels.to(self.device, non_blocking=True)
        return images.contiguous(memory_format=self.layout), labels

    def _note(self, batch: Batch) -> None:
        for each in batch.unreadable:
            name, _, why = each.partition(": ")
            if name not in self.unreadable:
                self.unreadable[name] = why
                warnings.warn(f"Left out an image that cannot be read: {each}", stacklevel=2)

    # Testing ------------------------------------------------------------------------------

    def test(
        self, loader: DataLoader[Any] | None = None, *, averaged: bool = True
    ) -> dict[str, Any]:
        """Top-1 and top-5 in percent, and the loss, on the test images or those of ``loader``, of
        the averaged weights if there are any."""
        whole = loader is None or loader is self.test_loader
        loader = loader or self.test_loader
        model: nn.Module = self.network
        if self.ema is not None and averaged:
            model = self.ema.module
        seen: list[Tensor] = []

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            waiting = iter(loader)
            for _ in range(len(loader)):
                batch = _next(waiting)
                self._note(batch)
                yield self.inputs(batch)

        def keep(logits: Tensor, labels: Tensor) -> None:
            seen.append(torch.stack([labels, logits.argmax(1)]))

        with self.accelerator.autocast():
            scores = evaluate(model, batches(), self.data.num_classes, keep)
        if whole and averaged:
            # each batch is shared in equal parts: gathered in turn they are in order again
            parts = [self.accelerator.gather(each.T.contiguous()).T.cpu() for each in seen]
            label, predicted = torch.cat(parts, dim=1)[:, : len(self.data.test)].contiguous()
            self.predictions = {"label": label.clone(), "predicted": predicted.clone()}
        return scores

    def _corrupted(self, name: str) -> float:
        transform = evaluation_transform(self.recipe, name)
        loader = self._test_loader(self.data.test.with_transform(transform))
        return self.test(loader)["top1"]

    def _test_loader(self, images: Images) -> DataLoader[Any]:
        world = self.accelerator.num_processes
        batch = min(max(self.recipe.batch_size, 128), len(images))
        batch = math.ceil(batch / world) * world
        rank = self.accelerator.process_index
        return self.data.loader(images, batch, rank, world, device=self.device)[0]

    def finish(self, label: str, counts: Profile) -> Result:
        """Test on corrupted images, measure speed and memory, write the result."""
        last = watched = self.history[-1]
        if self.predictions is None:  # resumed after the last test, or others were watched
            last = self.test()
        assert self.predictions is not None
        predictions = dict(self.predictions)
        corrupted = {name: self._corrupted(name) for name in self.recipe.corruptions}
        own = None if self.ema is None else self.test(averaged=False)["top1"]
        weights = self._weights(self.network if self.ema is None else self.ema.module)
        speeds = sorted(line["images_per_s"] for line in self.history)
        whole = self.recipe.sharding == "ddp"
        result = Result(
            label=label,
            seed=self.recipe.seed,
            top1=last["top1"],
            top5=last["top5"],
            test_loss=last["test_loss"],
            corrupted=corrupted,
            params=counts.params,
            macs=counts.macs,
            memory_access=counts.memory_access,
            train_speed=speeds[len(speeds) // 2],
            test_speed=self._inference_speed() if whole else None,
            train_memory=self._training_memory() if whole else None,
            wait=sorted(line["wait"] for line in self.history)[len(self.history) // 2],
            epochs=self.epochs,
            seconds=sum(
                self.recipe.batch_size * self.epoch_steps / line["images_per_s"]
                for line in self.history
            ),
            shape=self.data.shape,
            classes=self.data.classes,
            train_images=len(self.data.train),
            test_images=len(self.data.test),
            flipped_labels=self.data.flipped,
            unreadable=on_all(self.unreadable),
            config=self.config.to_dict(),
            recipe=self.recipe.to_dict(),
            history=self.history,
            val_top1=None if self.data.val is None else watched["top1"],
            last_top1=own,
            diverged=self.diverged,
            data=self.data.digests,
        )
        if self.folder is not None:
            known = describe(label, self.config, self.recipe, self.data, result.top1)
            self.folder.finish(result.to_dict(), weights, predictions, known)
        return result

    # Checkpoints --------------------------------------------------------------------------

    def save(self) -> None:
        """Write all that is needed to go on, in the background."""
        if self.folder is None and self.accelerator.num_processes == 1:
            return
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        network, optimizer = get_state_dict(self.network, self.optimizer, options=options)
        state = {
            "step": self.step,
            "network": network,
            "optimizer": optimizer,
            "history": self.history,
            "unreadable": self.unreadable,
            "loss": self._mean_loss(),
            "worked": self.worked,
            "waited": self.waited,
            "diverged": self.diverged,
        }
        if self.ema is not None:
            state["ema"] = get_model_state_dict(self.ema.module, options=options)
            state["averaged"] = self.ema.n_averaged
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        if self.folder is not None:
            self.folder.save(state)

    def _resume(self) -> None:
        state = from_main(self.folder.load() if self.folder is not None else None)
        if state is None:
            return
        try:
            self._take_up(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f"{'' if self.folder is None else self.folder.path / CHECKPOINT} does not fit the "
                f"run ({type(error).__name__}: {error}): delete it, and the run starts anew."
            ) from error

    def _take_up(self, state: dict[str, Any]) -> None:
        step = state["step"]
        if type(step) is not int or not 0 <= step <= self.total_steps:
            raise ValueError(f"step is {step!r}, not one of {self.total_steps}")
        options = StateDictOptions(full_state_dict=True)
        set_state_dict(
            self.network,
            self.optimizer,
            model_state_dict=state["network"],
            optim_state_dict=state["optimizer"],
            options=options,
        )
        if self.ema is not None:
            set_model_state_dict(self.ema.module, state["ema"], options=options)
            self.ema.n_averaged.copy_(state["averaged"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.history = step, state["history"]
        self.unreadable = dict(state["unreadable"])
        self.loss.copy_(state["loss"])
        self.worked, self.waited = state["worked"], state["waited"]
        self.diverged = state.get("diverged")

    def _inference_speed(self) -> float:
        images = self._noise(self.recipe.batch_size)
        return inference_speed(self.network, images, self.accelerator.autocast)

    def _training_memory(self) -> int:
        processes = self.accelerator.num_processes
        images = self._noise(self.recipe.batch_size // self.recipe.accumulate // processes)
        return training_memory(self.network, images, self.optimizer, self.accelerator.autocast)

    def _noise(self, batch: int) -> torch.Tensor:
        images = torch.randn(batch, *self.data.shape, device=self.device)
        return images.contiguous(memory_format=self.layout)

    def _keep_best(self, label: str) -> None:
        """Write the weights that are tested, if no epoch before was as good."""
        name, sign = self.recipe.keep_best, 1 if self.recipe.keep_best == "top1" else -1
        marks = [sign * line[name] for line in self.history if line[name] is not None]
        if self.history[-1][name] is None or marks[-1] < max(marks) or marks.count(marks[-1]) > 1:
            return
        weights = self._weights(self.network if self.ema is None else self.ema.module)
        if self.folder is not None:
            top1 = self.history[-1]["top1"]
            known = describe(label, self.config, self.recipe, self.data, top1)
            self.folder.keep(BEST, weights, described(self.config, known))

    def _weights(self, network: nn.Module) -> dict[str, Any]:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_model_state_dict(network, options=options)
