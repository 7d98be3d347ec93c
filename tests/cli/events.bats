# Would catch: a training run without its heartbeats, or with more than its interval, by steps or seconds, on one rank or two, stopped,
# killed or cut off from its ledger; a ledger that tells who was in the data; an
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

# Beats count from 1, steps only grow, one of the two intervals is said. The pairs go to stdout.
beats() {
    view heartbeats --json | python3 -c 'import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert [row["beat"] for row in rows] == list(range(1, len(rows) + 1)), rows
assert all(a["step"] < b["step"] for a, b in zip(rows, rows[1:])), rows
print(len(rows), rows[-1]["step"] if rows else 0, *sorted({(row["interval_s"], row["interval_steps"]) for row in rows}))'
}

fast_clock() {
    clock=$SEALGRAD_PROGRAMS/../../tests/cli/libfast_clock.so
    [ -e "$clock" ] || skip "the clock to preload is not built"
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
}

@test "heartbeats by seconds, to a clock that runs ahead" {
    fast_clock
    sed -i 's/  name: nightly/  name: nightly\n  heartbeat_s: 60/' train.yaml
    LD_PRELOAD=$clock train train.yaml --out m
    read -r n last intervals <<<"$(beats)"
    [ "$intervals" = "(60, None)" ] && [ "$n" -ge 3 ] && [ "$last" -lt 20 ]
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    second ledger.db --trust keys/signing.pub --allow-unwitnessed
    sed -i 's/heartbeat_s: 60/heartbeat_s: 86400/' train.yaml # and none before its time
    sed -i 's/target_epsilon: 3/target_epsilon: .5/' train.yaml
    LD_PRELOAD=$clock train train.yaml --out m2
    [ "$(beats)" = "$n $last $intervals" ]
}

@test "heartbeats of two ranks are those of one run" {
    command -v mpirun >/dev/null || skip "no mpirun here"
    [ -e "$SEALGRAD_PROGRAMS/sealgrad-mpi.so" ] || skip "built without Open MPI"
    export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
    ranks() { timeout -k 5 60 mpirun -n 2 --allow-run-as-root --oversubscribe "$@" --ledger ledger.db --key keys/signing.key --quiet; }
    sed -i 's/  name: nightly/  name: nightly\n  heartbeat_steps: 6/' train.yaml
    ranks sealgrad train train.yaml --out m
    [ "$(beats)" = "3 18 (None, 6)" ]
    fast_clock
    sed -i 's/heartbeat_steps: 6/heartbeat_s: 60/; s/target_epsilon: 3/target_epsilon: .5/' train.yaml
    ranks env LD_PRELOAD="$clock" sealgrad train train.yaml --out m2
    [ "$(view heartbeats --json | tail -n 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["interval_s"])')" = 60 ]
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    second ledger.db --trust keys/signing.pub --allow-unwitnessed
}

# A long run in the background, $job; returns when it has given $1 heartbeats.
long_run() {
    sed -i 's/  name: nightly/  name: nightly\n  heartbeat_steps: 2/; s/steps: 20/steps: 100000000/
        s/target_epsilon: 3/noise_multiplier: 1e5/' train.yaml
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --quiet >out 2>err 3>&- &
    job=$!
    for _ in $(seq 200); do
        [ "$(view heartbeats --json 2>/dev/null | wc -l)" -lt "$1" ] || return 0
        sleep .05
    done
    false
}

@test "a run that is stopped in the middle keeps its heartbeats, and ends behind the last" {
    long_run 3
    kill -TERM $job
    code=0
    wait $job || code=$?
    [ "$code" -eq 1 ]
    read -r n last _ <<<"$(beats)"
    [ "$n" -ge 3 ]
    sealgrad ledger runs ledger.db --json | python3 -c 'import json, sys
run = json.load(sys.stdin)
assert run["status"] == "aborted" and run["steps_done"] >= int(sys.argv[1]), run' "$last"
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    second ledger.db --trust keys/signing.pub --allow-unwitnessed
}

@test "a run that is killed in the middle is open, with its last heartbeat, and found without its process" {
    long_run 3
    kill -KILL $job
    wait $job || true
    read -r n last _ <<<"$(beats)"
    view open --json | python3 -c 'import json, sys
run = json.load(sys.stdin)
assert run["last_step"] == int(sys.argv[1]) and run["last_heartbeat"] and not run["found_without_process"], run' "$last"
    sed -i 's/heartbeat_steps: 2/heartbeat_steps: 7/; s/steps: 100000000/steps: 20/; s/noise_multiplier: 1e5/target_epsilon: 1/' train.yaml
    train train.yaml --out m2 # what the next writer notices it says first
    view open --json | grep -q '"found_without_process":"20'
    capture sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" -eq 4 ] || complain "an unfinished run"
    capture second ledger.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" -eq 4 ] || complain "an unfinished run, by the second verifier"
}

@test "a heartbeat that cannot be written ends the run: no training without its ledger" {
    sed -i 's/  name: nightly/  name: nightly\n  heartbeat_steps: 1/; s/steps: 20/steps: 1000/; s/target_epsilon: 3/noise_multiplier: 1e5/' train.yaml
    room=$(($(stat -c %s ledger.db) / 1024 + 60)) # KiB: a file that may not grow further
    capture bash -c "trap '' XFSZ; ulimit -f $room; sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --quiet"
    [ "$status" -eq 1 ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/stderr")" -eq 1 ] || complain "one line, status 1"
    grep -q "ledger" "$BATS_TEST_TMPDIR/stderr" || complain "that it was the ledger"
    [ ! -e m/model.safetensors ]
    read -r n last _ <<<"$(beats)"
    [ "$n" -ge 3 ] && [ "$last" -lt 100 ]
    capture sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" -eq 4 ] || complain "intact, with an unfinished run"
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
