// Attention on a GPU: a work-item has a query (backward also: a key), a group TILE keys (queries) at a time in local memory.
//
// The largest score and the sum of powers are kept up to date from key to key (Milakov and Gimelshein, arXiv:1805.02867),
// so there is never a matrix of scores. Backward computes them again: once a query, for its sum, its mean gradient and
// then dq; once a key, for dk and dv. Where `CAUSAL`, tiles that none of a group sees are left out.
//
// Arrays are rows of FEATURES numbers: row i of head h in batch b begins at start + (b * rows + i) * stride + h * FEATURES.
// Needs math.cl.
#ifndef T
#define T float      // float or double
#endif
#ifndef FEATURES
#define FEATURES 32  // of a head
#endif
#ifndef GROUP
#define GROUP 64     // queries or keys of a group
#endif
#ifndef TILE
#define TILE 16      // rows in local memory
#endif
#ifndef CAUSAL
#define CAUSAL 0     // query i sees keys 0 .. i + keys - queries
#endif
#ifndef MASKED
#define MASKED 0     // `on` says which keys are seen
#endif

// The largest score before the first: not -INFINITY, from which a score of -INFINITY would be at a distance of NaN.
#if DOUBLE
#define LOWEST (-DBL_MAX)
#else
#define LOWEST (-FLT_MAX)
#endif

// held (TILE, FEATURES) = rows first .. of an array, 0 beyond its end.
static inline void fetch(__local T *held, __global const T *rows, const int stride, const int first, const int count) {
    for (int i = get_local_id(0); i < TILE * FEATURES; i += GROUP) {
        const int row = first + i / FEATURES;
        held[i] = row < count ? rows[(size_t)row * stride + i % FEATURES] : 0;
    }
}

// x / sum, or 0 for a query that sees nothing; NaN stays.
static inline T share(const T x, const T sum) { return sum == 0 ? 0 : x / sum; }

static inline T dot_product(const T *x, __local const T *y) {
    T sum = 0;
    for (int d = 0; d < FEATURES; d++) sum += x[d] * y[d];
    return sum;
}

// How many keys a query and those before it see, at most.
static inline int sight(const int query, const int queries, const int keys) {
    return CAUSAL ? min(keys, query + 1 + keys - queries) : keys;
}

static inline bool sees(const int query, const int key, const int queries, const int keys, __global const uchar *on,
                        const int on_row) {
    if (query >= queries || key >= sight(query, queries, keys)) return false;
    return MASKED ? on[(size_t)query * on_row + key] : true;
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void forward(
    __global T *restrict out, __global const T *qs, __global const T *ks, __global const T *vs,
    __global const uchar *on, const int batch, const int heads, const int queries, const int keys, const int q_start,
    const int q_stride, const int k_start, const int k_stride, const int v_start, const int v_stride,
    const int on_batch, const int on_row, const T scale) {
    __local T k[TILE * FEATURES], v[TILE * FEATURES];
    const int blocks = (queries + GROUP - 1) / GROUP, block = get_group_id(0) % blocks * GROUP;
    const int query = block + get_local_id(0), seen = sight(block + GROUP - 1, queries, keys);  // by the group's last
    const size_t head = get_group_id(0) / blocks, b = head / heads, h = head % heads * FEATURES, stride = heads * FEATURES;
    qs += q_start + b * queries * q_stride + h;
    ks += k_start + b * keys * k_stride + h;
    vs += v_start + b * keys * v_stride + h;
    on += b * on_batch;
    T q[FEATURES], o[FEATURES], top = LOWEST, sum = 0;
    for (int d = 0; d < FEATURES; d++) {
        q[d] = query < queries ? qs[(size_t)query * q_stride + d] * scale : 0;
        o[d] = 0;
    }
    for (int first = 0; first < seen; first += TILE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(k, ks, k_stride, first, keys);
        fetch(v, vs, v_stride, first, keys);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int j = 0; j < TILE; j++) {
            if (!sees(query, first + j, queries, keys, on, on_row)) continue;
            const T score = dot_product(q, k + j * FEATURES);
            if (score > top) {
                const T less = exponential(top - score);
                sum *= less;
                for (int d = 0; d < FEATURES; d++) o[d] *= less;
                top = score;
            }
            const T e = exponential(score - top);
            sum += e;
            for (int d = 0; d < FEATURES; d++) o[d] += e * v[j * FEATURES + d];
        }
    }
    if (query >= queries) return;
    for (int d = 0; d < FEATURES; d++) out[(b * queries + query) * stride + h + d] = share(o[d], sum);
}

// dq of each query; space (2, batch * heads, queries): the logarithm of its sum of powers, its mean of d score.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void backward_queries(
    __global T *restrict out, __global T *restrict space, __global const T *restrict dys, __global const T *qs,
    __global const T *ks, __global const T *vs, __global const uchar *on, const int batch, const int heads,
    const int queries, const int keys, const int q_start, const int q_stride, const int k_start, const int k_stride,
    const int v_start, const int v_stride, const int on_batch, const int on_row, const T scale, const int dq_start) {
    __local T k[TILE * FEATURES], v[TILE * FEATURES];
    const int blocks = (queries + GROUP - 1) / GROUP, block = get_group_id(0) % blocks * GROUP;
    const int query = block + get_local_id(0), seen = sight(block + GROUP - 1, queries, keys);  // by the group's last
    const size_t head = get_group_id(0) / blocks, b = head / heads, h = head % heads * FEATURES, stride = heads * FEATURES;
    const size_t place = b * queries * q_stride + (size_t)query * q_stride + h;
    ks += k_start + b * keys * k_stride + h;
    vs += v_start + b * keys * v_stride + h;
    on += b * on_batch;
    T q[FEATURES], dy[FEATURES], dq[FEATURES], top = LOWEST, sum = 0, mean = 0;
    for (int d = 0; d < FEATURES; d++) {
        q[d] = query < queries ? qs[q_start + place + d] * scale : 0;
        dy[d] = query < queries ? dys[(b * queries + query) * stride + h + d] : 0;
        dq[d] = 0;
    }
    for (int turn = 0; turn < 2; turn++) {
        for (int first = 0; first < seen; first += TILE) {
            barrier(CLK_LOCAL_MEM_FENCE);
            fetch(k, ks, k_stride, first, keys);
            fetch(v, vs, v_stride, first, keys);
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int j = 0; j < TILE; j++) {
                if (!sees(query, first + j, queries, keys, on, on_row)) continue;
                const T score = dot_product(q, k + j * FEATURES), dp = dot_product(dy, v + j * FEATURES);
                if (turn) {
                    const T ds = exponential(score - top) * sum * (dp - mean);
                    for (int d = 0; d < FEATURES; d++) dq[d] += ds * k[j * FEATURES + d];
                    continue;
                }
                if (score > top) {
                    const T less = exponential(top - score);
                    sum *= less;
                    mean *= less;
                    top = score;
                }
                const T e = exponential(score - top);
                sum += e;
                mean += e * dp;
            }
        }
        if (turn == 0) {
            mean = share(mean, sum);
            if (query < queries) {
                space[head * queries + query] = sum == 0 ? 0 : top + logarithm(sum);
                space[((size_t)batch * heads + head) * queries + query] = mean;
            }
            sum = share(1, sum);
        }
    }
    if (query >= queries) return;
    for (int d = 0; d < FEATURES; d++) out[dq_start + place + d] = dq[d] * scale;
}

// dk and dv of each key.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void backward_keys(
    __global T *restrict out, __global const T *restrict space, __global const T *restrict dys, __global const T *qs,
    __global const T *ks, __global const T *vs, __global const uchar *on, const int batch, const int heads,
    const int queries, const int keys, const int q_start, const int q_stride, const int k_start, const int k_stride,
    const int v_start, const int v_stride, const int on_batch, const int on_row, const T scale, const int dk_start,
    const int dv_start) {
    __local T q[TILE * FEATURES], dy[TILE * FEATURES];
    const int blocks = (keys + GROUP - 1) / GROUP, block = get_group_id(0) % blocks * GROUP;
    const int key = block + get_local_id(0), blind = CAUSAL ? max(0, block + queries - keys) : 0;  // to all of the group
    const size_t head = get_group_id(0) / blocks, b = head / heads, h = head % heads * FEATURES, stride = heads * FEATURES;
    const size_t k_place = (b * keys + key) * k_stride + h, v_place = (b * keys + key) * v_stride + h;
    qs += q_start + b * queries * q_stride + h;
    on += b * on_batch;
    T k[FEATURES], v[FEATURES], dk[FEATURES], dv[FEATURES];
    for (int d = 0; d < FEATURES; d++) {
        k[d] = key < keys ? ks[k_start + k_place + d] * scale : 0;
        v[d] = key < keys ? vs[v_start + v_place + d] : 0;
        dk[d] = dv[d] = 0;
    }
    for (int first = blind / TILE * TILE; first < queries; first += TILE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(q, qs, q_stride, first, queries);
        fetch(dy, dys + b * queries * stride + h, stride, first, queries);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 0; i < TILE; i++) {
            if (!sees(first + i, key, queries, keys, on, on_row)) continue;
            const size_t place = head * queries + first + i;
            const T p = exponential(dot_product(k, q + i * FEATURES) - space[place]);
            const T ds = p * (dot_product(v, dy + i * FEATURES) - space[(size_t)batch * heads * queries + place]);
            for (int d = 0; d < FEATURES; d++) {
                dk[d] += ds * q[i * FEATURES + d];
                dv[d] += p * dy[i * FEATURES + d];
            }
        }
    }
    if (key >= keys) return;
    for (int d = 0; d < FEATURES; d++) {
        out[dk_start + k_place + d] = dk[d] * scale;
        out[dv_start + v_place + d] = dv[d];
    }
}
