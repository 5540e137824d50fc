// The epilogue of a product that somebody else has computed into `values`, for instance reikna.
//
// The text before this file defines epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which stores.
#ifndef T
#define T float  // float or double
#endif

// One work-item an element: (columns, rows, matrices).
__kernel void gemm_finish(__global const T *restrict values, EPILOGUE_ARGUMENTS) {
    const int column = get_global_id(0), row = get_global_id(1);
    const size_t batch = get_global_id(2);
    const T value = values[(batch * get_global_size(1) + row) * get_global_size(0) + column];
    epilogue(value, batch, row, column, EPILOGUE_VALUES);
}
