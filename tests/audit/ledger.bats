# Would catch: a command of the ledger whose words, output or exit status change, bad input that is accepted, answered with
# another status than 2 (or 3 for broken evidence), explained in more than one line, or leaves something behind.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test

setup() {
    T=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
    cd "$T"
    sg() { "$SEALGRAD" "$@"; }
    sg keygen --out keys --no-passphrase >/dev/null
    sg ledger init l.db --origin bank.example/credit --key keys/signing.key >/dev/null
}

teardown() {
    cd /
    rm -r "$T"
}

# bad STATUS PATTERN ARGUMENT...: one line on stderr that holds PATTERN, nothing on stdout, no new file.
bad() {
    local want=$1 pattern=$2 before after status=0
    shift 2
    before=$(find . -type f | sort | xargs sha256sum)
    "$SEALGRAD" "$@" >"$T.out" 2>"$T.err" </dev/null || status=$?
    after=$(find . -type f | sort | xargs sha256sum)
    if [ "$status" != "$want" ] || [ -s "$T.out" ] || [ "$(wc -l <"$T.err")" != 1 ] || ! grep -q -- "$pattern" "$T.err" ||
        [ "$before" != "$after" ]; then
        echo "sealgrad $*: status $status, wanted $want and \"$pattern\""
        cat "$T.out" "$T.err"
        diff <(echo "$before") <(echo "$after")
        rm -f "$T.out" "$T.err"
        return 1
    fi
    rm -f "$T.out" "$T.err"
}

@test "an answer without rows: words for people, the columns' names in CSV, no line of JSON" {
    for view in events runs open heartbeats clock overrides violations trials populations programmes drawn datasets metrics params \
        approvals deployed erasures retention due keys witnesses gaps "trace" "lineage" "compare"; do
        subject=()
        case $view in trace | lineage) subject=(x) ;; compare) subject=(1,2) ;; events) subject=(run.start) ;; keys) subject=(2020-01-01) ;; esac
        [ "$(sg ledger query l.db "${subject[@]}" --view $view)" = "nothing found" ]
        [ -z "$(sg ledger query l.db "${subject[@]}" --view $view --json)" ]
        [[ "$(sg ledger query l.db "${subject[@]}" --view $view --format html)" == *"<p>nothing found" ]]
        header=$(sg ledger query l.db "${subject[@]}" --view $view --format csv)
        [[ "$header" == *leaf* && "$header" != *_ms* && "$header" != *$'\n'* ]] || { echo "$view: $header"; false; }
    done
    [[ "$(sg ledger runs l.db --format csv)" == run_no,run_id,status,* ]]
    sg ledger checkpoint l.db --out kept
    [ "$(sg ledger diff l.db --since kept --format csv)" = "leaf,ts,type,event_id,bytes" ]
    [[ "$(sg ledger retention l.db --format csv)" == kind,name,retention_class,retain_until,erased,leaf ]]
}

@test "verify refuses what it would have to pass over" {
    sg ledger prove l.db leaf:0 --out proof
    sg ledger checkpoint l.db --out kept
    for words in "--since kept" "--needs 2" --four-eyes --quick --all-signatures "--newest 5"; do
        bad 2 "shows one event" ledger verify proof --trust keys/signing.pub $words
    done
    for words in "--needs 2" --four-eyes; do
        bad 2 "reads no decision" ledger verify l.db --quick $words
    done
}

@test "a new ledger: trust, witness, proof" {
    run sg ledger verify l.db
    [ "$status" = 4 ]
    [[ "${lines[0]}" == "INCOMPLETE: 1 event, signed by a key that this ledger itself names (bank.example/credit); no witness: an older copy cannot be ruled out" ]]
    run sg ledger verify l.db --trust keys/signing.pub
    [ "$status" = 4 ]
    run sg ledger verify l.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" = 0 ]
    [[ "${lines[0]}" == "INTACT AS FAR AS IT GOES: 1 event, signed by the trusted key of bank.example/credit; no witness: an older copy cannot be ruled out" ]]
    sg keygen --out w --name officer --no-passphrase >/dev/null
    run sg ledger witness l.db --witness-key w/officer.key --state w/seen --trust keys/signing.pub --write-policy policy
    [ "$status" = 0 ]
    [ "$output" = "witnessed    bank.example/credit, 1 events, by officer" ]
    run sg ledger verify l.db --trust policy
    [ "$status" = 0 ]
    [[ "${lines[0]}" == "INTACT: 1 event, signed by the trusted key of bank.example/credit, witnessed up to event 1 at "* ]]
    sg ledger prove l.db leaf:0 --out event.proof
    run sg ledger verify event.proof --trust policy
    [ "$status" = 0 ]
    [[ "${lines[0]}" == "PROVEN: this event is in the ledger of the key you trust, and a witness has seen it" ]]
    run sg ledger verify event.proof --trust policy --json
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 1 ]
    sg ledger checkpoint l.db --out kept
    run sg ledger diff l.db --since kept
    [ "$status" = 0 ] && [ "$output" = "nothing found" ]
    sg ledger backup l.db --out copy.db
    run sg ledger verify copy.db --trust policy --since kept
    [ "$status" = 0 ]
    run sg ledger compact l.db --trust policy
    [ "$status" = 0 ]
    [[ "${lines[0]}" == "compacted    "*" bytes, before "*"; every row is as it was" ]]
    [[ "${lines[1]}" == "INTACT: 1 event, "* ]]
    run sg ledger verify l.db --trust policy --since kept
    [ "$status" = 0 ]
}

@test "witness over an air gap" {
    sg keygen --out w --name officer --no-passphrase >/dev/null
    sg ledger witness l.db --request-to request
    sg ledger witness request --sign-to line --witness-key w/officer.key --state w/seen --trust keys/signing.pub
    sg ledger witness l.db --add line
    run sg ledger query l.db --view witnesses --json
    [ "$status" = 0 ] && [[ "$output" == '{"size":1,"witness":"officer",'* ]]
}

@test "formats of lists" {
    run sg ledger query l.db --view events --format csv
    [ "$status" = 0 ] && [ "${lines[0]}" = "leaf,ts,type,event_id,bytes" ]
    run sg ledger query l.db --view events --json
    [ "$status" = 0 ] && [[ "$output" == '{"leaf":0,"ts":"'*'Z","type":"ledger.genesis","event_id":"'* ]]
    run sg ledger query l.db --view events --format html
    [ "$status" = 0 ] && [[ "$output" == "<!doctype html>"* ]]
    run sg ledger report l.db --html --trust keys/signing.pub
    [ "$status" = 0 ] && [[ "$output" == "<!doctype html>"*"INTACT AS FAR AS IT GOES: 1 event"* ]]
    bad 2 "no run, model, dataset or population" ledger report l.db 7
    run sg ledger runs l.db
    [ "$status" = 0 ] && [ "$output" = "nothing found" ]
    run sg ledger runs l.db --json
    [ "$status" = 0 ] && [ "$output" = "" ]
}

@test "sealed keys" {
    echo "correct horse" >pass
    echo "wrong horse" >wrong
    : >empty
    sg keygen --out keys --name sealed --unlock-file pass >/dev/null
    [ "$(stat -c %a keys/sealed.key)" = 600 ]
    run ! grep -q horse keys/*
    bad 2 "sealed by a passphrase" ledger init m.db --origin x --key keys/sealed.key
    bad 2 "wrong passphrase" ledger init m.db --origin x --key keys/sealed.key --unlock-file wrong
    bad 2 "first line must hold" ledger init m.db --origin x --key keys/sealed.key --unlock-file empty
    bad 2 "cannot" ledger init m.db --origin x --key keys/sealed.key --unlock-file nowhere
    sg ledger init m.db --origin x --key keys/sealed.key --unlock-file pass >/dev/null
}

@test "key epochs" {
    sg keygen --out k --name daily --no-passphrase >/dev/null
    sg keygen --out k --name next --no-passphrase >/dev/null
    bad 2 "add, rotate or revoke" key adt --ledger l.db --root-key keys/signing.key
    bad 2 "takes --new PUB" key add --ledger l.db --root-key keys/signing.key
    bad 2 "takes --new PUB and --old PUB" key rotate --ledger l.db --root-key keys/signing.key --new k/next.pub
    bad 2 "not in force" key revoke --ledger l.db --root-key keys/signing.key --old k/daily.pub
    bad 2 "cannot be revoked" key revoke --ledger l.db --root-key keys/signing.key --old keys/signing.pub
    bad 2 "may not write" key add --ledger l.db --root-key k/daily.key --new k/next.pub
    run sg key add --ledger l.db --root-key keys/signing.key --new k/daily.pub
    [ "$status" = 0 ] && [ "$output" = "added        daily: it may write from now on" ]
    bad 2 "only the key that the ledger was made with" key add --ledger l.db --root-key k/daily.key --new k/next.pub
    sg key rotate --ledger l.db --root-key keys/signing.key --new k/next.pub --old k/daily.pub
    run sg ledger query l.db --view keys --format csv
    [ "${#lines[@]}" = 4 ]
    run sg ledger verify l.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" = 0 ]
}

@test "nothing of paths, environment and arguments reaches the file" {
    mkdir CANARYPATH && cp keys/signing.key CANARYPATH/CANARYKEY.key
    cd CANARYPATH
    CANARYENV=CANARYVALUE sg ledger init CANARYFILE.db --origin x --key ../CANARYPATH/CANARYKEY.key >/dev/null
    CANARYENV=CANARYVALUE sg keygen --out CANARYOUT --name second --no-passphrase >/dev/null
    CANARYENV=CANARYVALUE sg key add --ledger CANARYFILE.db --root-key CANARYKEY.key --new CANARYOUT/second.pub >/dev/null
    sg ledger query CANARYFILE.db --view events --json | grep -q key.add
    sqlite3 CANARYFILE.db "SELECT CAST(body AS TEXT) FROM leaf" | python3 -c '
import base64, json, sys
for line in sys.stdin: print(base64.b64decode(json.loads(line)["payload"]).decode())' >statements
    [ "$(grep -c origin statements)" = 2 ]
    run ! grep -a -i -q canary statements CANARYFILE.db CANARYFILE.db.side.db
}

@test "bad input: keys" {
    bad 2 "unlock-file FILE" keygen --out k2
    bad 2 "exclude each other" keygen --out k2 --no-passphrase --unlock-file x
    bad 2 "exists already" keygen --out keys --no-passphrase
    bad 2 "key name" keygen --out keys --no-passphrase --name "a b"
    bad 2 "key name" keygen --out keys --no-passphrase --name ../x
    bad 2 "key name" keygen --out keys --no-passphrase --name a+b
    bad 2 "required" keygen --no-passphrase
    echo hello >nokey && chmod 600 nokey
    bad 2 "not a sealgrad signing key" ledger init m.db --origin x --key nokey
    : >nokey
    bad 2 "not a sealgrad signing key" ledger init m.db --origin x --key nokey
    head -c 100000 /dev/urandom >nokey
    bad 2 "nokey" ledger init m.db --origin x --key nokey
    cp keys/signing.key open.key && chmod 644 open.key
    bad 2 "chmod 600" ledger init m.db --origin x --key open.key
    head -n 4 keys/signing.key >cut.key && chmod 600 cut.key
    bad 2 "damaged" ledger init m.db --origin x --key cut.key
    sed 's/^secret ..../secret AAAA/' keys/signing.key >other.key && chmod 600 other.key
    bad 2 "do not belong together" ledger init m.db --origin x --key other.key
    sed 's/^kdf none/kdf argon2id 99999 99999999999 AAAAAAAAAAAAAAAAAAAAAA==/' keys/signing.key >greedy.key && chmod 600 greedy.key
    bad 2 "damaged" ledger init m.db --origin x --key greedy.key
    bad 2 "signing key" ledger init m.db --origin x --key keys
    bad 2 "signing key" ledger init m.db --origin x --key nowhere
}

@test "bad input: ledgers" {
    bad 2 "exists already" ledger init l.db --origin x --key keys/signing.key
    bad 2 "without blanks" ledger init m.db --origin "a b" --key keys/signing.key
    bad 2 "without blanks" ledger init m.db --origin "a+b" --key keys/signing.key
    bad 2 "required" ledger init m.db --key keys/signing.key
    bad 2 "cannot make" ledger init nowhere/m.db --origin x --key keys/signing.key
    bad 2 "cannot open" ledger verify nowhere
    bad 2 "not a file" ledger verify keys
    bad 2 "expected FILE" ledger verify
    bad 2 "unexpected argument" ledger verify l.db l.db
    bad 2 "unknown option" ledger verify l.db --trusst x
    bad 2 "no verb" ledger verifi l.db
    bad 2 "trust file" ledger verify l.db --trust nowhere
    echo "hello" >notrust
    bad 2 "notrust" ledger verify l.db --trust notrust
    printf 'log x\nlog y\n' >notrust
    bad 2 "notrust:1" ledger verify l.db --trust notrust
    bad 2 "not a checkpoint" ledger verify l.db --since keys/signing.pub
    bad 2 "no run" ledger show l.db 7
    bad 2 "no leaf 7" ledger show l.db leaf:7
    bad 2 "leaf:N" ledger show l.db leaf:x
    bad 2 "no view" ledger query l.db --view nothing
    bad 2 "name the subject" ledger query l.db --view trace
    bad 2 "takes no subject" ledger query l.db x --view datasets
    bad 2 "a date is" ledger query l.db x --view keys
    bad 2 "subject belongs to" ledger query l.db x
    bad 2 "format" ledger query l.db --view keys --format xml
    bad 2 "YYYY-MM-DD" ledger runs l.db --since yesterday
    bad 2 "YYYY-MM-DD" ledger runs l.db --until 2024-13-01
    bad 2 "limit" ledger runs l.db --limit 0
    bad 2 "no leaf 9" ledger prove l.db leaf:9
    bad 2 "no checkpoint" ledger checkpoint l.db --size 9
    bad 2 "cannot make the backup" ledger backup l.db --out keys
    bad 2 "no model" ledger approve l.db 1 --key keys/signing.key
    bad 2 "give --key" ledger deploy l.db 1
    bad 2 "YYYY-MM-DD" ledger retire l.db 1 --key keys/signing.key --expires soon
    bad 2 "not registered" ledger erase l.db book --key keys/signing.key --basis x
    bad 2 "no population" budget nobody --ledger l.db
    bad 2 "required" budget nobody
    bad 2 "give --witness-key" ledger witness l.db
    bad 2 "three separate steps" ledger witness l.db --add x --sign-to y
    bad 2 "not a witness request" ledger witness keys/signing.pub --sign-to x --witness-key keys/signing.key --state s --trust keys/signing.pub
    bad 3 "witness has seen 5" ledger witness l.db --request-to r --old-size 5
    echo "hello, this is text and no database at all; it is long enough to have a header of a hundred bytes, and then some" >text.db
    bad 3 "not an SQLite database" ledger runs text.db
    bad 3 "not an SQLite database" ledger show text.db 1
    : >empty.db
    bad 3 "too short" ledger runs empty.db
    printf 'c2sp.org/tlog-proof@v1\nextra x\n' >broken.proof
    bad 3 "proof" ledger verify broken.proof
}

@test "a damaged ledger: verdict on stdout, status 3" {
    printf 'X' | dd of=l.db bs=1 seek=5000 conv=notrunc status=none
    dd if=/dev/zero of=l.db bs=1 seek=4096 count=200 conv=notrunc status=none
    run sg ledger verify l.db --trust keys/signing.pub --allow-unwitnessed
    [ "$status" = 3 ]
    [[ "${lines[0]}" == "BROKEN: "* ]]
    run sg ledger verify l.db --json
    [ "$status" = 3 ]
    [ "${#lines[@]}" = 1 ]
    [[ "$output" == '{"verdict":"broken",'* ]]
}
