/* Preloaded into a child of the test: writes down what is written to and synced of members' logs
 * (DIR/MEMBER/log/FILE), and makes one sync of one member fail or hang.
 *
 * CAIRN_TRACE       file that gets the lines `wrote M N`, `sync M`, `synced M`, `failed M`, `hangs M`
 * CAIRN_FAIL        `M:N`: the Nth sync of member M's log fails with EIO, once, and nothing is synced
 * CAIRN_HANG        `M:N`: it never returns
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int syncs[16];

static void note(const char *what, int member, long number) {
    const char *path = getenv("CAIRN_TRACE");
    char line[64];
    int length = number < 0 ? snprintf(line, sizeof line, "%s %d\n", what, member)
                            : snprintf(line, sizeof line, "%s %d %ld\n", what, member, number);
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (fd < 0 || syscall(SYS_write, fd, line, length) != length) abort();
    close(fd);
}

/* The member whose log this is, 0 for anything else. */
static int member_of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    char *log = strstr(path, "/log/");
    if (!log) return 0;
    while (log > path && log[-1] != '/') log--;
    int member = atoi(log);
    return member < 16 ? member : 0;
}

/* Values are `mark-N.`; the cipher of the test turns all bits round. */
static void note_marks(int member, const unsigned char *bytes, size_t length) {
    static const char mark[] = "mark-";
    const size_t size = sizeof mark - 1;
    for (size_t i = 0; i + size < length; i++) {
        size_t same = 0;
        while (same < size && (unsigned char)~bytes[i + same] == (unsigned char)mark[same]) same++;
        if (same < size) continue;
        long number = 0;
        for (size_t d = i + size; d < length; d++) {
            unsigned char digit = ~bytes[d];
            if (digit < '0' || digit > '9') break;
            number = number * 10 + (digit - '0');
        }
        note("wrote", member, number);
    }
}

ssize_t write(int fd, const void *bytes, size_t length) {
    ssize_t done = syscall(SYS_write, fd, bytes, length);
    int member = done > 0 ? member_of(fd) : 0;
    if (member) note_marks(member, bytes, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t done = syscall(SYS_writev, fd, parts, count);
    int member = done > 0 ? member_of(fd) : 0;
    for (ssize_t i = 0, left = done; member && i < count && left > 0; i++) {
        size_t length = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;
        note_marks(member, parts[i].iov_base, length);
        left -= length;
    }
    return done;
}

static int chosen(const char *name, int member, int number) {
    const char *text = getenv(name);
    int m, n;
    return text && sscanf(text, "%d:%d", &m, &n) == 2 && m == member && n == number;
}

static int sync_with(long call, int fd) {
    int member = member_of(fd);
    if (!member) return syscall(call, fd);
    int number = ++syncs[member];
    note("sync", member, -1);
    if (chosen("CAIRN_HANG", member, number)) {
        note("hangs", member, -1);
        for (;;) pause();
    }
    if (chosen("CAIRN_FAIL", member, number)) {
        note("failed", member, -1);
        errno = EIO;
        return -1;
    }
    int done = syscall(call, fd);
    if (done == 0) note("synced", member, -1);
    return done;
}

int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
int fsync(int fd) { return sync_with(SYS_fsync, fd); }
