import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Reads a whole topic with a consumer that has no group, up to the end offsets that it finds at its start. */
final class TableReader {
  private final Clients clients;

  TableReader(Clients clients) {
    this.clients = clients;
  }

  record Log(List<ConsumerRecord<byte[], byte[]>> records, Map<Integer, Long> starts, Map<Integer, Long> ends) {}

  /** The last value of each key that has one; records without a key belong to no key. */
  Object read(JsonNode args) throws Exception {
    Log log = readAll(args.get("topic").asText(), Clients.text(args, "isolation", "read_committed"));
    Map<String, String> table = new TreeMap<>();
    for (ConsumerRecord<byte[], byte[]> record : log.records()) {
      if (record.key() == null) continue;
      String key = Clients.base64(record.key());
      if (record.value() == null) table.remove(key);
      else table.put(key, Clients.base64(record.value()));
    }
    Map<String, Object> answer = new HashMap<>();
    answer.put("table", table);
    answer.put("count", log.records().size());
    answer.put("starts", log.starts());
    answer.put("ends", log.ends());
    if (Clients.flag(args, "records")) {
      answer.put("records", log.records().stream()
          .sorted(Comparator.comparingInt(ConsumerRecord::partition))
          .map(TableReader::describe)
          .toList());
    }
    return answer;
  }

  private static Object describe(ConsumerRecord<byte[], byte[]> record) {
    Map<String, Object> described = new HashMap<>();
    described.put("partition", record.partition());
    described.put("offset", record.offset());
    described.put("timestamp", record.timestamp());
    described.put("key", Clients.base64(record.key()));
    described.put("value", Clients.base64(record.value()));
    List<Object> headers = new ArrayList<>();
    record.headers().forEach((header) -> {
      Map<String, String> one = new HashMap<>();
      one.put("key", header.key());
      one.put("value", Clients.base64(header.value()));
      headers.add(one);
    });
    described.put("headers", headers);
    return described;
  }

  Log readAll(String topic, String isolation) throws Exception {
    try (KafkaConsumer<byte[], byte[]> consumer = clients.consumer(isolation)) {
      List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
          .map((info) -> new TopicPartition(topic, info.partition()))
          .toList();
      if (partitions.isEmpty()) throw new UnknownTopicOrPartitionException(topic);
      consumer.assign(partitions);
      Map<TopicPartition, Long> starts = consumer.beginningOffsets(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      starts.forEach(consumer::seek);
      List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
      long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
      while (ends.entrySet().stream().anyMatch((end) -> consumer.position(end.getKey()) < end.getValue())) {
        if (System.nanoTime() > until) throw new TimeoutException("waited 60 s for the ends of " + topic + ": " + ends);
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          if (record.offset() < ends.get(new TopicPartition(topic, record.partition()))) records.add(record);
        }
      }
      return new Log(records, byPartition(starts), byPartition(ends));
    }
  }

  private static Map<Integer, Long> byPartition(Map<TopicPartition, Long> offsets) {
    Map<Integer, Long> sorted = new TreeMap<>();
    offsets.forEach((partition, offset) -> sorted.put(partition.partition(), offset));
    return sorted;
  }
}
