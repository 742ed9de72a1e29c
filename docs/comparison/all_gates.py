"""All gates in one small backbone, each beside a plain network of as many parameters: the trial of
docs/comparison/all_gates.

    python docs/comparison/all_gates.py OUT [SEEDS]

The images are the digits of scikit-learn, 8x8, so nothing is downloaded. Interrupted, the same
command goes on; started twice, two processes share the work.
"""

import sys

from resnet_variants import model_config
from resnet_variants.blocks.gates import ATTENTION
from resnet_variants.comparison import Trial, run_trial, save_report
from resnet_variants.comparison.tables import terminal
from resnet_variants.training import Recipe

BACKBONE = model_config("resnet20_cifar").replace(layers=(1, 1, 1))  # 8 layers
RECIPE = Recipe(data="digits", train_images=300, epochs=10, batch_size=32, test_every=10)


def main(out: str, seeds: str = "5") -> None:
    trial = Trial(
        networks={"resnet8": BACKBONE}
        | {f"resnet8 {gate}": BACKBONE.replace(attention=gate) for gate in ATTENTION},
        recipe=RECIPE,
        seeds=range(int(seeds)),
        control="params",
    )
    report = run_trial(trial, out)
    save_report(report, out)
    print(terminal(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
