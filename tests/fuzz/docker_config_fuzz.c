/*
 * tests/fuzz/docker_config_fuzz.c - any bytes as a Docker config.json.
 */
#include "registry-client/credentials.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const HOSTS[] = {"docker.io", "h.test:5000", "https://h.test/v1/"};
    struct reg_credentials c;
    struct dt_err err;

    for (size_t i = 0; i < sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        if (reg_credentials_parse_docker_config(&c, (const char *)data, size, HOSTS[i], &err) < 0) {
            DT_ASSERT(c.username == NULL && c.password == NULL && c.identity_token == NULL);
            continue;
        }
        char *basic = reg_credentials_basic(&c);
        DT_ASSERT(strncmp(basic, "Basic ", 6) == 0 && strpbrk(basic, "\r\n") == NULL);
        free(basic);
        reg_credentials_fini(&c);
    }
    return 0;
}
