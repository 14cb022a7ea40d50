/* Write down, or fail, what a process asks of the disk below one folder: preloaded before the C library.
 *
 * `disk_record` writes each call that changed something to a log, with its bytes. `disk_fail` fails the k-th call of
 * some kinds, and those after it where that is asked for; it can raise a signal or move the clock there instead. Both
 * look at paths and descriptors below `root` only. `power_points.py` and `trouble_points.py` say what for.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, CREATE = 2, READ = 4, WRITE = 8, FLUSH = 16, CLOSE = 32, NAME = 64, REMOVE = 128, LOOK = 256, LOCK = 512, FOLDERS = 1024 };
#define MAPS 64
#define CLONE 0x40049409

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static long own, *count = &own, at, clock_step;
static unsigned kinds;
static int failure, lasting, signal_number, moved;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char *begin; size_t length; off_t offset; uint64_t inode; } maps[MAPS];

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

void disk_record(const char *folder, int descriptor) {
  strncpy(root, folder, sizeof root - 1), root_length = strlen(root), log_fd = descriptor;
}

void disk_fail(const char *folder, unsigned of, long number, int error, int from_then_on, int sig, long seconds) {
  strncpy(root, folder, sizeof root - 1), root_length = strlen(root);
  kinds = of, failure = error, lasting = from_then_on, signal_number = sig, clock_step = seconds, *count = 0, moved = 0;
  at = number;
}

/* The number of calls is kept where other processes see it. */
void disk_count_in(long *where) { count = where; }

static int is_below(const char *path) {
  return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Fill in the absolute path; the reader of the log resolves dots. */
static const char *absolute(int folder, const char *path, char *full) {
  if (path[0] == '/') { strncpy(full, path, PATH_MAX - 1), full[PATH_MAX - 1] = 0; return full; }
  if (folder == AT_FDCWD) {
    if (!getcwd(full, PATH_MAX)) full[0] = 0;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = syscall(SYS_readlink, link, full, PATH_MAX - 1);
    full[n < 0 ? 0 : n] = 0;
  }
  strncat(full, "/", PATH_MAX - strlen(full) - 1), strncat(full, path, PATH_MAX - strlen(full) - 1);
  return full;
}

static int path_of(int fd, char *full) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlink, link, full, PATH_MAX - 1);
  full[n < 0 ? 0 : n] = 0;
  return is_below(full);
}

static int is_watched(int fd) {
  char full[PATH_MAX];
  int before = errno, answer = root_length && fd > 2 && fd != log_fd && path_of(fd, full);
  errno = before;
  return answer;
}

/* Whether this call is to fail; a signal or a clock that jumps comes before the call, which then goes on. */
static int fails(unsigned kind) {
  if (!at || !(kinds & kind)) return 0;
  long number = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
  if (number != at && !(lasting && number > at)) return 0;
  if (clock_step) { moved = 1; return 0; }
  if (signal_number) { if (number == at) kill(getpid(), signal_number); return 0; }
  errno = failure;
  return 1;
}

static int fails_at(unsigned kind, int folder, const char *path) {
  char full[PATH_MAX];
  if (!at || !(kinds & kind)) return 0;
  int below = failure == EMFILE || is_below(absolute(folder, path, full));
  return below && fails(kind);
}

static int fails_on(unsigned kind, int fd) { return at && (kinds & kind) && is_watched(fd) && fails(kind); }

static void put(const void *data, size_t length) {
  const char *from = data;
  while (length) {
    ssize_t n = syscall(SYS_write, log_fd, from, length);
    if (n <= 0) abort();
    from += n, length -= n;
  }
}

static void note(const char *what, uint64_t inode, uint64_t number, const char *one, const char *other, const void *data, size_t length) {
  int before = errno;
  char line[2 * PATH_MAX + 256];
  int n = snprintf(line, sizeof line, "%s %llu %llu %zu %zu %zu\n", what, (unsigned long long)inode,
                   (unsigned long long)number, strlen(one), strlen(other), length);
  put(line, n), put(one, strlen(one)), put(other, strlen(other)), put(data, length);
  errno = before;
}

static uint64_t inode_of(int fd) { struct stat s; return fstat(fd, &s) ? 0 : s.st_ino; }

#define BEGIN pthread_mutex_lock(&lock)
#define END pthread_mutex_unlock(&lock)
#define RECORDS (log_fd >= 0)

/* --- files are opened, and come into being --- */

static int opened(int (*real)(int, const char *, int, ...), int folder, const char *path, int flags, mode_t mode) {
  unsigned kind = (flags & (O_CREAT | O_WRONLY | O_RDWR)) ? CREATE : OPEN;
  if (fails_at(kind, folder, path)) return -1;
  if (!RECORDS || kind == OPEN) return real(folder, path, flags, mode);
  char full[PATH_MAX];
  BEGIN;
  struct stat s;
  int below = is_below(absolute(folder, path, full)), there = below && !lstat(full, &s), fd = real(folder, path, flags, mode);
  if (fd >= 0 && below) {
    if (!there && (flags & O_TMPFILE) != O_TMPFILE) note("create", inode_of(fd), 0, full, "", "", 0);
    else if (flags & O_TRUNC) note("truncate", inode_of(fd), 0, "", "", "", 0);
  }
  END;
  return fd;
}

static int openat_(int folder, const char *path, int flags, ...) {
  REAL(int, "openat64", int, const char *, int, ...);
  va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
  return real(folder, path, flags, mode);
}
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE return opened(openat_, AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(openat_, AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(openat_, folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(openat_, folder, path, flags | O_LARGEFILE, mode); }
int __open_2(const char *path, int flags) { return opened(openat_, AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(openat_, AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(openat_, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

DIR *opendir(const char *path) {
  REAL(DIR *, "opendir", const char *);
  return fails_at(FOLDERS, AT_FDCWD, path) ? NULL : real(path);
}
int stat64(const char *path, struct stat64 *s) { REAL(int, "stat64", const char *, struct stat64 *); return fails_at(LOOK, AT_FDCWD, path) ? -1 : real(path, s); }
int lstat64(const char *path, struct stat64 *s) { REAL(int, "lstat64", const char *, struct stat64 *); return fails_at(LOOK, AT_FDCWD, path) ? -1 : real(path, s); }
int fstatat64(int folder, const char *path, struct stat64 *s, int flags) {
  REAL(int, "fstatat64", int, const char *, struct stat64 *, int);
  return fails_at(LOOK, folder, path) ? -1 : real(folder, path, s, flags);
}

int close(int fd) {
  REAL(int, "close", int);
  int fail = 0;
  if (at && (kinds & CLOSE) && is_watched(fd) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) fail = fails(CLOSE);
  int before = errno, result = real(fd);  /* it is closed in any case, as Linux does */
  if (fail) { errno = before; return -1; }
  return result;
}

int flock(int fd, int operation) {
  REAL(int, "flock", int, int);
  return fails_on(LOCK, fd) ? -1 : real(fd, operation);
}

/* --- reading --- */

ssize_t read(int fd, void *to, size_t n) { REAL(ssize_t, "read", int, void *, size_t); return fails_on(READ, fd) ? -1 : real(fd, to, n); }
ssize_t pread64(int fd, void *to, size_t n, off64_t from) { REAL(ssize_t, "pread64", int, void *, size_t, off64_t); return fails_on(READ, fd) ? -1 : real(fd, to, n, from); }
ssize_t preadv64v2(int fd, const struct iovec *v, int n, off64_t from, int flags) {
  REAL(ssize_t, "preadv64v2", int, const struct iovec *, int, off64_t, int);
  return fails_on(READ, fd) ? -1 : real(fd, v, n, from, flags);
}

/* --- writing --- */

static void written(int fd, off_t from, const void *data, ssize_t n) {
  if (n > 0 && RECORDS && is_watched(fd)) note("write", inode_of(fd), from < 0 ? (uint64_t)(lseek(fd, 0, SEEK_CUR) - n) : (uint64_t)from, "", "", data, n);
}

/* What the kernel copied is read back. */
static void copied(int fd, off_t from, ssize_t n) {
  if (n <= 0 || !RECORDS || !is_watched(fd)) return;
  char link[64], *data = malloc(n);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int again = syscall(SYS_open, link, O_RDONLY);
  if (from < 0) from = lseek(fd, 0, SEEK_CUR) - n;
  if (!data || again < 0 || syscall(SYS_pread64, again, data, n, from) != n) abort();
  syscall(SYS_close, again);
  note("write", inode_of(fd), from, "", "", data, n), free(data);
}

/* A disk that fills up takes the first half of a longer write. */
static size_t half(size_t n) { return failure == ENOSPC ? n / 2 : 0; }

ssize_t write(int fd, const void *data, size_t n) {
  REAL(ssize_t, "write", int, const void *, size_t);
  if (fails_on(WRITE, fd)) { int e = errno; if (half(n)) real(fd, data, half(n)); errno = e; return -1; }
  if (!RECORDS || !is_watched(fd)) return real(fd, data, n);  /* a pipe may block */
  BEGIN; ssize_t done = real(fd, data, n); written(fd, -1, data, done); END;
  return done;
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t from) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  if (fails_on(WRITE, fd)) return -1;
  BEGIN; ssize_t done = real(fd, data, n, from); written(fd, from, data, done); END;
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t from) { return pwrite64(fd, data, n, from); }
ssize_t writev(int fd, const struct iovec *v, int n) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  if (fails_on(WRITE, fd)) return -1;
  if (!RECORDS || !is_watched(fd)) return real(fd, v, n);
  BEGIN; ssize_t done = real(fd, v, n); copied(fd, -1, done); END;
  return done;
}
ssize_t pwritev64v2(int fd, const struct iovec *v, int n, off64_t from, int flags) {
  REAL(ssize_t, "pwritev64v2", int, const struct iovec *, int, off64_t, int);
  if (fails_on(WRITE, fd)) return -1;
  BEGIN; ssize_t done = real(fd, v, n, from, flags); copied(fd, from, done); END;
  return done;
}
ssize_t sendfile64(int fd, int in, off64_t *from, size_t n) {
  REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
  if (fails_on(WRITE, fd)) return -1;
  BEGIN; ssize_t done = real(fd, in, from, n); copied(fd, -1, done); END;
  return done;
}
ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t n, unsigned flags) {
  REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
  if (fails_on(WRITE, fd)) return -1;
  BEGIN; ssize_t done = real(in, from, fd, to, n, flags); copied(fd, to ? *to - done : -1, done); END;
  return done;
}
int ioctl(int fd, unsigned long request, ...) {
  REAL(int, "ioctl", int, unsigned long, ...);
  va_list more; va_start(more, request); void *argument = va_arg(more, void *); va_end(more);
  BEGIN;
  int result = real(fd, request, argument);
  struct stat s;
  if (!result && request == CLONE && !fstat(fd, &s)) copied(fd, 0, s.st_size);
  END;
  return result;
}
int ftruncate64(int fd, off64_t size) {
  REAL(int, "ftruncate64", int, off64_t);
  if (fails_on(WRITE, fd)) return -1;
  BEGIN;
  int result = real(fd, size);
  if (!result && RECORDS && is_watched(fd)) note("truncate", inode_of(fd), size, "", "", "", 0);
  END;
  return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int posix_fallocate64(int fd, off64_t from, off64_t n) {
  REAL(int, "posix_fallocate64", int, off64_t, off64_t);
  if (fails_on(WRITE, fd)) return failure;
  struct stat s;
  BEGIN;
  int result = real(fd, from, n);
  if (!result && RECORDS && is_watched(fd) && !fstat(fd, &s)) note("truncate", s.st_ino, s.st_size, "", "", "", 0);
  END;
  return result;
}

/* --- windows into files --- */

static void looked(char *begin, size_t length, int forget) {
  for (int i = 0; i < MAPS; i++)
    if (maps[i].begin && maps[i].begin >= begin && maps[i].begin < begin + length) {
      note("write", maps[i].inode, maps[i].offset, "", "", maps[i].begin, maps[i].length);
      if (forget) maps[i].begin = NULL;
    }
}
void *mmap64(void *wanted, size_t length, int protection, int flags, int fd, off64_t from) {
  REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
  void *begin = real(wanted, length, protection, flags, fd, from);
  struct stat s;
  if (begin != MAP_FAILED && RECORDS && (flags & MAP_SHARED) && (protection & PROT_WRITE) && is_watched(fd) && !fstat(fd, &s)) {
    BEGIN;
    int i = 0;
    while (i < MAPS && maps[i].begin) i++;
    if (i == MAPS) abort();
    size_t there = s.st_size > from ? (size_t)(s.st_size - from) : 0;
    maps[i].begin = begin, maps[i].length = length < there ? length : there, maps[i].offset = from, maps[i].inode = s.st_ino;
    END;
  }
  return begin;
}
void *mmap(void *wanted, size_t length, int protection, int flags, int fd, off_t from) { return mmap64(wanted, length, protection, flags, fd, from); }
int munmap(void *begin, size_t length) {
  REAL(int, "munmap", void *, size_t);
  if (RECORDS) { BEGIN; looked(begin, length, 1); END; }
  return real(begin, length);
}
int msync(void *begin, size_t length, int flags) {
  REAL(int, "msync", void *, size_t, int);
  if (RECORDS) { BEGIN; looked(begin, length, 0); END; }
  return real(begin, length, flags);
}

/* --- what lasts --- */

static int flushed(int (*real)(int), int fd) {
  if (fails_on(FLUSH, fd)) return -1;
  BEGIN;  /* nobody writes to it meanwhile: the log could not tell whether that lasts */
  int result = real(fd);
  if (!result && RECORDS && is_watched(fd)) note("flush", inode_of(fd), 0, "", "", "", 0);
  END;
  return result;
}
int fsync(int fd) { REAL(int, "fsync", int); return flushed(real, fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return flushed(real, fd); }

/* --- names --- */

static int named(const char *what, int result, int one_folder, const char *one, int other_folder, const char *other) {
  if (!result && RECORDS) {
    char first[PATH_MAX], second[PATH_MAX] = "";
    struct stat s = {0};
    absolute(one_folder, one, first);
    if (other) absolute(other_folder, other, second);
    if (is_below(first) || is_below(second)) lstat(*second ? second : first, &s), note(what, s.st_ino, 0, first, second, "", 0);
  }
  return result;
}
#define NAMED(what, call, one_folder, one, other_folder, other) \
  BEGIN; int result = named(what, call, one_folder, one, other_folder, other); END; return result

int renameat2(int a, const char *one, int b, const char *other, unsigned flags) {
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  if (fails_at(NAME, b, other)) return -1;
  NAMED(flags & 2 ? "exchange" : "rename", real(a, one, b, other, flags), a, one, b, other);
}
int renameat(int a, const char *one, int b, const char *other) {
  REAL(int, "renameat", int, const char *, int, const char *);
  if (fails_at(NAME, b, other)) return -1;
  NAMED("rename", real(a, one, b, other), a, one, b, other);
}
int rename(const char *one, const char *other) { return renameat(AT_FDCWD, one, AT_FDCWD, other); }
int linkat(int a, const char *one, int b, const char *other, int flags) {
  REAL(int, "linkat", int, const char *, int, const char *, int);
  if (fails_at(NAME, b, other)) return -1;
  NAMED("link", real(a, one, b, other, flags), a, one, b, other);
}
int link(const char *one, const char *other) { return linkat(AT_FDCWD, one, AT_FDCWD, other, 0); }
int symlinkat(const char *target, int b, const char *other) {
  REAL(int, "symlinkat", const char *, int, const char *);
  if (fails_at(NAME, b, other)) return -1;
  NAMED("symlink", real(target, b, other), AT_FDCWD, target, b, other);
}
int symlink(const char *target, const char *other) { return symlinkat(target, AT_FDCWD, other); }
int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  if (fails_at(NAME, folder, path)) return -1;
  NAMED("mkdir", real(folder, path, mode), folder, path, AT_FDCWD, NULL);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlinkat(int folder, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  if (fails_at(REMOVE, folder, path)) return -1;
  NAMED("remove", real(folder, path, flags), folder, path, AT_FDCWD, NULL);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int fchmod(int fd, mode_t mode) { REAL(int, "fchmod", int, mode_t); return fails_on(NAME, fd) ? -1 : real(fd, mode); }

/* Rust's standard library and `rustix` ask the kernel by number for what an old C library has no name for. */
long syscall(long number, ...) {
  REAL(long, "syscall", long, ...);
  va_list more;
  va_start(more, number);
  long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long);
  long d = va_arg(more, long), e = va_arg(more, long), f = va_arg(more, long);
  va_end(more);
  if (number == SYS_renameat2) return renameat2(a, (char *)b, c, (char *)d, e);
  if (number == SYS_copy_file_range) return copy_file_range(a, (off64_t *)b, c, (off64_t *)d, e, f);
  return real(number, a, b, c, d, e, f);
}

/* --- the clock --- */

int clock_gettime(clockid_t which, struct timespec *now) {
  REAL(int, "clock_gettime", clockid_t, struct timespec *);
  int result = real(which, now);
  if (!result && moved && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += clock_step;
  return result;
}
