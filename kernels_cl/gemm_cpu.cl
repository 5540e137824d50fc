// C = op(A) op(B) on a CPU: one work-item a work-group, no barriers, no local memory.
//
// A tile of C, MR rows by NV vectors, stays in registers while k runs: each step broadcasts MR elements of A and
// multiplies them with NV vectors of B. A work-group does a few rows of tiles below each other (and a few side by side),
// so that B's columns under them, packed once into a panel of the stack, serve them all. k runs in blocks of KC; between
// blocks the sums wait in `sums`. Every element is one chain of multiply-adds, k ascending, whatever the form.
//
// Where a tile would overhang C, it is moved back inside and only its new elements are finished: rows by whole tiles,
// columns by whole tiles, and the last vector of a row of C narrower than a tile by less than a vector.
//
// While a tile is multiplied, what is wanted next is fetched into the cache, a line a step: what its epilogue will read, and
// the part of B that is packed next. Rows of C and B may lie pages apart, which no processor foresees: 784-1024-1024-10,
// batch 128, with SGD 7.34 -> 6.56 ms a step, with Adam 7.82 -> 6.95.
//
// The text before this file is gemm_registers.cl and epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which
// stores.
#ifndef MR
#define MR 8           // rows of a tile; MR * NV + NV + 1 registers hold it: 8 x 3 of 32 (AVX-512), 4 x 3 of 16 (AVX2)
#endif
#ifndef NV
#define NV 3           // vectors of a tile's row
#endif
#ifndef TRANSPOSE_A
#define TRANSPOSE_A 0  // A is (k, m) instead of (m, k)
#endif
#ifndef TRANSPOSE_B
#define TRANSPOSE_B 0  // B is (n, k) instead of (k, n)
#endif
#ifndef PACK_A
#define PACK_A 0       // copy the group's rows of a transposed A: where rows of memory lie a page apart, 45 -> 90 GFLOP/s
#endif
#ifndef PACK_B
#define PACK_B 0       // copy B into panels: always where it is transposed or has fewer columns than a vector
#endif
#ifndef KC
#define KC 256         // steps of k between visits to the sums, where B is packed
#endif
#ifndef TILES
#define TILES 1        // tiles of a group below each other, at most, where A is packed or k takes several blocks
#endif
#ifndef PANELS
#define PANELS 1       // tiles of a group side by side, at most
#endif
#ifndef PLAIN
#define PLAIN 0        // the epilogue only stores the value at its place in C, which is its first parameter, p0
#endif
#ifndef SWAPPED
#define SWAPPED 0      // A and B have changed places: a row here is a column of C
#endif

#ifndef FETCH
#define FETCH 1        // fetch what is wanted next; 0: it is near
#endif
#ifndef EPILOGUE_FETCHES
#define EPILOGUE_FETCHES  // statements that fetch what the epilogue reads at (batch, row, column)
#endif
#ifndef AHEAD
#define AHEAD 4        // steps of k by which B is fetched early where it is not packed
#endif

#ifndef AHEAD_ROWS
#define AHEAD_ROWS 0   // rows, at row_ahead(row, EPILOGUE_PARAMETERS), that the next run reads: the tiles fetch them
#endif
#ifndef AHEAD_LINES
#define AHEAD_LINES 1  // lines of the cache that each of these has
#endif

#define NR (NV * WIDTH)            // columns of a tile
#define LEFT (TILES * MR + WIDTH)  // distance between the rows of packed A; the odd width keeps them in different cache sets

#if PACK_A
#define A_FROM __private const T
#define A_AT(i, kk) a[(kk) * LEFT + (i)]
#else
#define A_FROM __global const S
#define A_AT(i, kk) (TRANSPOSE_A ? a[(size_t)(kk) * m + (i)] : a[(size_t)(i) * k + (kk)])
#endif
#if PACK_B
#define B_FROM __private const T
#define B_STRIDE NR
#define LOAD_B(p) LOAD(p)
#else
#define B_FROM __global const S
#define B_STRIDE n
#define LOAD_B(p) LOAD_OPERAND(p)
#endif
#define LINE (int)(64 / sizeof(S))  // elements of a line of the cache
#define COLUMN(v) ((v) < NV - 1 ? (v) * WIDTH : last)  // where vector v of a tile's row begins
#define DONE(v) (MAX(columns_done, (v) * WIDTH) - COLUMN(v))  // its lanes that are finished already,
#define LANES(v) MIN(WIDTH, n - column0 - COLUMN(v))          // and those before the end of C's row
#if SWAPPED
#define PLACE(row, column) column, row
#define LINES_OF_C NR  // of a tile
#define LINE_OF_C(i) PLACE(row0, column0 + (i))
#else
#define PLACE(row, column) row, column
#define LINES_OF_C (MR * NV)
#define LINE_OF_C(i) PLACE(row0 + (i) / NV, column0 + COLUMN((i) % NV))
#endif

// panel (depth, NR) = op(B)[k0 : k0 + depth, column0 : column0 + NR]. What lies beyond op(B) is left as it was: it only
// meets sums that nobody reads.
WIDE static inline void pack_b(T *restrict panel, __global const S *restrict bs, const int n, const int k,
                               const int k0, const int depth, const int column0, const int last) {
#if TRANSPOSE_B
    const int columns = MIN(NR, n - column0);
    bs += (size_t)column0 * k + k0;
    if (MIN(columns, k) < SQUARE) {
        for (int j = 0; j < columns; j++)
            for (int kk = 0; kk < depth; kk++) panel[kk * NR + j] = bs[(size_t)j * k + kk];
        return;
    }
    for (int j = 0; j < columns; j += SQUARE)
        for (int kk = 0; kk < depth; kk += SQUARE) {
            const int column = MIN(j, columns - SQUARE), from = MIN(kk, depth - SQUARE);
            copy_transposed(panel + from * NR + column, NR, bs + (size_t)column * k + from, k);
        }
#else
    bs += (size_t)k0 * n + column0;
    if (n < WIDTH) {
        for (int kk = 0; kk < depth; kk++)
            for (int j = 0; j < WIDTH; j++) panel[kk * NR + j] = j < n ? bs[(size_t)kk * n + j] : 0;
        return;
    }
    for (int kk = 0; kk < depth; kk++)
        #pragma unroll
        for (int v = 0; v < NV; v++)
            STORE(panel + kk * NR + COLUMN(v), LOAD_OPERAND(bs + (size_t)kk * n + COLUMN(v)));
#endif
}

// What pack_b will read next: `lines` of them, from b on, and how many of these each tile fetches.
typedef struct {
    __global const S *b;
    int lines, share;
} wanted;

#if PACK_B
#if TRANSPOSE_B
#define LINES(depth) (NR * (((depth) + LINE - 1) / LINE))
#define LINE_AT(i) ((size_t)((i) % NR) * k + (i) / NR * LINE)
#else
#define LINES(depth) (NV * (depth))
#define LINE_AT(i) ((size_t)((i) / NV) * n + (i) % NV * WIDTH)
#endif

// After panel p of these, in a block of k that begins at k0: the panel beside it, else the next block, else, for the next
// work-group, the panel beside the last.
WIDE static inline wanted after(__global const S *restrict bs, const int n, const int k, const int k0, const int depth,
                                const int p, const int panel0, const int panel1, const int tiles) {
    const bool beside = p + 1 < panel1, below = k0 + depth < k;
    const int next = beside ? p + 1 : below ? panel0 : panel1, next_k = beside ? k0 : below ? k0 + depth : 0;
    const int column = MIN(next * NR, n - NR), lines = 0 <= column && next * NR < n ? LINES(MIN(depth, k - next_k)) : 0;
    const wanted found = {bs + (TRANSPOSE_B ? (size_t)column * k + next_k : (size_t)next_k * n + column), lines,
                          (lines + tiles - 1) / tiles};
    return found;
}
#endif

// The lines that the epilogue of an element at (row, column) reads.
WIDE static inline void fetch_c(const size_t batch, const int row, const int column, EPILOGUE_PARAMETERS) {
    EPILOGUE_FETCHES
}

// The share of tile t in panel p in the rows that the next run reads: for the second cache, and a few lines only, because
// a core has to wait where it has asked for more than about 20.
WIDE static inline void fetch_ahead(const int m, const int n, const int t, const int p, EPILOGUE_PARAMETERS) {
#if AHEAD_ROWS
    const int rows = (m + MR - 1) / MR, tile = t + rows * p;
    const long tiles = (long)rows * ((n + NR - 1) / NR), lines = (long)AHEAD_ROWS * AHEAD_LINES;
    const int end = lines * (tile + 1) / tiles;
    int line = lines * tile / tiles;
    while (line < end) {
        const int row = line / AHEAD_LINES, next = MIN(end, (row + 1) * AHEAD_LINES);
        __global const char *begin = row_ahead(row, EPILOGUE_NAMES) - 64 * row * AHEAD_LINES;
        for (; line < next; line++) __builtin_prefetch(begin + 64 * line, 0, 2);
    }
#endif
}

// The tile at (row0, column0): sums (MR, NV, WIDTH) (+)= a b over `depth` steps of k, vector v for the columns from
// COLUMN(v) on; or, if given, cs (MR, NR) of C = a b. Fetches lines of `next` from `line` on, and, where the tile ends, for
// its epilogue.
WIDE static inline void multiply(T *restrict sums, __global T *restrict cs, A_FROM *restrict a,
                                 B_FROM *restrict b, const int m, const int n, const int k, const int depth,
                                 const int last, const bool resume, const bool ends, const wanted next, const int line,
                                 const size_t batch, const int row0, const int column0, EPILOGUE_PARAMETERS) {
    vector c[MR][NV];
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) c[i][v] = resume ? LOAD(sums + i * NR + v * WIDTH) : (vector)(0);

    for (int kk = 0; kk < depth; kk++) {
        vector row[NV];
        #pragma unroll
        for (int v = 0; v < NV; v++) row[v] = LOAD_B(b + COLUMN(v));
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            const vector x = A_AT(i, kk);
            #pragma unroll
            for (int v = 0; v < NV; v++) c[i][v] = x * row[v] + c[i][v];  // an FMA; fma() is a call in PoCL 3.0
        }
        b += B_STRIDE;
#if FETCH && PACK_B
        if (kk < next.share && line + kk < next.lines) __builtin_prefetch(next.b + LINE_AT(line + kk));
#elif FETCH
        #pragma unroll
        for (int v = 0; v < NV; v++) __builtin_prefetch(b + (size_t)AHEAD * n + v * WIDTH);
#endif
        if (FETCH && ends && kk < LINES_OF_C) fetch_c(batch, LINE_OF_C(kk), EPILOGUE_NAMES);
    }

    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++)
            if (cs) STORE_GLOBAL(cs + (size_t)i * n + COLUMN(v), c[i][v]);
            else STORE(sums + i * NR + v * WIDTH, c[i][v]);
}

// The epilogue of the tile at (row0, column0), without its first rows and columns, which the tiles before it have done.
WIDE static inline void finish(const T *restrict sums, const size_t batch, const int n, const int row0, const int rows_done,
                               const int column0, const int columns_done, const int last, EPILOGUE_PARAMETERS) {
// Else Intel's compiler unrolls a short loop over lanes first, and makes no vectors of it: update of 784 x 30 17.9 us.
#define AS_VECTOR _Pragma("clang loop unroll(disable)")
#define FINISH(i, v, l) \
    epilogue(sums[(i) * NR + (v) * WIDTH + (l)], batch, PLACE(row0 + (i), column0 + COLUMN(v) + (l)), EPILOGUE_NAMES)
#if SWAPPED  // what lies side by side in C lies below each other here; the other order: 18.7 against 15.8 ms
    for (int v = 0; v < NV; v++)
        for (int l = DONE(v); l < LANES(v); l++)
            for (int i = rows_done; i < MR; i++) FINISH(i, v, l);
#else
    #pragma unroll
    for (int v = 0; v < NV; v++)
        if (DONE(v) == 0 && LANES(v) == WIDTH)
            for (int i = rows_done; i < MR; i++)
                AS_VECTOR
                for (int l = 0; l < WIDTH; l++) FINISH(i, v, l);
        else
            for (int i = rows_done; i < MR; i++)
                AS_VECTOR
                for (int l = 0; l < WIDTH; l++)  // a mask, not a range: compilers make a vector of it
                    if (DONE(v) <= l && l < LANES(v)) FINISH(i, v, l);
#endif
}

// Tiles tile0 .. tile1 - 1 below each other, in panels panel0 .. panel1 - 1.
APART static void block(__global const S *restrict as, __global const S *restrict bs, const int m, const int n,
                        const int k, const size_t batch, const int tile0, const int tile1,
                        const int panel0, const int panel1, EPILOGUE_PARAMETERS) {
    T sums[PANELS * TILES * MR * NR] ALIGNED;
#if PACK_A
    T left[KC * LEFT] ALIGNED;
    const int left0 = MIN(tile0 * MR, m - MR), left1 = MIN(tile1 * MR, m);
#endif
#if PACK_B
    T panel[KC * NR] ALIGNED;
#endif
    const int blocks = PACK_B && k > 0 ? (k + KC - 1) / KC : 1;
    for (int kb = 0; kb < blocks; kb++) {
        const int k0 = (long)k * kb / blocks, depth = (long)k * (kb + 1) / blocks - k0;
#if PACK_A
        for (int kk = 0; kk < depth; kk++) {
            T *row = left + kk * LEFT;
            __global const S *from = as + (size_t)(k0 + kk) * m + left0;
            const int wide = left1 - left0 >= WIDTH ? left1 - left0 : 0;
            for (int i = 0; i < wide; i += WIDTH) {
                const int at = MIN(i, wide - WIDTH);
                STORE(row + at, LOAD_OPERAND(from + at));
            }
            for (int i = wide; i < left1 - left0; i++) row[i] = from[i];
        }
#endif
        for (int p = panel0; p < panel1; p++) {
            const int column0 = MAX(0, MIN(p * NR, n - NR));
            const int last = MAX(0, MIN(NR, n - column0) - WIDTH);
#if PACK_B
            pack_b(panel, bs, n, k, k0, depth, column0, last);
            const T *b = panel;
            const wanted next = after(bs, n, k, k0, depth, p, panel0, panel1, tile1 - tile0);
#else
            const wanted next = {0, 0, 0};
            __global const S *b = bs + (size_t)k0 * n + column0;
#endif
            for (int t = tile0; t < tile1; t++) {
                const int row0 = MIN(t * MR, m - MR);
                T *tile = sums + (blocks > 1 ? ((p - panel0) * TILES + t - tile0) * MR * NR : 0);
#if PACK_A
                const T *a = left + row0 - left0;
#else
                __global const S *a = as + (TRANSPOSE_A ? (size_t)k0 * m + row0 : (size_t)row0 * k + k0);
#endif
#if PLAIN && !SWAPPED  // straight into C, what is new and finished at once
                const bool whole = blocks == 1 && n >= WIDTH && row0 == t * MR && column0 == p * NR;
                __global T *cs = whole ? p0 + (batch * m + row0) * n + column0 : 0;
#else
                __global T *cs = 0;
#endif
                const bool ends = kb == blocks - 1;
                if (ends) fetch_ahead(m, n, t, p, EPILOGUE_NAMES);
                multiply(tile, cs, a, b, m, n, k, depth, last, kb > 0, ends, next, (t - tile0) * next.share, batch, row0,
                         column0, EPILOGUE_NAMES);
                if (ends && !cs)
                    finish(tile, batch, n, row0, t * MR - row0, column0, p * NR - column0, last, EPILOGUE_NAMES);
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gemm(
    __global const S *restrict as,  // of one matrix after the other, `a_stride` elements apart; 0: all the same
    __global const S *restrict bs,
    const int m, const int n, const int k,
    const ulong a_stride, const ulong b_stride, EPILOGUE_ARGUMENTS) {
    const size_t batch = get_group_id(2);
    const long rows = (m + MR - 1) / MR, columns = (n + NR - 1) / NR;  // of tiles, dealt out evenly
    const int tile0 = rows * get_group_id(0) / get_num_groups(0), tile1 = rows * (get_group_id(0) + 1) / get_num_groups(0);
    const int panel0 = columns * get_group_id(1) / get_num_groups(1);
    const int panel1 = columns * (get_group_id(1) + 1) / get_num_groups(1);
    block(as + batch * a_stride, bs + batch * b_stride, m, n, k, batch, tile0, tile1, panel0, panel1, EPILOGUE_VALUES);
}
