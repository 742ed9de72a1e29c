"""ResNets with a gate: SE, ECA and its ablations, SSA, Salient."""

from .entry import Row, series, table
from .resnet import D18, D34, D50, D101, D152, A, B, D, depths, grouped

HU = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
WANG = "Wang et al., ECA-Net: Efficient Channel Attention, CVPR 2020"
SSANET = "SSANet: Squeeze and Spatial Attention Networks, 2019"
SALIENT = "Salient-Net, 2019"

# timm rounds the hidden width to a multiple of 8, which changes -18 and -34 alone
SE8 = B.replace(attention="se", attention_args={"divisor": 8})
# The authors' own networks, trained in Caffe: the stem's pooling rounds up, unpadded.
SE_CAFFE = A.replace(attention="se", stem_pool="max_ceil")

SENET154 = grouped(152, 64, 4) | {"stem": "deep64", "shortcut_kernel": 3, "reduce_first": 2}
NEXTS = ((50, 32, 4), (101, 32, 4))

SE_NEXTS = {
    "seresnet152d": D152 | {"stem": "deep", "shortcut": "avg"},
    **series("seresnext{}_{}x{}d", grouped, (*NEXTS, (101, 32, 8), (101, 64, 4))),
    "senet154": SENET154,
}
SE_AUTHORS = {
    **depths("legacy_seresnet{}", 50, 101, 152),
    **series("legacy_seresnext{}_{}x{}d", grouped, NEXTS, {"stride_in": "conv2"}),
    "legacy_senet154": SENET154 | {"stride_in": "conv2", "drop_rate": 0.2},
}


def _kernels(*sizes: int) -> Row:
    """ECA kernels stage by stage, as the authors' released weights have them."""
    return {"attention_args": tuple({"kernel_size": size} for size in sizes)}


ECA_AUTHORS = {
    "ecaresnet18": D18 | _kernels(3, 5, 7, 7),
    "ecaresnet34": D34 | _kernels(3, 3, 5, 7),
    "ecaresnet50": D50 | _kernels(3, 5, 5, 7),
    "ecaresnet101": D101 | _kernels(3, 3, 5, 7),
    "ecaresnet152": D152 | _kernels(3, 3, 5, 7),
}
SE_VARS: dict[str, Row] = {f"se_var{i}_resnet50": {"attention": f"se_var{i}"} for i in (1, 2, 3)}
SE_GCS: dict[str, Row] = {
    "se_gc1_resnet50": {"attention_args": {"groups": 16}},
    "se_gc2_resnet50": {"attention_args": {"group_width": 16}},
    "se_gc3_resnet50": {"attention_args": {"group_width": 8}},
}
SSA, SALIENT_GATE = B.replace(attention="ssa"), B.replace(attention="salient")

ENTRIES = [
    *table("SE-ResNet", HU, SE8, depths("seresnet{}", 18, 34, 50, 101, 152)),
    *table("SE-ResNeXt", HU, SE8, SE_NEXTS),
    *table("SE (authors)", HU, SE_CAFFE, SE_AUTHORS),
    *table("ECA-Net", WANG, B.replace(attention="eca"), ECA_AUTHORS),
    # timm's: the kernel by the paper's formula
    *table("ECA-Net", WANG, D.replace(attention="eca"), depths("ecaresnet{}d", 50, 101)),
    *table("SE-Var", WANG, B, SE_VARS),
    *table("SE-GC", WANG, B.replace(attention="se_gc"), SE_GCS),
    *table("ECA-NS", WANG, B.replace(attention="eca_ns"), {"eca_ns_resnet50": D50}),
    *table("SSANet", SSANET, SSA, depths("ssaresnet{}", 18, 34, 50, 101, 152)),
    *table("Salient-Net", SALIENT, SALIENT_GATE, depths("salientresnet{}", 18, 34, 50, 101, 152)),
]
