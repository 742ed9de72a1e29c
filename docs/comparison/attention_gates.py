"""Nine gates in one small backbone: the trial of docs/comparison/attention_gates.

    python docs/comparison/attention_gates.py DATA OUT

DATA is a folder of images, DATA/train/CLASS/*.jpg and DATA/test/CLASS/*.jpg. Interrupted, the
same command goes on; started twice, two processes share the work.
"""

import sys

from resnet_variants import model_config
from resnet_variants.comparison import Trial, run_trial, save_report
from resnet_variants.comparison.tables import terminal
from resnet_variants.training import Recipe

GATES = ("se", "eca", "ssa", "salient", "se_var1", "se_var2", "se_var3", "se_gc")
BACKBONE = model_config("resnet20_cifar").replace(layers=(1, 1, 1))  # 8 layers


def main(data: str, out: str) -> None:
    trial = Trial(
        networks={"resnet8": BACKBONE}
        | {f"resnet8 {gate}": BACKBONE.replace(attention=gate) for gate in GATES},
        recipe=Recipe(
            data=data,
            train_images=3000,
            test_images=2000,
            flip=True,
            epochs=12,
            test_every=3,
        ),
        seeds=range(5),
    )
    report = run_trial(trial, out)
    save_report(report, out)
    print(terminal(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
