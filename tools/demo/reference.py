"""Records the written model's logits (reference.json, reference.f32) and compares them with ONNX Runtime's."""

import json
import os
import tempfile

import numpy as np
import torch

from demo import genai_folder
from demo.network import as_written

STEPS = 12


@torch.no_grad()
def write(network, prompts, folder):
    """Writes STEPS greedy tokens for each prompt and the logits that chose each, computed in float64."""
    exact = as_written(network, torch.float64)
    cases, rows = [], []
    for prompt in prompts:
        ids, tokens = list(prompt), []
        for _ in range(STEPS):
            logits = exact(torch.tensor([ids]))[0, -1]
            rows.append(logits.float().numpy())
            tokens.append(int(logits.argmax()))
            ids.append(tokens[-1])
        cases.append({"prompt": list(prompt), "tokens": tokens})
    np.stack(rows).astype("<f4").tofile(os.path.join(folder, "reference.f32"))
    content = {
        "source": f"tools/train_demo.py, PyTorch {torch.__version__} on the CPU in float64 from the folder's int4 "
                  "and float16 tensors (activations neither rounded nor quantized), greedy",
        "logits_file": "reference.f32", "logits_shape": [len(prompts), STEPS, network.config.vocab_size],
        "logits_layout": "case, step, vocabulary; step 0 is the row of the prompt's last token, step i the row of tokens[i-1]",
        "cases": cases}
    with open(os.path.join(folder, "reference.json"), "w", encoding="utf-8") as f:
        json.dump(content, f)
        f.write("\n")


def _run(session, config, ids):
    empty = np.zeros((1, config.num_kv_heads, 0, config.head_size), dtype=np.float16)
    feeds = {"input_ids": np.array([ids], dtype=np.int64), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
    for i in range(config.num_layers):
        feeds[f"past_key_values.{i}.key"] = feeds[f"past_key_values.{i}.value"] = empty
    return session.run(["logits"], feeds)[0][0].astype(np.float64)


@torch.no_grad()
def compare_with_onnxruntime(network, ids, folder, log):
    """Returns the least cosine over positions between ONNX Runtime's and PyTorch's logits; None without onnxruntime.

    If the CPU provider does not support GroupQueryAttention's norm inputs, a graph with the norms as separate
    nodes and the same tensors runs instead.
    """
    try:
        import onnxruntime
    except ImportError:
        log("onnxruntime is not installed: the folder is not run")
        return None
    expected = as_written(network, torch.float64)(torch.tensor([ids]))[0].numpy()

    def cosine(path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found = _run(session, network.config, ids)
        products = (found * expected).sum(-1) / (np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1))
        log(f"  largest absolute difference {np.abs(found - expected).max():.4f}, least cosine {products.min():.6f}, "
            f"logits' deviation {expected.std():.2f}")
        return float(products.min())

    try:
        log(f"ONNX Runtime {onnxruntime.__version__}, CPU provider, the folder as written:")
        return cosine(os.path.join(folder, genai_folder.MODEL))
    except Exception as error:  # ONNX Runtime's exception types differ between releases.
        log(f"  not run: {str(error).splitlines()[0][:200]}")
    with tempfile.TemporaryDirectory() as scratch:
        model, data = genai_folder.build(network, norms_inside=False)
        with open(os.path.join(scratch, genai_folder.DATA), "wb") as f:
            f.write(data)
        with open(os.path.join(scratch, genai_folder.MODEL), "wb") as f:
            f.write(model.SerializeToString())
        log("  the same with the norms of queries and keys as nodes:")
        return cosine(os.path.join(scratch, genai_folder.MODEL))
