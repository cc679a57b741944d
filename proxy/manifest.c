/*
 * proxy/manifest.c - answers HEAD and GET of manifests.
 *
 *   asked -> (repository decides) -> refused | relayed | answered
 *
 * The stored bytes go out as they are, under the type they were pushed with: containerd and c/image
 * give a pull up over a generic type, a length of 0 or a digest that does not fit. The request is
 * held by a reference while the repository thinks; its client may be gone by then.
 */
#include "proxy/head.h"
#include "proxy/mirror.h"
#include "proxy/relay.h"

static void manifest_answer(struct proxy_request *request, const struct proxy_manifest *manifest)
{
    const struct cache_object *object = manifest->object;
    struct dt_http_req *http = request->http;

    request->freshness = manifest->freshness;
    request->source = manifest->source;
    proxy_head_add_digest(request, &object->digest);
    dt_http_add_header(http, "Content-Type", object->media_type);
    dt_http_add_headerf(http, "Age", "%llu", (unsigned long long)manifest->age_s);
    if (manifest->warning != NULL && dt_http_value_is_clean(manifest->warning))
        dt_http_add_header(http, "Warning", manifest->warning);
    if (proxy_head_is_not_modified(request, &object->digest))
        dt_http_reply_head(http, 304, object->len);
    else if (request->is_head)
        dt_http_reply_head(http, 200, object->len);
    else
        dt_http_reply(http, 200, object->bytes, object->len);
}

static void on_manifest(void *arg, struct proxy_manifest *manifest)
{
    struct proxy_request *request = arg;

    if (proxy_request_is_live(request)) {
        if (manifest->refusal.err.code != 0)
            proxy_request_refuse(request, &manifest->refusal);
        else if (manifest->must_relay)
            proxy_relay_serve(request);
        else
            manifest_answer(request, manifest);
    }
    proxy_request_unref(&request);
}

void proxy_manifest_serve(struct proxy_request *request)
{
    const struct proxy_route *route = &request->route;

    proxy_repository_get_manifest(request->proxy,
                                  &(struct proxy_manifest_wish){
                                      .upstream = route->upstream,
                                      .repository = route->path.repository,
                                      .reference = &route->path.reference,
                                      .authorization = request->authorization,
                                      .accept = request->accept,
                                      .is_pull = !request->is_head,
                                  },
                                  on_manifest, proxy_request_ref(request));
}
