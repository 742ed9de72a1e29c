"""The command line: its table, the commands about models, and what a wrong word gets."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_variants import config_from_dict, list_families, list_models, model_config, model_info
from resnet_variants.cli import COMMANDS, main

ROOT = Path(__file__).parent.parent


def _fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("resnet-variants: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"]])
def test_table_of_commands(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", shown, re.MULTILINE)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"resnet-variants \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_a_documented_typed_function(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = COMMANDS[name].target.partition(":")
    target = getattr(importlib.import_module(f"resnet_variants.cli.{module}"), function)
    assert inspect.getdoc(target)
    for parameter in inspect.signature(target).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: resnet-variants {name}" in capsys.readouterr().out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == sorted(
        list_models(), key=lambda name: list_models().index(name)
    )


def test_list_by_pattern_and_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "*50*", "--family", "resnet-d"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split() for row in rows] == [["resnet50d", "ResNet-D"]]


def test_list_with_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "resnet18", "--counts"]) == 0
    head, _, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "family", "input", "parameters", "MACs", "paper"]
    assert row.split()[:6] == ["resnet18", "ResNet", "224", "11,689,512", "1.814", "G"]


def test_list_names_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(family in shown for family in list_families())


def test_list_without_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'*resnext*'" in _fails(capsys, "list", "resnext")
    assert "'resnet50d'" in _fails(capsys, "list", "rasnet50d")
    assert "'ResNet-D'" in _fails(capsys, "list", "--family", "resnet_d")


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "resnet50b"]) == 0
    shown = capsys.readouterr().out
    known = model_info("resnet50")
    for text in ("resnet50\n", known.paper, "resnet50b", "25,557,032", "4.089 G", "224 x 224"):
        assert text in shown
    assert re.search(r"stages\.3 +14,964,736 ", shown)
    assert re.search(r"stride_in +'conv2'", shown)


def test_info_at_another_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "resnet18", "--input-size", "64"]) == 0
    assert "64 x 64" in capsys.readouterr().out


def test_info_as_json_rebuilds_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "seresnet20_cifar", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert config_from_dict(known["config"]) == model_config("seresnet20_cifar")
    assert known["flops"] == 2 * known["macs"]
    assert known["params"] == sum(part["params"] for part in known["stages"].values())


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'compare'?" in _fails(capsys, "compere")


def test_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "or 'seresnet50'" in _fails(capsys, "info", "se_resnet50x")


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="Unknown model"):
        main(["--debug", "info", "resnet51"])
    monkeypatch.setenv("RESNET_VARIANTS_DEBUG", "1")
    with pytest.raises(ValueError, match="Unknown model"):
        main(["info", "resnet51"])


def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        COMMANDS, "compare", COMMANDS["compare"]._replace(target="missing_extra:compare")
    )

    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'accelerate'", name="accelerate")

    monkeypatch.setattr("resnet_variants.cli.importlib.import_module", missing)
    error = _fails(capsys, "compare")
    assert 'pip install "resnet-variants[train]"' in error
    assert "accelerate" in error


def test_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "resnet_variants.cli", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()  # as `head` does when it has enough
        assert run.stderr.read() == b""
        assert run.wait() == 0


def test_commands_are_imported_when_run() -> None:
    code = (
        "import resnet_variants.cli, sys; resnet_variants.cli.main(['-h']); "
        "assert 'tyro' not in sys.modules and 'resnet_variants.cli.models' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "resnet18*", "--counts", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert first["model"] == "resnet18" and first["parameters"] == 11_689_512


@pytest.mark.parametrize(("command", "goes_on"), [("list", False), ("train", True)])
def test_stopping_is_one_line(
    command: str,
    goes_on: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_variants.cli._run", stopped)
    assert main([command, "resnet18"]) == 130
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and ("same command goes on" in error) == goes_on
