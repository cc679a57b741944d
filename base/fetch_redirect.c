/*
 * base/fetch_redirect.c - whether a response sends us elsewhere, and whether we go.
 *
 * Not left to curl: it would follow any 3xx (also a 304 that carries a Location), repeat the body
 * of a POST, which holds a password in our case, and accept credentials in the URL. Rules: GET and
 * HEAD only; 301, 302, 303, 307, 308; at most FETCH_REDIRECTS_MAX hops; https never becomes http;
 * credentials stay with the host they were given for, and do not come back later in the chain.
 */
#include "base/fetch_priv.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/mem.h"

bool fetch_redirect_is_wanted(const struct dt_fetch *fetch)
{
    static const int statuses[] = {301, 302, 303, 307, 308};

    if (!fetch->may_redirect || fetch_head_get(&fetch->head, "location") == NULL)
        return false;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (fetch->head.status == statuses[i])
            return true;
    return false;
}

/* `location` against the current URL (RFC 3986 5.2); NULL = curl cannot read it. Caller frees. */
static char *resolve(const char *base, const char *location)
{
    CURLU *handle = curl_url();
    char *joined = NULL, *out = NULL;

    DT_ASSERT(handle != NULL);
    if (curl_url_set(handle, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(handle, CURLUPART_URL, location, CURLU_URLENCODE | CURLU_ALLOW_SPACE) ==
            CURLUE_OK &&
        curl_url_get(handle, CURLUPART_URL, &joined, 0) == CURLUE_OK)
        out = dt_strdup(joined);
    curl_free(joined);
    curl_url_cleanup(handle);
    return out;
}

/* The step from http to https on the default ports is not another host: what was already sent in
 * the clear may be sent again under TLS. */
static bool is_same_home(const struct dt_url *home, const struct dt_url *next)
{
    if (strcmp(home->host, next->host) != 0)
        return false;
    if (strcmp(home->scheme, next->scheme) == 0)
        return home->port == next->port;
    return home->port == 80 && next->port == 443;
}

/* Goes to `target`, or says why not. */
static int hop_to(struct dt_fetch *fetch, const char *target, struct dt_err *err)
{
    struct dt_err why = {0};
    struct dt_url next;
    char origin[300];
    int rc;

    if (dt_url_parse(&next, target, &why) < 0)
        return dt_err_set(err, DT_EPROTO, "bad redirect: %.200s", why.msg);
    if (strcmp(fetch->home.scheme, "https") == 0 && strcmp(next.scheme, "https") != 0) {
        rc = dt_err_set(err, DT_EPROTO, "redirect from https to http refused");
        goto out;
    }
    if (!fetch->is_away && !is_same_home(&fetch->home, &next)) {
        curl_slist_free_all(fetch->headers);
        fetch->headers = fetch->no_creds;
        fetch->no_creds = NULL;
        fetch->is_away = true;
    }
    free(fetch->url);
    fetch->url = dt_asprintf("%s%s", dt_url_origin(origin, &next), next.path);
    rc = 0;
out:
    dt_url_fini(&next);
    return rc;
}

int fetch_redirect_follow(struct dt_fetch *fetch, struct dt_err *err)
{
    char *target;
    int rc;

    if (++fetch->n_redirects > FETCH_REDIRECTS_MAX)
        return dt_err_set(err, DT_EPROTO, "more than %d redirects", FETCH_REDIRECTS_MAX);
    target = resolve(fetch->url, fetch_head_get(&fetch->head, "location"));
    if (target == NULL)
        return dt_err_set(err, DT_EPROTO, "redirect to an unreadable URL");
    rc = hop_to(fetch, target, err);
    free(target);
    return rc;
}
