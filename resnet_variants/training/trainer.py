"""A network in training: order, learning rate, tests and checkpoints are functions of the step."""

from __future__ import annotations

import math
import time
import warnings
import zlib
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..checkpoints.models import described
from ..config import NetworkConfig
from .augment import evaluation_transform
from .callbacks import Callback
from .captured import captured_step
from .data import Data, next_batch
from .engine import from_main
from .evaluate import evaluate, finite
from .images import Batch, Images
from .learner import Learner
from .optim import learning_rate
from .recipe import Recipe
from .rundir import BEST, CHECKPOINT, RunFolder
from .start import Start, describe

WATCH_STEPS = 100
"""after so many steps it is looked whether the loss is still a number"""


class Trainer(Learner):
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
        super().__init__(config, recipe, data, accelerator, start)
        self.data, self.folder = data, folder
        self.length, self.epochs = length, recipe.epochs * length
        self.epoch_steps = len(data.train) // recipe.batch_size
        self.total_steps = max(1, round(self.epochs * self.epoch_steps))

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
        self.history: list[dict[str, Any]] = []
        self.unreadable: dict[str, str] = {}
        self.saved_at = time.monotonic()
        self._start_epoch()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._resume()
        self.captured = captured_step(self, self.loader.dataset)

    # Training -----------------------------------------------------------------------------

    def steps(
        self, label: str, progress: bool, callbacks: Sequence[Callback] = ()
    ) -> Generator[None, None, Self]:
        """Go on to the end of the schedule; yields after each step, so that runs can take turns.

        A step draws from generators that it seeds itself: what others do between is no matter.
        """
        self.callbacks = callbacks
        bar = tqdm(
            total=self.total_steps, initial=self.step, desc=label, unit="step", leave=False,
            disable=not progress, dynamic_ncols=True,
        )  # fmt: skip
        with bar:
            while self.step < self.total_steps and self.diverged is None:
                yield from self._epoch(bar, label)
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
        return self

    def _start_epoch(self) -> None:
        self.loss.zero_()
        self.waited, self.worked = 0.0, 0.0

    def _epoch(self, bar: tqdm[Any], label: str) -> Iterator[None]:
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
            yield
            if self.step % WATCH_STEPS == 0 and not math.isfinite(float(self.mean_loss())):
                last = done
                break
            if done < last and self._saves_here():
                self.worked += time.perf_counter() - started
                self.save()
                started = time.perf_counter()
        train_loss = float(self.mean_loss()) / last  # waits for the device
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
        if ended or from_main(self._time_to_save()):
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
                batch = next_batch(batches)
                self.waited += time.perf_counter() - asked
                self._note(batch)
                images, labels = self.inputs(batch)
                if self.mix is not None:
                    images, labels = self.mix(images, labels)
                self.part(images, labels, part)
        if self.step % self.epoch_steps % recipe.ema_every == 0:
            self.average(self.step, recipe.warmup_epochs * self.length * self.epoch_steps)
        self.step += 1
        for callback in self.callbacks:
            callback.on_step(self)

    def try_step(self) -> None:
        """A step on the first images, at their largest size, without order, cache or loader
        processes; on a GPU two, as the optimiser's state fills its memory from the second on."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        share = self.recipe.batch_size // self.recipe.accumulate // world
        last = math.ceil(self.recipe.epochs) - 1  # progressive images are largest there
        keys = [(last, position) for position in range(rank * share, (rank + 1) * share)]
        batch = self.data.train.__getitems__(keys)
        self.captured = None  # its images come in an epoch's order
        for _ in range(1 if self.device.type == "cpu" else 2):
            self._step(iter([batch] * self.recipe.accumulate))

    def time_step(self) -> float:
        """Seconds of one step; the training goes on from it."""
        self.sampler.epoch, self.sampler.start, self.sampler.stop = 0, 0, self.recipe.accumulate
        started = time.perf_counter()
        self._step(self._batches())
        float(self.loss)  # waits for the device
        return time.perf_counter() - started

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
        model = self.tested if averaged else self.network
        if averaged and self.captured is not None:
            model = self.captured.tested
        seen: list[Tensor] = []

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            waiting = iter(loader)
            for _ in range(len(loader)):
                batch = next_batch(waiting)
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

    def corrupted(self, name: str) -> float:
        """Top-1 on the test images, corrupted."""
        transform = evaluation_transform(self.recipe, name)
        loader = self._test_loader(self.data.test.with_transform(transform))
        return float(self.test(loader)["top1"])

    def _test_loader(self, images: Images) -> DataLoader[Any]:
        world = self.accelerator.num_processes
        batch = min(max(self.recipe.batch_size, 128), len(images))
        batch = math.ceil(batch / world) * world
        rank = self.accelerator.process_index
        return self.data.loader(images, batch, rank, world, device=self.device)[0]

    # Checkpoints --------------------------------------------------------------------------

    def _time_to_save(self) -> bool:
        return time.monotonic() - self.saved_at >= self.recipe.save_seconds

    def _saves_here(self) -> bool:
        """Whether to save in the midst of an epoch. Several processes save together, and would
        have to agree on the time at each step: they do so between epochs alone."""
        recipe = self.recipe
        if recipe.save_steps and self.step % recipe.save_steps == 0:
            return True
        alone = self.accelerator.num_processes == 1
        return recipe.save_seconds > 0 and alone and self._time_to_save()

    def save(self) -> None:
        """Write all that is needed to go on, in the background."""
        self.saved_at = time.monotonic()
        if self.folder is None and self.accelerator.num_processes == 1:
            return
        state = self.state() | {
            "step": self.step,
            "history": self.history,
            "unreadable": self.unreadable,
            "worked": self.worked,
            "waited": self.waited,
            "diverged": self.diverged,
        }
        if self.folder is not None:
            self.folder.save(state)

    def _resume(self) -> None:
        state = from_main(self.folder.load() if self.folder is not None else None)
        if state is None:
            return
        try:
            self.take_up(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f"{'' if self.folder is None else self.folder.path / CHECKPOINT} does not fit the "
                f"run ({type(error).__name__}: {error}): delete it, and the run starts anew."
            ) from error

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what ``save`` wrote."""
        step = state["step"]
        if type(step) is not int or not 0 <= step <= self.total_steps:
            raise ValueError(f"step is {step!r}, not one of {self.total_steps}")
        super().take_up(state)
        self.step, self.history = step, state["history"]
        self.unreadable = dict(state["unreadable"])
        self.worked, self.waited = state["worked"], state["waited"]
        self.diverged = state.get("diverged")

    def _keep_best(self, label: str) -> None:
        """Write the weights that are tested, if no epoch before was as good."""
        name, sign = self.recipe.keep_best, 1 if self.recipe.keep_best == "top1" else -1
        marks = [sign * line[name] for line in self.history if line[name] is not None]
        if self.history[-1][name] is None or marks[-1] < max(marks) or marks.count(marks[-1]) > 1:
            return
        weights = self.weights()  # of all processes
        if self.folder is not None:
            top1 = self.history[-1]["top1"]
            known = describe(label, self.config, self.recipe, self.data, top1)
            self.folder.keep(BEST, weights, described(self.config, known))
