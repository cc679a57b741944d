/*
 * proxy/options_swarm.c - what a node may not be told about its swarm.
 *
 * Names travel in messages and come out in logs and lists: they are held to the wire's rule here,
 * where a person can still be told. The node's name is filled in. Main thread only.
 */
#include <arpa/inet.h>

#include "proxy/options.h"
#include "transfer/option_checks.h"

static int check_advertise(const char *advertise, struct dt_err *err)
{
    uint8_t bytes[16];
    if (advertise == NULL || inet_pton(AF_INET, advertise, bytes) == 1 ||
        inet_pton(AF_INET6, advertise, bytes) == 1)
        return 0;
    return dt_err_set(err, DT_EINVAL, "advertise: \"%.80s\" is no IP address (without a port)",
                      advertise);
}

int proxy_options_check_swarm(struct proxy_options *options, struct dt_err *err)
{
    if (options->supernodes.n > 0 && options->cluster_key_file == NULL)
        return dt_err_set(err, DT_EINVAL,
                          "supernode is given without cluster-key-file: supernodes speak with "
                          "those only who have the cluster's key");
    if (options->supernodes.n > PROXY_SUPERNODES_MAX)
        return dt_err_set(err, DT_EINVAL, "supernode: %zu are named, use %d at most",
                          options->supernodes.n, PROXY_SUPERNODES_MAX);
    if (options->node_name == NULL)
        options->node_name = transfer_default_name("node");
    int rc = transfer_check_name("site", options->site, err);
    if (rc == 0)
        rc = transfer_check_name("rack", options->rack, err);
    if (rc == 0)
        rc = transfer_check_name("node-name", options->node_name, err);
    if (rc == 0)
        rc = check_advertise(options->advertise, err);
    if (rc == 0)
        rc = transfer_check_places("supernode", &options->supernodes, err);
    return rc;
}
