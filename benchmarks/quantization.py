"""int8 against float32 for each family, on crops of photographs: docs/quantization.md.

python benchmarks/quantization.py [FAMILY ...]

Each family's first network is trained on the crops for some steps, so that its classes mean
something; then it is quantised on them, and compared on other crops of the same photographs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import tyro
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from resnet_variants import Network, create_model, list_families, list_models
from resnet_variants.quantize import Quantized, quantize

PAGE = Path(__file__).parents[1] / "docs" / "quantization.md"
CLASSES = 8  # quarters of each of the two photographs

HEAD = """# int8 by family

Static quantisation with onnxruntime: int8 weights a channel, uint8 activations, ranges from
{count} crops of scikit-learn's two sample photographs. Each network learnt for {steps} steps to
tell which quarter of which of them a crop of {size} pixels is from, one of {classes} classes
(crops of 75 for Inception-ResNet, which takes no smaller ones when exported).
Accuracy of the float network, SQNR of the logits and top-1 agreement with it are over {count} other
crops; agreement says little where the accuracy is near chance. Times are one image on one thread of
the processor that wrote this table, {processor}. Written by `python benchmarks/quantization.py`.

| family | network | accuracy | SQNR, dB | agreement | int8 ms | float ms | int8 MiB | float MiB |
| --- | --- | --: | --: | --: | --: | --: | --: | --: |
"""


def processor() -> str:
    """Its name, and whether it multiplies int8 in one instruction (VNNI)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {key.strip(): value for key, _, value in (line.partition(":") for line in lines)}
    vnni = "with" if "vnni" in facts.get("flags", "") else "without"
    return f"{facts.get('model name', 'unknown').strip()} {vnni} VNNI"


def crops(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Normalised crops, and the quarter of the photograph that each lies in."""
    photographs = [
        torch.tensor(each).permute(2, 0, 1) / 255 for each in load_sample_images().images
    ]
    generator = torch.Generator().manual_seed(seed)
    images, labels = [], []
    for i in range(count):
        label = i % CLASSES
        photograph = photographs[label // 4]
        _, height, width = photograph.shape
        room = height // 2 - size, width // 2 - size
        y, x = (int(torch.randint(0, side, (), generator=generator)) for side in room)
        y, x = y + label // 2 % 2 * (height // 2), x + label % 2 * (width // 2)
        images.append(photograph[:, y : y + size, x : x + size])
        labels.append(label)
    return (torch.stack(images) - 0.45) / 0.25, torch.tensor(labels)


def trained(name: str, steps: int, size: int) -> Network:
    """A network that knows the quarters, with settled batch statistics."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=CLASSES, zero_init_last=True)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.05, total_steps=steps)
    for step in range(steps):
        images, labels = crops(16, size, seed=step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        for step in range(10):
            model(crops(16, size, seed=step)[0])
    return model.eval()


def accuracy(model: Network, images: Tensor, labels: Tensor) -> float:
    """Of the float network."""
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


def row(family: str, name: str, right: float, done: Quantized) -> str:
    """A line of the table."""
    return (
        f"| {family} | {name} | {right:.0%} | {done.sqnr:.1f} | {done.agreement:.0%} "
        f"| {1e3 * done.seconds:.1f} | {1e3 * done.float_seconds:.1f} "
        f"| {done.bytes / 2**20:.1f} | {done.float_bytes / 2**20:.1f} |\n"
    )


def main(
    families: tuple[str, ...] = (), /, *, steps: int = 30, size: int = 64, count: int = 48
) -> None:
    """Measure the families named, or all, and write the page.

    Args:
        families: of the zoo; all by default
        steps: of training, 16 crops each
        size: side of a crop in pixels, or the smallest that an exported network takes
        count: crops to calibrate on, and as many to compare on
    """
    torch.set_num_threads(1)
    page = HEAD.format(count=count, steps=steps, size=size, classes=CLASSES, processor=processor())
    for family in families or list_families():
        name = list_models(family=family)[0]
        side = max(size, create_model(name, device="meta").min_export_size)
        model = trained(name, steps, side)
        images, labels = crops(count, side, seed=2000)
        try:
            with tempfile.TemporaryDirectory() as folder:
                calibration = crops(count, side, seed=1000)[0]
                done = quantize(model, calibration, Path(folder) / "int8.onnx", images=images)
            line = row(family, name, accuracy(model, images, labels), done)
        except Exception as error:  # another program's: say so, and go on
            line = f"| {family} | {name} | failed: {type(error).__name__}: {error} |" + " |" * 6
            line = " ".join(line.split()) + "\n"
        page += line
        print(line, end="", flush=True)
        PAGE.write_text(page)


if __name__ == "__main__":
    tyro.cli(main)
