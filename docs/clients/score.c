/* A complete client of a flat forest, in C99: maps forest.bin, reads rows from stdin, writes a probability for each.
 *
 *     cc -std=c99 -O2 -I BUNDLE score.c -o score -lm        (BUNDLE holds dsp_forest.h beside forest.bin)
 *     ./score BUNDLE/forest.bin < rows.tsv
 *
 * The first line names the columns, between tabs, in any order; columns that are no features are left out. A number or a
 * code that is empty or \N is missing, and so is a word that the model does not know.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dsp_forest.h"

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* The forest in the file, which stays mapped. */
static dsp_forest open_forest(const char *path) {
    struct stat about;
    dsp_forest forest;
    int file = open(path, O_RDONLY), status;
    void *block;
    if (file < 0 || fstat(file, &about) < 0 || about.st_size <= 0) fail(path, "cannot be read");
    block = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (block == MAP_FAILED) fail(path, "cannot be mapped");
    close(file);
    status = dsp_forest_open(&forest, block, (size_t)about.st_size);
    if (status != DSP_FOREST_OK) fail(path, dsp_forest_message(status));
    return forest;
}

/* The feature that a column holds; forest->features if it holds none. */
static uint32_t feature_of(const dsp_forest *forest, const char *column) {
    uint32_t feature;
    for (feature = 0; feature < forest->features; feature++) {
        size_t size;
        const char *name = dsp_forest_name(forest, feature, &size);
        if (strlen(column) == size && !memcmp(column, name, size)) break;
    }
    return feature;
}

static float value_of(const dsp_forest *forest, uint32_t feature, const char *cell) {
    char *end;
    double value;
    if (dsp_forest_type(forest, feature) == DSP_FOREST_WORD)
        return dsp_forest_code(forest, feature, cell, strlen(cell));
    if (!*cell || !strcmp(cell, "\\N")) return (float)NAN;
    value = strtod(cell, &end);
    if (*end) fail(cell, "is no number");
    return (float)value; /* rounded once, from a double, as training does it */
}

/* Whether the columns name each feature once. */
static int all_there(const dsp_forest *forest, const uint32_t *features, size_t columns) {
    uint32_t feature;
    for (feature = 0; feature < forest->features; feature++) {
        size_t column, times = 0;
        for (column = 0; column < columns; column++) times += features[column] == feature;
        if (times != 1) return 0;
    }
    return 1;
}

/* The next cell of a line, ended; NULL after the last. Unlike strtok it finds empty ones. */
static char *next_cell(char **line) {
    char *cell = *line, *tab;
    if (!cell) return NULL;
    tab = strchr(cell, '\t');
    if (tab) *tab = '\0';
    *line = tab ? tab + 1 : NULL;
    return cell;
}

/* Reads a line without its end; 0 when there are no more. */
static int next_line(char **line, size_t *room) {
    ssize_t size = getline(line, room, stdin);
    if (size < 0) return 0;
    while (size && ((*line)[size - 1] == '\n' || (*line)[size - 1] == '\r')) (*line)[--size] = '\0';
    return 1;
}

int main(int count, char **words) {
    dsp_forest forest;
    char *line = NULL, *rest, *cell;
    size_t room = 0, columns = 0, column;
    uint32_t *features = NULL, feature;
    float *row;
    if (count != 2) fail("usage", "score forest.bin < rows.tsv");
    forest = open_forest(words[1]);
    row = malloc((forest.features + 1u) * sizeof *row);
    if (!row || !next_line(&line, &room)) fail("stdin", "has no first line that names the columns");
    for (rest = line; (cell = next_cell(&rest)) != NULL; columns++) {
        features = realloc(features, (columns + 1) * sizeof *features);
        if (!features) fail("stdin", "names too many columns");
        features[columns] = feature_of(&forest, cell);
    }
    if (!all_there(&forest, features, columns)) fail("stdin", "does not name each feature of the model once");
    while (next_line(&line, &room)) {
        for (feature = 0; feature < forest.features; feature++) row[feature] = (float)NAN;
        rest = line;
        for (column = 0; (cell = next_cell(&rest)) != NULL && column < columns; column++)
            if (features[column] < forest.features) row[features[column]] = value_of(&forest, features[column], cell);
        if (column != columns || cell) fail("stdin", "has a line with fewer or more cells than the first");
        printf("%.9g\n", dsp_forest_score(&forest, row));
    }
    free(row);
    free(features);
    free(line);
    return 0;
}
