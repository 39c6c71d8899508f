import com.fasterxml.jackson.databind.JsonNode;
import java.util.Base64;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Builds the Java clients of one cluster, and holds what every operation needs. */
final class Clients {
  private final String brokers;
  final Admin admin;

  Clients(String brokers) {
    this.brokers = brokers;
    this.admin = Admin.create(settings(Map.of()));
  }

  private Properties settings(Map<String, ?> more) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    properties.put("retry.backoff.ms", 10);
    properties.put("retry.backoff.max.ms", 200);
    properties.put("reconnect.backoff.ms", 20);
    properties.put("enable.metrics.push", false);
    properties.putAll(more);
    return properties;
  }

  KafkaConsumer<byte[], byte[]> consumer(String isolation) {
    return new KafkaConsumer<>(
        settings(Map.of(
            "isolation.level", isolation,
            "enable.auto.commit", false,
            "auto.offset.reset", "none",
            "fetch.max.wait.ms", 20)),
        new ByteArrayDeserializer(),
        new ByteArrayDeserializer());
  }

  KafkaProducer<byte[], byte[]> producer(Map<String, ?> settings) {
    return new KafkaProducer<>(settings(settings), new ByteArraySerializer(), new ByteArraySerializer());
  }

  static String base64(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }

  static byte[] bytes(JsonNode base64) {
    return base64 == null || base64.isNull() ? null : Base64.getDecoder().decode(base64.asText());
  }

  static String text(JsonNode args, String name, String otherwise) {
    return args.hasNonNull(name) ? args.get(name).asText() : otherwise;
  }

  static int number(JsonNode args, String name, int otherwise) {
    return args.hasNonNull(name) ? args.get(name).asInt() : otherwise;
  }

  static boolean flag(JsonNode args, String name) {
    return args.hasNonNull(name) && args.get(name).asBoolean();
  }

  /** Asks again until the condition holds; names what it waited for when a minute has not been enough. */
  static void await(String what, Callable<Boolean> condition) throws Exception {
    long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
    while (!condition.call()) {
      if (System.nanoTime() > until) throw new TimeoutException("waited 60 s for " + what);
      Thread.sleep(10);
    }
  }
}
