/** What is measured, and how repetitions become one line of a report. */

/** The numbers a measurement may carry; which of them, depends on its metric. */
export const numbers = [
  "ms",
  "cpuMs",
  "loopMs",
  "iteratedMs",
  "records",
  "rps",
  "p50",
  "p99",
  "max",
  "withoutGcMs",
  "keys",
  "mib",
  "rssMiB",
  "heapMiB",
  "bytesPerKey",
  "rssBytesPerKey",
  "dataBytesPerKey",
  "bytesPerClient",
  "nsPerOp",
  "ratio",
  "cpuPercent",
  "loopPercent",
  "connections",
  "requestsPerSecond",
  "fetchesPerSecond"
] as const

export type NumberName = (typeof numbers)[number]

/**
 * One measurement by one process. `ms`, `p50`, `p99` and `max` are milliseconds, `cpuMs` those of all its threads, which
 * other load on the machine disturbs less, `loopMs` those of the thread that runs the event loop, `iteratedMs` those until
 * every entry was read once, `rps` records per second,
 * `bytesPerKey` heap and buffers above an empty process and `dataBytesPerKey` the bytes of the key and its value, `bytesPerClient` heap and
 * buffers for each client of a server, `ratio` how many times a native Map's time, of an operator how many times that of the
 * table itself, and of a route how many times that of a bare one, `withoutGcMs` processor time of the loop's thread, but for collecting
 * garbage, `mib` what lies on disk, `cpuPercent` and `loopPercent` `cpuMs` and `loopMs` as parts of a core.
 */
export interface Measurement extends Partial<Readonly<Record<NumberName, number>>> {
  /** What is measured: `catchup`, `propagation` and so on. */
  readonly metric: string
  /** Who is measured: `effect-ktables kafkajs`, `goka (Go)`. */
  readonly client: string
  readonly topic?: string | undefined
  readonly decode?: string
  /** What tells rows of the same metric and client apart: `64 in flight`. */
  readonly detail?: string
}

/** Repetitions of one measurement: the median of every number, and the best of those where less or more is better. */
export interface Summary extends Measurement {
  readonly repetitions: number
  readonly best: Partial<Readonly<Record<NumberName, number>>>
}

/** Numbers of which more is better; of `ms`, latencies, memory and CPU less is. */
const moreIsBetter: ReadonlySet<NumberName> = new Set(["rps"])
/** Numbers that say what was done and not how well. */
const neutral: ReadonlySet<NumberName> = new Set(["records", "keys", "dataBytesPerKey"])

export type Direction = "less" | "more" | "neutral"

export const directionOf = (name: NumberName): Direction =>
  neutral.has(name) ? "neutral" : moreIsBetter.has(name) ? "more" : "less"

/** What makes two measurements repetitions of each other. */
export const identity = ({ metric, client, topic, decode, detail }: Measurement): string =>
  JSON.stringify([metric, client, topic ?? null, decode ?? null, detail ?? null])

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const summarizeOne = (same: ReadonlyArray<Measurement>): Summary => {
  const medians: Partial<Record<NumberName, number>> = {}
  const best: Partial<Record<NumberName, number>> = {}
  for (const name of numbers) {
    const values = same.flatMap((measurement) => measurement[name] ?? [])
    if (values.length === 0) continue
    medians[name] = median(values)
    const direction = directionOf(name)
    if (direction !== "neutral") best[name] = direction === "more" ? Math.max(...values) : Math.min(...values)
  }
  return { ...same[0]!, ...medians, repetitions: same.length, best }
}

/** One summary per identity, in the order of their first measurement. */
export const summarize = (measurements: ReadonlyArray<Measurement>): ReadonlyArray<Summary> => {
  const groups = new Map<string, Array<Measurement>>()
  for (const measurement of measurements) {
    const key = identity(measurement)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [measurement])
    else group.push(measurement)
  }
  return [...groups.values()].map(summarizeOne)
}
