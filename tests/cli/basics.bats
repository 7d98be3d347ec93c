# Would catch: a program that does not start, lists a command that it does not have, or answers a wrong call with success.
setup() { PATH="$SEALGRAD_PROGRAMS:$PATH"; }

bats_require_minimum_version 1.5.0 # `run -0`

@test "help lists the commands and exits 0" {
    run sealgrad --help
    [ "$status" -eq 0 ]
    [[ "$output" == *"usage: sealgrad COMMAND"* ]]
    [[ "$output" == *"  train "* ]]
}

@test "no command is a usage error" {
    run sealgrad
    [ "$status" -eq 2 ]
}

@test "an unknown command is named, with the remedy" {
    run sealgrad trian
    [ "$status" -eq 2 ]
    [ "$output" = 'sealgrad: unknown command "trian"; sealgrad --help lists them' ]
}

@test "an unknown option is named, with the remedy" {
    run sealgrad train x.yaml --epslion 3
    [ "$status" -eq 2 ]
    [ "$output" = "sealgrad: train: unknown option --epslion; see sealgrad train --help" ]
}

@test "epsilon: trials are never left out silently" {
    run sealgrad epsilon --gaussian 1,1 --delta 1e-5 --trials 3
    [ "$status" -eq 2 ]
    [[ "$output" == *"--trials needs --tuning LAW"* ]]
    run sealgrad epsilon --gaussian 1,1 --delta 1e-5 --tuning geometric
    [ "$status" -eq 2 ]
    [[ "$output" == *"--tuning needs --trials K"* ]]
}

@test "epsilon: Gaussian DP and zCDP convert both ways" {
    run sealgrad epsilon --gaussian 1,1 --delta 1e-5
    [ "$status" -eq 0 ]
    [[ "$output" == *"epsilon        4.3771781 "* && "$output" == *"Gaussian DP    mu 1; zCDP rho 0.5"* ]]
    run sealgrad epsilon --gdp 1 --delta 1e-5
    [[ "$output" == "epsilon        4.3771781 "* ]]
    run sealgrad epsilon --zcdp 0.5 --delta 1e-5
    [[ "$output" == "epsilon        4.72838699 "* ]]
    run sealgrad epsilon --zcdp 0.5 --delta 1e-5 --gaussian 1,1 # it would be left out
    [ "$status" -eq 2 ]
}

@test "epsilon: a printed bound is a bound: never below the figure it was cut from, nor a lower one above it" {
    for noise in 0.81 1.07 1.33 2.9; do
        local history="--sample-rate 0.013 --noise-multiplier $noise --steps 777 --delta 1e-6"
        run -0 sealgrad epsilon $history
        local upper=$(awk '/^epsilon/ {print $2}' <<<"$output") lower=$(awk '/^lower/ {print $3}' <<<"$output")
        run -0 sealgrad epsilon $history --json
        run -0 python3 -c 'import json, sys
figure = json.loads(sys.argv[1])
assert 0 <= float(sys.argv[2]) / figure["epsilon"] - 1 < 1e-8, (sys.argv[2], figure)
assert 0 <= 1 - float(sys.argv[3]) / figure["epsilon_lower"] < 1e-8, (sys.argv[3], figure)' "$output" "$upper" "$lower"
    done
}
