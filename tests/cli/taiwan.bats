# Would catch: a change that costs accuracy on a real book, or that no longer trains it from the example's schema. The UCI credit
# card default book, 30,000 customers, epsilon 3, one fixed secret: the numbers are a function of code and secret alone.
load book

setup() {
    export PATH="$SEALGRAD_PROGRAMS:$PATH"
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    book=${SEALGRAD_SHARED:-$root/../shared}/data/taiwan-default
    [ -r "$book/UCI_Credit_Card.csv" ] || skip "no Taiwan book in $book"
    cd "$BATS_TEST_TMPDIR"
    cp "$book/splits.csv" .
    ln -s "$book/UCI_Credit_Card.csv" .
    printf '%064d\n' 7 >secret
    cat >c.yaml <<YAML
data: {file: UCI_Credit_Card.csv, schema: $root/examples/credit_risk/taiwan.yaml, dataset: cards}
model: {kind: bilstm_attention, hidden: 8, attention: 8, mlp: 16}
privacy: {target_epsilon: 3, target_delta: 1e-5, max_grad_norm: 1}
training: {expected_batch_size: 2048, steps: 60, optimizer: sgd, momentum: 0.9, learning_rate: 2, schedule: linear}
YAML
}

@test "a short private run on the Taiwan book ranks its test customers: AUC >= .75" {
    sealgrad keygen --out keys --no-passphrase >/dev/null
    sealgrad ledger init l.db --origin test.example/cards --key keys/signing.key >/dev/null
    sealgrad dataset register UCI_Credit_Card.csv --schema "$root/examples/credit_risk/taiwan.yaml" --ledger l.db --key keys/signing.key \
        --name cards --population customers --population-size 24000 --epsilon-limit 6 --delta-limit 1e-5 --quiet
    sealgrad train c.yaml --ledger l.db --key keys/signing.key --out m --secret secret --quiet --json >o.json
    python3 -c 'import json; o = json.load(open("o.json")); t = o["metrics"]["test"]; print(t["auc"]); assert t["auc"] >= .75 and o["epsilon"] <= 3, t'
    sealgrad evaluate m --data UCI_Credit_Card.csv --split test --quiet --json >e.json
    python3 -c 'import json; a, b = json.load(open("o.json"))["metrics"]["test"]["auc"], json.load(open("e.json"))["auc"]; assert a == b, (a, b)'
    sealgrad ledger verify l.db --trust keys/signing.pub --allow-unwitnessed
}
