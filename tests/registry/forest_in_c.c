/* What test_flat.py runs of dsp_forest.h.
 *
 * score FOREST ROWS        writes for each row, as binary: float margin, double score, double score in one batch of all
 * codes FOREST FEATURE     writes the codes of the words on stdin, one a line
 * features FOREST          writes type and name of each feature
 * hostile FOREST ROWS N    changes bytes of the forest N times, mends the checksum, and scores whatever is accepted
 * cut FOREST               opens each beginning of the forest
 * verdicts FORESTS SIZE    writes the status of each of many forests of one size that lie one after another
 */
#include <stdio.h>
#include <stdlib.h>

#include "dsp_forest.h"

static void *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    void *bytes;
    long end;
    if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0) exit(2);
    rewind(file);
    *size = (size_t)end;
    bytes = malloc(*size ? *size : 1); /* of exactly this size, so that a sanitizer sees a byte too much */
    if (!bytes || fread(bytes, 1, *size, file) != *size) exit(2);
    fclose(file);
    return bytes;
}

static void score(const dsp_forest *forest, const float *rows, size_t count) {
    double *batch = malloc((count + 1) * sizeof *batch), single;
    size_t k;
    float margin;
    if (!batch) exit(2);
    dsp_forest_score_rows(forest, rows, count, batch);
    for (k = 0; k < count; k++) {
        margin = dsp_forest_margin(forest, rows + k * forest->features);
        single = dsp_forest_score(forest, rows + k * forest->features);
        fwrite(&margin, sizeof margin, 1, stdout);
        fwrite(&single, sizeof single, 1, stdout);
        fwrite(batch + k, sizeof *batch, 1, stdout);
    }
    free(batch);
}

static int hostile(const unsigned char *good, size_t size, const float *rows, size_t floats, int times) {
    uint32_t random = 12345, accepted = 0;
    double scores[16], total = 0;
    while (times--) {
        unsigned char *bytes = malloc(size);
        dsp_forest forest;
        uint32_t checksum;
        int changes;
        if (!bytes) exit(2);
        memcpy(bytes, good, size);
        for (changes = 1 + times % 3; changes--;) {
            random = random * 1664525u + 1013904223u;
            size_t at = (random >> 4) % (times % 2 ? size : 600 < size ? 600 : size); /* every other time near the header */
            random = random * 1664525u + 1013904223u;
            bytes[at] = times % 5 ? (unsigned char)(random >> 24) : (unsigned char)(random >> 30 ? 0xFF : 0);
        }
        checksum = dsp_forest_crc32(bytes + 16, size - 16);
        memcpy(bytes + 12, &checksum, sizeof checksum);
        if (dsp_forest_open(&forest, bytes, size) == DSP_FOREST_OK) {
            size_t length = 0, count = forest.features ? floats / forest.features : 1;
            uint32_t feature;
            dsp_forest_score_rows(&forest, rows, count < 16 ? count : 16, scores);
            if (count) total += dsp_forest_score(&forest, rows);
            for (feature = 0; feature < forest.features; feature++) {
                const char *name = dsp_forest_name(&forest, feature, &length);
                total += length ? name[0] + name[length - 1] : 0;
                total += dsp_forest_code(&forest, feature, "tanx", 4) > 0;
            }
            accepted++;
        }
        free(bytes);
    }
    printf("%u %d\n", accepted, total != 0.5);
    return 0;
}

static int cut(const unsigned char *good, size_t size) {
    size_t length;
    for (length = 0; length < size; length++) {
        unsigned char *bytes = malloc(length ? length : 1);
        dsp_forest forest;
        if (!bytes) exit(2);
        memcpy(bytes, good, length);
        if (dsp_forest_open(&forest, bytes, length) == DSP_FOREST_OK) return 1;
        free(bytes);
    }
    return 0;
}

static int verdicts(const unsigned char *many, size_t total, size_t size) {
    unsigned char *bytes = malloc(size);
    dsp_forest forest;
    size_t at;
    if (!bytes) exit(2);
    for (at = 0; at + size <= total; at += size) {
        memcpy(bytes, many + at, size);
        printf("%d\n", dsp_forest_open(&forest, bytes, size));
    }
    free(bytes);
    return 0;
}

int main(int count, char **words) {
    size_t size, floats = 0;
    unsigned char *bytes;
    float *rows = NULL;
    dsp_forest forest;
    int status;
    uint32_t feature;
    if (count < 3) return 2;
    bytes = read_all(words[2], &size);
    if (!strcmp(words[1], "cut") || !strcmp(words[1], "verdicts")) {
        status = words[1][0] == 'c' ? cut(bytes, size) : verdicts(bytes, size, (size_t)atol(words[3]));
        free(bytes);
        return status;
    }
    if (!strcmp(words[1], "score") || !strcmp(words[1], "hostile")) {
        rows = read_all(words[3], &floats);
        floats /= sizeof *rows;
    }
    if (!strcmp(words[1], "hostile")) {
        status = hostile(bytes, size, rows, floats, atoi(words[4]));
        free(rows);
        free(bytes);
        return status;
    }
    status = dsp_forest_open(&forest, bytes, size);
    if (status) {
        puts(dsp_forest_message(status));
        return 3;
    }
    if (!strcmp(words[1], "score")) score(&forest, rows, floats / forest.features);
    if (!strcmp(words[1], "features"))
        for (feature = 0; feature < forest.features; feature++) {
            size_t length;
            const char *name = dsp_forest_name(&forest, feature, &length);
            printf("%d %.*s\n", dsp_forest_type(&forest, feature), (int)length, name);
        }
    if (!strcmp(words[1], "codes")) {
        char line[256];
        while (fgets(line, sizeof line, stdin)) {
            size_t length = strcspn(line, "\n");
            printf("%g\n", (double)dsp_forest_code(&forest, (uint32_t)atoi(words[3]), line, length));
        }
    }
    free(rows);
    free(bytes);
    return 0;
}
