import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What an administrator does to topics. */
final class Topics {
  private final Clients clients;

  Topics(Clients clients) {
    this.clients = clients;
  }

  Object create(JsonNode args) throws Exception {
    clients.admin.createTopics(Set.of(newTopic(args))).all().get();
    return awaitLeaders(args.get("topic").asText(), Clients.number(args, "partitions", 1), Uuid.ZERO_UUID);
  }

  Object delete(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    clients.admin.deleteTopics(Set.of(topic)).all().get();
    Clients.await("the deletion of " + topic, () -> description(topic).isEmpty());
    return null;
  }

  /** The answer holds the new topic; its id tells it from the old one. */
  Object recreate(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    Uuid old = description(topic).map(TopicDescription::topicId).orElse(Uuid.ZERO_UUID);
    clients.admin.deleteTopics(Set.of(topic)).all().get();
    Clients.await("the deletion of " + topic + " to be over", () -> {
      try {
        clients.admin.createTopics(Set.of(newTopic(args))).all().get();
        return true;
      } catch (ExecutionException failed) {
        if (failed.getCause() instanceof TopicExistsException) return false;
        throw failed;
      }
    });
    return awaitLeaders(topic, Clients.number(args, "partitions", 1), old);
  }

  Object describe(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    TopicDescription description = description(topic).orElseThrow(() -> new UnknownTopicOrPartitionException(topic));
    return describe(description);
  }

  Object createPartitions(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    int count = args.get("partitions").asInt();
    clients.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(count))).all().get();
    return awaitLeaders(topic, count, Uuid.ZERO_UUID);
  }

  Object alterConfig(JsonNode args) throws Exception {
    ConfigResource resource = resource(args.get("topic").asText());
    List<AlterConfigOp> changes = new ArrayList<>();
    args.path("set").properties().forEach((entry) ->
        changes.add(new AlterConfigOp(new ConfigEntry(entry.getKey(), entry.getValue().asText()), AlterConfigOp.OpType.SET)));
    args.path("unset").forEach((name) ->
        changes.add(new AlterConfigOp(new ConfigEntry(name.asText(), null), AlterConfigOp.OpType.DELETE)));
    clients.admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
    return null;
  }

  /** Deletes the records below an offset per partition, -1 for all of them; answers with the new log starts. */
  Object deleteRecords(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    Map<TopicPartition, RecordsToDelete> before = new HashMap<>();
    args.get("before").properties().forEach((entry) -> before.put(
        new TopicPartition(topic, Integer.parseInt(entry.getKey())),
        RecordsToDelete.beforeOffset(entry.getValue().asLong())));
    Map<Integer, Long> starts = new TreeMap<>();
    for (var entry : clients.admin.deleteRecords(before).lowWatermarks().entrySet()) {
      starts.put(entry.getKey().partition(), entry.getValue().get().lowWatermark());
    }
    return starts;
  }

  /** Unclean election takes a replica that is behind, and so truncates the log; it needs the leader to be gone. */
  Object electLeaders(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    ElectionType type = Clients.flag(args, "unclean") ? ElectionType.UNCLEAN : ElectionType.PREFERRED;
    TopicPartition partition = new TopicPartition(topic, args.get("partition").asInt());
    Optional<Throwable> failure =
        clients.admin.electLeaders(type, Set.of(partition)).partitions().get().getOrDefault(partition, Optional.empty());
    if (failure.isPresent()) throw new ExecutionException(failure.get());
    return null;
  }

  Object openTransactions(JsonNode args) throws Exception {
    List<Object> open = new ArrayList<>();
    for (var entry : producersWithTransactions(args.get("topic").asText()).entrySet()) {
      for (ProducerState producer : entry.getValue()) {
        open.add(Map.of(
            "partition", entry.getKey().partition(),
            "producerId", producer.producerId(),
            "firstOffset", producer.currentTransactionStartOffset().getAsLong()));
      }
    }
    return open;
  }

  /** Writes abort markers for every open transaction, as an administrator does to a hanging one (KIP-664). */
  Object abortTransactions(JsonNode args) throws Exception {
    int aborted = 0;
    String topic = args.get("topic").asText();
    for (var entry : producersWithTransactions(topic).entrySet()) {
      for (ProducerState producer : entry.getValue()) {
        AbortTransactionSpec spec = new AbortTransactionSpec(
            entry.getKey(),
            producer.producerId(),
            (short) producer.producerEpoch(),
            producer.coordinatorEpoch().orElse(-1));
        clients.admin.abortTransaction(spec).all().get();
        aborted++;
      }
    }
    Clients.await("the abort markers in " + topic, () -> producersWithTransactions(topic).isEmpty());
    return Map.of("aborted", aborted);
  }

  /** The producers that have a transaction open, by partition; partitions without any are left out. */
  Map<TopicPartition, List<ProducerState>> producersWithTransactions(String topic) throws Exception {
    Map<TopicPartition, List<ProducerState>> open = new LinkedHashMap<>();
    for (var entry : clients.admin.describeProducers(partitions(topic)).all().get().entrySet()) {
      List<ProducerState> producers = entry.getValue().activeProducers().stream()
          .filter((producer) -> producer.currentTransactionStartOffset().isPresent()
              && producer.currentTransactionStartOffset().getAsLong() >= 0)
          .toList();
      if (!producers.isEmpty()) open.put(entry.getKey(), producers);
    }
    return open;
  }

  private List<TopicPartition> partitions(String topic) throws Exception {
    int count = description(topic).orElseThrow(() -> new UnknownTopicOrPartitionException(topic)).partitions().size();
    return IntStream.range(0, count).mapToObj((partition) -> new TopicPartition(topic, partition)).toList();
  }

  private static NewTopic newTopic(JsonNode args) {
    Map<String, String> config = new HashMap<>();
    args.path("config").properties().forEach((entry) -> config.put(entry.getKey(), entry.getValue().asText()));
    Optional<Short> replicas =
        args.hasNonNull("replicationFactor") ? Optional.of((short) args.get("replicationFactor").asInt()) : Optional.empty();
    return new NewTopic(args.get("topic").asText(), Optional.of(Clients.number(args, "partitions", 1)), replicas)
        .configs(config);
  }

  private Optional<TopicDescription> description(String topic) throws Exception {
    try {
      return Optional.of(clients.admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic));
    } catch (ExecutionException failed) {
      if (failed.getCause() instanceof UnknownTopicOrPartitionException) return Optional.empty();
      throw failed;
    }
  }

  private Object awaitLeaders(String topic, int partitions, Uuid old) throws Exception {
    Clients.await("leaders of " + topic, () -> description(topic)
        .filter((it) -> !it.topicId().equals(old))
        .filter((it) -> it.partitions().size() == partitions)
        .filter((it) -> it.partitions().stream().allMatch((partition) -> partition.leader() != null))
        .isPresent());
    return describe(description(topic).orElseThrow(() -> new UnknownTopicOrPartitionException(topic)));
  }

  private Object describe(TopicDescription description) throws Exception {
    ConfigResource resource = resource(description.name());
    Map<String, String> config = new TreeMap<>();
    clients.admin.describeConfigs(Set.of(resource)).all().get().get(resource).entries().stream()
        .filter((entry) -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG || entry.name().equals("cleanup.policy"))
        .forEach((entry) -> config.put(entry.name(), entry.value()));
    Uuid id = description.topicId();
    return Map.of(
        "topicId", String.format("%016x%016x", id.getMostSignificantBits(), id.getLeastSignificantBits()),
        "config", config,
        "partitions", description.partitions().stream()
            .map((partition) -> Map.of(
                "partition", partition.partition(),
                "leader", partition.leader() == null ? -1 : partition.leader().id(),
                "replicas", ids(partition.replicas()),
                "isr", ids(partition.isr())))
            .toList());
  }

  private static List<Integer> ids(List<Node> nodes) {
    return nodes.stream().map(Node::id).collect(Collectors.toList());
  }

  private static ConfigResource resource(String topic) {
    return new ConfigResource(ConfigResource.Type.TOPIC, topic);
  }
}
