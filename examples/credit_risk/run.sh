#!/usr/bin/env bash
# The whole journey on a credit book: build, keys, ledger, registered dataset, private training, scores, verification.
#
# usage: examples/credit_risk/run.sh [--file BOOK.csv] [--fetch]
#   --file    the UCI "Default of Credit Card Clients" table (also: SEALGRAD_CREDIT_BOOK, or ../shared/data/taiwan-default/)
#   --fetch   get UCI's own file (see fetch.py); never done unless asked for
# Without any of these a synthetic book is generated. Everything lies in examples/credit_risk/out/. Two rivals are trained on the same
# people and pay from one budget: BiLSTM with attention, and a tabular transformer. Run again, and one more of each is trained
# against what is left; a model that no longer fits is not trained, that is said, and the exit status is 5.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$here/out
book=${SEALGRAD_CREDIT_BOOK:-}
fetch=no

while [ $# -gt 0 ]; do
    case $1 in
    --file) [ $# -ge 2 ] || { echo "run.sh: --file needs a path" >&2; exit 2; }; book=$2; shift 2 ;;
    --fetch) fetch=yes; shift ;;
    --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown argument $1; --file BOOK.csv or --fetch" >&2; exit 2 ;;
    esac
done
[ -z "$book" ] || [ -f "$book" ] || { echo "run.sh: $book: no such file" >&2; exit 2; }
[ -n "$book" ] || [ ! -f "$root/../shared/data/taiwan-default/UCI_Credit_Card.csv" ] ||
    book=$root/../shared/data/taiwan-default/UCI_Credit_Card.csv

. "$here/../steps.sh"

mkdir -p "$out"
synthetic=no
if [ -f "$out/synthetic" ] || { [ ! -e "$out/book.csv" ] && [ -z "$book" ] && [ "$fetch" = no ]; }; then
    synthetic=yes
    echo "No credit book was given: the book is SYNTHETIC, made by make_book."
fi

build_release

cd "$out"
if [ ! -e book.csv ]; then
    if [ "$synthetic" = yes ]; then
        say "making a synthetic book"
        touch synthetic
        "$build/examples/credit_risk/make_book" --customers 20000 --months 6 --seed 1 --out book.csv
        cp "$here/book.yaml" schema.yaml
    else
        if [ "$fetch" = yes ] && [ -z "$book" ]; then
            say "fetching UCI's table"
            python3 "$here/fetch.py" book.csv
        else
            ln -s "$(realpath "$book")" book.csv
        fi
        cp "$here/taiwan.yaml" schema.yaml
        if [ -n "$book" ] && [ -f "$(dirname "$book")/splits.csv" ]; then
            ln -s "$(realpath "$(dirname "$book")/splits.csv")" splits.csv
        else # no file of splits beside the book: by keyed hash of the customer
            sed -i '/^split:/,$d' schema.yaml
            printf 'split:\n  fractions: {train: 0.72, validation: 0.08, test: 0.2}\n  seed: 20260101\n' >>schema.yaml
        fi
    fi
fi
cp "$here/credit.yaml" "$here/transformer.yaml" .

keys_and_ledger bank.example/credit
if [ ! -f registered ]; then
    say "registering the dataset: the most that may ever be spent on these people is epsilon 6, delta 1e-5"
    population_size=24000
    [ "$synthetic" = no ] || population_size=14600 # a public bound on 70 % of 20,000
    sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key "$key" --name credit --population customers \
        --population-size "$population_size" --epsilon-limit 6 --delta-limit 1e-5
    touch registered
fi

# The model folder out/NAME and its run's figures out/NAME.json, from NAME.yaml.
train() { # name, what it is
    say "training privately, epsilon 3, delta 1e-5: $2"
    local status=0
    sealgrad train "$1.yaml" --ledger ledger.db --key "$key" --out "$1.new" --json >"$1.json.new" || status=$?
    if [ $status -ne 0 ]; then
        rm -rf "$1.new" "$1.json.new"
        [ $status -ne 5 ] || { sealgrad budget customers --ledger ledger.db
            echo "The budget of these people does not admit one more such model; nothing was read, nothing was spent."; }
        exit $status
    fi
    rm -rf "$1" && mv "$1.new" "$1" && mv "$1.json.new" "$1.json"
}

train credit "BiLSTM with attention"
train transformer "tabular transformer"

say "scoring the test customers"
sealgrad score credit --data book.csv --split test --out scores.csv

witness_ledger

say "verifying the ledger, as an auditor would"
sealgrad ledger verify ledger.db --trust policy --allow-unwitnessed
sealgrad ledger verify ledger.db --trust policy --allow-unwitnessed --json >verify.json
sealgrad ledger report ledger.db --trust policy --html --out report.html.new && mv report.html.new report.html
sealgrad budget customers --ledger ledger.db --json >budget.json
for name in credit transformer; do
    sealgrad bench $name.yaml --steps 9 --json >$name.bench.json
done
python3 "$here/summary.py" budget.json verify.json "$synthetic" credit transformer | tee report.txt
