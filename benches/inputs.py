"""Large inputs, made from real key sets and real shapes. Files are sparse: 14 GB of weights take up their header only."""

import json
import os
import re
from collections import OrderedDict

BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4, "I64": 8}


def llama_7b():
    """Llama 2 7B as Hugging Face names it: 291 tensors, 13.5 GB in half precision."""
    keys = OrderedDict({"model.embed_tokens.weight": ("F16", [32000, 4096])})
    for n in range(32):
        at = f"model.layers.{n}."
        for name in "qkvo":
            keys[f"{at}self_attn.{name}_proj.weight"] = ("F16", [4096, 4096])
        keys[f"{at}mlp.gate_proj.weight"] = ("F16", [11008, 4096])
        keys[f"{at}mlp.up_proj.weight"] = ("F16", [11008, 4096])
        keys[f"{at}mlp.down_proj.weight"] = ("F16", [4096, 11008])
        keys[f"{at}input_layernorm.weight"] = ("F16", [4096])
        keys[f"{at}post_attention_layernorm.weight"] = ("F16", [4096])
    keys["model.norm.weight"] = ("F16", [4096])
    keys["lm_head.weight"] = ("F16", [32000, 4096])
    return keys


def first_layers(keys, count):
    """The first so many layers alone: ten of Llama 2 7B's are 4 GB."""
    layer = re.compile(r"model\.layers\.(\d+)\.")
    found = ((k, v, layer.match(k)) for k, v in keys.items())
    return OrderedDict((k, v) for k, v, m in found if m and int(m[1]) < count)


def deepseek_v3(layers=61, experts=256, prediction=True):
    """DeepSeek-V3 as published: 61 layers of 256 experts and one layer that predicts a further token, weights in 8 bits
    with a scale for every block of 128×128; 91,991 tensors. More layers give more keys of the same kind."""
    keys = OrderedDict()

    def plain(name, *shape, dtype="BF16"):
        keys[name] = (dtype, list(shape))

    def quantised(name, out, into):
        keys[f"{name}.weight"] = ("F8_E4M3", [out, into])
        keys[f"{name}.weight_scale_inv"] = ("F32", [-(-out // 128), -(-into // 128)])

    def mlp(name, width):
        quantised(f"{name}.gate_proj", width, 7168)
        quantised(f"{name}.up_proj", width, 7168)
        quantised(f"{name}.down_proj", 7168, width)

    def layer(n):
        at = f"model.layers.{n}"
        plain(f"{at}.input_layernorm.weight", 7168)
        quantised(f"{at}.self_attn.q_a_proj", 1536, 7168)
        plain(f"{at}.self_attn.q_a_layernorm.weight", 1536)
        quantised(f"{at}.self_attn.q_b_proj", 24576, 1536)
        quantised(f"{at}.self_attn.kv_a_proj_with_mqa", 576, 7168)
        plain(f"{at}.self_attn.kv_a_layernorm.weight", 512)
        quantised(f"{at}.self_attn.kv_b_proj", 32768, 512)
        quantised(f"{at}.self_attn.o_proj", 7168, 16384)
        plain(f"{at}.post_attention_layernorm.weight", 7168)
        if n < 3:
            mlp(f"{at}.mlp", 18432)
            return
        plain(f"{at}.mlp.gate.weight", experts, 7168)
        plain(f"{at}.mlp.gate.e_score_correction_bias", experts, dtype="F32")
        mlp(f"{at}.mlp.shared_experts", 2048)
        for expert in range(experts):
            mlp(f"{at}.mlp.experts.{expert}", 2048)

    plain("model.embed_tokens.weight", 129280, 7168)
    for n in range(layers):
        layer(n)
    if prediction:
        at = f"model.layers.{layers}"
        plain(f"{at}.embed_tokens.weight", 129280, 7168)
        plain(f"{at}.enorm.weight", 7168)
        plain(f"{at}.hnorm.weight", 7168)
        plain(f"{at}.eh_proj.weight", 7168, 14336)
        layer(layers)
        plain(f"{at}.shared_head.norm.weight", 7168)
        plain(f"{at}.shared_head.head.weight", 129280, 7168)
    plain("model.norm.weight", 7168)
    plain("lm_head.weight", 129280, 7168)
    return keys


def narrowed(keys, by=8):
    """The same keys with every dimension divided: `safe_open` maps the whole file, and 750 GB is more than it may."""
    return OrderedDict((k, (dtype, [max(1, size // by) for size in shape])) for k, (dtype, shape) in keys.items())


def wrapped_and_renamed(keys):
    """The same under two wrappers, with one part of every layer called by another name."""
    return OrderedDict((f"module._orig_mod.{k}".replace(".self_attn.", ".attn."), v) for k, v in keys.items())


# The names that DeepSeek's own inference code has for them (deepseek-ai/DeepSeek-V3, inference/convert.py).
DEEPSEEK_NAMES = {
    "embed_tokens": "embed", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn": "attn",
    "mlp": "ffn", "q_a_proj": "wq_a", "q_a_layernorm": "q_norm", "q_b_proj": "wq_b", "kv_a_proj_with_mqa": "wkv_a",
    "kv_a_layernorm": "kv_norm", "kv_b_proj": "wkv_b", "o_proj": "wo", "gate_proj": "w1", "down_proj": "w2",
    "up_proj": "w3", "lm_head": "head", "weight_scale_inv": "scale", "e_score_correction_bias": "bias",
}  # fmt: skip


def deepseek_own_names(keys):
    """Another vocabulary for the whole model: nothing but structure connects the two."""
    rename = re.compile("|".join(rf"\b{old}\b" for old in DEEPSEEK_NAMES))
    return OrderedDict((rename.sub(lambda m: DEEPSEEK_NAMES[m[0]], k.removeprefix("model.")), v) for k, v in keys.items())


def strict_error(keys, characters):
    """What `load_state_dict(strict=True)` prints where the file carries `module.`: both lists, cut where the text is so long."""
    room = characters // 2 - 80
    names, length = [], 0
    for key in keys:
        length += len(key) + 8
        if length > room:
            break
        names.append(key)
    listed = lambda prefix: ", ".join(f'"{prefix}{name}"' for name in names)
    lines = [
        "Traceback (most recent call last):",
        '  File "train.py", line 212, in <module>',
        '    model.load_state_dict(torch.load(args.resume)["model"])',
        "RuntimeError: Error(s) in loading state_dict for Transformer:",
        f"\tMissing key(s) in state_dict: {listed('')}. ",
        f"\tUnexpected key(s) in state_dict: {listed('module.')}. ",
    ]
    text = "\n".join(lines) + "\n"
    return text, len(names)


def shape_error(keys, characters):
    """The same call where every size differs."""
    lines, length = ["RuntimeError: Error(s) in loading state_dict for Transformer:"], 60
    for key, (_, shape) in keys.items():
        other = [2 * size for size in shape]
        line = (
            f"\tsize mismatch for {key}: copying a param with shape torch.Size({shape}) from checkpoint, "
            f"the shape in current model is torch.Size({other})."
        )
        length += len(line) + 1
        if length > characters:
            break
        lines.append(line)
    return "\n".join(lines) + "\n", len(lines) - 1


def numel(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def write_expected(path, keys):
    lines = (f"  {json.dumps(k)}: {json.dumps({'dtype': d, 'shape': s})}" for k, (d, s) in keys.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write_safetensors(path, keys, filled=False):
    """A whole safetensors file of full length; its data is one hole, or bytes that are really there."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for key, (dtype, shape) in keys.items():
        end = offset + numel(shape) * BYTES[dtype]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        if filled:
            block = os.urandom(1 << 24)
            for at in range(0, offset, len(block)):
                file.write(block[: offset - at])
        file.truncate(8 + len(text) + offset)
    return os.path.getsize(path)
