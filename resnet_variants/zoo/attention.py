"""ResNets with a gate: SE, ECA and its ablations, SSA, Salient."""

from .entry import table
from .resnet import D18, D34, D50, D101, D152, A, B, D, depths

HU = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
WANG = "Wang et al., ECA-Net: Efficient Channel Attention, CVPR 2020"
SSANET = "SSANet: Squeeze and Spatial Attention Networks, 2019"
SALIENT = "Salient-Net, 2019"

SE = {"attention": "se"}
# timm rounds the hidden width to a multiple of 8, which changes -18 and -34 alone
SE8 = {"attention": "se", "attention_args": {"divisor": 8}}
X32X4D = {"groups": 32, "base_width": 4}
X32X8D = {"groups": 32, "base_width": 8}
X64X4D = {"groups": 64, "base_width": 4}
SENET154 = D152 | X64X4D | {"stem": "deep64", "shortcut_kernel": 3, "reduce_first": 2}


def _kernels(*sizes: int) -> dict[str, object]:
    """ECA kernels stage by stage, as the authors' released weights have them."""
    return {"attention_args": tuple({"kernel_size": size} for size in sizes)}


ENTRIES = [
    *table("SE-ResNet", HU, B.replace(**SE8), depths("seresnet{}", 18, 34, 50, 101, 152)),
    *table(
        "SE-ResNeXt",
        HU,
        B.replace(**SE8),
        {
            "seresnet152d": D152 | {"stem": "deep", "shortcut": "avg"},
            "seresnext50_32x4d": D50 | X32X4D,
            "seresnext101_32x4d": D101 | X32X4D,
            "seresnext101_32x8d": D101 | X32X8D,
            "seresnext101_64x4d": D101 | X64X4D,
            "senet154": SENET154,
        },
    ),
    # The authors' own networks, trained in Caffe: the stem's pooling rounds up, unpadded.
    *table(
        "SE (authors)",
        HU,
        A.replace(**SE, stem_pool="max_ceil"),
        {
            "legacy_seresnet50": D50,
            "legacy_seresnet101": D101,
            "legacy_seresnet152": D152,
            "legacy_seresnext50_32x4d": D50 | X32X4D | {"stride_in": "conv2"},
            "legacy_seresnext101_32x4d": D101 | X32X4D | {"stride_in": "conv2"},
            "legacy_senet154": SENET154 | {"stride_in": "conv2", "drop_rate": 0.2},
        },
    ),
    *table(
        "ECA-Net",
        WANG,
        B.replace(attention="eca"),
        {
            "ecaresnet18": D18 | _kernels(3, 5, 7, 7),
            "ecaresnet34": D34 | _kernels(3, 3, 5, 7),
            "ecaresnet50": D50 | _kernels(3, 5, 5, 7),
            "ecaresnet101": D101 | _kernels(3, 3, 5, 7),
            "ecaresnet152": D152 | _kernels(3, 3, 5, 7),
        },
    ),
    # timm's: the kernel by the paper's formula
    *table("ECA-Net", WANG, D.replace(attention="eca"), depths("ecaresnet{}d", 50, 101)),
    *table(
        "SE-Var",
        WANG,
        B,
        {
            "se_var1_resnet50": {"attention": "se_var1"},
            "se_var2_resnet50": {"attention": "se_var2"},
            "se_var3_resnet50": {"attention": "se_var3"},
        },
    ),
    *table(
        "SE-GC",
        WANG,
        B.replace(attention="se_gc"),
        {
            "se_gc1_resnet50": {"attention_args": {"groups": 16}},
            "se_gc2_resnet50": {"attention_args": {"group_width": 16}},
            "se_gc3_resnet50": {"attention_args": {"group_width": 8}},
        },
    ),
    *table("ECA-NS", WANG, B.replace(attention="eca_ns"), {"eca_ns_resnet50": D50}),
    *table(
        "SSANet", SSANET, B.replace(attention="ssa"), depths("ssaresnet{}", 18, 34, 50, 101, 152)
    ),
    *table(
        "Salient-Net",
        SALIENT,
        B.replace(attention="salient"),
        depths("salientresnet{}", 18, 34, 50, 101, 152),
    ),
]
