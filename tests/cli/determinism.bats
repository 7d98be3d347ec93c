# Would catch: a model that depends on the number of workers or ranks, on the run or on the clock; a secret that does not matter;
# two ranks that both write; a failure that every rank reports, or that leaves the others waiting.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    start_journey
    make_journey
    register_book_again
    sed -i '$a\  population_size: 500' train.yaml
    sed -i 's/  mlp: 4/&\n  dropout: 0.2/;s/  max_grad_norm: 1/&\n  n_panels: 7/' train.yaml
    sealgrad train train.yaml --no-ledger --out reference-run --secret secret --workers 1 --quiet >/dev/null
}
register_book_again() { # without a limit that the many runs of this file would exceed
    sealgrad ledger init wide.db --origin test.example/wide --key keys/signing.key >/dev/null
    register_book wide.db 12
}

setup() { copy_journey; }

plain() { # folder, further arguments
    sealgrad train train.yaml --no-ledger --out "$1" --secret secret --quiet "${@:2}" >/dev/null
}
ranks() { # number, arguments of sealgrad
    timeout -k 5 60 mpirun -n "$1" --allow-run-as-root --oversubscribe sealgrad "${@:2}"
}
need_mpi() {
    command -v mpirun >/dev/null || skip "no mpirun here"
    [ -e "$SEALGRAD_PROGRAMS/sealgrad-mpi.so" ] || skip "built without Open MPI"
    export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
}

@test "the same model for 1, 2 and 5 workers" {
    for workers in 1 2 5; do
        plain "m$workers" --workers $workers
        diff -r "m$workers" reference-run
    done
}

@test "the same model for 1, 2 and 3 ranks, of two workers each" {
    need_mpi
    for n in 1 2 3; do
        ranks $n train train.yaml --no-ledger --out "m$n" --secret secret --workers 2 --quiet >/dev/null
        diff -r "m$n" reference-run
    done
}

@test "the same model with and without a ledger, twice" {
    for m in m1 m2; do
        sealgrad train train.yaml --ledger wide.db --key keys/signing.key --secret secret --out $m --quiet --json >$m.json
    done
    cmp m1/model.safetensors m2/model.safetensors
    # Two runs, two ids and two starts; one model.
    [ "$(sealgrad ledger runs wide.db --json | grep -o '"model":"[0-9a-f]*"' | sort -u | wc -l)" -eq 1 ]
    [ "$(sealgrad ledger runs wide.db --json | wc -l)" -eq 2 ]
}

@test "another model for another secret, and for every secret of the system" {
    printf '%064d\n' 43 >secret
    plain m1
    run ! cmp -s m1/model.safetensors reference-run/model.safetensors
    for m in m2 m3; do
        sealgrad train train.yaml --no-ledger --out $m --quiet >/dev/null
    done
    run ! cmp -s m2/model.safetensors m3/model.safetensors
}

@test "another model for another public seed, plan or data" {
    plain m1 --seed 2
    run ! cmp -s m1/model.safetensors reference-run/model.safetensors
    sed -i 's/target_delta: 1e-5/target_delta: 1.1e-5/' train.yaml
    plain m2
    run ! cmp -s m2/model.safetensors reference-run/model.safetensors
}

@test "the reference backend repeats itself for any number of workers" {
    for workers in 1 3; do
        plain "m$workers" --backend reference --workers $workers
    done
    diff -r m1 m3
}

@test "rank 0 alone writes the ledger and the model, and prints" {
    need_mpi
    ranks 3 train train.yaml --ledger wide.db --key keys/signing.key --out m --quiet --json >out
    [ "$(wc -l <out)" -eq 1 ]
    grep -q '"status":"complete"' out
    [ "$(ls m | wc -l)" -eq 5 ]
    [ "$(sealgrad ledger runs wide.db --json | wc -l)" -eq 1 ]
    sealgrad ledger verify wide.db --trust keys/signing.pub --allow-unwitnessed --json | grep -q '"verdict":"ok".*"size":4'
    sealgrad ledger show wide.db 1 --json | grep -q '"ranks":3'
}

@test "a job that fails says so once" {
    need_mpi
    fails() { # status, words, arguments
        code=0
        ranks 3 "${@:3}" >out 2>err || code=$?
        [ "$code" -eq "$1" ] || { echo "status $code"; cat err; false; }
        [ "$(grep -c '^sealgrad: ' err)" -eq 1 ] || { cat err; false; }
        grep -q "^sealgrad: .*$2" err || { cat err; false; }
        [ ! -s out ]
    }
    fails 2 "cannot open the configuration" train none.yaml --no-ledger --out m
    fails 2 "unknown option" train train.yaml --epslion 3
    sed 's/population_size: 500/population_size: 400/' train.yaml >c.yaml
    fails 2 "population_size is 400" train c.yaml --ledger wide.db --key keys/signing.key --out m --quiet
    fails 2 "the signing key" train train.yaml --ledger wide.db --key none.key --out m --quiet
    [ ! -e m ] && [ "$(sealgrad ledger runs wide.db --json | wc -l)" -eq 0 ]
    mv book.csv elsewhere.csv
    fails 2 "book.csv: cannot open" train train.yaml --ledger wide.db --key keys/signing.key --out m --quiet
    sealgrad ledger runs wide.db --json | grep -q '"status":"failed","reason":"data_unreadable"'
    [ ! -e m ]
}

@test "a rank that alone cannot read the data ends the job with its message" {
    need_mpi
    cat >one <<'SH'
#!/bin/sh
# Rank 1 finds other folders than the others: as on a node that lacks a file.
[ "$OMPI_COMM_WORLD_RANK" = 1 ] && cd lacking
exec sealgrad "$@"
SH
    chmod +x one
    mkdir lacking
    cp train.yaml schema.yaml lacking/
    code=0
    timeout -k 5 60 mpirun -n 3 --allow-run-as-root --oversubscribe ./one train train.yaml --ledger "$PWD/wide.db" \
        --key "$PWD/keys/signing.key" --out m --quiet >out 2>err || code=$?
    [ "$code" -eq 2 ] || { echo "status $code"; cat err; false; }
    [ "$(grep -c '^sealgrad: ' err)" -eq 1 ] || { cat err; false; }
    grep -q '^sealgrad: rank 1: book.csv: cannot open' err
    sealgrad ledger runs wide.db --json | grep -q '"status":"failed"'
}
