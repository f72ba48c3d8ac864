"""The compiled walk of `tree_shap`: down and up each tree, a block of rows side by side.

For each node of the quadrature, `product` holds at each depth the weight times the product of the path's factors, and
`below` what the leaves under each child come to. At a node with the children A (left) and B (right), and the
multiplier m:

    down   product(A) = m * product, product(B) = (1 - m) * product
    up     below = below(B) + m * (below(A) - below(B))
           contribution += product * (below(A) - below(B)) * (k1 * a + k0 * b), summed over the quadrature
"""

import numba
import numpy as np

import propensity.compiled  # noqa: F401

ENTER, TURN, LEAVE = 0, 1, 2
"""Steps at a node: before its left child, before its right child, and after both."""
MISSING_RIGHT, MISSING_LEFT, ZERO_RIGHT, ZERO_LEFT, CATEGORY = 0, 1, 2, 3, 4
"""How a node decides: by a threshold, missing values (or 0 and them) going right or left; or by a set of categories."""
STEP = np.dtype(
    [
        ("step", np.int32),
        ("depth", np.int32),
        ("nodes", np.int32),  # of the quadrature
        ("side", np.int32),  # of the parent: 0 left, 1 right
        ("column", np.int32),
        ("code_column", np.int32),  # where the column's values are categories
        ("how", np.int32),
        ("first_bit", np.int32),
        ("bits", np.int32),
        ("split_depth", np.int32),  # where the path split on the feature last; below all depths: nowhere
        ("split_side", np.int32),
        ("inner", np.int32),  # 2 if the left child is a node, plus 1 if the right one is
        ("multipliers", np.int32),
        ("threshold", np.float64),
        ("left_value", np.float64),  # of a leaf
        ("right_value", np.float64),
    ],
    align=True,
)
LANES = 256
"""Rows side by side: enough to outweigh what a step costs by itself, few enough for the processor's cache."""
_NO_CATEGORY = np.uint32(0xFFFFFFFF)
_MOST_CATEGORIES = 2.0**31
_TINY = np.float32(1e-35)
"""LightGBM takes numbers up to this for 0."""


@numba.njit(cache=True, nogil=True)
def explain(steps, multipliers, weights, bits, used, coded, depth, X, out):  # type: ignore[no-untyped-def]
    """Add each row's contributions to `out`, shape (n, features)."""
    values = np.zeros((len(used), LANES), dtype=np.float32)
    codes = np.zeros((len(coded), LANES), dtype=np.uint32)
    contribution = np.zeros((len(used), LANES))
    # Whether a row goes left, and right, at the node of each depth, and went the path's way at the splits on the same
    # feature before. The last stays 1: there was none.
    goes = np.ones((depth + 1, 2, LANES))
    product = np.zeros((depth + 1, weights.shape[1], LANES))
    below = np.zeros((depth + 1, 2, weights.shape[1], LANES))
    for start in range(0, len(X), LANES):
        rows = min(LANES, len(X) - start)
        _read(X, start, rows, used, coded, values, codes)
        contribution[:] = 0.0
        for k in range(len(steps)):
            at = steps[k]
            step, d, nodes, inner, place = at.step, at.depth, at.nodes, at.inner, at.multipliers
            if step == ENTER:
                if d == 0:
                    for q in range(nodes):
                        product[0, q, :] = weights[nodes, q]
                before = goes[at.split_depth, at.split_side]
                if at.how == CATEGORY:
                    _decide_category(codes[at.code_column], bits, at.first_bit, at.bits, before, goes[d])
                else:
                    _decide(values[at.column], at.threshold, at.how, before, goes[d])
                for i in range(LANES):
                    goes[d, 1, i] = before[i] - goes[d, 0, i]
                if inner >= 2:
                    _go_down(product, goes[d], multipliers, place, d, nodes, 0.0, 1.0)
            elif step == TURN:
                _go_down(product, goes[d], multipliers, place, d, nodes, 1.0, -1.0)
            else:
                own, leaves = contribution[at.column], (at.left_value, at.right_value)
                _go_up(product, below, own, goes[d], multipliers, place, d, nodes, at.side, inner, leaves)
        for j in range(len(used)):
            for i in range(rows):
                out[start + i, used[j]] = contribution[j, i]


@numba.njit(cache=True, nogil=True)
def _read(X, start, rows, used, coded, values, codes):  # type: ignore[no-untyped-def]
    """Read a block of rows column by column, numbers as LightGBM takes them, and categories as codes."""
    for j in range(len(used)):
        for i in range(rows):
            value = X[start + i, used[j]]
            values[j, i] = np.float32(0.0) if abs(value) <= _TINY else value
    for j in range(len(coded)):
        for i in range(rows):
            # Towards 0, so that -0.5 is category 0; a missing or negative value is none.
            value = np.float64(X[start + i, coded[j]])
            codes[j, i] = np.uint32(value) if -1.0 < value < _MOST_CATEGORIES else _NO_CATEGORY


@numba.njit(cache=True, nogil=True)
def _decide(values, threshold, how, before, goes):  # type: ignore[no-untyped-def]
    """Send rows left or right by a threshold."""
    n = len(values)
    if how == MISSING_RIGHT:
        for i in range(n):
            goes[0, i] = before[i] if values[i] <= threshold else 0.0
    elif how == MISSING_LEFT:
        for i in range(n):
            goes[0, i] = 0.0 if values[i] > threshold else before[i]
    else:
        for i in range(n):
            missing = values[i] == 0.0 or np.isnan(values[i])
            left = how == ZERO_LEFT if missing else values[i] <= threshold
            goes[0, i] = before[i] if left else 0.0


@numba.njit(cache=True, nogil=True)
def _decide_category(codes, bits, first, size, before, goes):  # type: ignore[no-untyped-def]
    """Send rows left whose category is in a node's set."""
    for i in range(len(codes)):
        # Multiplied, not asked: a branch that goes either way costs more.
        goes[0, i] = before[i] * bits[first + codes[i]] if codes[i] < size else 0.0


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _go_down(product, goes, multipliers, place, d, nodes, plus, sign):  # type: ignore[no-untyped-def]
    """Multiply the path's product by what a child adds to it: m to the left (0, 1), 1 - m to the right (1, -1)."""
    for q in range(nodes):
        p = place + q
        c, u, v = plus + sign * multipliers[p, 0], sign * multipliers[p, 1], sign * multipliers[p, 2]
        for i in range(product.shape[2]):
            product[d + 1, q, i] = product[d, q, i] * (c + u * goes[0, i] + v * goes[1, i])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _go_up(product, below, contribution, goes, multipliers, place, d, nodes, side, inner, leaves):  # type: ignore[no-untyped-def]
    """Put a node's children together, and add what the node's feature contributes.

    A child that is a leaf has one value for all rows: each case has its own loop, which keeps the loops free of tests.
    """
    n = product.shape[2]
    for q in range(nodes):
        p = place + q
        c, u, v, k, h = multipliers[p, 0], multipliers[p, 1], multipliers[p, 2], multipliers[p, 3], multipliers[p, 4]
        if inner == 3:
            for i in range(n):
                right = below[d + 1, 1, q, i]
                apart = below[d + 1, 0, q, i] - right
                below[d, side, q, i] = right + (c + u * goes[0, i] + v * goes[1, i]) * apart
                contribution[i] += product[d, q, i] * apart * (k * goes[0, i] + h * goes[1, i])
        elif inner == 2:
            right = leaves[1]
            for i in range(n):
                apart = below[d + 1, 0, q, i] - right
                below[d, side, q, i] = right + (c + u * goes[0, i] + v * goes[1, i]) * apart
                contribution[i] += product[d, q, i] * apart * (k * goes[0, i] + h * goes[1, i])
        elif inner == 1:
            for i in range(n):
                right = below[d + 1, 1, q, i]
                apart = leaves[0] - right
                below[d, side, q, i] = right + (c + u * goes[0, i] + v * goes[1, i]) * apart
                contribution[i] += product[d, q, i] * apart * (k * goes[0, i] + h * goes[1, i])
        else:
            right, apart = leaves[1], leaves[0] - leaves[1]
            for i in range(n):
                below[d, side, q, i] = right + (c + u * goes[0, i] + v * goes[1, i]) * apart
                contribution[i] += product[d, q, i] * apart * (k * goes[0, i] + h * goes[1, i])
