"""An editor completes the arguments of ``create_model``, and a type checker flags a wrong one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_options_are_the_fields_of_all_configurations() -> None:
    spec = importlib.util.spec_from_file_location("options", ROOT / "docs" / "options.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.text(), "python docs/options.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("create_model('resnet50', attention='se', layers=(1, 1, 1, 1))", None),
        ("create_model('resnet50', attention=None, norm_layer=torch.nn.BatchNorm2d)", None),
        ("create_model('resnet50', atention='se')", "atention"),
        ("create_model('resnet50', num_classes='ten')", "num_classes"),
    ],
)
def test_type_checker_knows_the_arguments(call: str, wrong: str | None, tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(f"import torch\nfrom resnet_variants import create_model\n\n{call}\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode == 0) == (wrong is None), done.stdout + done.stderr
    assert wrong is None or f'"{wrong}"' in done.stdout
