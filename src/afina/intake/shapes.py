"""The tensors that a network has, by the names under which transformers writes them."""

from collections.abc import Iterator
from math import prod

from afina.intake.kinds import KINDS
from afina.intake.network import Network

Shape = tuple[int, ...]


def expected(network: Network) -> dict[str, Shape]:
    """Name and shape of every tensor that has to be there."""
    shapes: dict[str, Shape] = {
        "model.embed_tokens.weight": (network.vocabulary, network.hidden),
        "model.norm.weight": (network.hidden,),
    }
    if not network.tied:
        shapes["lm_head.weight"] = (network.vocabulary, network.hidden)
    for layer in range(network.layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in in_layer(network)}
    return shapes


def in_layer(network: Network) -> Iterator[tuple[str, Shape]]:
    """The tensors of one layer."""
    kind = KINDS[network.family]
    for name in kind.norms:
        yield f"{name}.weight", (network.hidden,)
    for name, (inner, outer) in linears(network).items():
        yield f"{name}.weight", (outer, inner)
        if name in biased(network):
            yield f"{name}.bias", (outer,)
    if kind.head_norms:
        yield "self_attn.q_norm.weight", (network.head_dim,)
        yield "self_attn.k_norm.weight", (network.head_dim,)


def linears(network: Network) -> dict[str, tuple[int, int]]:
    """The linears of one layer, each with its (in, out) features."""
    queries, keys = network.heads * network.head_dim, network.kv_heads * network.head_dim
    last = {
        "self_attn.o_proj": (queries, network.hidden),
        "mlp.down_proj": (network.intermediate, network.hidden),
    }
    if KINDS[network.family].fused:
        return last | {
            "self_attn.qkv_proj": (network.hidden, queries + 2 * keys),
            "mlp.gate_up_proj": (network.hidden, 2 * network.intermediate),
        }
    return last | {
        "self_attn.q_proj": (network.hidden, queries),
        "self_attn.k_proj": (network.hidden, keys),
        "self_attn.v_proj": (network.hidden, keys),
        "mlp.gate_proj": (network.hidden, network.intermediate),
        "mlp.up_proj": (network.hidden, network.intermediate),
    }


def biased(network: Network) -> set[str]:
    """The linears that have a bias."""
    always = KINDS[network.family].query_biases
    names: set[str] = set()
    if always or network.attention_bias:
        names |= {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}
    if network.attention_bias and not always:
        names.add("self_attn.o_proj")
    if network.mlp_bias:
        names |= {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
    return names


def parameters(network: Network) -> int:
    """How many numbers the network has."""
    return sum(prod(shape) for shape in expected(network).values())
