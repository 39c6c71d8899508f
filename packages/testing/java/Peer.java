import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A process that reads and writes topics with Java's own clients, for comparison.
 *
 * Each line on stdin is a request {@code {"id", "op", "args"}}, each line on stdout its answer {@code {"id", "ok"}} or
 * {@code {"id", "error": {"type", "message"}}}; requests run side by side. The process ends with its stdin, at once:
 * transactions that are open then stay open, as they do when a producer dies.
 */
public final class Peer {
  static final ObjectMapper JSON = new ObjectMapper();

  interface Operation {
    Object run(JsonNode args) throws Exception;
  }

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Clients clients = new Clients(args[0]);
    Topics topics = new Topics(clients);
    TableReader reader = new TableReader(clients);
    Producers producers = new Producers(clients);
    TransactionalLog log = new TransactionalLog(topics, reader, producers);
    Map<String, Operation> operations = Map.ofEntries(
        Map.entry("createTopic", topics::create),
        Map.entry("deleteTopic", topics::delete),
        Map.entry("recreateTopic", topics::recreate),
        Map.entry("describeTopic", topics::describe),
        Map.entry("createPartitions", topics::createPartitions),
        Map.entry("alterConfig", topics::alterConfig),
        Map.entry("deleteRecords", topics::deleteRecords),
        Map.entry("electLeaders", topics::electLeaders),
        Map.entry("openTransactions", topics::openTransactions),
        Map.entry("abortTransactions", topics::abortTransactions),
        Map.entry("readTable", reader::read),
        Map.entry("produce", producers::produce),
        Map.entry("beginTransaction", producers::beginTransaction),
        Map.entry("endTransaction", producers::endTransaction),
        Map.entry("transactionalLog", log::write));
    ExecutorService pool = Executors.newCachedThreadPool();
    answer(out, JSON.createObjectNode().put("ready", true));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode request = JSON.readTree(line);
      pool.execute(() -> answer(out, run(operations, request)));
    }
    Runtime.getRuntime().halt(0);
  }

  private static ObjectNode run(Map<String, Operation> operations, JsonNode request) {
    ObjectNode answer = JSON.createObjectNode();
    answer.set("id", request.get("id"));
    String op = request.get("op").asText();
    try {
      Operation operation = operations.get(op);
      if (operation == null) throw new IllegalArgumentException("no operation is called " + op);
      answer.set("ok", JSON.valueToTree(operation.run(request.get("args"))));
    } catch (Throwable thrown) {
      Throwable cause = thrown instanceof ExecutionException && thrown.getCause() != null ? thrown.getCause() : thrown;
      answer.putObject("error").put("type", cause.getClass().getName()).put("message", String.valueOf(cause.getMessage()));
    }
    return answer;
  }

  private static synchronized void answer(PrintStream out, ObjectNode answer) {
    try {
      out.println(JSON.writeValueAsString(answer));
      out.flush();
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
