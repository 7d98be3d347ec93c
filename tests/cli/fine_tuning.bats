# Would catch: what a person meets who fine-tunes encoders for the first time: a number that cannot be learnt privately because
# its unit is not that of the clip norm; a head for other labels, or for the same in another order, taken over with the base; a
# word for `trainable` that trains more or less than it says; a saved model, LoRA's too, that does not go on where it ended; a
# plan that cannot be shown without saying what is missing.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    export PYTHONDONTWRITEBYTECODE=1
    start_journey
    python3 "$BATS_TEST_DIRNAME/small_encoder.py" base
    python3 "$BATS_TEST_DIRNAME/../../examples/bank_messages/make_messages.py" 600 1 messages.csv
    python3 - <<'PY'
import csv
rows = list(csv.DictReader(open('messages.csv')))
names = sorted({r['category'] for r in rows})
with open('labels.csv', 'w', newline='') as f:
    w = csv.writer(f)
    w.writerow(['id', 'text', 'category', 'is_card', 'length'])
    w.writerows([r['id'], r['text'], r['category'], 'yes' if 'card' in r['category'] else 'no', 1000 + 10 * len(r['text'])] for r in rows)
for name, label in [('classes', 'name: category, role: label, categories: [%s]' % ', '.join(names)),
                    ('swapped', 'name: category, role: label, categories: [%s]' % ', '.join(names[1:] + names[:1])),
                    ('binary', 'name: is_card, role: label, positive: ["yes"], negative: ["no"]'),
                    ('number', 'name: length, role: label, type: number, bounds: [1000, 2000]'),
                    ('wider', 'name: length, role: label, type: number, bounds: [0, 4000]')]:
    others = [c for c in ('category', 'is_card', 'length') if f'name: {c},' not in label]
    with open(name + '.yaml', 'w') as f:
        f.write('layout: wide\nunit: id\ncolumns:\n  - {name: id, role: id}\n  - {name: text, role: text, max_tokens: 64}\n')
        f.write('  - {%s}\n  - {names: [%s], role: ignore}\n' % (label, ', '.join(others)))
        f.write('split: {fractions: {train: 0.7, validation: 0.1, test: 0.2}, seed: 1}\n')
PY
    printf '%064d\n' 42 >secret
    fit classes none 60 'pooling: mean' .01 c
    fit number none 60 'pooling: mean' .01 n
    fit binary none 60 'pooling: mean' .01 b
}

setup() { copy_journey; }

private='{target_epsilon: 8, target_delta: 1e-5, max_grad_norm: 1}'
fit() { # schema, privacy, steps, of the model, learning rate, folder, further arguments
    cat >"$6.yaml" <<YAML
data: {file: labels.csv, schema: $1.yaml}
model: {kind: encoder, base: ${base:-base}, base_is_public: true, $4}
privacy: $2
training: {population_size: 600, expected_batch_size: 100, steps: $3, optimizer: adam, learning_rate: $5}
YAML
    sealgrad train "$6.yaml" --no-ledger --secret secret --out "$6" --quiet --json "${@:7}" >"$6.json"
}
test_of() { of "$1.json" "o['metrics']['test']['$2']"; }
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }' || { echo "$1 is not above $2"; return 1; }; }
untouched() { fit "$1" none 1 "$2" 1e-9 again; } # from $base, one step of no length

@test "a number far from 0 and 1 is learnt, privately too, and scored in its own unit" {
    above "$(test_of n r2)" .7
    fit number "$private" 40 'pooling: mean' .01 m
    above "$(test_of m r2)" .2
    sealgrad score n --data labels.csv --out s.csv --quiet >/dev/null
    sealgrad evaluate n --data labels.csv --quiet --json >e.json
    python3 - <<'PY'
import csv, json
truth = {r['id']: float(r['length']) for r in csv.DictReader(open('labels.csv'))}
rows = [(float(r['score']), truth[r['id']]) for r in csv.DictReader(open('s.csv'))]
rmse = (sum((a - b) ** 2 for a, b in rows) / len(rows)) ** .5
assert abs(rmse - json.load(open('e.json'))['rmse']) < 1e-3 * rmse, rmse
assert rmse < 60
PY
}

@test "a head is kept for the same labels and for no others" {
    base=c untouched classes 'pooling: mean'
    [ "$(test_of again accuracy)" = "$(test_of c accuracy)" ]
    above "$(test_of again accuracy)" .8
    for other in swapped number wider binary; do
        base=c untouched $other 'pooling: mean'
        [ "$other" != swapped ] || [ "$(of again.json 'abs(o["metrics"]["test"]["log_loss"] - __import__("math").log(12)) < 1e-4')" = True ]
        [ "$other" != binary ] || [ "$(of again.json 'abs(o["metrics"]["test"]["log_loss"] - __import__("math").log(2)) < 1e-4')" = True ]
    done
    base=n untouched number 'pooling: mean'
    [ "$(of again.json 'o["metrics"]["test"]["r2"] > .7')" = True ]
    base=n untouched wider 'pooling: mean' # starts at the middle of its bounds
    sealgrad score again --data labels.csv --out s.csv --quiet >/dev/null
    [ "$(tail -n +2 s.csv | cut -d, -f2 | sort -u | grep -c '^2000\|^1999.99\|^2000.00')" -ge 1 ]
    base=b untouched number 'pooling: mean'
    sealgrad score again --data labels.csv --out s.csv --quiet >/dev/null
    awk -F, 'NR > 1 && ($2 < 1499 || $2 > 1501) { exit 1 }' s.csv
}

@test "what is trained is what the word says, in weights" {
    weights() { fit classes "$private" 1 "$1" .01 m --dry-run; of m.json 'o["n_weights"]'; }
    w=32 head=$((12 * 32 + 12))
    [ "$(weights 'trainable: head')" = $head ]
    [ "$(weights 'trainable: lora, lora: {rank: 2}')" = $((head + 2 * 2 * 2 * 2 * w)) ] # two layers, query and value, two factors
    [ "$(weights 'trainable: lora, lora: {rank: 1, targets: [intermediate]}')" = $((head + 2 * (w + 2 * w))) ]
    [ "$(weights 'trainable: ["classifier.bias"]')" = 12 ]
    [ "$(weights 'trainable: ["*.LayerNorm.weight"]')" = $((5 * w)) ]
    [ "$(weights 'trainable: all, pooling: cls')" = $(($(weights 'trainable: all, pooling: mean') + w * w + w)) ]
    bias=$(weights 'trainable: bias')
    [ "$bias" = $((head + w + 2 * (4 * w + 2 * w + w + 2 * w))) ] # of the embeddings' norm; of each block's layers and two norms
    [ "$(weights 'trainable: bias, dropout: 0.2, unit_length: true')" = "$bias" ]
}

@test "a LoRA model goes on where it ended, as itself and as a base for LoRA again" {
    fit classes none 40 'trainable: lora, lora: {rank: 3, alpha: 6}, pooling: cls' .03 l
    [ -s l/adapter/adapter_model.safetensors ]
    sealgrad evaluate l --data labels.csv --split test --quiet --json >e.json
    [ "$(of e.json 'o["log_loss"]')" = "$(test_of l log_loss)" ]
    base=l untouched classes 'trainable: lora, lora: {rank: 2}, pooling: cls'
    [ "$(of again.json "abs(o['metrics']['test']['log_loss'] - $(test_of l log_loss)) < 1e-5")" = True ]
    sed 's#base: base#base: l/adapter#' c.yaml >d.yaml
    refused 2 l/adapter -- sealgrad train d.yaml --no-ledger --out m --quiet
}

@test "a plan without a ledger says what is missing" {
    sed 's/schema: classes.yaml/&, dataset: messages/; s/population_size: 600, //' c.yaml >d.yaml
    refused 2 d.yaml messages "--ledger" population_size -- sealgrad train d.yaml --dry-run
}
