"""Sixty-four ways for a table to be wrong, made from a generated churn table of 500 rows.

Each case gives the file's name and bytes, and what both readers must answer: `accept`, `warn` or
`reject`, and words that the message must have. Modelled on what people's exports really look like.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ml.data.sources import customers

N = 500
TARGET, ID = customers.TARGET, customers.ID
SETTINGS: dict[str, Any] = {"target": TARGET, "positive_label": "yes", "id_columns": [ID], "max_bytes": 20_000_000}


class Case(NamedTuple):
    """One file and its wanted answers; `same` means the very snapshot of the clean file."""

    file: str
    content: bytes
    train: str
    predict: str
    train_says: str = ""
    predict_says: str = ""
    same: bool = False
    data: Mapping[str, Any] = MappingProxyType({})


def clean_frame() -> pd.DataFrame:
    """Text cells, as a CSV has them; no time column, so that the split is stratified."""
    frame = customers.make(N, 7).drop(columns=customers.TIME)
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=str, keep_default_na=False)


def to_csv(frame: pd.DataFrame, **options: Any) -> str:
    """CSV with LF line ends."""
    return str(frame.to_csv(index=False, lineterminator="\n", **options))


def cases() -> Iterator[Case]:
    """All of them; a name's number is the one it is known by."""
    d = clean_frame()
    yield from _layout(d)
    yield from _columns(d)
    yield from _values(d)
    yield from _labels(d)
    yield from _rows(d)
    yield from _containers(d)


def _case(file: str, content: str | bytes, train: str, predict: str, *says: str, **more: Any) -> Case:
    raw = content.encode() if isinstance(content, str) else content
    return Case(file, raw, train, predict, *says, **more)


def _layout(d: pd.DataFrame) -> Iterator[Case]:
    base = to_csv(d)
    lines = base.splitlines()
    yield _case("00_clean.csv", base, "accept", "accept", same=True)
    yield _case("01_semicolon.csv", to_csv(d, sep=";"), "accept", "accept", same=True)
    yield _case("02_tab.csv", to_csv(d, sep="\t"), "accept", "accept", same=True)
    yield _case("03_pipe.csv", to_csv(d, sep="|"), "accept", "accept", same=True)
    yield _case("04_bom.csv", b"\xef\xbb\xbf" + base.encode(), "accept", "accept", same=True)
    accents = d.assign(payment=np.where(np.arange(N) % 7 == 0, "Chèque envoyé", d.payment))
    yield _case("05_latin1.csv", to_csv(accents).encode("latin-1"), "reject", "reject", "line 2: byte 0xe8", "line 2")
    yield _case("05_declared.csv", to_csv(accents).encode("latin-1"), "accept", "reject", data={"encoding": "latin-1"})
    yield _case("06_utf16.csv", base.encode("utf-16"), "accept", "accept", same=True)
    yield _case("07_nul.csv", base.replace("card", "ca\x00rd"), "reject", "reject", "NUL", "NUL")
    yield _case("08_crlf.csv", base.replace("\n", "\r\n"), "accept", "accept", same=True)
    yield _case("09_cr_only.csv", base.replace("\n", "\r"), "accept", "accept", same=True)
    yield _case("10_no_final_newline.csv", base.rstrip("\n"), "accept", "accept", same=True)
    commas = d.assign(monthly_charges=d.monthly_charges.str.replace(".", ","))
    yield _case("11_mixed_marks.csv", to_csv(commas, sep=";"), "reject", "reject", "written with other marks", "line 2")
    commas = d.map(lambda cell: re.sub(r"^(-?[0-9]*)\.([0-9]+)$", r"\1,\2", cell) if isinstance(cell, str) else cell)
    yield _case(
        "11_decimal_comma.csv", to_csv(commas, sep=";"), "accept", "reject", "',' as the decimal mark", "line 2"
    )
    yield _case("11_declared.csv", to_csv(commas, sep=";"), "accept", "reject", data={"decimal": ","})
    thousands = d.assign(monthly_charges=[f"{float(x) + 1000:,.2f}" for x in d.monthly_charges])
    yield _case("12_thousands.csv", to_csv(thousands), "accept", "reject", "',' between thousands", "expected a number")
    yield _case("12_declared.csv", to_csv(thousands), "accept", "reject", data={"thousands": ","})
    yield _case("76_excel_sep.csv", "sep=;\n" + to_csv(d, sep=";"), "accept", "accept", same=True)
    yield _case("77_comments.csv", "# exported 2024\n\n" + base, "accept", "accept", same=True)
    yield _case("78_trailing.csv", "\n".join(line + "," for line in lines) + "\n", "warn", "warn", "without a name")
    footer = "TOTAL" + "," * (len(d.columns) - 2) + ",\n"
    yield _case("79_footer.csv", base + footer, "warn", "accept", "1 of 501 rows have no label")


def _columns(d: pd.DataFrame) -> Iterator[Case]:
    base = to_csv(d)
    lines = base.splitlines()
    yield _case("20_missing_column.csv", to_csv(d.drop(columns="contract")), "accept", "reject", "", "'contract'")
    yield _case("21_missing_target.csv", to_csv(d.drop(columns=TARGET)), "reject", "accept", "data.target")
    yield _case("22_extra_column.csv", to_csv(d.assign(extra=1)), "warn", "warn", "extra", "'extra'")
    order = list(np.random.default_rng(0).permutation(d.columns))
    yield _case("23_shuffled.csv", to_csv(d[order]), "accept", "accept")
    yield _case("24_case.csv", to_csv(d.rename(columns=str.upper)), "reject", "reject", "'CHURNED'", "did you mean")
    padded = d.rename(columns=lambda name: f" {name} ")
    yield _case("25_space.csv", to_csv(padded), "accept", "accept", same=True)
    yield _case(
        "26_dup_header.csv", base.replace("region", "device", 1), "reject", "reject", "two columns", "two columns"
    )
    repeated = "\n".join([*lines[:200], lines[0], *lines[200:]]) + "\n"
    yield _case("27_header_again.csv", repeated, "reject", "reject", "line 201", "line 201")
    yield _case("28_no_header.csv", "\n".join(lines[1:]) + "\n", "reject", "reject")
    yield _case("29_index.csv", str(d.to_csv(lineterminator="\n")), "warn", "warn", "without a name")
    evil = {"region": "../../etc/passwd", "device": "__proto__", "age": 'ten"ure,x', "contract": "é名前"}
    yield _case("66_evil_names.csv", to_csv(d.rename(columns=evil)), "accept", "reject", "", "'contract'")
    wide = pd.DataFrame(np.zeros((50, 10_000), int)).add_prefix("x").assign(**{TARGET: d[TARGET].head(50)})
    yield _case("68_10k_columns.csv", to_csv(wide), "reject", "reject", "10,001 columns", "10,001 columns")


def _values(d: pd.DataFrame) -> Iterator[Case]:
    i = np.arange(N)
    yield _case("30_unseen.csv", to_csv(d.assign(contract="Ten year")), "warn", "warn", "constant", "'Ten year'")
    words = d.assign(tenure_months=np.where(i % 50 == 0, "twelve", d.tenure_months))
    yield _case("31_words.csv", to_csv(words), "warn", "warn", "10 cells are no numbers", "'twelve' in line 2")
    all_words = d.assign(monthly_charges="n/a")
    yield _case("32_all_words.csv", to_csv(all_words), "reject", "reject", "'n/a'", "'n/a'")
    infinite = d.assign(monthly_charges=np.choose(i % 3, ["inf", "NaN", "-inf"]))
    yield _case("33_inf_nan.csv", to_csv(infinite), "warn", "warn", "no value", "infinite")
    yield _case("34_huge.csv", to_csv(d.assign(monthly_charges="1e308")), "warn", "warn", "constant", "3.4e38")
    yield _case("35_empty_column.csv", to_csv(d.assign(tenure_months="")), "warn", "warn", "no value", "no value")
    yield _case("36_constant.csv", to_csv(d.assign(tenure_months="5")), "warn", "accept", "constant (5)")
    dates = d.assign(signup=np.where(i % 2, "2099-13-45", "01/02/2024"))
    yield _case("50_dates.csv", to_csv(dates), "warn", "warn", "dates")
    leak = d.assign(account_closed=(d[TARGET] == "yes").astype(int))
    yield _case("48_leak.csv", to_csv(leak), "warn", "warn", "suspected leak")
    yield _case("49_row_id.csv", to_csv(d.assign(row_id=i)), "warn", "warn", "identify rows")
    weights = d.assign(weight=np.where(i % 2, -1, 0))
    negative = {"weight_column": "weight"}
    yield _case("51_weights.csv", to_csv(weights), "reject", "warn", "line 3, column 'weight'", data=negative)
    formula = d.assign(**{ID: np.where(i % 2, "=cmd|' /C calc'!A0", "@SUM(1+1)*cmd")})
    yield _case("64_formula.csv", to_csv(formula), "warn", "accept", "2 different ids")
    script = d.assign(payment="<script>alert(1)</script>'; DROP TABLE x;--")
    yield _case("65_script.csv", to_csv(script), "warn", "warn", "constant", "<script>")
    free = d.assign(payment=[f"v{k}" for k in i])
    yield _case("69_free_text.csv", to_csv(free), "warn", "warn", "free text", "'v0'")


def _labels(d: pd.DataFrame) -> Iterator[Case]:
    i = np.arange(N)
    blank = d.assign(**{TARGET: np.where(i % 5 == 0, "", d[TARGET])})
    yield _case("37_blank_labels.csv", to_csv(blank), "warn", "accept", "100 of 500 rows have no label")
    case = d.assign(**{TARGET: np.where(i % 2 == 0, d[TARGET].str.upper(), d[TARGET] + " ")})
    yield _case("38_label_case.csv", to_csv(case), "warn", "accept", "differ only in case")
    no, yes = d[d[TARGET] == "no"], d[d[TARGET] == "yes"]
    yield _case("43_one_class.csv", to_csv(no), "reject", "accept", "every label is 'no'")
    yield _case("44_rare_class.csv", to_csv(pd.concat([no, yes.head(1)])), "reject", "accept", "'yes' (1 rows)")
    many = d.assign(**{TARGET: [f"k{k}" for k in i]})
    yield _case("45_many_classes.csv", to_csv(many), "reject", "accept", "500 different labels")
    head = d.head(100)
    yield _case("46_repeated_ids.csv", to_csv(pd.concat([d, head])), "warn", "accept", "100 rows repeat an id")
    flipped = head.assign(**{TARGET: np.where(head[TARGET] == "yes", "no", "yes")})
    yield _case("47_conflict.csv", to_csv(pd.concat([d, flipped])), "warn", "accept", "more than one label")


def _rows(d: pd.DataFrame) -> Iterator[Case]:
    base = to_csv(d)
    lines = base.splitlines()

    def with_line(text: str) -> str:
        return "\n".join([*lines[:100], text, *lines[101:]]) + "\n"

    yield _case("40_empty.csv", "", "reject", "reject", "empty", "empty")
    yield _case("41_header_only.csv", lines[0] + "\n", "reject", "reject", "no rows", "no rows")
    yield _case("42_one_row.csv", "\n".join(lines[:2]) + "\n", "reject", "accept", "two classes are needed")
    yield _case("60_ragged.csv", with_line(lines[100] + ",x,y"), "reject", "reject", "line 101", "line 101")
    yield _case("61_short.csv", with_line(",".join(lines[100].split(",")[:5])), "reject", "reject", "line 101")
    yield _case("62_quote.csv", with_line('"' + lines[100]), "reject", "reject", "line 101", "line 101")
    broken = d.assign(payment=np.where(np.arange(N) % 9 == 0, 'Bank\ntransfer, "auto"', d.payment))
    yield _case("63_newline.csv", to_csv(broken, quoting=csv.QUOTE_ALL), "accept", "warn", "", "Bank")
    huge = d.assign(payment=np.where(np.arange(N) == 3, "A" * 5_000_000, d.payment))
    yield _case("67_huge_cell.csv", to_csv(huge), "reject", "reject", "line 5, column 'payment'", "line 5")


def _containers(d: pd.DataFrame) -> Iterator[Case]:
    base = to_csv(d).encode()
    packed = gzip.compress(base, mtime=0)
    yield _case("70_gzip.csv", packed, "reject", "reject", "gz-packed", "gz-packed")
    yield _case("71_good.csv.gz", packed, "accept", "accept", same=True)
    bomb = gzip.compress(b"a,b,churned\n" + b"0,0,no\n" * 3_000_000, mtime=0)
    yield _case("72_bomb.csv.gz", bomb, "reject", "reject", "20,000,000 bytes, unpacked", "unpacked")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.csv", base)
        archive.writestr("b.csv", base)
    yield _case("73_two.zip", buffer.getvalue(), "reject", "reject", "ZIP", "ZIP")
    yield _case("74_png.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "reject", "reject", "PNG", "PNG")
    records = str(d.head(5).to_json(orient="records"))
    yield _case("75_json.csv", records, "reject", "reject", "JSON", "JSON")
