# Would catch: a kill that loses or doubles the spend, breaks the ledger, hides the unfinished run, or leaves half a model; a run
# that is told to stop and does not record it.
load book

setup() {
    export PATH="$SEALGRAD_PROGRAMS:$PATH"
    cd "$BATS_TEST_TMPDIR"
    mkdir journey
    cd journey
    make_journey
}

# SEALGRAD_LONG=1: 200 moments; else 25. SEALGRAD_SEED repeats a run.
@test "killed at random moments: verify never says broken, the unfinished run is named, its reservation stands" {
    moments=25
    [ -z "${SEALGRAD_LONG:-}" ] || moments=200
    run python3 "$BATS_TEST_DIRNAME/kill_run.py" "$moments" ${SEALGRAD_SEED:+"$SEALGRAD_SEED"}
    echo "$output"
    [ -z "${SEALGRAD_LONG:-}" ] || echo "# $output" >&3
    [ "$status" -eq 0 ]
}

stopped_by() { # signal
    sed -i 's/steps: 20/steps: 100000000/;s/target_epsilon: 3/noise_multiplier: 1e5/' train.yaml
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --quiet --workers 2 >out 2>err 3>&- &
    job=$!
    for _ in $(seq 200); do
        sealgrad ledger runs ledger.db --json 2>/dev/null | grep -q running && break
        sleep .05
    done
    sleep .3
    kill -"$1" $job
    code=0
    wait $job || code=$?
    [ "$code" -eq 1 ] || { echo "status $code"; cat err; false; }
    [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ]
    grep -q '^sealgrad: interrupted in step [0-9]*; the run keeps its whole reservation$' err || { cat err; false; }
    sealgrad ledger runs ledger.db --json | grep -q '"status":"aborted","reason":"interrupted"'
    sealgrad budget customers --ledger ledger.db --json | grep -q '"runs":1,"open_runs":0'
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed
    [ ! -e m/model.safetensors ]
}

@test "SIGTERM ends the run with run.abort, interrupted" { stopped_by TERM; }
@test "SIGINT ends the run with run.abort, interrupted" { stopped_by INT; }
