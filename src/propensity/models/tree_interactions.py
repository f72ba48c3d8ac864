"""Exact path-dependent SHAP interaction values for LightGBM's binary models, with categories and missing values.

With v, z_f and o_f of a leaf as in `tree_shap`, features i and j of its path add to their interaction

    v * (o_i - z_i) * (o_j - z_j) * integral over t in [0, 1] of the product over all others of (z_k (1 - t) + t o_k)

which is the Shapley interaction index (Grabisch and Roubens, 1999, doi:10.1007/s001820050125): the second derivative of
the path's multilinear extension, where `tree_shap` has the first. It is shared out between (i, j) and (j, i), and taken
from the main effects, as by Lundberg et al. (2020, doi:10.1038/s42256-019-0138-9): a row's matrix adds up to its
contributions. `shap.TreeExplainer` gives the same for trees without categories; with many categories its interactions
do not add up.
"""

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

import propensity.compiled  # noqa: F401
from propensity.models import tree_shap_kernel as kernel
from propensity.models.base import UnsupportedTreesError
from propensity.models.tree_shap import Decisions, Tree, quadrature, read_trees

Float64 = npt.NDArray[np.float64]
_NODE = np.dtype(
    [
        ("column", np.int32),
        ("how", np.int32),
        ("first_bit", np.int32),
        ("bits", np.int32),
        ("threshold", np.float64),
    ],
    align=True,
)
_TINY = np.float32(1e-35)
_MOST_CATEGORIES = 2.0**31


class TreeInteractions:
    """Interactions of the mean of several boosters.

    Parameters
    ----------
    texts : sequence of str
        LightGBM's text of each booster (`Booster.model_to_string`).
    features : int
        Number of columns.

    Raises
    ------
    UnsupportedTreesError
        As for `tree_shap.TreeShap`.

    Examples
    --------
    >>> import lightgbm as lgb
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3)).astype(np.float32)
    >>> data = lgb.Dataset(X, X[:, 0] * X[:, 1] > 0)
    >>> booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 10)
    >>> phi = TreeInteractions([booster.model_to_string()], 3)(X)
    >>> bool(np.allclose(phi.sum(axis=2), booster.predict(X, pred_contrib=True)[:, :-1]))
    True
    >>> bool(np.abs(phi[:, 0, 1]).mean() > 10 * np.abs(phi[:, 0, 2]).mean())
    True
    """

    def __init__(self, texts: Sequence[str], features: int) -> None:
        self.features = features
        self._decisions = Decisions()
        self._nodes: list[tuple[int, int, int, int, float]] = []
        self._leaves: list[tuple[int, int, float]] = []  # where its conditions and its features end, and its value
        self._conditions: list[tuple[int, int, int]] = []  # the feature's place on the path, node, side
        self._path: list[tuple[int, float]] = []  # column and z
        most = 1
        for text in texts:
            for tree in read_trees(text):
                most = max(most, self._add(tree, 1 / len(texts)))
        self._tables = (
            np.array(self._nodes, dtype=_NODE),
            np.array(self._leaves, dtype=np.float64).reshape(-1, 3),
            np.array(self._conditions, dtype=np.int64).reshape(-1, 3),
            np.array(self._path, dtype=np.float64).reshape(-1, 2),
            self._decisions.bits,
        )
        self._quadrature = np.zeros((2, (most + 1) // 2 + 1, (most + 1) // 2))
        for nodes in range(1, self._quadrature.shape[1]):
            self._quadrature[:, nodes, :nodes] = quadrature(nodes)

    def _add(self, tree: Tree, scale: float) -> int:
        """Write a tree's leaves down; the most features on a path."""
        if not len(tree.feature):
            return 0
        first, most = len(self._nodes), 0
        for node in range(len(tree.feature)):
            how, bit, size = self._decisions.of(tree, node)
            self._nodes.append((int(tree.feature[node]), how, bit, size, float(tree.threshold[node])))
        todo: list[tuple[int, list[tuple[int, int]]]] = [(0, [])]
        while todo:
            at, taken = todo.pop()
            if at >= 0:
                left, right = int(tree.left[at]), int(tree.right[at])
                if tree.count(left) + tree.count(right) != tree.internal_count[at]:
                    raise UnsupportedTreesError("a node's children do not hold as many rows as the node")
                todo += [(right, [*taken, (at, 1)]), (left, [*taken, (at, 0)])]
                continue
            covers: dict[int, float] = {}
            for node, side in taken:
                child = int((tree.right if side else tree.left)[node])
                share = tree.count(child) / float(tree.internal_count[node])
                column = int(tree.feature[node])
                covers[column] = covers.get(column, 1.0) * share
            place = {column: k for k, column in enumerate(covers)}
            self._conditions += [(place[int(tree.feature[node])], first + node, side) for node, side in taken]
            self._path += list(covers.items())
            self._leaves.append((len(self._conditions), len(self._path), scale * tree.leaf(at)))
            most = max(most, len(covers))
        return most

    def __call__(self, X: npt.NDArray[np.float32]) -> Float64:
        """Interactions of rows, shape (n, features, features), log-odds; main effects stand on the diagonal."""
        out = np.zeros((len(X), self.features, self.features))
        if len(self._nodes):
            _interact(np.ascontiguousarray(X, dtype=np.float32), *self._tables, self._quadrature, out)
        return out


@numba.njit(cache=True, nogil=True)
def _interact(X, nodes, leaves, conditions, path, bits, quadrature, out):  # type: ignore[no-untyped-def]
    """Add each row's interactions to `out`."""
    most = quadrature.shape[2] * 2 + 1
    left = np.zeros(len(nodes), dtype=np.bool_)
    goes, apart, factor = np.zeros(most), np.zeros(most), np.zeros(most)
    for i in range(len(X)):
        for n in range(len(nodes)):
            left[n] = _goes_left(X[i, nodes[n].column], nodes[n], bits)
        condition, first = 0, 0
        for k in range(len(leaves)):
            stop, end, value = int(leaves[k, 0]), int(leaves[k, 1]), leaves[k, 2]
            d = end - first
            goes[:d] = 1.0
            while condition < stop:
                if left[conditions[condition, 1]] != (conditions[condition, 2] == 0):
                    goes[conditions[condition, 0]] = 0.0
                condition += 1
            q_count = (d + 1) // 2
            for q in range(q_count):
                t = quadrature[0, q_count, q]
                product = quadrature[1, q_count, q] * value
                for a in range(d):
                    z = path[first + a, 1]
                    apart[a] = goes[a] - z
                    factor[a] = z * (1.0 - t) + t * goes[a]
                    product *= factor[a]
                for a in range(d):
                    row = int(path[first + a, 0])
                    own = product * apart[a] / factor[a]
                    out[i, row, row] += own
                    for b in range(a):
                        column = int(path[first + b, 0])
                        both = 0.5 * own * apart[b] / factor[b]
                        out[i, row, column] += both
                        out[i, column, row] += both
                        out[i, row, row] -= both
                        out[i, column, column] -= both
            first = end


@numba.njit(cache=True, nogil=True)
def _goes_left(value, node, bits):  # type: ignore[no-untyped-def]
    """Decide as LightGBM does: see `tree_shap_kernel`."""
    if node.how == kernel.CATEGORY:
        number = np.float64(value)
        if not (-1.0 < number < _MOST_CATEGORIES):
            return False
        code = int(number)
        return code < node.bits and bits[node.first_bit + code] != 0
    if abs(value) <= _TINY:
        value = np.float32(0.0)
    if node.how == kernel.MISSING_RIGHT:
        return value <= node.threshold
    if node.how == kernel.MISSING_LEFT:
        return not value > node.threshold
    if value == 0.0 or np.isnan(value):
        return node.how == kernel.ZERO_LEFT
    return value <= node.threshold
