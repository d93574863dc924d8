/*
 * A preload library between a process and one directory: it records every change below the directory, in order, so that
 * tests/support/powercut/disk.rs can tell what a power cut would have left; and it makes calls fail or take long when told so.
 *
 *   POWERCUT_DIR      the directory (a real path)
 *   POWERCUT_LOG      the record, appended to; lies elsewhere
 *   POWERCUT_CONTROL  a file of sizeof(struct control) that is shared with the test
 *
 * One lock is held over each operation and its entry, so that the record's order is the true one. What a process writes to its
 * standard output is recorded too: an acknowledgement stands behind the sync that it relies on. Syncs are recorded, never done.
 * A way to write that is not covered ends the process with a message; the test compares the record with the real directory as well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum op { CREATE = 1, MKDIR, WRITE, RESIZE, SYNC, SYNC_DIR, RENAME, UNLINK, RMDIR, SAID, SYNC_FAILED, BEGIN };
enum fault { NO_SPACE = 1, WRITE_FAILS = 2, SYNC_FAILS = 4, JOURNAL_ONLY = 8, NO_GROWTH = 16, SYNC_LIES = 32 };

struct control {
    volatile uint64_t ops;     /* operations so far */
    volatile uint64_t kill_at; /* the process is killed before this one; 0: never */
    volatile uint64_t hit;     /* faults injected so far */
    volatile uint64_t syncs;   /* syncs begun */
    volatile uint32_t faults;
    volatile uint32_t sync_ms;  /* each sync takes so long */
    volatile uint64_t fault_at; /* no fault before so many operations */
};

struct head {
    uint32_t op;
    uint32_t path_len;
    uint64_t inode;
    uint64_t offset;
    uint64_t len; /* of the data, or of the second path */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct control *control;
static const char *dir;
static size_t dir_len;
static int log_fd = -1;

static void give_up(const char *what) {
    dprintf(2, "powercut: %s\n", what);
    abort();
}

static void record(enum op op, uint64_t inode, uint64_t offset, const char *path, const void *data, uint64_t len) {
    size_t path_len = path ? strlen(path) : 0;
    struct head head = {op, path_len, inode, offset, len};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, path_len}, {(void *)data, len}};
    ssize_t want = sizeof head + path_len + len;
    if (syscall(SYS_writev, log_fd, parts, 3) != want) give_up("the record cannot be written");
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWERCUT_LOG"), *shared = getenv("POWERCUT_CONTROL");
    dir = getenv("POWERCUT_DIR");
    if (!dir || !log || !shared) return;
    dir_len = strlen(dir);
    int fd = syscall(SYS_openat, AT_FDCWD, shared, O_RDWR | O_CLOEXEC, 0);
    void *map = fd < 0 ? MAP_FAILED : (void *)syscall(SYS_mmap, 0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) give_up("POWERCUT_CONTROL cannot be mapped");
    control = map;
    log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) give_up("POWERCUT_LOG cannot be opened");
    record(BEGIN, 0, 0, NULL, NULL, 0);
}

static int below(const char *path) {
    return log_fd >= 0 && !strncmp(path, dir, dir_len) && (path[dir_len] == '/' || !path[dir_len]);
}

/* The path of a descriptor. */
static int path_of(int fd, char *out) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return 1;
}

static int watched(int fd, char *path, struct stat *st) {
    int saved = errno;
    int yes = log_fd >= 0 && path_of(fd, path) && below(path) && !fstat(fd, st);
    errno = saved;
    return yes;
}

/* The whole path of an argument; 0 where it is not below the directory. */
static int whole(int at, const char *path, char *out) {
    if (log_fd < 0 || !path) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (at == AT_FDCWD || !path_of(at, base)) return 0;
        snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    }
    return below(out);
}

/* Counts an operation. With the lock held. */
static void tick(void) {
    if (++control->ops == control->kill_at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static int fault(uint32_t which, const char *path) {
    uint32_t faults = control->faults;
    if (control->ops < control->fault_at || !(faults & which) || ((faults & JOURNAL_ONLY) && !strstr(path, "/journal"))) return 0;
    __atomic_add_fetch(&control->hit, 1, __ATOMIC_SEQ_CST);
    return 1;
}

/* An error that a write meets, or 0. */
static int refused(const char *path, int grows) {
    return fault(WRITE_FAILS, path) ? EIO : fault(grows ? NO_SPACE | NO_GROWTH : NO_SPACE, path) ? ENOSPC : 0;
}

static int do_open(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat st;
    if (!(flags & (O_CREAT | O_TRUNC)) || !whole(at, name, path)) return syscall(SYS_openat, at, name, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) give_up("O_TMPFILE is not covered");
    pthread_mutex_lock(&lock);
    int existed = !lstat(path, &st);
    int error = !existed && fault(NO_SPACE | NO_GROWTH, path) ? ENOSPC : 0;
    if (error) {
        pthread_mutex_unlock(&lock);
        errno = error;
        return -1;
    }
    if (!existed || ((flags & O_TRUNC) && st.st_size)) tick();
    int fd = syscall(SYS_openat, at, name, flags, mode), saved = errno;
    if (fd >= 0 && !fstat(fd, &st)) {
        if (!existed) record(CREATE, st.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC) record(RESIZE, st.st_ino, 0, path, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(flags, mode)                         \
    mode_t mode = 0;                              \
    if ((flags) & (O_CREAT | O_TMPFILE)) {        \
        va_list more;                             \
        va_start(more, flags);                    \
        mode = va_arg(more, mode_t);              \
        va_end(more);                             \
    }
int open(const char *path, int flags, ...) { MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return do_open(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static ssize_t do_pwrite(int fd, const void *data, size_t len, off_t offset, int positioned) {
    char path[PATH_MAX];
    struct stat st;
    if (fd == 1 && log_fd >= 0) {
        pthread_mutex_lock(&lock);
        ssize_t n = syscall(SYS_write, fd, data, len);
        int saved = errno;
        if (n > 0) record(SAID, 0, 0, NULL, data, n);
        pthread_mutex_unlock(&lock);
        errno = saved;
        return n;
    }
    if (!watched(fd, path, &st) || !S_ISREG(st.st_mode))
        return positioned ? syscall(SYS_pwrite64, fd, data, len, offset) : syscall(SYS_write, fd, data, len);
    pthread_mutex_lock(&lock);
    tick();
    fstat(fd, &st);
    if (fcntl(fd, F_GETFL) & O_APPEND) offset = st.st_size;
    else if (!positioned) offset = lseek(fd, 0, SEEK_CUR);
    int error = refused(path, offset + (off_t)len > st.st_size);
    ssize_t n = -1;
    if (!error) {
        n = positioned ? syscall(SYS_pwrite64, fd, data, len, offset) : syscall(SYS_write, fd, data, len);
        error = errno;
        if (n > 0) record(WRITE, st.st_ino, offset, NULL, data, n);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return n;
}
ssize_t write(int fd, const void *data, size_t len) { return do_pwrite(fd, data, len, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return do_pwrite(fd, data, len, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset) { return do_pwrite(fd, data, len, offset, 1); }

static int do_resize(int fd, off_t len, int only_grow) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched(fd, path, &st)) return only_grow ? syscall(SYS_fallocate, fd, 0, 0, len) : syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&lock);
    tick();
    fstat(fd, &st);
    int error = len > st.st_size ? refused(path, 1) : 0, done = -1;
    if (!error) {
        done = only_grow ? syscall(SYS_fallocate, fd, 0, 0, len) : syscall(SYS_ftruncate, fd, len);
        error = errno;
        if (!done && !(only_grow && len <= st.st_size)) record(RESIZE, st.st_ino, len, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int ftruncate(int fd, off_t len) { return do_resize(fd, len, 0); }
int ftruncate64(int fd, off_t len) { return do_resize(fd, len, 0); }
int fallocate(int fd, int mode, off_t offset, off_t len) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched(fd, path, &st)) return syscall(SYS_fallocate, fd, mode, offset, len);
    if (mode) give_up("this mode of fallocate is not covered");
    return do_resize(fd, offset + len, 1);
}
int fallocate64(int fd, int mode, off_t offset, off_t len) { return fallocate(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) { return fallocate(fd, 0, offset, len) ? errno : 0; }
int posix_fallocate64(int fd, off_t offset, off_t len) { return posix_fallocate(fd, offset, len); }

static int do_sync(int fd, int call) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched(fd, path, &st)) return syscall(call, fd);
    __atomic_add_fetch(&control->syncs, 1, __ATOMIC_SEQ_CST);
    if (control->sync_ms) {
        struct timespec time = {control->sync_ms / 1000, control->sync_ms % 1000 * 1000000L};
        nanosleep(&time, NULL);
    }
    pthread_mutex_lock(&lock);
    tick();
    int fails = fault(SYNC_FAILS, path), lies = fault(SYNC_LIES, path);
    enum op op = fails || lies ? SYNC_FAILED : S_ISDIR(st.st_mode) ? SYNC_DIR : SYNC;
    record(op, st.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = fails ? EIO : errno;
    return fails ? -1 : 0;
}
int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }
/* Starts writing, but flushes no disk's cache and no metadata: it makes nothing durable. */
int sync_file_range(int fd, off_t offset, off_t len, unsigned flags) {
    char path[PATH_MAX];
    struct stat st;
    return watched(fd, path, &st) ? 0 : syscall(SYS_sync_file_range, fd, offset, len, flags);
}

static int do_rename(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    int ours = whole(from_at, from, old), into = whole(to_at, to, new);
    if (!ours && !into) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (!ours || !into || flags) give_up("a rename in or out is not covered");
    pthread_mutex_lock(&lock);
    tick();
    int done = syscall(SYS_renameat2, from_at, from, to_at, to, flags), saved = errno;
    if (!done) record(RENAME, 0, 0, old, new, strlen(new));
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return do_rename(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return do_rename(a, from, b, to, flags); }

static int do_unlink(int at, const char *name, int flags) {
    char path[PATH_MAX];
    if (!whole(at, name, path)) return syscall(SYS_unlinkat, at, name, flags);
    pthread_mutex_lock(&lock);
    tick();
    int done = syscall(SYS_unlinkat, at, name, flags), saved = errno;
    if (!done) record(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return do_unlink(at, path, flags); }
int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat st;
    return do_unlink(AT_FDCWD, path, !lstat(path, &st) && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

static int do_mkdir(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    struct stat st;
    if (!whole(at, name, path)) return syscall(SYS_mkdirat, at, name, mode);
    pthread_mutex_lock(&lock);
    tick();
    int done = syscall(SYS_mkdirat, at, name, mode), saved = errno;
    if (!done && !lstat(path, &st)) record(MKDIR, st.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
int mkdir(const char *path, mode_t mode) { return do_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return do_mkdir(at, path, mode); }

/* What the buffer does not use is refused, so that nothing goes unseen. */
#define REFUSE_FD(fd)                                                                  \
    do {                                                                               \
        char its_path[PATH_MAX];                                                       \
        struct stat its_stat;                                                          \
        if (watched(fd, its_path, &its_stat) && S_ISREG(its_stat.st_mode)) give_up(__func__); \
    } while (0)
#define REFUSE_PATH(at, name)                             \
    do {                                                  \
        char its_path[PATH_MAX];                          \
        if (whole(at, name, its_path)) give_up(__func__); \
    } while (0)
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (fd != 1 || log_fd < 0) {
        REFUSE_FD(fd);
        return syscall(SYS_writev, fd, parts, count);
    }
    ssize_t all = 0;
    for (int n = 0; n < count; n++) {
        ssize_t done = write(fd, parts[n].iov_base, parts[n].iov_len);
        if (done < 0) return all ? all : -1;
        all += done;
    }
    return all;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REFUSE_FD(fd);
    return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t len, unsigned flags) {
    REFUSE_FD(out);
    return syscall(SYS_copy_file_range, in, from, out, to, len, flags);
}
ssize_t sendfile64(int out, int in, off_t *offset, size_t count) {
    REFUSE_FD(out);
    return syscall(SYS_sendfile, out, in, offset, count);
}
void *mmap(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    if (fd >= 0 && (flags & MAP_SHARED) && (access & PROT_WRITE)) REFUSE_FD(fd);
    return (void *)syscall(SYS_mmap, at, len, access, flags, fd, offset);
}
void *mmap64(void *at, size_t len, int access, int flags, int fd, off_t offset) { return mmap(at, len, access, flags, fd, offset); }
int truncate(const char *path, off_t len) {
    REFUSE_PATH(AT_FDCWD, path);
    return syscall(SYS_truncate, path, len);
}
int truncate64(const char *path, off_t len) { return truncate(path, len); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    REFUSE_PATH(b, to);
    return syscall(SYS_linkat, a, from, b, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int symlinkat(const char *from, int at, const char *to) {
    REFUSE_PATH(at, to);
    return syscall(SYS_symlinkat, from, at, to);
}
int symlink(const char *from, const char *to) { return symlinkat(from, AT_FDCWD, to); }
