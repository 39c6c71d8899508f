import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.internals.RecordHeader;

/** Writes records, plain ones and in transactions. */
final class Producers {
  private final Clients clients;
  private final Map<String, KafkaProducer<byte[], byte[]>> transactional = new ConcurrentHashMap<>();

  Producers(Clients clients) {
    this.clients = clients;
  }

  /** Without a transactional id the records are plain; with one they belong to the transaction begun under it. */
  Object produce(JsonNode args) throws Exception {
    if (args.hasNonNull("transactionalId")) return send(open(args.get("transactionalId").asText()), args);
    Map<String, Object> settings = new HashMap<>(batching(Clients.text(args, "compression", "none")));
    settings.put("enable.idempotence", Clients.flag(args, "idempotent"));
    settings.put("acks", Clients.text(args, "acks", "all"));
    try (KafkaProducer<byte[], byte[]> producer = clients.producer(settings)) {
      return send(producer, args);
    }
  }

  Object beginTransaction(JsonNode args) throws Exception {
    String id = args.get("transactionalId").asText();
    String compression = Clients.text(args, "compression", "none");
    transactional.computeIfAbsent(id, (absent) -> transactional(absent, compression)).beginTransaction();
    return null;
  }

  Object endTransaction(JsonNode args) throws Exception {
    KafkaProducer<byte[], byte[]> producer = open(args.get("transactionalId").asText());
    if (Clients.flag(args, "commit")) producer.commitTransaction();
    else producer.abortTransaction();
    return null;
  }

  /** A transaction may stay open for a quarter of an hour, the most that brokers allow by default. */
  KafkaProducer<byte[], byte[]> transactional(String id, String compression) {
    Map<String, Object> settings = new HashMap<>(batching(compression));
    settings.put("transactional.id", id);
    settings.put("transaction.timeout.ms", 900_000);
    KafkaProducer<byte[], byte[]> producer = clients.producer(settings);
    producer.initTransactions();
    return producer;
  }

  KafkaProducer<byte[], byte[]> plain(boolean idempotent, String compression) {
    Map<String, Object> settings = new HashMap<>(batching(compression));
    settings.put("enable.idempotence", idempotent);
    return clients.producer(settings);
  }

  /** Makes `endTransaction` reach a producer that was opened elsewhere. */
  void register(String id, KafkaProducer<byte[], byte[]> producer) {
    transactional.put(id, producer);
  }

  /** A batch ends with the flush behind a burst, not by time. */
  private static Map<String, Object> batching(String compression) {
    return Map.of("compression.type", compression, "linger.ms", 10_000, "buffer.memory", 4_194_304);
  }

  private KafkaProducer<byte[], byte[]> open(String id) {
    KafkaProducer<byte[], byte[]> producer = transactional.get(id);
    if (producer == null) throw new IllegalStateException("no transaction was begun under " + id);
    return producer;
  }

  private static Object send(KafkaProducer<byte[], byte[]> producer, JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode record : args.get("records")) {
      Integer partition = record.hasNonNull("partition") ? record.get("partition").asInt() : null;
      Long timestamp = record.hasNonNull("timestamp") ? record.get("timestamp").asLong() : null;
      ProducerRecord<byte[], byte[]> one = new ProducerRecord<>(
          topic, partition, timestamp, Clients.bytes(record.get("key")), Clients.bytes(record.get("value")));
      for (JsonNode header : record.path("headers")) {
        one.headers().add(new RecordHeader(header.get("key").asText(), Clients.bytes(header.get("value"))));
      }
      sent.add(producer.send(one));
    }
    producer.flush();
    List<Object> acks = new ArrayList<>();
    for (Future<RecordMetadata> one : sent) {
      RecordMetadata ack = one.get();
      acks.add(Map.of("partition", ack.partition(), "offset", ack.offset(), "timestamp", ack.timestamp()));
    }
    return acks;
  }
}
