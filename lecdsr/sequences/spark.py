"""Run the queries on Spark, for data that one machine cannot join and group.

DuckDB reads the raw files and writes them as Parquet for Spark. The cluster is chosen by Spark's own configuration
(``spark-submit``, ``SPARK_REMOTE`` or ``spark-defaults.conf``) and must have access to the folder of the pair. Without
such configuration Spark runs on this machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.errors import UserError
from lecdsr.readers.lines import quoted
from lecdsr.sequences.engine import BATCH, Engine

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    # An integer overflow must stop the run instead of wrapping around.
    "spark.sql.ansi.enabled": "true",
}


class Spark:
    """Engine that runs Spark; each table is a folder of Parquet files in ``folder``, so that no query runs twice."""

    def __init__(self, session: Any, folder: Path) -> None:
        self.session, self.folder = session, folder
        self._versions = count()
        self._paths: dict[str, Path] = {}

    def replace(self, table: str, query: str) -> None:
        """Implement :meth:`Engine.replace`."""
        path = self._write(query)
        self.session.read.parquet(str(path)).createOrReplaceTempView(table)
        former = self._paths.pop(table, None)
        self._paths[table] = path
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)

    def drop(self, table: str) -> None:
        """Implement :meth:`Engine.drop`."""
        self.session.catalog.dropTempView(table)
        shutil.rmtree(self._paths.pop(table), ignore_errors=True)

    def row(self, query: str) -> tuple[int, ...]:
        """Implement :meth:`Engine.row`."""
        (found,) = self.session.sql(query).collect()
        return tuple(int(value) for value in found)

    def batches(self, query: str) -> Iterator[pa.Table]:
        """Implement :meth:`Engine.batches`."""
        path = self._write(query)
        # A sorted result is partitioned by range, and its files are numbered in that order.
        for part in sorted(path.glob("part-*")):
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(BATCH):
                    yield pa.Table.from_batches([batch])
        shutil.rmtree(path)

    def _write(self, query: str) -> Path:
        path = (self.folder / f"spark-{next(self._versions)}").absolute()
        self.session.sql(query).write.parquet(str(path))
        return path


def start_spark(db: duckdb.DuckDBPyConnection, folder: Path) -> Engine:
    """Start Spark and move the table ``ratings`` of DuckDB to it.

    Raises:
        UserError: Spark is not installed or does not start.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UserError(
            "Spark is not installed",
            where="sequences.engine: spark",
            do="run `pip install -e '.[spark]'`, or set sequences.engine to duckdb",
            code="not-installed",
        ) from error
    builder = SparkSession.builder.appName("lecdsr")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise UserError(
            f"Spark cannot start: {str(error).splitlines()[0]}",
            where="sequences.engine: spark",
            do="install Java 17 or later and set JAVA_HOME, or set sequences.engine to duckdb",
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    raw = (folder / "ratings.parquet").absolute()
    # Spark has no unsigned integers.
    db.execute(
        f"""COPY (SELECT reviewer, domain, asin, rating, time::BIGINT AS time, row::BIGINT AS row FROM ratings)
        TO {quoted(raw)} (FORMAT parquet)"""
    )
    db.execute("DROP TABLE ratings")
    engine = Spark(session, folder)
    engine.replace("ratings", f"SELECT * FROM parquet.`{raw}`")
    raw.unlink()
    return engine
