"""What a first purchase is expected to bring: probability × amount given purchase, and how deep a list pays.

Amounts are learnt on rows that bought in the study's own label window, and on nothing else: what was bought later, or
by others, is not looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.bundle import LEVEL, QUANTILE, Bundle
from propensity.config import ContactSpec, Study
from propensity.errors import BundleError, DataError
from propensity.evaluation.profit import Plan, campaign_profit
from propensity.evaluation.ranking import rows_at
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.models.amount import AmountChoice, AmountModel, choose_amount, fit_amount, gamma_loss
from propensity.models.calibrators import Scored
from propensity.models.folding import clustered_error
from propensity.splits import customer_folds

Floats = npt.NDArray[np.float64]
_FOLDS = 5
_NOT_UPLIFT = "Every buyer counts as won by the contact: propensity is not uplift, and some would have bought anyway."


def learn_choice(study: Study, plan: FeaturePlan, train: Frame) -> AmountChoice | None:
    """Which model of the amount folds inside train choose; None where the study's value is a number.

    Raises
    ------
    DataError
        When no buyer of train has a known amount.
    """
    if not study.contact.learns_amounts:
        return None
    X, amount, groups = _bought([train])
    if len(amount) == 0:
        raise DataError(
            f"contact.value: none of the {int(train.labels.sum()):,} buyers of train has a known amount. Check "
            "data.purchases.amount, or give the value of a purchase as a number."
        )
    folds = _folds(groups, study.seed)
    categorical = list(plan.categories)
    return choose_amount(X, amount, groups, folds=folds, categorical=categorical, seed=study.seed)


def learn_amount(
    study: Study, plan: FeaturePlan, choice: AmountChoice | None, frames: Sequence[Frame]
) -> AmountModel | None:
    """The chosen model of the amount, fitted on the buyers of some frames; None where nothing is to be learnt."""
    if choice is None:
        return None
    X, amount, groups = _bought(frames)
    folds = _folds(groups, study.seed)
    categorical = list(plan.categories)
    return fit_amount(X, amount, groups, choice, folds=folds, categorical=categorical, seed=study.seed)


def _bought(frames: Sequence[Frame]) -> tuple[pd.DataFrame, Floats, npt.NDArray[np.int64]]:
    """Features, amounts and customers of the rows that bought in their label window, amounts that are known."""
    parts = [frame.take(np.flatnonzero((frame.labels == 1) & np.isfinite(_amounts(frame)))) for frame in frames]
    X = pd.concat([part.X for part in parts], ignore_index=True)
    return X, np.concatenate([_amounts(part) for part in parts]), np.concatenate([part.groups for part in parts])


def _amounts(frame: Frame) -> Floats:
    assert frame.purchases is not None  # noqa: S101 - an outcome that is a product has purchases
    return frame.purchases["amount"].to_numpy(dtype=np.float64)


def _folds(groups: npt.NDArray[np.int64], seed: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    count = max(2, min(_FOLDS, len(np.unique(groups))))
    return customer_folds(np.ones(len(groups), dtype=np.int8), groups, folds=count, seed=seed)


def expected_values(contact: ContactSpec, probability: Floats, amount: Floats | None) -> pd.DataFrame:
    """What each prospect is expected to bring.

    Parameters
    ----------
    contact : ContactSpec
        With cost and value.
    probability : ndarray of shape (n,)
        Of buying, 0 to 1.
    amount : ndarray of shape (n,), or None
        Expected amount given a purchase; None where the value is a number.

    Returns
    -------
    DataFrame, n rows
        ``expected_amount`` (where it is learnt), ``expected_value`` (probability × margin × amount, or × value) and
        ``expected_profit`` (less the cost of the contact), in the study's money.
    """
    assert contact.cost is not None  # noqa: S101 - asked where cost and value are given
    if amount is None:
        value = probability * _fixed_value(contact)
        return pd.DataFrame({"expected_value": value, "expected_profit": value - contact.cost})
    value = probability * contact.margin * amount
    return pd.DataFrame({"expected_amount": amount, "expected_value": value, "expected_profit": value - contact.cost})


def _fixed_value(contact: ContactSpec) -> float:
    assert isinstance(contact.value, float)  # noqa: S101 - asked where amounts are not learnt
    return contact.value


def prospect_values(bundle: Bundle, contact: ContactSpec, X: pd.DataFrame, probability: Floats) -> pd.DataFrame:
    """See `expected_values`, with amounts by the bundle's own model.

    Raises
    ------
    BundleError
        When the study wants amounts, and the bundle was trained without.
    """
    if not contact.learns_amounts:
        return expected_values(contact, probability, None)
    if bundle.amount is None:
        raise BundleError(
            "contact.value: the study's value is the amount of a purchase, which the bundle was trained without. Train "
            "again, or give the value as a number."
        )
    return expected_values(contact, probability, bundle.amount.predict(X))


def worth_contacting(expected_profit: Floats, *, capacity: int) -> npt.NDArray[np.bool_]:
    """Whom to contact, in the list's order: the first within the capacity of whom a profit is expected, shape (n,).

    Examples
    --------
    >>> worth_contacting(np.array([4.0, -1.0, 2.0, 1.0]), capacity=2).tolist()
    [True, False, True, False]
    """
    worth = expected_profit > 0
    return np.asarray(worth & (np.cumsum(worth) <= capacity))


def contact_down_to(bundle: Bundle, contact: ContactSpec, ranked: pd.DataFrame, X: pd.DataFrame) -> dict[str, Any]:
    """How far down a list to contact, and what to expect of it.

    Parameters
    ----------
    ranked : DataFrame, n rows
        The prospect list, with ``contact``.
    X : DataFrame of float32, shape (n, features)
        Feature rows in the list's order.

    Returns
    -------
    dict
        ``rank`` (of the last to contact; 0: nobody), ``contacts``, ``capacity``, ``expected_buyers``,
        ``expected_profit`` and its 90 % ``interval``: what the contacted may bring, by chance and by what the models
        do not know (see `_profit_error`).
    """
    taken = ranked["contact"].to_numpy()
    rows = ranked[taken]
    profit = float(rows["expected_profit"].sum())
    error = _profit_error(bundle, contact, rows, X[taken]) if len(rows) else 0.0
    return {
        "rank": int(rows["rank"].max()) if len(rows) else 0,
        "contacts": len(rows),
        "capacity": rows_at(contact.share(len(ranked)), len(ranked)),
        "expected_buyers": float(rows["probability"].sum()),
        "expected_profit": profit,
        "interval": [profit - QUANTILE * error, profit + QUANTILE * error],
        "level": LEVEL,
    }


def _profit_error(bundle: Bundle, contact: ContactSpec, rows: pd.DataFrame, X: pd.DataFrame) -> float:
    """Standard error of what the contacted bring together.

    Three parts: who of them buys and for how much (chance), the level of the probabilities (`Bundle.total_error`), and
    the level of the amounts (standard error of the buyers' mean).
    """
    probability, value = rows["probability"].to_numpy(), rows["expected_value"].to_numpy()
    worth = np.divide(value, probability, out=np.zeros(len(rows)), where=probability > 0)
    chance = float((probability * (1 - probability) * worth**2).sum())
    variance = chance + bundle.total_error(X, worth) ** 2
    amount = bundle.amount
    if contact.learns_amounts and amount is not None:
        variance += float(probability.sum()) * (contact.margin * amount.deviation) ** 2
        variance += float(value.sum() * amount.standard_error / amount.mean) ** 2 if amount.mean > 0 else 0.0
    return float(np.sqrt(variance))


def judge_profit(
    study: Study,
    test: Frame,
    predicted: Mapping[str, Scored],
    *,
    amount: AmountModel | None,
    choice: AmountChoice | None,
    selected: str,
) -> dict[str, Any] | None:
    """What contacting the test rows along each model's list would have earned; None without cost and value.

    How deep to go is decided by expected profit, from probabilities and amounts that had not seen test. A buyer's
    amount that is not known counts as it was expected.
    """
    contact = study.contact
    if not contact.has_profit:
        return None
    expected = None if amount is None else amount.predict(test.X)
    plans = {}
    for name, (log_odds, probability) in predicted.items():
        values = expected_values(contact, probability, expected)
        profit = values["expected_profit"].to_numpy()
        by_profit = study.listing.rank_by == "expected_profit"
        plans[name] = Plan(profit if by_profit else log_odds, profit, probability)
    baseline = "scorecard" if "scorecard" in predicted and len(predicted) > 1 else None
    facts = campaign_profit(
        test.labels,
        brought(contact, test, expected),
        plans,
        test.groups,
        cost=float(contact.cost or 0.0),
        capacity=contact.share(len(test)),
        seed=study.seed,
        baseline=baseline,
    )
    return {
        "rank_by": study.listing.rank_by,
        "cost": contact.cost,
        "value": contact.value,
        "margin": contact.margin if contact.learns_amounts else None,
        "selected": selected,
        "prospects": len(test),
        "buyers": int(test.labels.sum()),
        "capacity": {"share": contact.share(len(test)), "count": rows_at(contact.share(len(test)), len(test))},
        "amount": None if amount is None or choice is None else _amount_told(test, amount, choice, expected),
        **facts,
        "note": _NOT_UPLIFT,
    }


def brought(contact: ContactSpec, test: Frame, expected: Floats | None) -> Floats:
    """What a purchase of each test row brought, before the cost of contact."""
    if expected is None:
        return np.full(len(test), _fixed_value(contact))
    paid = _amounts(test)
    return contact.margin * np.where(np.isfinite(paid), paid, expected)


def _gain(paid: Floats, expected: Floats, mean: float) -> float | None:
    """How much less gamma loss the model has than the mean that it was learnt with; None where that is undefined."""
    if len(paid) == 0 or mean <= 0:
        return None
    return float((gamma_loss(paid, np.full(len(paid), mean)) - gamma_loss(paid, expected)).mean())


def _amount_told(test: Frame, amount: AmountModel, choice: AmountChoice, expected: Floats | None) -> dict[str, Any]:
    """The model of the amount, and how its level came out on the buyers of test."""
    assert expected is not None  # noqa: S101 - there is a model
    paid, bought = _amounts(test), test.labels == 1
    known = bought & np.isfinite(paid)
    return {
        "model": amount.kind,
        "reason": choice.reason,
        "gain": choice.gain,
        "gain_standard_error": choice.standard_error,
        "mean": amount.mean,
        "standard_error": amount.standard_error,
        "buyers": amount.buyers,
        "customers": amount.customers,
        "test_buyers": int(known.sum()),
        "test_unknown": int((bought & ~known).sum()),
        "test_gain": _gain(paid[known], expected[known], amount.mean),
        "test_expected": float(expected[known].mean()) if known.any() else None,
        "test_mean": float(paid[known].mean()) if known.any() else None,
        "test_standard_error": clustered_error(paid[known], test.groups[known]) if known.any() else None,
    }
