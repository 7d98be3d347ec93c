# Would catch: a score or an evaluation that disagrees with what the ledger holds of the run or with each other, probabilities
# that do not add up or belong to another class, an input of messages that is taken silently or breaks the program (empty,
# endless, not UTF-8, of an unknown label), JSON lines or CSV that a reader cannot read back, scores over their own input.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    export PYTHONDONTWRITEBYTECODE=1
    start_journey
    local messages="$BATS_TEST_DIRNAME/../../examples/bank_messages"
    python3 "$BATS_TEST_DIRNAME/small_encoder.py" base
    python3 "$messages/make_messages.py" 400 1 messages.csv
    python3 "$messages/schema.py" >schema.yaml
    cat >train.yaml <<'YAML'
data: {file: messages.csv, schema: schema.yaml, dataset: messages}
model: {kind: encoder, base: base, base_is_public: true, pooling: cls, trainable: all}
privacy: {target_epsilon: 8, target_delta: 1e-5, max_grad_norm: 1}
training: {sample_rate: 0.3, steps: 12, optimizer: adam, learning_rate: 0.02}
YAML
    sealgrad keygen --out keys --no-passphrase >/dev/null
    sealgrad ledger init ledger.db --origin test.example/messages --key keys/signing.key >/dev/null
    sealgrad dataset register messages.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name messages \
        --population messages --population-size 320 --epsilon-limit 8 --delta-limit 1e-4 --quiet >/dev/null
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --quiet --json >run.json
    # A base of random weights and few steps: what matters is that it does not call one class alone.
    [ "$(sealgrad score m --data messages.csv --out s.csv --quiet >/dev/null; cut -d, -f2 s.csv | sort -u | wc -l)" -gt 4 ]
    rm s.csv
}

setup() { copy_journey; }

score() { sealgrad score m --data "$1" --out "$2" --quiet "${@:3}" >/dev/null; }
evaluate() { sealgrad evaluate m --data messages.csv --quiet "$@"; }

@test "evaluate says of the model folder what the ledger says of the run" {
    for split in validation test; do
        evaluate --split $split --json >$split.json
        python3 - run.json $split.json $split <<'PY'
import json, sys
run, now = json.load(open(sys.argv[1]))['metrics'][sys.argv[3]], json.load(open(sys.argv[2]))
assert len(run) >= 7, run
for name, value in run.items():
    assert now[name] == value, (name, now[name], value)
PY
    done
    sealgrad ledger query ledger.db --view metrics --json >recorded.json
    python3 - recorded.json test.json <<'PY'
import json, sys
recorded = {r['name']: r['value'] for r in map(json.loads, open(sys.argv[1])) if r['split'] == 'test'}
now = json.load(open(sys.argv[2]))
assert recorded['accuracy'] == now['accuracy'] and recorded['ece'] == now['ece'] and recorded['brier'] == now['brier']
PY
}

@test "scores give the figures of evaluate, worked out anew" {
    score messages.csv s.csv --all-classes --split test
    evaluate --split test --json --by-class --confusions 1000 --calibration >e.json
    python3 - <<'PY'
import collections, csv, json, math
e = json.load(open('e.json'))
truth = {r['id']: r['category'] for r in csv.DictReader(open('messages.csv'))}
rows = list(csv.DictReader(open('s.csv')))
assert len(rows) == e['records'] == 40
names = [k.removeprefix('score of ') for k in rows[0] if k.startswith('score of ')]
assert len(names) == len(e['classes']) == 12 and names == [c['class'] for c in e['classes']]
hits, loss, brier, wrong, bins = 0, 0., 0., collections.Counter(), collections.defaultdict(list)
for r in rows:
    p = [float(r['score of ' + n]) for n in names]
    assert abs(sum(p) - 1) < 1e-5 and r['class'] == names[p.index(max(p))] and float(r['score']) == max(p)
    t = truth[r['id']]
    hits += t == r['class']
    loss -= math.log(p[names.index(t)])
    brier += sum((v - (n == t)) ** 2 for v, n in zip(p, names))
    wrong[t, r['class']] += t != r['class']
    bins[max(0, math.ceil(max(p) * 10) - 1)].append((max(p), t == r['class']))
assert hits / 40 == e['accuracy'] and abs(loss / 40 - e['log_loss']) < 1e-6 and abs(brier / 40 - e['brier']) < 1e-6
assert sorted((c['class'], c['taken_for'], c['records']) for c in e['confusions']) == sorted((*k, n) for k, n in wrong.items() if n)
assert [c['records'] for c in e['confusions']] == sorted((c['records'] for c in e['confusions']), reverse=True)
of_class = {c['class']: c['records'] for c in e['classes']}
assert all(abs(c['share'] - c['records'] / of_class[c['class']]) < 1e-12 for c in e['confusions'])
for i, b in enumerate(e['calibration']):
    assert b['records'] == len(bins[i])
    if bins[i]:
        assert abs(b['mean_probability'] - sum(p for p, _ in bins[i]) / len(bins[i])) < 1e-6
        assert abs(b['came_true'] - sum(t for _, t in bins[i]) / len(bins[i])) < 1e-12
ece = sum(abs(sum(p - t for p, t in b)) for b in bins.values()) / 40
assert abs(ece - e['ece']) < 1e-6
PY
    evaluate --split test --confusions 3 --calibration >text
    grep -q '^confusions$' text
    [ "$(sed -n '/^confusions/,/^$/p' text | wc -l)" -le 7 ]
    grep -q 'calibration error' text
}

@test "the whole file is evaluated without --split, and each split with it" {
    for split in '' train validation test; do
        evaluate ${split:+--split $split} >text
        grep -q "^metrics.*${split:-all}\$" text
        grep -q 'accuracy *0\.[0-9]' text
    done
}

@test "JSON lines hold what CSV holds" {
    score messages.csv s.csv --all-classes
    score messages.csv s.jsonl --all-classes
    score messages.csv short.jsonl
    python3 - <<'PY'
import csv, json
rows, lines = list(csv.DictReader(open('s.csv'))), [json.loads(l) for l in open('s.jsonl')]
short = [json.loads(l) for l in open('short.jsonl')]
assert len(rows) == len(lines) == len(short) == 400
for r, l, s in zip(rows, lines, short):
    assert (l['id'], l['class'], l['score']) == (r['id'], r['class'], float(r['score']))
    assert {('score of ' + k): v for k, v in l['scores'].items()} == {k: float(v) for k, v in r.items() if k.startswith('score of ')}
    assert list(s) == ['id', 'class', 'score'] and s['score'] == l['score']
PY
}

@test "empty, endless and odd messages are messages; an unknown label plays no part in scoring" {
    python3 - <<'PY'
odd = ['', '   ', '\t', '\u200b\u00ad', 'card ' * 10000, 'x' * 60000, '\U0001f600\u0301\ufffd', '[MASK] [PAD] [CLS]', "he said \"where\", 'is' it?"]
with open('odd.txt', 'w', encoding='utf-8', newline='') as f:
    f.write('\n'.join(odd))        # the last line has no end
with open('odd.csv', 'w', encoding='utf-8', newline='') as f:
    f.write('id,text,category,split\n')
    for i, t in enumerate(odd):
        f.write('%d,"%s",%s,later\n' % (i + 1, t.replace('"', '""'), 'never seen'))
with open('bare.csv', 'w', encoding='utf-8', newline='') as f:
    f.write('text,id\r\n')          # no label, no split, another order
    for i, t in enumerate(odd):
        f.write('"%s",%d\r\n' % (t.replace('"', '""'), i + 1))
PY
    score odd.txt t.csv --all-classes
    score odd.csv c.csv --all-classes
    score bare.csv b.csv --all-classes
    [ "$(wc -l <t.csv)" -eq 10 ]
    cmp t.csv c.csv
    cmp t.csv b.csv
    # What has no words is one message, whatever it is made of.
    [ "$(sed -n '2,5p' t.csv | cut -d, -f2- | sort -u | wc -l)" -eq 1 ]
    printf '\xef\xbb\xbfwhere is my card\r\nno end' >crlf.txt
    printf 'where is my card\nno end\n' >lf.txt
    score crlf.txt 1.csv
    score lf.txt 2.csv
    cmp 1.csv 2.csv
}

@test "a label never seen is refused where labels count" {
    sed '5s/,[a-z_]*,\([a-z]*\)\r*$/,canary,\1/' messages.csv >d.csv
    run ! cmp -s d.csv messages.csv
    refused 2 d.csv:5 category "not one of" -- sealgrad evaluate m --data d.csv --quiet
    score d.csv s.csv
}
@test "not UTF-8: a line of text" { printf 'a card\nmy canary \xc3\x28\n' >x.txt; refused 2 x.txt:2 UTF-8 -- sealgrad score m --data x.txt --out s.csv --quiet; }
@test "not UTF-8: a field" { printf 'id,text\n1,a card\n2,canary \xff\n' >x.csv; refused 2 x.csv:3 UTF-8 -- sealgrad score m --data x.csv --out s.csv --quiet; }
@test "not UTF-8: a byte of a character cut off" { printf 'canary \xe2\x82' >x.txt; refused 2 x.txt:1 UTF-8 -- sealgrad score m --data x.txt --out s.csv --quiet; }
@test "a NUL in a line" { printf 'a card\0canary\n' >x.txt; refused 2 x.txt:1 -- sealgrad score m --data x.txt --out s.csv --quiet; }
@test "a field beyond 64 KiB" {
    printf 'id,text\n1,%s\n' "$(head -c 70000 /dev/zero | tr '\0' x)" >x.csv
    refused 2 x.csv:2 -- sealgrad score m --data x.csv --out s.csv --quiet
}
@test "an empty file" { : >x.txt; refused 2 x.txt "no data records" -- sealgrad score m --data x.txt --out s.csv --quiet; }
@test "a header alone" { echo id,text >x.csv; refused 2 x.csv "no data records" -- sealgrad score m --data x.csv --out s.csv --quiet; }
@test "no text column" { printf 'id,body\n1,a card\n' >x.csv; refused 2 x.csv:1 -- sealgrad score m --data x.csv --out s.csv --quiet; }
@test "a second message of one id" { printf 'id,text\n1,a\n1,b\n' >x.csv; refused 2 x.csv:3 "join the messages" -- sealgrad score m --data x.csv --out s.csv --quiet; }
@test "scores over their own input" {
    refused 2 messages.csv "name another" -- sealgrad score m --data messages.csv --out messages.csv --quiet
    ln -s messages.csv again.csv
    refused 2 again.csv "name another" -- sealgrad score m --data messages.csv --out again.csv --quiet
}
@test "a split that no line has" { printf 'a\n' >x.txt; refused 2 x.txt "no splits" -- sealgrad score m --data x.txt --split test --out s.csv --quiet; }
