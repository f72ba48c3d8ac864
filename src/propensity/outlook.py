"""What a list may be expected to hold at each depth, and whom it leaves out, as the test prospects tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.bundle import QUANTILE, Bundle
from propensity.config import Study
from propensity.evaluation.fairness import fairness_table
from propensity.evaluation.ranking import rows_at
from propensity.features.catalogue import Feature
from propensity.features.matrix import Frame, decode
from propensity.rules.qualification import PASS, qualify
from propensity.scoring import best_first
from propensity.training import Training
from propensity.value import expected_values

Floats = npt.NDArray[np.float64]
_BANDS = 4
_MOST_VALUES = 6
"""Numbers with more values than this are compared in bands."""


def depths(bundle: Bundle, ranked: pd.DataFrame, X: pd.DataFrame, captured: Floats | None) -> list[dict[str, Any]]:
    """What to expect of contacting the first of a list, at each hundredth of it.

    Parameters
    ----------
    ranked : DataFrame, n rows
        The prospect list.
    X : DataFrame of float32, shape (n, features)
        Feature rows in the list's order.
    captured : ndarray of shape (m + 1,), or None
        From `captured_by_share`.

    Returns
    -------
    list of dict
        ``contacts``, ``share``, ``buyers`` (expected) with its 90 % interval ``low`` and ``high`` (chance, and what the
        model does not know: see `Bundle.running_error`), and ``captured``: the share of buyers that it held on test.
    """
    n = len(ranked)
    probability = ranked["probability"].to_numpy()
    chance = np.cumsum(probability * (1 - probability))
    error = QUANTILE * np.sqrt(chance + bundle.running_error(X, np.ones(n)) ** 2)
    expected = probability.cumsum()
    found = []
    for share in np.arange(1, 101) / 100:
        k = rows_at(float(share), n)
        low, high = expected[k - 1] - error[k - 1], expected[k - 1] + error[k - 1]
        row = {"contacts": k, "share": k / n, "buyers": expected[k - 1], "low": max(low, 0.0), "high": min(high, k)}
        held = None if captured is None else float(np.interp(k / n, np.linspace(0, 1, len(captured)), captured))
        found.append({**{name: float(value) for name, value in row.items()}, "contacts": k, "captured": held})
    return found


def captured_by_share(study: Study, training: Training) -> Floats | None:
    """The share of test's listed buyers among its first 0, 1, ... listed prospects; None where none bought."""
    test, order = _list_on_test(study, training)
    bought = np.cumsum(test.labels[order])
    if len(bought) == 0 or bought[-1] == 0:
        return None
    return np.concatenate([[0.0], bought / bought[-1]])


def fairness(study: Study, training: Training) -> dict[str, Any]:
    """How the list of the test prospects treats the groups of each sensitive attribute.

    Returns
    -------
    dict
        ``share`` of all test prospects that is selected, and ``attributes``: for each ``attribute``, ``feature`` and
        ``table``, see `evaluation.fairness.fairness_table`. Who is not on the list, the study listing the qualified
        only, is not selected.
    """
    test, order = _list_on_test(study, training)
    selected = np.zeros(len(test), dtype=bool)
    selected[order[: rows_at(study.contact.share(len(order)), len(order))] if len(order) else order] = True
    evaluation, plan = training.evaluation, training.samples.plan
    probability = evaluation.predictions[evaluation.selected].to_numpy()
    decoded = decode(test.X, plan.catalogue())
    found = []
    for feature in plan.features:
        if feature.sensitive and feature.source == "customers" and not feature.name.endswith("_missing"):
            table = fairness_table(groups_of(decoded[feature.name], feature), test.labels, probability, selected)
            found.append({"attribute": feature.description, "feature": feature.name, "table": table})
    return {"share": float(selected.mean()), "attributes": found}


def _list_on_test(study: Study, training: Training) -> tuple[Frame, npt.NDArray[np.intp]]:
    """The test prospects, and which of them the selected model's list would hold, best first."""
    evaluation, samples = training.evaluation, training.samples
    test = samples.test if samples.test is not None else samples.train
    profit = None
    if study.listing.rank_by == "expected_profit":
        probability = evaluation.predictions[evaluation.selected].to_numpy()
        amount = None if training.amount is None else training.amount.predict(test.X)
        profit = expected_values(study.contact, probability, amount)["expected_profit"].to_numpy()
    order = best_first(evaluation.ranked_by[evaluation.selected], test.keys["customer_id"], profit)
    if study.listing.qualified_only:
        answers = qualify(decode(test.X, samples.plan.catalogue()), study.qualification)
        order = order[(answers["qualification"] == PASS).to_numpy()[order]]
    return test, order


def groups_of(values: pd.Series, feature: Feature) -> list[str | None]:
    """Which group of a sensitive attribute each value is in: categories in words, many numbers in bands of like size.

    Examples
    --------
    >>> income = Feature("income", "income", "number", "demographics", "money", "customers")
    >>> groups_of(pd.Series([0.0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 30, 40, 50, 60, None]), income)[7:]
    ['0', '10 to 60', '10 to 60', '10 to 60', '10 to 60', '10 to 60', '10 to 60', None]
    """
    words: Mapping[float, str] = {}
    if feature.kind == "ordinal" and feature.categories:
        words = dict(enumerate(feature.categories))
    elif feature.kind == "boolean":
        words = {0.0: "no", 1.0: "yes"}
    if words or not pd.api.types.is_numeric_dtype(values):
        return [None if pd.isna(value) else words.get(value, str(value)) for value in values]
    numbers = values.astype("float64")
    if feature.unit == "years":
        numbers = numbers // 1
    if numbers.nunique() <= _MOST_VALUES:
        return [None if pd.isna(value) else f"{value:,g}" for value in numbers]
    place = numbers.rank(method="dense")  # infinite values have one too
    band: pd.Series[float] = pd.qcut(place, _BANDS, labels=False, duplicates="drop")
    if band.nunique() < 2 or place.groupby(band).size().max() > 2 * place.count() / _BANDS:
        # One value is too frequent for quarters: it stands alone, between what is below and what is above.
        band = (place - place.mode()[0]).pipe(np.sign)
    ends = numbers.groupby(band).agg(["min", "max"])
    for digits in (6, 17):
        told = {
            at: f"{low:,.{digits}g}" + ("" if low == high else f" to {high:,.{digits}g}")
            for at, low, high in ends.itertuples()
        }
        if len(set(told.values())) == len(told):
            break
    return [None if pd.isna(value) else told[value] for value in band]
