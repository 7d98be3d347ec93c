# Would catch: a missing module, driver or card that ends in a crash, another exit status, more than one line, or a line that does
# not say what to do; a choice of the card that is not refused before something is written.
load book

setup_file() {
    start_journey
    make_journey
}

setup() { copy_journey; }

@test "cuda: module that is not installed" {
    mkdir bin
    cp "$SEALGRAD_PROGRAMS"/sealgrad "$SEALGRAD_PROGRAMS"/sealgrad-trainer bin/
    run bin/sealgrad train train.yaml --out m --backend cuda --ledger ledger.db --key keys/signing.key --secret secret
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"sealgrad-cuda.so is not installed here"*"use --backend cpu"* ]]
    [ ! -e m ]
}

@test "cuda: no driver, or no card" {
    [ -e "$SEALGRAD_PROGRAMS/sealgrad-cuda.so" ] || skip "the module is not built here (no nvcc)"
    [ ! -e /dev/nvidiactl ] || skip "there is a card"
    refused 1 "backend cuda: CUDA, looking for cards:" "use --backend cpu" -- train train.yaml --out m --backend cuda
    refused 1 "backend cuda: CUDA, looking for cards:" "use --backend cpu" -- train train.yaml --out m --backend cuda:3
}

@test "cuda: module that cannot be loaded" {
    mkdir bin
    cp "$SEALGRAD_PROGRAMS"/sealgrad "$SEALGRAD_PROGRAMS"/sealgrad-trainer bin/
    echo "no library" >bin/sealgrad-cuda.so
    run bin/sealgrad train train.yaml --out m --backend cuda --ledger ledger.db --key keys/signing.key --secret secret
    [ "$status" -eq 1 ]
    [[ "$output" == *"sealgrad-cuda.so cannot be loaded: "* ]]
}
