// The gradient of a gather: rows of dys are added to the rows of a table that they were gathered from.
//
// A work-item owns some rows of the table (on a GPU: one column of them) and walks all indices in order, so there are no
// atomics, and a sum's order is that of the indices. Rows outside count as the first or the last, as the gather takes them.
#ifndef T
#define T float      // float or double
#endif
#ifndef INDEX
#define INDEX int    // any integer
#endif
#ifndef GPU
#define GPU 0        // a work-item has one column instead of all
#endif

__kernel void gather_backward(__global T *restrict dxs, __global const T *restrict dys,
                              __global const INDEX *restrict indices, const int rows, const int columns,
                              const int count,          // of the indices
                              const int repeat,         // of them in a row that a row of dys is for
                              const int rows_of_item) {
    const int begin = get_global_id(1) * rows_of_item, end = min(begin + rows_of_item, rows);
#if GPU
    const int first = get_global_id(0), stop = min(first + 1, columns);
#else
    const int first = 0, stop = columns;
#endif
    for (int row = begin; row < end; row++)
        for (int j = first; j < stop; j++) dxs[(size_t)row * columns + j] = 0;
    for (int i = 0; i < count; i++) {
        const INDEX index = indices[i];
        const int row = index < 0 ? 0 : index < rows ? (int)index : rows - 1;
        if (row < begin || row >= end) continue;
        __global T *dx = dxs + (size_t)row * columns;
        __global const T *dy = dys + (size_t)(i / repeat) * columns;
        for (int j = first; j < stop; j++) dx[j] += dy[j];
    }
}
