"""Categories of any cardinality as one number: what share of the customers alike has bought already.

The share is of all customers known before the cutoff, with what they had bought by then. No label is in it, so that it
needs no folds: a prospect counts as one who has not bought, in training as in scoring.
"""

from hashlib import sha256

import numpy as np
import pandas as pd

from propensity.config import Study
from propensity.data.connect import Express, to_frame
from propensity.data.past import PastTables
from propensity.data.tables import outcome_records
from propensity.features.custom import CustomFunction

NAME = "buyer_shares"
PRIOR_CUSTOMERS = 20.0
"""Customers of the overall share that each category begins with: a handful of customers tells little."""


def share_functions(study: Study, *, express: Express) -> dict[str, CustomFunction]:
    """The function that gives ``<attribute>_buyer_share`` for each of `features.buyer_shares`; none without.

    Parameters
    ----------
    express : callable
        Turns a checked expression into a column.
    """
    attributes = study.features.buyer_shares
    if not attributes:
        return {}

    def shares(past: PastTables) -> pd.DataFrame:
        bought = outcome_records(past, study.outcome, express=express).select("customer_id").distinct()
        customers = past.customers.mutate(bought=past.customers.customer_id.isin(bought.customer_id).cast("float64"))
        frame = to_frame(customers.select("customer_id", "bought", *attributes).order_by("customer_id"))
        columns = {f"{name}_buyer_share": shrunken_share(frame["bought"], frame[name]) for name in attributes}
        return pd.DataFrame({"customer_id": frame["customer_id"], **columns})

    declared = study.data.customers.attributes
    shares.sensitive = {  # type: ignore[attr-defined]
        f"{name}_buyer_share" for name in attributes if declared[name].sensitive
    }
    labels = {name: declared[name].label or name.replace("_", " ") for name in attributes}
    shares.descriptions = {  # type: ignore[attr-defined]
        f"{name}_buyer_share": f"share of buyers among customers of the same {label}" for name, label in labels.items()
    }
    meaning = "\n".join([study.outcome.model_dump_json(), *attributes])
    return {NAME: CustomFunction(shares, sha256(meaning.encode()).hexdigest()[:16])}


def shrunken_share(bought: pd.Series, category: pd.Series) -> pd.Series:
    """The share of buyers in each row's category, drawn towards the overall share where the category is small.

    Parameters
    ----------
    bought : Series of float, n customers
        1 for those who have bought.
    category : Series, n customers
        Missing values have no share.

    Returns
    -------
    Series of float, n customers

    Notes
    -----
    (buyers + m r) / (customers + m), with r the overall share and m = 20 (Micci-Barreca, 2001,
    doi:10.1145/507533.507538).

    Examples
    --------
    >>> shrunken_share(pd.Series([1.0, 0.0, 0.0, 0.0]), pd.Series(["a", "a", "b", None])).round(3).tolist()
    [0.273, 0.273, 0.238, nan]
    """
    groups = bought.groupby(category)
    overall = float(bought.mean()) if len(bought) else np.nan
    return (groups.transform("sum") + PRIOR_CUSTOMERS * overall) / (groups.transform("count") + PRIOR_CUSTOMERS)
