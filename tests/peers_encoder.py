"""Model folders of encoders, there and back: transformers and PEFT read ours, and we read theirs as they save them, with the
same logits. Every comparison prints its largest difference.
usage: peers_encoder.py SEALGRAD BASE_FOLDER MESSAGES.csv    (columns id, text, category, split)

What is trained here is not private and not recorded: this is about files. `sealgrad score` gives the best class and its
probability, so classes are compared by log probability; of two classes the logit itself is compared."""
import csv
import filecmp
import json
import math
import os
import subprocess
import sys
import tempfile

os.environ['HF_HUB_OFFLINE'] = '1'
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification, BertModel

torch.set_num_threads(1)
program, base, messages = sys.argv[1:4]
base, messages = os.path.abspath(base), os.path.abspath(messages)
WITHIN = 2e-5
MAX_TOKENS = 64
with open(messages, encoding='utf-8') as f:
    rows = list(csv.DictReader(f))
texts = [r['text'] for r in rows]
classes = sorted({r['category'] for r in rows})
worst = {}


def write_schema(label):
    with open('schema.yaml', 'w', encoding='utf-8') as f:
        f.write('layout: wide\nunit: id\ncolumns:\n  - {name: id, role: id}\n'
                f'  - {{name: text, role: text, max_tokens: {MAX_TOKENS}}}\n  - {{name: category, role: label, {label}}}\n'
                '  - {name: split, role: split}\nsplit: {column: split}\n')


def write_config(folder, model_keys='trainable: head', learning_rate=.002, steps=3, pooling='cls'):
    with open('c.yaml', 'w', encoding='utf-8') as f:
        f.write(f'run: {{name: peer}}\ndata: {{file: {messages}, schema: schema.yaml}}\n'
                f'model: {{kind: encoder, base: {folder}, pooling: {pooling}, {model_keys}}}\nprivacy: none\n'
                f'training: {{population_size: {len(rows)}, expected_batch_size: 32, steps: {steps}, optimizer: adam, '
                f'learning_rate: {learning_rate}}}\n')
    return 'c.yaml'


def train(folder, out, model_keys, **settings):
    config = write_config(folder, model_keys, **settings)
    subprocess.run([program, 'train', config, '--no-ledger', '--quiet', '--out', out], check=True, stdout=subprocess.DEVNULL)


def scores(folder):
    subprocess.run([program, 'score', folder, '--data', messages, '--out', 'scores.csv', '--quiet'], check=True,
                   stdout=subprocess.DEVNULL)
    with open('scores.csv', encoding='utf-8') as f:
        return list(csv.DictReader(f))


@torch.no_grad()
def logits(model, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.eval()
    return [model(**tokenizer(t, truncation=True, max_length=MAX_TOKENS, return_tensors='pt')).logits[0].double() for t in texts]


def compare(name, folder, theirs, names):
    """names: of the classes by their number; None: one logit."""
    worst[name] = 0.
    for ours, z in zip(scores(folder), theirs):
        p = float(ours['score'])
        if names is None:
            difference = abs(math.log(p / (1 - p)) - z[0].item())
        else:
            assert z.numel() == len(names), (name, z.numel())
            k = names.index(ours['class'])
            difference = abs(math.log(p) - torch.log_softmax(z, 0)[k].item())
            assert z.max() - z[k] <= WITHIN, (name, 'another class')
        worst[name] = max(worst[name], difference)
    assert worst[name] <= WITHIN, (name, worst[name])


def of_config(model):
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


def load(kind, folder, **options):
    model, facts = kind.from_pretrained(folder, output_loading_info=True, **options)
    return model, sorted(facts['missing_keys']), sorted(facts['unexpected_keys'])


def there(label, names, out):
    """A folder of ours in transformers: every tensor found, the class chosen by its config.json, the same logits."""
    write_schema(label)
    train(base, out, 'trainable: all')
    model, missing, unexpected = load(AutoModelForSequenceClassification, out)
    assert isinstance(model, BertForSequenceClassification) and not missing and not unexpected, (missing, unexpected)
    assert names is None or of_config(model) == names, of_config(model)
    assert AutoTokenizer.from_pretrained(out).model_max_length == MAX_TOKENS
    compare(f'{out}: ours there', out, logits(model, out), names)
    return model


def back(model, out, names):
    """The same model saved by transformers, read here as it lies there; a rate of almost nothing changes no weight."""
    theirs = f'{out}-theirs'
    model.save_pretrained(theirs)
    AutoTokenizer.from_pretrained(out).save_pretrained(theirs)
    train(theirs, f'{out}-again', 'trainable: head', learning_rate=1e-9, steps=1)
    compare(f'{out}: theirs here', f'{out}-again', logits(model, theirs), names)
    assert filecmp.cmp(f'{out}-again/vocab.txt', f'{out}/vocab.txt', shallow=False)


def in_halves(out, dtype, names):
    """Saved there in halves: the same numbers here, though we compute in floats."""
    model, theirs = BertForSequenceClassification.from_pretrained(out), f'{out}-{dtype}'
    model.to(dtype).save_pretrained(theirs)
    AutoTokenizer.from_pretrained(out).save_pretrained(theirs)
    train(theirs, f'{theirs}-again', 'trainable: head', learning_rate=1e-9, steps=1)
    compare(f'{theirs}: theirs here', f'{theirs}-again', logits(model.float(), theirs), names)


@torch.no_grad()
def by_hand(out):
    """Mean and unit length, which transformers has no class for: its encoder, and the head from the file."""
    write_schema(f'categories: {json.dumps(classes)}')
    train(base, out, 'unit_length: true, head_start: class_names', pooling='mean')
    model, missing, _ = load(BertModel, out)
    assert all(name.startswith('pooler.') for name in missing), missing
    model.eval()
    tokenizer, file = AutoTokenizer.from_pretrained(out), load_file(f'{out}/model.safetensors')
    theirs = []
    for text in texts:
        token = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors='pt')
        pooled = model(**token).last_hidden_state[0].mean(0)
        z = file['classifier.weight'] @ (pooled / pooled.norm()) + file['classifier.bias']
        theirs.append(z.double())
    compare(f'{out}: ours there', out, theirs, classes)


def adapter(keys, out):
    """The adapter on the base: PEFT finds every tensor, and merges to the weights that we merged."""
    write_schema(f'categories: {json.dumps(classes)}')
    train(base, out, f'trainable: lora, lora: {keys}', learning_rate=.02, steps=5)
    model, _, _ = load(BertForSequenceClassification, base, num_labels=len(classes))
    wrapped = PeftModel.from_pretrained(model, f'{out}/adapter')
    n_lora = sum('lora_' in n for n, _ in wrapped.named_parameters())
    assert n_lora == sum('lora_' in n for n in load_file(f'{out}/adapter/adapter_model.safetensors')), (keys, n_lora)
    merged = wrapped.merge_and_unload()
    ours, changed = load_file(f'{out}/model.safetensors'), 0
    base_weights, _, _ = load(BertForSequenceClassification, base, num_labels=len(classes))
    for name, weight in merged.state_dict().items():
        if 'position_ids' in name:
            continue
        assert (ours[name] - weight).abs().max() <= 1e-6, (keys, name, (ours[name] - weight).abs().max())
        changed += bool((base_weights.state_dict()[name] - weight).abs().max() > 1e-4)
    assert 2 * (changed - 2) >= n_lora, (keys, changed, n_lora)
    compare(f'{out}: {keys}', out, logits(merged, out), classes)


def adapter_back(out):
    """An adapter that PEFT made and trained, merged there: its folder is a base here."""
    torch.manual_seed(1)
    theirs = f'{out}-theirs'
    base_model, _, _ = load(BertForSequenceClassification, base, num_labels=len(classes))
    wrapped = get_peft_model(base_model, LoraConfig(task_type='SEQ_CLS', r=4, lora_alpha=8, target_modules=['query', 'value', 'dense']))
    tokenizer = AutoTokenizer.from_pretrained(out)
    optimizer = torch.optim.Adam([p for p in wrapped.parameters() if p.requires_grad], lr=.01)
    for step in range(3):
        batch = tokenizer(texts[16 * step:][:16], truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors='pt')
        label = torch.tensor([classes.index(r['category']) for r in rows[16 * step:][:16]])
        wrapped(**batch, labels=label).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wrapped.save_pretrained(f'{theirs}-adapter')
    refused = subprocess.run([program, 'train', write_config(f'{theirs}-adapter'), '--no-ledger', '--quiet', '--out', 'none'],
                             capture_output=True, text=True)
    assert refused.returncode == 2 and 'an adapter, no base model' in refused.stderr, refused
    merged = wrapped.merge_and_unload()
    merged.config.id2label = dict(enumerate(classes))
    merged.save_pretrained(theirs)
    tokenizer.save_pretrained(theirs)
    train(theirs, f'{out}-again', 'trainable: head', learning_rate=1e-9, steps=1)
    compare(f'{out}: theirs here', f'{out}-again', logits(merged, theirs), classes)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        back(there(f'categories: {json.dumps(classes)}', classes, 'classes'), 'classes', classes)
        others = json.dumps(classes[1:])
        back(there(f'positive: [{json.dumps(classes[0])}], negative: {others}', None, 'two'), 'two', None)
        write_schema(f'categories: {json.dumps(classes)}')
        in_halves('classes', torch.float16, classes)
        in_halves('classes', torch.bfloat16, classes)
        by_hand('mean')
        adapter('{rank: 2, alpha: 4}', 'lora')
        adapter('{rank: 3, alpha: 2, targets: [output]}', 'lora-output')
        adapter('{rank: 3, targets: [query, key, value, attention_output, intermediate, output]}', 'lora-all')
        adapter_back('lora')
    for name, difference in worst.items():
        print(f'  {name:80} {difference:.1e}')
    print(f'{len(texts)} texts, {len(worst)} comparisons, largest difference {max(worst.values()):.1e} (allowed {WITHIN:.0e})')


main()
