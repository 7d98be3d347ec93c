# Would catch: bad input that crashes, is taken silently, gets another exit status than the contract says (2 bad input, 3 broken
# evidence, 5 budget), is explained without place or remedy or with a value of somebody's record, or that leaves something
# written behind: a leaf in the ledger, a model, half a file.
#
# Every case runs in its own copy of a small journey: book.csv schema.yaml train.yaml keys/ ledger.db (limit 4, no run),
# spent.db (one run of epsilon 3) and m0, a model.
load book

setup_file() {
    start_journey
    make_journey
    cp ledger.db spent.db
    cp ledger.db.side.db spent.db.side.db
    sealgrad train train.yaml --ledger spent.db --key keys/signing.key --out m0 --secret secret --quiet >/dev/null
}

setup() { copy_journey; }

register() { # data, schema, further arguments: onto a ledger that has no dataset yet
    sealgrad dataset register "$1" --schema "$2" --ledger ledger.db --key keys/signing.key --name fresh --population new \
        --population-size 500 --epsilon-limit 4 --delta-limit 1e-4 --quiet "${@:3}"
}
score() { sealgrad score m0 --data book.csv --out scores.csv --quiet; }
# Root reads and writes everything; without two capabilities it obeys the mode bits like anybody.
as_anybody() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search "$@"
    else
        "$@"
    fi
}
patch_at_end() { # file, bytes for printf that replace its last four
    printf "$2" | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 4)) conv=notrunc status=none
}

# ---- configuration
@test "configuration: missing file" { refused 2 none.yaml: "cannot open the configuration" -- train none.yaml --out m; }
@test "configuration: a folder" { refused 2 keys: "not a regular file" -- train keys --out m; }
@test "configuration: unreadable file" {
    chmod 0 train.yaml
    refused 2 train.yaml: "Permission denied" -- as_anybody sealgrad train train.yaml --no-ledger --out m
}
@test "configuration: empty" { : >c.yaml; refused 2 c.yaml:1:1: "is empty" -- train c.yaml --out m; }
@test "configuration: not YAML" { config 's/^data:/data: [/'; refused 2 c.yaml:5: "not valid YAML" -- train c.yaml --out m; }
@test "configuration: a tab as indentation" { config 's/^  steps/\tsteps/'; refused 2 c.yaml:18:1: tab -- train c.yaml --out m; }
@test "configuration: not UTF-8" { config 's/nightly/\xff/'; refused 2 c.yaml:2:9: UTF-8 -- train c.yaml --out m; }
@test "configuration: two documents" { config '$a---\nrun:'; refused 2 c.yaml:21:1: "only one document" -- train c.yaml --out m; }
@test "configuration: an anchor" { config 's/nightly/\&a nightly/'; refused 2 c.yaml:2:9: "write the value out" -- train c.yaml --out m; }
@test "configuration: nested without end" {
    config "s/nightly/$(printf '[%.0s' {1..5000})/"
    refused 2 c.yaml:2: -- train c.yaml --out m
}
@test "configuration: unknown key" { config 's/^  steps/  stpes/'; refused 2 c.yaml:18:3: stpes 'did you mean "steps"' -- train c.yaml --out m; }
@test "configuration: unknown section" { config 's/^privacy/privcy/'; refused 2 c.yaml:12:1: privcy 'did you mean "privacy"' -- train c.yaml --out m; }
@test "configuration: duplicate key" { config '$a\  steps: 3'; refused 2 c.yaml:21:3: "appears twice" "line 18" -- train c.yaml --out m; }
@test "configuration: section missing" { config '/^training/,$d'; refused 2 c.yaml:1:1: 'needs the key "training"' -- train c.yaml --out m; }
@test "configuration: key missing" { config '/steps/d'; refused 2 c.yaml:17:3: 'needs the key "steps"' -- train c.yaml --out m; }
@test "configuration: a list instead of a section" { config 's/^run:/run: []/;2d'; refused 2 c.yaml:1:6: "must be a map" -- train c.yaml --out m; }
@test "configuration: a word instead of an integer" { config 's/steps: 20/steps: twenty/'; refused 2 c.yaml:18:10: "integer from 1" -- train c.yaml --out m; }
@test "configuration: an integer with a unit" { config 's/steps: 20/steps: 20k/'; refused 2 c.yaml:18:10: "integer from 1" -- train c.yaml --out m; }
@test "configuration: a quoted integer" { config 's/steps: 20/steps: "20"/'; refused 2 c.yaml:18:10: "integer from 1" -- train c.yaml --out m; }
@test "configuration: steps 0" { config 's/steps: 20/steps: 0/'; refused 2 c.yaml:18:10: "integer from 1" -- train c.yaml --out m; }
@test "configuration: steps beyond 64 bits" { config 's/steps: 20/steps: 99999999999999999999/'; refused 2 c.yaml:18:10: "integer from 1" -- train c.yaml --out m; }
@test "configuration: no value" { config 's/steps: 20/steps:/'; refused 2 c.yaml:18:9: nothing -- train c.yaml --out m; }
@test "configuration: epsilon not a number" { config 's/epsilon: 3/epsilon: .nan/'; refused 2 c.yaml:13:19: "must be a number" -- train c.yaml --out m; }
@test "configuration: negative epsilon" { config 's/epsilon: 3/epsilon: -3/'; refused 2 c.yaml:13:19: "from 1e-6" -- train c.yaml --out m; }
@test "configuration: delta of 1" { config 's/delta: 1e-5/delta: 1/'; refused 2 c.yaml:14:17: "target_delta" -- train c.yaml --out m; }
@test "configuration: a number with a comma" { config 's/rate: 1/rate: 0,5/'; refused 2 c.yaml:20:18: "must be a number" -- train c.yaml --out m; }
@test "configuration: unknown model" { config 's/bilstm_attention/transformer/'; refused 2 c.yaml:8:9: "logistic, bilstm_attention, encoder or tabular_transformer" -- train c.yaml --out m; }
@test "configuration: unknown sampler" { config 's/^privacy:/&\n  sampler: magic/'; refused 2 c.yaml: "poisson" -- train c.yaml --out m; }
@test "configuration: a sampler that cannot run" { config 's/^privacy:/&\n  sampler: shuffle/'; refused 2 c.yaml: sampler -- train c.yaml --out m; }
@test "configuration: privacy in other words" { config '/^privacy/,/max_grad/d;$aprivacy: off'; refused 2 c.yaml:17:10: '"none"' -- train c.yaml --out m; }
@test "configuration: epsilon and noise multiplier" { config 's/^privacy:/&\n  noise_multiplier: 1/'; refused 2 c.yaml:13:3: "one of target_epsilon and noise_multiplier" -- train c.yaml --out m; }
@test "configuration: neither epsilon nor noise multiplier" { config '/target_epsilon/d'; refused 2 c.yaml:13:3: "one of target_epsilon and noise_multiplier" -- train c.yaml --out m; }
@test "configuration: three of the rates" { config '$a\  sample_rate: 0.1\n  population_size: 500'; refused 2 c.yaml: "one of sample_rate and expected_batch_size" -- train c.yaml --out m; }
@test "configuration: one of the rates, no ledger" { refused 2 train.yaml: "exactly two of sample_rate" -- sealgrad train train.yaml --no-ledger --out m; }
@test "configuration: none of the rates" { config '/expected_batch/d'; refused 2 c.yaml: "sample_rate" -- train c.yaml --out m; }
@test "configuration: batch beyond the population" { config 's/size: 100/size: 501/'; refused 2 c.yaml: "larger than population_size" -- train c.yaml --out m; }
@test "configuration: another population" { config '$a\  population_size: 400'; refused 2 c.yaml: "population_size is 400" "500" "leave it out" -- train c.yaml --out m; }
@test "configuration: microbatch without its size" { config 's/^privacy:/&\n  clip_group: microbatch/'; refused 2 c.yaml:13:3: "needs microbatch_size" -- train c.yaml --out m; }
@test "configuration: microbatch that does not divide" { config 's/^privacy:/&\n  clip_group: microbatch\n  microbatch_size: 7/'; refused 2 c.yaml: "whole multiple of microbatch_size" -- train c.yaml --out m; }
@test "configuration: microbatch size without microbatches" { config 's/^privacy:/&\n  microbatch_size: 4/'; refused 2 c.yaml:13:3: "clip_group: microbatch" -- train c.yaml --out m; }
@test "configuration: panels that do not divide" { config 's/^privacy:/&\n  clip_group: microbatch\n  microbatch_size: 4\n  n_panels: 7/'; refused 2 c.yaml: "n_panels must divide" -- train c.yaml --out m; }
@test "configuration: too much lost to rounding" { config 's/^privacy:/&\n  mass_ratio_max: 1000/'; refused 2 c.yaml: "1 % is the most" -- train c.yaml --out m; }
@test "configuration: dropout without a layer" { config 's/bilstm_attention/logistic/;s/  mlp: 4/  dropout: 0.5/'; refused 2 c.yaml: dropout -- train c.yaml --out m; }
@test "configuration: trainable pattern without a weight" { config 's/  mlp: 4/&\n  trainable: ["wings.*"]/'; refused 2 c.yaml: 'wings.*' -- train c.yaml --out m; }
@test "configuration: base model missing" { config 's/  mlp: 4/&\n  base: nowhere/'; refused 2 nowhere/ "cannot open" -- train c.yaml --out m; }
@test "configuration: base model of another shape" { config 's/hidden: 4/hidden: 5\n  base: m0\n  base_is_public: true/'; refused 2 c.yaml: "of one architecture" -- train c.yaml --out m; }
@test "configuration: private training from a base that nobody answers for" {
    config 's/hidden: 4/&\n  base: m0/'
    refused 5 c.yaml: "base_is_public" -- train c.yaml --out m
}
@test "configuration: unknown noise source" { config 's/^privacy:/&\n  noise_source: dice/'; refused 2 c.yaml: '"dice"' "chacha20 or curand" -- train c.yaml --out m; }
@test "configuration: noise source that is not installed" {
    export SEALGRAD_CURAND=/nonexistent/libcurand.so.10
    refused 1 curand "chacha20" -- train train.yaml --out m --noise-source curand
}
@test "configuration: card that is no number" { refused 2 'cuda:first' "the number of a card" -- train train.yaml --out m --backend cuda:first; }
@test "configuration: schema missing" { config 's/schema.yaml/none.yaml/'; refused 2 none.yaml: "cannot open the schema" -- train c.yaml --out m; }
@test "configuration: no dataset" { config '/dataset/d'; refused 2 c.yaml: "dataset is required" -- train c.yaml --out m; }
@test "configuration: nowhere to write" { refused 2 train "--out DIR" -- train train.yaml; }

# ---- schema
@test "schema: missing file" { refused 2 none.yaml: "cannot open the schema" -- register book.csv none.yaml; }
@test "schema: empty" { : >s.yaml; refused 2 s.yaml:1:1: "is empty" -- register book.csv s.yaml; }
@test "schema: unknown key" { schema 's/^layout/layuot/'; refused 2 s.yaml:1:1: 'did you mean "layout"' -- register book.csv s.yaml; }
@test "schema: unknown layout" { schema 's/wide/diagonal/'; refused 2 s.yaml:1:9: "wide or long" -- register book.csv s.yaml; }
@test "schema: unit that is no column" { schema 's/^unit: id/unit: nobody/'; refused 2 s.yaml:2:7: "role: id" -- register book.csv s.yaml; }
@test "schema: no columns" { schema '/^columns/,/label/d'; refused 2 s.yaml:1:1: '"columns"' -- register book.csv s.yaml; }
@test "schema: unknown role" { schema 's/role: id/role: key/'; refused 2 s.yaml:4:22: "role must be id" -- register book.csv s.yaml; }
@test "schema: column declared twice" { schema 's/name: sex/name: limit/'; refused 2 s.yaml:6:5: "declared twice" -- register book.csv s.yaml; }
@test "schema: number without bounds" { schema 's/, bounds: \[10000, 100000\]//'; refused 2 s.yaml:5:5: "never from the rows" -- register book.csv s.yaml; }
@test "schema: bounds upside down" { schema 's/\[10000, 100000\]/[100000, 10000]/'; refused 2 s.yaml:5:56: "below the highest" -- register book.csv s.yaml; }
@test "schema: bounds that are words" { schema 's/\[10000, 100000\]/[low, high]/'; refused 2 s.yaml:5:57: "must be a number" -- register book.csv s.yaml; }
@test "schema: category without categories" { schema 's/, categories: \[f, m\]//'; refused 2 s.yaml:6:5: "publicly known" -- register book.csv s.yaml; }
@test "schema: category listed twice" { schema 's/\[f, m\]/[f, f]/'; refused 2 s.yaml:6:64: "listed twice" -- register book.csv s.yaml; }
@test "schema: categories of a number" { schema 's/type: category/type: number/'; refused 2 s.yaml:6:5: "belong to type: category" -- register book.csv s.yaml; }
@test "schema: unknown encoding" { schema 's/as: log/as: cube/'; refused 2 s.yaml:5:86: "signed_log" -- register book.csv s.yaml; }
@test "schema: logarithm of 0" { schema 's/\[10000, 100000\]/[0, 100000]/'; refused 2 s.yaml:5: "signed_log takes any value" -- register book.csv s.yaml; }
@test "schema: label that is both" { schema 's/negative: \[0\]/negative: [1]/'; refused 2 s.yaml:7: "also positive" -- register book.csv s.yaml; }
@test "schema: label without negatives" { schema 's/, negative: \[0\]//'; refused 2 s.yaml:7:5: "negative: [...]" -- register book.csv s.yaml; }
@test "schema: no label" { schema '/label/d;$aother_columns: ignore'; refused 2 s.yaml: "role: label" -- register book.csv s.yaml; }
@test "schema: steps of unequal length" { schema 's/m3, m2, m1/m3, m2/'; refused 2 s.yaml:10:27: "same time steps" -- register book.csv s.yaml; }
@test "schema: a step column twice" { schema 's/m3, m2, m1/m3, m2, m2/'; refused 2 s.yaml:9: "declared twice" -- register book.csv s.yaml; }
@test "schema: long without time" { schema 's/wide/long/;/^steps/,/paid/d'; refused 2 s.yaml: "role: time" -- register book.csv s.yaml; }
@test "schema: rows per unit of a wide file" { schema '$arows_per_unit_max: 3'; refused 2 s.yaml:1:1: "layout: long" -- register book.csv s.yaml; }
@test "schema: no split" { schema '/^split/,$d'; refused 2 s.yaml: "no split" "fractions" -- register book.csv s.yaml; }
@test "schema: fractions beyond 1" { schema 's/train: 0.7/train: 0.8/'; refused 2 s.yaml:12:14: "add up to 1" -- register book.csv s.yaml; }
@test "schema: unknown part of the split" { schema 's/train:/trian:/'; refused 2 s.yaml:12:22: "train, validation and test" -- register book.csv s.yaml; }
@test "schema: split without seed" { schema '/seed/d'; refused 2 s.yaml:12:3: "seed:" -- register book.csv s.yaml; }
@test "schema: split file that is nowhere" { schema '/fractions/d;s/seed: 7/{file: s.csv, key: id, column: part}/'; refused 2 s.csv: "beside the data" -- register book.csv s.yaml; }

# ---- data: found at registration, which reads everything; nothing is registered then
@test "data: missing file" { refused 2 none.csv: "cannot open" -- register none.csv schema.yaml; }
@test "data: a folder" { refused 2 keys: "directory" -- register keys schema.yaml; }
@test "data: unreadable file" {
    chmod 0 book.csv
    refused 2 book.csv: "Permission denied" -- as_anybody sealgrad dataset register book.csv --schema schema.yaml --ledger \
        ledger.db --key keys/signing.key --name fresh --population-size 500 --public --quiet
}
@test "data: empty file" { : >d.csv; refused 2 d.csv: "no data records" "header" -- register d.csv schema.yaml; }
@test "data: header only" { data '2,$d'; refused 2 d.csv: "no data records" -- register d.csv schema.yaml; }
@test "data: column missing" { data '1s/,sex//'; refused 2 d.csv:1: "column sex" "not in the header" -- register d.csv schema.yaml; }
@test "data: undeclared column" { data '1s/$/,canary/'; refused 2 d.csv:1: "field 11" "role: ignore" -- register d.csv schema.yaml; }
@test "data: column twice" { data '1s/m2/m1/'; refused 2 d.csv:1: "column m1" twice -- register d.csv schema.yaml; }
@test "data: other separator" { data 's/,/;/g'; refused 2 d.csv:1: separator -- register d.csv schema.yaml; }
@test "data: a word for a number" { data '5s/,[0-9]*,/,canary,/'; refused 2 d.csv:5: "column limit" "plain number" -- register d.csv schema.yaml; }
@test "data: a number with blanks" { data '5s/,\([0-9]\)\([0-9]*\),/,\1 \2,/'; refused 2 d.csv:5: "column limit" "no blanks" -- register d.csv schema.yaml; }
@test "data: infinity" { data '5s/,[0-9]*,/,inf,/'; refused 2 d.csv:5: "column limit" "plain number" -- register d.csv schema.yaml; }
@test "data: a number beyond double" { data '5s/,[0-9]*,/,1e999,/'; refused 2 d.csv:5: "column limit" "plain number" -- register d.csv schema.yaml; }
@test "data: missing value that nothing explains" { data '5s/,[0-9]*,/,,/'; refused 2 d.csv:5: "column limit" "if_missing" -- register d.csv schema.yaml; }
@test "data: unknown category" { data '5s/,[fm],/,canary,/'; refused 2 d.csv:5: "column sex" "if_unknown" -- register d.csv schema.yaml; }
@test "data: empty label" { data '5s/[01]$//'; refused 2 d.csv:5: "column label" "every unit needs one" -- register d.csv schema.yaml; }
@test "data: unknown label" { data '5s/[01]$/canary/'; refused 2 d.csv:5: "column label" "that the schema lists" -- register d.csv schema.yaml; }
@test "data: duplicate id" { data '5s/u00004/u00003/'; refused 2 d.csv:5: "column id" "layout: long" -- register d.csv schema.yaml; }
@test "data: empty id" { data '5s/^u00004//'; refused 2 d.csv:5: "column id" "empty" -- register d.csv schema.yaml; }
@test "data: a field too many" { data '5s/$/,1/'; refused 2 d.csv:5: "11 fields" "quotation marks" -- register d.csv schema.yaml; }
@test "data: a field too few" { data '5s/,[^,]*$//'; refused 2 d.csv:5: "9 fields" "separator" -- register d.csv schema.yaml; }
@test "data: quotation mark inside a field" { data '5s/u0/u"0/'; refused 2 d.csv:5: "double those inside" -- register d.csv schema.yaml; }
@test "data: quotation that never ends" { data '5s/u0/"canary/'; refused 2 d.csv:5: "never closed" -- register d.csv schema.yaml; }
@test "data: not UTF-8" { data '5s/u0/\xff/'; refused 2 d.csv:5: "iconv" -- register d.csv schema.yaml; }
@test "data: UTF-8 cut off at the end" { printf '\xc3' >>book.csv; refused 2 book.csv:602: "UTF-8" -- register book.csv schema.yaml; }
@test "data: UTF-16" { iconv -t UTF-16 book.csv >d.csv; refused 2 d.csv:1: "UTF-8" -- register d.csv schema.yaml; }
@test "data: NUL" { data '5s/u0/\x00/'; refused 2 d.csv:5: "NUL" "UTF-8" -- register d.csv schema.yaml; }
@test "data: line ends of an old Macintosh" { tr '\n' '\r' <book.csv >d.csv; refused 2 d.csv:1: "carriage return" "tr" -- register d.csv schema.yaml; }
@test "data: a field without end" { head -c 100000 /dev/zero | tr '\0' x >d.csv; refused 2 d.csv:1: "64 KiB" -- register d.csv schema.yaml; }
@test "data: more training units than declared" { refused 2 book.csv: "true upper bound" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name n --population-size 5 --public --quiet; }
@test "data: more rows of a customer than declared" {
    cat >s.yaml <<'YAML'
layout: long
unit: who
rows_per_unit_max: 2
columns:
  - {name: who, role: id}
  - {name: month, role: time, type: number}
  - {name: x, role: feature, type: number, bounds: [0, 1]}
  - {name: y, role: label, positive: [1], negative: [0]}
split: {fractions: {train: 0.8, test: 0.2}, seed: 1}
YAML
    printf 'who,month,x,y\ncanary,1,0,1\nb,1,1,0\ncanary,2,0,1\ncanary,3,0,1\n' >d.csv
    refused 2 d.csv:5: "column who" "keep_newest" -- register d.csv s.yaml
}
@test "data: a customer's month twice" {
    printf 'layout: long\nunit: who\nrows_per_unit_max: 3\ncolumns:\n  - {name: who, role: id}\n  - {name: month, role: time}\n' >s.yaml
    printf '  - {name: x, role: feature, type: number, bounds: [0, 1]}\n  - {name: y, role: label, positive: [1], negative: [0]}\n' >>s.yaml
    printf 'split: {fractions: {train: 0.8, test: 0.2}, seed: 1}\n' >>s.yaml
    printf 'who,month,x,y\ncanary,1,0,1\ncanary,1,1,0\n' >d.csv
    refused 2 d.csv:3: "column" -- register d.csv s.yaml
}

# ---- data at training: the run has started by then, so its failure is recorded and its spend kept
@test "training: data gone" {
    rm book.csv
    failed_run 2 data_unreadable book.csv: "cannot open" -- train train.yaml --out m
}
@test "training: data changed since registration" {
    sed -i '5s/,[fm],/,f,/;6s/,[fm],/,m,/;7s/,[fm],/,f,/' book.csv
    failed_run 3 data_mismatch book.csv: "not the bytes that were registered" "new name" -- train train.yaml --out m
}
@test "training: data no longer readable as registered" {
    sed -i '5s/,[fm],/,canary,/' book.csv
    failed_run 2 data_unreadable book.csv:5: "column sex" -- train train.yaml --out m
}
@test "training: rows in another order" {
    { head -n 1 book.csv; tail -n +2 book.csv | tac; } >d.csv
    mv d.csv book.csv
    failed_run 3 data_mismatch book.csv: "not the bytes that were registered" -- train train.yaml --out m
}
@test "training: a file where the model's folder should be" { : >m; refused 2 m: "not a folder" -- train train.yaml --out m; }
@test "training: a place where no model can be written" {
    mkdir locked
    chmod 555 locked
    refused 1 locked/deep/m: "cannot be written there" -- as_anybody sealgrad train train.yaml --ledger ledger.db \
        --key keys/signing.key --out locked/deep/m
}
@test "training: schema changed since registration" {
    schema 's/\[f, m\]/[f, m, x]/'
    cp s.yaml schema.yaml
    refused 2 schema.yaml: 'not the schema with which dataset "book" was registered' "new name" -- train train.yaml --out m
}
@test "training: a hostile secret file" { echo canary >s; refused 2 s: "64 hexadecimal digits" -- train train.yaml --out m --secret s; }
@test "training: dataset that nobody registered" { config 's/dataset: book/dataset: books/'; refused 2 books "dataset register" -- train c.yaml --out m; }

# ---- registration
@test "registration: no limits" { refused 2 register "--epsilon-limit and --delta-limit" "--public" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name n --population-size 500; }
@test "registration: limits of public data" { refused 2 register "leave out" -- register book.csv schema.yaml --public; }
@test "registration: no population size" { refused 2 register "--population-size N" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name n --epsilon-limit 1 --delta-limit 1e-5; }
@test "registration: a name that is taken" { refused 2 book "another --name" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name book --population customers --population-size 500 --epsilon-limit 4 --delta-limit 1e-4 --quiet; }
@test "registration: other limits for the same people" { refused 2 customers "for life" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name b --population customers --population-size 500 --epsilon-limit 8 --delta-limit 1e-4 --quiet; }
@test "registration: people with a limit as public" { refused 2 customers "public" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name b --population customers --population-size 500 --public --quiet; }
@test "registration: limit of 0" { refused 2 --epsilon-limit "between 1e-6" -- sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name n --epsilon-limit 0 --delta-limit 1e-5; }
@test "registration: unknown verb" { refused 2 dataset '"unregister"' -- sealgrad dataset unregister book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name n; }
@test "draft: a schema that exists" { refused 2 schema.yaml: "not overwritten" -- sealgrad schema draft book.csv --out schema.yaml; }
@test "draft: missing data" { refused 2 none.csv: "cannot open" -- sealgrad schema draft none.csv --out s.yaml; }

# ---- model folder
@test "model: missing folder" { rm -r m0; refused 2 m0/ "cannot open" -- score; }
@test "model: a file" { rm -r m0; : >m0; refused 2 m0/ "Not a directory" -- score; }
@test "model: weights missing" { rm m0/model.safetensors; refused 2 m0/model.safetensors: "cannot open" -- score; }
@test "model: config.json missing" { rm m0/config.json; refused 2 m0/config.json: "cannot open" -- score; }
@test "model: schema missing" { rm m0/schema.yaml; refused 2 m0/schema.yaml: "cannot open" -- score; }
@test "model: statement missing" { rm m0/statement.json; refused 2 m0/statement.json: "cannot open" -- score; }
@test "model: weights cut off" { truncate -s -4 m0/model.safetensors; refused 2 m0/model.safetensors: "outside the file" -- score; }
@test "model: weights cut off inside the header" { truncate -s 100 m0/model.safetensors; refused 2 m0/model.safetensors: "header length" -- score; }
@test "model: weights empty" { : >m0/model.safetensors; refused 2 m0/model.safetensors: "0 bytes" -- score; }
@test "model: weights with a tail" { echo tail >>m0/model.safetensors; refused 2 m0/model.safetensors: "5 bytes follow" -- score; }
@test "model: a header longer than memory" { printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=m0/model.safetensors conv=notrunc status=none; refused 2 m0/model.safetensors: "header length" -- score; }
@test "model: a header that is not JSON" { sed -i '1s/{"__meta/["__meta/' m0/model.safetensors; refused 2 m0/model.safetensors: "JSON" -- score; }
@test "model: overlapping tensors" { sed -i 's/\[448,896\]/[440,888]/' m0/model.safetensors; refused 2 m0/model.safetensors: "lstm.0.reverse.weight" -- score; }
@test "model: a shape that overflows" { sed -i 's/"F32","shape":\[16,7\],"data_offsets":\[0,448\]/"F32","shape":[9e9],"data_offsets":[0,448]/' m0/model.safetensors; refused 2 m0/model.safetensors: -- score; }
@test "model: a weight that is not a number" { patch_at_end m0/model.safetensors '\xff\xff\xff\x7f'; refused 2 m0/model.safetensors: "linear.weight" "not finite" -- score; }
@test "model: an infinite weight" { patch_at_end m0/model.safetensors '\x00\x00\x80\x7f'; refused 2 m0/model.safetensors: "linear.weight" "not finite" -- score; }
@test "model: half precision" { sed -i 's/F32/F16/' m0/model.safetensors; refused 2 m0/model.safetensors: "lstm.0.forward.weight" "dtype" -- score; }
@test "model: transposed tensor" { sed -i 's/\[16,7\]/[7,16]/' m0/model.safetensors; refused 2 m0/model.safetensors: "lstm.0.forward.weight" "(16, 7)" -- score; }
@test "model: another schema" { sed -i 's/seed: 7/seed: 8/' m0/schema.yaml; refused 2 m0/config.json: "not the digest of schema.yaml" restore -- score; }
@test "model: inputs of another schema" { sed -i 's/n_features": 2/n_features": 3/' m0/config.json; refused 2 m0/config.json: "not the schema's" restore -- score; }
@test "model: other width than its weights" { sed -i 's/hidden": 4/hidden": 5/' m0/config.json; refused 2 m0/model.safetensors: "lstm.0.forward.weight" -- score; }
@test "model: a width to fill any memory" { sed -i 's/hidden": 4/hidden": 16384/;s/layers": 1/layers": 8/' m0/config.json; refused 2 m0/model.safetensors: -- score; }
@test "model: a width beyond all limits" { sed -i 's/hidden": 4/hidden": 4000000000/' m0/config.json; refused 2 m0/config.json: "hidden" -- score; }
@test "model: a width in words" { sed -i 's/hidden": 4/hidden": "4"/' m0/config.json; refused 2 m0/config.json: "hidden" "integer" -- score; }
@test "model: unknown key" { sed -i 's/"hidden/"hiden/' m0/config.json; refused 2 m0/config.json: "hiden" -- score; }
@test "model: unknown kind" { sed -i 's/bilstm_attention/oracle/' m0/config.json; refused 2 m0/config.json: "kind" -- score; }
@test "model: unknown format" { sed -i 's/sealgrad_model": 1/sealgrad_model": 2/' m0/config.json; refused 2 m0/config.json: "format 2" -- score; }
@test "model: config.json cut off" { truncate -s 40 m0/config.json; refused 2 m0/config.json: -- score; }
@test "model: config.json nested without end" {
    printf '[%.0s' {1..100000} >m0/config.json
    refused 2 m0/config.json: -- score
}
@test "score: data missing" { refused 2 none.csv: "cannot open" -- sealgrad score m0 --data none.csv --out s.csv; }
@test "score: a folder that is not there" { refused 1 nowhere/s.csv "cannot write" -- sealgrad score m0 --data book.csv --out nowhere/s.csv --quiet; }
@test "score: data of another schema" { data '1s/sex/gender/'; refused 2 d.csv:1: -- sealgrad score m0 --data d.csv --out s.csv --quiet; }
@test "score: unknown split" { refused 2 split '"everyone"' -- sealgrad score m0 --data book.csv --out s.csv --split everyone --quiet; }
@test "evaluate: no labels" { data 's/,[^,]*$//'; refused 2 d.csv:1: "column label" -- sealgrad evaluate m0 --data d.csv --quiet; }

# ---- keys
init() { sealgrad ledger init new.db --origin new.example/book --key "$@"; }
@test "keys: missing" { refused 2 none.key: "cannot read the signing key" -- init none.key; }
@test "keys: a folder" { refused 2 keys: "not a regular file" -- init keys; }
@test "keys: others may read it" { chmod 644 keys/signing.key; refused 2 keys/signing.key: "chmod 600" -- init keys/signing.key; }
@test "keys: unreadable" { chmod 0 keys/signing.key; refused 2 keys/signing.key: "Permission denied" -- as_anybody sealgrad ledger init new.db --origin n --key keys/signing.key; }
@test "keys: garbage" { head -c 500 /dev/zero >keys/signing.key; refused 2 keys/signing.key: "not a sealgrad signing key" keygen -- init keys/signing.key; }
@test "keys: cut off" { truncate -s 80 keys/signing.key; refused 2 keys/signing.key: damaged -- init keys/signing.key; }
@test "keys: halves of two pairs" {
    sealgrad keygen --out keys --name other --no-passphrase >/dev/null
    sed -i "s|^secret.*|$(grep ^secret keys/other.key)|" keys/signing.key
    refused 2 keys/signing.key: "do not belong together" -- init keys/signing.key
}
@test "keys: the public half" { chmod 600 keys/signing.pub; refused 2 keys/signing.pub: "not a sealgrad signing key" -- init keys/signing.pub; }
@test "keys: sealed" {
    echo canary >pass; echo other >wrong; : >empty
    sealgrad keygen --out sealed --unlock-file pass >/dev/null
    refused 2 sealed/signing.key "--unlock-file" -- init sealed/signing.key
    refused 2 sealed/signing.key: "wrong passphrase" -- init sealed/signing.key --unlock-file wrong
    refused 2 empty: "first line" -- init sealed/signing.key --unlock-file empty
    refused 2 none: "passphrase file" -- init sealed/signing.key --unlock-file none
}
@test "keys: a pair that exists" { refused 2 keys/signing.key "another --name" -- sealgrad keygen --out keys --no-passphrase; }
@test "keys: no passphrase given" { refused 2 keygen "--unlock-file" -- sealgrad keygen --out k; }
@test "keys: a name with a slash" { refused 2 "key name" "1 to 100" -- sealgrad keygen --out k --name ../k --no-passphrase; }
@test "keys: a key that this ledger does not know" {
    sealgrad keygen --out other --no-passphrase >/dev/null
    refused 2 ledger.db: "the key signing" "may not write" -- sealgrad train train.yaml --ledger ledger.db --key other/signing.key --out m
}

# ---- ledger
on() { sealgrad train train.yaml --ledger "$1" --key keys/signing.key --out m --quiet; }
@test "ledger: missing" { refused 2 none.db: "sealgrad ledger init" -- on none.db; }
@test "ledger: none named" { refused 2 train "--no-ledger" -- sealgrad train train.yaml --out m; }
@test "ledger: a folder" { refused 2 keys: "not a file" -- on keys; }
@test "ledger: not a database" { refused 3 book.csv: "not a ledger" -- on book.csv; }
@test "ledger: empty" { : >empty.db; refused 3 empty.db: "not a ledger" -- on empty.db; }
@test "ledger: another application's database" { sqlite3 other.db 'CREATE TABLE a (b)'; refused 3 other.db: "not a ledger" -- on other.db; }
@test "ledger: cut off" { truncate -s 30000 ledger.db; refused 3 ledger.db: "ledger verify" -- on ledger.db; }
@test "ledger: cut off inside its first page" { truncate -s 1000 ledger.db; refused 3 ledger.db: -- on ledger.db; }
@test "ledger: a table too many" { sqlite3 ledger.db 'CREATE TABLE extra (b)'; refused 3 ledger.db: schema -- on ledger.db; }
@test "ledger: a trigger gone" { sqlite3 ledger.db "$(sqlite3 ledger.db "SELECT 'DROP TRIGGER '||name FROM sqlite_master WHERE type='trigger' LIMIT 1")"; refused 3 ledger.db: schema -- on ledger.db; }
@test "ledger: a folder that cannot be written" {
    mkdir locked
    mv ledger.db ledger.db.side.db locked/
    chmod 555 locked
    refused 1 locked/ledger.db -- as_anybody sealgrad train train.yaml --ledger locked/ledger.db --key keys/signing.key --out m
}
@test "ledger: an older copy than this machine has seen" {
    cp spent.db.side.db ledger.db.side.db
    refused 3 ledger.db: "older copy" -- on ledger.db
}
@test "ledger: side storage gone" {
    rm ledger.db.side.db
    sha256sum ledger.db >before
    capture on ledger.db
    [ "$status" -eq 1 ] || complain "status 1"
    one_line book "side storage"
    sha256sum --check --quiet before
}
@test "ledger: init over one that exists" { refused 2 ledger.db "exists already" -- sealgrad ledger init ledger.db --origin o --key keys/signing.key; }
@test "ledger: init with a blank in its name" { refused 2 "ledger's name" "without blanks" -- sealgrad ledger init new.db --origin 'a b' --key keys/signing.key; }
@test "ledger: init in a folder that is not there" { refused 2 nowhere/new.db: "cannot make the ledger" -- sealgrad ledger init nowhere/new.db --origin o --key keys/signing.key; }
@test "ledger: unknown verb" { refused 2 ledger "--help" -- sealgrad ledger destroy ledger.db; }
@test "ledger: verify nothing" { refused 2 none.db: "cannot open" -- sealgrad ledger verify none.db; }
@test "ledger: verify against a trust file that is not there" { refused 2 none.pub: "trust file" -- sealgrad ledger verify ledger.db --trust none.pub; }
@test "ledger: verify against a trust file of other words" { refused 2 book.csv:1: "log VKEY" -- sealgrad ledger verify ledger.db --trust book.csv; }
@test "ledger: show a run that is not there" { refused 2 '"run-9"' "ledger runs" -- sealgrad ledger show ledger.db run-9; }
@test "ledger: show a leaf that is not there" { refused 2 "leaf 99" -- sealgrad ledger show ledger.db leaf:99; }
@test "ledger: a date in words" { refused 2 --since "YYYY-MM-DD" -- sealgrad ledger runs ledger.db --since yesterday; }
@test "ledger: unknown view" { refused 2 view "trace, lineage" -- sealgrad ledger query ledger.db --view everything; }
verdict() { # status, words: verify's verdict is its message, on stdout
    capture sealgrad ledger verify "${@:3}"
    [ "$status" -eq "$1" ] || complain "status $1"
    grep -q "$2" "$BATS_TEST_TMPDIR/stdout" || complain "$2"
    [ ! -s "$BATS_TEST_TMPDIR/stderr" ] || complain "nothing on stderr"
}
@test "ledger: verify what is not a ledger" {
    : >empty.db
    head -c 30000 ledger.db >cut.db
    for file in book.csv empty.db cut.db; do
        verdict 3 '^BROKEN' "$file" --trust keys/signing.pub --allow-unwitnessed
    done
}
@test "ledger: verify against another key" {
    sealgrad keygen --out other --no-passphrase >/dev/null
    verdict 3 'another key than the one you trust' ledger.db --trust other/signing.pub --allow-unwitnessed
}

# ---- budget
@test "budget: the run does not fit" { refused 5 customers "does not fit" "would fit" -- on spent.db; }
@test "budget: the first run is already too large" { config 's/epsilon: 3/epsilon: 5/;s/steps: 20/steps: 5/'; refused 5 customers "epsilon 5.000" "would fit" -- train c.yaml --out m; }
@test "budget: delta beyond the limit" { config 's/delta: 1e-5/delta: 1e-3/'; refused 5 customers "delta 0.001" -- train c.yaml --out m; }
@test "budget: no privacy on people with a limit" { config '/^privacy/,/max_grad/d;$aprivacy: none'; refused 5 customers "set privacy" -- train c.yaml --out m; }
@test "budget: unknown population" { refused 2 population "--view populations" -- sealgrad budget nobody --ledger ledger.db; }
@test "budget: no ledger" { refused 2 budget "--ledger FILE is required" -- sealgrad budget customers; }

# ---- options
@test "options: unknown" { refused 2 --epslion "sealgrad train --help" -- sealgrad train train.yaml --epslion 3; }
@test "options: no value" { refused 2 --workers "needs a value" -- sealgrad train train.yaml --workers; }
@test "options: not a number" { refused 2 --workers many -- sealgrad train train.yaml --workers many; }
@test "options: out of range" { refused 2 --workers 1024 -- sealgrad train train.yaml --workers 5000; }
@test "options: twice" { refused 2 --out -- sealgrad train train.yaml --out m --out n; }
@test "options: a value for a flag" { refused 2 --json "takes no value" -- sealgrad train train.yaml --json=yes; }
@test "options: too many arguments" { refused 2 train 'unexpected argument "more"' -- sealgrad train train.yaml more; }
@test "bench: unknown workload" { refused 2 bench "W1, W1L, T24, W2, W3, MINILM" -- sealgrad bench W9; }
@test "bench: tensors that are none" { refused 2 book.csv -- sealgrad bench W3 --units 3 --tensors book.csv; }
