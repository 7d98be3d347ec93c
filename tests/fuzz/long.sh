#!/usr/bin/env bash
# Fuzzes for long with clang's libFuzzer. usage: tests/fuzz/long.sh [TARGET [SECONDS]]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${2:-600}
targets=${1:-json note proof leaf ledger token pkcs11 witness config schema csv safetensors tokenizer}
build="build-fuzz"
if [ ! -f $build/build.ninja ]; then
    CC=clang meson setup $build -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link -Dfuzzer=true
fi
for target in $targets; do
    ninja -C $build "tests/fuzz/fuzz_$target"
    mkdir -p "$build/corpus/$target"
    (cd $build && tests/fuzz/fuzz_"$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 "corpus/$target" "../tests/fuzz/corpus/$target")
done
