"""DeepSeek-V4."""

from minimoe.errors import InputError
from minimoe.zoo.counting import Shapes, Weight
from minimoe.zoo.family import Family
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts, shared_experts

SLIDING = "sliding_attention"
SPARSE = "compressed_sparse_attention"
HEAVY = "heavily_compressed_attention"
RATIOS = {0: SLIDING, 4: SPARSE, 128: HEAVY}  # positions that become one


def read(f: Fields) -> Shapes:
    """One vector of all heads is key and value; layers compress it over 4 or 128 positions.

    The output leaves in groups, and hyper-connections mix hc_mult residual streams.
    """
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    model = language_model(f, grouped_query(f, d_head=f.integer("head_dim")), moe=moe)
    n = model.n_layers
    norms = (
        Weight("norms", "queries' latent", (f.integer("q_lora_rank"),), n),
        Weight("norms", "key and value", (f.integer("head_dim"),), n),
    )
    return Shapes(
        model=model,
        attention=_attention(f, model.d_model),
        extra=norms + _hyper_connections(f.integer("hc_mult"), model.d_model, n),
        not_counted="attention over a window and compressed positions",
    )


def _kinds(f: Fields) -> list[str]:
    """The attention of each layer, in the spelling of its authors or of transformers 5.

    The authors' list also names the layers that predict further tokens.
    """
    if not f.has("compress_ratios"):
        return f.kinds("layer_types", (SLIDING, SPARSE, HEAVY))
    predicting = "num_nextn_predict_layers"
    beyond = f.integer(predicting, low=0) if f.has(predicting) else 0
    return [RATIOS[ratio] for ratio in f.kinds("compress_ratios", tuple(RATIOS), beyond)]


def _attention(f: Fields, d_model: int) -> tuple[Weight, ...]:
    kinds = _kinds(f)
    n, n_sparse, n_heavy = len(kinds), kinds.count(SPARSE), kinds.count(HEAVY)
    n_heads, d_head = f.integer("num_attention_heads"), f.integer("head_dim")
    q_rank, o_rank = f.integer("q_lora_rank"), f.integer("o_lora_rank")
    o_groups, width = f.integer("o_groups"), n_heads * d_head
    if width % o_groups:
        raise InputError(f"o_groups must divide heads * head_dim={width}, got {o_groups}")
    index_heads, d_index = f.integer("index_n_heads"), f.integer("index_head_dim")
    return (
        Weight("attention", "queries, down", (q_rank, d_model), n),
        Weight("attention", "queries, up", (width, q_rank), n),
        Weight("attention", "key and value", (d_head, d_model), n),
        Weight("attention", "output of a group, down", (o_rank, width // o_groups), n * o_groups),
        Weight("attention", "output, up", (d_model, o_groups * o_rank), n),
        Weight("attention", "sinks", (n_heads,), n),
        *_compressor("heavily compressed", d_model, d_head, d_head, 128, n_heavy),
        *_compressor("compressed sparse", d_model, d_head, 2 * d_head, 4, n_sparse),
        *_compressor("indexer", d_model, d_index, 2 * d_index, 4, n_sparse),
        Weight("attention", "indexer's queries", (index_heads * d_index, q_rank), n_sparse),
        Weight("attention", "weights of the indexer's heads", (index_heads, d_model), n_sparse),
    )


def _compressor(
    name: str, d_model: int, d_entry: int, width: int, ratio: int, n_layers: int
) -> tuple[Weight, ...]:
    """What makes one entry of `ratio` positions: values, gates, a bias for each position, a norm.

    `width` is twice d_entry where neighbouring groups of positions overlap.
    """
    return (
        Weight("attention", f"{name}: values", (width, d_model), n_layers),
        Weight("attention", f"{name}: gates", (width, d_model), n_layers),
        Weight("attention", f"{name}: bias by position", (ratio * width,), n_layers),
        Weight("norms", f"{name}: entries", (d_entry,), n_layers),
    )


def _hyper_connections(n_streams: int, d_model: int, n_layers: int) -> tuple[Weight, ...]:
    """Weights before attention, before the experts and before the head.

    They read n streams, write to them, and mix them (n * n); before the head they only read. Each
    has its bias, each kind one scale.
    """
    n_out, width = (2 + n_streams) * n_streams, n_streams * d_model
    return (
        Weight("other", "hyper-connections", (n_out, width), 2 * n_layers),
        Weight("other", "hyper-connections: bias", (n_out,), 2 * n_layers),
        Weight("other", "hyper-connections: scales", (3,), 2 * n_layers),
        Weight("other", "hyper-connections of the head", (n_streams, width)),
        Weight("other", "hyper-connections of the head: bias and scale", (n_streams + 1,)),
    )


FAMILY = Family("deepseek_v4", ("DeepseekV4ForCausalLM",), read)
