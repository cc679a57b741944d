/*
 * supernode/request.h - what arrives at the supernode's one listener.
 *
 *   POST /v1/hello     -> node.c on loop 0      POST /v1/exchange -> task.c on the digest's loop
 *   GET  /v1/blobs/... -> transfer/piece_server.h
 *
 * Nothing without the cluster key: path, Darter-Auth and body are checked on the connection's loop
 * before anybody else hears of it; replies are signed there too. Failures are problem documents
 * (RFC 9457): 400 not understood, 401 not ours or the clocks differ, 404, 405, 503 stopping.
 */
#ifndef DARTER_SUPERNODE_REQUEST_H
#define DARTER_SUPERNODE_REQUEST_H

#include "base/httpd.h"
#include "supernode/supernode.h"

/* dt_http_handler_f of the listener; it must be opened with max_body_bytes = WIRE_BODY_MAX. */
void supernode_request_handle(void *supernode, struct dt_http_req *);

#endif
