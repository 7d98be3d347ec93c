# Would catch: `ledger witness serve` that does not say where it listens, does not end cleanly at SIGTERM, or whose cosignatures
# do not satisfy a policy; a refusal without explanation. Also asks it with stock curl.

setup() {
    T=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
    cd "$T"
    sg() { "$SEALGRAD" "$@"; }
    sg keygen --out keys --no-passphrase >/dev/null
    sg keygen --out w --name officer --no-passphrase >/dev/null
    sg ledger init l.db --origin bank.example/credit --key keys/signing.key >/dev/null
    SERVER=
}

teardown() {
    [ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null || true
    cd /
    rm -r "$T"
}

serve() {
    "$SEALGRAD" ledger witness serve --key w/officer.key --state seen --trust keys/signing.pub --listen 127.0.0.1:0 >out 2>log 3>&- &
    SERVER=$!
    for _ in $(seq 100); do
        [ "$(wc -l <out)" != 2 ] || break
        kill -0 $SERVER || skip "$(cat log)"
        sleep .1
    done
    URL=$(sed -n 's/^listening  *//p' out)
    {
        echo "log bank.example/credit+$(sg ledger verify l.db | sed -n 's/^  key  *bank.example.credit+//p')"
        sed -n 's/^for a policy //p' out
        echo quorum officer
    } >policy
}

@test "serve, ask, verify, end" {
    serve
    run sg ledger witness l.db --url "$URL" --trust policy
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "witnessed    1 events, by $URL" ]
    run sg ledger verify l.db --trust policy
    echo "$output"
    [ "$status" = 0 ]
    grep -q "200 cosigned" log
    command -v curl >/dev/null || skip "needs curl for the rest"
    sg key add --ledger l.db --root-key keys/signing.key --new w/officer.pub >/dev/null
    sg ledger witness l.db --request-to request --old-size 0
    run curl -s --noproxy '*' -w '%{http_code} %{content_type}' --data-binary @request "$URL/add-checkpoint"
    echo "$output"
    [ "${lines[0]}" = 1 ]
    [ "${lines[1]}" = "409 text/x.tlog.size" ]
    sg ledger witness l.db --request-to request --old-size 1
    curl -s --noproxy '*' --data-binary @request "$URL/add-checkpoint" >line
    (echo 2; cat line) >cosignature
    sg ledger witness l.db --add cosignature
    sg ledger verify l.db --trust policy
    kill $SERVER
    wait $SERVER
    SERVER=
    [ "$(ls seen | grep -c checkpoint)" = 1 ]
}

@test "refusals" {
    serve
    run sg ledger witness l.db --url "$URL"
    [ "$status" = 2 ]
    [[ "$output" == *"--trust POLICY"* ]]
    run sg ledger witness l.db --url "$URL" --trust keys/signing.pub
    [ "$status" = 2 ]
    run sg ledger witness l.db --url "ftp://127.0.0.1" --trust policy
    [ "$status" = 1 ]
    run sg ledger witness l.db --url "$URL" --add x
    [ "$status" = 2 ]
    sg keygen --out other --no-passphrase >/dev/null
    sg ledger init o.db --origin bank.example/other --key other/signing.key >/dev/null
    run sg ledger witness o.db --url "$URL" --trust policy
    echo "$output"
    [ "$status" = 1 ]
    [[ "$output" == *"403"*"does not know the key"* ]]
    [ "$(sqlite3 o.db 'SELECT count(*) FROM cosignature')" = 0 ]
    run sg ledger witness serve --key w/officer.key --state s --trust keys/signing.pub --listen 0.0.0.0:0
    [ "$status" = 2 ]
    [[ "$output" == *"--allow-network"* ]]
    [ ! -e s ]
}
