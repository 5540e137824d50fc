// c = a op(B) on a CPU, with vectors a (k) and c (n): what takes time is to read B once.
//
// Lane l sums the products of k = l, l + WIDTH, l + 2 WIDTH ..., the last k % WIDTH of them count as of the last lanes;
// then half of the lanes is added to the other half until one is left. That is one order for both layouts of B. Where
// rows of B lie along k, WIDTH of them keep their lanes in registers: 58 us for 1024 x 1024 on one core, where panels of
// transposed columns take 220.
//
// The text before this file is gemm_registers.cl and epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which
// stores.
#ifndef TRANSPOSE_B
#define TRANSPOSE_B 0  // B is (n, k) instead of (k, n)
#endif
#ifndef SWAPPED
#define SWAPPED 0      // a and B have changed places: c is a column of C, not a row
#endif
#ifndef COLUMNS
#define COLUMNS 128    // elements of c that a work-group computes, a multiple of WIDTH
#endif

#if TRANSPOSE_B
// Rows read at once: of 1024 x 1024 on one core four take 58 us, eight 63, 16 evict each other, 86.
#define STREAMS (WIDTH > 4 ? WIDTH / 4 : 1)

// values (COLUMNS) = products of a with rows j0 .. of B, a square of them at a time; the last row stands in for those
// beyond it.
WIDE static inline void multiply(T *restrict values, __global const S *restrict as, __global const S *restrict bs,
                                 const int n, const int k, const int j0) {
    T is_rest[WIDTH] ALIGNED;
    for (int l = 0; l < WIDTH; l++) is_rest[l] = l >= WIDTH - k % WIDTH;
    for (int j = 0; j < MIN(COLUMNS, n - j0); j += WIDTH) {
        vector lanes[WIDTH];
        for (int i0 = 0; i0 < WIDTH; i0 += STREAMS) {
            vector sums[STREAMS];
            #pragma unroll
            for (int i = 0; i < STREAMS; i++) sums[i] = 0;
            for (int kk = 0; kk + WIDTH <= k; kk += WIDTH) {
                const vector a = LOAD_OPERAND(as + kk);
                #pragma unroll
                for (int i = 0; i < STREAMS; i++)
                    sums[i] = a * LOAD_OPERAND(bs + (size_t)MIN(j0 + j + i0 + i, n - 1) * k + kk) + sums[i];
            }
            const vector a = LOAD(is_rest) != 0 ? LOAD_OPERAND(as + k - WIDTH) : 0;
            #pragma unroll
            for (int i = 0; i < STREAMS; i++) {
                const vector b = LOAD_OPERAND(bs + (size_t)MIN(j0 + j + i0 + i, n - 1) * k + k - WIDTH);
                lanes[i0 + i] = a * (LOAD(is_rest) != 0 ? b : 0) + sums[i];
            }
        }
        transpose(lanes);
        #pragma unroll
        for (int kept = WIDTH / 2; kept > 0; kept /= 2)
            #pragma unroll
            for (int l = 0; l < kept; l++) lanes[l] += lanes[l + kept];
        STORE(values + j, lanes[0]);
    }
}
#else
#define VECTORS (COLUMNS / WIDTH)
#define COLUMN(v) ((v) < VECTORS - 1 ? (v) * WIDTH : MIN(COLUMNS, n) - WIDTH)  // where vector v of a group begins

// sums (VECTORS) += as[kk] bs[kk, the group's columns]
WIDE static inline void add_row(vector *restrict sums, __global const S *restrict as, __global const S *restrict bs,
                                const int n, const int j0, const int kk) {
    const T a = as[kk];
    #pragma unroll
    for (int v = 0; v < VECTORS; v++) sums[v] = a * LOAD_OPERAND(bs + (size_t)kk * n + j0 + COLUMN(v)) + sums[v];
}

// values (COLUMNS) = products of a with columns j0 .. of B. A lane is a pass over every WIDTH-th row.
WIDE static inline void multiply(T *restrict values, __global const S *restrict as, __global const S *restrict bs,
                                 const int n, const int k, const int j0) {
    vector lanes[WIDTH][VECTORS];
    for (int l = 0; l < WIDTH; l++) {
        vector sums[VECTORS];
        #pragma unroll
        for (int v = 0; v < VECTORS; v++) sums[v] = 0;
        for (int kk = l; kk < k - k % WIDTH; kk += WIDTH) add_row(sums, as, bs, n, j0, kk);
        if (l >= WIDTH - k % WIDTH) add_row(sums, as, bs, n, j0, k - WIDTH + l);
        #pragma unroll
        for (int v = 0; v < VECTORS; v++) lanes[l][v] = sums[v];
    }
    for (int kept = WIDTH / 2; kept > 0; kept /= 2)
        for (int l = 0; l < kept; l++)
            for (int v = 0; v < VECTORS; v++) lanes[l][v] += lanes[l + kept][v];
    for (int v = 0; v < VECTORS; v++) STORE(values + COLUMN(v), lanes[0][v]);
}
#endif

// Elements part * COLUMNS .. of c. Where they would overhang, some before them are computed once more, not stored.
APART static void compute(__global const S *restrict as, __global const S *restrict bs, const int n, const int k,
                          const size_t batch, const int part, EPILOGUE_PARAMETERS) {
    T values[COLUMNS] ALIGNED;
    const int j0 = TRANSPOSE_B ? part * COLUMNS : MAX(0, MIN(part * COLUMNS, n - COLUMNS));
    multiply(values, as, bs, n, k, j0);
    for (int j = part * COLUMNS - j0; j < MIN(COLUMNS, n - j0); j++)
        epilogue(values[j], batch, SWAPPED ? j0 + j : 0, SWAPPED ? 0 : j0 + j, EPILOGUE_NAMES);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gemm_vector(
    __global const S *restrict as,  // of one product after the other, `a_stride` elements apart; 0: all the same
    __global const S *restrict bs, const int n, const int k, const ulong a_stride, const ulong b_stride,
    EPILOGUE_ARGUMENTS) {
    const size_t batch = get_group_id(1);
    compute(as + batch * a_stride, bs + batch * b_stride, n, k, batch, get_group_id(0), EPILOGUE_VALUES);
}
