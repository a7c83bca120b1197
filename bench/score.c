/* Times one row and batches of 100 of a flat forest, and of XGBoost's own C interface. Used by score.py.
 *
 * score FOREST ROWS                     writes the medians in microseconds: one row, a batch of 100
 * score FOREST ROWS MODEL LIBXGBOOST    the same of XGBoost, on one thread
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dsp_forest.h"

enum { RUNS = 2000, BATCH = 100, BATCHES = 100 };

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

static void *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    void *bytes;
    long end;
    if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) <= 0) exit(2);
    rewind(file);
    *size = (size_t)end;
    bytes = malloc(*size);
    if (!bytes || fread(bytes, 1, *size, file) != *size) exit(2);
    fclose(file);
    return bytes;
}

typedef int predict_t(void *, const char *, const char *, void *, uint64_t const **, uint64_t *, const float **);

static predict_t *predict;
static void *booster;

static void *load_xgboost(const char *library, const char *model) {
    void *handle = dlopen(library, RTLD_NOW), *made = NULL;
    int (*create)(void *, uint64_t, void **), (*load)(void *, const char *), (*set)(void *, const char *, const char *);
    if (!handle) exit(2);
    *(void **)&create = dlsym(handle, "XGBoosterCreate");
    *(void **)&load = dlsym(handle, "XGBoosterLoadModel");
    *(void **)&set = dlsym(handle, "XGBoosterSetParam");
    *(void **)&predict = dlsym(handle, "XGBoosterPredictFromDense");
    if (create(NULL, 0, &made) || load(made, model) || set(made, "nthread", "1")) exit(2);
    return made;
}

static void score(const dsp_forest *forest, const float *rows, size_t count, double *scores) {
    char array[200];
    const uint64_t *shape;
    const float *found;
    uint64_t dimensions;
    if (!booster) {
        if (count == 1)
            *scores = dsp_forest_score(forest, rows);
        else
            dsp_forest_score_rows(forest, rows, count, scores);
        return;
    }
    snprintf(array, sizeof array, "{\"data\":[%llu,true],\"shape\":[%zu,%u],\"typestr\":\"<f4\",\"version\":3}",
             (unsigned long long)(uintptr_t)rows, count, forest->features);
    if (predict(booster, array,
                "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,"
                "\"missing\":NaN,\"cache_id\":0}",
                NULL, &shape, &dimensions, &found))
        exit(2);
    *scores = found[0];
}

int main(int count, char **words) {
    size_t size, floats, run, rows_there;
    static double took[RUNS], scores[BATCH];
    double single, started;
    dsp_forest forest;
    float *rows;
    void *bytes;
    if (count < 3) return 2;
    bytes = read_all(words[1], &size);
    if (dsp_forest_open(&forest, bytes, size)) return 2;
    rows = read_all(words[2], &floats);
    rows_there = floats / sizeof *rows / forest.features;
    if (count > 4) booster = load_xgboost(words[4], words[3]);
    for (run = 0; run < RUNS; run++) {
        started = now();
        score(&forest, rows + run % rows_there * forest.features, 1, scores);
        took[run] = now() - started;
    }
    single = median(took, RUNS);
    for (run = 0; run < BATCHES; run++) {
        started = now();
        score(&forest, rows + run * BATCH % (rows_there - BATCH) * forest.features, BATCH, scores);
        took[run] = now() - started;
    }
    printf("%.3f %.3f\n", single, median(took, BATCHES));
    return 0;
}
