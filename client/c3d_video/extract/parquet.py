"""A Parquet file for each video: a row a clip, with its id, its times, its vector and what it rests on."""

from __future__ import annotations

from pathlib import Path

from c3d_video.extract.rows import Rows

ROWS_AT_ONCE = 1024  # of a row group: 16 MB of fc6


def write(rows: Rows, path: Path, provenance: str) -> None:
    """Columns `video_id`, `clip_id`, those of `rows.SPAN`, `features` (fixed-size list of float32), `provenance` (JSON)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features, spans = rows.array(), rows.arrays()
    assert rows.answer is not None  # noqa: S101 (finished)
    width = features.shape[1]
    said = {"video_id": pa.string(), "clip_id": pa.string()}
    spanned = {name: pa.float64() if name.endswith("_sec") else pa.int64() for name in spans}
    shapes = {**said, **spanned, "features": pa.list_(pa.float32(), width), "provenance": pa.string()}
    schema = pa.schema(list(shapes.items()), metadata={"c3d_video": provenance})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(features), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            block = features[part]
            columns = [pa.array([rows.answer.id] * len(block)), pa.array(rows.ids[part])]
            columns += [pa.array(spans[name][part], spanned[name]) for name in spans]
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), width))
            columns.append(pa.array([provenance] * len(block)))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
