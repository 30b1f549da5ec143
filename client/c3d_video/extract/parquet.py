"""A Parquet file for each video: a row a clip, with its id, its times, its vector and what it rests on."""

from __future__ import annotations

from pathlib import Path

from c3d_video.extract.rows import Rows

ROWS_AT_ONCE = 256  # of a row group: 4 MB of fc6, of which Arrow holds several copies while it writes
REPEATED = ["video_id", "provenance"]  # the same in each row; a dictionary of vectors would only cost memory


def write(rows: Rows, path: Path, provenance: str) -> None:
    """Columns `video_id`, `clip_id`, those of `rows.SPAN`, `features` (fixed-size list of float32), `provenance` (JSON).

    With several layers `features_fc6` and so on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert rows.answer is not None  # noqa: S101 (finished)
    spans, vectors = rows.arrays(), {name: file.array() for name, file in rows.named("features").items()}
    shapes = {"video_id": pa.string(), "clip_id": pa.string()}
    shapes |= {name: pa.float64() if name.endswith("_sec") else pa.int64() for name in spans}
    shapes |= {name: pa.list_(pa.float32(), array.shape[1]) for name, array in vectors.items()}
    shapes |= {"provenance": pa.string()}
    schema = pa.schema(list(shapes.items()), metadata={"c3d_video": provenance})
    with pq.ParquetWriter(path, schema, use_dictionary=REPEATED) as writer:
        for start in range(0, len(rows.ids), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            ids = rows.ids[part]
            columns = [pa.array([rows.answer.id] * len(ids)), pa.array(ids)]
            columns += [pa.array(spans[name][part], shapes[name]) for name in spans]
            for array in vectors.values():
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(array[part].reshape(-1)), array.shape[1]))
            columns.append(pa.array([provenance] * len(ids)))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
