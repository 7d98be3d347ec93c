# Would catch: a bank's own pretraining that learns nothing, is not said to be without privacy, cannot be the base of a private
# model or is taken as one without being asserted public; a private model whose statement does not name where it started;
# masked words trained with privacy, whose gradient is not clipped in full.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    export PYTHONDONTWRITEBYTECODE=1
    start_journey
    local messages="$BATS_TEST_DIRNAME/../../examples/bank_messages"
    python3 "$BATS_TEST_DIRNAME/small_encoder.py" base
    rm base/model.safetensors # an architecture and a vocabulary: everything is learnt here
    python3 "$messages/make_messages.py" 2500 7 public.csv
    python3 "$messages/make_messages.py" 400 1 messages.csv
    python3 "$messages/schema.py" >schema.yaml
    cat >pretrain.yaml <<'YAML'
data: {file: public.csv, schema: schema.yaml, dataset: public-text}
model: {kind: encoder, base: base, base_is_public: true, objective: masked_tokens}
privacy: none
training: {expected_batch_size: 64, steps: 400, optimizer: adam, learning_rate: 0.004, warmup_steps: 20, schedule: linear, validation_points: 4}
YAML
    cat >train.yaml <<'YAML'
data: {file: messages.csv, schema: schema.yaml, dataset: messages}
model: {kind: encoder, base: adapted, base_is_public: true}
privacy: {target_epsilon: 4, target_delta: 1e-5, max_grad_norm: 1}
training: {sample_rate: 0.3, steps: 20, optimizer: adam, learning_rate: 0.01}
YAML
    sealgrad keygen --out keys --no-passphrase >/dev/null
    sealgrad ledger init ledger.db --origin test.example/messages --key keys/signing.key >/dev/null
    register public-text public.csv 2200 --public
    register messages messages.csv 320 --epsilon-limit 9 --delta-limit 1e-4
    train pretrain.yaml --out adapted >pretrain.out
    rm pretrain.out
}

setup() { copy_journey; }

register() { # name, file, population size, limits
    sealgrad dataset register "$2" --schema schema.yaml --ledger ledger.db --key keys/signing.key --name "$1" --population "$1-people" \
        --population-size "$3" --quiet "${@:4}" >/dev/null
}

@test "the loss on held-out text falls, and falls on the way" {
    sed 's/steps: 400/steps: 1/; s/learning_rate: 0.004/learning_rate: 1e-9/; s/, validation_points: 4//; s/, warmup_steps: 20//' pretrain.yaml >c.yaml
    sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out start --quiet --json >start.json
    sealgrad ledger show ledger.db 1 --json >run.json
    python3 - start.json run.json <<'PY'
import json, sys
start, run = (json.load(open(p)) for p in sys.argv[1:])
end = {(m['split'], m['name']): m['value'] for m in run['metrics']}
for split in ('validation', 'test'):
    before, after = start['metrics'][split], {n: v for (s, n), v in end.items() if s == split}
    print(split, before, after)
    assert before['log_loss'] > 5 and before['accuracy'] < .1  # of 256 words: log 256 is 5.5
    assert after['log_loss'] < 3.2 and after['accuracy'] > .3
PY
}

@test "the record says loudly that there was no privacy" {
    run -0 sealgrad train pretrain.yaml --ledger ledger.db --key keys/signing.key --out again --quiet
    [[ "$output" == *"privacy                none: no claim is made for anyone in the data"* ]]
    grep -q '"private": false' adapted/statement.json
    grep -q 'trained without privacy: no claim is made for anyone in its data' adapted/statement.json
    sealgrad ledger query ledger.db --view violations >text
    grep -q '^run-000001-.* public-text  *no ' text
    sealgrad ledger query ledger.db --view overrides >text
    grep -q 'trained without privacy' text
    grep -q 'data registered as public' text
    grep -q 'base model asserted public' text
    verify >/dev/null
}

@test "the folder is the base of a private model, which says so; its spend is its own" {
    train train.yaml --out m --json >run.json
    [ "$(of run.json 'o["privacy"], o["steps"]')" = "(True, 20)" ]
    digest=$(sha256sum adapted/model.safetensors | cut -c1-16)
    grep -q "started from a base (weights of SHA-256 $digest...) of which it was asserted that it learnt from public data only" m/statement.json
    sealgrad ledger query ledger.db --view trace "$(sha256sum m/model.safetensors | cut -d' ' -f1)" >text
    [ "$(sealgrad budget messages-people --ledger ledger.db --json | grep -o '"runs":[0-9]*')" = '"runs":1' ]
    verify >/dev/null
    sealgrad evaluate m --data messages.csv --split test --quiet >/dev/null
    # And that one is the base of another, on the same account.
    config 's/base: adapted, base_is_public: true/base: m/'
    train c.yaml --out again >/dev/null
    grep -q "started from a private model of the same population (weights of SHA-256 $(sha256sum m/model.safetensors | cut -c1-16)...)" again/statement.json
    [ "$(sealgrad budget messages-people --ledger ledger.db --json | grep -o '"runs":[0-9]*')" = '"runs":2' ]
}

@test "without the assertion it is no base of a private model" {
    config 's/, base_is_public: true//'
    refused 5 c.yaml base_is_public -- sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out m --quiet
}

@test "what was learnt helps: a private model of the adapted encoder, against the one it began as" {
    python3 "$BATS_TEST_DIRNAME/../../examples/bank_messages/make_messages.py" 2000 3 messages.csv
    printf '%064d\n' 42 >secret
    loss() { # base
        sed "s/base: adapted/base: $1/" c.yaml >"$1.yaml"
        sealgrad train "$1.yaml" --no-ledger --secret secret --out "$1.m" --quiet --json >"$1.json"
        of "$1.json" 'o["metrics"]["test"]["log_loss"]'
    }
    config 's/, dataset: messages//; s/target_epsilon: 4/target_epsilon: 8/
        s/sample_rate: 0.3/expected_batch_size: 200, population_size: 1700/; s/steps: 20/steps: 40/; s/: 0.01/: 0.005/'
    learnt=$(loss adapted)
    random=$(loss base)
    echo "adapted $learnt, random $random" # about 1.2 and 2.2
    awk -v a="$learnt" -v b="$random" 'BEGIN { exit !(a < b - .5) }'
}

@test "masked words and privacy" {
    sed 's/^privacy: none/privacy: {target_epsilon: 4, target_delta: 1e-5, max_grad_norm: 1}/' pretrain.yaml >c.yaml
    refused 2 c.yaml "privacy: none" -- sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out m --quiet
}
@test "pretraining on people with a limit" {
    sed 's/public.csv/messages.csv/; s/public-text/messages/' pretrain.yaml >c.yaml
    refused 5 messages limit -- sealgrad train c.yaml --ledger ledger.db --key keys/signing.key --out m --quiet
}
@test "a model of masked words has no scores" {
    printf 'a card\n' >x.txt
    refused 2 adapted "as model: base" -- sealgrad score adapted --data x.txt --out s.csv --quiet
    refused 2 adapted "as model: base" -- sealgrad evaluate adapted --data messages.csv --quiet
}
@test "labels that nobody needs" { # pretraining asks for none
    sed 's/,[a-z_]*,\([a-z]*\)\r*$/,never seen,\1/; 1s/.*/id,text,category,split/' public.csv >d.csv
    sed 's/public.csv/d.csv/; s/, dataset: public-text//; s/steps: 400/steps: 2/; s/training: {/&population_size: 2200, /' pretrain.yaml >c.yaml
    sealgrad train c.yaml --no-ledger --out m --quiet >/dev/null
}
