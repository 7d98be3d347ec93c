/* make_fixture FOLDER [p256|programme|compromised|events|forge N]: a witnessed ledger of 20 events (signed by P-256; with a
 * programme, 23; with an event by a key that is then revoked as compromised, 23; with heartbeats, gaps and signatures of people; with the N-th forgery among those) and its policy, for
 * tests in other languages. Status 9: there is no N-th forgery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "fixture_events.h"

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4)
        return 2;
    const char *kind = argc > 2 ? argv[2] : "";
    bool is_p256 = strcmp(kind, "p256") == 0, is_forged = strcmp(kind, "forge") == 0 && argc == 4;
    struct sg_signer *signer = is_p256 ? fixture_signer_p256(1) : fixture_signer(1);
    struct sg_trust policy;
    struct sg_buffer text = {0};
    char *path = strcmp(kind, "programme") == 0             ? fixture_programme(argv[1], signer)
                 : strcmp(kind, "compromised") == 0         ? fixture_compromised(argv[1], signer)
                 : strcmp(kind, "events") == 0 || is_forged ? fixture_events(argv[1], signer)
                                                            : fixture_twenty(argv[1], signer);
    if (is_forged && !fixture_forge(path, signer, (size_t)atoi(argv[3]))) {
        sg_signer_close(&signer); /* a leak would change the status */
        free(path);
        return 9;
    }
    char *out = sg_format("%s/policy", argv[1]);
    fixture_witness(argv[1], path, signer, &policy);
    fixture_policy(&policy.logs[0], &policy.witnesses[0], &text);
    if (sg_file_write(out, text.data, text.len, 0644) != SG_OK)
        return 1;
    sg_buffer_free(&text);
    sg_signer_close(&signer);
    free(path);
    free(out);
    return 0;
}
