"""Published CIFAR-10 weights on real images: ``python -m tests.real_weights FOLDER``.

FOLDER holds files of akamaster/pytorch_resnet_cifar10 (``resnet20-12fca82f.th``, ...) and the
test images of CIFAR-10 in folders by class (``test/CLASS/*.jpg``), each at any depth. On the
images as JPEG of quality 75 the accuracies are EXPECTED; on the lossless ones, the catalogue's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from resnet_variants import create_model
from resnet_variants.checkpoints.catalogue import weights_by_file
from resnet_variants.checkpoints.preprocessing import transforms_for

EXPECTED = {"resnet20_cifar": 81.03, "resnet32_cifar": 82.56, "resnet56_cifar": 83.20}


def accuracy(path: Path, images: Path) -> tuple[str, float]:
    """The model's name and its top-1 accuracy in per cent."""
    weights = weights_by_file(path.name)
    assert weights is not None, path
    model = create_model(weights.model, checkpoint_path=path).eval()
    data = ImageFolder(str(images), transforms_for(model, weights))
    right = 0
    with torch.inference_mode():
        for batch, classes in DataLoader(data, batch_size=500):
            right += int((model(batch).argmax(1) == classes).sum())
    return weights.model, 100 * right / len(data)


def main(folder: Path) -> int:
    """Print the accuracies; 1 when one is more than one image off."""
    images = next(path for path in folder.rglob("test") if path.is_dir())
    wrong = False
    for path in sorted(folder.rglob("*.th")):
        name, found = accuracy(path, images)
        expected = EXPECTED.get(name)
        wrong |= expected is not None and abs(found - expected) > 0.0101
        print(f"{name}: {found:.2f} % on {images}, expected {expected}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
