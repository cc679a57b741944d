/*
 * transfer/option_rows.h - rows that stand in the tables of options of both daemons, written once.
 *
 * `S` is the daemon's struct of options, with a `struct transfer_process_options process` and a
 * `struct transfer_options transfer`. Each macro is a piece of a `struct dt_option` table, but for
 * the one of the man page; what is checked after reading is in process.c and option_checks.h.
 */
#ifndef DARTER_TRANSFER_OPTION_ROWS_H
#define DARTER_TRANSFER_OPTION_ROWS_H

#include "base/config.h"
#include "transfer/process.h"

/* clang-format off */
#define TRANSFER_ROWS_CONFIG(S, file)                                                              \
    {"config", DT_OPT_STRING, offsetof(S, process.config_file), NULL, "FILE",                      \
     "Read options from this file. Without it, " file " is read if it exists.", false, true}

#define TRANSFER_ROWS_CONNECTIONS(S, number)                                                       \
    {"max-connections", DT_OPT_UINT, offsetof(S, process.max_connections), number, "NUMBER",       \
     "Client connections at once; more wait in the kernel's queue.", false, false}

#define TRANSFER_ROWS_CACHE(S, max)                                                                \
    {"cache-dir", DT_OPT_STRING, offsetof(S, process.cache_dir), NULL, "DIR",                      \
     "Where blobs are kept. Without it: cache below $STATE_DIRECTORY (set by systemd), else "      \
     "/var/lib/darter/cache for root, else darter/cache below $XDG_STATE_HOME or ~/.local/state.", \
     false, false},                                                                                \
    {"cache-max", DT_OPT_SIZE, offsetof(S, process.cache_max_bytes), max, "SIZE",                  \
     "Room the cache may take. What was not used for longest and is not pinned goes first.",       \
     true, false},                                                                                 \
    {"cache-min-free", DT_OPT_SIZE, offsetof(S, process.cache_min_free_bytes), "1GiB", "SIZE",     \
     "Room on the file system that is left to others, whatever cache-max says.", true, false},     \
    {"scrub-interval", DT_OPT_DURATION, offsetof(S, process.scrub_interval_ms), "7d", "DURATION",  \
     "How often every cached blob is read and hashed again; 0s = only on demand.", true, false},   \
    {"scrub-rate", DT_OPT_SIZE, offsetof(S, process.scrub_rate_bytes), "50MiB", "SIZE",            \
     "Bytes per second a scrub may read; 0B = no limit.", true, false}

#define TRANSFER_ROWS_SOURCES(S)                                                                   \
    {"stall-timeout", DT_OPT_DURATION, offsetof(S, transfer.stall_timeout_ms), "10s", "DURATION",  \
     "A source that sends no byte for so long is replaced in the middle of the blob.", false,      \
     false},                                                                                       \
    {"min-rate", DT_OPT_SIZE, offsetof(S, transfer.min_rate_bytes), "64KiB", "SIZE",               \
     "A source slower than so many bytes per second, over stall-timeout, is replaced when "        \
     "another one is ready; 0B = never.",                                                          \
     false, false}

#define TRANSFER_ROWS_STREAMS(S)                                                                   \
    {"streams-per-blob", DT_OPT_UINT, offsetof(S, transfer.streams_per_blob), "4", "NUMBER",       \
     "So many ranges of one blob may be on their way at once.", false, false},                     \
    {"segment", DT_OPT_SIZE, offsetof(S, transfer.segment_bytes), "64MiB", "SIZE",                 \
     "Larger blobs are asked for in ranges of about this size.", false, false}

#define TRANSFER_ROWS_ADMIN(S, address)                                                            \
    {"admin-listen", DT_OPT_STRING, offsetof(S, process.admin_listen), address,                    \
     "IP:PORT|unix:PATH",                                                                          \
     "Where the admin API and /metrics are. Anything but loopback or a unix socket needs "         \
     "admin-token-file.",                                                                          \
     false, false},                                                                                \
    {"admin-token-file", DT_OPT_STRING, offsetof(S, process.admin_token_file), NULL, "FILE",       \
     "The first line of this file, 12 characters or more, is asked for as \"Authorization: Bearer "\
     "...\" by the admin API. The file is read again on SIGHUP.",                                  \
     false, false}

#define TRANSFER_ROWS_PROCESS(S)                                                                   \
    {"log-level", DT_OPT_STRING, offsetof(S, process.log_level), "info", "LEVEL",                  \
     "error, warn, info or debug.", true, false},                                                  \
    {"log-format", DT_OPT_STRING, offsetof(S, process.log_format), "kv", "FORMAT", "kv or json.",  \
     false, false},                                                                                \
    {"loops", DT_OPT_UINT, offsetof(S, process.loops), "0", "NUMBER",                              \
     "Event loops; 0 = one for each core.", false, false},                                         \
    {"workers", DT_OPT_UINT, offsetof(S, process.workers), "0", "NUMBER",                          \
     "Threads for disk and hashing; 0 = 4.", false, false},                                        \
    {"drain", DT_OPT_DURATION, offsetof(S, process.drain_ms), "30s", "DURATION",                   \
     "After SIGTERM, transfers may go on for so long before they are cut.", true, false}

/* Of the manual's tail. */
#define TRANSFER_MAN_EXIT_STATUS                                                                   \
    ".Sh EXIT STATUS\n"                                                                            \
    ".Bl -tag -width Ds -compact\n"                                                                \
    ".It 0\n"                                                                                      \
    "ended by a signal\n"                                                                          \
    ".It 1\n"                                                                                      \
    "something could not be started; the log says what\n"                                          \
    ".It 2\n"                                                                                      \
    "an option is wrong\n"                                                                         \
    ".El\n"
/* clang-format on */

#endif
