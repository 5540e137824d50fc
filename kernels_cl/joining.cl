// EACH(parts, x, y, z, call): `call` for each work-group of a launch of x by y by z, shared by WORKERS cores.
//
// Each core has a work-group of the kernel that says this. A launch is cut into parts, some for each core, which draws
// its own in order, then those that others have left. Whoever has drawn a part waits, spinning, until all parts of the
// launches before are done. So cores may come late, or never: who is there does what there is. A core does the same part
// at each repetition, and finds its data in its own cache.
//
// drawn[core * LINE]: how many parts of that core have been drawn, by it or by others, in all launches so far;
// drawn[WORKERS * LINE]: how many parts are done; drawn[(WORKERS + 1) * LINE]: how many cores have left. All are 0
// before, and again when the last has left. `me`: the core; `own`: parts of each core in the launches so far.
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef LINE
#define LINE 32  // elements between counters
#endif

#if WORKERS == 1
#define EACH(parts, x, y, z, call) do { \
    const size_t groups[3] = {x, y, z}; \
    size_t group[3]; \
    for (group[2] = 0; group[2] < groups[2]; group[2]++) \
        for (group[1] = 0; group[1] < groups[1]; group[1]++) \
            for (group[0] = 0; group[0] < groups[0]; group[0]++) call; \
} while (0)
#else
// How many parts are left of those up to `end`, this one included; 0: none, and none is drawn.
static int draw(volatile __global uint *drawn, const uint end) {
    uint part = *drawn;
    while ((int)(end - part) > 0) {
        const uint found = atomic_cmpxchg(drawn, part, part + 1);
        if (found == part) return end - part;
        part = found;
    }
    return 0;
}

#define EACH(parts, x, y, z, call) do { \
    const size_t groups[3] = {x, y, z}; \
    const int all = (x) * (y) * (z), each = ((parts) + WORKERS - 1) / WORKERS; \
    own += each; \
    for (int turn = 0; turn < WORKERS; turn++) { \
        const int home = (me + turn) % WORKERS; \
        for (int left; (left = draw(drawn + home * LINE, own)) > 0;) { \
            while ((int)(drawn[WORKERS * LINE] - (own - each) * WORKERS) < 0); \
            mem_fence(CLK_GLOBAL_MEM_FENCE); \
            const long part = home * each + each - left; \
            const int end = all * min(part + 1, (long)(parts)) / (parts); \
            for (int i = all * min(part, (long)(parts)) / (parts); i < end; i++) { \
                const size_t group[3] = {i % groups[0], i / groups[0] % groups[1], i / groups[0] / groups[1]}; \
                call; \
            } \
            mem_fence(CLK_GLOBAL_MEM_FENCE); \
            atomic_inc(drawn + WORKERS * LINE); \
        } \
    } \
} while (0)
#define LEAVE() \
    if (atomic_inc(drawn + (WORKERS + 1) * LINE) == WORKERS - 1) \
        for (int i = 0; i < WORKERS + 2; i++) drawn[i * LINE] = 0
#undef get_group_id  // from here on it is the kernel's own
#endif
