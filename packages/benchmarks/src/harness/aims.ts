/** What the figures are meant to be, and whether a run's are: ratios within one run, so that the machine matters little. */
import { type NumberName, type Summary } from "./Measurement.ts"

export interface Verdict {
  readonly what: string
  readonly aim: string
  readonly measured: string
  readonly isMet: boolean
}

interface Row {
  readonly metric: string
  readonly client: string
  readonly decode?: string
  /** A part of the detail. */
  readonly detail?: string
  /** A part of the topic's name. */
  readonly topic?: string
}

const table = "effect-ktables kafkajs"
const java = "consumer and HashMap (Java)"
const globalKTable = "GlobalKTable (Java)"
const goka = "goka (Go)"
const python = "ktables 2.0.0 (Python)"

type Find = (row: Row) => Summary | undefined
type Aim = (find: Find) => Verdict | undefined

const finder =
  (summaries: ReadonlyArray<Summary>): Find =>
  ({ client, decode, detail, metric, topic }) =>
    summaries.find(
      (summary) =>
        summary.metric === metric &&
        summary.client === client &&
        (decode === undefined || summary.decode === decode) &&
        (detail === undefined || (summary.detail ?? "").includes(detail)) &&
        (topic === undefined || (summary.topic ?? "").includes(topic))
    )

const shown = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3)

/** How many times longer `other` takes than ours, at least. */
const faster =
  (what: string, least: number, ours: Row, other: Row, name: "ms" | "iteratedMs" = "ms"): Aim =>
  (find) => {
    const a = find(ours)
    const b = find(other)
    const [mine, others] = [a?.[name], b?.[name]]
    if (a === undefined || b === undefined || mine === undefined || others === undefined) return undefined
    const ratio = others / mine
    const notes = [`best against best ${shown(b.best[name]! / a.best[name]!)}`]
    if (a.cpuMs !== undefined && b.cpuMs !== undefined) notes.push(`processor time ${shown(b.cpuMs / a.cpuMs)}`)
    return { what, aim: `at least ${least}`, measured: `${shown(ratio)} (${notes.join(", ")})`, isMet: ratio >= least }
  }

/** A number of ours that is to be at most so many times another, or at most a constant. */
const atMost =
  (
    what: string,
    aim: string,
    row: Row,
    name: NumberName,
    limit: (find: Find) => number | undefined,
    unit: string
  ): Aim =>
  (find) => {
    const value = find(row)?.[name]
    const most = limit(find)
    if (value === undefined || most === undefined) return undefined
    return { what, aim, measured: `${shown(value)}${unit} of ${shown(most)}${unit}`, isMet: value <= most }
  }

const atLeast =
  (
    what: string,
    aim: string,
    row: Row,
    name: NumberName,
    limit: (find: Find) => number | undefined,
    unit: string
  ): Aim =>
  (find) => {
    const value = find(row)?.[name]
    const least = limit(find)
    if (value === undefined || least === undefined) return undefined
    return { what, aim, measured: `${shown(value)}${unit}, of ${shown(least)}${unit} at least`, isMet: value >= least }
  }

const replay = (decode: string, detail: string, topic = "rounds"): Row => ({
  metric: "catchup",
  client: table,
  decode,
  detail,
  topic
})
const peer = (client: string, decode: string, detail = "", topic = "rounds"): Row => ({
  metric: "catchup",
  client,
  decode,
  detail,
  topic
})

/** With the link `""` the first found, which is the one without. */
const restarts = (topic: string, link: string): ReadonlyArray<Aim> => {
  const ours: Row = { metric: "restart", client: table, decode: "raw", detail: `from a checkpoint${link}`, topic }
  return [
    [globalKTable, "RocksDB"],
    [goka, "LevelDB"]
  ].map(([client = "", store = ""]) =>
    faster(
      `restart from a checkpoint until all entries were read, ${topic.slice(1, -1)}${link}, against ${client} with ${store}`,
      1,
      ours,
      { metric: "restart", client, detail: `from its ${store}${link}`, topic },
      "iteratedMs"
    )
  )
}

const memory = (topic: string, decode: string, limit: (data: number) => number): Aim => {
  const row: Row = { metric: "memory", client: table, decode, topic }
  return (find) => {
    const found = find(row)
    if (found?.bytesPerKey === undefined || found.dataBytesPerKey === undefined) return undefined
    const most = limit(found.dataBytesPerKey)
    return {
      what: `memory after catch-up, ${topic.replaceAll("-", " ").trim()} keys, ${decode}`,
      aim: `at most ${shown(most)} B per key`,
      measured: `heap and buffers ${shown(found.bytesPerKey)}, resident ${shown(found.rssBytesPerKey!)}`,
      isMet: found.bytesPerKey <= most
    }
  }
}

const cold = (what: string, detail: string, most: number): Aim =>
  atMost(what, `at most ${most} ms`, { metric: "cold", client: table, detail }, "ms", () => most, " ms")

const reads = (size: number): ReadonlyArray<Aim> => [
  atMost(
    `view.get, ${size} keys`,
    "at most 1.3 times Map.get",
    { metric: "reads", client: "effect-ktables", detail: `view.get, ${size} ` },
    "ratio",
    () => 1.3,
    ""
  ),
  atMost(
    `yield* get, ${size} keys`,
    "at most 4 times Map.get",
    { metric: "reads", client: "effect-ktables", detail: `yield* get, ${size} ` },
    "ratio",
    () => 4,
    ""
  )
]

const operator = (name: string, most: number): Aim =>
  atMost(
    `${name}, a change`,
    `at most ${most} ns`,
    { metric: "operators", client: "effect-ktables", detail: `${name}, 100000` },
    "nsPerOp",
    () => most,
    " ns"
  )

const idle = (client: string): Aim =>
  atMost(
    `100 idle tables, ${client}`,
    "at most 5 percent of a core",
    { metric: "idle", client: `effect-ktables ${client}`, detail: "100 tables" },
    "cpuPercent",
    () => 5,
    " %"
  )

const writing = (client: string, detail: string): Row => ({ metric: "write", client, detail })
const following = (how: string): Row => ({ metric: "checkpoint", client: table, detail: `processor time, ${how}` })
const visible: Row = { metric: "propagation", client: table, detail: "closed" }

const aims: ReadonlyArray<Aim> = [
  faster("replay, raw, against goka", 1.6, replay("raw", "fresh"), peer(goka, "raw")),
  faster("replay, raw, fresh, against a warm Java consumer", 2, replay("raw", "fresh"), peer(java, "raw", "warm")),
  faster("replay, raw, warm, against a warm Java consumer", 2, replay("raw", "warm"), peer(java, "raw", "warm")),
  faster("replay, raw, against `ktables`", 6, replay("raw", "fresh"), peer(python, "raw")),
  faster("replay, raw, fresh: share of `drain`", 0.5, replay("raw", "fresh"), {
    metric: "drain",
    client: "socket",
    detail: "1 MiB",
    topic: "rounds"
  }),
  faster("replay, raw, warm: share of `drain`", 0.5, replay("raw", "warm"), {
    metric: "drain",
    client: "socket",
    detail: "1 MiB",
    topic: "rounds"
  }),
  faster("replay, Schema, against goka's JSON", 4, replay("schema", "fresh"), peer(goka, "json", "as applied")),
  faster(
    "replay, Schema compiled, against goka's JSON",
    4,
    replay("schema-jit", "fresh"),
    peer(goka, "json", "as applied")
  ),
  faster("replay, Schema, against `ktables`' JSON", 10, replay("schema", "fresh"), peer(python, "json")),
  faster("replay, Schema compiled, against `ktables`' JSON", 10, replay("schema-jit", "fresh"), peer(python, "json")),
  faster(
    "100k unique keys, Schema, against goka's JSON",
    1.2,
    replay("schema", "fresh", "unique"),
    peer(goka, "json", "as applied", "unique")
  ),
  faster(
    "100k unique keys, Schema compiled, against goka's JSON",
    1.2,
    replay("schema-jit", "fresh", "unique"),
    peer(goka, "json", "as applied", "unique")
  ),
  ...["-unique-100000-", "-rounds-1000000-", "-unique-1000000-"].flatMap((topic) =>
    ["", ", 50 MB/s"].flatMap((link) => restarts(topic, link))
  ),
  cold("empty start, without ensureTopic", "first, ensureTopic off", 40),
  cold("empty start, verifying the topic", "first, ensureTopic verify", 70),
  cold("empty start, creating the topic", "first, ensureTopic create", 70),
  cold("later table, without ensureTopic", "later, ensureTopic off", 20),
  cold("later table, verifying the topic", "later, ensureTopic verify", 20),
  atMost(
    "propagation p50",
    "at most 1.1 times the bare kafkajs consumer's",
    visible,
    "p50",
    (find) => {
      const bare = find({ metric: "propagation", client: "kafkajs consumer" })?.p50
      return bare === undefined ? undefined : 1.1 * bare
    },
    " ms"
  ),
  atMost(
    "idle barrier p50",
    "at most 3 round trips of bare kafkajs",
    { metric: "barrier", client: table, detail: "idle" },
    "p50",
    (find) => {
      const bare = find({ metric: "barrier", client: "kafkajs" })?.p50
      return bare === undefined ? undefined : 3 * bare
    },
    " ms"
  ),
  atMost(
    "own write and awaitOffset p50",
    "at most propagation, within 5 percent",
    { metric: "barrier", client: table, detail: "own write and awaitOffset" },
    "p50",
    (find) => {
      const p50 = find(visible)?.p50
      return p50 === undefined ? undefined : 1.05 * p50
    },
    " ms"
  ),
  atLeast(
    "64 writes in flight, against goka",
    "at least its rate",
    writing(table, "64 in"),
    "rps",
    (find) => find(writing(goka, "64 in"))?.rps,
    "/s"
  ),
  atLeast(
    "64 writes in flight, against Java's producer without linger",
    "at least its rate",
    writing(table, "64 in"),
    "rps",
    (find) => find(writing(java, "64 in"))?.rps,
    "/s"
  ),
  atLeast("1 write in flight", "at least 2,000/s", writing(table, "1 in"), "rps", () => 2000, "/s"),
  ...[1000, 100_000, 1_000_000].flatMap(reads),
  ...["unique-100000-", "zipf-1000000-100000-", "unique-1000000-"].flatMap((topic) => [
    memory(topic, "raw", (data) => data + 350),
    memory(topic, "schema", () => 650)
  ]),
  operator("map", 500),
  operator("index", 700),
  operator("join by a reference", 700),
  atMost(
    "longest turn while a table and all operators on it are replaced",
    "at most 10 ms of processor time",
    { metric: "operators replaced", client: "effect-ktables", detail: "all of them, 100000" },
    "cpuMs",
    () => 10,
    " ms"
  ),
  atMost(
    "a change to 1,000 streams over HTTP, p99, at 1,000 changes/s",
    "at most 200 ms",
    { metric: "http changes", client: "effect-ktables", detail: "1000 streams, 1000 changes/s" },
    "p99",
    () => 200,
    " ms"
  ),
  atMost(
    "a value over HTTP, processor time",
    "at most 1.43 times a bare route that reads a Map",
    { metric: "http reads", client: "effect-ktables", detail: "a value by its key" },
    "ratio",
    () => 1.43,
    ""
  ),
  idle("kafkajs"),
  idle("platformatic"),
  atMost(
    "following 5,000 changes/s with a checkpoint",
    "at most 5 percent of a core more than without",
    following("with a"),
    "cpuPercent",
    (find) => {
      const without = find(following("without"))?.cpuPercent
      return without === undefined ? undefined : without + 5
    },
    " %"
  ),
  ...["after the load", "while it lives"].map((when) =>
    atMost(
      `longest turn ${when}, with a checkpoint`,
      "at most 10 ms of processor time",
      { metric: "checkpoint", client: table, detail: `longest turn ${when}, with a` },
      "cpuMs",
      () => 10,
      " ms"
    )
  )
]

/** A verdict on every aim whose figures are there. */
export const verdicts = (summaries: ReadonlyArray<Summary>): ReadonlyArray<Verdict> => {
  const find = finder(summaries)
  return aims.flatMap((aim) => aim(find) ?? [])
}
