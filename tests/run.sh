#!/usr/bin/env bash
# Builds with warnings as errors and with sanitizers, and runs every test in both builds.
# The last line is the count: N passed, N failed, N skipped. Exit status 1 when anything failed.
#
# tests/run.sh --cuda: on a machine with a card, the tests of the kernels on the card itself, plainly and under each tool of
# compute-sanitizer. A missing card, compiler or sanitizer is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
export SEALGRAD_SHARED="${SEALGRAD_SHARED:-$(cd .. && pwd)/shared}"
build=${SEALGRAD_BUILD:-build}
jobs=$(nproc)
passed=0 failed=0 skipped=0

tools/install.sh test || exit $?

# cuRAND's host generator needs no GPU: where the toolkit is missing, its wheel does. Without either its tests skip.
if [ -z "${SEALGRAD_CURAND:-}" ] && [ ! -e /usr/local/cuda/lib64/libcurand.so.10 ] && ! ldconfig -p | grep -q 'libcurand\.so\.10'; then
    curand=$PWD/$build-curand
    [ -d "$curand/nvidia" ] || { python3 -m pip download -q --no-deps -d "$curand" nvidia-curand-cu12 &&
        python3 -m zipfile -e "$curand"/nvidia_curand*.whl "$curand"; } >/dev/null 2>&1
    library=$(find "$curand" -name libcurand.so.10 2>/dev/null | head -n 1)
    [ -z "$library" ] || export SEALGRAD_CURAND=$library
fi

# A build folder, made or brought up to date.
build_in() { # folder, meson options
    local folder=$1; shift
    if [ ! -f "$folder/build.ninja" ]; then
        meson setup "$folder" --werror "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; return 1; }
    fi
    ninja -C "$folder" -j "$jobs" >"$folder.log" 2>&1 || { tail -n 60 "$folder.log"; return 1; }
    echo "built $folder"
}

# Runs the unit tests of a build; prints what failed or was skipped, adds to the counts.
unit_tests_in() { # folder, time multiplier, extra arguments
    local folder=$1 multiplier=$2; shift 2
    meson test -C "$folder" --no-rebuild --timeout-multiplier "$multiplier" --num-processes "$jobs" --print-errorlogs "$@" \
        >"$folder-tests.log" 2>&1
    local status=$? counts
    counts=$(python3 - "$folder/meson-logs/testlog.json" <<'PY'
import json, sys
ok = bad = skip = 0
for line in open(sys.argv[1]):
    t = json.loads(line)
    if t['result'] == 'OK': ok += 1
    elif t['result'] == 'SKIP': skip += 1; print('  skipped: ' + t['name'], file=sys.stderr)
    else: bad += 1; print('  %s: %s' % (t['result'], t['name']), file=sys.stderr)
print(ok, bad, skip)
PY
) || { echo "no test results in $folder"; tail -n 20 "$folder-tests.log"; failed=$((failed + 1)); return; }
    read -r ok bad skip <<<"$counts"
    if [ "$bad" -gt 0 ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        tail -n 200 "$folder-tests.log"
        [ "$bad" -gt 0 ] || bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    echo "unit tests in $folder: $ok passed, $bad failed, $skip skipped"
}

# The command line, end to end.
command_tests() { # folder with the programs, test files
    local folder=$1 out ok bad skip; shift
    export SEALGRAD_PROGRAMS
    SEALGRAD_PROGRAMS=$(cd "$folder/src/cli" && pwd)
    out=$(timeout -k 10 1200 bats --tap "$@" 2>&1)
    skip=$(grep -cE '^ok [0-9]+ .*# skip' <<<"$out")
    ok=$(($(grep -cE '^ok [0-9]+ ' <<<"$out") - skip))
    bad=$(grep -cE '^not ok ' <<<"$out")
    # A file that could not be read, or a run cut short, is a failure too.
    [ "$(sed -n 's/^1\.\.//p' <<<"$out" | head -n 1)" = $((ok + bad + skip)) ] || bad=$((bad + 1))
    [ "$bad" -eq 0 ] || echo "$out" | grep -vE '^ok '
    grep -E '^ok [0-9]+ .*# skip' <<<"$out" | sed 's/^/  /'
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    echo "command-line tests in $folder: $ok passed, $bad failed, $skip skipped"
}

# One program on the card; the rest of the line runs it.
on_card() { # name, command
    local name=$1; shift
    if timeout 1800 "$@" >"$build-cuda-run.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)); echo "failed: $name"; tail -n 40 "$build-cuda-run.log"
    fi
}

cuda_tests() {
    if ! build_in "$build-cuda" -Dcuda=enabled || ! ninja -C "$build-cuda" -j "$jobs" cuda-native >"$build-cuda.log" 2>&1; then
        tail -n 60 "$build-cuda.log"; failed=$((failed + 1)); return
    fi
    local sanitizer=${SEALGRAD_COMPUTE_SANITIZER:-compute-sanitizer} program tool
    for program in "$build-cuda"/tests/cuda/native_*; do
        [ -x "$program" ] && [ -f "$program" ] || continue
        on_card "$(basename "$program")" "$program"
        for tool in memcheck racecheck initcheck synccheck; do
            on_card "$(basename "$program") under $tool" "$sanitizer" --tool "$tool" --error-exitcode 9 "$program"
        done
    done
    echo "on the card: $passed passed, $failed failed"
}

if [ "${1:-}" = --cuda ]; then
    cuda_tests
    [ $((passed + failed)) -gt 0 ] || failed=1
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
fi

if build_in "$build"; then
    unit_tests_in "$build" 3
    command_tests "$build" tests/cli/*.bats
else
    failed=$((failed + 1))
fi
if build_in "$build-sanitize" -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized; then
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    unit_tests_in "$build-sanitize" 10 --no-suite slow
    command_tests "$build-sanitize" tests/cli/bad_input.bats
else
    failed=$((failed + 1))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
