#!/usr/bin/env python3
"""Golden values of BERT encoders from PyTorch and transformers, for tests/nn/test_encoder_golden.c.

    encoder_golden.py generated OUT_FOLDER             two small encoders with fixed random weights, in double
    encoder_golden.py base MODEL_FOLDER CSV OUT_FILE   a published encoder on the first texts of a CSV, in float

A file holds the weights by their published names, and
    golden.token (rows), golden.offset (units + 1)     the texts, packed
    golden.dlogit (units, outputs)                     the loss is the sum over units of dlogit . logit
    golden.logit, golden.pooled                        of all units
    golden.gradient.NAME                               of the loss of the first n_gradient units
    golden.norm (n_norm)                               norms of one unit's gradient, from one backward pass each
Metadata: config (the model's config.json), pooling, n_outputs, n_gradient, n_norm.
Needs: torch, transformers, tokenizers, safetensors.
"""
import csv
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel


def pooled_of(model, token, pooling):
    out = model(input_ids=token[None], attention_mask=torch.ones_like(token)[None])
    return out.pooler_output[0] if pooling == "cls" else out.last_hidden_state[0].mean(0)


def gradients(parameters, loss):
    found = torch.autograd.grad(loss, [p for _, p in parameters], allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for (_, p), g in zip(parameters, found)]


def norm_of(found):
    return torch.sqrt(sum((g.double() ** 2).sum() for g in found)).item()


def write(model, classifier, texts, dlogit, pooling, n_gradient, n_norm, path):
    weights = {n: p for n, p in model.named_parameters() if pooling == "cls" or not n.startswith("pooler.")}
    weights |= {f"classifier.{n}": p for n, p in classifier.named_parameters()}
    parameters = list(weights.items())
    pooled, logit, norms = [], [], []
    total = [torch.zeros_like(p, dtype=torch.float64) for _, p in parameters]
    for i, token in enumerate(texts):
        with torch.set_grad_enabled(i < max(n_gradient, n_norm)):
            p = pooled_of(model, torch.tensor(token), pooling)
            z = classifier(p)
        pooled.append(p.detach())
        logit.append(z.detach())
        if i >= max(n_gradient, n_norm):
            continue
        found = gradients(parameters, (z * dlogit[i]).sum())
        if i < n_norm:
            norms.append(norm_of(found))
        for t, g in zip(total, found) if i < n_gradient else ():
            t += g
    offset = [0]
    for token in texts:
        offset.append(offset[-1] + len(token))
    tensors = {n: p.detach() for n, p in parameters}
    tensors |= {
        "golden.token": torch.tensor([t for token in texts for t in token]),
        "golden.offset": torch.tensor(offset),
        "golden.dlogit": dlogit,
        "golden.logit": torch.stack(logit),
        "golden.pooled": torch.stack(pooled),
        "golden.norm": torch.tensor(norms, dtype=torch.float64),
    }
    tensors |= {f"golden.gradient.{n}": t for (n, _), t in zip(parameters, total)}
    metadata = {"config": json.dumps(model.config.to_dict()), "pooling": pooling, "n_outputs": str(dlogit.shape[1])}
    metadata |= {"n_gradient": str(n_gradient), "n_norm": str(n_norm)}
    save_file({n: t.float().contiguous() for n, t in tensors.items()}, path, metadata)


def generated(folder):
    for name, act, pooling, n_outputs in (("mean_gelu", "gelu", "mean", 3), ("cls_gelu_new", "gelu_new", "cls", 1)):
        torch.manual_seed(20260731)
        config = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                            intermediate_size=48, max_position_embeddings=16, hidden_act=act, layer_norm_eps=1e-12)
        model = BertModel(config).eval()
        classifier = torch.nn.Linear(32, n_outputs)
        for p in [*model.parameters(), *classifier.parameters()]:
            p.data += 0.15 * torch.randn_like(p)
        # Not word 0: PyTorch keeps the gradient of the padding word out, and packed rows have no padding.
        texts = [torch.randint(1, 64, (n,)).tolist() for n in (5, 1, 16, 9, 2, 12)]
        texts[3][4] = texts[3][1] = texts[3][7]
        # Weights as the file holds them, then everything in double.
        for module in (model, classifier):
            module.float().double()
        dlogit = torch.randn(len(texts), n_outputs).double()
        dlogit = dlogit.float().double()
        write(model, classifier, texts, dlogit, pooling, len(texts), len(texts), f"{folder}/encoder_golden_{name}.safetensors")


def base(folder, texts_path, path):
    from tokenizers import Tokenizer
    torch.manual_seed(20260731)
    folder = Path(folder)
    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    config._attn_implementation = "eager"
    model = BertModel(config, add_pooling_layer=False).eval()
    state = {n: t for n, t in load_file(folder / "model.safetensors").items() if "position_ids" not in n and "pooler" not in n}
    model.load_state_dict(state)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with open(texts_path, newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    step = len(texts) // 1000
    texts = [tokenizer.encode(t).ids for t in texts[: 1000 * step : step]]
    classifier = torch.nn.Linear(config.hidden_size, 77)
    dlogit = torch.softmax(torch.randn(len(texts), 77), 1)
    dlogit[torch.arange(len(texts)), torch.randint(0, 77, (len(texts),))] -= 1
    write(model, classifier, texts, dlogit, "mean", 100, 32, path)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "generated":
        generated(sys.argv[2])
    elif len(sys.argv) == 5 and sys.argv[1] == "base":
        base(*sys.argv[2:])
    else:
        sys.exit(__doc__)
