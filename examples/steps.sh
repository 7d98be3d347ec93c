# Steps that the examples share; they source this file with $root and $out set.

say() { printf '\n== %s\n' "$*"; }

# Builds in release mode unless it is built, and puts the programs first on PATH. Sets $build.
build_release() {
    "$root/tools/install.sh" build
    build=${SEALGRAD_EXAMPLE_BUILD:-$root/build-release}
    say "building in release mode"
    [ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dbuildtype=release -Dtests=disabled >"$out/build.log" 2>&1 ||
        { tail -n 20 "$out/build.log" >&2; exit 1; }
    ninja -C "$build" >>"$out/build.log" 2>&1 || { tail -n 20 "$out/build.log" >&2; exit 1; }
    PATH=$build/src/cli:$PATH
}

# Keys and ledger for a first run; sets $key. $1: the ledger's name
keys_and_ledger() {
    key=keys/signing.key
    [ ! -f "$key" ] || return 0
    say "keys and ledger"
    sealgrad keygen --out keys --no-passphrase
    sealgrad ledger init ledger.db --origin "$1" --key "$key"
}

# A second party's signature under what the ledger holds by now, and the policy by which an auditor trusts both.
witness_ledger() {
    say "a witness (for real: another account, another machine) signs that the ledger only grew"
    [ -f witness/witness.key ] || sealgrad keygen --out witness --name witness --no-passphrase >/dev/null
    sealgrad ledger witness ledger.db --witness-key witness/witness.key --state witness/state --trust keys/signing.pub \
        --write-policy policy.new
    mv policy.new policy
}
