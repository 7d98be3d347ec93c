# Would catch: a run that takes more memory than the dry run printed, or than its limit; a limit, recomputed blocks or panels taken
# together that change a bit of the model; a limit that cannot be met and is not refused at once, before anything is spent; a
# printed figure that is not the one that the JSON gives.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    export PYTHONDONTWRITEBYTECODE=1 TESTS="$BATS_TEST_DIRNAME"
    start_journey
    make_journey
    python3 "$TESTS/small_encoder.py" base
    python3 "$TESTS/../../examples/bank_messages/make_messages.py" 400 1 messages.csv
    python3 "$TESTS/../../examples/bank_messages/schema.py" >messages.schema.yaml
    sed -i '$a\  population_size: 500' train.yaml
    cat >messages.yaml <<'YAML'
data: {file: messages.csv, schema: messages.schema.yaml, dataset: messages}
model: {kind: encoder, base: base, base_is_public: true, pooling: cls, trainable: all, dropout: 0.1}
privacy: {target_epsilon: 3, target_delta: 1e-5, max_grad_norm: 1, n_panels: 5}
training: {sample_rate: 0.2, population_size: 320, steps: 3, optimizer: adam, learning_rate: 0.01}
YAML
}

setup() { copy_journey; }

plain() { # configuration, folder, further arguments
    sealgrad train "$1" --no-ledger --out "$2" --secret secret --quiet "${@:3}" >/dev/null
}
dry() { # configuration, expression over the memory of its dry run, further arguments
    sealgrad train "$1" --no-ledger --dry-run --json "${@:3}" >dry.json
    of dry.json "(lambda m: $2)(o['memory'])"
}

@test "the dry run prints what the run will take, in parts that the JSON gives too" {
    sealgrad train messages.yaml --no-ledger --dry-run --workers 2 >dry.txt
    for part in program data weights optimizer sums "first worker" "each other worker" scoring; do
        grep -q "^  $part  *[0-9.]* MiB" dry.txt
    done
    printed=$(sed -n 's/^memory  *at most \([0-9.]*\) MiB.*/\1/p' dry.txt)
    [ "$(dry messages.yaml "'%.1f' % (m['total'] / 2**20)" --workers 2)" = "$printed" ]
    [ "$(dry messages.yaml "m['workers'] == 2 and m['panels'] == 1 and not m['recompute'] and m['limit'] is None" --workers 2)" = True ]
    [ "$(dry messages.yaml "m['recompute']" --recompute)" = True ]
}

@test "a run holds less than was printed" {
    if ldd "$(dirname "$(command -v sealgrad)")/sealgrad-trainer" | grep -q libasan; then skip "sanitizers take memory of their own"; fi
    # Wide layers: weights, sums and workers, not the program, make the figure.
    sed 's/hidden: 4/hidden: 384/;s/steps: 20/steps: 2/' train.yaml >wide.yaml
    for c in train.yaml messages.yaml wide.yaml; do
        for workers in 1 2; do
            peak=$(python3 "$TESTS/peak.py" sealgrad train $c --no-ledger --out "m$workers$c" --quiet --workers $workers)
            echo "$c, $workers workers: $peak bytes"
            [ "$(dry $c "0 < $peak <= m['total']" --workers $workers)" = True ]
        done
    done
    [ "$(dry wide.yaml "m['total'] > 2 * m['process'] and 4 * $peak > m['total']" --workers 2)" = True ]
}

@test "the same model within any limit" {
    plain train.yaml book-model --workers 1
    plain messages.yaml messages-model --workers 1
    for c in train messages; do
        [ $c = train ] && want=book-model || want=messages-model
        need=$(dry $c.yaml "m['total']" --workers 3)
        least=0
        # Down from what three workers take until nothing fits: each limit is kept, and changes nothing.
        for parts in 100 97 94 91 88; do
            limit=$((need * parts / 100))
            dry $c.yaml 1 --workers 3 --memory-limit $limit >/dev/null 2>&1 || continue
            [ "$(dry $c.yaml "m['total'] <= $limit == m['limit']" --workers 3 --memory-limit $limit)" = True ]
            plain $c.yaml "$c$parts" --workers 3 --memory-limit $limit
            diff -r "$c$parts" $want
            least=$((least + 1))
        done
        [ $least -ge 2 ]
    done
}

@test "recomputed blocks and panels taken together give the same model, and are no part of the record" {
    plain messages.yaml m1
    plain messages.yaml m2 --recompute --workers 2
    printf 'memory: {recompute: true, panels_at_once: 3, limit: 4GiB}\n' >>messages.yaml
    [ "$(dry messages.yaml "m['recompute'] and m['panels'] == 3 and m['limit'] == 2**32")" = True ]
    plain messages.yaml m3
    diff -r m1 m2
    diff -r m1 m3
}

@test "memory that cannot do is refused before anything is spent" {
    refused 2 "memory: this run needs at least" "the limit is 1.0 MiB" "raise the limit" -- \
        sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --memory-limit 1MiB
    refused 2 "memory: recompute" "no blocks" -- \
        sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --recompute
    refused 2 "--memory-limit" "2GiB" -- \
        sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m --memory-limit much
    printf 'memory: {limit: some}\n' >>train.yaml
    refused 2 "train.yaml:" "limit" -- sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --out m
}
