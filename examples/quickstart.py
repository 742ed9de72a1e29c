"""The shortest tour: combine parts, count, train, look inside, keep.

python examples/quickstart.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import torch
import tyro

from resnet_variants import create_model, list_models, profile
from resnet_variants.explain import capture_attention
from resnet_variants.training import PRESETS, load_data, train
from resnet_variants.training.augment import Normalise

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(fast: bool = False, out: Path = Path("figures")) -> None:
    """Train a small network of chosen parts on digits, and draw what it makes of some."""
    print(f"{len(list_models())} networks have names; * stands for any part of one:")
    print(" ", ", ".join(list_models("ssaresnet*")))

    # Any part in any network: an argument takes the place of what the name says.
    parts: dict[str, Any] = dict(layers=(1, 1, 1), attention="ssa", shortcut="avg", in_chans=1)
    counts = profile(create_model("resnet20_cifar", **parts), input_size=8)
    print(f"{counts.params:,} parameters, {counts.macs:,} multiply-accumulates an image")

    recipe = PRESETS["digits"].replace(epochs=1 if fast else 10, warmup_epochs=0.5, test_every=10)
    with TemporaryDirectory() as folder:
        config = create_model("resnet20_cifar", **parts).config
        result = train(config, recipe, folder, label="resnet8 with SSA")
        weights = Path(folder) / "model.safetensors"
        model = create_model("resnet20_cifar", **parts, checkpoint_path=weights).eval()
    print(f"{result.top1:.1f} % of {result.test_images} test digits are read rightly")

    data = load_data(recipe)
    digits = torch.stack([data.test.load(i) for i in range(8)])
    with capture_attention(model) as record, torch.no_grad():
        answers = model(Normalise(data.mean, data.std, torch.device("cpu"))(digits)).argmax(1)
    figure, axes = plt.subplots(2, 8, figsize=(9, 3), layout="constrained")
    for column, answer in enumerate(answers.tolist()):
        axes[0, column].imshow(digits[column, 0], cmap="gray_r")
        axes[0, column].set_title(f"read: {answer}", fontsize=10)
        axes[1, column].imshow(record["stages.0.0.attention"][column, 0], cmap="magma")
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0, 0].set_ylabel("image")
    axes[1, 0].set_ylabel("first gate")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "quickstart.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
