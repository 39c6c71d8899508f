/** Examines a topic that is, or is to be, a table, and says what is wrong and what to do. */
import { Clock, Effect, Result } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import type { KafkaError } from "effect-ktables/KafkaError"
import { type Facts, Examination, type Finding, findingsOf, type OpenTransaction, type Severity } from "../diagnosis.ts"
import { field } from "../entries.ts"
import { CommandFailed, ExitCode, failed, fromError, noTopic } from "../failure.ts"
import { quoted } from "../formats.ts"
import { again, fetchOnce, offsetsOf, type Range, scan } from "../logs.ts"
import { counted, writeLines } from "../output.ts"
import { millisOf, outputOf, type Settings } from "../settings.ts"

interface Input {
  readonly topic: string
  readonly scanTime: number
  readonly json: boolean
}

/** The protocol's UNKNOWN_TOPIC_OR_PARTITION. */
const UNKNOWN_TOPIC = 3

const factsOf = Effect.fnUntraced(function* (settings: Settings, { scanTime, topic }: Input) {
  const client = yield* KafkaClient
  const begin = yield* Clock.currentTimeMillis
  const described = yield* Effect.retry(client.describeTopic(topic), again).pipe(
    Effect.mapError((error: KafkaError) =>
      error._tag === "BrokerError" && error.code === UNKNOWN_TOPIC ? noTopic(topic) : fromError(error)
    )
  )
  const config = yield* Effect.result(Effect.retry(client.describeConfig(topic), again))
  const led = described.partitions.filter(({ leader }) => leader >= 0)
  const offsets = (at: "earliest" | "latest", isolation: "read_committed" | "read_uncommitted") =>
    Effect.retry(offsetsOf(topic, led, at, isolation), again)
  const [starts, ends, highs] = [
    yield* offsets("earliest", "read_committed"),
    yield* offsets("latest", "read_committed"),
    yield* offsets("latest", "read_uncommitted")
  ]
  if (starts === undefined || ends === undefined || highs === undefined) {
    return yield* failed(
      "unreachable",
      `the brokers do not say where the logs of ${topic} begin and end: run this again`
    )
  }
  const openTransactions: Array<OpenTransaction> = []
  for (const partition of led) {
    const [offset, high] = [ends.get(partition.partition)!, highs.get(partition.partition)!]
    if (high <= offset) continue
    const first = yield* Effect.result(
      fetchOnce(yield* client.openFetcher(partition.leader), described, partition.partition, offset, "read_uncommitted")
    )
    const since = Result.isSuccess(first) ? (first.success.records[0]?.timestamp ?? -1) : -1
    openTransactions.push({ partition: partition.partition, offset, hidden: high - offset, since })
  }
  const ranges = led.map((partition): Range => ({
    partition,
    from: starts.get(partition.partition)!,
    to: ends.get(partition.partition)!
  }))
  const examination = new Examination(settings, described.partitions.length)
  const until = { until: begin + 1000 * scanTime, patience: millisOf(settings) }
  const read = yield* scan(topic, ranges, until, (partition, record) => examination.see(partition, record))
  const facts: Facts = {
    topic,
    config: Result.isSuccess(config) ? config.success : undefined,
    brokers: described.brokers.length,
    partitions: described.partitions,
    openTransactions,
    examination,
    read,
    offsets: ranges.reduce((sum, { from, to }) => sum + to - from, 0),
    names: settings,
    now: yield* Clock.currentTimeMillis
  }
  return facts
})

const findingJson = (settings: Settings, finding: Finding): string => {
  const { advice, code, key, offset, partition, seen, severity } = finding
  const where = [
    ...(partition === undefined ? [] : [`"partition":${partition}`]),
    ...(offset === undefined ? [] : [`"offset":${offset}`]),
    ...(key === undefined ? [] : [field("key", settings.key, key)])
  ]
  const said = [`"code":"${code}"`, `"severity":"${severity}"`, `"seen":${quoted(seen)}`, `"do":${quoted(advice)}`]
  return `{${[...said, ...where].join(",")}}`
}

const worst = (findings: ReadonlyArray<Finding>): Severity | "clean" => findings[0]?.severity ?? "clean"

const toJson = (settings: Settings, { examination, offsets, read, topic }: Facts, findings: ReadonlyArray<Finding>) => {
  const { alive, bytes, records } = examination
  const size = `"records":${records},"bytes":${bytes},"entries":${alive.keys},"entryBytes":${alive.bytes},"estimated":${!alive.isExact}`
  return `{"topic":${quoted(topic)},"severity":"${worst(findings)}","offsets":${offsets},"read":${read.offsets},${size},"findings":[${findings.map((finding) => findingJson(settings, finding)).join(",")}]}`
}

const toText = ({ examination, topic }: Facts, findings: ReadonlyArray<Finding>): ReadonlyArray<string> => {
  const { alive, bytes, records } = examination
  const numbers = (["error", "warning", "note"] as const).flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length
    return count === 0 ? [] : [counted(count, severity, `${severity}s`)]
  })
  const about = alive.isExact ? "" : "about "
  const size = `${counted(records, "record", "records")} of ${bytes} bytes, ${about}${counted(alive.keys)} of ${about}${alive.bytes} bytes`
  return [
    `${topic}: ${numbers.length === 0 ? "nothing found" : numbers.join(", ")}; ${size}`,
    ...findings.flatMap(({ advice, code, seen, severity }) => ["", `${severity} ${code}: ${seen}`, `  do: ${advice}`])
  ]
}

export const run = Effect.fnUntraced(
  function* (settings: Settings, input: Input) {
    const facts = yield* factsOf(settings, input)
    const findings = findingsOf(facts)
    const isForPeople = !input.json && outputOf(settings) === "table"
    yield* writeLines(isForPeople ? toText(facts, findings) : [toJson(settings, facts, findings)])
    const severity = worst(findings)
    if (severity === "clean" || severity === "note") return
    const code = severity === "error" ? ExitCode.ill : ExitCode.unsound
    return yield* new CommandFailed({ code, detail: `${input.topic} has ${severity}s: see above` })
  },
  Effect.mapError((error) => fromError(error))
)
