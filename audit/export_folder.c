/* A folder that appears whole or not at all: everything goes into a folder beside it, which is renamed at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "export.h"

enum { NAME_MAX_BYTES = 120 };

/* A rename replaces an empty folder, and nothing else that is there. */
static enum sg_status check_out(const char *out)
{
    struct stat info;
    if (!*out)
        return sg_fail(SG_USAGE, "export: name the folder to make: --out DIR");
    if (lstat(out, &info) != 0)
        return errno == ENOENT ? SG_OK : sg_fail(SG_USAGE, "%s: cannot make the folder: %s", out, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return sg_fail(SG_USAGE, "%s: this exists and is not a folder: name a new one", out);
    DIR *list = opendir(out);
    int n = 0;
    while (list && readdir(list))
        n++;
    if (list)
        closedir(list);
    return n == 2 ? SG_OK : sg_fail(SG_USAGE, "%s: the folder is not empty: an export makes a new one", out);
}

/* Beside `out`, so that the rename stays on one file system. */
static bool make_temporary(struct sg_export *into)
{
    for (int i = 0; i < 1000; i++) {
        into->temporary = sg_format("%s.%ld-%d.tmp", into->out, (long)getpid(), i);
        if (mkdir(into->temporary, 0755) == 0)
            return true;
        int fault = errno;
        free(into->temporary);
        into->temporary = NULL;
        errno = fault;
        if (fault != EEXIST)
            break;
    }
    return false;
}

enum sg_status sg_export_begin(struct sg_ledger *ledger, const char *out, struct sg_export *into)
{
    *into = (struct sg_export){.ledger = ledger};
    SG_TRY(check_out(out));
    into->out = sg_strdup(out);
    for (size_t n = strlen(into->out); n > 1 && into->out[n - 1] == '/'; n--)
        into->out[n - 1] = 0;
    if (make_temporary(into))
        return SG_OK;
    enum sg_status status = sg_fail(SG_USAGE, "%s: cannot make the folder: %s", into->out, strerror(errno));
    sg_export_abandon(into);
    return status;
}

static int sync_tree(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fault = folder < 0 || syncfs(folder) ? errno : 0;
    if (folder >= 0)
        close(folder);
    return fault;
}

enum sg_status sg_export_commit(struct sg_export *into)
{
    int fault = sync_tree(into->temporary);
    if (!fault && rename(into->temporary, into->out))
        fault = errno;
    if (fault)
        return sg_fail(SG_FAILED, "%s: cannot write the export: %s", into->out, strerror(fault));
    free(into->temporary);
    into->temporary = NULL;
    return SG_OK;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

void sg_export_abandon(struct sg_export *into)
{
    if (into->temporary)
        nftw(into->temporary, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(into->temporary);
    free(into->out);
    into->temporary = into->out = NULL;
}

static enum sg_status make_parents(char *path, size_t from)
{
    for (char *p = path + from; (p = strchr(p, '/')); p++) {
        *p = 0;
        int fault = mkdir(path, 0755) && errno != EEXIST ? errno : 0;
        *p = '/';
        if (fault)
            return sg_fail(SG_FAILED, "%s: cannot make its folder: %s", path, strerror(fault));
    }
    return SG_OK;
}

enum sg_status sg_export_file(struct sg_export *into, const char *path, const void *bytes, size_t n)
{
    char *full = sg_path_join(into->temporary, path);
    enum sg_status status = make_parents(full, strlen(into->temporary) + 1);
    bool is_new = status == SG_OK && access(full, F_OK) != 0;
    FILE *file = status == SG_OK ? fopen(full, "abe") : NULL;
    bool good = file && fwrite(bytes, 1, n, file) == n;
    if (file && fclose(file))
        good = false;
    if (status == SG_OK && !good)
        status = sg_fail(SG_FAILED, "%s: cannot write: %s", path, strerror(errno));
    if (status == SG_OK && is_new)
        into->n_files++;
    free(full);
    return status;
}

enum sg_status sg_export_text(struct sg_export *into, const char *path, const struct sg_buffer *text)
{
    return sg_export_file(into, path, text->data ? text->data : "", text->len);
}

enum sg_status sg_export_folder(struct sg_export *into, const char *path)
{
    char *full = sg_format("%s/%s/", into->temporary, path);
    enum sg_status status = make_parents(full, strlen(into->temporary) + 1);
    free(full);
    return status;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_-. ", c);
}

char *sg_export_name(const char *text)
{
    char *name = sg_format("%.*s", NAME_MAX_BYTES, *text ? text : "_");
    for (char *p = name; *p; p++)
        if (!is_plain(*p))
            *p = '_';
    if (*name == '.' || *name == ' ')
        *name = '_';
    return name;
}
