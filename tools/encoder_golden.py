#!/usr/bin/env python3
"""Golden values of BERT encoders from PyTorch and transformers, for tests/nn/test_encoder_golden.c and tests/run/test_golden_step.c.

    encoder_golden.py generated OUT_FOLDER                  four small encoders with fixed random weights, in double
    encoder_golden.py base KIND MODEL_FOLDER CSV OUT_FILE   a published encoder on the first texts of a CSV, in float;
                                                            KIND: all, lora (factors and head learn) or masked (words, tied decoder)

A file holds the weights by their published names, LoRA's factors as NAME.lora_A.weight and lora_B, and
    golden.token (rows), golden.offset (units + 1)     the texts, packed
    golden.masked (answers), golden.masked_offset      masked: the rows whose words are asked for
    golden.dlogit (answers, outputs)                   the loss is the sum over answers, one a unit or masked row, of dlogit . logit
    golden.logit, golden.pooled                        of all units (masked: no pooled)
    golden.gradient.NAME                               of the loss of the first n_gradient units, of what learns
    golden.norm (n_norm)                               norms of one unit's gradient, from one backward pass each
    golden.label (n_step), golden.step.NAME            one private step without noise by brute force: the mean over the first n_step
                                                       units of their cross-entropy's gradients, each clipped at `clip`, half of them
    golden.step_size.NAME (1)                          the largest value of the same mean over absolute values: units may cancel
Metadata: config (the model's config.json), pooling, n_outputs, n_gradient, n_norm, n_step, clip, objective, trainable (patterns),
lora_rank, lora_alpha, lora_targets. Needs: torch, transformers, tokenizers, safetensors.
"""
import csv
import fnmatch
import json
import statistics
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

TARGETS = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
           "intermediate.dense", "output.dense"]


class Lora(torch.nn.Module):
    """A linear layer and two factors beside it."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.lora_A = torch.nn.Parameter(torch.randn(rank, base.in_features) * .1)
        self.lora_B = torch.nn.Parameter(torch.randn(base.out_features, rank) * .1)

    def forward(self, x):
        return self.base(x) + self.scale * ((x @ self.lora_A.T) @ self.lora_B.T)


def add_lora(model, targets, rank, alpha):
    for layer in model.encoder.layer:
        for target in targets:
            *path, name = target.split(".")
            parent = layer.get_submodule(".".join(path))
            setattr(parent, name, Lora(getattr(parent, name), rank, alpha))


def published(name):
    """The name that the file and the engine have for a parameter."""
    name = name.removeprefix("bert.").replace(".base.", ".")
    return name + ".weight" if name.endswith((".lora_A", ".lora_B")) else name


class Encoder:
    """Pooled rows and a head, or words: what the engine's model is, as (answers, outputs) of one text."""

    def __init__(self, model, pooling, classifier=None, trainable="*"):
        self.model, self.pooling, self.classifier, self.trainable = model, pooling, classifier, trainable
        named = [(published(n), p) for n, p in model.named_parameters() if pooling == "cls" or "pooler." not in n]
        named += [(f"classifier.{n}", p) for n, p in classifier.named_parameters()] if classifier else []
        self.weights = dict(named)
        self.learns = {n: p for n, p in named if any(fnmatch.fnmatch(n, t) for t in trainable.split())}

    def __call__(self, token, masked=()):
        token = torch.tensor(token)[None]
        if self.classifier is None:
            return None, self.model(input_ids=token, attention_mask=torch.ones_like(token)).logits[0, list(masked)]
        out = self.model(input_ids=token, attention_mask=torch.ones_like(token))
        pooled = out.pooler_output[0] if self.pooling == "cls" else out.last_hidden_state[0].mean(0)
        return pooled, self.classifier(pooled)[None]

    def gradients(self, loss):
        found = torch.autograd.grad(loss, list(self.learns.values()), allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(self.learns.values(), found)]


def norm_of(found):
    return torch.sqrt(sum((g.double() ** 2).sum() for g in found)).item()


def packed(lists):
    offset = [0]
    for one in lists:
        offset.append(offset[-1] + len(one))
    return torch.tensor([v for one in lists for v in one]), torch.tensor(offset)


def private_step(encoder, texts, label):
    """One unit after the other, as the definition says it: no batch, no trick."""
    found = []
    for token, y in zip(texts, label):
        _, z = encoder(token)
        one = z.shape[1] == 1
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z[0, 0], y.to(z.dtype)) if one else \
            torch.nn.functional.cross_entropy(z, y[None])
        found.append(encoder.gradients(loss))
    norms = [norm_of(g) for g in found]
    clip = statistics.median(norms)
    total = [torch.zeros_like(p, dtype=torch.float64) for p in encoder.learns.values()]
    size = [torch.zeros_like(t) for t in total]
    for g, norm in zip(found, norms):
        for t, a, x in zip(total, size, g):
            clipped = min(1., clip / norm) * x.double() / len(found)
            t += clipped
            a += clipped.abs()
    return clip, total, [a.max()[None] for a in size]


def write(encoder, texts, dlogit, path, n_gradient, n_norm, n_step=0, masked=None, **metadata):
    pooled, logit, norms = [], [], []
    total = [torch.zeros_like(p, dtype=torch.float64) for p in encoder.learns.values()]
    at = 0
    for i, token in enumerate(texts):
        with torch.set_grad_enabled(i < max(n_gradient, n_norm)):
            p, z = encoder(token, masked[i] if masked else ())
        pooled.append(p if p is None else p.detach())
        logit.append(z.detach())
        if i < max(n_gradient, n_norm):
            found = encoder.gradients((z * dlogit[at:at + len(z)]).sum())
            if i < n_norm:
                norms.append(norm_of(found))
            for t, g in zip(total, found) if i < n_gradient else ():
                t += g
        at += len(z)
    token, offset = packed(texts)
    tensors = {n: p.detach() for n, p in encoder.weights.items()}
    tensors |= {"golden.token": token, "golden.offset": offset, "golden.dlogit": dlogit, "golden.logit": torch.cat(logit),
                "golden.norm": torch.tensor(norms, dtype=torch.float64)}
    tensors |= {f"golden.gradient.{n}": t for n, t in zip(encoder.learns, total)}
    if masked:
        rows, masked_offset = packed([[int(o) + r for r in m] for o, m in zip(offset, masked)])
        tensors |= {"golden.masked": rows, "golden.masked_offset": masked_offset}
    else:
        tensors["golden.pooled"] = torch.stack(pooled)
    clip = 0.
    if n_step:
        label = torch.randint(0, max(2, dlogit.shape[1]), (n_step,))
        clip, step, size = private_step(encoder, texts, label)
        tensors |= {"golden.label": label, **{f"golden.step.{n}": t for n, t in zip(encoder.learns, step)},
                    **{f"golden.step_size.{n}": t for n, t in zip(encoder.learns, size)}}
    metadata |= dict(config=json.dumps(encoder.model.config.to_dict()), pooling=encoder.pooling, n_outputs=dlogit.shape[1],
                     n_gradient=n_gradient, n_norm=n_norm, n_step=n_step, clip=clip, trainable=encoder.trainable,
                     objective="masked" if masked else "classes")
    save_file({n: t.float().contiguous() for n, t in tensors.items()}, path, {k: str(v) for k, v in metadata.items()})


def choose_masked(texts):
    """Some places of each text, ascending; never the same number of them in all."""
    return [sorted(torch.randperm(len(t))[:1 + len(t) // 7].tolist()) for t in texts]


LORA = dict(lora_rank=2, lora_alpha=3., lora_targets=63)


def generated(folder):
    for name, act, pooling, n_outputs in (("mean_gelu", "gelu", "mean", 3), ("cls_gelu_new", "gelu_new", "cls", 1),
                                          ("lora", "gelu", "mean", 3), ("masked", "gelu", "mean", 64)):
        torch.manual_seed(20260731)
        config = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                            intermediate_size=48, max_position_embeddings=16, hidden_act=act, layer_norm_eps=1e-12)
        words, lora = name == "masked", LORA if name == "lora" else {}
        model = (BertForMaskedLM if words else BertModel)(config).eval()
        classifier = None if words else torch.nn.Linear(32, n_outputs)
        for p in [*model.parameters(), *(classifier.parameters() if classifier else ())]:
            p.data += 0.15 * torch.randn_like(p)
        if lora:
            add_lora(model, TARGETS, lora["lora_rank"], lora["lora_alpha"])
        # Not word 0: PyTorch keeps the gradient of the padding word out, and packed rows have no padding.
        texts = [torch.randint(1, 64, (n,)).tolist() for n in (5, 1, 16, 9, 2, 12)]
        texts[3][4] = texts[3][1] = texts[3][7]
        # Weights as the file holds them, then everything in double.
        for module in (model, classifier):
            if module:
                module.float().double()
        masked = choose_masked(texts) if words else None
        dlogit = torch.randn(sum(map(len, masked)) if words else len(texts), n_outputs).double()
        dlogit = dlogit.float().double()
        encoder = Encoder(model, pooling, classifier, "*.lora_?.weight classifier.*" if lora else "*")
        n = len(texts)
        write(encoder, texts, dlogit, f"{folder}/encoder_golden_{name}.safetensors", n, 0 if words else n, 0 if words else n, masked, **lora)


def base(kind, folder, texts_path, path):
    from tokenizers import Tokenizer
    torch.manual_seed(20260731)
    folder, words = Path(folder), kind == "masked"
    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    config._attn_implementation = "eager"
    model = BertForMaskedLM(config).eval() if words else BertModel(config, add_pooling_layer=False).eval()
    state = {n: t for n, t in load_file(folder / "model.safetensors").items() if "position_ids" not in n and "pooler" not in n}
    (model.bert if words else model).load_state_dict(state)
    lora = LORA if kind == "lora" else {}
    if lora:
        add_lora(model, TARGETS, lora["lora_rank"], lora["lora_alpha"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with open(texts_path, newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    step, n_texts = len(texts) // 1000, 60 if words else 1000
    texts = [tokenizer.encode(t).ids for t in texts[: n_texts * step : step]]
    masked = choose_masked(texts) if words else None
    n_answers, n_outputs = (sum(map(len, masked)), config.vocab_size) if words else (n_texts, 77)
    dlogit = torch.softmax(torch.randn(n_answers, n_outputs), 1)
    dlogit[torch.arange(n_answers), torch.randint(0, n_outputs, (n_answers,))] -= 1
    encoder = Encoder(model, "mean", None if words else torch.nn.Linear(config.hidden_size, 77),
                      "*.lora_?.weight classifier.*" if lora else "*")
    write(encoder, texts, dlogit, path, min(100, n_texts), 0 if words else 32, 0 if words else 32, masked, **lora)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 3 and sys.argv[1] == "generated":
        generated(sys.argv[2])
    elif len(sys.argv) == 6 and sys.argv[1] == "base" and sys.argv[2] in ("all", "lora", "masked"):
        base(*sys.argv[2:])
    else:
        sys.exit(__doc__)
