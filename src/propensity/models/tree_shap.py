"""Exact path-dependent TreeSHAP for LightGBM's binary models, by quadrature, many rows at a time.

For a leaf of value v, with the features F on its path, let z_f be the product of child over parent cover where the path
splits on f, and o_f whether a row goes the path's way at all of those splits. The contribution of f is

    v * (o_f - z_f) * integral over t in [0, 1] of the product over j in F but f of (z_j * (1 - t) + t * o_j)

The integrand is a polynomial of degree |F| - 1 in t: Gauss-Legendre quadrature on half as many nodes is exact. Leaves
share the beginnings of their paths, so that one walk down and up a tree does all of them (`tree_shap_kernel`). The
values are those of Lundberg et al. (2020, doi:10.1038/s42256-019-0138-9), which LightGBM's ``pred_contrib`` and
`shap.TreeExplainer` give too, to rounding.

Outside of its domain, and refused by `UnsupportedTreesError`, are linear trees (they have no contributions), more than
two classes, and trees whose children do not hold as many rows as their parent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity.models import tree_shap_kernel as kernel
from propensity.models.base import UnsupportedTreesError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROWS_OF_A_THREAD = 4_096


@dataclass(frozen=True)
class Tree:
    """One tree of a booster's text. Children at or above 0 are nodes, below 0 leaves (leaf i is ``~i``)."""

    feature: Ints
    threshold: Float64
    decision: Ints
    left: Ints
    right: Ints
    value: Float64
    leaf_count: Float64
    internal_count: Float64
    boundaries: Ints
    words: npt.NDArray[np.uint32]

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Tree:
        """Make a tree of the lines of its section."""
        if said.get("is_linear", "0") != "0":
            raise UnsupportedTreesError("linear trees have no contributions")

        def numbers(key: str, dtype: Any) -> npt.NDArray[Any]:
            return np.array(said.get(key, "").split(), dtype=dtype)

        return cls(
            feature=numbers("split_feature", np.int64),
            threshold=numbers("threshold", np.float64),
            decision=numbers("decision_type", np.int64),
            left=numbers("left_child", np.int64),
            right=numbers("right_child", np.int64),
            value=numbers("leaf_value", np.float64),
            leaf_count=numbers("leaf_count", np.float64),
            internal_count=numbers("internal_count", np.float64),
            boundaries=numbers("cat_boundaries", np.int64),
            words=numbers("cat_threshold", np.uint32),
        )

    def count(self, child: int) -> float:
        """Rows that trained a child, a node or a leaf."""
        return float(self.internal_count[child] if child >= 0 else self.leaf_count[~child])

    def leaf(self, child: int) -> float:
        """Value of a child that is a leaf; 0 for a node."""
        return 0.0 if child >= 0 else float(self.value[~child])


def read_trees(text: str) -> Iterator[Tree]:
    """The trees of a booster's text (`Booster.model_to_string`)."""
    head, *sections = re.split(r"^(?=Tree=)", text, flags=re.MULTILINE)
    if not re.search(r"^num_tree_per_iteration=1$", head, flags=re.MULTILINE):
        raise UnsupportedTreesError("the booster has more than two classes")
    for section in sections:
        lines = section.split("\n\n", 1)[0].splitlines()
        yield Tree.read(dict(line.split("=", 1) for line in lines))


class Decisions:
    """How nodes decide, with the sets of categories of all of them as bits."""

    def __init__(self) -> None:
        self.code_column: dict[int, int] = {}
        self.parts: list[npt.NDArray[np.uint8]] = [np.zeros(1, dtype=np.uint8)]
        self.count = 1

    @property
    def bits(self) -> npt.NDArray[np.uint8]:
        """The bits of all sets."""
        return np.concatenate(self.parts)

    def of(self, tree: Tree, node: int) -> tuple[int, int, int]:
        """How a node decides, as LightGBM does: kind, and the place and number of the bits of a set of categories."""
        decision, threshold = int(tree.decision[node]), float(tree.threshold[node])
        if decision & 1:
            words = tree.words[tree.boundaries[int(threshold)] : tree.boundaries[int(threshold) + 1]]
            bits = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
            place = self.count
            self.code_column.setdefault(int(tree.feature[node]), len(self.code_column))
            self.parts.append(bits)
            self.count += len(bits)
            return kernel.CATEGORY, place, len(bits)
        missing_goes_left, missing = bool(decision & 2), (decision >> 2) & 3
        zero_goes_left = threshold >= 0
        if missing == 0:  # none: a missing value counts as 0
            missing_goes_left = zero_goes_left
        if missing == 1 and missing_goes_left != zero_goes_left:  # zero: 0 is a missing value too
            return (kernel.ZERO_LEFT if missing_goes_left else kernel.ZERO_RIGHT), 0, 0
        return (kernel.MISSING_LEFT if missing_goes_left else kernel.MISSING_RIGHT), 0, 0


@dataclass(frozen=True)
class _Edge:
    """The latest split on a feature above a node: cover along all of them, its depth, and the side that was taken."""

    cover: float = 1.0
    depth: int = -1
    side: int = 0


class _Program:
    """Writes trees down as the steps of a walk."""

    def __init__(self, column: Mapping[int, int]) -> None:
        self.column = column
        self.decisions = Decisions()
        self.steps: list[tuple[Any, ...]] = []
        self.multipliers: list[npt.NDArray[np.float64]] = []
        self.multiplier_count = 0
        self.base = 0.0
        self.depth = 1
        self.most_nodes = 1

    def add(self, tree: Tree, scale: float) -> None:
        """Add a tree, its leaves times `scale`."""
        if not len(tree.feature):
            self.base += scale * float(tree.value[0])
            return
        self.base += scale * float(tree.leaf_count @ tree.value / tree.internal_count[0])
        walk, most = self._walk(tree)
        nodes = (most + 1) // 2
        self.most_nodes = max(self.most_nodes, nodes)
        places: dict[int, int] = {}
        for step, node, depth, side, edge in walk:
            left, right = int(tree.left[node]), int(tree.right[node])
            if node not in places:
                places[node] = self._add_multipliers(edge.cover, tree.count(left) / tree.internal_count[node], nodes)
            how, first, size = self.decisions.of(tree, node) if step == kernel.ENTER else (0, 0, 0)
            self.steps.append(
                (
                    step,
                    depth,
                    nodes,
                    side,
                    self.column[int(tree.feature[node])],
                    self.decisions.code_column.get(int(tree.feature[node]), 0),
                    how,
                    first,
                    size,
                    edge.depth,
                    edge.side,
                    2 * (left >= 0) + (right >= 0),
                    places[node],
                    tree.threshold[node],
                    scale * tree.leaf(left),
                    scale * tree.leaf(right),
                )
            )

    def _walk(self, tree: Tree) -> tuple[list[tuple[int, int, int, int, _Edge]], int]:
        """The walk down and up: step, node, depth, side of its parent, edge; and the most features on a path."""
        walk, most = [], 0
        todo: list[tuple[int, int, int, int, dict[int, _Edge]]] = [(kernel.ENTER, 0, 0, 0, {})]
        while todo:
            step, node, depth, side, path = todo.pop()
            feature, left, right = (int(part[node]) for part in (tree.feature, tree.left, tree.right))
            edge = path.get(feature, _Edge())
            walk.append((step, node, depth, side, edge))
            if step != kernel.ENTER:
                continue
            if tree.count(left) + tree.count(right) != tree.internal_count[node]:
                raise UnsupportedTreesError("a node's children do not hold as many rows as the node")
            most = max(most, len({*path, feature}))
            self.depth = max(self.depth, depth + 1)
            share = tree.count(left) / tree.internal_count[node]
            todo.append((kernel.LEAVE, node, depth, side, path))
            if right >= 0:
                below = {**path, feature: _Edge(edge.cover * (1 - share), depth, 1)}
                todo += [(kernel.ENTER, right, depth + 1, 1, below), (kernel.TURN, node, depth, side, path)]
            if left >= 0:
                below = {**path, feature: _Edge(edge.cover * share, depth, 0)}
                todo.append((kernel.ENTER, left, depth + 1, 0, below))
        return walk, most

    def _add_multipliers(self, cover: float, share: float, nodes: int) -> int:
        """Write down what a node multiplies by, for each node of the quadrature; return where.

        With a: the row goes left here and the path's way before, b: it goes right here and the path's way before, the
        path's product is multiplied to the left by ``c + u * a + v * b``, and the feature's contribution by
        ``k1 * a + k0 * b``. The factor of a feature that was split before is replaced, not multiplied.
        """
        t, _ = quadrature(nodes)
        before = cover * (1 - t) + t
        if_right = cover * share * (1 - t) / before
        if_left = if_right + t / before
        here = np.column_stack(
            [
                np.full(nodes, share),
                if_left - share,
                if_right - share,
                (1 - cover * share - (1 - cover) * if_left) / before,
                (-cover * share - (1 - cover) * if_right) / before,
            ]
        )
        place = self.multiplier_count
        self.multipliers.append(here)
        self.multiplier_count += nodes
        return place


@lru_cache
def quadrature(nodes: int) -> tuple[Float64, Float64]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, weight = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, weight / 2


class TreeShap:
    """Contributions of the mean of several boosters to its log-odds.

    Parameters
    ----------
    texts : sequence of str
        LightGBM's text of each booster (`Booster.model_to_string`).
    features : int
        Number of columns.

    Attributes
    ----------
    base : float
        Log-odds of the average training row.

    Raises
    ------
    UnsupportedTreesError
        When the boosters lie outside of the module's domain.

    Examples
    --------
    >>> import lightgbm as lgb
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3)).astype(np.float32)
    >>> data = lgb.Dataset(X, X[:, 0] > X[:, 1] * X[:, 2])
    >>> booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 10)
    >>> shap = TreeShap([booster.model_to_string()], 3)
    >>> bool(np.allclose(shap.base + shap(X).sum(axis=1), booster.predict(X, raw_score=True)))
    True
    """

    def __init__(self, texts: Sequence[str], features: int) -> None:
        boosters = [list(read_trees(text)) for text in texts]
        used = sorted({int(feature) for trees in boosters for tree in trees for feature in tree.feature})
        program = _Program({feature: column for column, feature in enumerate(used)})
        for trees in boosters:
            for tree in trees:
                program.add(tree, 1 / len(boosters))
        self.features = features
        self.base = program.base
        self._steps = np.array(program.steps, dtype=kernel.STEP)
        first = self._steps["split_depth"] < 0
        self._steps["split_depth"][first] = program.depth
        self._weights = np.zeros((program.most_nodes + 1, program.most_nodes))
        for nodes in range(1, program.most_nodes + 1):
            self._weights[nodes, :nodes] = quadrature(nodes)[1]
        self._multipliers = np.concatenate([np.zeros((0, 5)), *program.multipliers])
        self._bits = program.decisions.bits
        self._used = np.array(used, dtype=np.int64)
        self._coded = np.array(list(program.decisions.code_column), dtype=np.int64)
        self._depth = program.depth

    def __call__(self, X: Float32, *, threads: int = 1) -> Float64:
        """Contributions of rows, shape (n, features), log-odds; they do not depend on the number of threads."""
        out = np.zeros((len(X), self.features))
        if not len(self._used):
            return out

        def explain(start: int) -> None:
            rows = slice(start, start + _ROWS_OF_A_THREAD)
            kernel.explain(
                self._steps,
                self._multipliers,
                self._weights,
                self._bits,
                self._used,
                self._coded,
                self._depth,
                X[rows],
                out[rows],
            )

        starts = range(0, len(X), _ROWS_OF_A_THREAD)
        if threads == 1 or len(starts) == 1:
            for start in starts:
                explain(start)
        else:
            with ThreadPoolExecutor(max_workers=threads) as pool:
                list(pool.map(explain, starts))
        return out
