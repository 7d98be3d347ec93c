# What the command-line tests share: a small book with its schema, configuration, keys, ledger and model, made once a file and
# copied for every test, and the assertions that say what a refusal looks like.

# 600 customers of three months: drawn by the minimal standard generator, so that the bytes are the same everywhere.
write_book() { # file, customers
    awk -v n="${2:-600}" 'function draw() { s = (s * 16807) % 2147483647; return s / 2147483647 }
        BEGIN {
            s = 12345
            print "id,limit,sex,m1,m2,m3,p1,p2,p3,label"
            for (i = 1; i <= n; i++) {
                u = draw(); v = draw(); w = draw(); late = int(6 * u * u)
                printf "u%05d,%d,%s,%d,%d,%d,%.2f,%.2f,%.2f,%d\n", i, 10000 + int(v * 90000), (v > .5) ? "f" : "m", late,
                       int(late * v), int(late / 2), v, w, u * v, (w < .1 + .8 * u * u)
            }
        }' >"$1"
}

write_schema() { # file
    cat >"$1" <<'YAML'
layout: wide
unit: id
columns:
  - {name: id, role: id}
  - {name: limit, role: feature, type: number, bounds: [10000, 100000], encode: {as: log, unit: 10000}}
  - {name: sex, role: feature, type: category, categories: [f, m]}
  - {name: label, role: label, positive: [1], negative: [0]}
steps:
  - {name: late, columns: [m3, m2, m1], type: number, bounds: [0, 9]}
  - {name: paid, columns: [p3, p2, p1], type: number, bounds: [0, 1]}
split:
  fractions: {train: 0.7, validation: 0.1, test: 0.2}
  seed: 7
YAML
}

write_config() { # file
    cat >"$1" <<'YAML'
run:
  name: nightly
data:
  file: book.csv
  schema: schema.yaml
  dataset: book
model:
  kind: bilstm_attention
  hidden: 4
  attention: 4
  mlp: 4
privacy:
  target_epsilon: 3
  target_delta: 1e-5
  max_grad_norm: 1
training:
  expected_batch_size: 100
  steps: 20
  optimizer: sgd
  learning_rate: 1
YAML
}

register_book() { # ledger, limit
    sealgrad dataset register book.csv --schema schema.yaml --ledger "$1" --key keys/signing.key --name book \
        --population customers --population-size 500 --epsilon-limit "$2" --delta-limit 1e-4 --quiet >register.out
    rm register.out
}

# A file fills this folder once, in its setup_file; each of its tests works in a copy.
start_journey() {
    export PATH="$SEALGRAD_PROGRAMS:$PATH"
    mkdir "$BATS_FILE_TMPDIR/journey"
    cd "$BATS_FILE_TMPDIR/journey"
}
copy_journey() {
    cp -a "$BATS_FILE_TMPDIR/journey" "$BATS_TEST_TMPDIR/journey"
    cd "$BATS_TEST_TMPDIR/journey"
}

# In the current folder: book.csv schema.yaml train.yaml secret keys/ ledger.db (limit 4, no run).
make_journey() {
    write_book book.csv
    write_schema schema.yaml
    write_config train.yaml
    printf '%064d\n' 42 >secret
    sealgrad keygen --out keys --no-passphrase >/dev/null
    sealgrad ledger init ledger.db --origin test.example/book --key keys/signing.key >/dev/null
    register_book ledger.db 4
}

train() { # configuration, further arguments
    sealgrad train "$1" --ledger ledger.db --key keys/signing.key --quiet "${@:2}"
}

verify() { sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed "$@"; }

# A value of the one JSON object in a file, by a Python expression over o.
of() { # file, expression
    python3 -c 'import json, sys; o = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

# Runs a command; leaves $status and the files stdout and stderr beside the test's own folder.
capture() {
    status=0
    "$@" >"$BATS_TEST_TMPDIR/stdout" 2>"$BATS_TEST_TMPDIR/stderr" </dev/null || status=$?
}

# Every file below this folder with its digest, and every folder.
contents() {
    find . -type d | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum 2>/dev/null
}

complain() { # what was expected; shows what came
    echo "expected $1"
    echo "status:  $status"
    echo "stderr:  $(cat "$BATS_TEST_TMPDIR/stderr")"
    echo "stdout:  $(head -c 2000 "$BATS_TEST_TMPDIR/stdout")"
    return 1
}

# One line that says where and what to do, and no value of a data record: those of the tests are called canary.
one_line() { # place, word...
    local place=$1 line
    shift
    [ ! -s "$BATS_TEST_TMPDIR/stdout" ] || complain "nothing on stdout"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/stderr")" -eq 1 ] || complain "one line on stderr"
    line=$(cat "$BATS_TEST_TMPDIR/stderr")
    [[ "$line" == "sealgrad: "*"$place"* ]] || complain "the place \"$place\""
    for word in "$@"; do
        [[ "$line" == *"$word"* ]] || complain "the words \"$word\""
    done
    [[ "$line" != *[Cc]anary* ]] || complain "no value of a record"
}

# refused STATUS PLACE WORD... -- COMMAND...: refused with that status and one line, and nothing at all was written.
refused() {
    local expected=$1 place=$2 words=() before
    shift 2
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    before=$(contents)
    capture "$@"
    [ "$status" -eq "$expected" ] || complain "status $expected"
    one_line "$place" "${words[@]}"
    [ "$before" = "$(contents)" ] || complain "nothing written; now: $(diff <(echo "$before") <(contents))"
}

# failed_run STATUS REASON PLACE WORD... -- COMMAND...: the run had started, so its end and reason are recorded, its spend is
# kept, the ledger verifies, and there is no model.
failed_run() {
    local expected=$1 reason=$2 place=$3 words=()
    shift 3
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    capture "$@"
    [ "$status" -eq "$expected" ] || complain "status $expected"
    one_line "$place" "${words[@]}"
    [ ! -e m/model.safetensors ] || complain "no model"
    sealgrad ledger runs ledger.db --json >runs.json
    grep -q "\"status\":\"failed\",\"reason\":\"$reason\"" runs.json || complain "a failed run for $reason: $(cat runs.json)"
    sealgrad budget customers --ledger ledger.db --json | grep -q '"epsilon_spent":2\.[89]' || complain "the reservation is kept"
    sealgrad ledger verify ledger.db --trust keys/signing.pub --allow-unwitnessed >/dev/null || complain "a ledger that verifies"
}

# A copy of train.yaml changed by sed, as c.yaml.
config() {
    sed "$@" train.yaml >c.yaml
    ! cmp -s c.yaml train.yaml || { echo "the edit changed nothing"; return 1; }
}

# The same for the schema, as s.yaml.
schema() {
    sed "$@" schema.yaml >s.yaml
    ! cmp -s s.yaml schema.yaml || { echo "the edit changed nothing"; return 1; }
}

# And for the data, as d.csv.
data() {
    LC_ALL=C sed "$@" book.csv >d.csv
    ! cmp -s d.csv book.csv || { echo "the edit changed nothing"; return 1; }
}
