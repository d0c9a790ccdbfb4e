/* The convolution and its gradients, each in the form that suits its sizes, for one dtype: REAL and NAME are
   set by convolution.h; convolution_forms.h says which. A window as large as the image makes a dense layer,
   x (n, taps) by weight (filters, taps). */

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* y = relu?(bias + x * weight); a null bias is 0. */
static void NAME(convolve)(const convolution *o, const REAL *x, const REAL *weight, const REAL *bias, REAL *y,
                           int relu, int64_t thread, int64_t threads) {
    const int64_t taps = o->c * o->r * o->s;
    if (is_dense(o))
        NAME(matmul)(o->n, o->filters, taps, x, taps, 1, weight, 1, taps, y, bias, NULL, relu, thread, threads);
    else if (is_depthwise(o)) NAME(convolve_depthwise)(o, x, weight, bias, y, relu, thread, threads);
    else if (plane_rows_suit(o, LANES))
        NAME(convolve_plane_rows)(o, x, weight, bias, NULL, y, relu, 0, thread, threads);
    else if (winograd_suits(o)) {
        const NAME(winograd) p = NAME(winograd_forward)(o, x, weight, bias, y, relu);
        NAME(convolve_winograd)(&p, thread, threads);
    } else if (winograd_rows_suit(o, LANES))
        NAME(convolve_winograd_rows)(o, x, weight, bias, NULL, y, relu, 0, thread, threads);
    else NAME(convolve_direct)(o, x, weight, bias, NULL, y, relu, 0, thread, threads);
}

/* dx[e, i, j] = Σ dy[f, p, q] weight[f, e, u, v] over f, u, v, where p · stride = i + pad − u · dilation; 0 where
   the mask, unless that is NULL, isn't positive. */
static void NAME(convolve_backward_input)(const convolution *o, const REAL *dy, const REAL *weight,
                                          const REAL *mask, REAL *dx, int64_t thread, int64_t threads) {
    const int64_t taps = o->c * o->r * o->s;
    if (is_dense(o))
        NAME(matmul)(o->n, taps, o->filters, dy, o->filters, 1, weight, taps, 1, dx, NULL, mask, 0, thread, threads);
    else if (is_depthwise(o) && o->stride_h == 1 && o->stride_w == 1)
        NAME(convolve_depthwise_input)(o, dy, weight, mask, dx, thread, threads);
    else if (plane_rows_suit_input(o, LANES)) {
        const convolution back = turned_convolution(o);
        NAME(convolve_plane_rows)(&back, dy, weight, NULL, mask, dx, 0, 1, thread, threads);
    } else if (winograd_suits_input(o)) {
        const NAME(winograd) p = NAME(winograd_input)(o, dy, weight, mask, dx);
        NAME(convolve_winograd)(&p, thread, threads);
    } else if (winograd_rows_suit_input(o, LANES)) {
        const convolution back = turned_convolution(o);
        NAME(convolve_winograd_rows)(&back, dy, weight, NULL, mask, dx, 0, 1, thread, threads);
    } else if (turned_suits(o, LANES)) {
        const convolution back = turned_convolution(o);
        NAME(convolve_direct)(&back, dy, weight, NULL, mask, dx, 0, 1, thread, threads);
    } else if (scatter_suits(o, LANES))
        NAME(convolve_scattered_input)(o, dy, weight, mask, dx, thread, threads);
    else if (images_suit_input(o) && images_in_blocks(o->n)) {
        pooled_convolution blocks = {.o = *o, .pool = 1};
        convolution rest = *o;
        blocks.o.n = images_in_blocks(o->n);
        NAME(convolve_images_input)(&blocks, dy, NULL, weight, mask, dx, thread, threads);
        dy += blocks.o.n * o->filters * o->out_h * o->out_w;
        dx += blocks.o.n * o->c * o->h * o->w;
        if (mask) mask += blocks.o.n * o->c * o->h * o->w;
        rest.n = o->n - blocks.o.n;
        if (rest.n) NAME(convolve_direct_input)(&rest, dy, weight, mask, dx, thread, threads);
    } else NAME(convolve_direct_input)(o, dy, weight, mask, dx, thread, threads);
}

/* dweight[f, e, u, v] = Σ dy[f, p, q] x[e, i, j] over images and output pixels; dbias[f] = Σ dy[f], unless it is
   NULL. */
static void NAME(convolve_backward_weight)(const convolution *o, const REAL *x, const REAL *dy, REAL *dweight,
                                           REAL *dbias, int64_t thread, int64_t threads) {
    const int64_t taps = o->c * o->r * o->s;
    if (is_dense(o)) {
        NAME(matmul)(o->filters, taps, o->n, dy, 1, o->filters, x, taps, 1, dweight, NULL, NULL, 0, thread, threads);
        if (dbias)
            NAME(column_sums)(o->n, o->filters, dy, o->filters * thread / threads,
                              o->filters * (thread + 1) / threads, dbias);
    } else if (is_depthwise(o)) NAME(convolve_depthwise_weight)(o, x, dy, dweight, dbias, thread, threads);
    else if (images_suit_weight(o, LANES)) {
        const pooled_convolution apart = {.o = *o, .pool = 1};
        NAME(convolve_images_weight)(&apart, x, dy, NULL, dweight, dbias, thread, threads);
    } else if (plane_rows_suit_weight(o, LANES))
        NAME(convolve_plane_rows_weight)(o, x, dy, dweight, dbias, thread, threads);
    else if (winograd_suits_weight(o)) NAME(convolve_winograd_weight)(o, x, dy, dweight, dbias, thread, threads);
    else NAME(convolve_direct_weight)(o, x, dy, dweight, dbias, thread, threads);
}

/* --- a convolution and the max pool after it in one --------------------------------------------------------- */

/* As convolve_images makes it or, of 2 x 2 pixels, Winograd's form where it is convolve's too; that finds no places. */
static void NAME(convolve_pool)(const pooled_convolution *p, const REAL *x, const REAL *weight, const REAL *bias,
                                REAL *y, uint8_t *place, int64_t thread, int64_t threads) {
    if (!place && p->pool == 2 && winograd_suits(&p->o)) {
        const NAME(winograd) problem = NAME(winograd_forward)(&p->o, x, weight, bias, y, (int)p->relu);
        if (problem.kind == WINOGRAD_3) NAME(run_winograd_images)(WINOGRAD_3, &problem, p, thread, threads);
        else NAME(run_winograd_images)(WINOGRAD_5, &problem, p, thread, threads);
    } else NAME(convolve_images)(p, x, weight, bias, y, place, thread, threads);
}

#undef LANES
