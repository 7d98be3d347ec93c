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
