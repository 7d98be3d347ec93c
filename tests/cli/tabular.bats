# Would catch: a tabular transformer over a book whose bytes depend on workers or on the run, that takes its static features
# for one row where each is a token or the other way round, whose folder does not load again or loads although its tokens are
# not the schema's, that learns nothing, or whose words for `trainable` train something else.
bats_require_minimum_version 1.5.0 # `run !`: a bare ! never fails a test
load book

setup_file() {
    start_journey
    write_book book.csv 400
    write_schema schema.yaml
    write_config bilstm.yaml
    sed 's/kind: .*/kind: tabular_transformer\n  width: 8\n  heads: 2\n  layers: 1\n  intermediate: 12\n  dropout: 0.1/
        /hidden:\|attention: 4\|mlp:/d; s/steps: 20/steps: 6/; s/training:/&\n  population_size: 300/; /dataset:/d' bilstm.yaml >train.yaml
    printf '%064d\n' 42 >secret
}

setup() { copy_journey; }

plain() { # configuration, folder, further arguments
    sealgrad train "$1" --no-ledger --out "$2" --secret secret --quiet "${@:3}" >/dev/null
}
auc() { sealgrad evaluate "$1" --data book.csv --split test --quiet --json | grep -o '"auc":[0-9.]*' | cut -d: -f2; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

@test "a row of each static feature: the same bytes for 1, 2 and 5 workers, twice; the folder says which floats are whose" {
    plain train.yaml one --workers 1
    for workers in 2 5; do
        plain train.yaml m$workers --workers $workers
        diff -r one m$workers
    done
    plain train.yaml twice --workers 1
    diff -r one twice
    [ "$(of one/config.json 'o["model"]["static_tokens"], o["model"]["positions"], o["model"]["n_static"]')" = "([1, 2], 6, 3)" ]
    sealgrad score one --data book.csv --out s1.csv --quiet --workers 1 >/dev/null
    sealgrad score one --data book.csv --out s5.csv --quiet --workers 5 >/dev/null
    cmp s1.csv s5.csv
    [ "$(wc -l <s1.csv)" -eq 401 ]
}

@test "one row of all static features: another model, the same bytes for 1 and 5 workers" {
    config 's/dropout/static_tokens: false\n  dropout/'
    plain train.yaml tokens
    plain c.yaml m1 --workers 1
    plain c.yaml m5 --workers 5
    diff -r m1 m5
    [ "$(of m1/config.json '"static_tokens" in o["model"], o["model"]["positions"]')" = "(False, 4)" ]
    run ! cmp -s m1/model.safetensors tokens/model.safetensors
    # A base of the other kind has other places.
    config 's/dropout/static_tokens: false\n  base: tokens\n  base_is_public: true\n  dropout/'
    refused 2 c.yaml "one architecture" -- sealgrad train c.yaml --no-ledger --out m --quiet
}

@test "training learns, and a base carries it on" {
    config 's/steps: 6/steps: 80/; s/optimizer: sgd/optimizer: adam/; s/learning_rate: 1/learning_rate: 0.02/; s/dropout: .*/dropout: 0/
        /^privacy:/,/max_grad_norm/d; $aprivacy: none'
    plain c.yaml m
    at_least "$(auc m)" .65
    sed -i 's/steps: 80/steps: 1/; s/learning_rate: .*/learning_rate: 1e-9/; s/dropout: 0/base: m\n  base_is_public: true/' c.yaml
    plain c.yaml again
    [ "$(auc again)" = "$(auc m)" ]
}

@test "head, bias, patterns and all: nothing else learns" {
    weights() { sealgrad train "$1" --no-ledger --dry-run --json | grep -o '"n_weights":[0-9]*' | cut -d: -f2; }
    all=$(weights train.yaml)
    [ "$all" -gt 400 ]
    for words in 'head 9' '["embeddings.statics.*"] 32' '["linear.weight"] 10'; do
        config "s/dropout: 0.1/trainable: ${words% *}/"
        [ "$(weights c.yaml)" = "${words##* }" ] || { echo "$words: $(weights c.yaml)"; return 1; }
        plain c.yaml m
        rm -r m
    done
    config 's/dropout: 0.1/trainable: bias/'
    plain c.yaml m
}

@test "a folder whose tokens are not the schema's" {
    plain train.yaml m
    for tokens in '[ 1, 1 ]' '[ 2, 1 ]' '[ 2, 2 ]' '[ 0, 3 ]' '7'; do
        cp -r m other
        python3 - other/config.json "$tokens" <<'PY'
import json, sys
o = json.load(open(sys.argv[1]))
o['model']['static_tokens'] = json.loads(sys.argv[2])
json.dump(o, open(sys.argv[1], 'w'))
PY
        refused 2 other/config.json -- sealgrad score other --data book.csv --out s.csv --quiet
        rm -r other
    done
}

@test "its step can be timed from the configuration" {
    sealgrad bench train.yaml --steps 1 --json >bench.json
    [ "$(of bench.json 'o["private"]["median_ms"] > 0')" = True ]
}

@test "static_tokens: of a BiLSTM" { cp bilstm.yaml c.yaml; sed -i 's/  mlp: 4/  static_tokens: true/' c.yaml; refused 2 c.yaml:11:3 static_tokens -- sealgrad train c.yaml --no-ledger --out m --quiet; }
@test "static_tokens: no word" { config 's/dropout/static_tokens: some\n  dropout/'; refused 2 c.yaml static_tokens "true or false" -- sealgrad train c.yaml --no-ledger --out m --quiet; }
