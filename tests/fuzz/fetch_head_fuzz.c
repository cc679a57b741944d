/* Any response head, cut into lines as curl does, is kept within its limit or refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fetch_priv.h"
#include "base/mem.h"

static void check_kept(const struct fetch_head *head)
{
    DT_ASSERT(head->bytes.len <= 2 * DT_FETCH_HEADER_MAX);
    for (size_t i = 0; i < head->n_fields; i++) {
        const char *name = head->bytes.data + head->fields[i].name_at;
        DT_ASSERT(name[0] != '\0' && strpbrk(name, "\r\n:") == NULL);
        DT_ASSERT(strpbrk(head->bytes.data + head->fields[i].value_at, "\r\n") == NULL);
        DT_ASSERT(fetch_head_get(head, name) != NULL);
    }
    if (head->is_complete)
        DT_ASSERT(head->status >= 200 && head->status <= 999);
    if (head->is_chunked)
        DT_ASSERT(fetch_head_content_length(head) == UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fetch_head head = {.n_fields = 0};
    const char *text = (const char *)data;
    struct dt_err err = {0};

    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t len = end != NULL ? (size_t)(end - text) + 1 : size;
        if (fetch_head_line(&head, text, len, &err) < 0) {
            DT_ASSERT(err.code == DT_EPROTO);
            break;
        }
        check_kept(&head);
        text += len;
        size -= len;
    }
    fetch_head_fini(&head);
    return 0;
}
