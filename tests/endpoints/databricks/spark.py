"""The Spark behind the endpoint: in this process, with real Delta Lake, and tuned for many small
statements."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

JARS = Path(sys.prefix) / "delta-jars"
PARTITIONS = (
    "spark.default.parallelism",
    "spark.sql.shuffle.partitions",
    "spark.sql.leafNodeDefaultParallelism",
    "spark.sql.files.minPartitionNum",
)
"""How many parts rows are computed in. With one part, a query has one task and nothing is sorted
into parts: the first read after a write takes a sixth less."""
SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # As on Databricks.
    "spark.sql.sources.default": "delta",
    "spark.sql.legacy.createHiveTableByDefault": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # As what runs on Databricks for longest: bytes come to Python as ones that can be changed.
    "spark.sql.execution.pyspark.binaryAsBytes": "false",
    # For two cores and a few rows: few tasks, no code to generate and compile, no statistics, no
    # shell commands; and no checkpoint at every tenth commit, which takes seconds.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.maxPlanStringLength": "200",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.properties.defaults.checkpointInterval": "100",
    "spark.databricks.delta.stats.collect": "false",
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
    # Planning such filters is a twentieth of the time of a statement over tables of ten rows.
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
    # The first compiler alone has little room for its code, and spends its time on throwing it
    # away. A statement leaves much garbage and nothing else: the more room for it, the fewer
    # collections.
    "spark.driver.extraJavaOptions": (
        "-XX:+UseSerialGC -Xms2g -Xmn1g -XX:MetaspaceSize=512m -XX:TieredStopAtLevel=1 "
        "-XX:ReservedCodeCacheSize=240m -Djdk.lang.Process.launchMechanism=VFORK"
    ),
    "spark.driver.memory": "2g",
    "spark.driver.maxResultSize": "0",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def open_spark(folder: Path, partitions: int = 1) -> SparkSession:
    """A Spark whose tables lie in `folder`."""
    # Of its workers, which compute functions in Python.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("databricks-endpoint")
    for name, value in {**SETTINGS, **dict.fromkeys(PARTITIONS, str(partitions))}.items():
        builder = builder.config(name, value)
    builder = builder.config("spark.jars", ",".join(str(jar) for jar in sorted(JARS.glob("*.jar"))))
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "tables"))
    builder = builder.config("spark.local.dir", str(folder / "scratch"))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    # What a statement fails with is told to who sent it.
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return spark
