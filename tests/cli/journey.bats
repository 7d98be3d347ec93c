# Would catch: a journey that does not hold together (keys, ledger, data, training, verification, scoring), spends twice, reads
# data before the spend is written, spends on a dry run, prints more than its JSON object, writes a secret, a path or a value of
# a record where the auditor will read it, or answers with another exit status than the contract says.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    start_journey
    make_journey
}

setup() { copy_journey; }

# Exactly one JSON object on one line of stdout, exit status 0, and (with --quiet or nothing long to do) a silent stderr.
one_object() { # command...
    capture "$@"
    [ "$status" -eq 0 ] || complain "status 0 of $*"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/stdout")" -eq 1 ] || complain "one line on stdout of $*"
    [ ! -s "$BATS_TEST_TMPDIR/stderr" ] || complain "nothing on stderr of $*"
    python3 -c 'import json, sys; assert type(json.loads(sys.stdin.read())) is dict' <"$BATS_TEST_TMPDIR/stdout" || complain "JSON of $*"
}
# A value of the object that one_object left, by a Python expression over o.
value() { of "$BATS_TEST_TMPDIR/stdout" "$1"; }

@test "the whole journey" {
    one_object train train.yaml --out m --json
    [ "$(value "o['status'], o['privacy'], o['steps'], o['model'], o['ledger']['size'], o['delta']")" = "('complete', True, 20, 'm', 4, 1e-05)" ]
    [ "$(value "2.99 < o['epsilon'] <= 3 and o['plan']['epsilon'] == o['epsilon']")" = True ]
    [ "$(value "o['metrics']['test']['auc'] > .9 and o['metrics']['validation']['auc'] > .9")" = True ]
    [ "$(value "sorted(o['metrics'])")" = "['test', 'validation']" ]
    [ "$(value "o['model_sha256']")" = "$(sha256sum <m/model.safetensors | cut -d' ' -f1)" ]
    [ "$(ls m | tr '\n' ' ')" = "config.json model.safetensors run.proof schema.yaml statement.json " ]
    run_id=$(value "o['run_id']") root=$(value "o['ledger']['root']")

    one_object verify --json
    [ "$(value "o['verdict'], o['trusted'], o['size'], o['runs'], o['open_runs'], o['n_problems']")" = "('ok', True, 4, 1, 0, 0)" ]
    [ "$(value "o['root']")" = "$root" ]
    one_object sealgrad ledger runs ledger.db --json
    [ "$(value "o['run_id'], o['status'], o['dataset'], o['steps_done']")" = "('$run_id', 'complete', 'book', 20)" ]
    one_object sealgrad ledger show ledger.db "$run_id" --json
    [ "$(value "o['start']['predicate']['facts']['secret_supplied']")" = False ]
    one_object sealgrad budget customers --ledger ledger.db --json
    [ "$(value "o['runs'], o['open_runs'], 0 < o['epsilon_spent'] <= 3, o['epsilon_limit'], o['more_runs_like_last']")" = "(1, 0, True, 4.0, 0)" ]
    one_object sealgrad score m --data book.csv --out scores.csv --quiet --json
    [ "$(value "o['scored'], o['out']")" = "(600, 'scores.csv')" ]
    [ "$(wc -l <scores.csv) $(head -n 1 scores.csv)" = "601 id,score" ]
    one_object sealgrad evaluate m --data book.csv --split test --quiet --json
    [ "$(value "o['auc'] > .9")" = True ]
    one_object sealgrad bench train.yaml --steps 1 --json
    [ "$(value "o['private']['median_ms'] > 0")" = True ]
    one_object sealgrad bench W3 --units 3 --steps 1 --workers 2 --json
    [ "$(value "o['weights'], 0 < o['private']['g1'] <= .3 < o['plain']['g1'], o['private_over_plain_cpu'] > 0")" = "(103373, True, True)" ]
    one_object sealgrad keygen --out k2 --no-passphrase --json
    one_object sealgrad ledger init l2.db --origin o --key k2/signing.key --json
    one_object sealgrad dataset register book.csv --schema schema.yaml --ledger l2.db --key k2/signing.key --name b \
        --population-size 500 --public --quiet --json
}

@test "in words, results come on stdout and talk on stderr" {
    capture sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m
    [ "$status" -eq 0 ] || complain "status 0"
    grep -q '^plan$' "$BATS_TEST_TMPDIR/stdout"
    grep -q 'epsilon 3.0000, delta 1e-05 (contour, add_or_remove_one)' "$BATS_TEST_TMPDIR/stdout" || complain "the privacy"
    grep -q '^run  *run-000001-[0-9a-f]*, ledger of 4 events$' "$BATS_TEST_TMPDIR/stdout" || complain "the run"
    grep -qE '^training 100%  20/20 ' "$BATS_TEST_TMPDIR/stderr" || complain "the progress of training"
    [ "$(grep -cvE '^(reading|training) ' "$BATS_TEST_TMPDIR/stderr")" -eq 0 ] || complain "nothing but progress"
    capture verify
    [ "$status" -eq 0 ]
    head -n 1 "$BATS_TEST_TMPDIR/stdout" | grep -q '^INTACT' || complain "the verdict first"
}

@test "a second run that does not fit is refused with 5 and reads and writes nothing" {
    train train.yaml --out m --json >/dev/null
    mv book.csv elsewhere.csv
    refused 5 customers "does not fit" -- train train.yaml --out m2
    [ "$(sealgrad ledger runs ledger.db --json | wc -l)" -eq 1 ]
    verify
}

@test "a second run that fits is composed with the first" {
    sed 's/epsilon: 3/epsilon: 1/' train.yaml >c.yaml
    train c.yaml --out m1 --json >one.json
    one_object sealgrad budget customers --ledger ledger.db --json
    first=$(value "o['epsilon_spent']")
    train c.yaml --out m2 --json >/dev/null
    one_object sealgrad budget customers --ledger ledger.db --json
    [ "$(value "o['runs'] == 2 and $first < o['epsilon_spent'] <= 4")" = True ]
    run ! cmp -s m1/model.safetensors m2/model.safetensors
    verify
}

@test "a dry run spends nothing and opens neither data nor key" {
    rm book.csv ledger.db.side.db
    before=$(contents)
    capture sealgrad train train.yaml --ledger ledger.db --key keys/none.key --dry-run
    [ "$status" -eq 0 ] || complain "status 0"
    grep -q 'epsilon 3.0000, delta 1e-05' "$BATS_TEST_TMPDIR/stdout" || complain "the plan's epsilon"
    grep -q 'shrink' "$BATS_TEST_TMPDIR/stdout" || complain "the shrink of C"
    grep -q 'memory .* MiB' "$BATS_TEST_TMPDIR/stdout" || complain "the memory"
    grep -q 'nothing was spent' "$BATS_TEST_TMPDIR/stdout" || complain "that nothing was spent"
    [ "$before" = "$(contents)" ] || complain "nothing written"
    echo '  population_size: 500' >>train.yaml # without a ledger it must stand in the configuration
    one_object sealgrad train train.yaml --dry-run --json
    [ "$(value "2.99 < o['epsilon'] <= 3 and o['memory_bytes'] > 0")" = True ]
}

@test "the spend is durable before the data is opened" {
    rm book.csv
    mkfifo book.csv # whoever opens it waits; the ledger must hold the start by then
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --quiet >o 2>e 3>&- &
    job=$!
    for _ in $(seq 100); do
        sealgrad ledger runs ledger.db --json >runs.json 2>/dev/null || true
        [ -s runs.json ] && break
        sleep .1
    done
    grep -q '"status":"running"' runs.json || { cat runs.json e; false; }
    capture verify
    [ "$status" -eq 4 ] || complain "status 4"
    grep -q "^INCOMPLETE.*$(python3 -c 'import json; print(json.load(open("runs.json"))["run_id"])')" "$BATS_TEST_TMPDIR/stdout" ||
        complain "the name of the unfinished run"
    one_object sealgrad budget customers --ledger ledger.db --json
    [ "$(value "o['open_runs'] == 1 and o['epsilon_spent'] > 2.5")" = True ]
    kill -9 $job 2>/dev/null || true
    wait $job || true
}

@test "data that is gone at training leaves a failed run and the reservation" {
    rm book.csv
    failed_run 2 data_unreadable book.csv: "cannot open" -- train train.yaml --out m
    mkdir again && refused 5 customers "does not fit" -- train train.yaml --out m2
}

@test "a run without privacy on public data says so everywhere" {
    sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name open \
        --population-size 500 --public --quiet >/dev/null
    sed '/^privacy/,/max_grad/d;s/dataset: book/dataset: open/;$aprivacy: none' train.yaml >c.yaml
    one_object train c.yaml --out m --json
    [ "$(value "o['privacy'], o['epsilon'], o['delta']")" = "(False, None, None)" ]
    grep -q '"private": false' m/statement.json
    one_object sealgrad ledger runs ledger.db --violates --json
    [ "$(value "o['private'], o['epsilon']")" = "(False, None)" ]
    verify
}

@test "training without a ledger is said in the model folder" {
    sed '$a\  population_size: 500' train.yaml >c.yaml
    one_object sealgrad train c.yaml --no-ledger --out m --quiet --json
    [ "$(value "o['run_id'], o['ledger']")" = "(None, None)" ]
    grep -qi 'no ledger\|without a ledger' m/statement.json
}

@test "a supplied secret is recorded and voids the claim for its holder" {
    train train.yaml --out m --secret secret --json >/dev/null
    one_object sealgrad ledger show ledger.db 1 --json
    [ "$(value "o['start']['predicate']['facts']['secret_supplied']")" = True ]
    grep -qi 'secret' m/statement.json
}

@test "the ledger holds no secret, path, argument, environment or value of a record" {
    mkdir -p canary-folder
    cp book.csv canary-folder/canary-data.csv
    cp schema.yaml canary-folder/canary-schema.yaml
    mv secret canary-folder/canary-secret
    sed 's|file: book.csv|file: canary-folder/canary-data.csv|;s|schema: schema.yaml|schema: canary-folder/canary-schema.yaml|' \
        train.yaml >canary.yaml
    CANARY_VARIABLE=canary-environment train canary.yaml --out canary-folder/canary-model --secret canary-folder/canary-secret --json >o
    [ -s canary-folder/canary-model/model.safetensors ]
    run ! grep -qai canary ledger.db
    run ! grep -qai canary -r canary-folder/canary-model
    run ! grep -qa 'u00017' ledger.db   # an id
    key=$(grep ^secret keys/signing.key | cut -d' ' -f2)
    [ ${#key} -gt 40 ]
    run ! grep -qa -- "$key" ledger.db ledger.db.side.db
    secret=$(printf '%064d' 42)
    run ! grep -qa "$secret" ledger.db ledger.db.side.db o
    # Neither as raw bytes, nor what anybody could recompute from guessed data: the plain digest of the file.
    python3 - "$key" "$secret" "$(sha256sum <book.csv | cut -d' ' -f1)" <<'PY'
import base64, sqlite3, sys
raw = open('ledger.db', 'rb').read()
text = raw + b''.join(base64.b64decode(p, validate=False) for p in __import__('re').findall(rb'[A-Za-z0-9+/]{64,}={0,2}', raw)
                      if len(p) % 4 == 0)
key, secret, plain = base64.b64decode(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3]
for what in (key, secret, bytes.fromhex(plain), plain.encode(), b'canary', b'u00017,'):
    assert what not in text, 'the ledger holds what it must not'
PY
}

@test "a ledger that another program holds for a moment is waited for" {
    sqlite3 ledger.db 'BEGIN EXCLUSIVE' '.shell touch held; sleep 1' 'COMMIT' >holder 2>&1 3>&- &
    for _ in $(seq 100); do
        [ -e held ] && break
        sleep .05
    done
    [ -e held ]
    train train.yaml --out m --json >/dev/null
    wait
    verify
}

@test "the model's folder is a function of weights, schema and plan: same secret, same bytes" {
    sed '$a\  population_size: 500' train.yaml >c.yaml
    for m in m1 m2; do
        sealgrad train c.yaml --no-ledger --out $m --secret secret --quiet --json >/dev/null
    done
    diff -r m1 m2
}

@test "start: help in a blink, every command has help" {
    for command in keygen ledger "ledger init" "ledger verify" "ledger runs" "ledger show" "ledger query" budget train score evaluate \
        "dataset" "schema" bench; do
        # shellcheck disable=SC2086
        run sealgrad $command --help
        [ "$status" -eq 0 ] || { echo "$command: $status $output"; false; }
        [[ "$output" == *"usage: "* ]] || { echo "$command: $output"; false; }
    done
}
