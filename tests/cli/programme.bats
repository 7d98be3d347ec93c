# Would catch: a programme that is charged again run by run, one draw too many, a draw with another configuration, a killed run
# that gives its place back, a refused programme that leaves something behind, and an answer that does not say what it costs.
load book

setup_file() {
    start_journey
    make_journey
    sed -i 's/epsilon: 3/epsilon: 1/' train.yaml
}

setup() { copy_journey; }

programme() { # arguments
    sealgrad programme register "$@" --ledger ledger.db --key keys/signing.key
}

@test "three runs are fixed, charged once and drawn; the fourth is refused with 5" {
    mv book.csv elsewhere.csv # registering opens no data
    programme train.yaml --runs 3 --json >p.json
    mv elsewhere.csv book.csv
    [ "$(wc -l <p.json)" -eq 1 ]
    id=$(of p.json "o['programme_id']")
    [[ "$id" =~ ^prog-000001-[0-9a-f]{8}$ ]]
    [ "$(of p.json "(o['runs'], o['population'], o['delta'], o['epsilon_spent'] == o['epsilon'], o['epsilon_limit'])")" = "(3, 'customers', 1e-05, True, 4.0)" ]
    [ "$(of p.json "1.7 < o['epsilon'] < 1.8 and abs(o['epsilon_left'] + o['epsilon'] - 4) < 1e-12")" = True ]
    for n in 1 2 3; do
        train train.yaml --programme "$id" --out "m$n" --json >t.json
        [ "$(of t.json "(o['programme']['drawn'], o['programme']['runs'], o['programme']['programme_id'] == '$id')")" = "($n, 3, True)" ]
    done
    refused 5 "$id" "all its 3 runs are drawn" -- train train.yaml --programme "$id" --out m4
    sealgrad budget customers --ledger ledger.db --json >b.json
    [ "$(of b.json "(o['runs'], o['epsilon_spent']) == (3, $(of p.json "o['epsilon']"))")" = True ]
    [ "$(of b.json "[(p['runs'], p['drawn']) for p in o['programmes']]")" = "[(3, 3)]" ]
    [ "$(of b.json "o['more_runs_like_last'] > 3")" = True ]
    verify
}

@test "in words: the cost, what is left, and how to draw a run" {
    programme train.yaml --runs 3 >p.txt
    id=$(grep -o 'prog-[0-9a-f-]*' p.txt | head -n 1)
    grep -q '^  cost  *epsilon 1.7[0-9]*, delta 1e-05 for all of them together, drawn or not$' p.txt || { cat p.txt; false; }
    grep -q 'of 4.0000 .* spent on customers; epsilon 2.2[0-9]* is left$' p.txt || { cat p.txt; false; }
    grep -q "sealgrad train CONFIG --programme $id\$" p.txt
    train train.yaml --programme "$id" --out m >t.txt
    grep -q "^programme  *run 1 of 3 of $id; charged with it, nothing more\$" t.txt || { cat t.txt; false; }
    sealgrad budget customers --ledger ledger.db >b.txt
    grep -q "^programme  *$id: 1 of 3 runs drawn; all of them cost epsilon 1.7[0-9]*, delta 1e-05\$" b.txt || { cat b.txt; false; }
    grep -qE '; [0-9]+ more runs like the last one fit$' b.txt || { cat b.txt; false; }
    sealgrad ledger query ledger.db --view programmes --format csv | grep -qF "\"$id\",\"book\",\"customers\",3,1,"
    sealgrad ledger query ledger.db "$id" --view drawn --format csv | grep -qF '"complete","book"'
}

@test "a changed configuration is refused by the first field that differs; what is not in the plan may change" {
    id=$(programme train.yaml --runs 2 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["programme_id"])')
    config 's/steps: 20/steps: 19/'
    refused 2 "$id" "steps is 19 instead of 20" -- train c.yaml --programme "$id" --out m
    config 's/batch_size: 100/batch_size: 90/'
    refused 2 "$id" "sample_rate is 0.18 instead of 0.2" -- train c.yaml --programme "$id" --out m
    config 's/hidden: 4/hidden: 5/'
    refused 2 "$id" "n_weights is" -- train c.yaml --programme "$id" --out m
    refused 2 "prog-000009-00000000" "not registered" -- train train.yaml --programme prog-000009-00000000 --out m
    refused 2 "--programme" "--no-ledger" -- sealgrad train train.yaml --programme "$id" --no-ledger --out m --quiet
    config 's/learning_rate: 1/learning_rate: 0.5/'
    train c.yaml --programme "$id" --out m --json >/dev/null
    verify
}

@test "a programme over the limit is refused with 5 and leaves nothing; one that just fits is admitted" {
    refused 5 customers "this programme of 30 runs" "would fit" -- programme train.yaml --runs 30
    fits=$(grep -o '[0-9]* runs of it would fit' "$BATS_TEST_TMPDIR/stderr" | cut -d' ' -f1)
    refused 5 customers "$fits runs of it would fit" -- programme train.yaml --runs $((fits + 1))
    programme train.yaml --runs "$fits" >/dev/null
    refused 2 "--runs" -- programme train.yaml --runs 0
    refused 2 "--runs" -- programme train.yaml
    refused 2 programme verb -- sealgrad programme drop train.yaml --runs 3
    verify
}

@test "a killed run and a failed run keep their place" {
    id=$(programme train.yaml --runs 2 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["programme_id"])')
    mv book.csv elsewhere.csv
    mkfifo book.csv # the run waits for its data: it has begun, and is killed
    sealgrad train train.yaml --ledger ledger.db --key keys/signing.key --programme "$id" --out m --quiet >o 2>e 3>&- &
    job=$!
    for _ in $(seq 200); do
        sealgrad ledger runs ledger.db --json 2>/dev/null | grep -q '"status":"running"' && break
        sleep .05
    done
    kill -KILL $job
    wait $job || true
    rm book.csv
    capture train train.yaml --programme "$id" --out m # no data: it fails
    [ "$status" -ne 0 ]
    mv elsewhere.csv book.csv
    refused 5 "$id" "all its 2 runs are drawn" -- train train.yaml --programme "$id" --out m
    capture verify
    [ "$status" -eq 4 ] || complain "an unfinished run"
    sealgrad budget customers --ledger ledger.db --json >b.json
    [ "$(of b.json "(o['runs'], o['open_runs'], o['programmes'][0]['drawn'])")" = "(2, 1, 2)" ]
}

@test "dataset register says how many runs would fit" {
    sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name b --population b \
        --population-size 500 --epsilon-limit 6 --delta-limit 1e-5 --quiet --json >d.json
    [ "$(of d.json "(o['runs_of_epsilon_1'], o['runs_of_epsilon_3'])")" = "(21, 2)" ]
    sealgrad dataset register book.csv --schema schema.yaml --ledger ledger.db --key keys/signing.key --name c --population c \
        --population-size 500 --epsilon-limit 3 --delta-limit 1e-5 --quiet >d.txt
    grep -q '^  room for runs  *about 6 at epsilon 1, or 1 at epsilon 3, chosen one after another' d.txt || { cat d.txt; false; }
}
