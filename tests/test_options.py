"""The arguments of ``create_model`` that editors and type checkers are told; what these answer is
in typed_options.py, read by ``make lint``."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_options_are_the_fields_of_the_configurations() -> None:
    spec = importlib.util.spec_from_file_location("options", ROOT / "docs" / "options.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.text(), "python docs/options.py"
