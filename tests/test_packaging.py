"""What is installed, and what importing it costs."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import resnet_variants
from benchmarks import startup

ROOT = Path(__file__).parent.parent
HEAVY = ["torchvision", "matplotlib", "accelerate", "timm", "torch._dynamo", "sklearn", "PIL"]


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_import_adds_only_the_library() -> None:
    added = _modules_after("import resnet_variants") - _modules_after("import torch")
    assert not added & set(HEAVY)
    foreign = {name.partition(".")[0] for name in added} - {"resnet_variants"}
    assert foreign <= set(sys.stdlib_module_names) | {"torch"}


def test_import_reads_no_table() -> None:
    """Models are lines of Python; catalogues of weights wait until they are asked for."""
    assert "csv" not in _modules_after("import resnet_variants") - _modules_after("import torch")


def test_public_names_exist() -> None:
    assert len(set(resnet_variants.__all__)) == len(resnet_variants.__all__)
    for name in resnet_variants.__all__:
        assert getattr(resnet_variants, name) is not None
        assert name in dir(resnet_variants)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = resnet_variants.no_such_name


def test_version_is_one() -> None:
    assert metadata.version("resnet-variants") == resnet_variants.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{resnet_variants.__version__}]" in changelog


def test_type_marker_is_shipped() -> None:
    assert resources.files(resnet_variants).joinpath("py.typed").is_file()


def test_console_script() -> None:
    scripts = metadata.entry_points(group="console_scripts")
    main = scripts["resnet-variants"].load()
    assert main is __import__("resnet_variants.cli", fromlist=["main"]).main


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0" in text
    assert metadata.metadata("resnet-variants")["License-Expression"] == "Apache-2.0"


def test_every_package_has_its_marker_file() -> None:
    """A folder of modules without ``__init__.py`` would be left out of the wheel."""
    package = ROOT / "resnet_variants"
    for folder in {path.parent for path in package.rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_changelog_has_a_section_for_what_comes() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"


@pytest.mark.slow
def test_startup_is_measured() -> None:
    """The benchmark runs; what it finds depends on the machine, and is in docs/speed.md."""
    assert all(seconds > 0 for seconds in startup.import_times(1).values())
    assert all(seconds > 0 for seconds in startup.creation_times(1).values())
    assert all(seconds > 0 for seconds in startup.load_times("resnet18", 1).values())
    assert all(seconds > 0 for seconds in startup.fill_times("resnet18", 1).values())


def test_the_releases_that_ci_takes_are_those_that_are_asked_for() -> None:
    """``make lock`` after a change of what pyproject.toml asks for."""
    lines = (ROOT / "requirements" / "ci.txt").read_text().splitlines()
    locked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    releases: dict[str, list[str]] = {}
    for each in locked:
        (exact,) = each.specifier
        releases.setdefault(canonicalize_name(each.name), []).append(exact.version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(each for extra in extras.values() for each in extra)]:
        wanted = Requirement(text)
        if wanted.name != "resnet-variants":
            for release in releases[canonicalize_name(wanted.name)]:
                assert release in wanted.specifier, f"{text}, and make lock wrote {release}"


def test_make_asks_pytest_for_what_it_knows(tmp_path: Path) -> None:
    """An option whose value is an existing file is taken for a folder of tests if it stands alone,
    and the tests' own options are unknown then."""
    said = subprocess.run(
        ["make", "-n", "test", "TORCH=2.11"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    (line,) = (line for line in said.stdout.splitlines() if " -m pytest " in line)
    table = tmp_path / "versions.json"
    table.write_text("[]")
    arguments = line.replace("docs/versions.json", str(table)).split()[1:]
    nothing = ["-n", "0", "--collect-only", "-q", "--ignore-glob=*/test_*.py"]
    run = subprocess.run([sys.executable, *arguments, *nothing], cwd=ROOT, capture_output=True)
    assert run.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, run.stderr.decode()
    assert '"passed": 0' in table.read_text()
