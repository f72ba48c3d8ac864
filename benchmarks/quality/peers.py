"""Peers, in an environment of their own (benchmarks/requirements-peers.txt); knows nothing of propensity.

    python peers.py METHOD FOLDER SECONDS

Reads train.parquet and test.parquet of FOLDER, and writes METHOD.parquet (a probability for each test row) and
METHOD.json (seconds, versions) beside them.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import pandas as pd


def flaml(X, y, test, seconds):
    """FLAML's AutoML, for AUC."""
    from flaml import AutoML

    automl = AutoML()
    automl.fit(X, y, task="classification", metric="roc_auc", time_budget=seconds, seed=0, verbose=0)
    return automl.predict_proba(test)[:, 1]


def autogluon(X, y, test, seconds):
    """AutoGluon's best quality, for AUC."""
    from autogluon.tabular import TabularPredictor

    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor(label="label", eval_metric="roc_auc", path=folder, verbosity=0)
        predictor.fit(X.assign(label=y), presets="best_quality", time_limit=seconds, num_cpus=2)
        return predictor.predict_proba(test)[1].to_numpy()


def lightgbm_defaults(X, y, test, seconds):
    """LightGBM as it comes."""
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=0, verbosity=-1).fit(X, y).predict_proba(test)[:, 1]


def logistic_regression(X, y, test, seconds):
    """scikit-learn's logistic regression on standardised numbers (missing: the median) and one-hot categories."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            make_column_selector(dtype_exclude="category"),
        ),
    )
    return make_pipeline(encode, LogisticRegression(max_iter=5_000)).fit(X, y).predict_proba(test)[:, 1]


METHODS = {
    "logistic_regression": (logistic_regression, ["scikit-learn"]),
    "lightgbm_defaults": (lightgbm_defaults, ["lightgbm"]),
    "flaml": (flaml, ["FLAML", "lightgbm", "xgboost-cpu"]),
    "autogluon": (autogluon, ["autogluon.tabular", "lightgbm", "xgboost-cpu", "catboost", "torch"]),
}


def main():
    """Fit one method, and write what it says of the test rows."""
    warnings.filterwarnings("ignore")
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    for column in about["categories"]:
        known = pd.CategoricalDtype(sorted(train[column].dropna().unique()))
        for table in (train, test):
            missing = table[column].isna()
            table[column] = table[column].astype(known)
            if name == "logistic_regression":
                table[column] = table[column].cat.add_categories("missing").mask(missing, "missing")
    method, packages = METHODS[name]
    started, busy = perf_counter(), sum(os.times()[:4])
    probability = method(train[about["features"]], train["label"], test[about["features"]], seconds)
    spent = perf_counter() - started
    versions = {package: importlib.metadata.version(package) for package in packages}
    pd.DataFrame({"probability": probability}).to_parquet(folder / f"{name}.parquet", index=False)
    told = {"seconds": spent, "cpu_seconds": sum(os.times()[:4]) - busy, "budget": seconds, "versions": versions}
    (folder / f"{name}.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
