/*
 * proxy/proxy.c - look-ups over what the whole process shares.
 *
 * Read-only data; any thread.
 */
#include "proxy/proxy.h"

#include "base/text.h"

/* Hosts by which Docker Hub is known in image names, auth files and old mirrors' settings. */
static const char *const docker_hub_hosts[] = {"docker.io", "index.docker.io",
                                               "registry-1.docker.io", "registry.hub.docker.com"};

static struct reg_upstream *find_exact(const struct proxy *proxy, const char *name)
{
    for (size_t i = 0; i < proxy->n_upstreams; i++)
        if (dt_text_equal_nocase(proxy->upstreams[i].name, name))
            return &proxy->upstreams[i];
    return NULL;
}

struct reg_upstream *proxy_upstream_find(const struct proxy *proxy, const char *name)
{
    struct reg_upstream *found = find_exact(proxy, name);
    size_t n_hosts = sizeof docker_hub_hosts / sizeof docker_hub_hosts[0];
    for (size_t i = 0; found == NULL && i < n_hosts; i++)
        if (dt_text_equal_nocase(docker_hub_hosts[i], name))
            found = find_exact(proxy, "docker.io");
    return found;
}
