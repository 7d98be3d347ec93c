#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sg_status read_all(int file, const char *path, const char *what, size_t bytes_max, struct sg_buffer *out)
{
    char block[1 << 14];
    enum sg_status status = SG_OK;
    ssize_t n;
    while (status == SG_OK && (n = read(file, block, sizeof block)) != 0) {
        if (n < 0 && errno != EINTR)
            status = sg_fail(SG_USAGE, "%s: cannot read the %s: %s", path, what, strerror(errno));
        else if (n > 0 && (size_t)n > bytes_max - out->len)
            status = sg_fail(SG_USAGE, "%s: the %s is larger than %zu bytes", path, what, bytes_max);
        else if (n > 0)
            sg_buffer_append(out, block, (size_t)n);
    }
    sg_wipe(block, sizeof block); /* it may have been a key */
    return status;
}

enum sg_status sg_file_read(const char *path, const char *what, size_t bytes_max, struct sg_buffer *out)
{
    *out = (struct sg_buffer){0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hang us */
    if (file < 0)
        return sg_fail(SG_USAGE, "%s: cannot open the %s: %s", path, what, strerror(errno));
    struct stat facts;
    enum sg_status status = SG_OK;
    if (fstat(file, &facts))
        status = sg_fail(SG_USAGE, "%s: cannot read the %s: %s", path, what, strerror(errno));
    else if (!S_ISREG(facts.st_mode))
        status = sg_fail(SG_USAGE, "%s: the %s is %s, not a regular file", path, what,
                         S_ISDIR(facts.st_mode) ? "a folder" : "a device or pipe");
    sg_buffer_append(out, "", 0);
    if (status == SG_OK)
        status = read_all(file, path, what, bytes_max, out);
    close(file);
    if (status != SG_OK)
        sg_buffer_free(out);
    return status;
}

/* Opens a new file beside `path`; its mode obeys the umask. */
static int open_temporary(const char *path, mode_t mode, char **name)
{
    static atomic_uint serial;
    for (int attempt = 0; attempt < 1000; attempt++) {
        *name = sg_format("%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&serial, 1));
        int file = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (file >= 0)
            return file;
        int fault = errno;
        free(*name);
        *name = NULL;
        errno = fault;
        if (fault != EEXIST)
            break;
    }
    return -1;
}

enum sg_status sg_file_writer_open(const char *path, mode_t mode, struct sg_file_writer *out)
{
    *out = (struct sg_file_writer){0};
    int file = open_temporary(path, mode, &out->temporary);
    if (file < 0)
        return sg_fail(SG_FAILED, "%s: cannot write: %s", path, strerror(errno));
    out->path = sg_strdup(path);
    out->stream = fdopen(file, "wb");
    if (out->stream)
        return SG_OK;
    enum sg_status status = sg_fail(SG_FAILED, "%s: cannot write: %s", path, strerror(errno));
    close(file);
    sg_file_writer_abandon(out);
    return status;
}

/* A rename is durable once its folder is. Some file systems cannot sync a folder and say EINVAL: nothing more to do. */
static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? sg_strdup(".") : sg_format("%.*s", slash == path ? 1 : (int)(slash - path), path);
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (file < 0)
        return errno;
    int fault = fsync(file) && errno != EINVAL ? errno : 0;
    close(file);
    return fault;
}

static int finish(struct sg_file_writer *writer)
{
    FILE *stream = writer->stream;
    errno = EIO; /* a stream that failed earlier has forgotten why */
    if (ferror(stream) || fflush(stream) || fsync(fileno(stream)))
        return errno;
    writer->stream = NULL;
    if (fclose(stream) || rename(writer->temporary, writer->path))
        return errno;
    free(writer->temporary); /* no longer ours to remove */
    writer->temporary = NULL;
    return sync_folder_of(writer->path);
}

enum sg_status sg_file_writer_commit(struct sg_file_writer *writer)
{
    int fault = finish(writer);
    enum sg_status status = SG_OK;
    if (fault)
        status = sg_fail(SG_FAILED, "%s: cannot write: %s", writer->path, strerror(fault));
    sg_file_writer_abandon(writer);
    return status;
}

void sg_file_writer_abandon(struct sg_file_writer *writer)
{
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (struct sg_file_writer){0};
}

enum sg_status sg_file_write(const char *path, const void *bytes, size_t n, mode_t mode)
{
    struct sg_file_writer writer;
    SG_TRY(sg_file_writer_open(path, mode, &writer));
    setvbuf(writer.stream, NULL, _IONBF, 0); /* one write, and no copy of a secret in a buffer that is not wiped */
    if (n && fwrite(bytes, 1, n, writer.stream) != n) {
        enum sg_status status = sg_fail(SG_FAILED, "%s: cannot write: %s", path, strerror(errno));
        sg_file_writer_abandon(&writer);
        return status;
    }
    return sg_file_writer_commit(&writer);
}

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

enum sg_status sg_folder_make(const char *path)
{
    char *part = sg_strdup(path);
    enum sg_status status = SG_OK;
    for (char *p = part; *p && status == SG_OK; p++) {
        bool end = p[1] == 0;
        if (!end && (p[1] != '/' || *p == '/'))
            continue;
        char kept = p[1];
        p[1] = 0;
        if (mkdir(part, 0755) && !is_folder(part)) {
            int fault = errno == EEXIST ? ENOTDIR : errno;
            status = sg_fail(SG_FAILED, "%s: cannot make the folder: %s", part, strerror(fault));
        }
        p[1] = kept;
    }
    free(part);
    return status;
}

bool sg_file_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

char *sg_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return sg_format("%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name);
}
