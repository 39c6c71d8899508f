import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

/**
 * Writes a random log of plain records and interleaved transactions, and tells every record and how it ended.
 *
 * The seed decides what is written, in which order, and which transactions are committed; where their markers fall
 * between later records is the coordinator's. Producers are kept for the next log, since each costs a handshake.
 */
final class TransactionalLog {
  private static final List<String> COMPRESSIONS = List.of("none", "gzip", "snappy", "lz4", "zstd");
  private static final long SEGMENT_MS = 60_000;

  private final Topics topics;
  private final TableReader reader;
  private final Producers producers;
  private final String ids = "log-" + UUID.randomUUID() + "-";
  private final List<Transactional> pool = new ArrayList<>();
  private final Map<String, KafkaProducer<byte[], byte[]>> plain = new HashMap<>();

  TransactionalLog(Topics topics, TableReader reader, Producers producers) {
    this.topics = topics;
    this.reader = reader;
    this.producers = producers;
  }

  private record Transactional(String id, String compression, KafkaProducer<byte[], byte[]> producer) {}

  /** A producer at work on this log, and the number of its open transaction, -1 without one. */
  private static final class Actor {
    final Transactional client;
    int transaction = -1;

    Actor(Transactional client) {
      this.client = client;
    }
  }

  synchronized Object write(JsonNode args) throws Exception {
    Run run = new Run(args);
    boolean done = false;
    try {
      Object answer = run.write();
      done = true;
      return answer;
    } finally {
      // A producer in an unknown state is not used again.
      for (Actor actor : run.actors) {
        if (done && actor.transaction < 0) pool.add(actor.client);
      }
    }
  }

  private Transactional take(String compression) {
    for (Transactional free : pool) {
      if (free.compression().equals(compression)) {
        pool.remove(free);
        return free;
      }
    }
    String id = ids + UUID.randomUUID();
    return new Transactional(id, compression, producers.transactional(id, compression));
  }

  private final class Run {
    final String topic;
    final boolean compact;
    /** Odd seeds lose old tombstones and markers to compaction too. */
    final boolean thorough;
    final boolean hanging;
    final int partitions;
    final int steps;
    final int producerCount;
    final Random random;
    final List<byte[]> keys = new ArrayList<>();
    final List<Actor> actors = new ArrayList<>();
    final List<Map<String, Object>> records = new ArrayList<>();
    final List<String> outcomes = new ArrayList<>();
    /** Runs ahead of time, so that a segment rolls when the log says so: at a partition's first batch of a later time. */
    long clock = System.currentTimeMillis();
    final Map<Integer, Long> clocks = new HashMap<>();
    final Map<Integer, TreeSet<Long>> segments = new HashMap<>();

    Run(JsonNode args) {
      topic = args.get("topic").asText();
      compact = Clients.flag(args, "compact");
      thorough = args.get("seed").asLong() % 2 != 0;
      hanging = Clients.flag(args, "hanging");
      partitions = Clients.number(args, "partitions", 1);
      steps = Clients.number(args, "steps", 60);
      producerCount = Clients.number(args, "producers", 3);
      random = new Random(args.get("seed").asLong());
      // The first two read like the keys of an abort and a commit marker, unless their version is to be another.
      byte version = (byte) (args.hasNonNull("markerKeys") && !args.get("markerKeys").asBoolean() ? 1 : 0);
      keys.add(new byte[] {version, 0, 0, 0});
      keys.add(new byte[] {version, 0, 0, 1});
      keys.add(new byte[0]);
      keys.add(new byte[] {(byte) 0xff, 0, (byte) 0xfe});
      for (int i = keys.size(); i < Clients.number(args, "keys", 12); i++) {
        keys.add(("k" + i).getBytes(StandardCharsets.UTF_8));
      }
    }

    Object write() throws Exception {
      createTopic();
      for (int i = 0; i < producerCount; i++) {
        actors.add(new Actor(take(COMPRESSIONS.get(random.nextInt(COMPRESSIONS.size())))));
      }
      List<Actor> acting = new ArrayList<>(actors);
      Actor left = null;
      for (int step = 0; step < steps; step++) {
        if (compact && step % Math.max(1, steps / 5) == 0) clock += SEGMENT_MS + 1;
        if (hanging && left == null && step >= steps / 2) {
          left = acting.remove(random.nextInt(acting.size()));
          if (left.transaction < 0) begin(left);
          burst(left);
          outcomes.set(left.transaction, "open");
          producers.register(left.client.id(), left.client.producer());
        }
        int pick = random.nextInt(acting.size() + 1);
        if (pick == acting.size()) burst(plainProducer(), -1);
        else act(acting.get(pick));
      }
      for (Actor actor : acting) {
        if (actor.transaction >= 0) end(actor);
      }
      Actor open = left;
      Clients.await("the markers of " + topic, () -> markersAreThere(open));
      if (compact) {
        Map<Integer, Long> once = compactAll(Map.of());
        // The first pass dates tombstones and markers, the second takes what is due.
        if (thorough) compactAll(once);
      }
      Map<String, Object> answer = new HashMap<>();
      answer.put("records", records);
      answer.put("transactions", outcomes);
      answer.put("openTransaction", left == null ? null : left.client.id());
      return answer;
    }

    private void createTopic() throws Exception {
      ObjectNode topicArgs = Peer.JSON.createObjectNode().put("topic", topic).put("partitions", partitions);
      ObjectNode config = topicArgs.putObject("config").put("cleanup.policy", "compact");
      if (compact) {
        config.put("segment.ms", Long.toString(SEGMENT_MS)).put("min.cleanable.dirty.ratio", "0");
        if (thorough) config.put("delete.retention.ms", "0");
      }
      topics.create(topicArgs);
    }

    private void act(Actor actor) throws Exception {
      if (actor.transaction < 0) {
        begin(actor);
        burst(actor);
      } else if (random.nextInt(5) < 2) {
        burst(actor);
      } else {
        end(actor);
      }
    }

    private void begin(Actor actor) {
      actor.client.producer().beginTransaction();
      actor.transaction = outcomes.size();
      outcomes.add("open");
    }

    private void end(Actor actor) {
      boolean commit = random.nextInt(5) < 3;
      if (commit) actor.client.producer().commitTransaction();
      else actor.client.producer().abortTransaction();
      outcomes.set(actor.transaction, commit ? "committed" : "aborted");
      actor.transaction = -1;
    }

    private KafkaProducer<byte[], byte[]> plainProducer() {
      String compression = COMPRESSIONS.get(random.nextInt(COMPRESSIONS.size()));
      boolean idempotent = random.nextBoolean();
      return plain.computeIfAbsent(compression + idempotent, (absent) -> producers.plain(idempotent, compression));
    }

    private void burst(Actor actor) throws Exception {
      burst(actor.client.producer(), actor.transaction);
    }

    private void burst(KafkaProducer<byte[], byte[]> producer, int transaction) throws Exception {
      List<ProducerRecord<byte[], byte[]>> burst = new ArrayList<>();
      for (int i = 1 + random.nextInt(4); i > 0; i--) {
        burst.add(new ProducerRecord<>(topic, null, clock, keys.get(random.nextInt(keys.size())), value()));
      }
      send(producer, transaction, burst);
    }

    private byte[] value() {
      int kind = random.nextInt(10);
      if (kind < 2) return null;
      if (kind == 2) return new byte[0];
      if (kind == 3) {
        byte[] bytes = new byte[1 + random.nextInt(300)];
        random.nextBytes(bytes);
        return bytes;
      }
      return ("value " + random.nextInt(1000) + " ").repeat(1 + random.nextInt(10)).getBytes(StandardCharsets.UTF_8);
    }

    private void send(KafkaProducer<byte[], byte[]> producer, int transaction, List<ProducerRecord<byte[], byte[]>> burst)
        throws Exception {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (ProducerRecord<byte[], byte[]> record : burst) sent.add(producer.send(record));
      producer.flush();
      for (int i = 0; i < sent.size(); i++) {
        RecordMetadata ack = sent.get(i).get();
        if (!Objects.equals(clocks.put(ack.partition(), clock), clock)) {
          segments.computeIfAbsent(ack.partition(), (absent) -> new TreeSet<>()).add(ack.offset());
        }
        Map<String, Object> written = new HashMap<>();
        written.put("partition", ack.partition());
        written.put("offset", ack.offset());
        written.put("key", Clients.base64(burst.get(i).key()));
        written.put("value", Clients.base64(burst.get(i).value()));
        written.put("transaction", transaction);
        records.add(written);
      }
    }

    /** A commit is answered before its markers are in the log. */
    private boolean markersAreThere(Actor open) throws Exception {
      int expected = 0;
      if (open != null) {
        Set<Object> pinned = new HashSet<>();
        for (Map<String, Object> record : records) {
          if (record.get("transaction").equals(open.transaction)) pinned.add(record.get("partition"));
        }
        expected = pinned.size();
      }
      return topics.producersWithTransactions(topic).values().stream().mapToInt(List::size).sum() == expected;
    }

    /**
     * Rolls the last segment, and waits until what the cleaner may touch holds no key twice: whole segments below the
     * active one and below the first open transaction. Where an earlier pass has been, no tombstone may be left either.
     */
    private Map<Integer, Long> compactAll(Map<Integer, Long> earlier) throws Exception {
      clock += SEGMENT_MS + 1;
      List<ProducerRecord<byte[], byte[]>> last = new ArrayList<>();
      for (int partition = 0; partition < partitions; partition++) {
        last.add(new ProducerRecord<>(topic, null, clock, keyOf(partition), value()));
      }
      send(plainProducer(), -1, last);
      Map<Integer, Long> cleanable = new HashMap<>();
      reader.readAll(topic, "read_committed").ends().forEach((partition, stable) -> {
        TreeSet<Long> bases = segments.get(partition);
        cleanable.put(partition, Math.min(bases.last(), bases.floor(stable)));
      });
      Clients.await("the compaction of " + topic, () -> isCompacted(cleanable, earlier));
      return cleanable;
    }

    /** A key that Java's partitioner sends to the partition. */
    private byte[] keyOf(int partition) {
      for (int i = 0; ; i++) {
        byte[] key = ("last " + i).getBytes(StandardCharsets.UTF_8);
        if (BuiltInPartitioner.partitionForKey(key, partitions) == partition) return key;
      }
    }

    private boolean isCompacted(Map<Integer, Long> cleanable, Map<Integer, Long> earlier) throws Exception {
      Set<List<Object>> seen = new HashSet<>();
      for (ConsumerRecord<byte[], byte[]> record : reader.readAll(topic, "read_uncommitted").records()) {
        long end = cleanable.get(record.partition());
        // An open transaction that holds the end where it was keeps the cleaner from coming again.
        long passed = earlier.getOrDefault(record.partition(), end);
        if (record.offset() >= end) continue;
        if (passed < end && record.offset() < passed && record.value() == null) return false;
        if (!seen.add(List.of(record.partition(), Clients.base64(record.key())))) return false;
      }
      return true;
    }
  }
}
