import org.apache.spark.sql.SparkSession;

/** Runs queries over Delta tables by Spark: arguments are a query each, rows are printed as JSON, a blank line ends each. */
public class SparkRead {
  public static void main(String[] queries) {
    SparkSession spark =
        SparkSession.builder()
            .master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.databricks.delta.snapshotPartitions", "1")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.jsonGenerator.ignoreNullFields", "false")
            .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
            .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
            .getOrCreate();
    for (String query : queries) {
      spark.sql(query).toJSON().collectAsList().forEach(System.out::println);
      System.out.println();
    }
    spark.stop();
  }
}
