# Would catch: a training run without its heartbeats, or with more than its interval; a ledger that tells who was in the data; an
# item that is due for erasure and not listed, or erased and still due; a question of an officer that no view answers, or that
# is answered with an empty cell where nothing was recorded.
load book

root=$BATS_TEST_DIRNAME/../..
second() { python3 "$root/tools/verify_ledger.py" "$@"; }

setup_file() {
    start_journey
    make_journey
}

setup() { copy_journey; }

view() { sealgrad ledger query ledger.db --view "$@"; }

@test "heartbeats at the steps that the configuration says, and as its schema says" {
    sed -i 's/  name: nightly/  name: nightly\n  heartbeat_steps: 6/' train.yaml
    train train.yaml --out m
    [ "$(view heartbeats --json | python3 -c 'import json, sys
print([(o["beat"], o["step"], o["interval_steps"], o["interval_s"]) for o in map(json.loads, sys.stdin)])')" = \
        "[(1, 6, 6, None), (2, 12, 6, None), (3, 18, 6, None)]" ]
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    second ledger.db --trust keys/signing.pub --allow-unwitnessed
    fixture=$SEALGRAD_PROGRAMS/../../tests/audit/make_fixture # in a build folder
    [ ! -x "$fixture" ] || python3 "$root/tests/audit/schemas.py" "$SEALGRAD_PROGRAMS/sealgrad" "$fixture" "$root/docs/schemas" \
        "$root/audit/derive.c" "$PWD/ledger.db"
}

@test "bad input: heartbeats and retention" {
    for line in "heartbeat_s: 5" "heartbeat_steps: 0" "retain_until: soon" "retain_until: 2026-13-01" 'retention: ""'; do
        write_config bad.yaml
        sed -i "s/  name: nightly/  name: nightly\n  $line/" bad.yaml
        capture train bad.yaml --out m
        [ "$status" -eq 2 ] || complain "status 2 of $line"
    done
    [ "$(view events --json | wc -l)" = 2 ]
}

@test "retention: listed, due, erased, and every proof still verifies" {
    sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name old --population customers \
        --population-size 500 --epsilon-limit 4 --delta-limit 1e-4 --retention "7 years" --retain-until 2031-05-06 --quiet >/dev/null
    sed -i 's/  name: nightly/  name: nightly\n  retention: models\n  retain_until: 2030-01-02/; s/dataset: book/dataset: old/' train.yaml
    train train.yaml --out m
    sealgrad ledger prove ledger.db leaf:2 --out dataset.proof
    sealgrad ledger prove ledger.db 1 --out run.proof
    sealgrad ledger retention ledger.db | grep -q "not recorded" # of the first dataset nothing was said
    due() { sealgrad ledger retention ledger.db --due --json "$@" | python3 -c 'import json, sys
print([(o["kind"], o["name"][:4], o["retention_class"], o["retain_until"][:10]) for o in map(json.loads, sys.stdin)])'; }
    [ "$(due --at 2030-01-01)" = "[]" ]
    [ "$(due --at 2030-01-02)" = "[('run', 'run-', 'models', '2030-01-02')]" ]
    [ "$(due --at 2031-05-06)" = "[('run', 'run-', 'models', '2030-01-02'), ('dataset', 'old', '7 years', '2031-05-06')]" ]
    capture sealgrad ledger erase ledger.db 1 --key keys/signing.key --basis x --file book.csv
    [ "$status" -eq 2 ] && [ -e book.csv ] || complain "a file that no run made is left alone"
    cp m/model.safetensors copy
    sealgrad ledger erase ledger.db 1 --key keys/signing.key --basis "period over" --file m/model.safetensors
    [ ! -e m/model.safetensors ]
    capture sealgrad ledger erase ledger.db 1 --key keys/signing.key --basis again --file copy
    [ "$status" -eq 2 ] && [ -e copy ] || complain "it is erased once"
    [ "$(due --at 2031-05-06)" = "[('dataset', 'old', '7 years', '2031-05-06')]" ]
    sealgrad ledger erase ledger.db old --key keys/signing.key --basis "period over"
    [ "$(due --at 2031-05-06)" = "[]" ]
    [ "$(view erasures --json | wc -l)" = 2 ]
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    second ledger.db --trust keys/signing.pub --allow-unwitnessed
    for proof in dataset.proof run.proof m/run.proof; do
        sealgrad ledger verify $proof --trust keys/signing.pub --allow-unwitnessed
    done
}

@test "every question has an answer in every format, filtered" {
    train train.yaml --out m
    sealgrad ledger approve ledger.db 1 --key keys/signing.key --role validation --reason report
    sealgrad ledger deploy ledger.db 1 --key keys/signing.key
    model=$(sha256sum <m/model.safetensors | cut -d' ' -f1)
    sealgrad ledger checkpoint ledger.db --size 2 --out kept
    questions=("ledger runs ledger.db" "ledger diff ledger.db --since kept" "ledger query ledger.db --view open"
        "ledger query ledger.db $model --view trace" "ledger query ledger.db book --view lineage"
        "ledger query ledger.db --view violations" "ledger query ledger.db customers --view trials" "ledger reproduce ledger.db 1"
        "ledger query ledger.db --view approvals" "ledger query ledger.db --view overrides" "ledger query ledger.db 1,1 --view compare"
        "ledger query ledger.db 1 --view metrics" "ledger query ledger.db 2040-01-01 --view keys" "ledger query ledger.db --view clock"
        "ledger query ledger.db 0 --view gaps" "ledger query ledger.db --view erasures" "ledger retention ledger.db"
        "ledger query ledger.db --view deployed" "ledger query ledger.db --view heartbeats")
    for question in "${questions[@]}"; do
        for format in table csv json html; do
            capture sealgrad $question --format $format
            [ "$status" -eq 0 ] || complain "an answer to $question as $format"
        done
    done
    view approvals | grep -q "not recorded" # no person signed
    [ "$(view approvals --json | head -n 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["signed_by"])')" = None ]
    [ "$(view approvals --json --limit 1 | wc -l)" = 1 ]
    [ "$(view approvals --json --model "$model" --actor "$(id -un)" --since 2020-01-01 --until 2090-01-01 | wc -l)" = 2 ]
    [ "$(view approvals --json --actor nobody-else | wc -l)" = 0 ]
    [ "$(view approvals --json --until 2020-01-01 | wc -l)" = 0 ]
    [ "$(view trials --json --dataset book | wc -l)" = 1 ]
    [ "$(view keys --json | wc -l)" = 1 ]
    [ "$(sealgrad ledger query ledger.db 2020-01-01 --view keys --json | wc -l)" = 0 ]
    for words in "--view keys --dataset book" "--view approvals --violates"; do
        capture sealgrad ledger query ledger.db $words
        [ "$status" -eq 2 ] || complain "a filter that does not apply is refused: $words"
    done
    sealgrad ledger reproduce ledger.db 1 --json | grep -q '"field": *"code_digest".*"match": *true'
}

@test "the ledger does not tell who was in the data, and holds no canary" {
    python3 "$root/tests/cli/membership.py" "$SEALGRAD_PROGRAMS/sealgrad" "$PWD"
}
