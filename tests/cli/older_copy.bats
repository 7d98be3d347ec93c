# Would catch: a command that writes to an older copy of the ledger, or to another history put in its place, although this
# machine has seen more of it; and one that writes anything before it has looked.
load book

setup_file() {
    start_journey
    make_journey
    config -e 's/epsilon: 3/epsilon: 1/'
    train c.yaml --out model
    sealgrad keygen --out keys --name next --no-passphrase >/dev/null
    sealgrad keygen --out keys --name other --no-passphrase >/dev/null
    sealgrad key add --ledger ledger.db --root-key keys/signing.key --new keys/other.pub >/dev/null
    sealgrad keygen --out officer --name officer --no-passphrase >/dev/null
    sealgrad ledger witness ledger.db --request-to request >/dev/null
    sealgrad ledger witness request --sign-to line --witness-key officer/officer.key --state officer/seen --trust keys/signing.pub >/dev/null
    cp ledger.db older.db
    approve ledger.db
    cp ledger.db newer.db
    cp older.db ledger.db
}

setup() { copy_journey; }

approve() { sealgrad ledger approve "$1" 1 --key keys/signing.key --role validator --reason tests >/dev/null; }

# With $place as what is said.
every_writer() {
    local say=$1 key="--key keys/signing.key" root="--ledger ledger.db --root-key keys/signing.key"
    refused 3 ledger.db "$say" -- sealgrad ledger approve ledger.db 1 $key --role validator
    refused 3 ledger.db "$say" -- sealgrad ledger deploy ledger.db 1 $key --role validator
    refused 3 ledger.db "$say" -- sealgrad ledger retire ledger.db 1 $key --role validator
    refused 3 ledger.db "$say" -- sealgrad ledger erase ledger.db book $key --basis retention
    refused 3 ledger.db "$say" -- sealgrad key add $root --new keys/next.pub
    refused 3 ledger.db "$say" -- sealgrad key rotate $root --new keys/next.pub --old keys/other.pub
    refused 3 ledger.db "$say" -- sealgrad key revoke $root --old keys/other.pub
    refused 3 ledger.db "$say" -- sealgrad ledger witness ledger.db --add line
    refused 3 ledger.db "$say" -- sealgrad ledger witness ledger.db --witness-key officer/officer.key --state officer/seen --trust keys/signing.pub
    refused 3 ledger.db "$say" -- sealgrad ledger compact ledger.db
    refused 3 ledger.db "$say" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db $key --name again \
        --population customers --population-size 500 --epsilon-limit 4 --delta-limit 1e-4 --quiet
    refused 3 ledger.db "$say" -- sealgrad programme register c.yaml --runs 2 --ledger ledger.db $key
    refused 3 ledger.db "$say" -- train c.yaml --out other-model
}

@test "an older copy: no command writes to it" {
    every_writer "older copy"
    sealgrad ledger runs ledger.db >/dev/null # reading is free
    cp newer.db ledger.db
    approve ledger.db
}

@test "another history of the same length: no command writes to it" {
    mv ledger.db.side.db aside
    for i in 1 2; do approve ledger.db; done
    cp aside ledger.db.side.db
    every_writer "are not those that this machine has seen"
}

@test "the answer of a time stamp authority is not stored in it" {
    command -v openssl >/dev/null || skip "needs the command openssl"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.pem -days 2 -subj /CN=tsa \
        -addext extendedKeyUsage=critical,timeStamping 2>/dev/null
    printf '%s\n' '[tsa]' "serial = $PWD/serial" 'crypto_device = builtin' "signer_cert = $PWD/tsa.pem" "signer_key = $PWD/tsa.key" \
        'signer_digest = sha256' 'default_policy = 1.2.3.4' 'digests = sha256' 'ess_cert_id_alg = sha256' >tsa.conf
    sealgrad ledger timestamp ledger.db --request r.tsq >/dev/null
    openssl ts -reply -config tsa.conf -section tsa -queryfile r.tsq -out r.tsr 2>/dev/null
    refused 3 ledger.db "older copy" -- sealgrad ledger timestamp ledger.db --response r.tsr --tsa-ca tsa.pem
    cp newer.db ledger.db
    sealgrad ledger timestamp ledger.db --response r.tsr --tsa-ca tsa.pem >/dev/null
}
