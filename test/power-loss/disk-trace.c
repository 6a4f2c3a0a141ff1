/*
 * Loaded with LD_PRELOAD: notes everything that a process does to the files below HOLDFAST_TRACE_FOLDER, in order and with the bytes, at the end of
 * HOLDFAST_TRACE_FILE. Several processes may share that file: each note is one append. What is done is noted after it is done; a sync is noted before and
 * after, since it covers only what was there when it began. A memory map (SQLite's -shm) is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATED = 1, WRITTEN, TRUNCATED, SYNC_BEGUN, SYNCED, REMOVED };

/* As readTrace in disk-trace.ts reads it. */
struct note {
  uint32_t kind, is_folder, path_bytes, data_bytes;
  uint64_t pid, inode, offset;
};

static const char *folder;
static int trace = -1;

__attribute__((constructor)) static void begin(void) {
  folder = getenv("HOLDFAST_TRACE_FOLDER");
  const char *file = getenv("HOLDFAST_TRACE_FILE");
  if (folder == NULL || file == NULL) return;
  trace = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (trace < 0) abort();
}

static int is_inside(const char *path) {
  size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void note(int kind, const char *path, const struct stat *status, uint64_t offset, const void *data, size_t data_bytes) {
  struct note head = {.kind = kind, .is_folder = S_ISDIR(status->st_mode), .path_bytes = strlen(path), .data_bytes = data_bytes, .pid = getpid(), .inode = status->st_ino, .offset = offset};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, data_bytes}};
  if (syscall(SYS_writev, trace, parts, 3) != (long)(sizeof head + head.path_bytes + data_bytes)) abort();
}

/* Notes what was done to a file that is open, if it is below the folder. */
static void note_open(int kind, int file, uint64_t offset, const void *data, size_t data_bytes) {
  char link[32], path[PATH_MAX];
  struct stat status;
  if (trace < 0 || file < 0) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return;
  path[length] = '\0';
  if (is_inside(path) && fstat(file, &status) == 0) note(kind, path, &status, offset, data, data_bytes);
}

static void note_named(int kind, const char *path, const struct stat *status) {
  char whole[PATH_MAX];
  if (trace < 0) return;
  if (path[0] != '/') {
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) == NULL || snprintf(whole, sizeof whole, "%s/%s", here, path) >= (int)sizeof whole) abort();
    path = whole;
  }
  if (is_inside(path)) note(kind, path, status, 0, NULL, 0);
}

#define NEXT(name) \
  static __typeof__(name) *next; \
  if (next == NULL) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    NEXT(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    int is_new = (flags & O_CREAT) != 0 && access(path, F_OK) != 0; \
    int file = next(path, flags, mode); \
    if (is_new) note_open(CREATED, file, 0, NULL, 0); \
    else if ((flags & O_TRUNC) != 0) note_open(TRUNCATED, file, 0, NULL, 0); \
    return file; \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *data, size_t size) {
  NEXT(write);
  ssize_t written = next(file, data, size);
  if (written > 0 && trace >= 0) {
    off_t end = lseek(file, 0, SEEK_CUR);
    if (end >= written) note_open(WRITTEN, file, end - written, data, written);
  }
  return written;
}

#define PWRITE(name, offset_type) \
  ssize_t name(int file, const void *data, size_t size, offset_type offset) { \
    NEXT(name); \
    ssize_t written = next(file, data, size, offset); \
    if (written > 0) note_open(WRITTEN, file, offset, data, written); \
    return written; \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_type) \
  int name(int file, offset_type size) { \
    NEXT(name); \
    int result = next(file, size); \
    if (result == 0) note_open(TRUNCATED, file, size, NULL, 0); \
    return result; \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
  int name(int file) { \
    NEXT(name); \
    note_open(SYNC_BEGUN, file, 0, NULL, 0); \
    int result = next(file); \
    if (result == 0) note_open(SYNCED, file, 0, NULL, 0); \
    return result; \
  }
SYNC(fsync)
SYNC(fdatasync)

#define REMOVE(name) \
  int name(const char *path) { \
    NEXT(name); \
    struct stat status; \
    int is_there = lstat(path, &status) == 0; \
    int result = next(path); \
    if (result == 0 && is_there) note_named(REMOVED, path, &status); \
    return result; \
  }
REMOVE(unlink)
REMOVE(rmdir)
REMOVE(remove)

int mkdir(const char *path, mode_t mode) {
  NEXT(mkdir);
  int result = next(path, mode);
  struct stat status;
  if (result == 0 && lstat(path, &status) == 0) note_named(CREATED, path, &status);
  return result;
}
