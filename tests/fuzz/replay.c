/*
 * tests/fuzz/replay.c - runs a fuzz target over its corpus with an ordinary compiler.
 *
 * Arguments are files and folders. Every input is copied into its own heap block of exact size, so
 * that sanitizers and valgrind see a read beyond the end. An empty corpus is a failure: a replay
 * that ran nothing proves nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_inputs;

static void replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    (void)LLVMFuzzerTestOneInput(data, size); /* always 0 by libFuzzer's convention */
    free(data);
    n_inputs++;
}

static void replay_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        fprintf(stderr, "no such input: %s\n", path);
        exit(1);
    }
    if (S_ISREG(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char child[4096];
        if (entry->d_name[0] == '.')
            continue;
        int len = snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (len > 0 && (size_t)len < sizeof(child))
            replay_path(child);
    }
    if (dir != NULL)
        closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    printf("%u inputs replayed\n", n_inputs);
    return n_inputs > 0 ? 0 : 1;
}
