/*
 * base/httpd_disk.c - file bytes without waiting: sent from the page cache, or read by the pool
 * first.
 *
 * sendfile() and pread() of a page that is not in memory block the thread until the disk answers,
 * and with it every client of the loop. So the stream asks first: mincore() on a mapping that is
 * never touched, or preadv2(RWF_NOWAIT). Cold bytes are read once by a worker, only to bring them
 * into the page cache; the kernel's read-ahead does most of the rest. What was found there or read
 * by a worker is "warm" and sent without asking again: if the cache has dropped it since, waiting
 * is better than turning in circles. What one request found serves all of its loop for a moment
 * (httpd_warm.c).
 *
 * A cold read holds its own descriptor and outlives its request if it must.
 */
#include "base/httpd_priv.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define MAP_WINDOW (256 * MIB) /* address space only */
#define READ_PIECE (128 * KIB)

struct httpd_cold_read {
    struct dt_job job;
    struct dt_http_req *req; /* NULL once the request is gone */
    struct dt_httpd *server;
    int fd; /* owned */
    uint64_t off;
};

/* ---- what is in memory? ---- */

static bool is_warm(const struct dt_http_req *req, int fd, uint64_t off)
{
    return fd == req->warm_fd && off >= req->warm_off && off < req->warm_end;
}

static void unmap(struct dt_http_req *req)
{
    if (req->map_fd < 0)
        return;
    (void)munmap(req->map, req->map_len); /* our own mapping: cannot fail */
    req->map_fd = -1;
}

static bool map_covers(struct dt_http_req *req, int fd, uint64_t off, size_t len)
{
    uint64_t start = off - off % MAP_WINDOW;

    if (fd == req->map_fd && off >= req->map_off && off + len <= req->map_off + req->map_len)
        return true;
    unmap(req);
    /* A window longer than the file is fine: it is never touched. */
    req->map_len = off - start + len > MAP_WINDOW ? 2 * MAP_WINDOW : MAP_WINDOW;
    req->map = mmap(NULL, req->map_len, PROT_READ, MAP_SHARED, fd, (off_t)start);
    if (req->map == MAP_FAILED)
        return false;
    req->map_fd = fd;
    req->map_off = start;
    return true;
}

/* How many of the `len` bytes at `off` the kernel has in memory. */
static size_t ask_kernel(struct dt_http_req *req, int fd, uint64_t off, size_t len)
{
    unsigned char in_core[HTTPD_RESIDENT_ASK / PAGE_BYTES + 1]; /* + 1: ends within pages */
    uint64_t first = off - off % PAGE_BYTES;
    size_t n_pages = (off + len - first + PAGE_BYTES - 1) / PAGE_BYTES, i = 0;

    DT_ASSERT(n_pages <= sizeof in_core);
    if (!map_covers(req, fd, first, n_pages * PAGE_BYTES) ||
        mincore((char *)req->map + (first - req->map_off), n_pages * PAGE_BYTES, in_core) < 0)
        return len; /* without an answer it is better to send and perhaps wait than not to send */
    while (i < n_pages && (in_core[i] & 1) != 0)
        i++;
    if (i == 0)
        return 0;
    return i == n_pages ? len : (size_t)(first + i * PAGE_BYTES - off);
}

/* The numbers of the file behind fd. Without them (fstat of a descriptor that is open does not
 * fail) all unknown files would be one. */
static bool file_is_known(struct dt_http_req *req, int fd)
{
    struct stat stat;

    if (req->file_fd == fd)
        return true;
    if (fstat(fd, &stat) < 0)
        return false;
    req->file = (struct httpd_file){.dev = stat.st_dev, .ino = stat.st_ino};
    req->file_fd = fd;
    return true;
}

/* Asks about no more than is wanted now, within one window: of a file that is being filled the rest
 * is not there, and looking at each of its pages is what the question costs. */
static uint64_t find_warm_end(struct dt_http_req *req, int fd, uint64_t off, size_t len)
{
    struct httpd_share *share = req->conn->share;
    uint64_t now_ms = dt_loop_now_ms(share->loop);
    uint64_t window_end = off - off % HTTPD_WARM_WINDOW + HTTPD_WARM_WINDOW, end;

    if (!file_is_known(req, fd))
        return off + len;
    end = httpd_warm_end(share->warm, &req->file, off, now_ms);
    if (end > off)
        return end;
    if (len > HTTPD_RESIDENT_ASK)
        len = HTTPD_RESIDENT_ASK;
    if (len > window_end - off)
        len = (size_t)(window_end - off);
    end = off + ask_kernel(req, fd, off, len);
    if (end > off)
        httpd_warm_note(share->warm, &req->file, off, end, now_ms);
    return end;
}

size_t httpd_disk_resident(struct dt_http_req *req, int fd, uint64_t off, size_t len)
{
    if (!is_warm(req, fd, off)) {
        req->warm_end = find_warm_end(req, fd, off, len);
        req->warm_fd = fd;
        req->warm_off = off;
    }
    if (!is_warm(req, fd, off))
        return 0;
    return len < req->warm_end - off ? len : (size_t)(req->warm_end - off);
}

ssize_t httpd_disk_read(struct dt_http_req *req, int fd, void *buf, size_t len, uint64_t off)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    ssize_t n;

    if (is_warm(req, fd, off))
        return pread(fd, buf, len, (off_t)off);
    n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) /* a file system that cannot tell */
        return pread(fd, buf, len, (off_t)off);
    return n;
}

/* ---- the pool's part ---- */

static void cold_run(struct dt_job *job)
{
    struct httpd_cold_read *cold = dt_container_of(job, struct httpd_cold_read, job);
    char *buf = dt_calloc(1, READ_PIECE);
    uint64_t off = cold->off, end = cold->off + HTTPD_COLD_READ;

    /* An error or the end of the file shows again when the stream reads: there it is handled. */
    while (off < end) {
        ssize_t n = pread(cold->fd, buf, READ_PIECE, (off_t)off);
        if (n <= 0)
            break;
        off += (size_t)n;
    }
    free(buf);
    dt_close(&cold->fd);
}

static void cold_done(struct dt_job *job)
{
    struct httpd_cold_read *cold = dt_container_of(job, struct httpd_cold_read, job);
    struct dt_http_req *req = cold->req;

    httpd_busy_add(cold->server, -1);
    free(cold);
    if (req == NULL)
        return;
    req->cold = NULL;
    httpd_req_expect_progress(req); /* the disk's time was not the client's */
    httpd_stream_schedule(req);
}

void httpd_disk_read_cold(struct dt_http_req *req, int fd, uint64_t off)
{
    struct dt_httpd *server = req->conn->share->server;
    int own_fd = dup(fd);
    struct httpd_cold_read *cold;

    req->warm_fd = fd;
    req->warm_off = off;
    req->warm_end = off + HTTPD_COLD_READ;
    if (own_fd < 0) { /* out of descriptors: waiting for the disk is the lesser evil */
        httpd_stream_schedule(req);
        return;
    }
    cold = dt_new(struct httpd_cold_read);
    cold->job.run = cold_run;
    cold->job.done = cold_done;
    cold->job.loop = req->conn->share->loop;
    cold->req = req;
    cold->server = server;
    cold->fd = own_fd;
    cold->off = off;
    req->cold = cold;
    req->state = HTTPD_DISK_READS;
    httpd_busy_add(server, 1);
    dt_pool_submit(server->opts.pool, &cold->job);
}

void httpd_disk_forget(struct dt_http_req *req)
{
    unmap(req);
    if (req->cold != NULL)
        req->cold->req = NULL;
    req->cold = NULL;
}
