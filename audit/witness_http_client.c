#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "audit/witness_http.h"
#include "base/number.h"
#include "schema.h"
#include "store.h"

enum { RESPONSE_MAX = 1 << 16, TIMEOUT_S = 30 };

/* Loaded when it is needed: libcurl brings two dozen libraries, and nobody else shall wait for them at start. */
static struct {
    typeof(curl_global_init) *global_init;
    typeof(curl_global_cleanup) *global_cleanup;
    typeof(curl_easy_init) *init;
    typeof(curl_easy_setopt) *set;
    typeof(curl_easy_perform) *perform;
    typeof(curl_easy_getinfo) *get;
    typeof(curl_easy_strerror) *explain;
    typeof(curl_easy_cleanup) *cleanup;
    typeof(curl_slist_append) *append;
    typeof(curl_slist_free_all) *free_list;
} lib;

static enum sg_status load(void)
{
    static const struct {
        const char *name;
        void *at;
    } functions[] = {
        {"curl_global_init", &lib.global_init}, {"curl_global_cleanup", &lib.global_cleanup},
        {"curl_easy_init", &lib.init},          {"curl_easy_setopt", &lib.set},
        {"curl_easy_perform", &lib.perform},    {"curl_easy_getinfo", &lib.get},
        {"curl_easy_strerror", &lib.explain},   {"curl_easy_cleanup", &lib.cleanup},
        {"curl_slist_append", &lib.append},     {"curl_slist_free_all", &lib.free_list},
    };
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sg_fail(SG_FAILED, "--url needs libcurl: install libcurl4, or send --request-to by other means");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!(*(void **)functions[i].at = dlsym(library, functions[i].name)))
            return sg_fail(SG_FAILED, "libcurl.so.4 has no %s: install a newer one", functions[i].name);
    return lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? SG_OK : sg_fail(SG_FAILED, "libcurl did not start");
}

static size_t take(char *bytes, size_t one, size_t n, void *context)
{
    struct sg_buffer *out = context;
    if (out->len + n > RESPONSE_MAX)
        return 0; /* which ends the transfer with an error */
    sg_buffer_append(out, bytes, one * n);
    return one * n;
}

static void set_options(CURL *curl, const char *url, const struct sg_buffer *request, struct curl_slist *headers,
                        struct sg_buffer *response)
{
    lib.set(curl, CURLOPT_URL, url);
    lib.set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.set(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    lib.set(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
    lib.set(curl, CURLOPT_POSTFIELDS, request->data);
    lib.set(curl, CURLOPT_HTTPHEADER, headers);
    lib.set(curl, CURLOPT_WRITEFUNCTION, take);
    lib.set(curl, CURLOPT_WRITEDATA, response);
    lib.set(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    lib.set(curl, CURLOPT_NOSIGNAL, 1L);
}

static enum sg_status post(const char *prefix, const struct sg_buffer *request, long *code, struct sg_buffer *response)
{
    size_t len = strlen(prefix);
    char *url = sg_format("%.*s/add-checkpoint", (int)(len && prefix[len - 1] == '/' ? len - 1 : len), prefix);
    CURL *curl = lib.init();
    struct curl_slist *headers = lib.append(NULL, "Content-Type: text/plain; charset=utf-8");
    enum sg_status status = curl && headers ? SG_OK : sg_fail(SG_FAILED, "libcurl did not start");
    if (status == SG_OK) {
        set_options(curl, url, request, headers, response);
        CURLcode done = lib.perform(curl);
        lib.get(curl, CURLINFO_RESPONSE_CODE, code);
        if (done != CURLE_OK)
            status = sg_fail(SG_FAILED, "%s: the witness cannot be reached: %s", url, lib.explain(done));
    }
    lib.free_list(headers);
    lib.cleanup(curl);
    free(url);
    return status;
}

static enum sg_status post_from(struct sg_ledger *ledger, const char *url, int64_t old_size, long *code,
                                struct sg_buffer *response)
{
    struct sg_buffer request = {0};
    enum sg_status status = sg_evidence_witness_request(ledger, old_size, &request);
    sg_buffer_free(response);
    if (status == SG_OK)
        status = post(url, &request, code, response);
    sg_buffer_free(&request);
    return status;
}

/* Each line by itself under the checkpoint's text: lines of unknown keys, and what does not verify, are left out. */
static enum sg_status store_lines(struct sg_ledger *ledger, const struct sg_trust *trust,
                                  const struct sg_buffer *response, int64_t size)
{
    struct sg_checkpoint checkpoint = {.size = size};
    struct sg_buffer text = {0};
    size_t n_stored = 0;
    enum sg_status status = SG_OK;
    memcpy(checkpoint.origin, ledger->origin, sizeof checkpoint.origin);
    memcpy(checkpoint.root, ledger->root, SG_DIGEST_BYTES);
    sg_checkpoint_print(&checkpoint, &text);
    const char *at = response->data, *end = at ? at + response->len : at;
    for (const char *feed; status == SG_OK && at < end && (feed = memchr(at, '\n', (size_t)(end - at)));
         at = feed + 1) {
        struct sg_note_check check;
        char *line = sg_format("%.*s", (int)(feed + 1 - at), at);
        struct sg_buffer note = {0};
        sg_buffer_printf(&note, "%s\n%s", text.data, line);
        if (sg_note_verify(note.data, note.len, trust->witnesses, trust->n_witnesses, &check) == SG_OK &&
            check.verified) {
            status = sg_evidence_add_cosignature(ledger, size, line);
            n_stored++;
        }
        sg_buffer_free(&note);
        free(line);
    }
    sg_buffer_free(&text);
    if (status == SG_OK && n_stored == 0)
        return sg_fail(SG_BROKEN, "the witness's answer holds no cosignature by a witness of the policy");
    return status;
}

/* The size in the body of a 409. */
static bool read_size(const struct sg_buffer *response, int64_t *out)
{
    return response->len > 1 && response->data[response->len - 1] == '\n' &&
           sg_number_int64(response->data, response->len - 1, out) && *out >= 0;
}

/* Another process may have appended, and had it witnessed, since the ledger was opened: that is no older copy. */
static enum sg_status look_again(struct sg_ledger *ledger, int64_t *size)
{
    SG_TRY(sg_db_run(ledger->db, "BEGIN"));
    enum sg_status status = sg_store_load_head(ledger);
    sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    *size = (int64_t)ledger->tree.size;
    return status;
}

enum sg_status sg_witness_submit(struct sg_ledger *ledger, const char *url, const struct sg_trust *trust, int64_t *size)
{
    struct sg_buffer response = {0};
    int64_t old_size = 0, remembered = 0;
    long code = 0;
    if (trust->n_witnesses == 0)
        return sg_fail(SG_USAGE,
                       "--url needs a policy that names the witness: --trust POLICY with a line witness NAME VKEY");
    SG_TRY(load());
    *size = (int64_t)ledger->tree.size;
    enum sg_status status =
        sg_db_number(ledger->db, "SELECT coalesce(max(size), 0) FROM cosignature", &old_size); /* a guess */
    if (status == SG_OK && old_size > *size)
        old_size = 0;
    if (status == SG_OK)
        status = post_from(ledger, url, old_size, &code, &response);
    if (status == SG_OK && code == 409 && read_size(&response, &remembered) && remembered != old_size) {
        if (remembered > *size)
            status = look_again(ledger, size);
        if (status == SG_OK)
            status = post_from(ledger, url, remembered, &code, &response);
    }
    if (status == SG_OK && code == 409)
        status = sg_fail(
            SG_BROKEN, "the witness has cosigned another ledger of this origin at this size: one of the two is a fork");
    else if (status == SG_OK && code == 422)
        status = sg_fail(SG_BROKEN, "the witness says that this ledger does not continue the one it has cosigned");
    else if (status == SG_OK && code != 200)
        status = sg_fail(SG_FAILED, "the witness answers with HTTP status %ld%s", code,
                         code == 403   ? ": it does not know the key of this ledger"
                         : code == 404 ? ": it does not know this ledger's origin"
                                       : "");
    if (status == SG_OK)
        status = store_lines(ledger, trust, &response, *size);
    sg_buffer_free(&response);
    lib.global_cleanup();
    return status;
}
