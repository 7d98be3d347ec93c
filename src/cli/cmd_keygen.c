/* sealgrad keygen: a signing key pair. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "audit/key.h"
#include "base/file.h"
#include "commands.h"
#include "options.h"
#include "print_rows.h"

/* One line from the terminal, unseen. */
static enum sg_status read_unseen(const char *prompt, char out[1024])
{
    struct termios before, after;
    fputs(prompt, stderr);
    if (tcgetattr(STDIN_FILENO, &before))
        return sg_fail(SG_USAGE, "keygen: the terminal cannot hide what is typed: use --unlock-file");
    after = before;
    after.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &after);
    char *line = fgets(out, 1024, stdin);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputs("\n", stderr);
    if (!line)
        return sg_fail(SG_USAGE, "keygen: no passphrase was given");
    out[strcspn(out, "\n")] = 0;
    return SG_OK;
}

static enum sg_status ask(char out[1024])
{
    char again[1024];
    if (!isatty(STDIN_FILENO))
        return sg_fail(SG_USAGE,
                       "keygen: say --unlock-file FILE (its first line is the passphrase) or --no-passphrase");
    SG_TRY(read_unseen("passphrase for the new key: ", out));
    enum sg_status status = read_unseen("the same once more: ", again);
    if (status == SG_OK && strcmp(out, again) != 0)
        status = sg_fail(SG_USAGE, "keygen: the two passphrases differ; nothing was written");
    sg_wipe(again, sizeof again);
    return status;
}

static enum sg_status from_file(const char *path, char out[1024])
{
    struct sg_buffer text = {0};
    SG_TRY(sg_file_read(path, "passphrase file", 1000, &text));
    snprintf(out, 1024, "%s", text.data ? text.data : "");
    out[strcspn(out, "\r\n")] = 0;
    sg_buffer_free(&text);
    return *out ? SG_OK : sg_fail(SG_USAGE, "%s: the first line must hold the passphrase", path);
}

/* `key`: where the secret is. */
static enum sg_status print_result(const char *folder, const char *name, const char *key, bool json)
{
    char *pub = sg_format("%s/%s.pub", folder, name);
    struct sg_buffer vkey = {0};
    enum sg_status status = sg_file_read(pub, "public key", 4096, &vkey);
    if (status == SG_OK)
        vkey.data[strcspn(vkey.data, "\n")] = 0;
    if (status == SG_OK && json) {
        json_t *object = json_pack("{s:s, s:s, s:s}", "key", key, "public", pub, "vkey", vkey.data);
        sg_print_json(object);
        json_decref(object);
    } else if (status == SG_OK) {
        printf("secret key   %s (%s)\npublic key   %s (give it to whoever verifies)\n             %s\n", key,
               strncmp(key, "pkcs11:", 7) == 0 ? "it never leaves the module" : "0600: keep it", pub, vkey.data);
    }
    sg_buffer_free(&vkey);
    free(pub);
    return status;
}

/* Only the public half of a key that exists already, mostly in an HSM. */
static enum sg_status export_public(const char *from, const char *folder, const char *unlock, bool json)
{
    struct sg_signer *signer = NULL;
    SG_TRY(sg_signer_open(from, unlock, &signer));
    enum sg_status status = sg_key_export(folder, signer);
    if (status == SG_OK)
        status = print_result(folder, sg_signer_vkey(signer)->name, from, json);
    sg_signer_close(&signer);
    return status;
}

static enum sg_status parse_algorithm(const char *text, enum sg_algorithm *out)
{
    *out = strcmp(text, "p256") == 0 ? SG_ALGORITHM_P256 : SG_ALGORITHM_ED25519;
    return *out == SG_ALGORITHM_P256 || strcmp(text, "ed25519") == 0
               ? SG_OK
               : sg_fail(SG_USAGE, "keygen: --algorithm takes ed25519 or p256");
}

enum sg_status sg_cmd_keygen(int argc, char **argv)
{
    const char *folder = NULL, *name = "signing", *unlock = NULL, *algorithm_name = "ed25519", *from = NULL;
    enum sg_algorithm algorithm;
    bool no_passphrase = false, json = false;
    const struct sg_option options[] = {
        {.name = "out",
         .type = SG_OPTION_TEXT,
         .value = &folder,
         .argument = "DIR",
         .help = "folder for NAME.key and NAME.pub",
         .required = true},
        {.name = "name",
         .type = SG_OPTION_TEXT,
         .value = &name,
         .argument = "NAME",
         .help = "file and key name (signing)"},
        {.name = "algorithm",
         .type = SG_OPTION_TEXT,
         .value = &algorithm_name,
         .argument = "ALGORITHM",
         .help = "ed25519 (the default) or p256"},
        {.name = "from",
         .type = SG_OPTION_TEXT,
         .value = &from,
         .argument = "KEY",
         .help = "make nothing: write the .pub of this key, e.g. pkcs11:..."},
        {.name = "unlock-file",
         .type = SG_OPTION_TEXT,
         .value = &unlock,
         .argument = "FILE",
         .help = "its first line is the passphrase"},
        {.name = "no-passphrase",
         .type = SG_OPTION_FLAG,
         .value = &no_passphrase,
         .help = "leave the secret key unsealed (file mode 0600)"},
        {.name = "json", .type = SG_OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    const struct sg_command_line line = {
        .name = "keygen",
        .summary = "make a signing key pair",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .details = "The secret key is sealed by the passphrase (Argon2id). A key for a batch job may stay unsealed, or "
                   "be unlocked by a\n"
                   "file that only the job's account can read; never by an argument or the environment.\n",
    };
    char passphrase[1024] = "";
    SG_TRY(sg_options_parse(&line, argc, argv, NULL, NULL));
    if (unlock && no_passphrase)
        return sg_fail(SG_USAGE, "keygen: --unlock-file and --no-passphrase exclude each other");
    SG_TRY(parse_algorithm(algorithm_name, &algorithm));
    if (from)
        return export_public(from, folder, unlock, json);
    enum sg_status status = SG_OK;
    if (!no_passphrase)
        status = unlock ? from_file(unlock, passphrase) : ask(passphrase);
    if (status == SG_OK)
        status = sg_key_generate(folder, name, algorithm, no_passphrase ? NULL : passphrase);
    sg_wipe(passphrase, sizeof passphrase);
    SG_TRY(status);
    char *key = sg_format("%s/%s.key", folder, name);
    status = print_result(folder, name, key, json);
    free(key);
    return status;
}
