import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The JVM's ways to hold a topic in memory, measured as the benchmarks measure their own: one JSON object per line.
 *
 * <p>Usage: Peer consumer|globalktable catchup|propagation|write|restart --brokers B --topic T [--decode raw|json] [--count N]
 * [--warmup N] [--repeat N] [--seconds S] [--state DIR]
 */
public final class Peer {
  record Service(
      @JsonProperty("name") String name,
      @JsonProperty("host") String host,
      @JsonProperty("port") int port,
      @JsonProperty("version") int version,
      @JsonProperty("healthy") boolean healthy,
      @JsonProperty("description") String description) {}

  static final ObjectMapper JSON = new ObjectMapper();

  final String client;
  final String brokers;
  final String topic;
  final boolean json;
  final int count;
  final int warmup;
  final int repeat;
  final double seconds;
  final String state;

  Peer(String client, Map<String, String> options) {
    this.client = client;
    this.brokers = options.get("brokers");
    this.topic = options.get("topic");
    this.json = options.getOrDefault("decode", "raw").equals("json");
    this.count = Integer.parseInt(options.getOrDefault("count", "1000"));
    this.warmup = Integer.parseInt(options.getOrDefault("warmup", "100"));
    this.repeat = Integer.parseInt(options.getOrDefault("repeat", "1"));
    this.seconds = Double.parseDouble(options.getOrDefault("seconds", "3"));
    this.state = options.get("state");
  }

  public static void main(String[] args) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 2; i + 1 < args.length; i += 2) options.put(args[i].substring(2), args[i + 1]);
    boolean global = args[0].equals("globalktable");
    Peer peer = new Peer(global ? "GlobalKTable (Java)" : "consumer and HashMap (Java)", options);
    switch (args[1]) {
      case "catchup" -> peer.catchUps(global);
      case "propagation" -> {
        if (global) peer.propagationOfGlobalKTable();
        else peer.propagationOfConsumer();
      }
      case "write" -> peer.write();
      case "restart" -> peer.restart();
      default -> throw new IllegalArgumentException(args[1]);
    }
    System.exit(0);
  }

  void emit(Map<String, Object> row) throws IOException {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("client", client);
    line.put("topic", topic);
    line.putAll(row);
    System.out.println(JSON.writeValueAsString(line));
  }

  static long rssMiB() throws IOException {
    String[] statm = Files.readString(Path.of("/proc/self/statm")).split(" ");
    return Long.parseLong(statm[1]) * 4096 >> 20;
  }

  /** The first build in a fresh JVM is one row, those after the warm-up are the others. */
  void catchUps(boolean global) throws Exception {
    for (int run = 0; run < 1 + warmup + repeat; run++) {
      Map<String, Object> row = global ? globalKTable() : consumer();
      if (run > 0 && run <= warmup) continue;
      Map<String, Object> line = new LinkedHashMap<>();
      line.put("metric", "catchup");
      line.put("decode", json ? "json" : "raw");
      line.put("detail", run == 0 ? "fresh process" : "warm");
      line.putAll(row);
      line.put("rssMiB", rssMiB());
      emit(line);
    }
  }

  Properties common() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    return properties;
  }

  KafkaConsumer<String, byte[]> newConsumer(boolean fromBeginning) {
    Properties properties = common();
    properties.put("enable.auto.commit", "false");
    // The default of 500 hands out answers in small pieces.
    properties.put("max.poll.records", "10000");
    KafkaConsumer<String, byte[]> consumer =
        new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer());
    List<TopicPartition> partitions =
        consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
    consumer.assign(partitions);
    if (fromBeginning) {
      consumer.seekToBeginning(partitions);
    } else {
      consumer.seekToEnd(partitions);
      for (TopicPartition partition : partitions) consumer.position(partition);
    }
    return consumer;
  }

  Map<String, Object> consumer() throws Exception {
    long started = System.nanoTime();
    long cpu = cpuNanos();
    Map<String, Object> table = new HashMap<>();
    long records = 0;
    try (KafkaConsumer<String, byte[]> consumer = newConsumer(true)) {
      Map<TopicPartition, Long> end = consumer.endOffsets(consumer.assignment());
      while (end.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
        for (var record : consumer.poll(Duration.ofMillis(500))) {
          records++;
          if (record.value() == null) table.remove(record.key());
          else table.put(record.key(), json ? JSON.readValue(record.value(), Service.class) : record.value());
        }
      }
      return replayed(started, cpu, records, table.size());
    }
  }

  /** CPU time of all threads of the JVM, compilers and collectors included. */
  static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }

  Map<String, Object> replayed(long started, long cpu, long records, long keys) {
    double ms = (System.nanoTime() - started) / 1e6;
    double cpuMs = (cpuNanos() - cpu) / 1e6;
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("ms", ms);
    row.put("cpuMs", cpuMs);
    row.put("records", records);
    row.put("rps", records / ms * 1000);
    row.put("keys", keys);
    return row;
  }

  long recordsInTopic() {
    try (KafkaConsumer<String, byte[]> consumer = newConsumer(true)) {
      Map<TopicPartition, Long> start = consumer.beginningOffsets(consumer.assignment());
      return consumer.endOffsets(consumer.assignment()).entrySet().stream()
          .mapToLong(e -> e.getValue() - start.get(e.getKey()))
          .sum();
    }
  }

  KafkaStreams startGlobalKTable(Path state) {
    String application = "benchmark-" + ThreadLocalRandom.current().nextLong(Long.MAX_VALUE);
    return startGlobalKTable(state, Stores.inMemoryKeyValueStore("table"), application);
  }

  KafkaStreams startGlobalKTable(Path state, KeyValueBytesStoreSupplier supplier, String application) {
    StreamsBuilder builder = new StreamsBuilder();
    Materialized<String, byte[], KeyValueStore<Bytes, byte[]>> store =
        Materialized.<String, byte[]>as(supplier).withCachingDisabled();
    builder.globalTable(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()), store);
    Properties properties = common();
    properties.put("application.id", application);
    properties.put("state.dir", state.toString());
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    // Returns when the global store is restored.
    streams.start();
    return streams;
  }

  static ReadOnlyKeyValueStore<String, byte[]> storeOf(KafkaStreams streams) {
    return streams.store(StoreQueryParameters.fromNameAndType("table", QueryableStoreTypes.keyValueStore()));
  }

  /** The store keeps bytes, so decoding is reading every value once, as {@code get} does. */
  Map<String, Object> globalKTable() throws Exception {
    long records = recordsInTopic();
    Path state = Files.createTempDirectory("benchmark-streams");
    long started = System.nanoTime();
    long cpu = cpuNanos();
    KafkaStreams streams = startGlobalKTable(state);
    try {
      ReadOnlyKeyValueStore<String, byte[]> store = storeOf(streams);
      long decoded = 0;
      if (json) {
        try (var all = store.all()) {
          while (all.hasNext()) {
            if (JSON.readValue(all.next().value, Service.class).name() != null) decoded++;
          }
        }
      }
      return replayed(started, cpu, records, json ? decoded : store.approximateNumEntries());
    } finally {
      streams.close();
      deleteTree(state);
    }
  }

  /** With RocksDB, in the directory where a former process has left it: from the start until all entries were read once. */
  void restart() throws Exception {
    long started = System.nanoTime();
    long cpu = cpuNanos();
    KafkaStreams streams =
        startGlobalKTable(Path.of(state), Stores.persistentKeyValueStore("table"), "benchmark-restart");
    double ms = (System.nanoTime() - started) / 1e6;
    long keys = 0;
    try (var all = storeOf(streams).all()) {
      for (; all.hasNext(); keys++) all.next();
    }
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("metric", "restart");
    row.put("decode", "raw");
    row.put("ms", ms);
    row.put("iteratedMs", (System.nanoTime() - started) / 1e6);
    row.put("cpuMs", (cpuNanos() - cpu) / 1e6);
    row.put("keys", keys);
    row.put("rssMiB", rssMiB());
    streams.close();
    emit(row);
  }

  static void deleteTree(Path root) throws IOException {
    try (var files = Files.walk(root)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(file);
    }
  }

  KafkaProducer<String, byte[]> newProducer() {
    Properties properties = common();
    properties.put("acks", "all");
    properties.put("linger.ms", "0");
    return new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer());
  }

  static byte[] value(long sequence) {
    byte[] bytes = new byte[1024];
    Arrays.fill(bytes, (byte) 'x');
    byte[] head = ("{\"version\":" + sequence + ",\"description\":\"").getBytes(StandardCharsets.UTF_8);
    System.arraycopy(head, 0, bytes, 0, head.length);
    bytes[1022] = '"';
    bytes[1023] = '}';
    return bytes;
  }

  static long sequenceOf(byte[] value) {
    int end = 11;
    while (value[end] != ',') end++;
    return Long.parseLong(new String(value, 11, end - 11, StandardCharsets.UTF_8));
  }

  interface Visible {
    void await(String key, long sequence) throws Exception;
  }

  void propagation(Visible visible) throws Exception {
    List<Double> measured = new ArrayList<>();
    try (KafkaProducer<String, byte[]> producer = newProducer()) {
      long base = System.currentTimeMillis();
      for (int i = 0; i < warmup + count; i++) {
        String key = "key-" + i % 100;
        long sequence = base + i;
        byte[] value = value(sequence);
        long started = System.nanoTime();
        producer.send(new ProducerRecord<>(topic, key, value)).get();
        visible.await(key, sequence);
        if (i >= warmup) measured.add((System.nanoTime() - started) / 1e6);
      }
    }
    measured.sort(null);
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("metric", "propagation");
    row.put("detail", "closed loop");
    row.put("p50", measured.get(measured.size() / 2));
    row.put("p99", measured.get((int) (measured.size() * 0.99)));
    emit(row);
  }

  void propagationOfConsumer() throws Exception {
    Map<String, byte[]> table = new HashMap<>();
    AtomicLong applied = new AtomicLong(-1);
    AtomicBoolean stopped = new AtomicBoolean();
    Thread waiting = Thread.currentThread();
    KafkaConsumer<String, byte[]> consumer = newConsumer(false);
    Thread reader =
        new Thread(
            () -> {
              while (!stopped.get()) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                  table.put(record.key(), record.value());
                  applied.set(sequenceOf(record.value()));
                  LockSupport.unpark(waiting);
                }
              }
              consumer.close();
            });
    reader.start();
    propagation(
        (key, sequence) -> {
          while (applied.get() < sequence) LockSupport.parkNanos(1_000_000);
        });
    stopped.set(true);
    reader.join();
  }

  /** A GlobalKTable tells nobody of a change: the store is asked every 50 microseconds. */
  void propagationOfGlobalKTable() throws Exception {
    Path state = Files.createTempDirectory("benchmark-streams");
    KafkaStreams streams = startGlobalKTable(state);
    try {
      ReadOnlyKeyValueStore<String, byte[]> store = storeOf(streams);
      propagation(
          (key, sequence) -> {
            for (; ; ) {
              byte[] value = store.get(key);
              if (value != null && sequenceOf(value) >= sequence) return;
              LockSupport.parkNanos(50_000);
            }
          });
    } finally {
      streams.close();
      deleteTree(state);
    }
  }

  void write() throws Exception {
    for (int inFlight : new int[] {1, 8, 64, 256}) {
      AtomicLong written = new AtomicLong();
      Semaphore permits = new Semaphore(inFlight);
      try (KafkaProducer<String, byte[]> producer = newProducer()) {
        long counted = 0;
        long started = 0;
        long from = System.nanoTime() + (long) (seconds / 3 * 1e9);
        long until = from + (long) (seconds * 1e9);
        for (long sequence = 0; System.nanoTime() < until; sequence++) {
          permits.acquire();
          if (started == 0 && System.nanoTime() >= from) {
            started = System.nanoTime();
            counted = written.get();
          }
          producer.send(
              new ProducerRecord<>(topic, "key-" + sequence % 10_000, value(sequence)),
              (metadata, error) -> {
                if (error == null) written.incrementAndGet();
                permits.release();
              });
        }
        double ms = (System.nanoTime() - started) / 1e6;
        long records = written.get() - counted;
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("metric", "write");
        row.put("detail", inFlight + " in flight");
        row.put("records", records);
        row.put("rps", records / ms * 1000);
        emit(row);
      }
    }
  }
}
