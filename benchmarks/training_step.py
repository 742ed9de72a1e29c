"""A step of the library's loop against a bare hand-written one, and how long steps wait.

    python benchmarks/training_step.py [--network resnet20_cifar] [--data mnist5k] [--rounds 40]

Both train the same network on the same batches, a step of one after a step of the other, so
that whatever else the machine does falls on both. The ratio is of the medians; its interval is
that of the ratio within each pair of steps (bootstrap).
"""

from __future__ import annotations

import json
import time
from statistics import median

import numpy as np
import torch
import tyro
from tqdm import tqdm

from resnet_variants.builders import build
from resnet_variants.network import initialise
from resnet_variants.training import PRESETS, load_data
from resnet_variants.training.engine import make_accelerator
from resnet_variants.training.loop import resolve
from resnet_variants.training.trainer import Trainer


def main(
    network: str = "resnet20_cifar", data: str = "mnist5k", rounds: int = 40, batch_size: int = 64
) -> None:
    """Print the measurement as JSON."""
    recipe = PRESETS["digits"].replace(data=data, batch_size=batch_size, flip=True)
    images = load_data(recipe)
    config = resolve(network, recipe, images)
    accelerator = make_accelerator(recipe)
    trainer = Trainer(config, recipe, images, accelerator)

    # the bare loop: what one writes by hand for these images
    model = build(config)
    initialise(model, recipe.seed)
    model.to(accelerator.device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = torch.nn.CrossEntropyLoss()
    mean, std = torch.tensor(images.mean), torch.tensor(images.std)
    shape = (-1, 1, 1)

    loader, sampler = images.loader(images.train, batch_size, seed=recipe.seed)
    sampler.epoch = 0
    for _ in loader:  # decode all images, which neither loop shall pay for
        pass
    steps = [list(loader)[i % len(loader)] for i in range(rounds)]

    def bare_step(batch: object) -> None:
        inputs = (batch.images.float() / 255 - mean.view(shape)) / std.view(shape)
        loss = criterion(model(inputs.to(accelerator.device)), batch.labels.to(accelerator.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    clock = time.process_time if accelerator.device.type == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {"bare": [], "library": []}
    for i, batch in enumerate(tqdm(steps, desc="steps")):
        order = ("bare", "library") if i % 2 else ("library", "bare")
        for name in order:
            started = clock()
            if name == "bare":
                bare_step(batch)
            else:
                trainer._step(iter([batch]))
            if accelerator.device.type != "cpu":
                torch.accelerator.synchronize()
            times[name].append(clock() - started)
    pairs = np.array([times["library"], times["bare"]])[:, 3:]
    draw = np.random.default_rng(0)
    picks = draw.integers(0, pairs.shape[1], (2000, pairs.shape[1]))
    ratios = np.median(pairs[0][picks], axis=1) / np.median(pairs[1][picks], axis=1)

    # how long steps wait for images, loading included
    trainer._start_epoch()
    trainer.step = 0
    for _ in trainer._epoch(tqdm(disable=True), network):
        pass
    print(
        json.dumps(
            {
                "network": network,
                "data": data,
                "device": str(accelerator.device),
                "threads": torch.get_num_threads(),
                "bare ms": round(1000 * median(pairs[1]), 2),
                "library ms": round(1000 * median(pairs[0]), 2),
                "ratio": round(median(pairs[0]) / median(pairs[1]), 4),
                "ratio 95 %": [round(float(q), 4) for q in np.quantile(ratios, [0.025, 0.975])],
                "waiting for images": round(trainer.history[-1]["wait"], 4),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    tyro.cli(main)
