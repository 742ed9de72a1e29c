"""One network as a file of each format, and what the file's own tool says of it.

Each function writes the network for images of the example's size, and answers with a ``Written``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torch._decomp import get_decompositions

from resnet_variants import Network
from resnet_variants.export import FORMATS, Run, export_program


@dataclass(frozen=True)
class Written:
    """A file and how to run it."""

    run: Run | None
    """images to outputs; None where this machine cannot run the file"""
    nodes: int
    """operations in the file's graph"""
    delegated: int | None = None
    """of the program's operations, those that the format's accelerator library takes"""
    opset: int | None = None
    reason: str = ""
    """why it does not run here"""


def _calls(graph: torch.fx.Graph) -> int:
    return sum(node.op == "call_function" for node in graph.nodes)


def torch_export(model: Network, images: Tensor, folder: Path) -> Written:
    """A graph of torch's operators."""
    path, form = folder / "network.pt2", FORMATS["torch-export"]
    form.write(model, images, path, False)
    nodes = _calls(torch.export.load(path).graph)
    return Written(form.load(path), nodes)


def onnx(model: Network, images: Tensor, folder: Path) -> Written:
    """Run by onnxruntime."""
    import onnx

    path, form = folder / "network.onnx", FORMATS["onnx"]
    form.write(model, images, path, False)
    graph = onnx.load(path, load_external_data=False)
    (opset,) = (each.version for each in graph.opset_import if not each.domain)
    return Written(form.load(path), len(graph.graph.node), opset=opset)


def openvino(model: Network, images: Tensor, folder: Path) -> Written:
    """OpenVINO's own file, by way of ONNX, in float32."""
    import openvino

    path, form = folder / "network.xml", FORMATS["openvino"]
    form.write(model, images, path, False)
    kinds = [op.get_type_name() for op in openvino.Core().read_model(path).get_ops()]
    nodes = sum(kind not in ("Constant", "Parameter", "Result") for kind in kinds)
    return Written(form.load(path), nodes)


def aotinductor(model: Network, images: Tensor, folder: Path) -> Written:
    """Compiled ahead of time to a library."""
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    program = export_program(model, images, dynamic=False)
    path = aoti_compile_and_package(program, package_path=str(folder / "network.pt2"))
    loaded = aoti_load_package(path)
    return Written(lambda x: [loaded(x)], _calls(program.graph))


def executorch(model: Network, images: Tensor, folder: Path) -> Written:
    """A program for phones, its operations given to XNNPACK where that has them."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = export_program(model, images, dynamic=False)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    info = get_delegation_info(edge.exported_program().graph_module)
    taken, kept = info.num_delegated_nodes, info.num_non_delegated_nodes
    path = folder / "network.pte"
    with path.open("wb") as file:
        edge.to_executorch().write_to_file(file)
    method = Runtime.get().load_program(path).load_method("forward")
    return Written(lambda x: list(method.execute([x])), taken + kept, taken)


def litert(model: Network, images: Tensor, folder: Path) -> Written:
    """LiteRT, which was TensorFlow Lite."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    path = folder / "network.tflite"
    litert_torch.convert(model, (images,)).export(str(path))
    interpreter = Interpreter(str(path))  # with XNNPACK, which takes the place of what it runs
    interpreter.allocate_tensors()
    plain = Interpreter(str(path), experimental_op_resolver_type=_without_delegates())
    kinds = [each["op_name"] for each in plain._get_ops_details()]
    left = [each["op_name"] for each in interpreter._get_ops_details()]
    delegates = left.count("DELEGATE") + left.count("TfLiteXNNPackDelegate")
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: Tensor) -> list[Tensor]:
        interpreter.set_tensor(source["index"], x.numpy())
        interpreter.invoke()
        return [torch.from_numpy(interpreter.get_tensor(target["index"]))]

    return Written(run, len(kinds), len(left) - delegates if delegates else 0)


def _without_delegates() -> object:
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def coreml(model: Network, images: Tensor, folder: Path) -> Written:
    """Apple's ML program, converted; only macOS runs it."""
    import coremltools

    # In the operators that the converter knows.
    simpler = get_decompositions([torch.ops.aten.addcmul, torch.ops.aten.lerp])
    program = export_program(model, images, dynamic=False).run_decompositions(simpler)
    converted = coremltools.convert(
        program, convert_to="mlprogram", skip_model_load=True,
        compute_precision=coremltools.precision.FLOAT32,
    )  # fmt: skip
    converted.save(str(folder / "network.mlpackage"))
    (function,) = converted.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    nodes = sum(each.type != "const" for each in block.operations)
    return Written(None, nodes, reason="converted; a prediction needs macOS")


def ncnn(model: Network, images: Tensor, folder: Path) -> Written:
    """ncnn, converted by pnnx from a traced network."""
    import ncnn
    import pnnx

    torch.jit.trace(model, images, check_trace=False).save(str(folder / "network.pt"))
    shape = f"inputshape=[{','.join(map(str, images.shape))}]f32"
    # Its Python function also imports a network that pnnx writes back, which may be no Python.
    subprocess.run(
        [pnnx.EXEC_PATH, "network.pt", shape, "fp16=0"],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for each in folder.iterdir():
        if ".ncnn." not in each.name:
            each.unlink()  # on the way; what remains is the file
    path = folder / "network.ncnn.param"
    lines = path.read_text().splitlines()[2:]
    kinds = [line.split()[0] for line in lines if line.strip()]
    unknown = sorted({kind for kind in kinds if "." in kind or kind.startswith("pnnx")})
    if unknown:
        raise ValueError(f"pnnx leaves what ncnn has no layer for: {', '.join(unknown)}")
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.opt.num_threads = 1
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise ValueError("ncnn does not load what pnnx wrote")

    def run(x: Tensor) -> list[Tensor]:
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(x[0].numpy()).clone())
            code, out = extractor.extract("out0")
            if code:
                raise ValueError(f"ncnn stops with code {code}")
            return [torch.from_numpy(out.numpy().copy())[None]]

    return Written(run, sum(kind not in ("Input", "Split") for kind in kinds))


@dataclass(frozen=True)
class Tool:
    """Who writes a format."""

    write: Callable[[Network, Tensor, Path], Written]
    packages: tuple[str, ...]
    """what its answers depend on, besides torch"""
    modules: tuple[str, ...] = ()
    """imported before the first network, so that no cell's time is theirs"""


TOOLS = {
    "torch.export": Tool(torch_export, ()),
    "ONNX": Tool(onnx, ("onnx", "onnxscript", "onnxruntime"), ("onnxscript", "onnxruntime")),
    "OpenVINO": Tool(
        openvino, ("openvino", "onnxscript"), ("onnxscript", "openvino", "onnxruntime")
    ),
    "AOTInductor": Tool(aotinductor, (), ("torch._inductor.compile_fx",)),
    "ExecuTorch, XNNPACK": Tool(
        executorch,
        ("executorch",),
        ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner"),
    ),
    "LiteRT": Tool(litert, ("litert-torch", "ai-edge-litert"), ("litert_torch",)),
    "Core ML": Tool(coreml, ("coremltools",), ("coremltools",)),
    "ncnn through pnnx": Tool(ncnn, ("pnnx", "ncnn"), ("pnnx", "ncnn")),
}


def versions(form: str) -> str:
    """Of torch and the format's tools, on this machine."""
    found = []
    for name in dict.fromkeys(("torch", *TOOLS[form].packages)):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
