"""Every example runs in its fast mode, draws its figure, and prints the facts that it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Those without a figure are in test_detection.py.
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").glob("*.py")
    if path.stem not in ("detection", "segmentation")
)
TRAINING = ("abcd", "attention_masks", "gates", "regnet_design", "se_placement")

# What does not depend on the machine or on how long a network is trained.
FACTS = {
    "abcd": ["A: stride in the 1x1 25% 25% 25% 25%", "in the shortcut 100% 100% 100% 25%"],
    "attention_masks": ["3 modules, (1 + M) T", "RAN, 1 module, 50%"],
    "flops_are_not_speed": ["G1: channels in : out 1:1 1.00", "A MAC of shufflenet_v2_x0_5 takes"],
    "gates": [
        "SE, reduction 16 2 C²/16 + C/16 + C 2,530,992",
        "SE without biases 2 C²/16 2,514,944",
        "Salient C + 2 15,136",
        "ECA k = 5, 5, 5, 7 86",
        "SSA 2 32",
        "It is right for resnet34: 3,776 weights",
        "which is resnet152: 100",
    ],
    "quickstart": ["parameters, ", "test digits are read rightly"],
    "receptive_fields": ["resnet50", "scnet50"],
    "regnet_design": ["stage 4: 12 blocks, u_j 269 to 538, quantised 392, built 384"],
    "resnest_contains": ["radix 1 is squeeze-and-excitation", "radix 2 is a selective kernel"],
    "resnext_forms": ["32 4 ", "parameters of the 3x3"],
    "se_placement": ["no gate", "standard", "pre"],
}


def _spaced(text: str) -> str:
    return re.sub(r"[ \n]+", " ", text)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(each, id=each.stem, marks=[pytest.mark.slow] * (each.stem in TRAINING))
        for each in EXAMPLES
    ],
)
def test_example(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--fast", "--out", str(tmp_path / "figures")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,  # against hanging
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    figure = tmp_path / "figures" / f"{script.stem}.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    for fact in FACTS.get(script.stem, []):
        assert fact in _spaced(done.stdout), f"{fact!r} is not in\n{done.stdout}"


def test_gallery_shows_every_figure() -> None:
    """A section for each example that draws, with its command and a small picture."""
    text = (ROOT / "docs" / "gallery.md").read_text()
    for script in EXAMPLES:
        assert f"python examples/{script.name}" in text
        assert f"](gallery/{script.stem}.png)" in text
        assert (ROOT / "docs" / "gallery" / f"{script.stem}.png").stat().st_size < 150_000
