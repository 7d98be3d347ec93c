# Would catch: a bad argument that ends in a crash, several lines, exit status 0 or half a folder.
setup_file() {
    export BOX=$(mktemp -d)
    "$MAKE_FIXTURE" "$BOX"
    cd "$BOX"
    "$SEALGRAD" keygen --out keys --no-passphrase >/dev/null
    "$SEALGRAD" ledger init "$BOX/new.db" --origin bank.example/new --key keys/signing.key >/dev/null
    mkdir full && echo kept >full/kept && echo kept >file && mkdir locked && chmod 500 locked
}

teardown_file() {
    chmod 700 "$BOX/locked"
    rm -rf "$BOX"
}

setup() {
    cd "$BOX"
}

sg() {
    "$SEALGRAD" "$@"
}

# bad STATUS PATTERN ARGUMENTS...: one line on stderr that matches, nothing on stdout, nothing left in the folder.
bad() {
    local want=$1 pattern=$2 status=0 before after T=$BATS_TEST_TMPDIR/bad
    shift 2
    before=$(find . | sort)
    "$SEALGRAD" "$@" >"$T.out" 2>"$T.err" </dev/null || status=$?
    after=$(find . | sort)
    if [ "$status" != "$want" ] || [ -s "$T.out" ] || [ "$(wc -l <"$T.err")" != 1 ] || ! grep -q -- "$pattern" "$T.err" ||
        [ "$before" != "$after" ]; then
        echo "sealgrad $*: status $status, wanted $want and \"$pattern\""
        cat "$T.out" "$T.err"
        diff <(echo "$before") <(echo "$after")
        return 1
    fi
}

@test "bad input: export" {
    bad 2 "expected FILE" ledger export --format csv --out o
    bad 2 "out" ledger export ledger.db --format csv
    bad 2 "give --format" ledger export ledger.db --out o
    bad 2 "named twice" ledger export ledger.db 1 --out o --run 1
    bad 2 "no run" ledger export ledger.db 99 --out o
    bad 2 "either --format" ledger export ledger.db --out o --format csv --evidence
    bad 2 "must be csv, json" ledger export ledger.db --out o --format xml
    bad 2 "must not be empty" ledger export ledger.db --out o --format ""
    bad 2 "name it with --run" ledger export ledger.db --out o --evidence
    bad 2 "name it with --run" ledger export ledger.db --out o --format evidence
    bad 2 "no run" ledger export ledger.db --out o --evidence --run 99
    bad 2 "must not be empty" ledger export ledger.db --out o --format csv --run ""
    bad 2 "no run" ledger export ledger.db --out o --format mlflow --run "1 OR 1"
    bad 2 "whole ledger" ledger export ledger.db --out o --format tiles --run 1
    bad 2 "whole ledger" ledger export ledger.db --out o --format datasette --run 1
    bad 2 "no file to state" ledger export ledger.db --out o --format slsa --run 6
    bad 2 "no file to state" ledger export new.db --out o --format slsa
    bad 2 "not empty" ledger export ledger.db --out full --format csv
    bad 2 "not empty" ledger export ledger.db --out full/ --format csv
    bad 2 "not a folder" ledger export ledger.db --out file --format csv
    bad 2 "cannot make" ledger export ledger.db --out file/inside --format csv
    bad 2 "cannot make" ledger export ledger.db --out nowhere/o --format csv
    bad 2 "must not be empty" ledger export ledger.db --out "" --format csv
    bad 2 "cannot open" ledger export nowhere.db --out o --format csv
    bad 2 "not a file" ledger export full --out o --format csv
    bad 3 "too short" ledger export file --out o --format csv
    bad 2 "trust file" ledger export ledger.db --out o --format csv --trust nowhere
    bad 3 "broken ledger" ledger export ledger.db --out o --format csv --trust keys/signing.pub
    bad 2 "unknown option" ledger export ledger.db --out o --formt csv
    if [ "$(id -u)" != 0 ]; then bad 2 "cannot make" ledger export ledger.db --out locked/o --format csv; fi
}

@test "bad input: packs" {
    bad 2 "name the model" ledger report ledger.db annex-iv
    bad 2 "name the model" ledger report ledger.db mrm
    bad 2 "no model or run" ledger report ledger.db annex-iv 99
    bad 2 "no model or run" ledger report ledger.db dora nobody
    bad 2 "exclude each other" ledger report ledger.db dora --json --html
    bad 2 "unexpected argument" ledger report ledger.db dora 1 2
    bad 2 "no run, model, dataset or population" ledger report ledger.db annex-v
    bad 3 "broken ledger" ledger report ledger.db dora --trust keys/signing.pub
    bad 1 "cannot write" ledger report ledger.db dora --out nowhere/pack
}

@test "what it says when it worked" {
    run sg ledger export ledger.db --format tiles --out tiles
    [ "$status" = 0 ] && [ "$output" = "exported     tiles, 3 files in tiles" ]
    run sg ledger export ledger.db --format datasette --out meta --json
    [ "$status" = 0 ] && [ "$output" = '{"format":"datasette","out":"meta","files":1}' ]
    mkdir empty
    run sg ledger export new.db --format csv --out empty
    [ "$status" = 0 ] && [ "$output" = "exported     csv, 10 files in empty" ]
    run sg ledger export new.db --format openlineage --out nothing
    [ "$status" = 0 ] && [ ! -s nothing/events.jsonl ]
    run sg ledger export --help
    [ "$status" = 0 ] && [[ "$output" == *"openlineage"*"evidence"* ]]
}

@test "a bundle checks itself as its README says" {
    sg ledger export ledger.db 2 --out bundle --trust policy
    sg ledger export ledger.db --evidence --run 2 --out again
    diff -r bundle again
    cd bundle
    sha256sum --quiet -c SHA256SUMS
    command=$(grep '^  for p in' README.txt)
    command=${command//KEY_YOU_WERE_GIVEN.pub/..\/policy}
    sealgrad() { "$SEALGRAD" "$@"; }
    run eval "$command"
    [ "$status" = 0 ]
    [[ "$output" != *"NOT PROVEN"* ]]
    [ "$(grep -c '^PROVEN' <<<"$output")" = 6 ]
    sed -i 's/^index 6$/index 7/' leaf-000006-run.start.proof
    run eval "$command"
    [[ "$output" == *"NOT PROVEN: leaf-000006-run.start.proof"* ]]
}
