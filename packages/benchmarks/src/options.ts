/** The command line of the suite. */
import { parseArgs } from "node:util"
import type { Decode } from "./topics/decoding.ts"
import type { LogShape } from "./topics/logs.ts"
import type { ClusterClient } from "./topics/source.ts"

export const names = [
  "cold",
  "catchup",
  "restart",
  "checkpoint",
  "propagation",
  "barrier",
  "write",
  "reads",
  "memory",
  "fanout",
  "operators",
  "http",
  "idle",
  "tables",
  "drain",
  "peers",
  "all"
] as const

export type BenchmarkName = (typeof names)[number]

export type TableClient = ClusterClient | "memory"

const tableClients: ReadonlyArray<TableClient> = ["kafkajs", "platformatic", "memory"]
const decodes: ReadonlyArray<Decode> = ["raw", "json", "schema", "schema-jit"]
export const peerNames = ["python", "java", "go", "node"] as const
export type PeerName = (typeof peerNames)[number]

export interface RunOptions {
  readonly kind: "run"
  readonly name: BenchmarkName
  readonly json: boolean
  /** Transports under the table. */
  readonly clients: ReadonlyArray<TableClient>
  /** Empty for a broker of the suite's own. */
  readonly brokers: ReadonlyArray<string>
  /** An existing topic to replay instead of generated ones. */
  readonly topic: string | undefined
  readonly decodes: ReadonlyArray<Decode>
  readonly logs: ReadonlyArray<LogShape>
  readonly partitions: number
  /** Measured processes per cell. */
  readonly repeat: number
  /** Processes per cell that run before and are not counted. */
  readonly warmup: number
  /** Measured seconds of the cells that run for a time. */
  readonly seconds: number
  /** Measured operations of the cells that time single ones. */
  readonly count: number
  /** Operations of those cells that run before and are not timed. */
  readonly warmupCount: number
  readonly peers: ReadonlyArray<PeerName>
  /** Table sizes of the cells about contents. */
  readonly sizes: ReadonlyArray<number>
  /** How many tables of one client. */
  readonly tables: number
  /** A directory for CPU profiles of the cells. */
  readonly profile: string | undefined
}

export interface CompareOptions {
  readonly kind: "compare"
  readonly before: string
  readonly after: string
  /** How many times worse a number may be. */
  readonly threshold: number
}

export interface ReportOptions {
  readonly kind: "report"
  readonly files: ReadonlyArray<string>
}

export interface SeriesOptions {
  readonly kind: "series"
  /** Where the measurements go, a file of JSON lines per step. */
  readonly directory: string
  readonly brokers: ReadonlyArray<string>
}

export type Options = RunOptions | CompareOptions | ReportOptions | SeriesOptions

export interface UsageError {
  readonly kind: "usage"
  readonly problem: string | undefined
}

export const usage = `pnpm bench <name> [options]      ${names.join(" ")}
pnpm bench compare BEFORE AFTER [--threshold 1.2]
pnpm bench report FILE...        the aims and tables in Markdown, of what --json printed
pnpm bench series DIRECTORY      runs all that the report shows, peers included, and prints the report

  --client kafkajs,platformatic,memory   transports under the table (default kafkajs)
  --brokers host:port,...                an existing cluster (default KAFKA_BROKERS, else one is started)
  --topic NAME                           an existing topic to replay
  --decode raw,json,schema,schema-jit    how far values are decoded (default all)
  --log unique,rounds,zipf               generated topics to replay (default all)
  --records N --keys N                   size of the rounds and zipf topics (default 1000000 over 100000)
  --partitions N                         of generated topics (default 4)
  --repeat N --warmup N                  measured and unmeasured processes per cell (default 5 and 1)
  --seconds N --count N                  length of timed cells, operations of latency cells (default 5 and 2000)
  --sizes N,...                          table sizes of reads, memory and operators, more keys of restart (default per benchmark)
  --tables N                             tables of one client (default 500)
  --peers python,java,go,node            peers to run (default those that are installed)
  --profile DIR                          writes a CPU profile per cell
  --quick                                small topics, one repetition: proves that everything runs
  --json                                 one JSON object per line`

const list = <A extends string>(flag: string, text: string, allowed: ReadonlyArray<A>): ReadonlyArray<A> =>
  text.split(",").map((part) => {
    const known = allowed.find((name) => name === part)
    if (known === undefined) throw new Error(`--${flag} knows ${allowed.join(", ")}, not ${part}`)
    return known
  })

const natural = (flag: string, text: string, least: number): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least) throw new Error(`--${flag} takes a whole number from ${least} on`)
  return value
}

const positive = (flag: string, text: string): number => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${flag} takes a number above 0`)
  return value
}

const shape = (distribution: LogShape["distribution"], records: number, keys: number): LogShape =>
  distribution === "unique" ? { distribution, records: keys, keys } : { distribution, records, keys }

const parse = (argv: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Options | UsageError => {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      client: { type: "string", default: "kafkajs" },
      brokers: { type: "string" },
      topic: { type: "string" },
      decode: { type: "string", default: "raw,json,schema,schema-jit" },
      log: { type: "string", default: "unique,rounds,zipf" },
      records: { type: "string" },
      keys: { type: "string" },
      partitions: { type: "string", default: "4" },
      repeat: { type: "string" },
      warmup: { type: "string" },
      seconds: { type: "string" },
      count: { type: "string" },
      sizes: { type: "string" },
      tables: { type: "string" },
      peers: { type: "string", default: peerNames.join(",") },
      profile: { type: "string" },
      threshold: { type: "string", default: "1.2" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  const [name, before, after, ...rest] = positionals
  if (values.help || name === undefined) return { kind: "usage", problem: undefined }
  if (name === "compare") {
    if (before === undefined || after === undefined || rest.length > 0) throw new Error("compare takes two files")
    return { kind: "compare", before, after, threshold: positive("threshold", values.threshold) }
  }
  if (name === "report") {
    if (before === undefined) throw new Error("report takes files")
    return { kind: "report", files: positionals.slice(1) }
  }
  const brokers = (values.brokers ?? env["KAFKA_BROKERS"] ?? "").split(",").filter((broker) => broker !== "")
  if (name === "series") {
    if (before === undefined || after !== undefined) throw new Error("series takes a directory")
    return { kind: "series", directory: before, brokers }
  }
  const known = names.find((candidate) => candidate === name)
  if (known === undefined) throw new Error(`there is no benchmark ${name}`)
  if (before !== undefined) throw new Error(`${name} takes no further words: ${before}`)
  const quick = values.quick
  const count = natural("count", values.count ?? (quick ? "100" : "2000"), 1)
  const records = natural("records", values.records ?? (quick ? "20000" : "1000000"), 1)
  const keys = natural("keys", values.keys ?? (quick ? "2000" : "100000"), 1)
  return {
    kind: "run",
    name: known,
    json: values.json,
    clients: list("client", values.client, tableClients),
    brokers,
    topic: values.topic,
    decodes: list("decode", values.decode, decodes),
    logs: list("log", values.log, ["unique", "rounds", "zipf"] as const).map((log) => shape(log, records, keys)),
    partitions: natural("partitions", values.partitions, 1),
    repeat: natural("repeat", values.repeat ?? (quick ? "1" : "5"), 1),
    warmup: natural("warmup", values.warmup ?? (quick ? "0" : "1"), 0),
    seconds: positive("seconds", values.seconds ?? (quick ? "0.5" : "5")),
    count,
    // Virtual machines compile what is hot only after some thousands of calls.
    warmupCount: Math.max(50, count >> 1),
    tables: natural("tables", values.tables ?? (quick ? "20" : "500"), 2),
    peers: list("peers", values.peers, peerNames),
    sizes: (values.sizes ?? (quick ? "1000" : ""))
      .split(",")
      .flatMap((text) => (text === "" ? [] : [natural("sizes", text, 1)])),
    profile: values.profile
  }
}

export const parseOptions = (argv: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Options | UsageError => {
  try {
    return parse(argv, env)
  } catch (error) {
    return { kind: "usage", problem: error instanceof Error ? error.message : String(error) }
  }
}
