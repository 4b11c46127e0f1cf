/* A machine that fails, for a program that does not know: preload this into it. For scripts/faults and scripts/nth-io.
 *
 *   cc -O2 -shared -fPIC -o ill.so scripts/lib/ill.c -ldl
 *   ILL=<file> ILL_UNDER=<folder> LD_PRELOAD=ill.so program
 *
 * The file holds 64-bit words that lib/ill.py writes and all processes share: how far the wall clock is off, how long a sync
 * takes, and which call on a file under the folder fails how; behind them is the path of the last one that failed. Seen is what
 * the program calls in libc: to open, list, read, write, sync, rename, link, make, cut, remove and chmod, as the standard library
 * of Rust does for all of it. Not seen: system calls of its own (rustix: fallocate of the ledger and of the reserve, statvfs),
 * those that libc makes within itself, what asks a file without changing it (stat, seek), and locks and inotify.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, CREATE = 2, READ = 4, WRITE = 8, SYNC = 16, RENAME = 32, MAKE = 64, CUT = 128, REMOVE = 256, MODE = 512 };

static struct word {
    int64_t wall_ns;  /* added to the wall clock */
    int64_t sync_ns;  /* for which every sync waits */
    int64_t kinds;    /* of calls that are counted, and may fail */
    int64_t count;    /* of them so far */
    int64_t fails;    /* the first of them that fails, from 1; 0: none */
    int64_t until;    /* the first behind it that does not */
    int64_t with;     /* errno; -1: half of it is done; -2: the process is killed before it */
    int64_t failed;   /* how many did */
    int64_t what;     /* the kind of the last one that did */
    char where[512];  /* and its file */
} *word;

static char under[512];
static size_t under_length;
/* The path that was last found to be under it. */
static __thread char found[600];

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("ILL"), *folder = getenv("ILL_UNDER");
    if (word || !file || !folder) return;
    REAL(open);
    int fd = real(file, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || strlen(folder) >= sizeof under) {
        static const char words[] = "ill: ILL must be a file of 584 bytes, ILL_UNDER a folder\n";
        (void)!write(2, words, sizeof words - 1);
        _exit(64);
    }
    close(fd);
    under_length = strlen(strcpy(under, folder));
    word = at;
}

static int is_ours(const char *path) {
    if (!word || !path || strncmp(path, under, under_length) != 0) return 0;
    snprintf(found, sizeof found, "%s", path);
    return 1;
}

static int is_ours_fd(int fd) {
    char link[64], path[600];
    if (!word || !word->kinds) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

/* The same for a name in an open folder. */
static int is_ours_at(int at, const char *path) {
    char link[64], whole[600];
    if (at == AT_FDCWD || !path || *path == '/') return is_ours(path);
    if (!word || !word->kinds) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length <= 0) return 0;
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return is_ours(whole);
}

/* Counts a call. Gives 0, or what it fails with. */
static int fault(int kind, int ours) {
    if (!ours || !(word->kinds & kind)) return 0;
    int64_t here = __atomic_add_fetch(&word->count, 1, __ATOMIC_SEQ_CST);
    if (!word->fails || here < word->fails || here >= word->until) return 0;
    __atomic_add_fetch(&word->failed, 1, __ATOMIC_SEQ_CST);
    word->what = kind;
    snprintf(word->where, sizeof word->where, "%.511s", found);
    if (word->with == -2) kill(getpid(), SIGKILL);
    return (int)word->with;
}

static int refuse(int kind, int ours) {
    int with = fault(kind, ours);
    if (with > 0) errno = with;
    return with > 0;
}

/* Files. */

static int opens(int flags) { return flags & O_CREAT ? CREATE | OPEN : OPEN; }

#define OPENING(name)                                                  \
    int name(const char *path, int flags, ...) {                       \
        REAL(name);                                                    \
        va_list list;                                                  \
        va_start(list, flags);                                         \
        mode_t mode = va_arg(list, mode_t);                            \
        va_end(list);                                                  \
        return refuse(opens(flags), is_ours(path)) ? -1 : real(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                               \
    int name(int at, const char *path, int flags, ...) {               \
        REAL(name);                                                    \
        va_list list;                                                  \
        va_start(list, flags);                                         \
        mode_t mode = va_arg(list, mode_t);                            \
        va_end(list);                                                  \
        return refuse(opens(flags), is_ours_at(at, path)) ? -1 : real(at, path, flags, mode); \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

DIR *opendir(const char *path) {
    REAL(opendir);
    return refuse(OPEN, is_ours(path)) ? NULL : real(path);
}

/* A listing is read where it begins; the entries behind it are in memory, mostly. */
struct dirent64 *readdir64(DIR *folder) {
    REAL(readdir64);
    return telldir(folder) == 0 && refuse(READ, is_ours_fd(dirfd(folder))) ? NULL : real(folder);
}

#define READING(name, ...)                                             \
    {                                                                  \
        REAL(name);                                                    \
        return refuse(READ, is_ours_fd(fd)) ? -1 : real(__VA_ARGS__);  \
    }
ssize_t read(int fd, void *to, size_t bytes) READING(read, fd, to, bytes)
ssize_t pread64(int fd, void *to, size_t bytes, off64_t at) READING(pread64, fd, to, bytes, at)
ssize_t readv(int fd, const struct iovec *to, int count) READING(readv, fd, to, count)

#define WRITING(name, less, ...)                                       \
    {                                                                  \
        REAL(name);                                                    \
        int with = fault(WRITE, is_ours_fd(fd));                       \
        if (with > 0) return errno = with, -1;                         \
        if (with < 0) less;                                            \
        return real(__VA_ARGS__);                                      \
    }
ssize_t write(int fd, const void *from, size_t bytes) WRITING(write, bytes = (bytes + 1) / 2, fd, from, bytes)
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) WRITING(pwrite64, bytes = (bytes + 1) / 2, fd, from, bytes, at)
ssize_t writev(int fd, const struct iovec *from, int count) WRITING(writev, count = (count + 1) / 2, fd, from, count)

static void drag(int ours) {
    if (!ours || !word->sync_ns) return;
    struct timespec wait = {word->sync_ns / 1000000000, word->sync_ns % 1000000000};
    nanosleep(&wait, NULL);
}

static int is_dragged(int fd) {
    char link[64], path[600];
    if (!word || !word->sync_ns) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) path[length] = 0;
    return length > 0 && is_ours(path);
}

int fsync(int fd) {
    REAL(fsync);
    drag(is_dragged(fd));
    return refuse(SYNC, is_ours_fd(fd)) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    drag(is_dragged(fd));
    return refuse(SYNC, is_ours_fd(fd)) ? -1 : real(fd);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    return refuse(CUT, is_ours_fd(fd)) ? -1 : real(fd, length);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return refuse(RENAME, is_ours(to)) ? -1 : real(from, to);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(linkat);
    return refuse(RENAME, is_ours_at(to_at, to)) ? -1 : real(from_at, from, to_at, to, flags);
}

int link(const char *from, const char *to) {
    REAL(link);
    return refuse(RENAME, is_ours(to)) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return refuse(MAKE, is_ours(path)) ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(unlink);
    return refuse(REMOVE, is_ours(path)) ? -1 : real(path);
}

int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    return refuse(REMOVE, is_ours_at(at, path)) ? -1 : real(at, path, flags);
}

int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    return refuse(MODE, is_ours(path)) ? -1 : real(path, mode);
}

int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    return refuse(MODE, is_ours_fd(fd)) ? -1 : real(fd, mode);
}

/* The wall clock. */

int clock_gettime(clockid_t clock, struct timespec *t) {
    REAL(clock_gettime);
    int code = real(clock, t);
    if (code == 0 && word && word->wall_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t now = t->tv_sec * INT64_C(1000000000) + t->tv_nsec + word->wall_ns;
        *t = (struct timespec){now / 1000000000, now % 1000000000};
    }
    return code;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
