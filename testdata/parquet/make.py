#!/usr/bin/env python3
"""Write the Parquet files of this folder, all of the same rows of the penguins, and those rows as JSON records.

    python make.py

Needs pandas 3.1 and pyarrow 26. A file's name says how it was written; `rows.json` has the rows, `truths.json` those of the files
whose year is a truth value, and the names of files that are refused begin with `bad_`. They are read by the
model crate's tests, which compare what a model says of the files and of the records.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def rows():
    table = pd.read_csv(HERE.parent / "models/lgb_penguins/rows.csv", keep_default_na=True)
    table = table.iloc[::2].iloc[:64].copy()
    table["year"] = table["year"].astype("int64")
    return table


def write_records(name, table):
    records = json.loads(table.to_json(orient="records", double_precision=15))
    lines = ",\n".join(json.dumps(record) for record in records)
    (HERE / f"{name}.json").write_text(f"[{lines}]\n")


def write(name, table, **options):
    table.to_parquet(HERE / f"{name}.parquet", engine="pyarrow", **options)


def write_arrow(name, table, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)


def required(table):
    """No value may be missing: NaN stands in the numbers, and no text for a level that is not known."""
    arrow = pa.Table.from_pandas(table.fillna({"sex": "", "island": ""}), preserve_index=False)
    fields = [field.with_nullable(False) for field in arrow.schema]
    numbers = {name: pa.array(table[name].to_numpy(), from_pandas=False) for name in NUMBERS}
    arrays = [numbers.get(name, arrow[name]) for name in arrow.column_names]
    return pa.table(arrays, schema=pa.schema(fields))


def main():
    table = rows()
    write_records("rows", table)
    write("default", table)
    for codec in ["gzip", "zstd", "none"]:
        write(codec, table, compression=None if codec == "none" else codec)
    write("second_pages", table, data_page_version="2.0")
    write("second_pages_gzip", table, data_page_version="2.0", compression="gzip")
    write("row_groups", table, row_group_size=9)
    write("small_pages", table, data_page_size=64, write_batch_size=8)
    write("plain", table, use_dictionary=False)
    write("plain_none", table, use_dictionary=False, compression=None)
    write("fallback", table, dictionary_pagesize_limit=64, write_batch_size=8, data_page_size=64)
    write("first_version", table, version="1.0")
    write("checksums", table, write_page_checksum=True, write_page_index=True)
    categories = table.astype({"island": "category", "sex": "category"})
    write("categories", categories)
    write("shuffled", table[table.columns[::-1]])
    index = table.copy()
    index.index = [f"row {i}" for i in range(len(index))]
    write("text_index", index)
    more = table.copy()
    more["when"] = pd.Timestamp("2026-11-21")
    more["tags"] = [["a", "b"]] * len(more)
    more["facts"] = [{"a": 1, "b": {"c": "x"}}] * len(more)
    more["bytes"] = b"\xff\xfe"
    more["nothing"] = None
    write("more_columns", more)
    narrow = table.astype({"year": "uint16", "flipper_length_mm": "Int32", "body_mass_g": "UInt64"})
    write("whole_numbers", narrow)
    single = table.astype({"flipper_length_mm": "float32", "body_mass_g": "float32", "year": "int32"})
    write("single", single)
    text = table.copy()
    text["bill_depth_mm"] = [None if np.isnan(value) else repr(value) for value in text["bill_depth_mm"]]
    write("numbers_as_text", text)
    write_arrow("required", required(table))
    # files that are good, and hold what is not read
    bad = {
        "timestamps": pd.to_datetime(table["year"].astype(str), format="%Y"),
        "dates": pd.to_datetime(table["year"].astype(str), format="%Y").dt.date,
        "lists": [[value] for value in table["year"]],
        "structs": [{"value": value} for value in table["year"]],
    }
    for name, year in bad.items():
        write(f"bad_{name}", table.assign(year=year))
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    at = arrow.column_names.index("year")
    decimals = arrow.set_column(at, "year", arrow["year"].cast(pa.decimal128(24, 2)))
    write_arrow("bad_decimals", decimals)
    write("bad_int96", table.assign(year=bad["timestamps"]), use_deprecated_int96_timestamps=True)
    for codec in ["lz4", "brotli"]:
        write(f"bad_{codec}", table, compression=codec)
    encodings = {"bad_delta": {"year": "DELTA_BINARY_PACKED"}, "bad_split": {"bill_length_mm": "BYTE_STREAM_SPLIT"}}
    for name, encoding in encodings.items():
        write(name, table, use_dictionary=False, column_encoding=encoding)
    write("bad_text", table.assign(bill_length_mm=["abc", *["1.5"] * (len(table) - 1)]))
    write("bad_missing", table.drop(columns="year"))
    truths = table.assign(year=[True, False, None, True] * 16)
    write_records("truths", truths)
    write("truths", truths)
    write("truths_second_pages", truths, data_page_version="2.0")
    write_arrow("truths_plain", pa.Table.from_pandas(truths), column_encoding={"year": "PLAIN"}, use_dictionary=False)


main()
