/*
 * registry-client/error.h - error bodies in the distribution spec's JSON. Pure.
 */
#ifndef DARTER_REGISTRY_CLIENT_ERROR_H
#define DARTER_REGISTRY_CLIENT_ERROR_H

#include "base/err.h"
#include "base/text.h"

/* {"errors":[{"code":..,"message":..}]}, escaped. `registry_code` NULL = the code's own. */
void reg_error_print(struct dt_text *out, int code, const char *registry_code, const char *message);
/* An upstream's HTTP status as our code: 401, 403, 404, 405, 412, 416 are definite; 429 ->
 * DT_EBUSY; 5xx -> DT_EUNAVAILABLE; anything else odd -> DT_EPROTO. 2xx -> DT_OK. */
int reg_status_code(int http_status);

#endif
