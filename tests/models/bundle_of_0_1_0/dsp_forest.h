/* dsp_forest.h: scores rows with a forest.bin of dsp-pipeline. One header, C99, libc and libm.
 *
 *     dsp_forest forest;
 *     int status = dsp_forest_open(&forest, bytes, size);      // bytes: malloc'ed or mapped, and kept
 *     if (status) fprintf(stderr, "%s\n", dsp_forest_message(status));
 *     double probability = dsp_forest_score(&forest, row);     // row: forest.features floats
 *     dsp_forest_score_rows(&forest, rows, count, probabilities);
 *
 * A row holds a float for each feature, in the order of dsp_forest_name: a number, a whole code, dsp_forest_code() of a
 * word, or NAN where the value is missing. Nothing is allocated and nothing is written to but what is handed in, so any
 * number of threads may score with one forest. Scoring takes at most 68 KB of stack.
 *
 * dsp_forest_open refuses a block that is cut short, changed, or that points outside of itself: what it accepts is
 * scored without reading a byte outside of the block, whatever is in the rows.
 *
 * The margin is the sum of floats that XGBoost adds, in its order, to the bit (on targets that evaluate floats as
 * floats: not with -mfpmath=387, and not with -ffast-math, which may reorder the sum). flat_layout.py describes the
 * layout, as docs/bundle.md does.
 */
#ifndef DSP_FOREST_H
#define DSP_FOREST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DSP_FOREST_VERSION 1u
#define DSP_FOREST_LANES 16u      /* trees, or rows, that are walked side by side */
#define DSP_FOREST_MAX_SLOTS 16384u

enum { DSP_FOREST_NUMBER = 0, DSP_FOREST_CODE = 1, DSP_FOREST_WORD = 2 };

enum {
    DSP_FOREST_OK = 0,
    DSP_FOREST_MISALIGNED, /* the block must lie at a multiple of 8 bytes */
    DSP_FOREST_BIG_ENDIAN,
    DSP_FOREST_NO_FOREST,
    DSP_FOREST_OTHER_VERSION,
    DSP_FOREST_CUT_SHORT,
    DSP_FOREST_CHANGED,
    DSP_FOREST_DAMAGED
};

typedef struct {
    char magic[8];
    uint32_t version, checksum;
    uint64_t size;
    uint32_t features, slots, trees, groups, nodes, rows, words, text, knots, calibration;
    double offset, slope, intercept;
    float base_margin;
    uint32_t reserved;
    uint32_t feature_at, root_at, group_at, node_at, row_at, word_at, knot_at, text_at;
} dsp_forest_header;

typedef struct {
    uint32_t name, name_size, type, codes, slot, width, row, word, words, reserved;
} dsp_forest_feature;

typedef struct {
    uint32_t depth, categorical;
} dsp_forest_group;

typedef struct {
    uint32_t key;
    uint16_t slot, step;
} dsp_forest_node;

typedef struct {
    uint32_t text, size, code;
} dsp_forest_word;

typedef struct {
    uint32_t features; /* floats in a row */
    uint32_t slots, trees, groups, knots, calibration;
    float base_margin;
    double offset, slope, intercept;
    const double *margins, *probabilities; /* the knots of an isotonic calibration */
    const dsp_forest_feature *feature;
    const uint32_t *roots;
    const dsp_forest_group *group;
    const dsp_forest_node *nodes;
    const uint32_t *rows;
    const dsp_forest_word *words;
    const char *text;
} dsp_forest;

/* What a status of dsp_forest_open means. */
static inline const char *dsp_forest_message(int status) {
    switch (status) {
    case DSP_FOREST_OK:
        return "the forest is whole";
    case DSP_FOREST_MISALIGNED:
        return "the block does not lie at a multiple of 8 bytes; map it, or read it into malloc'ed memory";
    case DSP_FOREST_BIG_ENDIAN:
        return "this machine is big-endian, which forest.bin is not";
    case DSP_FOREST_NO_FOREST:
        return "this is no forest.bin";
    case DSP_FOREST_OTHER_VERSION:
        return "forest.bin is of another version; use the dsp_forest.h of its bundle";
    case DSP_FOREST_CUT_SHORT:
        return "forest.bin is not as long as it says; fetch the bundle again";
    case DSP_FOREST_CHANGED:
        return "forest.bin was changed: its checksum is wrong; fetch the bundle again";
    default:
        return "forest.bin points outside of itself or is not in order; export the model again";
    }
}

/* CRC-32 as zlib computes it. */
static inline uint32_t dsp_forest_crc32(const unsigned char *bytes, size_t size) {
    uint32_t table[256], crc = 0xFFFFFFFFu, value;
    size_t at;
    unsigned byte, bit;
    for (byte = 0; byte < 256; byte++) {
        for (value = byte, bit = 0; bit < 8; bit++) value = value >> 1 ^ (0xEDB88320u & (0u - (value & 1u)));
        table[byte] = value;
    }
    for (at = 0; at < size; at++) crc = crc >> 8 ^ table[(crc ^ bytes[at]) & 0xFFu];
    return ~crc;
}

static inline int dsp_forest_inside(const dsp_forest_header *header, uint32_t at, uint64_t count, uint64_t size) {
    return at % 64 == 0 && at + count * size <= header->size; /* count < 2^37, size <= 40 */
}

static inline int dsp_forest_finite(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits >> 52 & 0x7FFu) != 0x7FFu;
}

static inline int dsp_forest_check_calibration(const dsp_forest *forest) {
    uint32_t knot;
    if (!dsp_forest_finite(forest->base_margin) || !dsp_forest_finite(forest->offset)) return 0;
    if (!dsp_forest_finite(forest->slope) || !dsp_forest_finite(forest->intercept)) return 0;
    if (forest->calibration > 2 || (forest->calibration == 2 && forest->knots == 0)) return 0;
    for (knot = 0; knot < forest->knots; knot++) {
        double margin = forest->margins[knot], probability = forest->probabilities[knot];
        if (!dsp_forest_finite(margin) || !(probability >= 0 && probability <= 1)) return 0;
        if (knot && !(forest->margins[knot - 1] < margin)) return 0;
    }
    return 1;
}

static inline int dsp_forest_check_features(const dsp_forest *forest, const dsp_forest_header *header) {
    uint32_t place;
    for (place = 0; place < header->features; place++) {
        const dsp_forest_feature *one = forest->feature + place;
        int number = one->type == DSP_FOREST_NUMBER;
        uint64_t taken = number ? 2u : one->width;
        uint64_t used = number ? 0u : ((uint64_t)one->codes + 2) * one->width;
        if (one->type > DSP_FOREST_WORD || one->codes > 1u << 24 || one->slot < 1) return 0;
        if (one->slot + taken > header->slots || one->row + used > header->rows) return 0;
        if ((uint64_t)one->word + one->words > header->words) return 0;
        if ((uint64_t)one->name + one->name_size > header->text) return 0;
    }
    for (place = 0; place < header->words; place++)
        if ((uint64_t)forest->words[place].text + forest->words[place].size > header->text) return 0;
    return 1;
}

/* The trees lie one after another, each in the order of its levels, and the groups say how deep they are. */
static inline int dsp_forest_check_trees(const dsp_forest *forest, const dsp_forest_header *header) {
    uint64_t at = 0; /* where the next tree begins */
    uint32_t group, lane;
    for (group = 0; group < header->groups; group++) {
        uint32_t deepest = 0, categorical = 0;
        for (lane = 0; lane < DSP_FOREST_LANES; lane++) {
            uint64_t root = at, end = at + 1, level_end = at + 1; /* of the tree and of its level, as far as is known */
            uint32_t depth = 0;
            if (forest->roots[group * DSP_FOREST_LANES + lane] != root) return 0;
            for (; at < end; at++) {
                const dsp_forest_node *node;
                if (at == level_end) {
                    level_end = end;
                    depth++;
                }
                if (at >= header->nodes) return 0;
                node = forest->nodes + at;
                if (node->key == 0 || (node->slot & 0x7FFFu) >= header->slots) return 0;
                if (node->step == 0) {
                    if (node->slot != 0 || (node->key & 0x7F800000u) == 0x7F800000u) return 0;
                } else {
                    if (node->slot == 0 || at + node->step != end) return 0;
                    categorical |= node->slot >> 15;
                    end += 2;
                }
            }
            if (depth > deepest) deepest = depth;
        }
        if (forest->group[group].depth != deepest || forest->group[group].categorical != categorical) return 0;
    }
    return at == header->nodes;
}

/* Look at a block of `size` bytes and, if it is a whole forest, make `forest` a view of it, which lives as long as the
 * block. Returns DSP_FOREST_OK or why not. */
static inline int dsp_forest_open(dsp_forest *forest, const void *block, size_t size) {
    const unsigned char *bytes = (const unsigned char *)block;
    const uint32_t one = 1;
    dsp_forest_header header;
    if (*(const unsigned char *)&one != 1) return DSP_FOREST_BIG_ENDIAN;
    if ((uintptr_t)bytes % 8) return DSP_FOREST_MISALIGNED;
    if (size < sizeof header) return DSP_FOREST_CUT_SHORT;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, "DSPFORST", 8)) return DSP_FOREST_NO_FOREST;
    if (header.version != DSP_FOREST_VERSION) return DSP_FOREST_OTHER_VERSION;
    if (header.size != size) return DSP_FOREST_CUT_SHORT;
    if (dsp_forest_crc32(bytes + 16, size - 16) != header.checksum) return DSP_FOREST_CHANGED;
    if (header.slots < 1 || header.slots > DSP_FOREST_MAX_SLOTS) return DSP_FOREST_DAMAGED;
    if (header.trees > (uint64_t)header.groups * DSP_FOREST_LANES ||
        !dsp_forest_inside(&header, header.feature_at, header.features, sizeof(dsp_forest_feature)) ||
        !dsp_forest_inside(&header, header.root_at, (uint64_t)header.groups * DSP_FOREST_LANES, sizeof(uint32_t)) ||
        !dsp_forest_inside(&header, header.group_at, header.groups, sizeof(dsp_forest_group)) ||
        !dsp_forest_inside(&header, header.node_at, header.nodes, sizeof(dsp_forest_node)) ||
        !dsp_forest_inside(&header, header.row_at, header.rows, sizeof(uint32_t)) ||
        !dsp_forest_inside(&header, header.word_at, header.words, sizeof(dsp_forest_word)) ||
        !dsp_forest_inside(&header, header.knot_at, (uint64_t)header.knots * 2, sizeof(double)) ||
        !dsp_forest_inside(&header, header.text_at, header.text, 1))
        return DSP_FOREST_DAMAGED;
    forest->features = header.features;
    forest->slots = header.slots;
    forest->trees = header.trees;
    forest->groups = header.groups;
    forest->knots = header.knots;
    forest->calibration = header.calibration;
    forest->base_margin = header.base_margin;
    forest->offset = header.offset;
    forest->slope = header.slope;
    forest->intercept = header.intercept;
    forest->margins = (const double *)(const void *)(bytes + header.knot_at);
    forest->probabilities = forest->margins + header.knots;
    forest->feature = (const dsp_forest_feature *)(const void *)(bytes + header.feature_at);
    forest->roots = (const uint32_t *)(const void *)(bytes + header.root_at);
    forest->group = (const dsp_forest_group *)(const void *)(bytes + header.group_at);
    forest->nodes = (const dsp_forest_node *)(const void *)(bytes + header.node_at);
    forest->rows = (const uint32_t *)(const void *)(bytes + header.row_at);
    forest->words = (const dsp_forest_word *)(const void *)(bytes + header.word_at);
    forest->text = (const char *)(bytes + header.text_at);
    if (!dsp_forest_check_calibration(forest) || !dsp_forest_check_features(forest, &header) ||
        !dsp_forest_check_trees(forest, &header))
        return DSP_FOREST_DAMAGED;
    return DSP_FOREST_OK;
}

/* The name of a feature, UTF-8, `*size` bytes that no NUL ends; NULL if there is no such feature. */
static inline const char *dsp_forest_name(const dsp_forest *forest, uint32_t feature, size_t *size) {
    if (feature >= forest->features) return NULL;
    *size = forest->feature[feature].name_size;
    return forest->text + forest->feature[feature].name;
}

/* DSP_FOREST_NUMBER, _CODE or _WORD; -1 if there is no such feature. */
static inline int dsp_forest_type(const dsp_forest *forest, uint32_t feature) {
    return feature < forest->features ? (int)forest->feature[feature].type : -1;
}

/* The code of a word, `size` bytes of UTF-8; NAN, which is missing, if the feature does not know it. */
static inline float dsp_forest_code(const dsp_forest *forest, uint32_t feature, const char *word, size_t size) {
    const dsp_forest_word *words;
    uint32_t low = 0, high;
    if (feature >= forest->features) return (float)NAN;
    words = forest->words + forest->feature[feature].word;
    high = forest->feature[feature].words;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, known = words[middle].size;
        int order = memcmp(forest->text + words[middle].text, word, known < size ? known : size);
        if (order == 0) {
            if (known == size) return (float)words[middle].code;
            order = known < size ? -1 : 1;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (float)NAN;
}

/* Write what the nodes look at for one row to slots[0], slots[stride], slots[2 * stride] ... */
static inline void dsp_forest_fill(const dsp_forest *forest, const float *row, uint32_t *slots, size_t stride) {
    uint32_t place;
    slots[0] = 0;
    for (place = 0; place < forest->features; place++) {
        const dsp_forest_feature *one = forest->feature + place;
        uint32_t *to = slots + one->slot * stride, bits;
        int missing;
        memcpy(&bits, row + place, sizeof bits);
        missing = (bits & 0x7FFFFFFFu) > 0x7F800000u; /* on bits, so that -ffast-math does not take it away */
        if (one->type == DSP_FOREST_NUMBER) {
            uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
            if (bits == 0x80000000u) key = 0x80000000u; /* -0 is 0 */
            to[0] = missing ? 0u : key;
            to[stride] = missing ? 0xFFFFFFFFu : key;
        } else {
            size_t from = 0, word;
            if (!missing) from = row[place] >= 0 && row[place] < (float)one->codes ? 2u + (size_t)row[place] : 1u;
            from = one->row + from * one->width;
            for (word = 0; word < one->width; word++) to[word * stride] = forest->rows[from + word];
        }
    }
}

#define DSP_FOREST_EACH(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define DSP_FOREST_START_TREE(k) at##k = roots[k];
#define DSP_FOREST_START_ROW(k) at##k = root;
/* Sixteen trees and one row: `slots` are the row's. */
#define DSP_FOREST_STEP_TREE(k) at##k += nodes[at##k].step + (uint32_t)(slots[nodes[at##k].slot] >= nodes[at##k].key);
#define DSP_FOREST_STEP_MIXED_TREE(k) \
    { \
        const dsp_forest_node *node = nodes + at##k; \
        uint32_t mask = node->key | ((uint32_t)(node->slot >> 15) - 1u); \
        at##k += node->step + (uint32_t)((slots[node->slot & 0x7FFFu] & mask) >= node->key); \
    }
/* One tree and sixteen rows: the k-th row's slots are at slots[k], slots[16 + k] ... */
#define DSP_FOREST_STEP_ROW(k) \
    at##k += nodes[at##k].step + (uint32_t)(slots[nodes[at##k].slot * 16u + k] >= nodes[at##k].key);
#define DSP_FOREST_STEP_MIXED_ROW(k) \
    { \
        const dsp_forest_node *node = nodes + at##k; \
        uint32_t mask = node->key | ((uint32_t)(node->slot >> 15) - 1u); \
        at##k += node->step + (uint32_t)((slots[(node->slot & 0x7FFFu) * 16u + k] & mask) >= node->key); \
    }
#define DSP_FOREST_ADD_TREE(k) \
    memcpy(&leaf, &nodes[at##k].key, sizeof leaf); \
    sum += leaf;
#define DSP_FOREST_ADD_ROW(k) \
    memcpy(&leaf, &nodes[at##k].key, sizeof leaf); \
    sums[k] += leaf;

/* The trees' sum in log odds, before calibration. */
static inline float dsp_forest_margin(const dsp_forest *forest, const float *row) {
    uint32_t slots[DSP_FOREST_MAX_SLOTS], group, step;
    const dsp_forest_node *nodes = forest->nodes;
    float sum = forest->base_margin, leaf;
    dsp_forest_fill(forest, row, slots, 1);
    for (group = 0; group < forest->groups; group++) {
        const uint32_t *roots = forest->roots + group * DSP_FOREST_LANES;
        uint32_t depth = forest->group[group].depth;
        uint32_t at0, at1, at2, at3, at4, at5, at6, at7, at8, at9, at10, at11, at12, at13, at14, at15;
        DSP_FOREST_EACH(DSP_FOREST_START_TREE)
        if (forest->group[group].categorical)
            for (step = 0; step < depth; step++) { DSP_FOREST_EACH(DSP_FOREST_STEP_MIXED_TREE) }
        else
            for (step = 0; step < depth; step++) { DSP_FOREST_EACH(DSP_FOREST_STEP_TREE) }
        DSP_FOREST_EACH(DSP_FOREST_ADD_TREE)
    }
    return sum;
}

/* Add the trees to the sums of sixteen rows, whose slots lie side by side. */
static inline void dsp_forest_walk_rows(const dsp_forest *forest, uint32_t tree, const uint32_t *slots, float *sums) {
    const dsp_forest_node *nodes = forest->nodes;
    const dsp_forest_group *group = forest->group + tree / DSP_FOREST_LANES;
    uint32_t root = forest->roots[tree], depth = group->depth, step;
    uint32_t at0, at1, at2, at3, at4, at5, at6, at7, at8, at9, at10, at11, at12, at13, at14, at15;
    float leaf;
    DSP_FOREST_EACH(DSP_FOREST_START_ROW)
    if (group->categorical)
        for (step = 0; step < depth; step++) { DSP_FOREST_EACH(DSP_FOREST_STEP_MIXED_ROW) }
    else
        for (step = 0; step < depth; step++) { DSP_FOREST_EACH(DSP_FOREST_STEP_ROW) }
    DSP_FOREST_EACH(DSP_FOREST_ADD_ROW)
}

/* The probability that a margin means. */
static inline double dsp_forest_calibrate(const dsp_forest *forest, float margin) {
    double shifted = (double)margin + forest->offset;
    const double *x = forest->margins, *y = forest->probabilities;
    uint32_t low = 0, high = forest->knots;
    if (forest->calibration != 2) return 1.0 / (1.0 + exp(-(forest->slope * shifted + forest->intercept)));
    if (!(shifted > x[0])) return y[0];
    if (shifted >= x[high - 1]) return y[high - 1];
    for (high -= 1; high - low > 1;) { /* x[low] <= shifted < x[high] */
        uint32_t middle = low + (high - low) / 2;
        if (x[middle] <= shifted)
            low = middle;
        else
            high = middle;
    }
    return y[low] + (y[high] - y[low]) * ((shifted - x[low]) / (x[high] - x[low]));
}

/* The probability of a row of forest->features floats. */
static inline double dsp_forest_score(const dsp_forest *forest, const float *row) {
    return dsp_forest_calibrate(forest, dsp_forest_margin(forest, row));
}

/* The probabilities of `count` rows that lie one after another. */
static inline void dsp_forest_score_rows(const dsp_forest *forest, const float *rows, size_t count, double *scores) {
    uint32_t slots[DSP_FOREST_MAX_SLOTS], tree, block, blocks, lane;
    float sums[4 * DSP_FOREST_LANES];
    size_t first, taken, k, room = DSP_FOREST_MAX_SLOTS / DSP_FOREST_LANES / forest->slots, width = forest->features;
    if (room > 4) room = 4;
    if (room == 0) {
        for (k = 0; k < count; k++) scores[k] = dsp_forest_score(forest, rows + k * width);
        return;
    }
    for (first = 0; first < count; first += taken) {
        taken = count - first < room * DSP_FOREST_LANES ? count - first : room * DSP_FOREST_LANES;
        blocks = (uint32_t)((taken + DSP_FOREST_LANES - 1) / DSP_FOREST_LANES);
        for (k = 0; k < (size_t)blocks * DSP_FOREST_LANES; k++) { /* the last row fills up the last block */
            block = (uint32_t)(k / DSP_FOREST_LANES), lane = (uint32_t)(k % DSP_FOREST_LANES);
            dsp_forest_fill(forest, rows + (first + (k < taken ? k : taken - 1)) * width,
                            slots + (size_t)block * DSP_FOREST_LANES * forest->slots + lane, DSP_FOREST_LANES);
            sums[k] = forest->base_margin;
        }
        for (tree = 0; tree < forest->trees; tree++)
            for (block = 0; block < blocks; block++)
                dsp_forest_walk_rows(forest, tree, slots + (size_t)block * DSP_FOREST_LANES * forest->slots,
                                     sums + block * DSP_FOREST_LANES);
        for (k = 0; k < taken; k++) scores[first + k] = dsp_forest_calibrate(forest, sums[k]);
    }
}

#undef DSP_FOREST_EACH
#undef DSP_FOREST_START_TREE
#undef DSP_FOREST_START_ROW
#undef DSP_FOREST_STEP_TREE
#undef DSP_FOREST_STEP_MIXED_TREE
#undef DSP_FOREST_STEP_ROW
#undef DSP_FOREST_STEP_MIXED_ROW
#undef DSP_FOREST_ADD_TREE
#undef DSP_FOREST_ADD_ROW

#endif
