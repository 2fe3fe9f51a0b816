"""Writes the model as ONNX Runtime GenAI's model builder does: model.onnx, model.onnx.data, genai_config.json.

Weights are int4 in blocks of 32 in MatMulNBits' layout: B uint8 [N, K/32, 16] with the even element in the low
nibble, zero point 8, scales float16 [N, K/32]. Activations are float16. Nodes, tensors, inputs and outputs have
the builder's names.
"""

import json
import os

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from demo.network import BLOCK, block_quantize, rotary_tables

MODEL, DATA = "model.onnx", "model.onnx.data"
# Alignment of tensors in the data file, so that GPUs and mapped files read whole vectors.
_ALIGNMENT = 256


def pack(weight):
    """Returns B uint8 [N, K/32, 16] and scales float16 [N, K/32] for a float weight [N, K]."""
    codes, scales = block_quantize(weight.detach().float().cpu())
    codes = codes.numpy().astype(np.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), scales.numpy().astype(np.float16)[..., 0]


def unpack(packed, scales):
    """Returns the float32 weight [N, K] that B and scales represent."""
    n, blocks, half = packed.shape
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(n, blocks, 2 * half).astype(np.float32)
    return ((codes - 8.0) * scales.astype(np.float32)[..., None]).reshape(n, blocks * 2 * half)


class _GraphWriter:
    """Collects nodes, initializers with their external data, and the types of values."""

    def __init__(self, config):
        self.config = config
        self.nodes, self.initializers, self.value_info = [], [], []
        self.data = bytearray()
        self._constants = set()

    def node(self, op, name, inputs, outputs, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))

    def value(self, name, shape, kind=TensorProto.FLOAT16):
        self.value_info.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def activation(self, name, width):
        return self.value(name, ["batch_size", "sequence_length", width])

    def constant(self, values):
        """Returns the name of a constant node with int64 `values` (a number or a list), adding it if needed."""
        label = f"INT64/{values}"
        name = f"/model/constants/{label}"
        if name not in self._constants:
            self._constants.add(name)
            array = np.array(values, dtype=np.int64)
            tensor = helper.make_tensor(name, TensorProto.INT64, array.shape, array.tobytes(), raw=True)
            self.node("Constant", f"/model/constant_nodes/{label}", [], [name], value=tensor)
            self.value(name, list(array.shape), TensorProto.INT64)
        return name

    def tensor(self, name, array):
        """Adds an initializer whose bytes are in the data file; returns its name."""
        kind = {np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.uint8): TensorProto.UINT8}[array.dtype]
        self.data += bytes(-len(self.data) % _ALIGNMENT)
        content = np.ascontiguousarray(array).tobytes()
        proto = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", DATA), ("offset", len(self.data)), ("length", len(content))):
            entry = proto.external_data.add()
            entry.key, entry.value = key, str(value)
        self.data += content
        self.initializers.append(proto)
        return name

    def half(self, name, values):
        return self.tensor(name, values.detach().float().cpu().numpy().astype(np.float16))

    def int4(self, name, weight):
        packed, scales = pack(weight)
        return [self.tensor(f"{name}.MatMul.weight_Q4", packed), self.tensor(f"{name}.MatMul.weight_scales", scales)]

    def matmul(self, name, tensors, x, k, n, output=None):
        """Adds x [.., k] times a packed weight [n, k]; name is a path such as '/model/layers.0/mlp/up_proj'."""
        output = output or self.activation(f"{name}/MatMul/output_0", n)
        self.node("MatMulNBits", f"{name}/MatMul_Q4", [x] + tensors, [output], "com.microsoft",
                  K=k, N=n, bits=4, block_size=BLOCK, accuracy_level=0)
        return output

    def skip_norm(self, name, weight, skip, x, last=False):
        """Adds the norm of (skip + x); returns the normalised value and the sum."""
        normed = self.activation(f"{name}/output_0", self.config.hidden_size)
        outputs = [normed]
        if not last:
            outputs += ["", "", self.activation(f"{name}/output_3", self.config.hidden_size)]
        self.node("SkipSimplifiedLayerNormalization", f"{name}/SkipLayerNorm", [skip, x, weight], outputs,
                  "com.microsoft", epsilon=self.config.rms_norm_eps)
        return normed, outputs[-1]


def _mask_subgraph(g):
    """Adds seqlens_k (valid tokens - 1, per batch row) and total_sequence_length for GroupQueryAttention."""
    base = "/model/attn_mask_reformat/attn_mask_subgraph"
    one = g.constant([1])
    g.node("ReduceSum", f"{base}/ReduceSum", ["attention_mask", one],
           [g.value(f"{base}/ReduceSum/output_0", ["batch_size"], TensorProto.INT64)], keepdims=0)
    g.node("Sub", f"{base}/Sub", [f"{base}/ReduceSum/output_0", one],
           [g.value(f"{base}/Sub/output_0", ["batch_size"], TensorProto.INT64)])
    g.node("Cast", f"{base}/Sub/Cast", [f"{base}/Sub/output_0"],
           [g.value(f"{base}/Sub/Cast/output_0", ["batch_size"], TensorProto.INT32)], to=TensorProto.INT32)
    g.node("Shape", f"{base}/Shape", ["attention_mask"],
           [g.value(f"{base}/Shape/output_0", [2], TensorProto.INT64)])
    index = g.constant(1)
    g.node("Gather", f"{base}/Gather", [f"{base}/Shape/output_0", index],
           [g.value(f"{base}/Gather/output_0", [], TensorProto.INT64)], axis=0)
    g.node("Cast", f"{base}/Gather/Cast", [f"{base}/Gather/output_0"],
           [g.value(f"{base}/Gather/Cast/output_0", [], TensorProto.INT32)], to=TensorProto.INT32)
    return f"{base}/Sub/Cast/output_0", f"{base}/Gather/Cast/output_0"


def _head_norm(g, name, x, weight, width):
    """Adds an RMSNorm over each head as separate nodes, which ONNX Runtime's CPU provider can run."""
    head = g.config.head_size
    heads = width // head
    shape = g.constant([0, -1, head])
    g.node("Reshape", f"{name}/Reshape_1", [x, shape],
           [g.value(f"{name}/Reshape_1/output_0", ["batch_size", f"sequence_length_times_{heads}", head])])
    g.node("SimplifiedLayerNormalization", f"{name}/SimplifiedLayerNormalization", [f"{name}/Reshape_1/output_0", weight],
           [g.value(f"{name}/SimplifiedLayerNormalization/output_0",
                    ["batch_size", f"sequence_length_times_{heads}", head])],
           epsilon=g.config.rms_norm_eps, axis=-1, stash_type=1)
    shape = g.constant([0, -1, width])
    output = g.activation(f"{name}/Reshape_2/output_0", width)
    g.node("Reshape", f"{name}/Reshape_2", [f"{name}/SimplifiedLayerNormalization/output_0", shape], [output])
    return output


def _attention(g, i, x, tensors, mask, norms_inside):
    """Adds QKV, GroupQueryAttention and the output projection of layer i.

    With `norms_inside`, GroupQueryAttention applies the norms of q and k.
    """
    c, base = g.config, f"/model/layers.{i}/attn"
    qkv = g.matmul(f"{base}/qkv_proj", tensors["qkv"], x, c.hidden_size, c.q_size + 2 * c.kv_size)
    sizes = g.constant([c.q_size, c.kv_size, c.kv_size])
    q, k, v = (g.activation(f"{base}/qkv_proj/Split/output_{j}", n)
               for j, n in enumerate([c.q_size, c.kv_size, c.kv_size]))
    g.node("Split", f"{base}/qkv_proj/Split", [qkv, sizes], [q, k, v], axis=-1)
    extra, attributes = [""] * 3, {}
    if norms_inside:
        extra = [""] * 5 + [tensors["q_norm"], tensors["k_norm"]]
        attributes["qk_norm_epsilon"] = c.rms_norm_eps
    else:
        q = _head_norm(g, f"{base}/q_norm", q, tensors["q_norm"], c.q_size)
        k = _head_norm(g, f"{base}/k_norm", k, tensors["k_norm"], c.kv_size)
    output = g.activation(f"{base}/GroupQueryAttention/output_0", c.q_size)
    g.node("GroupQueryAttention", f"{base}/GroupQueryAttention",
           [q, k, v, f"past_key_values.{i}.key", f"past_key_values.{i}.value", mask[0], mask[1],
            "cos_cache", "sin_cache"] + extra, [output, f"present.{i}.key", f"present.{i}.value"], "com.microsoft",
           num_heads=c.num_heads, kv_num_heads=c.num_kv_heads, scale=c.head_size ** -0.5, softcap=0.0,
           do_rotary=1, rotary_interleaved=0, **attributes)
    return g.matmul(f"{base}/o_proj", tensors["o"], output, c.q_size, c.hidden_size)


def _mlp(g, i, x, tensors):
    c, base = g.config, f"/model/layers.{i}/mlp"
    width = c.intermediate_size
    gate = g.matmul(f"{base}/gate_proj", tensors["gate"], x, c.hidden_size, width)
    up = g.matmul(f"{base}/up_proj", tensors["up"], x, c.hidden_size, width)
    names = [f"{base}/act_fn/Sigmoid", f"{base}/act_fn/Mul", f"{base}/Mul"]
    outputs = [g.activation(f"{name}/output_0", width) for name in names]
    g.node("Sigmoid", names[0], [gate], [outputs[0]])
    g.node("Mul", names[1], [gate, outputs[0]], [outputs[1]])
    g.node("Mul", names[2], [outputs[1], up], [outputs[2]])
    return g.matmul(f"{base}/down_proj", tensors["down"], outputs[2], width, c.hidden_size)


def _add_tensors(g, network):
    """Adds all initializers; returns the names by layer, and those of the embedding, which is also the head."""
    cos, sin = rotary_tables(g.config)
    layers = []
    for i, layer in enumerate(network.layers):
        base = f"model.layers.{i}"
        names = {"input_norm": g.half(f"{base}.input_layernorm.weight", layer.input_norm),
                 "q_norm": g.half(f"{base}.attn.q_norm.layernorm.weight", layer.q_norm),
                 "k_norm": g.half(f"{base}.attn.k_norm.layernorm.weight", layer.k_norm)}
        if i == 0:
            g.half("cos_cache", cos)
            g.half("sin_cache", sin)
        names["post_norm"] = g.half(f"{base}.post_attention_layernorm.weight", layer.post_norm)
        names["qkv"] = g.int4(f"{base}.attn.qkv_proj", layer.qkv)
        names["o"] = g.int4(f"{base}.attn.o_proj", layer.o)
        for part in ("gate", "up", "down"):
            names[part] = g.int4(f"{base}.mlp.{part}_proj", getattr(layer, part))
        layers.append(names)
    g.half(f"model.layers.{g.config.num_layers}.final_norm_layernorm.weight", network.final_norm)
    return layers, g.int4("lm_head", network.embed)


def build(network, norms_inside=True):
    """Returns (ModelProto, bytes of the data file). With norms_inside=False the q and k norms are separate nodes."""
    c = network.config
    g = _GraphWriter(c)
    layers, head = _add_tensors(g, network)
    mask = _mask_subgraph(g)
    g.node("Reshape", "/model/embed_tokens/Reshape", [head[0], g.constant([c.vocab_size, c.hidden_size // 2])],
           [g.value("/model/embed_tokens/Reshape/output_0", [c.vocab_size, c.hidden_size // 2], TensorProto.UINT8)])
    stream = g.activation("/model/embed_tokens/GatherBlockQuantized/output_0", c.hidden_size)
    g.node("GatherBlockQuantized", "/model/embed_tokens/GatherBlockQuantized",
           ["/model/embed_tokens/Reshape/output_0", "input_ids", head[1]], [stream], "com.microsoft",
           bits=4, block_size=BLOCK, gather_axis=0, quantize_axis=1)
    x = g.activation("/model/layers.0/input_layernorm/output_0", c.hidden_size)
    g.node("SimplifiedLayerNormalization", "/model/layers.0/input_layernorm/LayerNorm",
           [stream, layers[0]["input_norm"]], [x], epsilon=c.rms_norm_eps, axis=-1, stash_type=1)
    for i, tensors in enumerate(layers):
        attended = _attention(g, i, x, tensors, mask, norms_inside)
        x, stream = g.skip_norm(f"/model/layers.{i}/post_attention_layernorm", tensors["post_norm"], stream, attended)
        added = _mlp(g, i, x, tensors)
        last = i + 1 == c.num_layers
        name = f"/model/layers.{i + 1}/" + ("final_norm_layernorm" if last else "input_layernorm")
        weight = f"model.layers.{i + 1}.final_norm_layernorm.weight" if last else layers[i + 1]["input_norm"]
        x, stream = g.skip_norm(name, weight, stream, added, last)
    g.matmul("/lm_head", head, x, c.hidden_size, c.vocab_size, "logits")
    return _model(g, c), bytes(g.data)


def _model(g, c):
    half, whole = TensorProto.FLOAT16, TensorProto.INT64
    info = helper.make_tensor_value_info
    parts = [(i, part) for part in ("key", "value") for i in range(c.num_layers)]

    def cache(name, length):
        return info(name, half, ["batch_size", c.num_kv_heads, length, c.head_size])

    inputs = [info("input_ids", whole, ["batch_size", "sequence_length"]),
              info("attention_mask", whole, ["batch_size", "total_sequence_length"])]
    inputs += [cache(f"past_key_values.{i}.{part}", "past_sequence_length") for i, part in parts]
    outputs = [info("logits", half, ["batch_size", "sequence_length", c.vocab_size])]
    outputs += [cache(f"present.{i}.{part}", "total_sequence_length") for i, part in parts]
    graph = helper.make_graph(g.nodes, "main_graph", inputs, outputs, g.initializers, value_info=g.value_info)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="sinter-train-demo")
    model.ir_version = 10
    return model


def _genai_config(c, eos_ids, pad_id):
    return {
        "model": {
            "bos_token_id": pad_id, "context_length": c.context_length,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": [
                    {"webgpu": {"enableGraphCapture": "0", "validationMode": "basic"}}]},
                "filename": MODEL, "head_size": c.head_size, "hidden_size": c.hidden_size,
                "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask",
                           "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"},
                "outputs": {"logits": "logits", "present_key_names": "present.%d.key",
                            "present_value_names": "present.%d.value"},
                "num_attention_heads": c.num_heads, "num_hidden_layers": c.num_layers,
                "num_key_value_heads": c.num_kv_heads},
            "eos_token_id": eos_ids, "pad_token_id": pad_id, "type": "qwen3", "vocab_size": c.vocab_size},
        "search": {
            "diversity_penalty": 0.0, "do_sample": False, "early_stopping": True, "length_penalty": 1.0,
            "max_length": c.context_length, "min_length": 0, "no_repeat_ngram_size": 0, "num_beams": 1,
            "num_return_sequences": 1, "past_present_share_buffer": True, "repetition_penalty": 1.0,
            "temperature": 0.8, "top_k": 40, "top_p": 0.95}}


def write(network, folder, eos_ids, pad_id):
    """Writes model.onnx, model.onnx.data and genai_config.json."""
    model, data = build(network)
    with open(os.path.join(folder, DATA), "wb") as f:
        f.write(data)
    with open(os.path.join(folder, MODEL), "wb") as f:
        f.write(model.SerializeToString())
    with open(os.path.join(folder, "genai_config.json"), "w", encoding="utf-8") as f:
        json.dump(_genai_config(network.config, eos_ids, pad_id), f, indent=4)
        f.write("\n")


def read_back(folder):
    """Reads the initializers of a written folder, by name, from the files alone."""
    model = onnx.load(os.path.join(folder, MODEL))
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


@torch.no_grad()
def check_tensors(folder, written):
    """Compares the files with `written` (network.as_written); raises on any difference."""
    tensors = read_back(folder)

    def same(name, parameter):
        if parameter.dim() == 2:
            found = unpack(tensors[f"{name}.MatMul.weight_Q4"], tensors[f"{name}.MatMul.weight_scales"])
        else:
            found = tensors[name].astype(np.float32)
        if not np.array_equal(found, parameter.float().numpy()):
            raise RuntimeError(f"{name} differs between the folder and the network")

    same("lm_head", written.embed)
    for i, layer in enumerate(written.layers):
        base = f"model.layers.{i}"
        same(f"{base}.input_layernorm.weight", layer.input_norm)
        same(f"{base}.post_attention_layernorm.weight", layer.post_norm)
        for part in ("qkv", "o"):
            same(f"{base}.attn.{part}_proj", getattr(layer, part))
        for part in ("q_norm", "k_norm"):
            same(f"{base}.attn.{part}.layernorm.weight", getattr(layer, part))
        for part in ("gate", "up", "down"):
            same(f"{base}.mlp.{part}_proj", getattr(layer, part))
    same(f"model.layers.{written.config.num_layers}.final_norm_layernorm.weight", written.final_norm)
