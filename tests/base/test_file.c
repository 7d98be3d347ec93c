/* Would catch: a half-written file seen by a reader, temporary files left behind by a failure, a secret written with
 * open permissions, limits that are off by one, and reads that hang on a pipe or take a folder for a file. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"

static int make_folder(void **state)
{
    char folder[] = "/tmp/sg_test_file_XXXXXX";
    *state = mkdtemp(folder) ? strdup(folder) : NULL;
    return *state ? 0 : -1;
}

static int count_entries(const char *folder)
{
    DIR *open = opendir(folder);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(open));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(open);
    return n;
}

static int remove_folder(void **state)
{
    char *command = sg_format("rm -rf '%s'", (char *)*state);
    int status = system(command);
    free(command);
    free(*state);
    return status;
}

static void assert_content(const char *path, const char *want)
{
    struct sg_buffer bytes;
    assert_int_equal(sg_file_read(path, "file", 1000, &bytes), SG_OK);
    assert_int_equal(bytes.len, strlen(want));
    assert_string_equal(bytes.data, want);
    sg_buffer_free(&bytes);
}

static void writes_replace_atomically(void **state)
{
    char *path = sg_path_join(*state, "file");
    assert_int_equal(sg_file_write(path, "old", 3, 0644), SG_OK);
    FILE *reader = fopen(path, "r");
    assert_int_equal(sg_file_write(path, "newer", 5, 0600), SG_OK);
    char old[8] = {0};
    assert_int_equal(fread(old, 1, sizeof old, reader), 3); /* who had it open still sees the old bytes */
    assert_string_equal(old, "old");
    fclose(reader);
    assert_content(path, "newer");
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(sg_file_write(path, NULL, 0, 0600), SG_OK);
    assert_content(path, "");
    assert_int_equal(count_entries(*state), 1);
    free(path);
}

static void streams_commit_or_leave_nothing(void **state)
{
    char *path = sg_path_join(*state, "file");
    struct sg_file_writer writer;
    assert_int_equal(sg_file_writer_open(path, 0644, &writer), SG_OK);
    fprintf(writer.stream, "%d lines", 3);
    assert_false(sg_file_exists(path));
    sg_file_writer_abandon(&writer);
    sg_file_writer_abandon(&writer);
    assert_int_equal(count_entries(*state), 0);
    assert_int_equal(sg_file_writer_open(path, 0644, &writer), SG_OK);
    fprintf(writer.stream, "%d lines", 3);
    assert_int_equal(sg_file_writer_commit(&writer), SG_OK);
    sg_file_writer_abandon(&writer);
    assert_content(path, "3 lines");
    assert_int_equal(count_entries(*state), 1);
    free(path);
}

static void failures_leave_nothing(void **state)
{
    char *path = sg_path_join(*state, "taken"), *inside = sg_path_join(path, "file");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(sg_file_write(inside, "x", 1, 0644), SG_OK);
    assert_int_equal(sg_file_write(path, "x", 1, 0644), SG_FAILED); /* a full folder stands in the way of the rename */
    assert_non_null(strstr(sg_error_text(), ": cannot write: "));
    assert_int_equal(count_entries(*state), 1);
    assert_int_equal(count_entries(path), 1);
    assert_int_equal(sg_file_write("/nonexistent/file", "x", 1, 0644), SG_FAILED);
    assert_string_equal(sg_error_text(), "/nonexistent/file: cannot write: No such file or directory");
    free(inside);
    free(path);
}

static void unwritable_folder_is_reported(void **state)
{
    char *path = sg_path_join(*state, "file");
    uid_t user = geteuid();
    assert_int_equal(chmod(*state, 0555), 0);
    if (user == 0) /* root may write everywhere: be somebody else for a moment */
        assert_int_equal(seteuid(65534), 0);
    enum sg_status status = sg_file_write(path, "x", 1, 0644);
    assert_int_equal(seteuid(user), 0);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(status, SG_FAILED);
    assert_non_null(strstr(sg_error_text(), ": cannot write: Permission denied"));
    assert_int_equal(count_entries(*state), 0);
    free(path);
}

/* A limit on file sizes stands in for a full disk: the old file survives and the new one leaves nothing. */
static void full_disk_keeps_the_old_file(void **state)
{
    char *path = sg_path_join(*state, "file");
    size_t n = 100000;
    char *bytes = calloc(n, 1);
    assert_int_equal(sg_file_write(path, "old", 3, 0644), SG_OK);
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    small = limit;
    small.rlim_cur = 50000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum sg_status whole = sg_file_write(path, bytes, n, 0644);
    struct sg_file_writer writer;
    enum sg_status streamed = sg_file_writer_open(path, 0644, &writer);
    for (size_t i = 0; i < n && streamed == SG_OK; i += 1000)
        fwrite(bytes, 1, 1000, writer.stream); /* not checked: commit must notice */
    if (streamed == SG_OK)
        streamed = sg_file_writer_commit(&writer);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(whole, SG_FAILED);
    assert_int_equal(streamed, SG_FAILED);
    assert_content(path, "old");
    assert_int_equal(count_entries(*state), 1);
    free(bytes);
    free(path);
}

static void reads_check_kind_and_size(void **state)
{
    char *path = sg_path_join(*state, "file"), *pipe = sg_path_join(*state, "pipe");
    struct sg_buffer bytes;
    assert_int_equal(sg_file_write(path, "12345", 5, 0644), SG_OK);
    assert_int_equal(sg_file_read(path, "key", 5, &bytes), SG_OK);
    assert_string_equal(bytes.data, "12345");
    sg_buffer_free(&bytes);
    assert_int_equal(sg_file_read(path, "key", 4, &bytes), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "file: the key is larger than 4 bytes"));
    assert_null(bytes.data);
    assert_int_equal(sg_file_read(*state, "key", 100, &bytes), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "the key is a folder"));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(sg_file_read(pipe, "key", 100, &bytes), SG_USAGE);
    assert_int_equal(sg_file_read("/dev/zero", "key", 100, &bytes), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "not a regular file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sg_file_read(path, "key", 100, &bytes), SG_USAGE);
    assert_non_null(strstr(sg_error_text(), "cannot open the key: No such file"));
    free(path);
    free(pipe);
}

static void folders_and_paths(void **state)
{
    char *deep = sg_path_join(*state, "a//b/c/"), *file = sg_path_join(*state, "file");
    assert_int_equal(sg_folder_make(deep), SG_OK);
    assert_int_equal(sg_folder_make(deep), SG_OK);
    assert_int_equal(sg_folder_make("/"), SG_OK);
    assert_int_equal(sg_folder_make("/tmp"), SG_OK);
    assert_true(sg_file_exists(deep));
    assert_int_equal(sg_file_write(file, "x", 1, 0644), SG_OK);
    assert_int_equal(sg_folder_make(file), SG_FAILED);
    char *below = sg_path_join(file, "x");
    assert_int_equal(sg_folder_make(below), SG_FAILED);
    char *slash = sg_path_join("a/", "b"), *none = sg_path_join("", "b");
    assert_string_equal(slash, "a/b");
    assert_string_equal(none, "b");
    free(slash);
    free(none);
    free(below);
    free(deep);
    free(file);
}

/* What a child with its stderr in a file prints: one line at the end when it is no terminal, nothing when silent. */
static void progress_prints_lines_to_a_file(void **state)
{
    char *path = sg_path_join(*state, "stderr");
    pid_t child = fork();
    if (child == 0) {
        if (!freopen(path, "w", stderr))
            _exit(1);
        struct sg_progress progress;
        sg_progress_begin(&progress, "training", 200);
        for (int i = 0; i < 50; i++)
            sg_progress_update(&progress, i, "not due yet");
        sg_progress_end(&progress, 50, "epsilon 1.32");
        progress.terminal = -1;
        sg_progress_update(&progress, 60, "silent");
        sg_progress_end(&progress, 60, "silent");
        sg_progress_begin(&progress, "reading", 0);
        sg_progress_end(&progress, 7, NULL);
        fflush(stderr);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct sg_buffer text;
    assert_int_equal(sg_file_read(path, "output", 1000, &text), SG_OK);
    assert_int_equal(strncmp(text.data, "training  25%  50/200  0:0", 26), 0);
    assert_non_null(strstr(text.data, "  epsilon 1.32\nreading 7  0:0"));
    assert_null(strchr(text.data, '\r'));
    assert_null(strstr(text.data, "silent"));
    assert_null(strstr(text.data, "due"));
    assert_int_equal(text.data[text.len - 1], '\n');
    sg_buffer_free(&text);
    free(path);
}

/* On a terminal the bar is redrawn in place, and the cursor ends on a new line. */
static void progress_draws_a_bar_on_a_terminal(void **state)
{
    (void)state;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0) {
        print_message("SKIPPED: this machine gives no pseudo-terminal (is devpts mounted?)\n");
        skip();
    }
    assert_int_equal(unlockpt(terminal), 0);
    int line = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(line >= 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(line, STDERR_FILENO);
        struct sg_progress progress;
        sg_progress_begin(&progress, "training", 200);
        progress.start_s += 3600; /* no stall of this machine shows in the text: the time passed is 0:00 */
        progress.last_s -= 1;     /* as if a second had passed since the last drawing */
        sg_progress_update(&progress, 50, "early");
        progress.last_s += 3600;
        sg_progress_update(&progress, 51, "not due yet");
        sg_progress_end(&progress, 300, "late"); /* beyond the total: the bar is full, no more */
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    char text[1000] = {0};
    size_t n = 0;
    while (n < sizeof text - 1 && !strchr(text, '\n')) {
        ssize_t got = read(terminal, text + n, sizeof text - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    const char *first = "\r\033[Ktraining [######..................]  25%  50/200  0:00, left 0:00  early";
    const char *last = "\r\033[Ktraining [########################] 100%  300/200  0:00  late\r\n";
    assert_int_equal(strncmp(text, first, strlen(first)), 0);
    assert_string_equal(text + strlen(first), last);
    close(line);
    close(terminal);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(writes_replace_atomically),
        IN_A_FOLDER(streams_commit_or_leave_nothing),
        IN_A_FOLDER(failures_leave_nothing),
        IN_A_FOLDER(unwritable_folder_is_reported),
        IN_A_FOLDER(full_disk_keeps_the_old_file),
        IN_A_FOLDER(reads_check_kind_and_size),
        IN_A_FOLDER(folders_and_paths),
        IN_A_FOLDER(progress_prints_lines_to_a_file),
        cmocka_unit_test(progress_draws_a_bar_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
