/* Files: read whole with a limit, written atomically. */
#ifndef SG_BASE_FILE_H
#define SG_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/status.h"

/* Reads a whole regular file of at most `bytes_max` bytes; the caller frees the buffer. SG_USAGE when it is missing,
 * unreadable, a folder or too large; `what` names its role in the message ("configuration", "signing key"). */
SG_MUST_USE enum sg_status sg_file_read(const char *path, const char *what, size_t bytes_max, struct sg_buffer *out);

/* Writes a file so that a reader sees the old bytes or the new, never a part: temporary file beside it, fsync, rename,
 * fsync of the folder. `mode` is e.g. 0600 for secrets. SG_FAILED with the reason otherwise; nothing is left behind. */
SG_MUST_USE enum sg_status sg_file_write(const char *path, const void *bytes, size_t n, mode_t mode);

/* The same for content that is streamed: open, fprintf or fwrite to file->stream, then commit or abandon. */
struct sg_file_writer {
    FILE *stream;
    char *path, *temporary;
};
SG_MUST_USE enum sg_status sg_file_writer_open(const char *path, mode_t mode, struct sg_file_writer *out);
SG_MUST_USE enum sg_status sg_file_writer_commit(struct sg_file_writer *writer); /* abandons on failure */
void sg_file_writer_abandon(struct sg_file_writer *writer);                      /* takes a zeroed or committed one */

/* Makes a folder and its parents (0755); fine when it exists. */
SG_MUST_USE enum sg_status sg_folder_make(const char *path);
bool sg_file_exists(const char *path);
/* "folder/name" in new memory that the caller frees. */
char *sg_path_join(const char *folder, const char *name);

#endif
