"""I/O and order of what follows a list: what came of it."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from propensity.config import Study
from propensity.data.connect import to_frame
from propensity.data.tables import Tables, between
from propensity.errors import EnvironmentFailedError, InputError
from propensity.evaluation.contacted import by_contact
from propensity.files import MANIFEST_SUFFIX, read_list, to_json, write_list
from propensity.labels import bought_within, first_purchases, is_mature
from propensity.outcomes import NEEDED, bands, control_effect, expected_buyers, realised
from propensity.pipelines import Progress, engine_errors, open_study
from propensity.results import OutcomesResult
from propensity.samples import express
from propensity.temporal import Window, format_instant, to_instant

logger = logging.getLogger(__name__)

_KEPT = ("probability_low", "probability_high", "contact", "model_name", "model_version")


@engine_errors()
def outcomes(
    study: Study,
    lists: Path,
    *,
    out: Path | None = None,
    today: datetime | None = None,
    track: bool = True,
    tracking_uri: str | None = None,
    progress: Progress = logger.info,
) -> OutcomesResult:
    """Hold earlier lists against what has happened since.

    Parameters
    ----------
    study : Study
        From `load_study`.
    lists : Path
        A folder of lists that `score` wrote, at any depth; each with its manifest beside it.
    out : Path, optional
        Where to write the rows (``.parquet``); default ``outcomes.parquet`` in `lists`.
    today : datetime, optional
        Records after this instant are impossible: counted and left out, as in training.
    track : bool
        Whether to log the figures to MLflow.
    tracking_uri : str, optional
        In place of the study's own.

    Returns
    -------
    OutcomesResult

    Raises
    ------
    InputError
        When there are no lists of the study, or one cannot be read.
    """
    if study.is_snapshot:
        raise InputError(
            "outcomes: a snapshot study has no later purchases to look up. Score and wait with a study on dated tables."
        )
    place = out or lists / "outcomes.parquet"
    if place.suffix != ".parquet":
        raise InputError(f"--out: {place.name} does not end in .parquet. The rows are written as Parquet.")
    found = _manifests(study, lists)
    told, by_band, effects, contacted, rows = [], [], [], [], []
    with open_study(study, today=today) as tables:
        known = to_frame(tables.codes)
        codes = known.set_index(known["customer_id"].astype(str))["code"]
        for file, manifest in found:
            name = str(file.relative_to(lists))
            progress(f"outcome of {name}")
            as_of = to_instant(manifest["as_of"], zone=study.zone)
            listed = read_list(file, needed=NEEDED, kept=_KEPT)
            listed = _with_outcome(tables, study, listed, as_of, codes, name=name)
            facts = {"list": name, "as_of": manifest["as_of"], "matures_on": manifest["matures_on"]}
            mature = is_mature(study, as_of, until=tables.until)
            seen = _is_seen(study, manifest, as_of)
            entry = {**facts, "is_mature": mature, "is_seen": seen, "prospects": len(listed), **expected_buyers(listed)}
            entry["contacts_until"] = _contacts_until(tables, study, as_of)
            if mature:
                entry |= realised(listed, contact=study.contact, seed=study.seed)
                by_band.append(bands(listed).assign(**facts))
                effect = control_effect(listed, contact=study.contact)
                if effect is not None:
                    effects.append({**facts, **effect})
                if "contacted" in listed:
                    groups = by_contact(listed["bought"], listed["contacted"], listed["probability"])
                    contacted += [{**facts, **group} for group in groups]
            told.append(entry)
            undecided = (listed["bought"] == 0) & (not mature)
            bought = listed["bought"].astype("Int8").mask(undecided)
            rows.append(
                listed.assign(bought=bought, list=name, as_of=manifest["as_of"], is_mature=mature, is_seen=seen)
            )
        until = format_instant(tables.until, zone=study.zone) if tables.until else None
    result = OutcomesResult(
        study=study.study,
        until=until,
        lists=pd.DataFrame(told),
        bands=pd.concat(by_band, ignore_index=True) if by_band else pd.DataFrame(),
        effects=pd.DataFrame(effects),
        contacted=pd.DataFrame(contacted),
        path=place,
    )
    write_list(pd.concat(rows, ignore_index=True), place)
    if track and by_band:
        result = replace(result, untracked=_track(study, result, uri=tracking_uri or study.tracking.uri))
    return result


def _manifests(study: Study, lists: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The study's lists in a folder, the earliest first."""
    found = []
    for place in sorted(lists.rglob(f"*{MANIFEST_SUFFIX}")):
        try:
            manifest = json.loads(place.read_text(encoding="utf-8"))
            is_own = manifest["study"] == study.study and manifest["as_of"] is not None
            _ = manifest["model"], manifest["matures_on"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{place}: is no list's manifest. Move it out of {lists}.") from None
        file = place.with_name(place.name.removesuffix(MANIFEST_SUFFIX))
        if is_own and not file.is_file():
            raise InputError(f"{file}: the list is gone, its manifest is there. Put it back, or remove {place.name}.")
        if is_own:
            found.append((file, manifest))
    if not found:
        raise InputError(
            f"--lists: {lists} holds no list of {study.study}. Write some: propensity score STUDY --as-of DATE --out "
            f"{lists}/DATE.parquet."
        )
    return sorted(found, key=lambda entry: (entry[1]["as_of"], str(entry[0])))


def _is_seen(study: Study, manifest: dict[str, Any], as_of: datetime) -> bool:
    """Whether the list's model may have learnt from what it is now held against."""
    learnt_until = manifest["model"].get("learnt_until")
    if learnt_until is None:
        return True
    return study.label_window(as_of).start < datetime.fromisoformat(learnt_until)


def _with_outcome(
    tables: Tables, study: Study, listed: pd.DataFrame, as_of: datetime, codes: pd.Series, *, name: str
) -> pd.DataFrame:
    """The list with ``bought`` (0 or 1; as far as is known), ``bought_at`` (UTC) and ``amount``.

    Where the study has contacts of that time, with ``contacted`` too: from the list's date on, before the purchase.
    """
    known = codes.reindex(listed["customer_id"])
    gone = int(known.isna().sum())
    if gone:
        raise InputError(
            f"{name}: {gone:,} of {len(listed):,} customers on the list are not among the study's customers, so that "
            "what they did is not known. Is it a list of these tables?"
        )
    keys = pd.DataFrame({"code": known.to_numpy(dtype=np.int64)})
    bought = first_purchases(tables, keys, as_of, study=study, express=express)
    y = bought_within(bought, study.label_window(as_of))
    within = y == 1
    listed = listed.assign(
        bought=y,
        bought_at=bought["bought_at"].where(within).dt.tz_localize(UTC),
        amount=bought["amount"].where(within),
    )
    if tables.contacts is None or tables.covered("contacts")[1] < as_of:
        return listed
    window = Window(as_of, study.label_window(as_of).end)
    contacts = between(tables.contacts, window).group_by("customer_id").agg(first=lambda table: table.occurred_at.min())
    firsts = to_frame(contacts).astype({"customer_id": str}).set_index("customer_id")["first"]
    first = firsts.reindex(listed["customer_id"]).reset_index(drop=True).dt.tz_localize(UTC)
    # Whoever had bought before was not won by the contact.
    return listed.assign(contacted=first.notna() & ~(first >= listed["bought_at"]))


def _contacts_until(tables: Tables, study: Study, as_of: datetime) -> str | None:
    """The day of the last contact on record, where it lies before the end of a list's window; else None."""
    if tables.contacts is None:
        return None
    last = tables.covered("contacts")[1]
    return format_instant(last, zone=study.zone)[:10] if last < study.label_window(as_of).end else None


def _track(study: Study, result: OutcomesResult, *, uri: str) -> str | None:
    """Log the figures to MLflow; why they could not be, where they could not."""
    from propensity.tracking import log_by_date  # importing mlflow takes seconds

    figures: dict[str, dict[str, float]] = {}
    for row in result.lists[result.lists["is_mature"]].to_dict("records"):
        figures[str(row["as_of"])] = {
            str(name): float(value)
            for name, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
        }
    tables = {name: getattr(result, name).to_dict("records") for name in ("lists", "bands", "effects", "contacted")}
    try:
        log_by_date(
            "outcomes",
            figures,
            documents={"outcomes.json": to_json(tables)},
            study=study.study,
            until=result.until,
            uri=uri,
            experiment=study.tracking.experiment or study.study,
        )
    except EnvironmentFailedError as error:
        return str(error)
    return None
