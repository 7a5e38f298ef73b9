/* Records what a process does to the files below DISK_ROOT, in order, into DISK_JOURNAL.
 *
 * Loaded with LD_PRELOAD. Every change (create, write, truncate, rename, unlink, mkdir) is done for real and recorded
 * under one lock, so the journal has the order in which things happened, across threads and processes. fsync and
 * fdatasync are recorded as a start and an end, and do nothing else: what is durable is decided by `disk.py`.
 * Files named *-shm are SQLite's shared memory: no part of what is stored, so not recorded.
 *
 * SIGUSR2 is kill -9 at the next recorded operation, between two of them: the journal never misses one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, SYNC_START, SYNC_END };

struct header {
    uint32_t kind;
    uint32_t thread;
    uint64_t inode;
    uint64_t offset;
    uint64_t length;
};

#define MOST_FILES 65536
#define SYNC_MICROSECONDS 300

static const char *root;
static size_t root_length;
static int journal = -1;
static ino_t tracked[MOST_FILES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t dying;

#define REAL(name, type) ((type)real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "recorder: no %s in libc\n", name);
        abort();
    }
    return found;
}

static void die_soon(int number)
{
    (void)number;
    dying = 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_JOURNAL");
    root = getenv("DISK_ROOT");
    if (!path || !root)
        return;
    root_length = strlen(root);
    int fd = REAL(open, int (*)(const char *, int, ...))(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    REAL(close, int (*)(int))(fd);
    if (journal < 0) {
        perror("recorder: DISK_JOURNAL");
        abort();
    }
    signal(SIGUSR2, die_soon);
}

static int below(const char *path)
{
    if (journal < 0 || strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/'))
        return 0;
    size_t length = strlen(path);
    return length < 4 || strcmp(path + length - 4, "-shm");
}

static void enter(void)
{
    pthread_mutex_lock(&mutex);
    while (flock(journal, LOCK_EX) && errno == EINTR)
        ;
    if (dying) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

static void leave(void)
{
    int kept = errno;
    flock(journal, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = kept;
}

static void note(enum kind kind, uint64_t inode, uint64_t offset, const void *data, size_t length)
{
    struct header header = {kind, (uint32_t)gettid(), inode, offset, length};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)data, length}};
    if (writev(journal, parts, 2) != (ssize_t)(sizeof header + length)) {
        perror("recorder: the journal");
        abort();
    }
}

/* The inode of a descriptor of ours, else 0. A number reused behind our back shows by another inode. */
static ino_t inode_of(int fd)
{
    struct stat status;
    if (journal < 0 || fd < 0 || fd >= MOST_FILES || !tracked[fd] || fstat(fd, &status) ||
        status.st_ino != tracked[fd] || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
        return 0;
    return status.st_ino;
}

static int opened(int (*open_it)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
    if (!below(path))
        return open_it(path, flags, mode);
    enter();
    int existed = !access(path, F_OK);
    int fd = open_it(path, flags, mode);
    struct stat status;
    if (fd >= 0 && fd < MOST_FILES && !fstat(fd, &status)) {
        tracked[fd] = status.st_ino;
        if (!existed)
            note(CREATE, status.st_ino, 0, path, strlen(path));
        else if (flags & O_TRUNC)
            note(TRUNCATE, status.st_ino, 0, NULL, 0);
    }
    leave();
    return fd;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                      \
        va_end(rest);                                                                                                  \
        return opened(REAL(name, int (*)(const char *, int, ...)), path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)
OPEN(__open_2)
OPEN(__open64_2)

int close(int fd)
{
    if (fd >= 0 && fd < MOST_FILES)
        tracked[fd] = 0;
    return REAL(close, int (*)(int))(fd);
}

ssize_t write(int fd, const void *data, size_t length)
{
    ino_t inode = inode_of(fd);
    ssize_t (*write_it)(int, const void *, size_t) = REAL(write, ssize_t(*)(int, const void *, size_t));
    if (!inode)
        return write_it(fd, data, length);
    enter();
    ssize_t done = write_it(fd, data, length);
    if (done > 0)
        note(WRITE, inode, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), data, (size_t)done);
    leave();
    return done;
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *data, size_t length, off_t offset)                                                \
    {                                                                                                                  \
        ino_t inode = inode_of(fd);                                                                                    \
        ssize_t (*write_it)(int, const void *, size_t, off_t) =                                                        \
            REAL(name, ssize_t(*)(int, const void *, size_t, off_t));                                                  \
        if (!inode)                                                                                                    \
            return write_it(fd, data, length, offset);                                                                 \
        enter();                                                                                                       \
        ssize_t done = write_it(fd, data, length, offset);                                                             \
        if (done > 0)                                                                                                  \
            note(WRITE, inode, (uint64_t)offset, data, (size_t)done);                                                  \
        leave();                                                                                                       \
        return done;                                                                                                   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                                                                                \
    int name(int fd, off_t size)                                                                                       \
    {                                                                                                                  \
        ino_t inode = inode_of(fd);                                                                                    \
        int (*truncate_it)(int, off_t) = REAL(name, int (*)(int, off_t));                                              \
        if (!inode)                                                                                                    \
            return truncate_it(fd, size);                                                                              \
        enter();                                                                                                       \
        int failed = truncate_it(fd, size);                                                                            \
        if (!failed)                                                                                                   \
            note(TRUNCATE, inode, (uint64_t)size, NULL, 0);                                                            \
        leave();                                                                                                       \
        return failed;                                                                                                 \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define SYNC(name)                                                                                                     \
    int name(int fd)                                                                                                   \
    {                                                                                                                  \
        ino_t inode = inode_of(fd);                                                                                    \
        if (!inode)                                                                                                    \
            return REAL(name, int (*)(int))(fd);                                                                       \
        enter();                                                                                                       \
        note(SYNC_START, inode, 0, NULL, 0);                                                                           \
        leave();                                                                                                       \
        usleep(SYNC_MICROSECONDS);                                                                                     \
        enter();                                                                                                       \
        note(SYNC_END, inode, 0, NULL, 0);                                                                             \
        leave();                                                                                                       \
        return 0;                                                                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *old, const char *new)
{
    int (*rename_it)(const char *, const char *) = REAL(rename, int (*)(const char *, const char *));
    if (!below(new))
        return rename_it(old, new);
    char both[8192];
    int length = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
    enter();
    int failed = rename_it(old, new);
    if (!failed)
        note(RENAME, 0, 0, both, (size_t)length);
    leave();
    return failed;
}

int unlink(const char *path)
{
    int (*unlink_it)(const char *) = REAL(unlink, int (*)(const char *));
    if (!below(path))
        return unlink_it(path);
    enter();
    int failed = unlink_it(path);
    if (!failed)
        note(UNLINK, 0, 0, path, strlen(path));
    leave();
    return failed;
}

int mkdir(const char *path, mode_t mode)
{
    int (*mkdir_it)(const char *, mode_t) = REAL(mkdir, int (*)(const char *, mode_t));
    if (!below(path))
        return mkdir_it(path, mode);
    enter();
    int failed = mkdir_it(path, mode);
    struct stat status;
    if (!failed && !stat(path, &status))
        note(MKDIR, status.st_ino, 0, path, strlen(path));
    leave();
    return failed;
}
