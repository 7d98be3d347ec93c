# Would catch: a journey with messages that does not hold together (register, train privately, verify, score, evaluate), a model
# of text that depends on workers or on the run, a folder that does not load again, weights that change though they are frozen,
# training that learns nothing, and bad input that is taken silently or explained without place or remedy.
#
# The encoder is a small one with random weights, the messages are synthetic. Every test runs in its own copy of a folder with
# base/ messages.csv schema.yaml train.yaml keys/ ledger.db (limit 12, no run).
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    export SMALL_ENCODER="$BATS_TEST_DIRNAME/small_encoder.py"
    export MESSAGES="$BATS_TEST_DIRNAME/../../examples/bank_messages"
    export PYTHONDONTWRITEBYTECODE=1
    start_journey
    python3 "$SMALL_ENCODER" base
    python3 "$MESSAGES/make_messages.py" 400 1 messages.csv
    python3 "$MESSAGES/schema.py" >schema.yaml
    write_messages_config train.yaml
    printf '%064d\n' 42 >secret
    sealgrad keygen --out keys --no-passphrase >/dev/null
    sealgrad ledger init ledger.db --origin test.example/messages --key keys/signing.key >/dev/null
    sealgrad dataset register messages.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name messages \
        --population messages --population-size 320 --epsilon-limit 12 --delta-limit 1e-4 --quiet >/dev/null
}

setup() { copy_journey; }

write_messages_config() { # file
    cat >"$1" <<'YAML'
data:
  file: messages.csv
  schema: schema.yaml
  dataset: messages
model:
  kind: encoder
  base: base
  base_is_public: true
  pooling: cls
  trainable: all
  dropout: 0.1
privacy:
  target_epsilon: 3
  target_delta: 1e-5
  max_grad_norm: 1
  n_panels: 5
training:
  sample_rate: 0.2
  population_size: 320
  steps: 3
  optimizer: adam
  learning_rate: 0.01
YAML
}

# train.yaml with another line for `trainable`, as c.yaml.
trains() { config "s/trainable: all/trainable: $1/"; }
lora='lora\n  lora: {rank: 2, alpha: 4, targets: [query, output]}'
plain() { # configuration, folder, further arguments
    sealgrad train "$1" --no-ledger --out "$2" --secret secret --quiet "${@:3}" >/dev/null
}
not_private() { sed -i '/^privacy:/,/n_panels/d;$aprivacy: none' "$1"; }
# A copy of the base, edited, and c.yaml that starts from it.
other_base() {
    cp -r base other
    config 's/base: base/base: other/'
}
# Would the noise be the same, the models would be: what is changed here makes no other token and no other row of these messages.
@test "the same secret under another schema or tokenizer draws other noise" {
    plain train.yaml m
    echo '# the same in other words' >>schema.yaml
    plain train.yaml m.schema
    run ! cmp -s m/model.safetensors m.schema/model.safetensors
    sed -i '$d' schema.yaml
    other_base
    echo '{"do_lower_case": true, "tokenize_chinese_chars": false}' >other/tokenizer_config.json
    config 's/base: base/base: other/'
    plain c.yaml m.tokenizer
    run ! cmp -s m/model.safetensors m.tokenizer/model.safetensors
    plain train.yaml m.again
    cmp m/model.safetensors m.again/model.safetensors
}

# The tensors of two model files that differ, by name without prefix; tensors that only one has are left out.
changed() { # file, file
    python3 - "$1" "$2" <<'PY'
import json, struct, sys
def read(path):
    data = open(path, 'rb').read()
    n, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + n])
    return {name.removeprefix('bert.'): data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]
            for name, t in header.items() if name != '__metadata__'}
a, b = read(sys.argv[1]), read(sys.argv[2])
print(' '.join(sorted(name for name in a if name in b and a[name] != b[name])))
PY
}
accuracy() { sealgrad evaluate "$1" --data messages.csv --split test --quiet --json | grep -o '"accuracy":[0-9.]*' | cut -d: -f2; }

@test "the whole journey" {
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --secret secret --out m --quiet --json >run.json
    grep -q '"status":"complete"' run.json
    [ "$(ls m | tr '\n' ' ')" = "config.json model.safetensors run.proof schema.yaml statement.json tokenizer_config.json vocab.txt " ]
    cmp m/vocab.txt base/vocab.txt
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed >/dev/null
    sealgrad budget messages --ledger ledger.db --json | grep -q '"epsilon_spent":2\.[89]\|"epsilon_spent":3[,.]'
    # No word of a message, no path.
    run ! grep -a -q -i 'identity check\|petrol station' ledger.db

    sealgrad score m --data messages.csv --out scores.csv --quiet >/dev/null
    [ "$(wc -l <scores.csv) $(head -n 1 scores.csv)" = "401 id,class,score" ]
    sealgrad evaluate m --data messages.csv --split test --by-class --quiet >classes
    [ "$(grep -cE '^(card_|pin_|cash_|exchange_|transfer_|refund_|top_|change_|close_|verify_)' classes)" -eq 12 ]
    sealgrad evaluate m --data messages.csv --split test --by-class --quiet --json >classes.json
    python3 -c 'import json; o = json.load(open("classes.json")); assert sum(c["records"] for c in o["classes"]) == 40; \
        assert abs(sum(c["recall"] * c["records"] for c in o["classes"] if c["records"]) - 40 * o["accuracy"]) < 1e-6'

    # The private model as the base of a second run of the same people: on their account, so allowed.
    config 's/base: base/base: m/;s/base_is_public: true/base_is_public: false/'
    sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out again --quiet >/dev/null
    [ "$(sealgrad budget messages --ledger ledger.db --json | grep -o '"runs":[0-9]*')" = '"runs":2' ]
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed >/dev/null
}

@test "lines of text score as the same messages in a CSV, and the longest and the emptiest are messages" {
    plain train.yaml m
    long=$(printf 'card %.0s' {1..10000})
    printf '%s\n' 'where is my card' '' 'I typed the wrong PIN, help' "$long" >x.txt
    printf '%s\n' id,text,category,split 'a,where is my card,pin_blocked,test' 'b,,pin_blocked,test' \
        'c,"I typed the wrong PIN, help",pin_blocked,test' "d,$long,pin_blocked,test" >x.csv
    sealgrad score m --data x.txt --out t.csv --quiet >/dev/null
    sealgrad score m --data x.csv --out c.csv --quiet >/dev/null
    [ "$(tail -n +2 t.csv | cut -d, -f1 | tr '\n' ' ')" = "1 2 3 4 " ]
    diff <(tail -n +2 t.csv | cut -d, -f2-) <(tail -n +2 c.csv | cut -d, -f2-)
    sealgrad score m --data x.txt --out t5.csv --workers 5 --quiet >/dev/null
    cmp t.csv t5.csv
    # What is beyond max_tokens changes nothing.
    { head -n 3 x.txt; echo "$long and more"; } >y.txt
    sealgrad score m --data y.txt --out u.csv --quiet >/dev/null
    cmp t.csv u.csv
}

@test "training takes empty and very long messages" {
    awk -F, -v OFS=, -v long="$(printf 'card %.0s' {1..10000})" '
        NR % 7 == 3 { print $1, "", "pin_blocked", $NF; next }
        NR % 50 == 5 { print $1, long, "close_account", $NF; next }
        { print }' messages.csv >edited.csv
    config 's/messages.csv/edited.csv/'
    plain c.yaml m
    [ -s m/model.safetensors ]
}

same_bytes() { # what is trained
    trains "$1"
    plain c.yaml one --workers 1
    for workers in 2 5; do
        plain c.yaml m$workers --workers $workers
        diff -r one m$workers
    done
    plain c.yaml twice --workers 1
    diff -r one twice
}

@test "all weights: the same bytes for 1, 2 and 5 workers, twice" {
    config 's/cls/mean/;s/pooling/unit_length: true\n  pooling/'
    mv c.yaml train.yaml
    for workers in 1 2 5; do plain train.yaml m$workers --workers $workers; done
    plain train.yaml twice --workers 1
    for m in m2 m5 twice; do diff -r m1 $m; done
}

@test "the head: the same bytes for 1, 2 and 5 workers, twice; nothing else learns" {
    same_bytes head
    [ "$(changed base/model.safetensors one/model.safetensors)" = "" ]
}

@test "biases: the same bytes for 1, 2 and 5 workers, twice; nothing else learns" {
    same_bytes bias
    [ -n "$(changed base/model.safetensors one/model.safetensors)" ]
    for name in $(changed base/model.safetensors one/model.safetensors); do [[ "$name" == *.bias ]]; done
}

@test "LoRA: the same bytes for 1, 2 and 5 workers, twice; nothing but its targets learns" {
    same_bytes "$lora"
    [ "$(ls one/adapter | tr '\n' ' ')" = "adapter_config.json adapter_model.safetensors " ]
    expected=
    for layer in 0 1; do
        expected+="encoder.layer.$layer.attention.self.query.weight encoder.layer.$layer.output.dense.weight "
    done
    [ "$(changed base/model.safetensors one/model.safetensors) " = "$expected" ]
}

@test "LoRA while everything learns: no adapter, for it would not be the model" {
    config 's/dropout: 0.1/&\n  lora: {rank: 2}/'
    plain c.yaml m
    [ ! -e m/adapter ]
    [ -s m/model.safetensors ]
}

@test "another secret gives another model" {
    plain train.yaml one
    printf '%064d\n' 43 >secret
    plain train.yaml two
    [ -n "$(changed one/model.safetensors two/model.safetensors)" ]
}

@test "training learns: all weights, LoRA, and a model of ours as a base that knows already" {
    config 's/steps: 3/steps: 60/;s/dropout: 0.1/dropout: 0/'
    not_private c.yaml
    plain c.yaml m
    awk -v a="$(accuracy m)" 'BEGIN { exit !(a > .8) }'
    # The head comes with the folder: one step of almost no length keeps what it knows.
    sed 's/base: base/base: m/;s/steps: 60/steps: 1/;s/learning_rate: .*/learning_rate: 1e-9/' c.yaml >d.yaml
    plain d.yaml again
    [ "$(accuracy again)" = "$(accuracy m)" ]
    sed "s/trainable: all/trainable: $lora/;s/learning_rate: .*/learning_rate: 0.03/;s/steps: 60/steps: 120/" c.yaml >d.yaml
    plain d.yaml l
    awk -v a="$(accuracy l)" 'BEGIN { exit !(a > .4) }'
}

@test "the head starts from the names of the classes" {
    config 's/pooling: cls/&\n  head_start: class_names\n  head_scale: 3/;s/steps: 3/steps: 1/;s/learning_rate: .*/learning_rate: 1e-9/'
    plain c.yaml m
    printf 'close account\nexchange rate\npin blocked\n' >x.txt
    sealgrad score m --data x.txt --out s.csv --quiet >/dev/null
    [ "$(cut -d, -f2 s.csv | tr '\n' ' ')" = "class close_account exchange_rate pin_blocked " ]
}

@test "bench times the step of a configuration: what learns, a batch of its size, messages as long as its schema lets them be" {
    config 's/sample_rate: 0.2/expected_batch_size: 64/'
    weights() { sealgrad bench c.yaml --steps 1 "$@" --json | grep -oE '"(weights|units)":[0-9]*' | tr '\n' ' '; }
    all=$(weights)
    [[ "$all" == '"units":64 "weights":'* ]]
    trains head
    # Twelve classes of 32 weights and a bias; 9 units asked for.
    [ "$(weights --units 9)" = '"units":9 "weights":396 ' ]
    trains "$lora"
    [ "$(sealgrad bench c.yaml --steps 1 --units 5 --json | grep -o '"weights":[0-9]*')" != "${all#* }" ]
    config 's/base: base/base: none/'
    refused 2 none/config.json -- sealgrad bench c.yaml
    config 's/pooling: cls/&\n  objective: masked_tokens/'
    not_private c.yaml
    refused 2 c.yaml "masked tokens" -- sealgrad bench c.yaml
}

# ---- what is refused
lora_of() { trains "lora\n  lora: {$1}"; } # bats takes no brace inside a test of one line
refused_here() { # place, words
    refused 2 "$@" -- sealgrad train c.yaml --no-ledger --out m --quiet
}
@test "base: missing" { config 's/base: base/base: none/'; refused_here none/config.json "cannot open"; }
@test "base: no key for it" { config '/ base: /d'; refused_here c.yaml:6:3 "an encoder needs base"; }
@test "base: no vocabulary" { other_base; rm other/vocab.txt; refused_here other/vocab.txt "cannot open the vocabulary"; }
@test "base: more words than config.json says" { other_base; echo more >>other/vocab.txt; refused_here c.yaml "has 257 tokens" "says 256"; }
@test "base: another width" {
    other_base
    sed -i 's/"hidden_size": 32/"hidden_size": 16/' other/config.json
    refused_here other/model.safetensors embeddings.word_embeddings.weight "config.json"
}
@test "base: another architecture" { other_base; sed -i 's/"bert"/"roberta"/' other/config.json; refused_here other/config.json '"bert"'; }
@test "base: weights cut short" { other_base; truncate -s 50000 other/model.safetensors; refused_here other/model.safetensors; }
@test "base: a weight that is not finite" {
    other_base
    printf '\x00\x00\xc0\x7f' | dd of=other/model.safetensors bs=1 seek=$(($(stat -c %s other/model.safetensors) - 4)) conv=notrunc status=none
    refused_here other/model.safetensors pooler.dense.bias "not finite"
}
@test "base: not public and not of this ledger" {
    config 's/base_is_public: true/base_is_public: false/'
    refused 5 c.yaml base_is_public -- sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out m --quiet
}
@test "schema: max_tokens beyond the positions" { sed -i 's/128/129/' schema.yaml; cp train.yaml c.yaml; refused_here c.yaml 129 128 "lower max_tokens"; }
@test "schema: a text for a BiLSTM" { config 's/kind: .*/kind: bilstm_attention/;/pooling/d;/base/d'; refused_here c.yaml "use kind: encoder"; }
@test "schema: a text for a tabular transformer" { config 's/kind: .*/kind: tabular_transformer/;/pooling/d;/base/d'; refused_here c.yaml "use kind: encoder"; }
@test "schema: no text for an encoder" {
    write_book book.csv
    write_schema schema.yaml
    config 's/messages.csv/book.csv/'
    refused_here c.yaml "text column"
}
@test "data: a label that is not listed" {
    sed -i '5s/,[a-z_]*,\([a-z]*\r*\)$/,canary,\1/' messages.csv
    cp train.yaml c.yaml
    refused_here messages.csv:5 category "not one of"
}
@test "data: not UTF-8" { LC_ALL=C sed -i 's/^7,/7,canary\xff/' messages.csv; cp train.yaml c.yaml; refused_here messages.csv:9 UTF-8; }
@test "lines of text: not UTF-8" {
    plain train.yaml m
    printf 'a card\nmy canary \xc3\x28\n' >x.txt
    refused 2 x.txt:2 UTF-8 -- sealgrad score m --data x.txt --out s.csv --quiet
}
@test "model: names of classes without classes" {
    sed -i 's/categories: .*]/positive: [pin_blocked], negative: [close_account]/' schema.yaml
    config 's/pooling: cls/head_start: class_names/'
    refused_here c.yaml head_start categories
}
@test "model: pooling" { config 's/cls/max/'; refused_here c.yaml:9:12 "cls or mean"; }
@test "model: a key of another kind" { config 's/pooling: cls/hidden: 4/'; refused_here c.yaml:9:3 hidden pooling; }
@test "model: a word for trainable" { trains heads; refused_here c.yaml:10:14 '"head"' '"lora"'; }
@test "model: a pattern that names nothing" { trains '[lstm.*]'; refused_here c.yaml 'lstm.*' embeddings.word_embeddings.weight; }
@test "model: trainable lora without lora" { trains lora; refused_here c.yaml lora; }
@test "lora: not a map" { trains 'lora\n  lora: 3'; refused_here c.yaml:11:9 "must be a map"; }
@test "lora: no rank" { lora_of 'alpha: 3'; refused_here c.yaml:11:9 rank; }
@test "lora: rank 0" { lora_of 'rank: 0'; refused_here c.yaml:11:16 "from 1"; }
@test "lora: rank above the width" { lora_of 'rank: 33'; refused_here c.yaml lora_rank 32; }
@test "lora: an unknown target" { lora_of 'rank: 2, targets: [querry]'; refused_here c.yaml:11:29 attention_output; }
@test "lora: targets that are no list" { lora_of 'rank: 2, targets: query'; refused_here c.yaml:11:28 attention_output; }
@test "lora: an unknown key" { lora_of 'rank: 2, ranks: 2'; refused_here c.yaml:11:19 ranks; }
@test "--by-class: a model without classes" {
    sed -i 's/categories: \["card_arrival", \(.*]\)/positive: [card_arrival], negative: [\1/' schema.yaml
    plain train.yaml m
    refused 2 --by-class classes -- sealgrad evaluate m --data messages.csv --by-class --quiet
}
