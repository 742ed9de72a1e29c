"""An editor completes the arguments of ``create_model``, and a type checker flags a wrong one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_options_are_the_fields_of_the_configurations() -> None:
    spec = importlib.util.spec_from_file_location("options", ROOT / "docs" / "options.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.text(), "python docs/options.py"


CALLS = [
    ("create_model('resnet50', attention='se', layers=(1, 1, 1, 1))", None),
    ("create_model('resnet50', attention=None, norm_layer=torch.nn.BatchNorm2d)", None),
    ("create_model('resnet50', atention='se')", "atention"),
    ("create_model('resnet50', num_classes='ten')", "num_classes"),
    ("a: RegNetOptions = {'w_0': 24}; create_model('regnetx_032', **a)", None),
    ("b: ResNetOptions = {'w_0': 24}; create_model('resnet50', **b)", "w_0"),
]
HEAD = """import torch
from resnet_variants import create_model
from resnet_variants.options import RegNetOptions, ResNetOptions
"""


def test_type_checker_knows_the_arguments(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(HEAD + "\n".join(call for call, _ in CALLS) + "\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", str(script)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    for number, (call, wrong) in enumerate(CALLS, HEAD.count("\n") + 1):
        errors = [line for line in said.splitlines() if f"user.py:{number}: error" in line]
        assert bool(errors) == (wrong is not None), f"{call}\n{said}"
        assert wrong is None or f'"{wrong}"' in errors[0]
