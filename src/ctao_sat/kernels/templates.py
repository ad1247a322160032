"""Images of sources whose shape is free: what they put into bins, and what bins say about them.

A source is a few samples S(u) on pixels u of a map; convolved with the kernel K_k of the PSF in
each true energy k they make the template ``T_k(x) = sum_u K_k(x - u) S(u)``. A block holds the
templates times a weight (exposure times energy dispersion) for the bins of one reconstructed
energy: ``values[c, r] = weights[c, r] T_k(x_r)`` with ``k = first + c``. Here templates are
gathered into blocks, and, transposed, numbers of the bins are scattered to the samples.

A table (n_blocks, 7) describes the blocks: first true energy, number of columns, number of rows,
first value in ``values`` of the plan, first row in its ``row_bin``, first pixel, first weight.
"""

from ctao_sat.kernels._jit import kernel

__all__ = [
    "FIRST_VALUE",
    "FIRST_WEIGHT",
    "add_columns",
    "collect_rows",
    "expand_rows",
    "gather_patch",
    "gather_taps",
    "scatter_patch",
    "scatter_taps",
]

#: Columns of the table in which a block begins: in the plan, or among the weights.
FIRST_VALUE, FIRST_WEIGHT = 3, 6


@kernel
def gather_patch(table, pixels, weights, psf, samples, corner, place, values):
    """Fill blocks for a source of a few pixels, convolved one by one.

    Parameters
    ----------
    table : array of int64, shape (n_blocks, 7)
        The blocks.
    pixels : array of int64, shape (n_pixels, 2)
        Pixels (y, x) of the rows.
    weights : array, shape (n_weights,)
        Column by column of each block.
    psf : array, shape (n_k, 2 h_y + 1, 2 h_x + 1)
        Kernels.
    samples : array, shape (n_y, n_x)
        Of the source.
    corner : tuple of int
        Pixel (y, x) of the first sample.
    place : int
        `FIRST_VALUE` or `FIRST_WEIGHT`.
    values : array
        Filled.
    """
    y0, y1, x0, x1 = _used(samples)
    k_y, k_x = psf.shape[1], psf.shape[2]
    for b in range(table.shape[0]):
        first, n_columns, n_rows = table[b, 0], table[b, 1], table[b, 2]
        for r in range(n_rows):
            # Element of the kernel for the first sample.
            y = pixels[table[b, 5] + r, 0] - corner[0] + k_y // 2
            x = pixels[table[b, 5] + r, 1] - corner[1] + k_x // 2
            low_y, high_y = max(y0, y - k_y + 1), min(y1, y + 1)
            low_x, high_x = max(x0, x - k_x + 1), min(x1, x + 1)
            for c in range(n_columns):
                total = 0.0
                for i in range(low_y, high_y):
                    for j in range(low_x, high_x):
                        total += samples[i, j] * psf[first + c, y - i, x - j]
                at = c * n_rows + r
                values[table[b, place] + at] = weights[table[b, 6] + at] * total


@kernel
def _used(samples):
    """Return the first and the last + 1 row, then column, in which samples are not zero."""
    y0, y1, x0, x1 = samples.shape[0], 0, samples.shape[1], 0
    for i in range(samples.shape[0]):
        for j in range(samples.shape[1]):
            if samples[i, j] != 0.0:
                y0, y1, x0, x1 = min(y0, i), max(y1, i + 1), min(x0, j), max(x1, j + 1)
    return y0, y1, x0, x1


@kernel
def scatter_patch(table, pixels, weights, psf, row_bin, bins, corner, out):
    """Add what numbers of the bins say about each sample: the transpose of `gather_patch`.

    Parameters
    ----------
    table, pixels, weights, psf : array
        See `gather_patch`.
    row_bin : array of int64
        Bin of each row of the plan.
    bins : array, shape (n_bins,)
        A number for each bin.
    corner : tuple of int
        See `gather_patch`.
    out : array, shape (n_k, n_y, n_x)
        Added to.
    """
    n_y, n_x = out.shape[1], out.shape[2]
    k_y, k_x = psf.shape[1], psf.shape[2]
    for b in range(table.shape[0]):
        first, n_columns, n_rows = table[b, 0], table[b, 1], table[b, 2]
        for r in range(n_rows):
            y = pixels[table[b, 5] + r, 0] - corner[0] + k_y // 2
            x = pixels[table[b, 5] + r, 1] - corner[1] + k_x // 2
            if y < 0 or x < 0 or y >= k_y + n_y - 1 or x >= k_x + n_x - 1:
                continue
            number = bins[row_bin[table[b, 4] + r]]
            for c in range(n_columns):
                share = number * weights[table[b, 6] + c * n_rows + r]
                for i in range(max(0, y - k_y + 1), min(n_y, y + 1)):
                    for j in range(max(0, x - k_x + 1), min(n_x, x + 1)):
                        out[first + c, i, j] += share * psf[first + c, y - i, x - j]


@kernel
def expand_rows(images, nodes, weights, out):
    """Fill the rows of a map from those of a grid, as weighted sums.

    Parameters
    ----------
    images : array, shape (n_k, n_nodes, n_x)
        On the nodes of the grid.
    nodes, weights : array, shapes (n_y, n_runs), (n_y, n_runs, n_taps)
        For each row of the map the first node of each run, or -1, and the weights of it and the
        next ones.
    out : array, shape (n_k, n_y, n_x)
        Filled.
    """
    for k in range(out.shape[0]):
        for y in range(out.shape[1]):
            out[k, y] = 0.0
            for a in range(nodes.shape[1]):
                if nodes[y, a] < 0:
                    continue
                for t in range(weights.shape[2]):
                    line, weight = images[k, nodes[y, a] + t], weights[y, a, t]
                    for x in range(out.shape[2]):
                        out[k, y, x] += weight * line[x]


@kernel
def collect_rows(images, nodes, weights, out):
    """Add the rows of a map to those of a grid: the transpose of `expand_rows`.

    Parameters
    ----------
    images : array, shape (n_k, n_y, n_x)
        On the rows of the map.
    nodes, weights : array
        See `expand_rows`.
    out : array, shape (n_k, n_nodes, n_x)
        Added to.
    """
    for k in range(out.shape[0]):
        for y in range(images.shape[1]):
            for a in range(nodes.shape[1]):
                if nodes[y, a] < 0:
                    continue
                for t in range(weights.shape[2]):
                    line, weight = out[k, nodes[y, a] + t], weights[y, a, t]
                    for x in range(out.shape[2]):
                        line[x] += weight * images[k, y, x]


@kernel
def gather_taps(table, pixels, weights, images, first_row, taps, least, place, values):
    """Fill blocks from templates whose columns are given on a grid, as weighted sums of its nodes.

    Parameters
    ----------
    table, pixels, weights : array
        See `gather_patch`.
    images : array, shape (n_k, n_rows, n_x)
        Rows of the map, columns of the grid.
    first_row : int
        The row of the map that is the first of the images.
    taps : tuple of array
        For each column of the map nodes and weights, see `expand_rows`.
    least : float
        Smaller sums are raised to it.
    place, values : int, array
        See `gather_patch`.
    """
    nodes, shares = taps
    n_runs, n_taps = nodes.shape[1], shares.shape[2]
    for b in range(table.shape[0]):
        first, n_columns, n_rows, pixel = table[b, 0], table[b, 1], table[b, 2], table[b, 5]
        # Row after row of one image: pixels are sorted.
        for c in range(n_columns):
            image = images[first + c]
            to, weight = table[b, place] + c * n_rows, table[b, 6] + c * n_rows
            for r in range(n_rows):
                y, x = pixels[pixel + r, 0] - first_row, pixels[pixel + r, 1]
                total = 0.0
                if y >= 0 and y < image.shape[0]:
                    for a in range(n_runs):
                        node = nodes[x, a]
                        if node >= 0:
                            for t in range(n_taps):
                                total += shares[x, a, t] * image[y, node + t]
                    total = max(total, least)
                values[to + r] = weights[weight + r] * total


@kernel
def scatter_taps(table, pixels, weights, first_row, taps, row_bin, bins, out):
    """Add numbers of the bins to the nodes of a grid: the transpose of `gather_taps`.

    Parameters
    ----------
    table, pixels, weights, first_row, taps, row_bin, bins : array, int or tuple
        See `gather_taps` and `scatter_patch`.
    out : array, shape (n_k, n_rows, n_x)
        Added to.
    """
    nodes, shares = taps
    n_runs, n_taps = nodes.shape[1], shares.shape[2]
    for b in range(table.shape[0]):
        first, n_columns, n_rows, pixel = table[b, 0], table[b, 1], table[b, 2], table[b, 5]
        for c in range(n_columns):
            image, weight = out[first + c], table[b, 6] + c * n_rows
            for r in range(n_rows):
                y, x = pixels[pixel + r, 0] - first_row, pixels[pixel + r, 1]
                if y < 0 or y >= image.shape[0]:
                    continue
                share = bins[row_bin[table[b, 4] + r]] * weights[weight + r]
                for a in range(n_runs):
                    node = nodes[x, a]
                    if node >= 0:
                        for t in range(n_taps):
                            image[y, node + t] += share * shares[x, a, t]


@kernel
def add_columns(table, values, f, row_bin, bins):
    """Add the columns of blocks, each times its factor, to the bins.

    Parameters
    ----------
    table : array
        See `scatter_patch`.
    values : array
        As filled with `FIRST_WEIGHT`.
    f : array, shape (n_k,)
        Factors.
    row_bin : array of int64
        Bin of each row of the plan.
    bins : array, shape (n_bins,)
        Added to.
    """
    for b in range(table.shape[0]):
        first, n_columns, n_rows = table[b, 0], table[b, 1], table[b, 2]
        for c in range(n_columns):
            start = table[b, 6] + c * n_rows
            for r in range(n_rows):
                bins[row_bin[table[b, 4] + r]] += f[first + c] * values[start + r]
