# Would catch: a time stamp request that a stock authority does not answer, a stored token that stock openssl does not verify,
# and tokens that are accepted although they were altered, moved, made by an authority nobody trusts, or date events before
# they claim to have happened. The authority is made here, by openssl.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test

setup() {
    command -v openssl >/dev/null && command -v sqlite3 >/dev/null || skip "needs the commands openssl and sqlite3"
    T=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
    cd "$T"
    sg() { "$SEALGRAD" "$@"; }
    sg keygen --out keys --no-passphrase >/dev/null
    sg ledger init l.db --origin bank.example/credit --key keys/signing.key >/dev/null
    authority tsa critical,timeStamping
}

teardown() {
    cd /
    [ -z "$T" ] || rm -r "$T"
}

# authority NAME USAGE: NAME.ca.pem, NAME.pem, NAME.key, all P-256
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.ca.key -out $1.ca.pem -days 30 \
        -subj "/CN=$1 root" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in $1.csr -CA $1.ca.pem -CAkey $1.ca.key -CAcreateserial -out $1.pem -days 20 \
        -extfile <(echo "extendedKeyUsage=$2") 2>/dev/null
    cat >$1.conf <<EOF
[tsa]
serial = $PWD/$1.serial
crypto_device = builtin
signer_cert = $PWD/$1.pem
signer_key = $PWD/$1.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
EOF
}

# answer NAME IN OUT
answer() {
    openssl ts -reply -config $1.conf -section tsa -queryfile $2 -out $3 2>/dev/null
}

grow() {
    sg keygen --out keys --no-passphrase --name n$1 >/dev/null
    sg key add --ledger l.db --root-key keys/signing.key --new keys/n$1.pub >/dev/null
}

verify() {
    sg ledger verify l.db --trust keys/signing.pub --allow-unwitnessed "$@"
}

# Both verifiers refuse the ledger, naming the time stamp.
refused() {
    run verify "$@"
    echo "$output"
    [ "$status" = 3 ]
    [[ "$output" == *"BROKEN     time stamp"* ]]
    run python3 "$SECOND" l.db --trust keys/signing.pub --allow-unwitnessed "$@"
    [ "$status" = 3 ]
}

@test "request, answer, token; stock openssl agrees" {
    grow 1
    sg ledger timestamp l.db --request r.tsq
    run openssl ts -query -in r.tsq -text
    [[ "$output" == *"Hash Algorithm: sha256"*"Certificate required: yes"* ]]
    answer tsa r.tsq r.tsr
    grow 2
    run sg ledger timestamp l.db --response r.tsr --tsa-ca tsa.ca.pem
    echo "$output"
    [ "$status" = 0 ]
    [[ "$output" == "time stamped 2 events existed at "* ]]
    run sg ledger timestamp l.db --response r.tsr --tsa-ca tsa.ca.pem --json
    [ "$status" = 0 ]
    [[ "$output" == *'"size":2'* || "$output" == *'"size": 2'* ]]
    [ "$(sqlite3 l.db 'SELECT count(*) FROM tsa')" = 1 ]
    run verify --tsa-ca tsa.ca.pem
    echo "$output"
    [ "$status" = 0 ]
    [[ "${lines[0]}" == *", time stamped up to event 2 at 2"*" UTC"* ]]
    run verify
    [ "$status" = 0 ]
    [[ "$output" == *"1 time stamps were read, not verified: no --tsa-ca"* ]]
    run python3 "$SECOND" l.db --trust keys/signing.pub --allow-unwitnessed --tsa-ca tsa.ca.pem
    echo "$output"
    [ "$status" = 0 ]
    sg ledger timestamp l.db --token t.tst
    sg ledger checkpoint l.db --size 2 | head -3 >text
    run openssl ts -verify -data text -in t.tst -token_in -CAfile tsa.ca.pem
    echo "$output"
    [ "$status" = 0 ]
}

@test "a P-256 ledger is stamped and witnessed alike" {
    sg keygen --out keys --name ec --algorithm p256 --no-passphrase >/dev/null
    rm l.db l.db.side.db
    sg ledger init l.db --origin bank.example/credit --key keys/ec.key >/dev/null
    sg ledger timestamp l.db --request r.tsq
    answer tsa r.tsq r.tsr
    sg ledger timestamp l.db --response r.tsr --tsa-ca tsa.ca.pem
    sg keygen --out keys --name officer --no-passphrase >/dev/null
    sg ledger witness l.db --witness-key keys/officer.key --state seen --trust keys/ec.pub --write-policy policy
    sg ledger verify l.db --trust policy --tsa-ca tsa.ca.pem
    python3 "$SECOND" l.db --trust policy --tsa-ca tsa.ca.pem
    run sg ledger witness l.db --witness-key keys/ec.key --state seen2 --trust keys/ec.pub
    [ "$status" = 2 ]
    [[ "$output" == *"a witness signs with Ed25519"* ]]
}

@test "answers that are refused" {
    sg ledger timestamp l.db --request r.tsq
    answer tsa r.tsq r.tsr
    authority other critical,timeStamping
    answer other r.tsq other.tsr
    bad() { # STATUS PATTERN ARGUMENT...
        local want=$1 pattern=$2
        shift 2
        run sg ledger timestamp l.db "$@"
        echo "$want $pattern: $status $output"
        [ "$status" = "$want" ]
        [ "${#lines[@]}" = 1 ]
        [[ "$output" == *"$pattern"* ]]
        [ "$(sqlite3 l.db 'SELECT count(*) FROM tsa')" = 0 ]
    }
    bad 2 "--tsa-ca" --response r.tsr
    bad 3 "does not verify" --response other.tsr --tsa-ca tsa.ca.pem
    bad 2 "not an authority's response" --response r.tsq --tsa-ca tsa.ca.pem
    bad 2 "no certificate" --response r.tsr --tsa-ca r.tsr
    head -c -1 r.tsr >cut.tsr
    bad 2 "not an authority's response" --response cut.tsr --tsa-ca tsa.ca.pem
    (cat r.tsr; echo) >long.tsr
    bad 2 "not an authority's response" --response long.tsr --tsa-ca tsa.ca.pem
    echo something else >text
    openssl ts -query -data text -sha256 -cert -out else.tsq 2>/dev/null
    answer tsa else.tsq else.tsr
    bad 3 "no checkpoint of this ledger" --response else.tsr --tsa-ca tsa.ca.pem
    openssl ts -query -data text -sha512 -cert -out refused.tsq 2>/dev/null
    answer tsa refused.tsq refused.tsr
    bad 2 "refused the request" --response refused.tsr --tsa-ca tsa.ca.pem
    bad 2 "say --request, --response or --token"
    bad 2 "no time stamp" --token t.tst
    [ ! -e t.tst ]
}

@test "stored tokens that were altered, moved, or come from nobody you trust" {
    sg ledger timestamp l.db --request r.tsq
    answer tsa r.tsq r.tsr
    grow 1
    sg ledger timestamp l.db --response r.tsr --tsa-ca tsa.ca.pem
    verify --tsa-ca tsa.ca.pem
    cp l.db good.db
    authority other critical,timeStamping
    refused --tsa-ca other.ca.pem
    sqlite3 l.db 'UPDATE tsa SET size = 2'
    refused --tsa-ca tsa.ca.pem
    refused
    sqlite3 l.db 'UPDATE tsa SET size = 9'
    refused
    cp good.db l.db
    sqlite3 l.db "UPDATE tsa SET token = x'3000'"
    refused
    refused --tsa-ca tsa.ca.pem
    sg ledger timestamp good.db --token t.tst
    for where in imprint time certificate signature; do # outside of what is signed, CMS has room for changes without effect
        python3 - $where <<'EOF'
import sqlite3, sys
data = bytearray(open("t.tst", "rb").read())
at = {"imprint": data.index(b"\x05\x00\x04\x20") + 9, "time": data.index(b"\x18\x0f") + 15,
      "certificate": data.index(b"\x03\x42\x00\x04") + 20, "signature": len(data) - 20}[sys.argv[1]]
data[at] ^= 1
db = sqlite3.connect("l.db")
db.execute("UPDATE tsa SET token = ?", (bytes(data),))
db.commit()
EOF
        refused --tsa-ca tsa.ca.pem
    done
}

@test "an event that claims a time after the stamp that covers it" {
    late() { LD_PRELOAD="$LATE_CLOCK" openssl "$@"; }
    late req -x509 -new -key tsa.ca.key -out tsa.ca.pem -days 30 -subj "/CN=tsa root" 2>/dev/null
    late x509 -req -in tsa.csr -CA tsa.ca.pem -CAkey tsa.ca.key -CAcreateserial -out tsa.pem -days 20 \
        -extfile <(echo extendedKeyUsage=critical,timeStamping) 2>/dev/null
    sg ledger timestamp l.db --request r.tsq
    late ts -reply -config tsa.conf -section tsa -queryfile r.tsq -out r.tsr 2>/dev/null
    sg ledger timestamp l.db --response r.tsr --tsa-ca tsa.ca.pem
    run verify --tsa-ca tsa.ca.pem
    echo "$output"
    [ "$status" = 4 ]
    [[ "${lines[0]}" == "INCOMPLETE"*"1 event claims a time after the time stamp that covers it"* ]]
    [[ "$output" == *"INCOMPLETE leaf 0: it claims a time 3"* ]]
    run python3 "$SECOND" l.db --trust keys/signing.pub --allow-unwitnessed --tsa-ca tsa.ca.pem
    echo "$output"
    [ "$status" = 4 ]
}

@test "a run's evidence and its page hold the stamp" {
    mkdir f
    "$MAKE_FIXTURE" f
    sg ledger export f/ledger.db 2 --out without >/dev/null
    [ -z "$(ls without | grep -E 'stamp')" ]
    run ! grep -q "authority" without/README.txt
    for size in 7 20; do # the run began with event 7 and ended with event 8, counted from 1
        sg ledger timestamp f/ledger.db --request r.tsq --size $size >/dev/null
        answer tsa r.tsq r.tsr
        sg ledger timestamp f/ledger.db --response r.tsr --tsa-ca tsa.ca.pem >/dev/null
    done
    sg ledger export f/ledger.db 2 --out bundle >/dev/null
    (cd bundle && sha256sum --quiet -c SHA256SUMS)
    [ "$(ls bundle | grep -c '^timestamp-')" = 2 ]
    grep -q '^  leaf 6  *by 20.*leaf-000006.stamped.proof, timestamp-7.tst$' bundle/README.txt
    grep -q '^  leaf 7  *by 20.*leaf-000007.stamped.proof, timestamp-20.tst$' bundle/README.txt
    n=0
    while read -r _ leaf _ _ proof token; do # with the commands of the README
        proof=${proof%,}
        sg ledger verify "bundle/$proof" --trust f/policy --allow-unwitnessed | grep -q "^PROVEN"
        sed '1,/^$/d' "bundle/$proof" | head -3 >text
        openssl ts -verify -data text -in "bundle/$token" -token_in -CAfile tsa.ca.pem >/dev/null 2>&1
        sg ledger verify "bundle/$proof" --trust f/policy --allow-unwitnessed --json | grep -q "\"leaf\":$leaf,"
        n=$((n + 1))
    done < <(grep 'stamped.proof, ' bundle/README.txt)
    [ "$n" = "$(ls bundle | grep -c 'stamped.proof$')" ] && [ "$n" -ge 4 ]
    sg ledger report f/ledger.db 2 --trust f/policy --out page.html >/dev/null
    grep -q "over the checkpoint of 20 events, which covers this run up to leaf 7" page.html
}
