// Attention on a CPU: a work-item takes heads in turn (forward parts of them, where they are fewer than
// work-items), BLOCK queries at a time.
//
// The scores of a block with all keys lie in the work-item's part of the workspace, which stays in the cache; they become
// powers there, and those weights of the values. There is never a matrix of all scores. Backward computes the block's
// scores again and adds up the gradients of keys and values block by block. Keys are padded to whole tiles.
//
// Arrays are rows of FEATURES numbers: row i of head h in batch b begins at start + (b * rows + i) * stride + h * FEATURES.
// The text before this file is math.cl, gemm_registers.cl and the tiles by_keys and by_features.
#ifndef FEATURES
#define FEATURES 32  // of a head
#endif
#ifndef COLUMNS
#define COLUMNS 32   // FEATURES, padded to tiles of by_features
#endif
#ifndef BLOCK
#define BLOCK 32     // queries whose scores are in memory, a multiple of the rows of both tiles
#endif
#ifndef KEY_TILE
#define KEY_TILE 64  // columns of a tile of by_keys
#endif
#ifndef KEY_ROWS
#define KEY_ROWS 4   // its rows
#endif
#ifndef FEATURE_TILE
#define FEATURE_TILE 32
#endif
#ifndef FEATURE_ROWS
#define FEATURE_ROWS 8
#endif
#ifndef CAUSAL
#define CAUSAL 0     // query i sees keys 0 .. i + keys - queries
#endif
#ifndef MASKED
#define MASKED 0     // `on` says which keys are seen
#endif

// to (padded, COLUMNS) = factor * from (rows, FEATURES), 0 elsewhere.
WIDE static inline void take_rows(__global T *restrict to, __global const T *restrict from, const int stride,
                                  const int rows, const int padded, const T factor) {
    for (int i = 0; i < rows; i++) {
        for (int d = 0; d < FEATURES; d++) to[i * COLUMNS + d] = from[(size_t)i * stride + d] * factor;
        for (int d = FEATURES; d < COLUMNS; d++) to[i * COLUMNS + d] = 0;
    }
    for (int i = rows * COLUMNS; i < padded * COLUMNS; i++) to[i] = 0;
}

WIDE static inline void give_rows(__global T *restrict to, const int stride, __global const T *restrict from,
                                  const int rows) {
    for (int i = 0; i < rows; i++)
        for (int d = 0; d < FEATURES; d++) to[(size_t)i * stride + d] = from[i * COLUMNS + d];
}

// to (padded / KEY_TILE, FEATURES, KEY_TILE) = from (keys, FEATURES) transposed, 0 for keys that are not there.
WIDE static inline void take_columns(__global T *restrict to, __global const T *restrict from, const int stride,
                                     const int keys, const int padded) {
    for (int j = 0; j < padded; j += WIDTH) {
        __global T *tile = to + (size_t)(j / KEY_TILE) * FEATURES * KEY_TILE + j % KEY_TILE;
        for (int d = 0; d < FEATURES; d += WIDTH)
            if (j + WIDTH <= keys && d + WIDTH <= FEATURES) {
                vector rows[WIDTH];
                #pragma unroll
                for (int i = 0; i < WIDTH; i++) rows[i] = LOAD_GLOBAL(from + (size_t)(j + i) * stride + d);
                transpose(rows);
                #pragma unroll
                for (int i = 0; i < WIDTH; i++) STORE_GLOBAL(tile + (d + i) * KEY_TILE, rows[i]);
            } else
                for (int i = d; i < MIN(d + WIDTH, FEATURES); i++)
                    for (int lane = 0; lane < WIDTH; lane++)
                        tile[i * KEY_TILE + lane] = j + lane < keys ? from[(size_t)(j + lane) * stride + i] : 0;
    }
}

// scores (BLOCK, padded) of queries with the first `padded` keys.
WIDE static inline void multiply_keys(__global T *scores, const int width, __global const T *queries,
                                      __global const T *keys, const int padded) {
    for (int j = 0; j < padded; j += KEY_TILE)
        for (int i = 0; i < BLOCK; i += KEY_ROWS)
            by_keys(scores + (size_t)i * width + j, width, queries + i * COLUMNS, COLUMNS, 1, keys + (size_t)j * FEATURES,
                    KEY_TILE, FEATURES, false);
}

// Scores of the keys that a query sees become exp(score - largest), those of others 0; gives 1 / their sum, or 0 where that is 0.
WIDE static inline T powers(__global T *scores, const int seen, const int padded, __global const uchar *on) {
    for (int j = seen; j < padded; j++) scores[j] = -INFINITY;
    if (MASKED)
        for (int j = 0; j < seen; j++) scores[j] = on[j] ? scores[j] : -INFINITY;
    vector tops = LOAD_GLOBAL(scores), sums = 0;
    for (int j = WIDTH; j < padded; j += WIDTH) {
        const vector x = LOAD_GLOBAL(scores + j);
        tops = x > tops ? x : tops;
    }
    T lanes[WIDTH] ALIGNED, top = -INFINITY, sum = 0;
    STORE(lanes, tops);
    for (int lane = 0; lane < WIDTH; lane++) top = lanes[lane] > top ? lanes[lane] : top;
    for (int j = 0; j < padded; j += WIDTH) {
        for (int lane = 0; lane < WIDTH; lane++) {
            const T x = scores[j + lane];
            const T e = exponential(x - top);
            lanes[lane] = x == -INFINITY ? 0 : e;  // NaN stays
        }
        sums += LOAD(lanes);
        STORE_GLOBAL(scores + j, LOAD(lanes));
    }
    STORE(lanes, sums);
    for (int lane = 0; lane < WIDTH; lane++) sum += lanes[lane];
    return sum == 0 ? 0 : 1 / sum;
}

// How many keys a query sees, at most.
static inline int sight(const int query, const int queries, const int keys) {
    return CAUSAL ? MAX(0, MIN(keys, query + 1 + keys - queries)) : keys;
}

static inline int rounded(const int n, const int tile) { return (n + tile - 1) / tile * tile; }

APART static void forward_queries(__global T *out, const int out_stride, __global T *space, __global const T *qs,
                                  const int q_stride, __global const T *ks, const int k_stride, __global const T *vs,
                                  const int v_stride, __global const uchar *on, const int on_row, const int queries,
                                  const int keys, const int begin, const int end, const T scale) {
    const int width = rounded(keys, KEY_TILE);
    __global T *k = space, *v = k + (size_t)width * FEATURES, *q = v + (size_t)width * COLUMNS;
    __global T *o = q + BLOCK * COLUMNS, *scores = o + BLOCK * COLUMNS;
    take_columns(k, ks, k_stride, keys, width);
    take_rows(v, vs, v_stride, keys, width, 1);
    for (int first = begin; first < end; first += BLOCK) {
        const int rows = MIN(BLOCK, end - first);
        const int padded = rounded(MAX(1, sight(first + rows - 1, queries, keys)), KEY_TILE);
        T parts[BLOCK];
        take_rows(q, qs + (size_t)first * q_stride, q_stride, rows, BLOCK, scale);
        multiply_keys(scores, width, q, k, padded);
        for (int i = 0; i < BLOCK; i++) {
            const int row = MIN(first + i, queries - 1);
            parts[i] = powers(scores + (size_t)i * width, sight(row, queries, keys), padded, on + (size_t)row * on_row);
        }
        for (int d = 0; d < COLUMNS; d += FEATURE_TILE)
            for (int i = 0; i < BLOCK; i += FEATURE_ROWS)
                by_features(o + i * COLUMNS + d, COLUMNS, scores + (size_t)i * width, width, 1, v + d, COLUMNS, padded, false);
        for (int i = 0; i < rows; i++)
            for (int d = 0; d < FEATURES; d++)
                out[(size_t)(first + i) * out_stride + d] = o[i * COLUMNS + d] * parts[i];
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forward(
    __global T *restrict out, __global T *restrict space, __global const T *qs, __global const T *ks,
    __global const T *vs, __global const uchar *on, const int batch, const int heads, const int queries,
    const int keys, const int q_start, const int q_stride, const int k_start, const int k_stride, const int v_start,
    const int v_stride, const int on_batch, const int on_row, const T scale,
    const int chunk,  // queries of a head that one task has
    const int room    // elements of a work-item's space
) {
    const int chunks = (queries + chunk - 1) / chunk, stride = heads * FEATURES;
    for (int task = get_global_id(0); task < batch * heads * chunks; task += get_global_size(0)) {
        const int b = task / (heads * chunks), h = task / chunks % heads, begin = task % chunks * chunk;
        forward_queries(out + (size_t)b * queries * stride + h * FEATURES, stride, space + (size_t)get_global_id(0) * room,
                        qs + q_start + (size_t)b * queries * q_stride + h * FEATURES, q_stride,
                        ks + k_start + (size_t)b * keys * k_stride + h * FEATURES, k_stride,
                        vs + v_start + (size_t)b * keys * v_stride + h * FEATURES, v_stride, on + (size_t)b * on_batch,
                        on_row, queries, keys, begin, MIN(begin + chunk, queries), scale);
    }
}

APART static void backward_head(__global T *dqs, __global T *dks, __global T *dvs, __global T *space,
                                __global const T *dys, const int y_stride, __global const T *qs, const int q_stride,
                                __global const T *ks, const int k_stride, __global const T *vs, const int v_stride,
                                __global const uchar *on, const int on_row, const int queries, const int keys,
                                const T scale) {
    const int width = rounded(keys, KEY_TILE);
    const size_t table = (size_t)width * COLUMNS, columns = (size_t)width * FEATURES;
    __global T *kt = space, *vt = kt + columns, *k = vt + columns, *dk = k + table, *dv = dk + table;
    __global T *q = dv + table, *dy = q + BLOCK * COLUMNS, *dq = dy + BLOCK * COLUMNS;
    __global T *scores = dq + BLOCK * COLUMNS, *ds = scores + (size_t)BLOCK * width;
    take_columns(kt, ks, k_stride, keys, width);
    take_columns(vt, vs, v_stride, keys, width);
    take_rows(k, ks, k_stride, keys, width, 1);
    for (size_t i = 0; i < 2 * table; i++) dk[i] = 0;
    for (int first = 0; first < queries; first += BLOCK) {
        const int rows = MIN(BLOCK, queries - first);
        const int padded = rounded(MAX(1, sight(first + rows - 1, queries, keys)), KEY_TILE);
        take_rows(q, qs + (size_t)first * q_stride, q_stride, rows, BLOCK, scale);
        take_rows(dy, dys + (size_t)first * y_stride, y_stride, rows, BLOCK, 1);
        multiply_keys(scores, width, q, kt, padded);
        multiply_keys(ds, width, dy, vt, padded);
        for (int i = 0; i < BLOCK; i++) {
            const int row = MIN(first + i, queries - 1);
            __global T *p = scores + (size_t)i * width, *d = ds + (size_t)i * width;
            const T part = powers(p, sight(row, queries, keys), padded, on + (size_t)row * on_row);
            vector sums = 0;
            for (int j = 0; j < padded; j += WIDTH) sums = LOAD_GLOBAL(p + j) * LOAD_GLOBAL(d + j) + sums;
            T lanes[WIDTH] ALIGNED, mean = 0;
            STORE(lanes, sums);
            for (int lane = 0; lane < WIDTH; lane++) mean += lanes[lane];
            mean *= part;
            for (int j = 0; j < padded; j += WIDTH) {
                const vector weights = LOAD_GLOBAL(p + j) * part;
                STORE_GLOBAL(p + j, weights);
                STORE_GLOBAL(d + j, weights * (LOAD_GLOBAL(d + j) - mean));
            }
        }
        for (int c = 0; c < COLUMNS; c += FEATURE_TILE) {
            for (int i = 0; i < BLOCK; i += FEATURE_ROWS)
                by_features(dq + i * COLUMNS + c, COLUMNS, ds + (size_t)i * width, width, 1, k + c, COLUMNS, padded, false);
            for (int j = 0; j < padded; j += FEATURE_ROWS) {
                by_features(dk + (size_t)j * COLUMNS + c, COLUMNS, ds + j, 1, width, q + c, COLUMNS, BLOCK, true);
                by_features(dv + (size_t)j * COLUMNS + c, COLUMNS, scores + j, 1, width, dy + c, COLUMNS, BLOCK, true);
            }
        }
        for (int i = 0; i < rows * COLUMNS; i++) dq[i] *= scale;
        give_rows(dqs + (size_t)first * q_stride, q_stride, dq, rows);
    }
    give_rows(dks, k_stride, dk, keys);
    give_rows(dvs, v_stride, dv, keys);
}

// out: dq, dk and dv, which begin at dq_start, dk_start and dv_start and have the strides of q, k and v.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void backward(
    __global T *out, __global T *restrict space, __global const T *restrict dys, __global const T *qs,
    __global const T *ks, __global const T *vs, __global const uchar *on, const int batch, const int heads,
    const int queries, const int keys, const int q_start, const int q_stride, const int k_start, const int k_stride,
    const int v_start, const int v_stride, const int on_batch, const int on_row, const T scale, const int dq_start,
    const int dk_start, const int dv_start, const int room) {
    const int stride = heads * FEATURES;
    for (int task = get_global_id(0); task < batch * heads; task += get_global_size(0)) {
        const size_t b = task / heads, h = task % heads * FEATURES;
        const size_t q = b * queries * q_stride + h, k = b * keys * k_stride + h, v = b * keys * v_stride + h;
        backward_head(out + dq_start + q, out + dk_start + k, out + dv_start + v, space + (size_t)get_global_id(0) * room,
                      dys + b * queries * stride + h, stride, qs + q_start + q, q_stride, ks + k_start + k, k_stride,
                      vs + v_start + v, v_stride, on + b * on_batch, on_row, queries, keys, scale);
    }
}
