/*
 * proxy/swarm.c - this node's half of the swarm: its parts, in the order they are made and ended.
 *
 * The limits of the whole node are the proxy's (proxy/limits.h): supernodes lower them here.
 */
#define LOG_COMPONENT "swarm"
#include "proxy/swarm.h"

#include <stdlib.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/mem.h"

struct proxy_swarm {
    struct transfer *transfer;
    const struct proxy_options *options;
    struct dt_keys *keys;
    struct proxy_limits *limits; /* borrowed */
    struct piece_server *pieces;
    struct dt_httpd *httpd; /* the piece port */
    char address[300];
    struct supernodes *supernodes;   /* NULL: none is named */
    struct proxy_director *director; /* the same */
};

static uint64_t served_bytes(void *arg)
{
    struct piece_server_counts counts;
    piece_server_count(&counts, arg);
    return counts.bytes;
}

static void make_director(struct proxy_swarm *swarm)
{
    swarm->supernodes = supernodes_new(&(struct supernodes_opts){
        .transfer = swarm->transfer,
        .keys = swarm->keys,
        .options = swarm->options,
        .limits = swarm->limits,
    });
    supernodes_count_served(swarm->supernodes, served_bytes, swarm->pieces);
    swarm->director = proxy_director_new(&(struct proxy_director_opts){
        .transfer = swarm->transfer,
        .keys = swarm->keys,
        .supernodes = swarm->supernodes,
        .options = swarm->options,
    });
    swarm->transfer->director = proxy_director_of_tasks(swarm->director);
}

int proxy_swarm_new(struct proxy_swarm **out, struct transfer *transfer,
                    const struct proxy_options *options, struct proxy_limits *limits,
                    struct dt_err *err)
{
    struct dt_keys *keys = NULL;
    *out = NULL;
    if (options->cluster_key_file == NULL)
        return 0;
    int rc = dt_keys_load(&keys, options->cluster_key_file, err);
    if (rc < 0)
        return rc;
    struct proxy_swarm *swarm = dt_new(struct proxy_swarm);
    swarm->transfer = transfer;
    swarm->options = options;
    swarm->keys = keys;
    swarm->limits = limits;
    swarm->pieces = piece_server_new(&(struct piece_server_opts){
        .transfer = transfer,
        .keys = keys,
        .site = options->site,
        .max_uploads = DIRECTOR_UPLOADS_MAX,
        .up = &limits->up,
    });
    if (options->supernodes.n > 0)
        make_director(swarm);
    *out = swarm;
    return 0;
}

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    (void)arg;
    (void)summary;
}

static void on_request(void *arg, struct dt_http_req *http)
{
    struct proxy_swarm *swarm = arg;
    if (piece_server_handle(swarm->pieces, http))
        return;
    dt_http_on_end(http, on_end, NULL);
    dt_http_reply(http, 404, "", 0);
}

int proxy_swarm_open(struct proxy_swarm *swarm, struct dt_err *err)
{
    if (swarm == NULL)
        return 0;
    struct dt_httpd_opts opts = {
        .name = "pieces",
        .handler = on_request,
        .arg = swarm,
        .pool = swarm->transfer->pool,
        .max_connections = swarm->options->process.max_connections,
    };
    int rc = dt_addr_parse(&opts.addr, swarm->options->peer_listen, err);
    if (rc == 0)
        rc = dt_httpd_start(&swarm->httpd, swarm->transfer->loops, &opts, err);
    if (rc < 0)
        return rc;
    opts.addr.port = dt_httpd_port(swarm->httpd);
    (void)dt_addr_format(swarm->address, &opts.addr);
    if (swarm->supernodes != NULL)
        supernodes_start(swarm->supernodes, &opts.addr);
    return 0;
}

const char *proxy_swarm_address(const struct proxy_swarm *swarm)
{
    return swarm != NULL ? swarm->address : "closed";
}

void proxy_swarm_reload_keys(struct proxy_swarm *swarm)
{
    if (swarm != NULL)
        dt_daemon_reload_keys(swarm->keys, swarm->options->cluster_key_file);
}

void proxy_swarm_close(struct proxy_swarm *swarm, uint64_t drain_ms)
{
    if (swarm == NULL)
        return;
    if (swarm->supernodes != NULL)
        supernodes_stop(swarm->supernodes);
    if (swarm->httpd != NULL)
        dt_httpd_drain(swarm->httpd, drain_ms);
}

void proxy_swarm_free(struct proxy_swarm **handle)
{
    struct proxy_swarm *swarm = *handle;
    if (swarm == NULL)
        return;
    *handle = NULL;
    if (swarm->httpd != NULL)
        dt_httpd_free(&swarm->httpd);
    proxy_director_free(&swarm->director);
    supernodes_free(&swarm->supernodes);
    piece_server_free(&swarm->pieces);
    dt_keys_free(&swarm->keys);
    free(swarm);
}

struct supernodes *proxy_swarm_supernodes(const struct proxy_swarm *swarm)
{
    return swarm != NULL ? swarm->supernodes : NULL;
}

struct proxy_director *proxy_swarm_director(const struct proxy_swarm *swarm)
{
    return swarm != NULL ? swarm->director : NULL;
}

struct piece_server *proxy_swarm_pieces(const struct proxy_swarm *swarm)
{
    return swarm != NULL ? swarm->pieces : NULL;
}
