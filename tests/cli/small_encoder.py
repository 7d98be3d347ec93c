#!/usr/bin/env python3
"""A BERT of two layers with random weights, and a vocabulary for the synthetic messages. usage: small_encoder.py FOLDER [WIDTH]"""
import json
import os
import random
import re
import string
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../../examples/bank_messages'))
from make_messages import CLOSINGS, OPENINGS, TEMPLATES, THINGS

POSITIONS, LAYERS, HEADS = 128, 2, 2


def vocabulary():
    texts = OPENINGS + CLOSINGS + sum(TEMPLATES.values(), []) + sum(THINGS.values(), []) + [n.replace('_', ' ') for n in TEMPLATES]
    words = {w for text in texts for w in re.findall(r'[a-z]+', text.lower())}
    single = string.ascii_lowercase + string.digits
    pieces = [c for c in single] + ['##' + c for c in single] + list(string.punctuation)
    return ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + sorted(words | set(pieces))


def shapes(width, words):
    yield 'embeddings.word_embeddings.weight', (words, width)
    yield 'embeddings.position_embeddings.weight', (POSITIONS, width)
    yield 'embeddings.token_type_embeddings.weight', (2, width)
    yield 'embeddings.LayerNorm.weight', (width,)
    yield 'embeddings.LayerNorm.bias', (width,)
    for layer in range(LAYERS):
        for name, n_out, n_in in [('attention.self.query', width, width), ('attention.self.key', width, width),
                                  ('attention.self.value', width, width), ('attention.output.dense', width, width),
                                  ('intermediate.dense', 2 * width, width), ('output.dense', width, 2 * width)]:
            yield f'encoder.layer.{layer}.{name}.weight', (n_out, n_in)
            yield f'encoder.layer.{layer}.{name}.bias', (n_out,)
        for name in ['attention.output.LayerNorm', 'output.LayerNorm']:
            yield f'encoder.layer.{layer}.{name}.weight', (width,)
            yield f'encoder.layer.{layer}.{name}.bias', (width,)
    yield 'pooler.dense.weight', (width, width)
    yield 'pooler.dense.bias', (width,)


def main():
    folder, width = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 32
    words, draw = vocabulary(), random.Random(1)
    header, data = {}, bytearray()
    for name, shape in shapes(width, len(words)):
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        around = 1 if name.endswith('LayerNorm.weight') else 0
        values = [around + draw.gauss(0, .2) for _ in range(n)]
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + 4 * n]}
        data += struct.pack(f'<{n}f', *values)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    os.makedirs(folder)
    with open(f'{folder}/model.safetensors', 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)
    with open(f'{folder}/vocab.txt', 'w', encoding='utf-8') as f:
        f.writelines(w + '\n' for w in words)
    with open(f'{folder}/config.json', 'w', encoding='utf-8') as f:
        json.dump({'model_type': 'bert', 'vocab_size': len(words), 'hidden_size': width, 'num_hidden_layers': LAYERS,
                   'num_attention_heads': HEADS, 'intermediate_size': 2 * width, 'hidden_act': 'gelu',
                   'max_position_embeddings': POSITIONS, 'type_vocab_size': 2, 'layer_norm_eps': 1e-12}, f, indent=1)


if __name__ == '__main__':
    main()
