#!/usr/bin/env bash
# How soon the program answers: wall time (least and median) and processor time (median) of 21 starts each, to the millisecond.
#
# usage: [SEALGRAD=build/src/cli/sealgrad] bench/startup.sh
# The first training step is timed as a whole `sealgrad train --no-ledger` of one step on the credit-card default book: start of
# both programs, configuration, plan, reading 30,000 customers twice (commitment, then data), one step, the model written, scoring.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
sealgrad=${SEALGRAD:-$root/build/src/cli/sealgrad}
shared=${SEALGRAD_SHARED:-$root/../shared}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

measure() { # label limit_ms repetitions command...
    local label=$1 limit=$2 n=$3 i
    local TIMEFORMAT='%3R %3U %3S'
    shift 3
    "$@" >"$folder/output" 2>&1 || { echo "$*: exit status $?: $(tail -n 1 "$folder/output")" >&2; return 1; }
    for ((i = 0; i < n; i++)); do
        { time "$@" >/dev/null 2>&1; } 2>&1
    done | awk '{ print $1 * 1e3, ($2 + $3) * 1e3 }' | sort -n | awk -v label="$label" -v limit="$limit" '
        { wall[NR] = $1; cpu[NR] = $2 }
        END { n = asort_cpu(cpu, NR); printf "| %s | %d | %d | %d | %s |\n", label, wall[1], wall[n], cpu[n], limit }
        function asort_cpu(a, n,    i, j, x) { # insertion sort; gives the place of the median
            for (i = 2; i <= n; i++) { x = a[i]; for (j = i - 1; j >= 1 && a[j] > x; j--) a[j + 1] = a[j]; a[j + 1] = x }
            return int((n + 1) / 2)
        }'
}

echo "| what | least wall ms | median wall ms | median CPU ms | asked below |"
echo "|---|---|---|---|---|"
measure "start of an empty program (\`true\`)" "" 21 /bin/true
measure "sealgrad --help" 10 21 "$sealgrad" --help
measure "sealgrad epsilon, 300 steps at q .17" 25 21 \
    "$sealgrad" epsilon --sample-rate 0.170667 --noise-multiplier 4.5 --steps 300 --delta 1e-5
measure "sealgrad epsilon, 3,516 steps at q .0043" 25 21 \
    "$sealgrad" epsilon --sample-rate 0.0042666667 --noise-multiplier 1.3 --steps 3516 --delta 1e-5
measure "sealgrad epsilon, 120 steps at q .01, little noise" 25 21 \
    "$sealgrad" epsilon --sample-rate 0.01 --noise-multiplier 0.35 --steps 120 --delta 1e-5
measure "sealgrad epsilon, 1,000,000 steps at q 1e-5" 25 21 \
    "$sealgrad" epsilon --sample-rate 1e-5 --noise-multiplier 0.5 --steps 1000000 --delta 1e-8

book=$shared/data/taiwan-default/UCI_Credit_Card.csv
if [ -f "$book" ]; then
    cat >"$folder/one.yaml" <<YAML
data: {file: $(realpath "$book"), schema: $root/examples/credit_risk/taiwan.yaml}
model: {kind: bilstm_attention, hidden: 16, attention: 32, mlp: 32}
privacy: {target_epsilon: 3, target_delta: 1e-5, max_grad_norm: 1}
training: {expected_batch_size: 4096, population_size: 24000, steps: 1, learning_rate: 0.1}
YAML
    measure "one training step on the credit book, whole program" 500 11 \
        "$sealgrad" train "$folder/one.yaml" --no-ledger --workers 1 --quiet --json --out "$folder/model"
else
    echo "no credit book at $book: the first training step was not timed" >&2
fi
