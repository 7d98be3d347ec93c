/* make_fixture FOLDER [p256]: a witnessed ledger of 20 events and its policy, for tests in other languages. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "fixture.h"

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return 2;
    struct sg_signer *signer = argc == 3 ? fixture_signer_p256(1) : fixture_signer(1);
    struct sg_trust policy;
    struct sg_buffer text = {0};
    char *path = fixture_twenty(argv[1], signer), *out = sg_format("%s/policy", argv[1]);
    fixture_witness(argv[1], path, signer, &policy);
    sg_buffer_text(&text, "log ");
    sg_vkey_print(&policy.logs[0], &text);
    sg_buffer_text(&text, "\nwitness officer ");
    sg_vkey_print(&policy.witnesses[0], &text);
    sg_buffer_text(&text, "\ngroup all-of-them all officer\nquorum all-of-them\n");
    if (sg_file_write(out, text.data, text.len, 0644) != SG_OK)
        return 1;
    sg_buffer_free(&text);
    sg_signer_close(&signer);
    free(path);
    free(out);
    return 0;
}
