# Would catch: a program that does not start, lists a command that it does not have, or answers a wrong call with success.
setup() { PATH="$SEALGRAD_PROGRAMS:$PATH"; }

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
    [[ "$output" == "epsilon        4.72838698 "* ]]
    run sealgrad epsilon --zcdp 0.5 --delta 1e-5 --gaussian 1,1 # it would be left out
    [ "$status" -eq 2 ]
}
