/*
 * cache/index_check.c - is the index readable? Asked in a child process, because a damaged LMDB map
 * can end the process that reads it (SIGBUS beyond a cut file, SIGSEGV through a wild page number).
 *
 * The child looks at the size of the file, the head and tail of every database, and a few dozen
 * places in between: gross damage (a cut file, overwritten blocks) is found; a flipped bit deep
 * inside is left to LMDB's own checks and to the digests. Milliseconds, whatever the size.
 */
#include "cache/index_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#define CHECK_SAMPLES   64
#define CHECK_TIMEOUT_S 20 /* damaged pages may form a ring */

static bool sample_database(MDB_txn *txn, const char *name)
{
    MDB_dbi dbi;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_dbi_open(txn, name, 0, &dbi);
    if (rc == MDB_NOTFOUND)
        return true; /* killed before the first commit */
    if (rc != 0 || mdb_cursor_open(txn, dbi, &cursor) != 0)
        return false;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    unsigned sum = 0;
    for (int i = 0; (rc == 0 || rc == MDB_NOTFOUND) && i < CHECK_SAMPLES; i++) {
        /* Digest keys begin with the algorithm, hashed names with anything, times with zeros. */
        uint8_t at[2][2] = {{DT_SHA256, (uint8_t)(i * 256 / CHECK_SAMPLES)},
                            {(uint8_t)(i * 256 / CHECK_SAMPLES), 0}};
        key = (MDB_val){.mv_size = 2, .mv_data = at[i % 2]};
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        for (int step = 0; rc == 0 && step < 4; step++) {
            if (value.mv_size > 0) /* touch its far end: it may lie beyond the file */
                sum += ((const volatile uint8_t *)value.mv_data)[value.mv_size - 1];
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
    }
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND || sum == UINT32_MAX;
}

static bool has_every_page(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd = -1;
    if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0 ||
        mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &file) != 0)
        return false;
    return (uint64_t)file.st_size >= (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

static bool check_in_child(const char *dir)
{
    static const char *const names[] = {
#define X(name, text) text,
        INDEX_DBS(X)
#undef X
    };
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, INDEX_DB_COUNT) != 0)
        return false;
    /* No lock: the cache's own lock file keeps every other process out. */
    int rc = mdb_env_open(env, dir, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0);
    if (rc == ENOENT)
        return true;
    if (rc != 0 || !has_every_page(env) || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!sample_database(txn, names[i]))
            return false;
    return true;
}

static _Noreturn void child_main(const char *dir)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGALRM, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)signal(signals[i], SIG_DFL); /* cannot fail for these */
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core); /* a core of a healthy parent's child helps nobody */
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null_fd >= 0)
        (void)dup2(null_fd, STDERR_FILENO); /* LMDB prints failed asserts */
    alarm(CHECK_TIMEOUT_S);
    _exit(check_in_child(dir) ? 0 : 1);
}

int index_check(const char *dir, struct dt_err *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return 0; /* no processes left: open it here; it is healthy nearly always */
    if (pid == 0)
        child_main(dir);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* somebody reaps all children of this process: nothing was learned */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        return dt_err_set(err, DT_EIO, "index unreadable: checking it died of signal %d",
                          WTERMSIG(status));
    return dt_err_set(err, DT_EIO, "index unreadable: damaged pages");
}
