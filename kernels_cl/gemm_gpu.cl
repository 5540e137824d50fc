// C = op(A) op(B) on a GPU: a work-group computes a tile of C, TM x TN, from tiles of A and B in local memory.
//
// k runs in steps of TK. Work-items fetch the next step's elements into registers while they multiply this one's, and
// each keeps RM x RN sums: one block of 4 x 4, or four, half a tile apart, so that neighbours read neighbouring banks.
// Elements beyond A and B are fetched as zeros. Every element of C is one chain of multiply-adds, k ascending.
//
// The text before this file defines epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which stores.
#ifndef T
#define T float        // float or double
#endif
#ifndef TM
#define TM 64          // rows of a tile
#endif
#ifndef TN
#define TN 64          // columns of a tile
#endif
#ifndef TK
#define TK 16          // steps of k that lie in local memory
#endif
#ifndef RM
#define RM 4           // rows of a work-item, a multiple of 4
#endif
#ifndef RN
#define RN 4           // columns of a work-item, a multiple of 4
#endif
#ifndef TRANSPOSE_A
#define TRANSPOSE_A 0  // A is (k, m) instead of (m, k)
#endif
#ifndef TRANSPOSE_B
#define TRANSPOSE_B 0  // B is (n, k) instead of (k, n)
#endif

#ifndef HALF
#define HALF 0         // 1: A and B lie in memory as half
#endif

#if HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define S half         // type of an element of A and B in memory
#else
#define S T
#endif
#define ACROSS (TN / RN)        // work-items side by side
#define DOWN (TM / RM)          // and below each other
#define ITEMS (ACROSS * DOWN)
#define PAD 4                   // keeps rows of local memory in different banks, and blocks of 4 aligned
#define ROW(i) ((i) / 4 * 4 * DOWN + y * 4 + (i) % 4)       // where row i of a work-item lies in the tile
#define COLUMN(j) ((j) / 4 * 4 * ACROSS + x * 4 + (j) % 4)

// The place of element e in a tile of k-steps by rows (or columns): neighbours lie side by side in global memory.
#define STEP(e, side, along) ((along) ? (e) % TK : (e) / (side))
#define PLACE(e, side, along) ((along) ? (e) / TK : (e) % (side))

typedef struct {
    T a[TM * TK / ITEMS], b[TN * TK / ITEMS];
} fetched;

static inline void fetch(fetched *next, __global const S *restrict as, __global const S *restrict bs, const int m,
                         const int n, const int k, const int row0, const int column0, const int k0, const int item) {
    #pragma unroll
    for (int e = 0; e < TM * TK / ITEMS; e++) {
        const int i = row0 + PLACE(e * ITEMS + item, TM, !TRANSPOSE_A), kk = k0 + STEP(e * ITEMS + item, TM, !TRANSPOSE_A);
        next->a[e] = i < m && kk < k ? as[TRANSPOSE_A ? (size_t)kk * m + i : (size_t)i * k + kk] : 0;
    }
    #pragma unroll
    for (int e = 0; e < TN * TK / ITEMS; e++) {
        const int j = column0 + PLACE(e * ITEMS + item, TN, TRANSPOSE_B), kk = k0 + STEP(e * ITEMS + item, TN, TRANSPOSE_B);
        next->b[e] = j < n && kk < k ? bs[TRANSPOSE_B ? (size_t)j * k + kk : (size_t)kk * n + j] : 0;
    }
}

static inline void put(const fetched *next, __local T (*a)[TM + PAD], __local T (*b)[TN + PAD], const int item) {
    #pragma unroll
    for (int e = 0; e < TM * TK / ITEMS; e++)
        a[STEP(e * ITEMS + item, TM, !TRANSPOSE_A)][PLACE(e * ITEMS + item, TM, !TRANSPOSE_A)] = next->a[e];
    #pragma unroll
    for (int e = 0; e < TN * TK / ITEMS; e++)
        b[STEP(e * ITEMS + item, TN, TRANSPOSE_B)][PLACE(e * ITEMS + item, TN, TRANSPOSE_B)] = next->b[e];
}

__kernel __attribute__((reqd_work_group_size(ACROSS, DOWN, 1))) void gemm(
    __global const S *restrict as,  // of one matrix after the other, `a_stride` elements apart; 0: all the same
    __global const S *restrict bs,
    const int m, const int n, const int k, const int batches, const ulong a_stride, const ulong b_stride,
    EPILOGUE_ARGUMENTS) {
    __local T a[TK][TM + PAD], b[TK][TN + PAD];
    const int x = get_local_id(0), y = get_local_id(1), item = y * ACROSS + x;
    const int row0 = get_group_id(1) * TM, column0 = get_group_id(0) * TN;

    for (size_t batch = get_group_id(2); batch < batches; batch += get_num_groups(2)) {
        T c[RM][RN];
        #pragma unroll
        for (int i = 0; i < RM; i++)
            #pragma unroll
            for (int j = 0; j < RN; j++) c[i][j] = 0;

        fetched next;
        fetch(&next, as + batch * a_stride, bs + batch * b_stride, m, n, k, row0, column0, 0, item);
        for (int k0 = 0; k0 < k; k0 += TK) {
            put(&next, a, b, item);
            barrier(CLK_LOCAL_MEM_FENCE);
            fetch(&next, as + batch * a_stride, bs + batch * b_stride, m, n, k, row0, column0, k0 + TK, item);
            #pragma unroll
            for (int kk = 0; kk < TK; kk++) {
                T row[RN];
                #pragma unroll
                for (int j = 0; j < RN; j++) row[j] = b[kk][COLUMN(j)];
                #pragma unroll
                for (int i = 0; i < RM; i++)
                    #pragma unroll
                    for (int j = 0; j < RN; j++) c[i][j] = a[kk][ROW(i)] * row[j] + c[i][j];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }

        #pragma unroll
        for (int i = 0; i < RM; i++)
            #pragma unroll
            for (int j = 0; j < RN; j++)
                if (row0 + ROW(i) < m && column0 + COLUMN(j) < n)
                    epilogue(c[i][j], batch, row0 + ROW(i), column0 + COLUMN(j), EPILOGUE_VALUES);
    }
}
